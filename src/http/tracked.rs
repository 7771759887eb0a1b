//! What has changed, and when: accounts, days and seats by the version of the data that saw them change.

use std::collections::HashMap;

use super::activity::RecentActivity;
use super::poll::ReportKind;
use super::quiet::Quiet;
use super::recent::RecentSeats;
use super::seats::SeatChanges;
use crate::core::calendar::Day;
use crate::report::subject::AccountContext;
use crate::report::value::Instant;
use crate::store::{Followed, PartsSeen, Store, StoreError, TableGroup};

/// Days whose versions are told apart, over all accounts, about; with more all accounts get a new version.
const ACTIVE_DAYS_MAX: usize = 1_000_000;
/// Accounts whose new rows about seats are read as they come, at most; with more the one that was not asked for the longest is
/// no longer followed.
const SEATS_FOLLOWED_MAX: usize = 20;
/// Accounts whose versions are told apart, at most; with more all of them get a new one.
pub(super) const ACCOUNTS_MAX: usize = 100_000;

/// How an account stands, as it was read after a question came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// Grows with every change of the account in what the report reads.
    pub(super) report: u64,
    /// Grows with every change of the account's directory.
    pub(super) directory: u64,
    /// Grows with every change of the account.
    pub(super) account: u64,
    /// Grows with every change of the progress.
    pub(super) progress: u64,
}

/// Versions of all accounts, as of the last time that they were looked at.
#[derive(Default)]
pub(super) struct Tracked {
    /// The versions hold for questions up to this one: their reading began after it was asked.
    pub(super) asked: u64,
    pub(super) seen: PartsSeen,
    pub(super) quiet: Quiet,
    pub(super) clock: u64,
    /// The version of accounts that have none of their own.
    pub(super) everything: u64,
    /// By group of tables; a group that is not there has not changed since all accounts got a new version.
    pub(super) accounts: HashMap<String, HashMap<TableGroup, u64>>,
    /// The version of each day on which users were active, by account; a day that is not there has not changed since
    /// all accounts got a new version.
    pub(super) active_days: HashMap<String, HashMap<Day, u64>>,
    /// How many days these are.
    pub(super) active_days_count: usize,
    /// What was counted lately, by account, where it has been asked for.
    pub(super) activity: HashMap<String, RecentActivity>,
    /// Which seats were touched lately, by account, where it has been asked for.
    pub(super) touched_seats: HashMap<String, RecentSeats>,
    /// From when on seats have changed, by account, where it has been asked for.
    pub(super) seat_changes: HashMap<String, SeatChanges>,
    /// The latest time of a fact or use, by account, where it has been asked for.
    pub(super) latest_ms: HashMap<String, i64>,
    /// What is known of accounts, each as of a version of its directory.
    pub(super) contexts: HashMap<String, (u64, AccountContext)>,
    pub(super) progress: u64,
    /// When the data was complete, and the version of the progress that told it.
    pub(super) data_through: Option<(u64, Option<Instant>)>,
}

impl Tracked {
    /// Takes in what has changed since the last time.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked; then all is as it was.
    pub(super) async fn refresh(&mut self, store: &Store) -> Result<(), StoreError> {
        self.touched_seats.retain(|_, recent| recent.is_asked_for());
        let followed = Followed {
            activity: self.activity.keys().cloned().collect(),
            seats: self.touched_seats.keys().cloned().collect(),
        };
        let (seen, mut changes) = store.changes_since(&self.seen, &followed).await?;
        self.seen = seen;
        self.clock += 1;
        match changes.accounts {
            Some(accounts)
                if self.accounts.len() + accounts.len() <= ACCOUNTS_MAX
                    && self.active_days_count <= ACTIVE_DAYS_MAX =>
            {
                for (account, news) in changes.activity {
                    if let Some(recent) = self.activity.get_mut(&account) {
                        recent.record(self.clock, news);
                    }
                }
                for mut changed in accounts {
                    if let Some(recent) = self.touched_seats.get_mut(&changed.account) {
                        let rows = changes.seats.as_mut().map(|rows| rows.remove(&changed.account).unwrap_or_default());
                        let earliest_ms = recent.record(self.clock, rows);
                        changed.earliest_seat_ms = earliest_ms.unwrap_or(changed.earliest_seat_ms);
                    }
                    if let Some(latest_ms) = self.latest_ms.get_mut(&changed.account) {
                        *latest_ms = changed.latest_ms.max(*latest_ms);
                    }
                    if let Some(seats) = self.seat_changes.get_mut(&changed.account)
                        && changed.earliest_seat_ms < i64::MAX
                    {
                        seats.record(self.clock, changed.earliest_seat_ms);
                    }
                    let days = self.active_days.entry(changed.account.clone()).or_default();
                    for day in changed.active_days {
                        self.active_days_count += usize::from(days.insert(day, self.clock).is_none());
                    }
                    let groups = changed.groups.into_iter().map(|group| (group, self.clock));
                    self.accounts.entry(changed.account).or_default().extend(groups);
                }
            }
            _ => {
                self.everything = self.clock;
                self.accounts.clear();
                self.active_days.clear();
                self.active_days_count = 0;
                self.latest_ms.clear();
                self.seat_changes.clear();
                self.touched_seats.clear();
                self.activity.clear();
            }
        }
        if changes.progress {
            self.progress = self.clock;
        }
        Ok(())
    }

    /// How the account stands for a report.
    pub(super) fn version(&self, account: &str, kind: ReportKind) -> Version {
        let directory = self.latest(account, &[TableGroup::Directory]);
        Version {
            report: self.latest(account, kind.reads()).max(directory),
            directory,
            account: self.latest(account, &TableGroup::ALL),
            progress: self.progress,
        }
    }

    /// The version of the account in these tables.
    pub(super) fn latest(&self, account: &str, of: &[TableGroup]) -> u64 {
        let groups = self.accounts.get(account);
        let versions = of.iter().filter_map(|group| groups?.get(group)).copied();
        versions.fold(self.everything, u64::max)
    }

    /// What came in lately about the seats of the account, which is followed from now on.
    pub(super) fn recent_seats(&mut self, account: &str) -> &mut RecentSeats {
        if !self.touched_seats.contains_key(account) && self.touched_seats.len() >= SEATS_FOLLOWED_MAX {
            let longest_ago = self.touched_seats.iter().min_by_key(|(_, recent)| recent.asked_at());
            let account = longest_ago.map(|(account, _)| account.clone());
            account.and_then(|account| self.touched_seats.remove(&account));
        }
        let since = self.latest(account, &[TableGroup::Seats]);
        let recent = self.touched_seats.entry(account.to_owned()).or_insert_with(|| RecentSeats::since(since));
        recent.asked_for();
        recent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_not_asked_for_the_longest_is_no_longer_followed() {
        let mut tracked = Tracked::default();
        for account in 0..SEATS_FOLLOWED_MAX {
            tracked.recent_seats(&account.to_string());
        }
        tracked.recent_seats("0");
        tracked.recent_seats("another");
        let is_followed = ["0", "1", "2", "another"].map(|account| tracked.touched_seats.contains_key(account));
        assert_eq!((is_followed, tracked.touched_seats.len()), ([true, false, true, true], SEATS_FOLLOWED_MAX));
    }
}
