//! Active users of buckets: those of buckets that are over change only when activity of one of their days is counted late, so
//! they are kept; of one that goes on the users are remembered, and a poll takes in what came since.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::activity::RangeUsers;
use super::problem::Problem;
use super::state::ApiState;
use super::tracked::Version;
use super::tree::Tree;
use crate::core::calendar::Day;
use crate::report::licenses::ActiveUsers;
use crate::report::period::DayRanges;
use crate::store::TreeHash;

/// Rows that are kept, at most; with more all of them are dropped.
const ROWS_MAX: usize = 1_000_000;
/// Rows of one report that are kept, at most.
const REPORT_ROWS_MAX: usize = 100_000;

/// A bucket that goes on is remembered by its users if it has at most so many, over all its days.
const REMEMBERED_USER_DAYS_MAX: u64 = 8_000_000;
/// If more buckets than that have changed, those that are over are read together.
const REMEMBERED_BUCKETS_MAX: usize = 2;
/// Organizations that are named one by one when users are read, at most; of more all of the account's are read. Their ids,
/// of up to 64 bytes each, have to fit into one parameter of a query.
const ORGANIZATIONS_NAMED_MAX: usize = 500;

/// Whose users are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    pub(super) account: String,
    /// With all below it; `None` is the whole account.
    pub(super) organization: Option<String>,
    /// One series for each direct child of it.
    pub(super) by_organization: bool,
    /// Of the account; `None` where the scope does not depend on it.
    pub(super) tree: Option<TreeHash>,
}

/// Active users, each with the organization of its series; without series it is empty.
type Rows = Vec<(String, ActiveUsers)>;

/// By first and last day: the version before which the rows were not read, and the rows.
type KeptBuckets = HashMap<(Day, Day), (u64, Arc<Rows>)>;

/// What is kept.
#[derive(Default)]
pub(super) struct UsageCache {
    buckets: Mutex<Buckets>,
}

#[derive(Default)]
struct Buckets {
    scopes: HashMap<Scope, KeptBuckets>,
    rows: usize,
}

impl UsageCache {
    fn get(&self, scope: &Scope, bucket: (Day, Day), since: u64) -> Option<Arc<Rows>> {
        let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let (version, rows) = buckets.scopes.get(scope)?.get(&bucket)?;
        (*version >= since).then(|| Arc::clone(rows))
    }

    /// How many users were active, over all days of the bucket, as far as it was ever read.
    fn user_days(&self, scope: &Scope, bucket: (Day, Day)) -> Option<u64> {
        let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, rows) = buckets.scopes.get(scope)?.get(&bucket)?;
        Some(rows.iter().map(|(_, row)| row.user_days).sum())
    }

    fn keep(&self, scope: &Scope, bucket: (Day, Day), version: u64, rows: Rows) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.rows + rows.len() + 1 > ROWS_MAX {
            *buckets = Buckets::default();
        }
        buckets.rows += rows.len() + 1;
        let before = buckets.scopes.entry(scope.clone()).or_default().insert(bucket, (version, Arc::new(rows)));
        if let Some((_, before)) = before {
            buckets.rows -= before.len() + 1;
        }
    }
}

impl ApiState {
    /// The active users of the days; today is the day to which more comes. `version` was read before the tree of the scope,
    /// and that before any row.
    pub(super) async fn active_users(
        &self,
        scope: &Scope,
        tree: Option<&Tree>,
        days: Option<&DayRanges>,
        today: Day,
        version: Option<Version>,
    ) -> Result<Rows, Problem> {
        let Some(days) = days else { return Ok(Vec::new()) };
        let Some(version) = version else { return self.read_active_users(scope, days).await };
        let buckets = buckets_of(days);
        let since = self.polls().active_days(&scope.account, &buckets).await;
        let usage = &self.polls().usage;
        let mut known: Vec<Option<Arc<Rows>>> =
            buckets.iter().zip(since).map(|(&bucket, since)| usage.get(scope, bucket, since)).collect();
        let stale = known.iter().filter(|known| known.is_none()).count();
        // Where the rows below are too many to be kept, nothing would tell how many users a bucket has.
        if let Some(tree) = tree.filter(|tree| tree.series.len() * buckets.len() <= REPORT_ROWS_MAX) {
            for (&bucket, known) in buckets.iter().zip(&mut known).filter(|(_, known)| known.is_none()) {
                let user_days = usage.user_days(scope, bucket);
                // If it was read before, more has come since.
                let goes_on = (bucket.0..=bucket.1).contains(&today);
                if (goes_on || user_days.is_some() && stale <= REMEMBERED_BUCKETS_MAX)
                    && user_days.unwrap_or_default() <= REMEMBERED_USER_DAYS_MAX
                    && let Some((version, rows)) = self.remembered_users(scope, tree, bucket, version).await?
                {
                    usage.keep(scope, bucket, version, rows.clone());
                    *known = Some(Arc::new(rows));
                }
            }
        }
        let mut all: Rows = Vec::new();
        let mut start = 0;
        while start < buckets.len() {
            if let Some(rows) = &known[start] {
                all.extend(rows.iter().cloned());
                start += 1;
                continue;
            }
            let end = (start..buckets.len()).find(|&index| known[index].is_some()).unwrap_or(buckets.len());
            let run = DayRanges {
                first_days: buckets[start..end].iter().map(|bucket| bucket.0).collect(),
                last_day: buckets[end - 1].1,
            };
            let rows = self.read_active_users(scope, &run).await?;
            if rows.len() <= REPORT_ROWS_MAX && self.is_still_the_tree(scope).await? {
                let mut by_day: HashMap<Day, Rows> = HashMap::new();
                for row in &rows {
                    by_day.entry(row.1.first_day).or_default().push(row.clone());
                }
                for &bucket in &buckets[start..end] {
                    usage.keep(scope, bucket, version.report, by_day.remove(&bucket.0).unwrap_or_default());
                }
            }
            all.extend(rows);
            start = end;
        }
        Ok(all)
    }

