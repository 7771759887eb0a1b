//! Seats as they stood at instants of the past: they change only when something is counted late, so they are kept, and a
//! poll asks for what has changed since the latest of them.
//!
//! Kept seats of an instant hold until a row comes in that changes seats from an earlier time on, whichever process
//! writes it. What comes in while a report is read is noticed by reading the version again: a report is made of seats
//! that stood so at one moment, or it is made anew.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::making::Making;
use super::poll::ReportKind;
use super::problem::Problem;
use super::state::ApiState;
use super::tree::Tree;
use super::usage::Scope;
use crate::report::licenses::SeatCounts;
use crate::store::SeatChange;

/// Seats that are kept, at most, over all instants and organizations; with more all of them are dropped.
const KEPT_MAX: usize = 1_000_000;
/// Seats of one report that are kept, at most.
const REPORT_MAX: usize = 250_000;
/// Instants of a scope that are kept, at most; with more those that the last question needed stay.
const INSTANTS_MAX: usize = 4_000;
/// Times of changes that are told apart for an account, at most.
const STEPS_MAX: usize = 16;
/// Besides what a report shows, instants about so long ago are read and kept, milliseconds: events come in late by
/// seconds all the time, by minutes or hours now and then, and the next poll needs one that they did not reach.
const LAGS_MS: [i64; 5] = [2_000, 10_000, 60_000, 600_000, 3_600_000];

/// From when on the seats of an account have changed, by the version that saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SeatChanges {
    /// Of what was read before this version nothing is known.
    known_since: u64,
    /// Versions and the earliest time that changed after the version before; both ascending.
    steps: Vec<(u64, i64)>,
}

impl SeatChanges {
    /// Nothing has changed since that version.
    pub(super) fn since(version: u64) -> Self {
        Self { known_since: version, steps: Vec::new() }
    }

    /// The version saw rows that change seats from that time on, milliseconds since 1970 UTC.
    pub(super) fn record(&mut self, version: u64, earliest_ms: i64) {
        while self.steps.last().is_some_and(|&(_, earlier_ms)| earlier_ms >= earliest_ms) {
            self.steps.pop();
        }
        self.steps.push((version, earliest_ms));
        if self.steps.len() > STEPS_MAX {
            // The two oldest become one, of the later version and the earlier time.
            let (_, earliest_ms) = self.steps.remove(0);
            self.steps[0].1 = earliest_ms;
        }
    }

    /// Seats that were read at that version stand so still at instants up to this one, milliseconds since 1970 UTC.
    pub(super) fn hold_until_ms(&self, version: u64) -> i64 {
        if version < self.known_since {
            return i64::MIN;
        }
        self.steps.iter().find(|(later, _)| *later > version).map_or(i64::MAX, |&(_, earliest_ms)| earliest_ms)
    }
}

/// Seats as they stood at an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seats {
    pub(super) purchased: u64,
    pub(super) assigned: u64,
    pub(super) activated: u64,
}

/// By instant, one for each series.
type ByInstant = BTreeMap<i64, Arc<[Seats]>>;

/// What is kept.
#[derive(Default)]
pub(super) struct SeatsCache {
    kept: Mutex<KeptSeats>,
}

#[derive(Default)]
struct KeptSeats {
    scopes: HashMap<Scope, BTreeMap<i64, Kept>>,
    count: usize,
}

struct Kept {
    /// They were read after this version.
    version: u64,
    /// No report has shown them: they are for the next poll.
    is_passing: bool,
    seats: Arc<[Seats]>,
}

impl SeatsCache {
    /// What still holds.
    fn get(&self, scope: &Scope, changes: &SeatChanges) -> ByInstant {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let instants = kept.scopes.get(scope).into_iter().flatten();
        let holding = instants.filter(|&(&edge_ms, kept)| edge_ms <= changes.hold_until_ms(kept.version));
        holding.map(|(&edge_ms, kept)| (edge_ms, Arc::clone(&kept.seats))).collect()
    }

