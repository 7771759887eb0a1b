//! The seats of one user: when each was held and when it was used.

use std::sync::Arc;

use smallvec::SmallVec;

use super::rollup::{SeatFact, SeatFactKind, SeatInterval, SeatOpened};

/// Order of a fact among the facts of its kind: by time, then source, then offset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FactOrder {
    /// Milliseconds since 1970 UTC.
    pub time_ms: i64,
    pub source: Arc<str>,
    pub offset: u64,
}

/// First and last activity in an interval, milliseconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activity {
    pub first_ms: i64,
    pub last_ms: i64,
}

impl Activity {
    /// None yet: the neutral values of minimum and maximum.
    const NONE: Self = Self { first_ms: i64::MAX, last_ms: i64::MIN };
}

/// Change that a fact makes to an interval of its seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntervalChange {
    /// The start of the interval, milliseconds since 1970 UTC.
    pub start_ms: i64,
    /// The fact opens it.
    pub is_opened: bool,
    /// Its new end, if it has changed, milliseconds since 1970 UTC.
    pub end_ms: Option<i64>,
    /// A later assignment is known.
    pub is_superseded: bool,
}

impl IntervalChange {
    /// The row that tells it, where the fact is the one that made the change.
    pub fn of(self, fact: &SeatFact) -> SeatInterval {
        let license_source = fact.license_source.clone().filter(|_| self.is_opened);
        let opened = license_source.map(|license_source| SeatOpened {
            source: Arc::clone(&fact.source),
            offset: fact.offset,
            project: fact.project.clone(),
            license_source,
        });
        SeatInterval {
            account: fact.account.clone(),
            organization: fact.organization.clone(),
            user: fact.user.clone(),
            start_ms: self.start_ms,
            opened,
            end_ms: self.end_ms,
            is_superseded: self.is_superseded,
            first_active_ms: None,
            last_active_ms: None,
        }
    }
}

/// Effect of an activity on a seat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attained {
    /// It is the first of its interval, whether it made it so or was known.
    pub is_first: bool,
    /// It is the last.
    pub is_last: bool,
    /// It changed one of the two.
    pub is_change: bool,
}

#[derive(Clone, Debug)]
struct Fact {
    order: FactOrder,
    kind: SeatFactKind,
    /// The activity in the interval that an `Assigned` opens.
    activity: Activity,
    /// Whether its first and its last time have changed since the last drain.
    untold: (bool, bool),
}

/// One user's seat in one organization: its facts in order, each assignment with the activity of
/// its interval.
///
/// An interval runs from an assignment to the next fact of either kind. Facts that arrive late only
/// ever shorten one, so its activity may reach beyond its end; a reader cuts it there.
#[derive(Clone, Debug)]
pub struct Seat {
    /// The number of the organization in its account.
    pub organization: u32,
    /// Most seats are assigned once and never change.
    facts: SmallVec<[Fact; 1]>,
}

impl Seat {
    /// A seat without facts.
    pub fn new(organization: u32) -> Self {
        Self { organization, facts: SmallVec::new() }
    }

    /// Takes in a fact, and answers what it changes: the interval of the assignment before it, and
    /// its own. `None` if a fact of its kind at its time is known: both are one, the first in the
    /// log.
    pub fn insert(
        &mut self,
        order: FactOrder,
        kind: SeatFactKind,
    ) -> Option<SmallVec<[IntervalChange; 2]>> {
        let known = |fact: &Fact| fact.order.time_ms == order.time_ms && fact.kind == kind;
        if self.facts.iter().any(known) {
            return None;
        }
        let time_ms = order.time_ms;
        let is_assigned = kind == SeatFactKind::Assigned;
        let at = self.facts.partition_point(|fact| fact.order < order);
        self.facts
            .insert(at, Fact { order, kind, activity: Activity::NONE, untold: (false, false) });
        let mut changes = SmallVec::new();
        let opens = |fact: &Fact| fact.kind == SeatFactKind::Assigned;
        if let Some(before) = self.facts[..at].iter().rposition(opens) {
            let end_ms = (before + 1 == at).then_some(time_ms);
            if end_ms.is_some() || is_assigned {
                let start_ms = self.facts[before].order.time_ms;
                changes.push(IntervalChange {
                    start_ms,
                    is_opened: false,
                    end_ms,
                    is_superseded: is_assigned,
                });
            }
        }
        if is_assigned {
            let later = &self.facts[at + 1..];
            let end_ms = later.first().map(|next| next.order.time_ms);
            let is_superseded = later.iter().any(opens);
            changes.push(IntervalChange {
                start_ms: time_ms,
                is_opened: true,
                end_ms,
                is_superseded,
            });
        }
        Some(changes)
    }

