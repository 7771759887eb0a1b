//! `seatmeter generate`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use chrono::Utc;
use clap::ValueEnum;
use tokio_util::sync::CancellationToken;

use super::output::written;
use super::produce;
use super::progress::{Progress, count_of};
use super::sender::{Sender, key};
use crate::config::Config;
use crate::core::calendar::{Day, Zone, day_of, day_start};
use crate::core::decode::{TIME_END_MS, TIME_MIN_MS};
use crate::generate::{Generator, Load, PLAN_AGE_DAYS_MAX, Shares};

/// Progress and `stop` are handled after this many lines.
const SHOW_LINES: u64 = 1_024;

/// Make realistic usage events: NDJSON on standard output, in a file, or straight to the topic
///
/// The same seed, dates and numbers yield the same events; name --from and --to for that. Example:
/// seatmeter generate --from 2026-01-01 --to 2026-03-31 --seed 7 --output events.ndjson
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What the accounts are like; the flags below change it
    #[arg(long, value_enum, default_value_t = Profile::Ordinary)]
    profile: Profile,

    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// First day, UTC [default: 92 days before --to; 3 years for large-account]
    #[arg(long, value_name = "DATE")]
    from: Option<Day>,

    /// Last day, UTC; events more than an hour ahead of their sending are rejected [default: until
    /// now]
    #[arg(long, value_name = "DATE")]
    to: Option<Day>,

    /// Stop after this many lines
    #[arg(long, value_name = "LINES")]
    count: Option<u64>,

    /// Lines per second, at most [default: as fast as can be]
    #[arg(long, value_name = "LINES", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,

    /// Accounts [default: by profile]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    accounts: Option<u32>,

    /// Organizations of each account [default: by profile]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    organizations: Option<u32>,

    /// Users of each account [default: by profile]
    #[arg(
        long,
        value_name = "NUMBER",
        value_parser = clap::value_parser!(u32).range(1..=10_000_000)
    )]
    users: Option<u32>,

    /// Share of test.executed events that are delivered twice, 0 to 1 [default: by profile]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    duplicates: Option<f64>,

    /// Share of events that come minutes to weeks late, 0 to 1 [default: by profile]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    late: Option<f64>,

    /// Malformed lines added per event, 0 to 1 [default: by profile]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    malformed: Option<f64>,

    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE", conflicts_with = "to_kafka")]
    output: Option<PathBuf>,

    /// Send to the configured topic instead of writing
    #[arg(long)]
    to_kafka: bool,
}

/// What the accounts are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Profile {
    /// 4 accounts of 12 organizations and 160 users each
    Ordinary,
    /// 1 account of 2,000 organizations and about 100,000 seats
    LargeAccount,
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "expected a number from 0 to 1".to_owned())?;
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err("expected a number from 0 to 1".to_owned())
    }
}

/// Generates until the end, or until `stop` is cancelled; blocks.
pub(super) fn run(
    args: &Args,
    load_config: impl FnOnce() -> anyhow::Result<Config>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let load = load(args)?;
    let limit = args.count.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX));
    let mut pace = Pace::new(args.rate);
    let lines = Generator::new(&load)
        .map(|line| line.json)
        .take(limit)
        .take_while(|_| pace.wait(stop))
        .zip(1..);
    if args.to_kafka {
        to_kafka(lines, args.count, &load_config()?, stop)
    } else if let Some(path) = &args.output {
        to_file(lines, args.count, path).with_context(|| format!("cannot write {}", path.display()))
    } else {
        // Slow lines are flushed one by one.
        to_stdout(lines, args.rate.is_some())
    }
}

type NumberedLine = (Vec<u8>, u64);

fn to_kafka(
    lines: impl Iterator<Item = NumberedLine>,
    total: Option<u64>,
    config: &Config,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut sender = Sender::connect(&config.kafka)?;
    let mut progress = Progress::new("sending", total);
    for (line, number) in lines {
        let sent = sender.send(number, &line, key(&line).as_deref(), stop);
        sent.with_context(|| format!("record {number}"))?;
        if number.is_multiple_of(SHOW_LINES) {
            progress.set(number, sender.delivered());
        }
    }
    // An endless load ends by `stop`, which is no error.
    produce::finish(&sender, progress, stop, "record", None)
}