    /// Keeps what was read after the version, of the instants that a report shows and of passing ones.
    fn keep(&self, scope: &Scope, version: u64, read: ByInstant, shown: &BTreeSet<i64>, passing: &BTreeSet<i64>) {
        let Some(series) = read.values().next().map(|seats| seats.len()) else { return };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.count + series * read.len() > KEPT_MAX {
            *kept = KeptSeats::default();
        }
        let instants = kept.scopes.entry(scope.clone()).or_default();
        let before = instants.len();
        for (edge_ms, seats) in read {
            if instants.get(&edge_ms).is_none_or(|other| other.version <= version) {
                instants.insert(edge_ms, Kept { version, is_passing: !shown.contains(&edge_ms), seats });
            }
        }
        let is_full = instants.len() > INSTANTS_MAX;
        instants.retain(|edge_ms, kept| {
            passing.contains(edge_ms) || shown.contains(edge_ms) || !(kept.is_passing || is_full)
        });
        let after = instants.len();
        kept.count = kept.count + series * after - series * before;
    }
}

impl ApiState {
    /// Seats as they stood at each of the instants (milliseconds since 1970 UTC), of the series of the tree one by one; of
    /// the whole account, which has no tree here, together.
    pub(super) async fn seats(
        &self,
        scope: &Scope,
        tree: Option<&Tree>,
        edges_ms: &[i64],
        making: &Making,
    ) -> Result<ByInstant, Problem> {
        let wanted: BTreeSet<i64> = edges_ms.iter().copied().collect();
        let Some(version) = making.version() else { return self.read_seats(scope, tree, &wanted).await };
        let changes = self.polls().seat_changes(&scope.account).await;
        let mut seats = self.polls().seats.get(scope, &changes);
        let Some(&first_missing_ms) = wanted.iter().find(|edge_ms| !seats.contains_key(edge_ms)) else {
            seats.retain(|edge_ms, _| wanted.contains(edge_ms));
            return Ok(seats);
        };
        let since = seats.range(..=first_missing_ms).next_back().map(|(&edge_ms, seats)| (edge_ms, Arc::clone(seats)));
        let since_ms = since.as_ref().map_or(i64::MIN, |&(since_ms, _)| since_ms);
        seats.retain(|edge_ms, _| wanted.contains(edge_ms));
        let used_until_ms = seats.keys().next_back().copied().unwrap_or(since_ms).max(since_ms);
        let passing: BTreeSet<i64> = LAGS_MS.iter().map(|lag_ms| (making.now_ms - lag_ms) / lag_ms * lag_ms).collect();
        let all = wanted.union(&passing).copied();
        let asked: BTreeSet<i64> = all.filter(|edge_ms| *edge_ms > since_ms && !seats.contains_key(edge_ms)).collect();
        let read = match since {
            Some((since_ms, start)) => self.read_changes(scope, tree, &asked, since_ms, &start).await?,
            None => self.read_seats(scope, tree, &asked).await?,
        };

        let now = self.polls().version(self.store(), &scope.account, ReportKind::History).await;
        let changes = self.polls().seat_changes(&scope.account).await;
        let is_untouched_tree = tree.is_none() || now.is_some_and(|now| now.directory == version.directory);
        let is_same_tree = is_untouched_tree || self.is_still_the_tree(scope).await?;
        if now.is_none() || !is_same_tree || changes.hold_until_ms(version.report) < used_until_ms {
            // What was kept and what was read do not go together; what is read at once does.
            return self.read_seats(scope, tree, &wanted).await;
        }
        let shown = read.iter().filter(|(edge_ms, _)| wanted.contains(edge_ms));
        seats.extend(shown.map(|(edge_ms, seats)| (*edge_ms, Arc::clone(seats))));
        if is_untouched_tree && series_of(tree).len() * read.len() <= REPORT_MAX {
            let past = read.into_iter().filter(|(edge_ms, _)| *edge_ms <= making.now_ms).collect();
            self.polls().seats.keep(scope, version.report, past, &wanted, &passing);
        }
        Ok(seats)
    }

