//! The rounds of a canary: sends events, asks the API until it shows them, and judges every answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use chrono::Utc;
use tokio_util::sync::CancellationToken;

use super::sender::{ConnectError, Sender};
use super::window::Window;
use crate::canary::api::{AskError, ReportApi};
use crate::canary::bounds::AdmissibleValues;
use crate::canary::figures::{JudgedReport, Values};
use crate::canary::rounds::{CanaryRound, Rounds};
use crate::config::{self, Config};
use crate::telemetry::canary::{self as telemetry, CanaryFailure};
use crate::telemetry::events;

/// Pause before the stop request, deliveries or the time are looked at again.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Pauses between questions: a share of the time since the sending, within these.
const POLL_SHARE: u32 = 20;
const POLL_INTERVAL_MIN: Duration = Duration::from_millis(100);
const POLL_INTERVAL_MAX: Duration = Duration::from_secs(1);

/// Time after the sending before the API is asked how far partitions are counted.
const INGEST_AFTER: Duration = Duration::from_secs(1);

/// Time, besides the age of two looks of the API, that answers may be behind.
const SETTLE_TIME: Duration = Duration::from_secs(1);

/// Pause before the API is asked anew whether the account is free.
const START_PAUSE: Duration = Duration::from_secs(1);

/// A canary.
pub(super) struct CanaryLoop {
    kafka: config::Kafka,
    canary: config::Canary,
    api: ReportApi,
    /// How long after the counting an answer may lack it.
    settle_time: Duration,
    /// The producer, and the records that are not counted yet; none after a failure.
    link: Option<Link>,
    /// The organization; none before the first round and after a round that was not sent whole.
    watched: Option<Watched>,
    /// What failed last, since all reports were right.
    told: Option<CanaryFailure>,
    is_wrong: bool,
    right_at: Instant,
    has_connected: bool,
    stop: CancellationToken,
}

struct Link {
    sender: Sender,
    window: Arc<Window>,
}

/// An organization, and what its figures may be.
struct Watched {
    rounds: Rounds,
    bounds: AdmissibleValues,
}

/// How far the answers of a round are.
struct Pending {
    /// Reports that have not been right or wrong yet.
    reports: Vec<JudgedReport>,
    /// Whether the round was seen, so that the other reports are asked for too.
    is_seen: bool,
    is_wrong: bool,
    /// Since when all that was sent is known to be counted.
    counted_since: Option<Instant>,
    /// The figures as they must be.
    values: Values,
    sent_at: Instant,
}

impl CanaryLoop {
    /// A canary of these options. Nothing is sent or asked yet.
    ///
    /// # Errors
    ///
    /// A file of certificates that cannot be used.
    pub(super) fn new(config: &Config, stop: CancellationToken) -> anyhow::Result<Self> {
        Ok(Self {
            kafka: config.kafka.clone(),
            canary: config.canary.clone(),
            api: ReportApi::new(&config.canary)?,
            settle_time: 2 * config.http.look_age_max + SETTLE_TIME,
            link: None,
            watched: None,
            told: None,
            is_wrong: false,
            right_at: Instant::now(),
            has_connected: false,
            stop,
        })
    }

    /// Runs until the stop request; blocks.
    ///
    /// # Errors
    ///
    /// The account is in use, or options are wrong. Whatever may pass is counted and tried again.
    pub(super) fn run(mut self) -> anyhow::Result<()> {
        telemetry::begin(JudgedReport::ALL.map(JudgedReport::as_str));
        self.wait_until_free()?;
        events::canary_started(&self.canary.account, &self.canary.api_url);
        let mut next = Instant::now();
        while !self.stop.is_cancelled() {
            if Instant::now() < next {
                std::thread::sleep(LOOK_INTERVAL);
                continue;
            }
            next = Instant::now() + self.canary.interval;
            self.round()?;
        }
        Ok(())
    }

