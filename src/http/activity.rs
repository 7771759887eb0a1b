//! Active users of a range of days that goes on: whoever was active is remembered, and a poll takes in what came since.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashSet;

use super::tree::Tree;
use super::usage::Scope;
use crate::core::calendar::Day;
use crate::report::licenses::ActiveUsers;
use crate::store::Activity;

/// Users in activity that is held back for polls to come, at most, for each account; with more the oldest is dropped.
const RECENT_USERS_MAX: usize = 50_000;
/// Users that are remembered, at most, over all ranges of days; with more all of them are dropped.
const REMEMBERED_MAX: usize = 4_000_000;

/// What was counted lately, of an account that is followed.
#[derive(Debug, Default)]
pub(super) struct RecentActivity {
    /// What came before this version is not among it.
    known_since: u64,
    news: VecDeque<(u64, Arc<Activity>)>,
    users: usize,
}

impl RecentActivity {
    /// Nothing has come since that version.
    pub(super) fn since(version: u64) -> Self {
        Self { known_since: version, ..Self::default() }
    }

    /// The version saw this for the first time.
    pub(super) fn record(&mut self, version: u64, activity: Vec<Activity>) {
        for activity in activity {
            self.users += activity.users.len();
            self.news.push_back((version, Arc::new(activity)));
        }
        while self.users > RECENT_USERS_MAX
            && let Some((dropped, activity)) = self.news.pop_front()
        {
            self.users -= activity.users.len();
            self.known_since = dropped;
        }
    }

    /// What came after that version; `None` where it is not known any more.
    pub(super) fn after(&self, version: u64) -> Option<Vec<Arc<Activity>>> {
        let news = || self.news.iter().filter(|(came, _)| *came > version).map(|(_, activity)| Arc::clone(activity));
        (version >= self.known_since).then(|| news().collect())
    }
}

/// The users of a range of days, for each series.
#[derive(Debug, Default)]
pub(super) struct RangeUsers {
    /// All that came up to this version is in it.
    pub(super) version: u64,
    series: Vec<SeriesUsers>,
    /// The days whose users are remembered one by one.
    days: BTreeSet<Day>,
}

#[derive(Debug, Default)]
struct SeriesUsers {
    users: HashSet<u64>,
    /// How many there were on each day.
    daily: BTreeMap<Day, u64>,
    days: HashMap<Day, HashSet<u64>>,
}

impl RangeUsers {
    /// What was read after the version, by day; the last day is one to which more may come.
    pub(super) fn of(version: u64, tree: &Tree, activity: &[Activity], last_day: Day) -> Self {
        let series = tree.series.iter().map(|_| SeriesUsers::default()).collect();
        let mut range = Self { version, series, days: BTreeSet::new() };
        for of_day in activity.chunk_by(|one, next| one.day == next.day) {
            range.set_day(tree, of_day[0].day, of_day);
            range.forget_days_but(last_day);
        }
        range.days.insert(last_day);
        range
    }

    /// Days of the activity whose users are not remembered one by one.
    pub(super) fn days_missing(&self, activity: &[Arc<Activity>]) -> BTreeSet<Day> {
        activity.iter().map(|activity| activity.day).filter(|day| !self.days.contains(day)).collect()
    }

    /// Takes in all who were active on a day.
    pub(super) fn set_day(&mut self, tree: &Tree, day: Day, activity: &[Activity]) {
        self.days.insert(day);
        for activity in activity.iter().filter(|activity| activity.day == day) {
            self.add(tree, activity);
        }
    }

    /// Takes in who was active on a day whose users are remembered.
    pub(super) fn add(&mut self, tree: &Tree, activity: &Activity) {
        for &index in tree.series_of(&activity.organization) {
            let series = &mut self.series[index];
            series.users.extend(&activity.users);
            let of_day = series.days.entry(activity.day).or_default();
            of_day.extend(&activity.users);
            series.daily.insert(activity.day, of_day.len() as u64);
        }
    }

    fn forget_days_but(&mut self, last_day: Day) {
        self.days.retain(|day| *day == last_day);
        for series in &mut self.series {
            series.days.retain(|day, _| *day == last_day);
        }
    }

    /// The figures of each series that has any.
    pub(super) fn rows(&self, tree: &Tree, first_day: Day) -> Vec<(String, ActiveUsers)> {
        let rows = tree.series.iter().zip(&self.series).filter(|(_, series)| !series.users.is_empty());
        let rows = rows.map(|(id, series)| {
            let users = ActiveUsers {
                first_day,
                active_users: series.users.len() as u64,
                peak_daily: series.daily.values().copied().max().unwrap_or_default(),
                user_days: series.daily.values().sum(),
            };
            (id.clone(), users)
        });
        rows.collect()
    }

