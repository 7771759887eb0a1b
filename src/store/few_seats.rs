//! Seats and active users of few rows: all are read as they are stored, and merged here. The
//! queries of [`license_history`](super::license_history), [`assigned`](super::assigned) and
//! [`active_users`](super::active_users) cost more to plan than these rows cost to read. A test
//! holds both to the views.

use std::collections::{BTreeMap, HashMap};

use clickhouse::Row;
use clickhouse::query::Query;
use serde::Deserialize;

use super::assigned::AssignedSeats;
use super::client::Store;
use super::error::StoreError;
use super::reports::with_days;
use super::rows::NO_MINIMUM_MS;
use super::scope::{Scope, Who};
use crate::core::calendar::Day;
use crate::report::few_users::{UsersByDay, users_of};
use crate::report::id::{AccountId, OrganizationId};
use crate::report::license_history::SeatCounts;
use crate::report::license_usage::PeriodUsers;
use crate::report::period::DayRanges;
use crate::report::seat_history::{SeatHolding, SeatRecords, counts_at};
use crate::report::seat_steps::{SeatSteps, open_at};

/// Organizations from which on rows are not few.
const ORGANIZATIONS_MAX: usize = 500;
/// Organizations times days from which on active users are not few: of those that are asked for,
const ORGANIZATION_DAYS_MAX: usize = 2_000;
/// and of all of the account, whose rows lie between them.
const SCANNED_MAX: usize = 200_000;
/// Rows of seats that are read, at most. Where there are more, they are not few.
const SEATS_MAX: usize = 5_000;
/// Rows of active users that are read, at most: one for each user of a row.
const USERS_MAX: usize = 20_000;

/// `$filter` chooses organizations.
const SEATS: &str = "\
SELECT s.organization_id AS organization_id, s.user_id AS user_id, \
    toUnixTimestamp64Milli(s.start) AS start_ms, toUnixTimestamp64Milli(s.end) AS end_ms, \
    toUnixTimestamp64Milli(s.first_active) AS first_active_ms, \
    tupleElement(s.opened, 'is_unknown') AS is_unknown \
FROM seat_intervals AS s \
WHERE s.account_id = {account:String}$filter \
LIMIT {rows:UInt64}";

/// `$organization` is that of a row, `$table` and `$filter` say whose bitmaps are read.
const USERS: &str = "\
SELECT $organization AS organization_id, toInt32(s.day) AS day, \
    arrayJoin(bitmapToArray(s.users)) AS user \
FROM $table AS s \
WHERE s.account_id = {account:String}$filter \
    AND s.day BETWEEN arrayMin({first_days:Array(Date)}) AND {last_day:Date} \
LIMIT {rows:UInt64}";

#[derive(Row, Deserialize)]
struct SeatRow {
    organization_id: String,
    user_id: String,
    start_ms: i64,
    end_ms: i64,
    first_active_ms: i64,
    is_unknown: bool,
}

#[derive(Row, Deserialize)]
struct UserRow {
    organization_id: String,
    day: i32,
    user: u64,
}

/// A seat, of the rows that tell of it.
struct Seat {
    held: SeatHolding,
    is_unknown: bool,
}

impl Store {
    /// As [`Store::seat_history`]; `None` where the rows are too many. `organizations` is how many
    /// the account has.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn few_seat_history(
        &self,
        account: &AccountId,
        organization: Option<&OrganizationId>,
        (scope, organizations): (&Scope<'_>, usize),
        instants_ms: &[i64],
    ) -> Result<Option<Vec<SeatCounts>>, StoreError> {
        let Some(who) = Who::of(scope) else { return Ok(None) };
        if instants_ms.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let (seats, purchases) = tokio::try_join!(
            self.few_seats(account, &who, organizations),
            self.purchases(account, organization),
        )?;
        let Some(seats) = seats else { return Ok(None) };
        let changing = seats.into_iter().map(|(_, held)| held).collect();
        let records = SeatRecords { changing, purchases, ..SeatRecords::default() };
        Ok(Some(counts_at(instants_ms, &records)))
    }

