//! Queries of listings of assignments that are kept: the keys of all rows once, then the rows of some users.
//!
//! What the organization tree says of a row is not asked for with it but once for all: it changes with the directory
//! alone.

use std::sync::Arc;

use clickhouse::Row;
use clickhouse::query::Query;
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;
use super::load::chunks;
use super::reports::instant;
use super::reports_assignments::{filters, with_filters};
use crate::report::assignments::{Assignment, AssignmentStatus, AssignmentsRequest, SortKey};
use crate::report::cursor::TEXT_BYTES_MAX;
use crate::report::listing::{KeyValue, Listing, Place, Places};
use crate::report::value::Instant;

/// Rows of a listing that is kept, at most.
const LISTING_ROWS_MAX: usize = 250_000;
/// Rows that are read in full at once, at most.
const ROWS_MAX: usize = 50_000;

const PLACES: &str = "\
SELECT t.organization_id AS organization_id, t.path AS path, has(t.ancestors, {organization:String}) AS is_within \
FROM organization_tree(account = {account:String}) AS t";

const TOUCHED: &str = "\
SELECT DISTINCT t.user_id AS user_id \
FROM seat_holders_touched(account = {account:String}, since = {since:DateTime64(3, 'UTC')}) AS t \
WHERE empty({organizations:Array(String)}) OR t.organization_id IN {organizations:Array(String)} \
LIMIT {limit:UInt64}";

const ROWS: &str = "\
a.user_id AS user_id, if(is_long, '', a.user) AS user, if(is_long, NULL, a.email) AS email, \
    a.license_source AS license_source, a.organization_id AS organization_id, a.project_id AS project_id, \
    if(is_long, NULL, a.project) AS project, toUnixTimestamp64Milli(a.last_assignment) AS last_assignment_ms, \
    toUnixTimestamp64Milli(a.last_active_use) AS last_active_use_ms, a.activated AS activated, \
    a.status = 'active' AS active";

#[derive(Row, Deserialize)]
struct PlaceRow {
    organization_id: String,
    path: String,
    is_within: bool,
}

#[derive(Row, Deserialize)]
struct KeyRow {
    is_long: bool,
    user_id: String,
    organization_id: String,
    text: Option<String>,
    time_ms: Option<i64>,
}

#[derive(Row, Deserialize)]
struct SeatRow {
    is_long: bool,
    user_id: String,
    user: String,
    email: Option<String>,
    license_source: String,
    organization_id: String,
    project_id: Option<String>,
    project: Option<String>,
    last_assignment_ms: i64,
    last_active_use_ms: Option<i64>,
    activated: bool,
    active: bool,
}

impl From<SeatRow> for Assignment {
    fn from(row: SeatRow) -> Self {
        Self {
            user_id: row.user_id,
            user: row.user,
            email: row.email,
            license_source: row.license_source,
            organization_id: row.organization_id,
            organization: String::new(),
            project_id: row.project_id,
            project: row.project,
            last_assignment: Instant(row.last_assignment_ms),
            last_active_use: row.last_active_use_ms.map(Instant),
            activated: row.activated,
            status: if row.active { AssignmentStatus::Active } else { AssignmentStatus::Revoked },
        }
    }
}

/// Whose seats are read.
enum Of<'a> {
    /// These users', of whom there is at least one.
    Users(&'a [String]),
    /// Those in these organizations, and perhaps others too; without any list all of the account.
    Organizations(Option<Vec<String>>),
}

/// The latest seats of users, with their names and those of projects.
const NAMED_SEATS: &str = "license_assignments_of_users(account = {account:String}, users = {users:Array(String)})";

/// The latest seats of all users, of an account: to join the names takes more than a third of the time.
const SEATS: &str = "(\
SELECT i.user_id AS user_id, i.license_source AS license_source, i.organization_id AS organization_id, \
    i.start AS last_assignment, i.last_active AS last_active_use, i.activated AS activated, \
    if(isNull(i.end), 'active', 'revoked') AS status \
FROM license_intervals AS i WHERE i.account_id = {account:String} AND i.latest)";

/// Whether the rows that are asked for, and their order, depend on anybody's name or e-mail address.
fn needs_names(request: &AssignmentsRequest) -> bool {
    let sorted = match request.sort.key {
        SortKey::User | SortKey::Email => true,
        SortKey::Organization | SortKey::LastAssignment | SortKey::LastActiveUse => false,
    };
    sorted || request.user_part.is_some() || request.email_part.is_some()
}