    /// Merges stored activity into the interval that starts at `start_ms`, if that interval is
    /// known.
    pub fn restore(&mut self, start_ms: i64, activity: Activity) {
        let opens = |fact: &&mut Fact| {
            fact.kind == SeatFactKind::Assigned && fact.order.time_ms == start_ms
        };
        if let Some(fact) = self.facts.iter_mut().find(opens) {
            fact.activity = activity;
        }
    }

    /// The user was active.
    pub fn record(&mut self, time_ms: i64) -> Attained {
        let after = self.facts.partition_point(|fact| fact.order.time_ms <= time_ms);
        let Some(fact) = after.checked_sub(1).map(|latest| &mut self.facts[latest]) else {
            return Attained::default();
        };
        if fact.kind == SeatFactKind::Revoked {
            return Attained::default();
        }
        let known = fact.activity;
        let widened =
            Activity { first_ms: known.first_ms.min(time_ms), last_ms: known.last_ms.max(time_ms) };
        let (first, last) = (widened.first_ms != known.first_ms, widened.last_ms != known.last_ms);
        fact.activity = widened;
        fact.untold.0 |= first;
        fact.untold.1 |= last;
        Attained {
            is_first: time_ms == widened.first_ms,
            is_last: time_ms == widened.last_ms,
            is_change: first || last,
        }
    }