    /// Reads seats from the first fact on.
    async fn read_seats(
        &self,
        scope: &Scope,
        tree: Option<&Tree>,
        edges_ms: &BTreeSet<i64>,
    ) -> Result<ByInstant, Problem> {
        let (account, organization) = (scope.account.as_str(), scope.organization.as_deref());
        let edges_ms: Vec<i64> = edges_ms.iter().copied().collect();
        if !scope.by_organization {
            let counts = self.store().license_history(account, organization, &edges_ms).await?;
            return Ok(counts.into_iter().map(|count| (count.edge_ms, Arc::from([Seats::from(count)]))).collect());
        }
        let series = series_of(tree);
        let mut seats: BTreeMap<i64, Vec<Seats>> =
            edges_ms.iter().map(|edge_ms| (*edge_ms, vec![Seats::default(); series.len()])).collect();
        for (organization, edge_ms, assigned) in
            self.store().seats_by_organization(account, organization, &edges_ms).await?
        {
            // One that is not among the series came to the tree meanwhile.
            if let (Some(seats), Ok(index)) = (seats.get_mut(&edge_ms), series.binary_search(&organization)) {
                seats[index].assigned = assigned;
            }
        }
        Ok(seats.into_iter().map(|(edge_ms, seats)| (edge_ms, Arc::from(seats))).collect())
    }

    /// Reads what changed since an instant at which the seats are known.
    async fn read_changes(
        &self,
        scope: &Scope,
        tree: Option<&Tree>,
        edges_ms: &BTreeSet<i64>,
        since_ms: i64,
        start: &[Seats],
    ) -> Result<ByInstant, Problem> {
        let (account, organization) = (scope.account.as_str(), scope.organization.as_deref());
        let edges_ms: Vec<i64> = edges_ms.iter().copied().collect();
        let purchases = async {
            match scope.by_organization {
                true => Ok(HashMap::new()),
                false => self.store().seats_purchased(account, organization, &edges_ms).await,
            }
        };
        let (changes, purchases) = tokio::try_join!(self.store().seat_changes(account, since_ms), purchases)?;
        Ok(added_up(start, tree, &edges_ms, &changes, &purchases))
    }
}

/// The ids of the series.
fn series_of(tree: Option<&Tree>) -> &[String] {
    const TOGETHER: &[String] = &[String::new()];
    tree.map_or(TOGETHER, |tree| &tree.series)
}

/// Adds the changes up, each to the first of the ascending instants after it and to all later ones.
fn added_up(
    start: &[Seats],
    tree: Option<&Tree>,
    edges_ms: &[i64],
    changes: &[SeatChange],
    purchases: &HashMap<i64, u64>,
) -> ByInstant {
    let mut sums: Vec<HashMap<usize, (i64, i64)>> = vec![HashMap::new(); edges_ms.len()];
    for change in changes {
        let after = edges_ms.partition_point(|edge_ms| *edge_ms <= change.time_ms);
        let Some(sums) = sums.get_mut(after) else { continue };
        for &series in tree.map_or(&[0][..], |tree| tree.series_of(&change.organization)) {
            let sum = sums.entry(series).or_default();
            sum.0 += i64::from(change.assigned);
            sum.1 += i64::from(change.activated);
        }
    }
    let mut seats = start.to_vec();
    let instants = edges_ms.iter().zip(sums).map(|(edge_ms, sums)| {
        for (series, (assigned, activated)) in sums {
            // A sum that is less than nothing was read while something came in, and is not used.
            seats[series].assigned = seats[series].assigned.saturating_add_signed(assigned);
            seats[series].activated = seats[series].activated.saturating_add_signed(activated);
        }
        if let Some(purchased) = purchases.get(edge_ms) {
            seats[0].purchased = *purchased;
        }
        (*edge_ms, Arc::from(seats.as_slice()))
    });
    instants.collect()
}