    /// As [`Store::assigned_at`]; `None` where the rows are too many. `organizations` is how many
    /// the account has.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn few_assigned_at(
        &self,
        account: &AccountId,
        who: &Who<'_>,
        organizations: usize,
        edges_ms: &[i64],
    ) -> Result<Option<AssignedSeats>, StoreError> {
        let mut assigned = AssignedSeats::default();
        if edges_ms.is_empty() {
            return Ok(Some(assigned));
        }
        let Some(seats) = self.few_seats(account, who, organizations).await? else {
            return Ok(None);
        };
        let indices = who.indices();
        let mut steps: HashMap<u32, Vec<SeatSteps>> = HashMap::new();
        for (organization, SeatHolding { start_ms, end_ms, .. }) in seats {
            let last_change_ms = if end_ms < NO_MINIMUM_MS { end_ms } else { start_ms };
            assigned.last_change_ms = assigned.last_change_ms.max(last_change_ms);
            let index = indices.get(organization.as_str()).copied().unwrap_or_default();
            steps.entry(index).or_default().push(SeatSteps { start_ms, end_ms, intervals: 1 });
        }
        for (index, steps) in steps {
            assigned.by_series.insert(who.head(index), open_at(edges_ms, steps));
        }
        Ok(Some(assigned))
    }

    /// As [`Store::active_users_of`]; `None` where the rows are too many. `organizations` is how
    /// many the account has.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn few_active_users(
        &self,
        account: &AccountId,
        who: &Who<'_>,
        organizations: usize,
        days: &DayRanges,
    ) -> Result<Option<Vec<(String, PeriodUsers)>>, StoreError> {
        let rows = who.organizations_of(organizations).saturating_mul(days.count());
        let scanned = organizations.saturating_mul(days.count());
        if rows > ORGANIZATION_DAYS_MAX || scanned > SCANNED_MAX {
            return Ok(None);
        }
        let indices = who.indices();
        // Of the account, or of one series, no organization need be told from another.
        let organization = if indices.is_empty() { "''" } else { "s.organization_id" };
        let sql = USERS.replace("$organization", organization);
        let sql = sql.replace("$table", who.users_table()).replace("$filter", who.filter());
        let query = with_days(who.bind(self.read(&sql)).param("account", account), days);
        let Some(rows) = self.at_most::<UserRow>(query, USERS_MAX).await? else {
            return Ok(None);
        };
        let mut by_series: HashMap<u32, UsersByDay> = HashMap::new();
        for UserRow { organization_id, day, user } in rows {
            let index = indices.get(organization_id.as_str()).copied().unwrap_or_default();
            by_series.entry(index).or_default().entry(Day(day)).or_default().insert(user);
        }
        let users =
            by_series.into_iter().map(|(index, by_day)| (who.head(index), users_of(&by_day, days)));
        Ok(Some(users.collect()))
    }

    /// The seats with their organizations; `None` where the rows are too many.
    async fn few_seats(
        &self,
        account: &AccountId,
        who: &Who<'_>,
        organizations: usize,
    ) -> Result<Option<Vec<(String, SeatHolding)>>, StoreError> {
        if who.organizations_of(organizations) > ORGANIZATIONS_MAX {
            return Ok(None);
        }
        if who.is_nobody() {
            return Ok(Some(Vec::new()));
        }
        let sql = SEATS.replace("$filter", who.filter());
        let query = who.bind(self.read(&sql)).param("account", account);
        Ok(self.at_most(query, SEATS_MAX).await?.map(merged))
    }

    /// The rows of a query that has a parameter `rows`; `None` where there are more.
    pub(super) async fn at_most<R: clickhouse::RowOwned + clickhouse::RowRead>(
        &self,
        query: Query,
        rows_max: usize,
    ) -> Result<Option<Vec<R>>, StoreError> {
        let rows: Vec<R> = self.fetch_all(query.param("rows", rows_max + 1)).await?;
        Ok((rows.len() <= rows_max).then_some(rows))
    }
}

/// Each seat once, with its organization.
fn merged(rows: Vec<SeatRow>) -> Vec<(String, SeatHolding)> {
    let mut seats: BTreeMap<(String, String, i64), Seat> = BTreeMap::new();
    for row in rows {
        let SeatRow { start_ms, end_ms, first_active_ms, is_unknown, .. } = row;
        let seat = seats.entry((row.organization_id, row.user_id, start_ms)).or_insert(Seat {
            held: SeatHolding { start_ms, end_ms, activated_ms: first_active_ms },
            is_unknown,
        });
        seat.held.end_ms = seat.held.end_ms.min(end_ms);
        seat.held.activated_ms = seat.held.activated_ms.min(first_active_ms);
        seat.is_unknown &= is_unknown;
    }
    let known = seats.into_iter().filter(|(_, seat)| !seat.is_unknown);
    known.map(|((organization, ..), seat)| (organization, seat.held)).collect()
}