    /// Waits until the API says that no real events use the account.
    fn wait_until_free(&mut self) -> anyhow::Result<()> {
        while !self.stop.is_cancelled() {
            match self.api.occupant() {
                Ok(None) => return Ok(()),
                Ok(Some(occupant)) => bail!(
                    "the account {:?} is in use by real events: it has {occupant}; name an account \
                    of the canary's own by canary.account",
                    self.canary.account
                ),
                Err(error @ AskError::Refused(_)) => bail!("the report API refuses: {error}"),
                Err(error) => self.failed(CanaryFailure::Answer, &error.to_string()),
            }
            self.pause(START_PAUSE);
        }
        Ok(())
    }

    /// One round, to its end.
    fn round(&mut self) -> anyhow::Result<()> {
        if !self.connect()? {
            return Ok(());
        }
        let (mut watched, round) = self.next_round()?;
        let sent_at = Instant::now();
        if self.send(&mut watched, &round, sent_at)? {
            telemetry::sent();
            let pending = Pending {
                reports: JudgedReport::ALL.to_vec(),
                is_seen: false,
                is_wrong: false,
                counted_since: None,
                values: watched.rounds.values(),
                sent_at,
            };
            self.watch(&mut watched, pending, round.number);
            self.watched = Some(watched);
        } else {
            // What was not acknowledged may be in the log or not: the organization is given up, and
            // the producer with all that it may still try to send.
            self.link = None;
        }
        Ok(())
    }