fn to_file(
    lines: impl Iterator<Item = NumberedLine>,
    total: Option<u64>,
    path: &Path,
) -> anyhow::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut progress = Progress::new("generating", total);
    let mut count = 0;
    for (line, number) in lines {
        file.write_all(&line)?;
        file.write_all(b"\n")?;
        count = number;
        if number.is_multiple_of(SHOW_LINES) {
            progress.set(number, number);
        }
    }
    file.flush()?;
    progress.finish(&format!("{} written to {}", count_of(count, "line"), path.display()));
    Ok(())
}

fn to_stdout(lines: impl Iterator<Item = NumberedLine>, flush_each: bool) -> anyhow::Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    for (line, _) in lines {
        written(out.write_all(&line).and_then(|()| out.write_all(b"\n")))?;
        if flush_each {
            written(out.flush())?;
        }
    }
    written(out.flush())
}

/// The load that the flags describe.
fn load(args: &Args) -> anyhow::Result<Load> {
    let to_ms =
        args.to.map_or_else(|| Utc::now().timestamp_millis(), |day| utc_midnight(day.plus_days(1)));
    let days = match args.profile {
        Profile::Ordinary => 92,
        Profile::LargeAccount => 3 * 365,
    };
    let from_ms = args.from.map_or(to_ms - days * 86_400_000, utc_midnight);
    if from_ms >= to_ms {
        let to =
            args.to.map_or_else(|| "now (--to is not set)".to_owned(), |day| format!("--to {day}"));
        bail!(
            "--from {} lies after {to}; it must be that day or earlier",
            day_of(Zone::UTC, from_ms)
        );
    }
    check_times(from_ms, to_ms)?;
    let load = match args.profile {
        Profile::Ordinary => Load::ordinary(from_ms, to_ms),
        Profile::LargeAccount => Load::large_account(from_ms, to_ms),
    };
    Ok(Load {
        seed: args.seed,
        accounts: args.accounts.unwrap_or(load.accounts),
        organizations: args.organizations.unwrap_or(load.organizations),
        users: args.users.unwrap_or(load.users),
        shares: Shares {
            duplicates: args.duplicates.unwrap_or(load.shares.duplicates),
            late: args.late.unwrap_or(load.shares.late),
            malformed: args.malformed.unwrap_or(load.shares.malformed),
        },
        ..load
    })
}

/// Refuses days whose events would all be rejected because of their time.
fn check_times(from_ms: i64, to_ms: i64) -> anyhow::Result<()> {
    let first_ms = TIME_MIN_MS + i64::from(PLAN_AGE_DAYS_MAX) * 86_400_000;
    if from_ms < first_ms {
        bail!(
            "--from must be {} or later: plans start up to {PLAN_AGE_DAYS_MAX} days before it, and \
            events before 2000-01-01 are rejected",
            day_of(Zone::UTC, first_ms)
        );
    }
    if to_ms > TIME_END_MS {
        bail!("--to must be 2099-12-31 or earlier: later events are rejected");
    }
    Ok(())
}

fn utc_midnight(day: Day) -> i64 {
    day_start(Zone::UTC, day)
}

/// Limits the rate.
struct Pace {
    interval: Option<Duration>,
    next: Instant,
}

impl Pace {
    fn new(rate: Option<u32>) -> Self {
        Self { interval: rate.map(|rate| Duration::from_secs(1) / rate), next: Instant::now() }
    }

    /// Waits until the next line is due; false if `stop` is cancelled.
    fn wait(&mut self, stop: &CancellationToken) -> bool {
        if let Some(interval) = self.interval {
            // Sleeps have a resolution of a millisecond, so overdue lines are sent at once.
            while let Some(rest) =
                self.next.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero())
            {
                if stop.is_cancelled() {
                    return false;
                }
                std::thread::sleep(rest.min(Duration::from_millis(100)));
            }
            self.next += interval;
        }
        !stop.is_cancelled()
    }
}