    /// The (start, activity) of every interval whose activity changed since the last call. If an
    /// interval was returned before, only its changed times are returned again, so that the
    /// earliest time among new rows is the time from which they can change a report. The store
    /// merges the rows by minimum and maximum.
    pub fn take_changed(&mut self) -> impl Iterator<Item = (i64, Activity)> {
        self.facts.iter_mut().filter_map(|fact| {
            let Activity { first_ms, last_ms } = fact.activity;
            let news = match std::mem::take(&mut fact.untold) {
                (false, false) => return None,
                (true, false) => Activity { first_ms, last_ms: first_ms },
                (false, true) => Activity { first_ms: last_ms, last_ms },
                (true, true) => Activity { first_ms, last_ms },
            };
            Some((fact.order.time_ms, news))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::SeatFactKind::{Assigned, Revoked};
    use super::*;

    fn order(time_ms: i64, offset: u64) -> FactOrder {
        FactOrder { time_ms, source: Arc::from("t//0"), offset }
    }

    fn seat(facts: &[(i64, SeatFactKind)]) -> Seat {
        let mut seat = Seat::new(1);
        for (offset, &(time_ms, kind)) in (0u64..).zip(facts) {
            seat.insert(order(time_ms, offset), kind);
        }
        seat
    }

    /// Records activity at each time and lists what changed, as (start, first, last).
    fn check(facts: &[(i64, SeatFactKind)], times: &[i64]) -> Vec<(i64, i64, i64)> {
        let mut seat = seat(facts);
        for &time_ms in times {
            seat.record(time_ms);
        }
        seat.take_changed()
            .map(|(start, activity)| (start, activity.first_ms, activity.last_ms))
            .collect()
    }

    #[test]
    fn activity_falls_into_its_half_open_interval() {
        let facts = [(10, Assigned), (20, Revoked), (30, Assigned)];
        assert_eq!(check(&facts, &[9, 20, 29]), []);
        assert_eq!(check(&facts, &[10, 19, 12]), [(10, 10, 19)]);
        assert_eq!(check(&facts, &[30, 99]), [(30, 30, 99)]);
    }

    #[test]
    fn a_reassignment_opens_a_fresh_interval() {
        assert_eq!(
            check(&[(10, Assigned), (20, Assigned)], &[15, 25]),
            [(10, 15, 15), (20, 25, 25)]
        );
    }

    #[test]
    fn at_one_instant_the_log_order_decides() {
        assert_eq!(check(&[(10, Assigned), (10, Revoked)], &[10, 11]), []);
        assert_eq!(check(&[(10, Revoked), (10, Assigned)], &[10, 11]), [(10, 10, 11)]);
    }

    #[test]
    fn a_redelivered_fact_changes_nothing() {
        let mut seat = seat(&[(10, Assigned), (10, Revoked)]);
        assert_eq!(seat.insert(order(10, 9), Assigned), None);
        assert_eq!(seat.record(11), Attained::default());
    }

    /// Start, opened, end, superseded.
    type Change = (i64, bool, Option<i64>, bool);

    /// The changes of each fact.
    fn changes(facts: &[(i64, SeatFactKind)]) -> Vec<Vec<Change>> {
        let mut seat = Seat::new(1);
        let mut insert = |(offset, &(time_ms, kind)): (u64, &(i64, SeatFactKind))| {
            let changes = seat.insert(order(time_ms, offset), kind).unwrap_or_default();
            let change = |change: &IntervalChange| {
                (change.start_ms, change.is_opened, change.end_ms, change.is_superseded)
            };
            changes.iter().map(change).collect()
        };
        (0u64..).zip(facts).map(&mut insert).collect()
    }

    #[test]
    fn a_fact_ends_the_interval_before_it_and_opens_its_own() {
        assert_eq!(
            changes(&[(10, Assigned), (20, Assigned), (30, Revoked), (40, Assigned)]),
            [
                vec![(10, true, None, false)],
                vec![(10, false, Some(20), true), (20, true, None, false)],
                vec![(20, false, Some(30), false)],
                vec![(20, false, None, true), (40, true, None, false)],
            ]
        );
    }

    #[test]
    fn a_late_fact_shortens_the_interval_it_falls_into() {
        assert_eq!(
            changes(&[(10, Assigned), (50, Revoked), (30, Assigned), (20, Revoked)]),
            [
                vec![(10, true, None, false)],
                vec![(10, false, Some(50), false)],
                vec![(10, false, Some(30), true), (30, true, Some(50), false)],
                vec![(10, false, Some(20), false)],
            ]
        );
        assert_eq!(
            changes(&[(50, Assigned), (10, Assigned), (5, Revoked)]),
            [vec![(50, true, None, false)], vec![(10, true, Some(50), true)], vec![]]
        );
    }

    #[test]
    fn what_changed_is_told_once() {
        let mut seat = seat(&[(10, Assigned)]);
        assert!(seat.record(12).is_change);
        assert!(!seat.record(12).is_change);
        assert_eq!(seat.take_changed().count(), 1);
        assert_eq!(seat.take_changed().count(), 0);
    }

    #[test]
    fn activity_at_a_known_edge_attains_it() {
        let mut seat = seat(&[(10, Assigned)]);
        seat.restore(10, Activity { first_ms: 20, last_ms: 40 });
        let mut attained = |time_ms| {
            let Attained { is_first, is_last, is_change } = seat.record(time_ms);
            (is_first, is_last, is_change)
        };
        assert_eq!(attained(20), (true, false, false));
        assert_eq!(attained(30), (false, false, false));
        assert_eq!(attained(40), (false, true, false));
        assert_eq!(attained(15), (true, false, true));
        assert_eq!(attained(50), (false, true, true));
    }

    #[test]
    fn of_what_was_told_only_the_news_is_told() {
        let mut seat = seat(&[(10, Assigned)]);
        let mut told = |times: &[i64]| {
            times.iter().for_each(|&time_ms| {
                seat.record(time_ms);
            });
            seat.take_changed()
                .map(|(_, activity)| (activity.first_ms, activity.last_ms))
                .collect::<Vec<_>>()
        };
        assert_eq!(told(&[20, 30]), [(20, 30)]);
        assert_eq!(told(&[25]), []);
        assert_eq!(told(&[50, 40]), [(50, 50)]);
        assert_eq!(told(&[15, 17]), [(15, 15)]);
        assert_eq!(told(&[12, 60]), [(12, 60)]);
    }
}
