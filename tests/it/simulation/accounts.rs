//! The tables that tell which partitions have counted an account, how they are written, and what a
//! reader makes of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use seatmeter::core::calendar::Day;
use seatmeter::core::id::Id;
use seatmeter::core::rollup::{AccountMove, AccountProgress, LaneRows, RecordPlace, Source};
use seatmeter::core::topics::Topic;

use super::answers::Version;
use super::memory_store::{Row, Statement};
use super::naive_calendar::from_days;

/// The INSERTs that precede all others of these drains, in this order.
pub(super) fn moves(drains: &[LaneRows]) -> VecDeque<Statement> {
    let with = |has_former: bool| {
        let rows = drains.iter().flat_map(|drain| &drain.account_moves);
        let rows = rows.filter(move |row| row.former.is_some() == has_former);
        Statement { rows: rows.cloned().map(Row::AccountMove).collect(), upto: Vec::new() }
    };
    [true, false].map(with).into_iter().filter(|statement| !statement.rows.is_empty()).collect()
}

/// The INSERT that follows all others of these drains, but for the progress.
pub(super) fn account_progress(drains: &[LaneRows]) -> Option<Statement> {
    let of = |drain: &LaneRows| {
        let source = drain.source.clone();
        drain
            .account_progress
            .clone()
            .into_iter()
            .map(move |row| Row::AccountProgress(source.clone(), row))
    };
    let rows: Vec<Row> = drains.iter().flat_map(of).collect();
    (!rows.is_empty()).then_some(Statement { rows, upto: Vec::new() })
}

/// The INSERT before that: the days whose users these drains hold.
pub(super) fn active_days(drains: &[LaneRows]) -> Option<Statement> {
    let of = |drain: &LaneRows| {
        let days = drain.active_days().into_iter().map(|row| {
            Row::ActiveDay(drain.source.clone(), row.account.clone(), row.day, row.upto)
        });
        days.collect::<Vec<_>>()
    };
    let rows: Vec<Row> = drains.iter().flat_map(of).collect();
    (!rows.is_empty()).then_some(Statement { rows, upto: Vec::new() })
}

/// What one partition has counted of one account.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    upto: u64,
    first: RecordPlace,
    last: RecordPlace,
    /// By topic, up to where it is stored and its latest time.
    topics: [(u64, i64); Topic::ALL.len()],
}

/// Account, source and former source.
type MoveKey = (Id, Arc<str>, Option<Arc<str>>);

/// The tables `account_progress`, `account_moves` and `active_days`.
#[derive(Clone, Debug, Default)]
pub(super) struct Accounts {
    progress: BTreeMap<(Id, Source), Counted>,
    moves: BTreeMap<MoveKey, u64>,
    days: BTreeMap<(Id, Day, Source), u64>,
}

impl Accounts {
    pub(super) fn write_progress(&mut self, source: Source, row: AccountProgress) {
        let told = |topic| {
            row.touched.latest_ms(topic).map_or((0, 0), |latest_ms| (row.upto(), latest_ms))
        };
        let new = Counted {
            upto: row.upto(),
            first: row.first,
            last: row.last,
            topics: Topic::ALL.map(told),
        };
        let known = self.progress.entry((row.account, source)).or_insert(new);
        known.upto = known.upto.max(new.upto);
        if new.first.offset < known.first.offset {
            known.first = new.first;
        }
        if new.last.offset > known.last.offset {
            known.last = new.last;
        }
        for ((upto, latest_ms), new) in known.topics.iter_mut().zip(new.topics) {
            (*upto, *latest_ms) = (new.0.max(*upto), new.1.max(*latest_ms));
        }
    }

    pub(super) fn write_day(&mut self, key: (Id, Day, Source), upto: u64) {
        let known = self.days.entry(key).or_default();
        *known = upto.max(*known);
    }

    /// Up to where the days of accounts are stored, of all sources together; days as in a view.
    pub(super) fn day_versions(&self) -> BTreeMap<(String, String), u64> {
        let mut versions = BTreeMap::new();
        for ((account, day, _), upto) in &self.days {
            let key = (account.to_string(), from_days(day.0).to_string());
            *versions.entry(key).or_default() += upto;
        }
        versions
    }

    pub(super) fn write_move(&mut self, row: AccountMove) {
        let upto =
            self.moves.entry((row.account, row.source, row.former)).or_insert(row.former_upto);
        *upto = row.former_upto.min(*upto);
    }

    /// What the topics of an account stand at.
    pub(super) fn version(&self, account: &str, topics: &[Topic]) -> Version {
        let of_account = self.progress.iter().filter(|((id, _), _)| id.to_string() == account);
        let told = of_account.flat_map(|((_, source), counted)| {
            topics
                .iter()
                .map(|&topic| (topic, source.to_string(), counted.topics[topic as usize].0))
        });
        told.filter(|(_, _, upto)| *upto > 0).collect()
    }

    /// The latest time that is announced of a topic.
    pub(super) fn latest_ms(&self, account: &str, topic: Topic) -> i64 {
        let of_account = self.progress.iter().filter(|((id, _), _)| id.to_string() == account);
        of_account.map(|(_, counted)| counted.topics[topic as usize].1).max().unwrap_or_default()
    }

    /// Partitions by account.
    pub(super) fn met(&self) -> impl Iterator<Item = (&Id, &Arc<str>)> {
        self.moves
            .keys()
            .filter(|(_, _, former)| former.is_none())
            .map(|(account, source, _)| (account, source))
    }

    /// The moves away from a source.
    pub(super) fn moves_away(&self, from: &Source) -> impl Iterator<Item = AccountMove> {
        let moves = self
            .moves
            .iter()
            .filter(|((_, _, former), _)| former.as_deref() == Some(from.as_str()));
        moves.map(|((account, source, former), former_upto)| AccountMove {
            account: account.clone(),
            source: Arc::clone(source),
            former: former.clone(),
            former_upto: *former_upto,
        })
    }

    /// Accounts that two partitions have counted, neither of them completely before the other one
    /// began.
    pub(super) fn split(&self) -> BTreeSet<String> {
        let mut split = BTreeSet::new();
        for (account, one) in self.progress.keys() {
            for (_, other) in
                self.progress.keys().filter(|(of, other)| of == account && other != one)
            {
                if !self.is_former(account, one, other) && !self.is_former(account, other, one) {
                    split.insert(account.to_string());
                }
            }
        }
        split
    }

    /// True if `former` had counted all of its part of the account when `source` met it, and the
    /// records say the same.
    fn is_former(&self, account: &Id, former: &Source, source: &Source) -> bool {
        let of = |source: &Source| self.progress[&(account.clone(), source.clone())];
        let (before, after) = (of(former), of(source));
        let met_at = self.moves.get(&(account.clone(), source.name(), Some(former.name())));
        let is_sent_before = match (before.last.timestamp_ms, after.first.timestamp_ms) {
            (Some(last_ms), Some(first_ms)) => last_ms < first_ms,
            _ => true,
        };
        is_sent_before && met_at.is_some_and(|upto| before.upto <= *upto)
    }
}