    /// The active users of a bucket, and the version of which they are; `None` where they are too many to be remembered.
    async fn remembered_users(
        &self,
        scope: &Scope,
        tree: &Tree,
        bucket: (Day, Day),
        version: Version,
    ) -> Result<Option<(u64, Rows)>, Problem> {
        if tree.is_empty() {
            return Ok(Some((version.report, Vec::new())));
        }
        let account = scope.account.as_str();
        let mut unread = Some(bucket);
        let mut range = None;
        if let Some((mut known, last_day)) = self.polls().ranges.take(scope, bucket)
            && let (now, Some(news)) = self.polls().recent_activity(account, known.version).await
        {
            let within = news.iter().filter(|news| (bucket.0..=last_day).contains(&news.day));
            within.for_each(|news| known.add(tree, news));
            known.version = now;
            // After midnight the bucket has got another day.
            unread = (last_day < bucket.1).then(|| (last_day.plus_days(1), bucket.1));
            range = Some(known);
        }
        let mut range = match range {
            Some(range) => range,
            None => {
                // From here on the account is followed.
                let (now, _) = self.polls().recent_activity(account, version.report).await;
                RangeUsers::since(now, tree)
            }
        };
        if let Some(days) = unread {
            let organizations = tree.organizations(ORGANIZATIONS_NAMED_MAX);
            let mut activity = self.store().activity(account, &organizations, days)?;
            while let Some(activity) = activity.next().await? {
                range.add(tree, &activity);
                if range.user_days() > REMEMBERED_USER_DAYS_MAX {
                    return Ok(None);
                }
            }
        }
        let (now, rows) = (range.version, range.rows(tree, bucket.0));
        self.polls().ranges.put(scope, bucket, range);
        Ok(Some((now, rows)))
    }

    /// Whether the rows that were just read are those of the scope's tree, and not of one that came in between.
    pub(super) async fn is_still_the_tree(&self, scope: &Scope) -> Result<bool, Problem> {
        let Some(tree) = scope.tree else { return Ok(true) };
        let (_, now) = self.store().child_organizations(&scope.account, scope.organization.as_deref()).await?;
        Ok(now == tree)
    }

    async fn read_active_users(&self, scope: &Scope, days: &DayRanges) -> Result<Rows, Problem> {
        let (account, organization) = (scope.account.as_str(), scope.organization.as_deref());
        if scope.by_organization {
            return Ok(self.store().active_users_by_organization(account, organization, days).await?);
        }
        let rows = self.store().active_users(account, organization, days).await?;
        Ok(rows.into_iter().map(|row| (String::new(), row)).collect())
    }
}

/// First and last day of each bucket.
fn buckets_of(days: &DayRanges) -> Vec<(Day, Day)> {
    let next = days.first_days.iter().skip(1).map(|next| next.plus_days(-1)).chain([days.last_day]);
    days.first_days.iter().copied().zip(next).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_kept_until_one_of_its_days_changes() {
        let cache = UsageCache::default();
        let scope = Scope { account: "a".to_owned(), organization: None, by_organization: false, tree: None };
        let bucket = (Day(10), Day(16));
        assert_eq!(cache.get(&scope, bucket, 0), None);
        cache.keep(&scope, bucket, 5, Vec::new());
        assert!(cache.get(&scope, bucket, 5).is_some());
        assert_eq!(cache.get(&scope, bucket, 6), None, "activity was counted after it was read");
        assert_eq!(cache.get(&scope, (Day(10), Day(15)), 0), None);
        let other = Scope { by_organization: true, ..scope };
        assert_eq!(cache.get(&other, bucket, 0), None);
    }

    #[test]
    fn buckets_follow_one_another() {
        let days = DayRanges { first_days: vec![Day(3), Day(5), Day(9)], last_day: Day(9) };
        assert_eq!(buckets_of(&days), [(Day(3), Day(4)), (Day(5), Day(8)), (Day(9), Day(9))]);
    }
}
