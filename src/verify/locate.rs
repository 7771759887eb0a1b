//! The first offset that matters to a difference: found by folding its account once more, record by
//! record.

use hashbrown::HashMap;

use super::difference::RowDifference;
use super::rows;
use super::value::Value;
use crate::core::decode::decode;
use crate::core::event::{Decoded, EventKind, Record};
use crate::core::id::{IdRef, UserKeySeed};
use crate::core::rollup::LaneRows;
use crate::store::Compared;

/// Differences whose offsets are looked for.
#[derive(Debug)]
pub struct Locator {
    seed: UserKeySeed,
    wanted: HashMap<(Compared, Box<str>), Trace>,
}

/// What the log says about one row, so far.
#[derive(Debug)]
struct Trace {
    value: Option<Value>,
    found: Option<Value>,
    /// Where the log said more than was found, for the first time.
    exceeded: Option<(u32, u64)>,
    /// Where it said anything last.
    last: Option<(u32, u64)>,
    /// Users that are missing or too many, by key; those that the log has named.
    users: HashMap<u64, Option<String>>,
}

impl Locator {
    /// Looks for the offsets of these differences.
    pub fn new(differences: &[RowDifference], seed: UserKeySeed) -> Self {
        let trace = |difference: &RowDifference| {
            let keys = difference.differing_users();
            let trace = Trace {
                value: None,
                found: difference.found.clone(),
                exceeded: None,
                last: None,
                users: keys.into_iter().map(|key| (key, None)).collect(),
            };
            ((difference.table, difference.key.clone()), trace)
        };
        Self { seed, wanted: differences.iter().map(trace).collect() }
    }

    /// Takes in a record, and the rows that it made.
    pub fn see(&mut self, record: &Record<'_>, rows: &LaneRows) {
        let place = (rows.source.partition(), record.offset);
        let mut named = None;
        rows::each(rows, |table, key, value| {
            let Some(trace) = self.wanted.get_mut(&(table, key.into())) else { return };
            trace.last = Some(place);
            match &mut trace.value {
                Some(known) => {
                    known.join(value);
                }
                None => trace.value = Some(value),
            }
            let Some(known) = &mut trace.value else { return };
            known.settle();
            let is_within = trace.found.as_ref().is_some_and(|found| known.is_within(found));
            if !is_within && trace.exceeded.is_none() {
                trace.exceeded = Some(place);
            }
            if !trace.users.is_empty() {
                let (id, key) = named.get_or_insert_with(|| user_of(record, self.seed));
                if let Some(name) = trace.users.get_mut(key) {
                    *name = Some(id.clone());
                }
            }
        });
    }

    /// Writes into the differences what was found.
    pub fn tell(mut self, differences: &mut [RowDifference]) {
        for difference in differences {
            let place = (difference.table, difference.key.clone());
            let Some(trace) = self.wanted.remove(&place) else { continue };
            difference.first = trace.exceeded.or(trace.last);
            let named = trace.users.into_iter().filter_map(|(key, name)| Some((key, name?)));
            difference.names = named.collect();
        }
    }
}

/// The user of an event, and its key; empty where it has none.
fn user_of(record: &Record<'_>, seed: UserKeySeed) -> (String, u64) {
    let user_of = |user: &IdRef<'_>| (user.to_string(), user.user_key(seed));
    let none = (String::new(), 0);
    let Decoded::Event(event) = decode(record) else { return none };
    match &event.kind {
        EventKind::Activity { user, .. } => user_of(user),
        EventKind::TestExecuted(test) => test.user.as_ref().map_or(none, user_of),
        _ => none,
    }
}