impl Store {
    /// The order of all of the account's assignments that are asked for; `None` where they are too many, or their names
    /// too long, to be kept. A request that depends on now has no order of its own.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn listing(&self, account: &str, request: &AssignmentsRequest) -> Result<Option<Listing>, StoreError> {
        // Names that the order does not depend on may be too long for a page, which is found when the page is read.
        let (text, time) = match request.sort.key {
            SortKey::User => ("a.user", "NULL"),
            SortKey::Email => ("a.email", "NULL"),
            SortKey::Organization => ("NULL", "NULL"),
            SortKey::LastAssignment => ("NULL", "toUnixTimestamp64Milli(a.last_assignment)"),
            SortKey::LastActiveUse => ("NULL", "toUnixTimestamp64Milli(a.last_active_use)"),
        };
        let columns = format!(
            "a.user_id AS user_id, a.organization_id AS organization_id, \
                CAST(if(is_long, NULL, {text}) AS Nullable(String)) AS text, CAST({time} AS Nullable(Int64)) AS time_ms"
        );
        let keys = |organizations| {
            let of = Of::Organizations(organizations);
            self.fetch_all(self.seats_of(account, request, &columns, of, LISTING_ROWS_MAX))
        };
        let organization = request.organization.as_deref();
        let (places, rows): (Places, Vec<KeyRow>) = if organization.is_none() {
            // All of the account is read, whatever its organizations are.
            tokio::try_join!(self.places(account, organization), keys(None))?
        } else {
            let places = self.places(account, organization).await?;
            let rows = keys(places.asked_for()).await?;
            (places, rows)
        };
        if places.are_long() {
            return Ok(None);
        }
        if rows.len() > LISTING_ROWS_MAX || rows.iter().any(|row| row.is_long) {
            return Ok(None);
        }
        let key = |row: KeyRow| {
            let value = row.text.map(|text| KeyValue::Text(text.into())).or(row.time_ms.map(KeyValue::Time));
            places.key(request.sort.key, &row.user_id, &row.organization_id, value.unwrap_or(KeyValue::Null))
        };
        let keys = rows.into_iter().filter_map(key).collect();
        Ok(Some(Listing::new(request.sort, keys, places)))
    }

    /// Where the account's organizations stand, and which of them the organization holds.
    async fn places(&self, account: &str, organization: Option<&str>) -> Result<Places, StoreError> {
        let query = self.read(PLACES).param("account", account).param("organization", organization.unwrap_or_default());
        let rows: Vec<PlaceRow> = self.fetch_all(query).await?;
        let place = |row: PlaceRow| {
            let organization_id: Arc<str> = row.organization_id.into();
            let path = if row.path.is_empty() { Arc::clone(&organization_id) } else { row.path.into() };
            Place { organization_id, path, is_within: row.is_within }
        };
        Ok(Places::new(rows.into_iter().map(place).collect(), organization.is_none()))
    }

    /// The assignments of these users that are asked for, without what the organization tree says of them; `None` where
    /// they are too many, or their names too long, to be kept.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn assignments_of(
        &self,
        account: &str,
        request: &AssignmentsRequest,
        users: &[String],
    ) -> Result<Option<Vec<Assignment>>, StoreError> {
        let mut all = Vec::new();
        for users in chunks(users) {
            let rows: Vec<SeatRow> =
                self.fetch_all(self.seats_of(account, request, ROWS, Of::Users(users), ROWS_MAX)).await?;
            if all.len() + rows.len() > ROWS_MAX || rows.iter().any(|row| row.is_long) {
                return Ok(None);
            }
            all.extend(rows.into_iter().map(Assignment::from));
        }
        Ok(Some(all))
    }

    /// Users whose assignments in these organizations, and perhaps in others too, may stand otherwise than they stood at the
    /// instant, milliseconds since 1970 UTC; without any list in all of the account. `None` where they are more than
    /// `users_max`.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn seat_holders_touched(
        &self,
        account: &str,
        organizations: Option<Vec<String>>,
        since_ms: i64,
        users_max: usize,
    ) -> Result<Option<Vec<String>>, StoreError> {
        let organizations = match organizations {
            None => Vec::new(),
            Some(none) if none.is_empty() => return Ok(Some(none)),
            Some(ids) => nameable(ids).unwrap_or_default(),
        };
        let query = self.read(TOUCHED).param("account", account).param("since", instant(since_ms));
        let query = query.param("organizations", organizations).param("limit", users_max + 1);
        let users: Vec<String> = self.fetch_all(query).await?;
        Ok((users.len() <= users_max).then_some(users))
    }

    /// The seats that are asked for, but for the organization, which is as `of` says; one more than `rows_max` if there
    /// are as many.
    fn seats_of(
        &self,
        account: &str,
        request: &AssignmentsRequest,
        columns: &str,
        of: Of<'_>,
        rows_max: usize,
    ) -> Query {
        let mut anywhere = request.clone();
        anywhere.organization = None;
        let inactive_before_ms = anywhere.inactive_before_ms(i64::MAX);
        let mut filters = filters(&anywhere, inactive_before_ms.is_some());
        let (users, organizations) = match of {
            Of::Users(users) => (users, None),
            Of::Organizations(organizations) => (&[][..], organizations.and_then(nameable)),
        };
        // Rows of users have names.
        let is_named = !users.is_empty() || needs_names(request);
        if organizations.is_some() {
            filters += if filters.is_empty() { " WHERE " } else { " AND " };
            filters += "a.organization_id IN {organizations:Array(String)}";
        }
        let (seats, is_long) = if is_named {
            let longest = "greatest(length(a.user), ifNull(length(a.email), 0), ifNull(length(a.project), 0))";
            (NAMED_SEATS, format!("{longest} > {TEXT_BYTES_MAX}"))
        } else {
            (SEATS, "false".to_owned())
        };
        let sql = format!("SELECT {is_long} AS is_long, {columns} FROM {seats} AS a{filters} LIMIT {{limit:UInt64}}");
        let query = with_filters(self.read(&sql), account, &anywhere, inactive_before_ms);
        let query = query.param("users", users).param("limit", rows_max + 1);
        if let Some(organizations) = organizations { query.param("organizations", organizations) } else { query }
    }
}

/// The ids, unless a parameter cannot hold them: then more is read, and the caller leaves out what is not asked for.
fn nameable(ids: Vec<String>) -> Option<Vec<String>> {
    Some(ids).filter(|ids| chunks(ids).len() <= 1)
}