    fn size(&self) -> usize {
        let of = |series: &SeriesUsers| series.users.len() + series.days.values().map(HashSet::len).sum::<usize>();
        self.series.iter().map(of).sum()
    }
}

/// Whose users, and first and last day.
type Range = (Scope, (Day, Day));

/// The ranges of days that are remembered.
#[derive(Default)]
pub(super) struct RangeCache {
    ranges: Mutex<HashMap<Range, RangeUsers>>,
}

impl RangeCache {
    /// Takes a range out. Whoever takes it puts it back; meanwhile others read theirs.
    pub(super) fn take(&self, scope: &Scope, days: (Day, Day)) -> Option<RangeUsers> {
        self.ranges.lock().unwrap_or_else(PoisonError::into_inner).remove(&(scope.clone(), days))
    }

    /// Puts a range in.
    pub(super) fn put(&self, scope: &Scope, days: (Day, Day), range: RangeUsers) {
        let mut ranges = self.ranges.lock().unwrap_or_else(PoisonError::into_inner);
        if ranges.values().map(RangeUsers::size).sum::<usize>() + range.size() > REMEMBERED_MAX {
            ranges.clear();
        }
        ranges.insert((scope.clone(), days), range);
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn arbitrary(random: &mut ChaCha8Rng) -> Activity {
        Activity {
            organization: format!("o{}", random.random_range(0..5)),
            day: Day(random.random_range(0..4)),
            users: (0..random.random_range(0..4)).map(|_| random.random_range(0..20)).collect(),
        }
    }

    /// Organization 0 is in the first series, 1 in both, 2 and 3 in the second, 4 in none.
    fn tree() -> Tree {
        Tree::of(&["a", "b"], &[("o0", "a"), ("o1", "a"), ("o1", "b"), ("o2", "b"), ("o3", "b")])
    }

    fn naive(tree: &Tree, log: &[Activity]) -> Vec<(String, ActiveUsers)> {
        let series = tree.series.iter().enumerate().map(|(index, id)| {
            let mut days: BTreeMap<Day, BTreeSet<u64>> = BTreeMap::new();
            for activity in log.iter().filter(|activity| tree.series_of(&activity.organization).contains(&index)) {
                days.entry(activity.day).or_default().extend(&activity.users);
            }
            let users: BTreeSet<u64> = days.values().flatten().copied().collect();
            let figures = ActiveUsers {
                first_day: Day(0),
                active_users: users.len() as u64,
                peak_daily: days.values().map(|users| users.len() as u64).max().unwrap_or_default(),
                user_days: days.values().map(|users| users.len() as u64).sum(),
            };
            (id.clone(), figures)
        });
        series.filter(|(_, figures)| figures.active_users > 0).collect()
    }

    #[test]
    fn what_comes_later_adds_up_to_what_is_read_at_once() {
        for seed in 0..300 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let tree = tree();
            let mut log: Vec<Activity> = (0..random.random_range(0..8)).map(|_| arbitrary(&mut random)).collect();
            log.sort_by_key(|activity| activity.day);
            let mut range = RangeUsers::of(0, &tree, &log, Day(3));
            assert_eq!(range.rows(&tree, Day(0)), naive(&tree, &log), "seed {seed}");
            for _ in 0..4 {
                let news: Vec<Arc<Activity>> = (0..3).map(|_| Arc::new(arbitrary(&mut random))).collect();
                log.extend(news.iter().map(|news| Activity::clone(news)));
                for day in range.days_missing(&news) {
                    let of_day: Vec<Activity> = log.iter().filter(|activity| activity.day == day).cloned().collect();
                    range.set_day(&tree, day, &of_day);
                }
                // Some of it is read twice.
                news.iter().chain(&news[..1]).for_each(|news| range.add(&tree, news));
                assert_eq!(range.rows(&tree, Day(0)), naive(&tree, &log), "seed {seed}");
            }
        }
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let of = |users: usize| vec![Activity { organization: "o".to_owned(), day: Day(1), users: vec![7; users] }];
        let mut recent = RecentActivity::since(3);
        recent.record(4, of(1));
        recent.record(6, of(2));
        let told = |recent: &RecentActivity, version| recent.after(version).map(|news| news.len());
        assert_eq!([2, 3, 4, 5, 6].map(|version| told(&recent, version)), [None, Some(2), Some(1), Some(1), Some(0)]);
        recent.record(7, of(RECENT_USERS_MAX - 1));
        assert_eq!([3, 4, 5, 6, 7].map(|version| told(&recent, version)), [None, None, None, Some(1), Some(0)]);
    }
}
