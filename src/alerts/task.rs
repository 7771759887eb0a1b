//! The task that judges, stores and hands on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;

use super::inbox::{Inbox, MayBegin};
use super::judge::{Judge, Judgement};
use super::lines::ConfiguredLine;
use super::outbox::{Outbox, SEND_FOR_MS};
use super::sources::{HeldSource, Stage};
use crate::config::Config;
use crate::report::alert::{AlertLines, AlertState};
use crate::store::{AlertMark, AlertMarks, MarkKind, Store, StoreError};
use crate::telemetry::{alerts as telemetry, events};

/// Greatest time between two looks at the clock.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The pauses after a failure grow up to this.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Judges what flushes have touched.
pub(super) struct Task {
    store: Store,
    judge: Judge,
    inbox: Arc<Inbox>,
    outbox: Outbox,
    may_begin: MayBegin,
    /// When alerts were switched on first, milliseconds since 1970 UTC; unknown before the first
    /// look.
    since_ms: Option<i64>,
    sources: BTreeMap<Arc<str>, HeldSource>,
    /// What was reached before alerts were switched on, and is not told yet.
    silent: Option<u64>,
    lines: BTreeSet<ConfiguredLine>,
    /// The account of `canary`, which concerns nobody.
    canary: String,
}

impl Task {
    pub(super) fn new(
        config: &Config,
        store: Store,
        inbox: Arc<Inbox>,
        outbox: Outbox,
        may_begin: MayBegin,
    ) -> Self {
        let lines = AlertLines {
            quota_percent: config.alerts.quota_percent.clone(),
            seats_percent: config.alerts.seats_percent.clone(),
        };
        Self {
            lines: ConfiguredLine::all(&lines),
            judge: Judge::new(store.clone(), lines, config.clickhouse.database.clone()),
            store,
            inbox,
            outbox,
            may_begin,
            since_ms: None,
            sources: BTreeMap::new(),
            silent: None,
            canary: config.canary.account.clone(),
        }
    }

    /// Runs until it is dropped.
    pub(super) async fn run(mut self) {
        let mut failures: u32 = 0;
        loop {
            match self.pass().await {
                Ok(()) => {
                    if failures > 0 {
                        events::alerts_judged_again();
                    }
                    failures = 0;
                    let wait = tokio::time::timeout(LOOK_INTERVAL, self.inbox.is_put());
                    // Without a flush the clock goes on.
                    let _ = wait.await;
                }
                Err(error) => {
                    if failures == 0 {
                        events::alerts_not_judged(&error);
                    }
                    failures += 1;
                    let pause = LOOK_INTERVAL * 2_u32.saturating_pow(failures.min(6));
                    tokio::time::sleep(pause.min(PAUSE_MAX)).await;
                }
            }
        }
    }

    /// Looks at what was touched and at the clock, once.
    async fn pass(&mut self) -> Result<(), StoreError> {
        // Since when alerts are on is stored before anything is counted that they are about.
        if self.since_ms.is_none() {
            self.begin().await?;
        }
        if !(self.may_begin)() {
            return Ok(());
        }
        self.hear().await?;
        for source in self.sources.keys().cloned().collect::<Vec<_>>() {
            self.open(&source).await?;
            self.judge_source(&source).await?;
            self.hand_on(&source).await?;
        }
        if self.outbox.is_short() {
            self.refill().await?;
        }
        let has_to_wait = |held: &HeldSource| matches!(held.stage(), Stage::Before);
        if !self.sources.values().any(has_to_wait)
            && let Some(lines) = self.silent.take()
        {
            events::alerts_switched_on(lines);
        }
        Ok(())
    }

    /// Stores since when alerts are on and targets are known, where that is not stored yet.
    async fn begin(&mut self) -> Result<(), StoreError> {
        let now_ms = Utc::now().timestamp_millis();
        let marks = self.store.alert_marks().await?;
        let new = AlertMark { since_ms: now_ms, judged_upto: 0 };
        let targets = self.outbox.names().into_iter().map(|name| (MarkKind::Target, name));
        let wanted = targets.chain([(MarkKind::Database, String::new())]);
        let missing: AlertMarks =
            wanted.filter(|key| !marks.contains_key(key)).map(|key| (key, new)).collect();
        self.store.write_alert_marks(&missing).await?;
        let since_ms = |kind, name: &str| {
            marks.get(&(kind, name.to_owned())).map_or(now_ms, |mark| mark.since_ms)
        };
        self.since_ms = Some(since_ms(MarkKind::Database, ""));
        for name in self.outbox.names() {
            self.outbox.known_since(&name, since_ms(MarkKind::Target, &name));
        }
        Ok(())
    }

    /// Takes in what flushes have left, and forgets the partitions that are gone.
    async fn hear(&mut self) -> Result<(), StoreError> {
        let words = self.inbox.take();
        // What was known in an earlier assignment may have been overtaken by another owner.
        self.sources.retain(|source, held| words.get(source).is_some_and(|word| held.is_of(word)));
        self.outbox.hold(&words.keys().cloned().collect());
        let is_new = words.keys().any(|source| !self.sources.contains_key(source));
        let marks = if is_new { self.store.alert_marks().await } else { Ok(AlertMarks::new()) };
        let since_ms = self.since_ms.unwrap_or_default();
        for (source, mut word) in words {
            word.touched.remove(&self.canary);
            match (self.sources.get_mut(&source), &marks) {
                (Some(held), _) => held.hear(word),
                (None, Ok(marks)) => {
                    let mark = marks.get(&(MarkKind::Source, source.to_string())).copied();
                    let mut held = HeldSource::new(word, mark, since_ms);
                    let is_new = |line: &ConfiguredLine| line.is_new(&source, marks);
                    held.new_lines = self.lines.iter().copied().filter(is_new).collect();
                    self.sources.insert(source, held);
                }
                // All of its accounts will be judged once it is opened.
                (None, Err(_)) => {}
            }
        }
        marks.map(drop)
    }