    /// Connects where there is no producer; false if that fails and is to be tried again.
    fn connect(&mut self) -> anyhow::Result<bool> {
        if self.link.is_some() {
            return Ok(true);
        }
        let window = Arc::new(Window::default());
        match Sender::connect_paced(&self.kafka, Arc::clone(&window)) {
            Ok(sender) => {
                self.link = Some(Link { sender, window });
                self.has_connected = true;
                Ok(true)
            }
            Err(error @ ConnectError::Unreachable { .. }) => {
                self.failed(CanaryFailure::Send, &error.to_string());
                Ok(false)
            }
            Err(error) if self.has_connected => {
                self.failed(CanaryFailure::Send, &error.to_string());
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The next round of the organization, or the first one of a new one.
    fn next_round(&mut self) -> anyhow::Result<(Watched, CanaryRound)> {
        let now_ms = || Utc::now().timestamp_millis();
        if let Some(mut watched) = self.watched.take()
            && let Some(round) = watched.rounds.next_round(now_ms())
        {
            return Ok((watched, round));
        }
        loop {
            let token = getrandom::u32().context("the operating system gives no random numbers")?;
            let mut rounds = Rounds::new(&self.canary.account, now_ms(), token);
            // It has none only where the clock jumps to another day at this moment.
            let Some(round) = rounds.next_round(now_ms()) else { continue };
            events::canary_organization(rounds.organization());
            let bounds = AdmissibleValues::new(self.settle_time);
            return Ok((Watched { rounds, bounds }, round));
        }
    }

    /// Sends a round, and waits until the brokers have acknowledged all of it; false if that fails,
    /// or at the stop request.
    fn send(
        &mut self,
        watched: &mut Watched,
        round: &CanaryRound,
        sent_at: Instant,
    ) -> anyhow::Result<bool> {
        let Some(link) = &mut self.link else { return Ok(false) };
        for (number, event) in (0..).zip(&round.events) {
            // Before it is sent, since it may be counted at once.
            watched.bounds.extend(&event.after);
            let account = Some(self.canary.account.as_str());
            match link.sender.send(number, &event.payload, account, &self.stop) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(error) => {
                    self.failed(CanaryFailure::Send, &format!("{error:#}"));
                    return Ok(false);
                }
            }
        }
        while link.sender.wait(LOOK_INTERVAL) > 0 {
            if self.stop.is_cancelled() {
                return Ok(false);
            }
            if sent_at.elapsed() > self.canary.timeout {
                let cause = link.sender.cause();
                let cause = cause.map_or("they do not answer".to_owned(), |of| of.to_string());
                let reason = format!("the brokers have not acknowledged its events: {cause}");
                self.failed(CanaryFailure::Send, &reason);
                return Ok(false);
            }
        }
        let outcome = link.sender.report();
        if let Some((_, reason)) = outcome.first_failure {
            self.failed(CanaryFailure::Send, &reason);
        }
        Ok(outcome.failed == 0)
    }

    /// Asks until every report was right or wrong, or the time is over.
    fn watch(&mut self, watched: &mut Watched, mut pending: Pending, number: u64) {
        loop {
            let was_seen = pending.is_seen;
            self.ask(watched, &mut pending);
            if self.stop.is_cancelled() {
                return;
            }
            if pending.reports.is_empty() {
                break;
            }
            if pending.is_seen && !was_seen {
                continue;
            }
            let elapsed = pending.sent_at.elapsed();
            if elapsed > self.canary.timeout {
                let lacking: Vec<&str> =
                    pending.reports.iter().map(|report| report.as_str()).collect();
                let reason = format!(
                    "round {number} of organization {} is not counted and shown after {} s: {}",
                    watched.rounds.organization(),
                    elapsed.as_secs(),
                    lacking.join(", ")
                );
                return self.failed(CanaryFailure::Timeout, &reason);
            }
            self.look_for_end(watched, &mut pending);
            let pause = elapsed / POLL_SHARE;
            self.pause(pause.clamp(POLL_INTERVAL_MIN, POLL_INTERVAL_MAX));
        }
        if pending.is_wrong {
            self.is_wrong = true;
            return;
        }
        watched.bounds.confirm(&pending.values, Instant::now());
        telemetry::succeeded();
        if self.is_wrong || self.told.is_some() {
            events::canary_recovered(self.right_at.elapsed());
        }
        (self.is_wrong, self.told, self.right_at) = (false, None, Instant::now());
    }

    /// Asks for each report once; before the round is seen, for the one by which it is seen.
    fn ask(&mut self, watched: &mut Watched, pending: &mut Pending) {
        let asked: Vec<JudgedReport> = match pending.is_seen {
            true => pending.reports.clone(),
            false => vec![JudgedReport::TestActivity],
        };
        for report in asked {
            if self.stop.is_cancelled() {
                return;
            }
            let found = match self.api.figures(report, &watched.rounds) {
                Ok(found) => found,
                Err(error) => return self.failed(CanaryFailure::Answer, &error.to_string()),
            };
            let wrong = watched.bounds.judge(&found, Instant::now());
            for of in &wrong {
                let (organization, wanted) = (watched.rounds.organization(), of.wanted_text());
                events::canary_wrong(
                    report.as_str(),
                    of.figure.name,
                    organization,
                    &wanted,
                    of.found,
                );
            }
            let is_exact = found.iter().all(|&(place, value)| pending.values[place] == value);
            if !wrong.is_empty() {
                telemetry::wrong(report.as_str());
                pending.is_wrong = true;
            } else if !is_exact {
                continue;
            } else if report == JudgedReport::TestActivity {
                telemetry::seen(pending.sent_at.elapsed());
            }
            pending.is_seen = true;
            pending.reports.retain(|of| *of != report);
        }
    }

    /// Finds out whether all that was sent is counted. Once it has been for long enough, figures
    /// have one value.
    fn look_for_end(&mut self, watched: &mut Watched, pending: &mut Pending) {
        if let Some(since) = pending.counted_since {
            if since.elapsed() > self.settle_time {
                watched.bounds.settle(&pending.values);
            }
            return;
        }
        let Some(link) = self.link.as_ref().filter(|_| pending.sent_at.elapsed() >= INGEST_AFTER)
        else {
            return;
        };
        match self.api.next_offsets(&self.kafka.topic) {
            Ok(next) => {
                let next_offset = |partition| next.get(&partition).copied().unwrap_or(0);
                if link.window.bytes(next_offset) == 0 {
                    pending.counted_since = Some(Instant::now());
                }
            }
            Err(error) => self.failed(CanaryFailure::Answer, &error.to_string()),
        }
    }

    /// Counts a failure, and logs it unless the one before was of the same kind.
    fn failed(&mut self, failure: CanaryFailure, reason: &str) {
        telemetry::failed(failure);
        if self.told != Some(failure) {
            events::canary_failed(failure.as_str(), reason);
        }
        self.told = Some(failure);
    }

    /// Waits; less at the stop request.
    fn pause(&self, duration: Duration) {
        let end = Instant::now() + duration;
        while Instant::now() < end && !self.stop.is_cancelled() {
            std::thread::sleep(LOOK_INTERVAL);
        }
    }
}