impl From<SeatCounts> for Seats {
    fn from(count: SeatCounts) -> Self {
        Self { purchased: count.purchased, assigned: count.assigned, activated: count.activated }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_hold_until_what_changed_later() {
        let mut changes = SeatChanges::since(3);
        assert_eq!(changes.hold_until_ms(2), i64::MIN, "nothing is known of before");
        assert_eq!(changes.hold_until_ms(3), i64::MAX);
        changes.record(5, 500);
        changes.record(7, 700);
        let held = |changes: &SeatChanges| [3, 4, 5, 6, 7].map(|version| changes.hold_until_ms(version));
        assert_eq!(held(&changes), [500, 500, 700, 700, i64::MAX]);
        changes.record(8, 600);
        assert_eq!(held(&changes), [500, 500, 600, 600, 600]);
        assert_eq!(changes.hold_until_ms(8), i64::MAX);
        changes.record(9, 100);
        assert_eq!(held(&changes), [100; 5]);
    }

    #[test]
    fn old_steps_become_one_and_promise_no_more() {
        let mut changes = SeatChanges::since(0);
        let mut exact = Vec::new();
        for version in 1..100_u64 {
            let earliest_ms = i64::try_from(version * 10).unwrap();
            changes.record(version, earliest_ms);
            exact.push((version, earliest_ms));
        }
        assert_eq!(changes.steps.len(), STEPS_MAX);
        for version in 0..=100 {
            let truth = exact.iter().filter(|(later, _)| *later > version).map(|(_, ms)| *ms).min();
            assert!(changes.hold_until_ms(version) <= truth.unwrap_or(i64::MAX), "{version}");
        }
        assert_eq!(changes.hold_until_ms(98), 990);
        assert_eq!(changes.hold_until_ms(99), i64::MAX);
    }

    fn scope() -> Scope {
        Scope { account: "a".to_owned(), organization: None, by_organization: false, tree: None }
    }

    fn instants(edges_ms: &[i64]) -> (ByInstant, BTreeSet<i64>) {
        let seats = edges_ms.iter().map(|&edge_ms| (edge_ms, Arc::from([Seats::default()])));
        (seats.collect(), edges_ms.iter().copied().collect())
    }

    #[test]
    fn instants_are_kept_until_something_earlier_changes() {
        let cache = SeatsCache::default();
        let (read, shown) = instants(&[10, 20, 30]);
        cache.keep(&scope(), 5, read, &shown, &BTreeSet::new());
        let holding = |changes: &SeatChanges| cache.get(&scope(), changes).into_keys().collect::<Vec<_>>();
        let mut changes = SeatChanges::since(5);
        assert_eq!(holding(&changes), [10, 20, 30]);
        changes.record(6, 20);
        assert_eq!(holding(&changes), [10, 20], "what happens at an instant is not before it");
        assert!(holding(&SeatChanges::since(6)).is_empty());
        let other = Scope { by_organization: true, ..scope() };
        assert!(cache.get(&other, &SeatChanges::since(5)).is_empty());
    }

    #[test]
    fn passing_instants_stay_for_the_next_question_alone() {
        let cache = SeatsCache::default();
        let keep = |shown: &[i64], passing: &[i64]| {
            let (read, _) = instants(&[shown, passing].concat());
            let of = |edges_ms: &[i64]| edges_ms.iter().copied().collect::<BTreeSet<i64>>();
            cache.keep(&scope(), 1, read, &of(shown), &of(passing));
        };
        keep(&[10], &[11, 12]);
        keep(&[20], &[12, 21]);
        let kept: Vec<i64> = cache.get(&scope(), &SeatChanges::since(1)).into_keys().collect();
        assert_eq!(kept, [10, 12, 20, 21]);
        assert_eq!(cache.kept.lock().unwrap().count, 4);
    }

    #[test]
    fn changes_add_up_from_instant_to_instant() {
        let change = |time_ms, assigned| SeatChange { organization: "o".to_owned(), time_ms, assigned, activated: 0 };
        let start = [Seats { purchased: 1, assigned: 5, activated: 3 }];
        let changes = [change(9, 1), change(10, 1), change(25, -1), change(30, -1)];
        let sums = added_up(&start, None, &[10, 20, 30], &changes, &HashMap::from([(20, 7), (30, 8)]));
        let shown: Vec<_> = sums.values().map(|seats| (seats[0].purchased, seats[0].assigned)).collect();
        assert_eq!(shown, [(1, 6), (7, 7), (8, 6)], "what happens at an instant is not before it");
    }
}