    /// Opens a partition that may be judged.
    async fn open(&mut self, source: &Arc<str>) -> Result<(), StoreError> {
        let Some(held) = self.sources.get_mut(source) else { return Ok(()) };
        if let Stage::Opening { is_silent } = held.stage() {
            let mut accounts = self.store.accounts_of_source(source).await?;
            accounts.retain(|account| *account != self.canary);
            held.open(accounts, is_silent);
            if is_silent {
                self.silent.get_or_insert(0);
            }
        }
        Ok(())
    }

    /// Judges the accounts of a partition that were touched, and those whose time has come.
    async fn judge_source(&mut self, source: &Arc<str>) -> Result<(), StoreError> {
        let Some(held) = self.sources.get_mut(source) else { return Ok(()) };
        held.add_due(Utc::now().timestamp_millis());
        loop {
            let Some(held) = self.sources.get_mut(source) else { return Ok(()) };
            let accounts = held.next();
            if accounts.is_empty() {
                // What comes from now on is new.
                let was_silent = std::mem::take(&mut held.is_silent);
                let now_ms = Utc::now().timestamp_millis();
                if held.stage() != Stage::Open {
                    return Ok(());
                }
                if held.was_judged && !held.new_lines.is_empty() {
                    let lines = std::mem::take(&mut held.new_lines);
                    let marks = ConfiguredLine::marks(&lines, source, now_ms);
                    if let Err(error) = self.store.write_alert_marks(&marks).await {
                        held.new_lines = lines;
                        return Err(error);
                    }
                }
                if let Some(mark) = held.mark_due(now_ms, was_silent) {
                    store_mark(&self.store, source, held, mark).await?;
                }
                return Ok(());
            }
            let now_ms = Utc::now().timestamp_millis();
            let Judgement { mut rows, told, due_ms, unreadable } =
                self.judge.judge(&accounts, now_ms).await?;
            // A former owner that was held up stores late, and then learns that it has to send
            // nothing: what it has found is not found again.
            held.will_send(told);
            for account in unreadable.iter().filter(|account| held.is_newly_unreadable(account)) {
                events::alerts_unreadable(account);
            }
            for row in rows.iter_mut().filter(|row| held.silences(row)) {
                (row.is_silent, row.event) = (true, String::new());
            }
            if held.is_silent {
                *self.silent.get_or_insert(0) += rows.len() as u64;
            }
            // A first judgement that is cut off is begun anew: its mark comes last.
            if !rows.is_empty()
                && !held.is_silent
                && let Some(mark) = held.mark_due(now_ms, true)
            {
                store_mark(&self.store, source, held, mark).await?;
            }
            // The rows may be stored without an acknowledgement: then nothing is found again.
            let told = rows.iter().filter(|row| !row.event.is_empty());
            held.will_send(told.map(|row| row.account.clone()));
            self.store.write_alerts(&rows).await?;
            held.judged(&accounts, due_ms);
            for row in rows.iter().filter(|row| !row.is_silent) {
                match row.state {
                    AlertState::Raised => telemetry::raised(row.key.rule.as_str()),
                    AlertState::Resolved => telemetry::resolved(row.key.rule.as_str()),
                    AlertState::Ended => {}
                }
            }
        }
    }

    /// Hands on what is stored and not sent. It is read back: of two owners of a partition that
    /// both found an alert, both send what was stored first.
    async fn hand_on(&mut self, source: &Arc<str>) -> Result<(), StoreError> {
        let Some(held) = self.sources.get_mut(source) else { return Ok(()) };
        let since_ms = Utc::now().timestamp_millis() - SEND_FOR_MS;
        loop {
            let accounts = held.next_unsent();
            if accounts.is_empty() {
                return Ok(());
            }
            let events = self.store.unsent_alerts(&accounts, since_ms).await?;
            self.outbox.add(source, events);
            held.handed_on(&accounts);
        }
    }

    /// What there was no room for is to be handed on anew.
    async fn refill(&mut self) -> Result<(), StoreError> {
        for (source, held) in &mut self.sources {
            if held.stage() == Stage::Open {
                held.will_send(self.store.accounts_of_source(source).await?);
            }
        }
        self.outbox.refilling();
        Ok(())
    }
}

async fn store_mark(
    store: &Store,
    source: &Arc<str>,
    held: &mut HeldSource,
    mark: AlertMark,
) -> Result<(), StoreError> {
    let mut marks: AlertMarks = [((MarkKind::Source, source.to_string()), mark)].into();
    if !held.was_judged {
        // Of one that was judged, lines without a mark are taken for added ones.
        marks.extend(ConfiguredLine::marks(&held.new_lines, source, mark.since_ms));
    }
    store.write_alert_marks(&marks).await?;
    if !held.was_judged {
        held.new_lines.clear();
    }
    held.marked(mark);
    Ok(())
}
