//! `seatmeter verify`.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use chrono::{DateTime, NaiveDate};
use tokio_util::sync::CancellationToken;

use super::output::written;
use super::progress::{count_of, say};
use super::verify_log::Log;
use super::verify_pass::{Pass, PassOutcome};
use crate::config::Config;
use crate::core::calendar::RELEASE;
use crate::store::Store;
use crate::verify::difference::{Report, RowDifference, VerifiedPartition};
use crate::verify::fold::Taken;
use crate::verify::locate::Locator;
use crate::verify::scope::{FoldedSource, VerifiedScope};
use crate::verify::selection::Selection;

/// Differences that are printed, at most; the report has all that are kept.
const PRINTED_MAX: usize = 100;

/// Accounts that are named, at most.
const NAMES_MAX: usize = 5;

/// The least share of accounts that one pass may have, as a divisor: an account cannot be divided.
const DIVISOR_MAX: u64 = 4_096;

/// Read the topic again, and compare what ClickHouse holds with it
///
/// Workers may go on meanwhile. Compared are: tests and quota by organization, project and day,
/// active users by organization and day, seats, licences, plans, zones, names, rejected records,
/// and the outcomes of all records, by the hour too. Each difference is printed with its key, what
/// the log says, what was found and the first offset that matters; the exit status is 0 only if all
/// agrees. Nothing is written, and no group is joined.
///
/// Of a partition whose log no longer begins at offset 0, what lies in it is verified: counters
/// must not be less, sets and facts must be there.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Verify this account alone; may be repeated
    #[arg(long, value_name = "ID")]
    account: Vec<String>,

    /// Read only records stamped at this time or later: a date or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = time_ms)]
    from: Option<i64>,

    /// Threads that read and count [default: one per core]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,

    /// Memory for what the log says of accounts; those that do not fit are verified in further
    /// passes. Rejected records, and 40 MB a partition for duplicates, come on top of it
    #[arg(long, value_name = "MIB", default_value_t = 1_024,
        value_parser = clap::value_parser!(u64).range(1..))]
    memory_mib: u64,

    /// Write the whole report to this file, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// A date (its midnight in UTC) or an RFC 3339 time, as milliseconds since 1970 UTC.
fn time_ms(text: &str) -> Result<i64, String> {
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Ok(date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis());
    }
    let time = DateTime::parse_from_rfc3339(text);
    time.map(|time| time.timestamp_millis())
        .map_err(|_| "expected a date (2026-03-01) or RFC 3339 (2026-03-01T09:00:00Z)".to_owned())
}

pub(super) async fn run(
    args: &Args,
    config: &Config,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let store = Store::connect(&config.clickhouse)?;
    store.check_server().await?;
    store.check_schema().await?;
    let threads = args.threads.map_or_else(
        || std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        usize::from,
    );
    let log = Log::open(config, threads, stop)?;
    let verification = Verification::new(args, &store, log, stop).await?;
    let report = verification.run().await?;
    if let Some(path) = &args.report {
        let text = format!("{:#}\n", report.to_json());
        std::fs::write(path, text)
            .with_context(|| format!("cannot write the report to {}", path.display()))?;
    }
    print(&report)?;
    match (report.found(), report.unsettled.len()) {
        (0, 0) => Ok(()),
        (0, unsettled) => bail!(
            "{} could not be settled: no worker completes a flush. Start one, and verify again",
            count_of(u64::try_from(unsettled).unwrap_or(u64::MAX), "row")
        ),
        (found, _) => bail!("{} between the log and ClickHouse", count_of(found, "difference")),
    }
}

/// A verification of the whole topic.
struct Verification<'v> {
    args: &'v Args,
    store: &'v Store,
    log: Log<'v>,
    stop: &'v CancellationToken,
    folded: Vec<FoldedSource>,
    report: Report,
}

impl<'v> Verification<'v> {
    async fn new(
        args: &'v Args,
        store: &'v Store,
        log: Log<'v>,
        stop: &'v CancellationToken,
    ) -> anyhow::Result<Self> {
        let folded = log.starts(args.from)?;
        let mut report = Report { topic: log.topic().to_owned(), ..Report::default() };
        for of in folded.iter().filter(|of| of.start > 0) {
            report.open.push(format!(
                "partition {} is read from offset {} on: what was counted before is not verified, \
                 so counters and sets may hold more than the log says; nor are the tests of its \
                 first 24 hours or 1,000,000 offsets, which may repeat earlier ones",
                of.source.partition(),
                of.start
            ));
        }
        let claims = store.zone_claims(log.topic()).await?;
        let releases: BTreeSet<&str> =
            claims.values().flat_map(|claims| claims.keys().map(|name| &**name)).collect();
        if releases.iter().any(|release| *release != RELEASE) {
            report.open.push(format!(
                "days were told by time zone data {releases:?}, this program has {RELEASE}: days \
                 of zones that changed between may differ"
            ));
        }
        Ok(Self { args, store, log, stop, folded, report })
    }

