//! Active users of a range of days that goes on: whoever was active is remembered, and a poll takes in what came since.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;
use roaring::RoaringBitmap;

use super::tree::Tree;
use super::usage::Scope;
use crate::core::calendar::Day;
use crate::report::licenses::ActiveUsers;
use crate::store::Activity;

/// Users in activity that is held back for polls to come, at most, for each account; with more the oldest is dropped.
const RECENT_USERS_MAX: usize = 50_000;
/// Bytes of the users that are remembered, about, over all ranges of days; with more all of them are dropped.
const REMEMBERED_BYTES_MAX: usize = 64 << 20;

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
    /// Users, days and users of each day, over all series.
    users: usize,
    days: usize,
    user_days: u64,
}

#[derive(Debug, Default)]
struct SeriesUsers {
    /// Users by key, numbered as they come: numbers fit well into bitmaps, and keys, which may be hashes, do not.
    numbers: HashMap<u64, u32>,
    /// The numbers of the users of each day.
    days: BTreeMap<Day, RoaringBitmap>,
}

impl RangeUsers {
    /// Nobody yet, for what is read after the version.
    pub(super) fn since(version: u64, tree: &Tree) -> Self {
        let series = tree.series.iter().map(|_| SeriesUsers::default()).collect();
        Self { version, series, ..Self::default() }
    }

    /// Takes in who was active on a day. Whoever is there already changes nothing.
    pub(super) fn add(&mut self, tree: &Tree, activity: &Activity) {
        for &index in tree.series_of(&activity.organization) {
            let SeriesUsers { numbers, days } = &mut self.series[index];
            let (users_before, days_before) = (numbers.len(), days.len());
            let of_day = days.entry(activity.day).or_default();
            for &user in &activity.users {
                let next = u32::try_from(numbers.len()).expect("so many users do not fit into memory");
                let number = *numbers.entry(user).or_insert(next);
                self.user_days += u64::from(of_day.insert(number));
            }
            self.users += numbers.len() - users_before;
            self.days += days.len() - days_before;
        }
    }

    /// How many users were active, over all days and series.
    pub(super) fn user_days(&self) -> u64 {
        self.user_days
    }

    /// The figures of each series that has any.
    pub(super) fn rows(&self, tree: &Tree, first_day: Day) -> Vec<(String, ActiveUsers)> {
        let rows = tree.series.iter().zip(&self.series).filter(|(_, series)| !series.numbers.is_empty());
        let rows = rows.map(|(id, series)| {
            let users = ActiveUsers {
                first_day,
                active_users: series.numbers.len() as u64,
                peak_daily: series.days.values().map(RoaringBitmap::len).max().unwrap_or_default(),
                user_days: series.days.values().map(RoaringBitmap::len).sum(),
            };
            (id.clone(), users)
        });
        rows.collect()
    }

    /// What it takes in memory, about: a number takes two bytes in a bitmap, or less where many are near it.
    fn bytes(&self) -> usize {
        const USER_BYTES: usize = 32;
        const DAY_BYTES: usize = 128;
        const USER_DAY_BYTES: usize = 2;
        let user_days = usize::try_from(self.user_days).unwrap_or(usize::MAX);
        self.users * USER_BYTES + self.days * DAY_BYTES + user_days.saturating_mul(USER_DAY_BYTES)
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
    /// Takes a range out, or, where it is not there, the longest one that begins with it; and the last day of what is
    /// taken. Whoever takes it puts it back; meanwhile others read theirs.
    pub(super) fn take(&self, scope: &Scope, (first_day, last_day): (Day, Day)) -> Option<(RangeUsers, Day)> {
        let mut ranges = self.ranges.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = |range: &&Range| range.0 == *scope && range.1.0 == first_day && range.1.1 <= last_day;
        let longest = ranges.keys().filter(begins).max_by_key(|range| range.1.1)?.clone();
        let range = ranges.remove(&longest)?;
        Some((range, longest.1.1))
    }

    /// Puts a range in.
    pub(super) fn put(&self, scope: &Scope, days: (Day, Day), range: RangeUsers) {
        let mut ranges = self.ranges.lock().unwrap_or_else(PoisonError::into_inner);
        if ranges.values().map(RangeUsers::bytes).sum::<usize>() + range.bytes() > REMEMBERED_BYTES_MAX {
            ranges.clear();
        }
        ranges.insert((scope.clone(), days), range);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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
            let mut range = RangeUsers::since(0, &tree);
            log.iter().for_each(|activity| range.add(&tree, activity));
            assert_eq!(range.rows(&tree, Day(0)), naive(&tree, &log), "seed {seed}");
            for _ in 0..4 {
                let news: Vec<Activity> = (0..3).map(|_| arbitrary(&mut random)).collect();
                // Some of it is read twice.
                news.iter().chain(&news[..1]).for_each(|news| range.add(&tree, news));
                log.extend(news);
                let rows = naive(&tree, &log);
                assert_eq!(range.rows(&tree, Day(0)), rows, "seed {seed}");
                assert_eq!(range.user_days(), rows.iter().map(|(_, row)| row.user_days).sum::<u64>(), "seed {seed}");
            }
        }
    }

    #[test]
    fn a_range_goes_on_from_the_longest_that_begins_with_it() {
        let cache = RangeCache::default();
        let scope = |account: &str| {
            let account = account.to_owned();
            Scope { account, organization: None, by_organization: true, tree: None }
        };
        let put = |account, first, last, version| {
            let range = RangeUsers { version, ..RangeUsers::default() };
            cache.put(&scope(account), (Day(first), Day(last)), range);
        };
        let taken = |first, last| {
            cache.take(&scope("a"), (Day(first), Day(last))).map(|(range, last_day)| (range.version, last_day.0))
        };
        put("a", 10, 14, 1);
        put("a", 10, 16, 2);
        put("a", 10, 19, 3);
        put("a", 11, 17, 4);
        put("b", 10, 17, 5);
        assert_eq!(taken(10, 17), Some((2, 16)), "the others are longer, begin on another day, or are of others");
        assert_eq!(taken(10, 17), Some((1, 14)));
        assert_eq!(taken(10, 17), None);
        assert_eq!(taken(10, 19), Some((3, 19)));
        assert_eq!(taken(11, 17), Some((4, 17)));
    }

    #[test]
    fn ranges_that_are_too_large_make_room() {
        let cache = RangeCache::default();
        let scope = |account: &str| {
            let account = account.to_owned();
            Scope { account, organization: None, by_organization: true, tree: None }
        };
        let days = (Day(1), Day(2));
        let half = || RangeUsers { user_days: REMEMBERED_BYTES_MAX as u64 / 4, ..RangeUsers::default() };
        cache.put(&scope("a"), days, half());
        cache.put(&scope("b"), days, half());
        assert_eq!(cache.ranges.lock().unwrap().len(), 2);
        cache.put(&scope("c"), days, RangeUsers { users: 1, ..RangeUsers::default() });
        assert_eq!(cache.ranges.lock().unwrap().keys().map(|range| range.0.account.clone()).collect::<Vec<_>>(), ["c"]);
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