    async fn run(mut self) -> anyhow::Result<Report> {
        let names = &self.args.account;
        let accounts = (!names.is_empty()).then(|| names.iter().cloned().collect());
        let mut waiting = vec![Selection::new(accounts)];
        while let Some(selection) = waiting.pop() {
            let may_divide = selection.divisor < DIVISOR_MAX && self.args.account.is_empty();
            let memory_max = if may_divide {
                usize::try_from(self.args.memory_mib << 20).unwrap_or(usize::MAX)
            } else {
                usize::MAX
            };
            let is_first = self.report.passes == 0;
            let taken = match (is_first, self.args.account.is_empty()) {
                (_, false) => Taken::OwnOutcomes,
                (true, true) => Taken::AllOutcomes,
                (false, true) => Taken::Accounts,
            };
            let pass = Pass {
                store: self.store,
                log: &self.log,
                folded: &self.folded,
                selection: selection.clone(),
                taken,
                memory_max,
                stop: self.stop,
            };
            match pass.run(waiting.is_empty()).await? {
                PassOutcome::Full => {
                    let [one, other] = selection.halves();
                    waiting.extend([other, one]);
                }
                PassOutcome::Done(done) => {
                    self.report.passes += 1;
                    self.report.rows += done.rows;
                    self.report.more_differences += done.more_differences;
                    self.report.differences.extend(done.differences);
                    self.report.unsettled.extend(done.unsettled);
                    if is_first {
                        self.note_scope(&done.scope);
                        self.outcomes(done.partitions, done.outcomes);
                    }
                }
            }
            ensure!(!self.stop.is_cancelled(), "interrupted; nothing is verified");
        }
        self.locate().await?;
        Ok(self.report)
    }

    /// What the scope leaves open.
    fn note_scope(&mut self, scope: &VerifiedScope) {
        let unread: Vec<&str> = scope.unread_sources().collect();
        if !unread.is_empty() {
            self.report
                .open
                .push(format!("rows of other sources are not verified: {}", shortened(&unread)));
        }
        let ambiguous = scope.ambiguous_accounts();
        if !ambiguous.is_empty() {
            self.report.open.push(format!(
                "accounts that several partitions counted in turns are not verified: {} (see \
                 split_accounts)",
                shortened(&ambiguous)
            ));
        }
    }

    fn outcomes(&mut self, partitions: Vec<VerifiedPartition>, outcomes: Vec<String>) {
        self.report.partitions = partitions;
        self.report.outcomes = outcomes;
    }

    /// Looks for the first offset of each difference.
    async fn locate(&mut self) -> anyhow::Result<()> {
        let differences = &mut self.report.differences;
        let accounts: BTreeSet<String> =
            differences.iter().filter_map(|of| of.account().map(str::to_owned)).collect();
        if accounts.is_empty() {
            return Ok(());
        }
        let seed = self.store.user_key_seed().await?;
        let locator = Locator::new(differences, seed);
        let pass = Pass {
            store: self.store,
            log: &self.log,
            folded: &self.folded,
            selection: Selection::new(Some(accounts)),
            taken: Taken::OwnOutcomes,
            memory_max: usize::MAX,
            stop: self.stop,
        };
        let locator = pass.locate(locator).await?;
        locator.tell(differences);
        Ok(())
    }
}

/// Prints the report for people.
fn print(report: &Report) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let mut line = |text: &str| written(writeln!(out, "{text}"));
    for outcome in &report.outcomes {
        line(outcome)?;
    }
    let all = |of: &[RowDifference]| -> Vec<String> {
        of.iter().take(PRINTED_MAX).map(ToString::to_string).collect()
    };
    for difference in all(&report.differences) {
        line(&difference)?;
    }
    let hidden = report.differences.len().saturating_sub(PRINTED_MAX);
    let hidden = u64::try_from(hidden).unwrap_or(u64::MAX) + report.more_differences;
    if hidden > 0 {
        line(&format!("{} more; --report has the first", count_of(hidden, "difference")))?;
    }
    for row in all(&report.unsettled) {
        line(&format!("not settled: {row}"))?;
    }
    report.open.iter().for_each(|open| say(&format!("open: {open}")));
    let records: u64 = report.partitions.iter().map(|of| of.next_offset - of.first_offset).sum();
    if report.agrees() {
        line(&format!(
            "all agrees: {} from {}, in {}",
            count_of(report.rows, "row"),
            count_of(records, "offset"),
            if report.passes == 1 {
                "1 pass".to_owned()
            } else {
                format!("{} passes", report.passes)
            }
        ))?;
    }
    Ok(())
}

/// The first of many names.
fn shortened(names: &[&str]) -> String {
    let first = names.iter().take(NAMES_MAX).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_date_or_rfc_3339() {
        assert_eq!(time_ms("1970-01-02"), Ok(86_400_000));
        assert_eq!(time_ms("1970-01-01T01:00:00+01:00"), Ok(0));
        assert!(time_ms("yesterday").is_err());
    }

    #[test]
    fn many_names_are_shortened() {
        assert_eq!(shortened(&["a", "b"]), "a, b");
        assert_eq!(shortened(&["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e and 2 more");
    }
}
