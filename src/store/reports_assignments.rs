//! Queries of the license assignments: one statement, put together from fixed pieces; every value
//! is a parameter.

use clickhouse::Row;
use clickhouse::query::{Query, RowCursor};
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;
use super::reports::instant;
use crate::report::assignments::{
    Assignment, AssignmentStatus, AssignmentsRequest, Bounds, Sort, SortKey, StatusFilter,
};
use crate::report::cursor::{AssignmentPosition, SortValue};
use crate::report::page::Page;
use crate::report::value::Timestamp;

const COLUMNS: &str = "\
SELECT r.user_id AS user_id, r.user AS user, r.email AS email, r.license_source AS license_source, \
    r.organization_id AS organization_id, r.organization AS organization, r.project_id AS \
    project_id, \
    r.project AS project, toUnixTimestamp64Milli(r.last_assignment) AS last_assignment_ms, \
    toUnixTimestamp64Milli(r.last_active_use) AS last_active_use_ms, r.activated AS activated, \
    r.status = 'active' AS active, r.total AS total";

const HASH: &str = "\
SELECT toUInt64(count()) AS rows, groupBitXor(reinterpretAsUInt128(sipHash128(toString((a.user_id, \
a.user, a.email, \
    a.license_source, a.organization_id, a.organization, a.project, a.last_assignment, \
    a.last_active_use))))) AS hash \
FROM account_license_assignments(account = {account:String}) AS a";

const FILTERED: &str = "\
FROM (SELECT a.*, count() OVER () AS total FROM account_license_assignments(account = \
{account:String}) AS a";

/// Fingerprint of a set of assignments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct AssignmentsHash {
    rows: u64,
    hash: u128,
}

#[derive(Row, Deserialize)]
struct AssignmentRow {
    user_id: String,
    user: String,
    email: Option<String>,
    license_source: String,
    organization_id: String,
    organization: String,
    project_id: Option<String>,
    project: Option<String>,
    last_assignment_ms: i64,
    last_active_use_ms: Option<i64>,
    activated: bool,
    active: bool,
    total: u64,
}

impl From<AssignmentRow> for Assignment {
    fn from(row: AssignmentRow) -> Self {
        Self {
            user_id: row.user_id.into(),
            user: row.user,
            email: row.email,
            license_source: row.license_source,
            organization_id: row.organization_id.into(),
            organization: row.organization,
            project_id: row.project_id.map(Into::into),
            project: row.project,
            last_assignment: Timestamp(row.last_assignment_ms),
            last_active_use: row.last_active_use_ms.map(Timestamp),
            activated: row.activated,
            status: if row.active { AssignmentStatus::Active } else { AssignmentStatus::Revoked },
        }
    }
}

/// Assignments as they arrive from ClickHouse.
pub struct AssignmentStream {
    store: Store,
    cursor: RowCursor<AssignmentRow>,
}

impl AssignmentStream {
    /// The next row; `None` after the last.
    ///
    /// # Errors
    /// Where the answer breaks off: what came before is not all.
    pub async fn next(&mut self) -> Result<Option<Assignment>, StoreError> {
        Ok(self.store.within(self.cursor.next()).await?.map(Assignment::from))
    }
}

impl Store {
    /// A page of the account's assignments, one row more than its limit if there are as many, and
    /// how many there are on all pages.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn assignments(
        &self,
        account: &str,
        request: &AssignmentsRequest,
        page: &Page<AssignmentPosition>,
        now_ms: i64,
    ) -> Result<(Vec<Assignment>, u64), StoreError> {
        let rows = self.assignment_rows(account, request, page, now_ms).await?;
        if let Some(first) = rows.first() {
            let total = first.total;
            return Ok((rows.into_iter().map(Assignment::from).collect(), total));
        }
        if page.after.is_none() {
            return Ok((Vec::new(), 0));
        }
        // A page behind the last row tells nothing of the total, so the first page is asked.
        let first_page = Page { limit: 0, after: None };
        let rows = self.assignment_rows(account, request, &first_page, now_ms).await?;
        Ok((Vec::new(), rows.first().map_or(0, |row| row.total)))
    }

    /// All of the account's assignments that are asked for, in their order, as they arrive.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub fn assignment_stream(
        &self,
        account: &str,
        request: &AssignmentsRequest,
        now_ms: i64,
    ) -> Result<AssignmentStream, StoreError> {
        let query = self.assignment_query(account, request, None, now_ms, "");
        let cursor = Self::streamed(query).fetch::<AssignmentRow>();
        let cursor = cursor.map_err(|error| self.target().classify(error))?;
        Ok(AssignmentStream { store: self.clone(), cursor })
    }

    /// A hash of all of the account's assignments that are asked for, whatever their order; no two
    /// of them are alike.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn assignments_hash(
        &self,
        account: &str,
        request: &AssignmentsRequest,
        now_ms: i64,
    ) -> Result<AssignmentsHash, StoreError> {
        let sql = format!("{HASH}{}", filters(request));
        let query = with_filters(self.read(&sql), account, request, request.bounds(now_ms));
        self.within(query.fetch_one()).await
    }

    async fn assignment_rows(
        &self,
        account: &str,
        request: &AssignmentsRequest,
        page: &Page<AssignmentPosition>,
        now_ms: i64,
    ) -> Result<Vec<AssignmentRow>, StoreError> {
        let query = self.assignment_query(
            account,
            request,
            page.after.as_ref(),
            now_ms,
            " LIMIT {limit:UInt64}",
        );
        self.fetch_all(query.param("limit", page.limit + 1)).await
    }

    fn assignment_query(
        &self,
        account: &str,
        request: &AssignmentsRequest,
        after: Option<&AssignmentPosition>,
        now_ms: i64,
        limit: &str,
    ) -> Query {
        let filters = filters(request);
        let continued = after.map_or_else(String::new, |position| {
            format!(" WHERE {}", continuation(request.sort, position, None))
        });
        let order = order(request.sort);
        let sql = format!("{COLUMNS} {FILTERED}{filters}) AS r{continued} ORDER BY {order}{limit}");
        let query = with_filters(self.read(&sql), account, request, request.bounds(now_ms));
        if let Some(position) = after { with_position(query, position) } else { query }
    }
}

/// Binds what [`continuation`] refers to.
pub(super) fn with_position(query: Query, position: &AssignmentPosition) -> Query {
    let query = query.param("after_user_id", &position.user_id);
    let query = query.param("after_organization_id", &position.organization_id);
    match &position.key {
        SortValue::Null => query,
        SortValue::Text(text) | SortValue::Beginning(text) => query.param("after_key", text),
        SortValue::Time(time_ms) => query.param("after_key", instant(*time_ms)),
    }
}

/// Binds what [`filters`] refers to.
pub(super) fn with_filters(
    query: Query,
    account: &str,
    request: &AssignmentsRequest,
    bounds: Bounds,
) -> Query {
    let mut query = query.param("account", account);
    let texts = [
        ("organization", request.organization.as_deref()),
        ("license_source", request.license_source.as_deref()),
        ("user_part", request.user_part.as_deref()),
        ("email_part", request.email_part.as_deref()),
    ];
    for (name, value) in texts {
        if let Some(value) = value {
            query = query.param(name, value);
        }
    }
    if let Some(before_ms) = bounds.inactive_before_ms {
        query = query.param("inactive_before", instant(before_ms));
    }
    if let Some(since_ms) = bounds.held_since_ms {
        query = query.param("held_since", instant(since_ms));
    }
    query
}

/// The condition that the rows meet.
pub(super) fn filters(request: &AssignmentsRequest) -> String {
    let mut conditions: Vec<&str> = Vec::new();
    if request.organization.is_some() {
        conditions.push("has(a.ancestors, {organization:String})");
    }
    if request.license_source.is_some() {
        conditions.push("a.license_source = {license_source:String}");
    }
    if request.user_part.is_some() {
        conditions.push("position(a.user_search_key, {user_part:String}) > 0");
    }
    if request.email_part.is_some() {
        conditions.push("position(a.email_search_key, {email_part:String}) > 0");
    }
    match request.status {
        StatusFilter::Active => conditions.push("a.status = 'active'"),
        StatusFilter::Revoked => conditions.push("a.status = 'revoked'"),
        StatusFilter::All => {}
    }
    match request.activated {
        Some(true) => conditions.push("a.activated"),
        Some(false) => conditions.push("NOT a.activated"),
        None => {}
    }
    if request.inactive_days.is_some() {
        conditions.push(
            "(isNull(a.last_active_use) OR a.last_active_use < \
            {inactive_before:DateTime64(3, 'UTC')})",
        );
    }
    if request.held_days.is_some() {
        conditions.push("a.last_assignment <= {held_since:DateTime64(3, 'UTC')}");
    }
    if conditions.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", conditions.join(" AND "))
    }
}

/// The column that rows are sorted by, whether it may be null, and its type as a parameter.
fn sort_column(key: SortKey) -> (&'static str, bool, &'static str) {
    match key {
        SortKey::User => ("r.user", false, "String"),
        SortKey::Email => ("r.email", true, "String"),
        SortKey::Organization => ("r.organization", false, "String"),
        SortKey::LastAssignment => ("r.last_assignment", false, "DateTime64(3, 'UTC')"),
        SortKey::LastActiveUse => ("r.last_active_use", true, "DateTime64(3, 'UTC')"),
    }
}

pub(super) fn order(sort: Sort) -> String {
    let (column, _, _) = sort_column(sort.key);
    let direction = if sort.descending { "DESC" } else { "ASC" };
    format!("isNull({column}), {column} {direction}, r.user_id, r.organization_id")
}

/// The condition that the rows after the position meet, in the order of [`order`]. `kind` is the
/// type of the key where it is not that of the column in the view.
pub(super) fn continuation(
    sort: Sort,
    position: &AssignmentPosition,
    kind: Option<&str>,
) -> String {
    const TIES: &str =
        "(r.user_id, r.organization_id) > ({after_user_id:String}, {after_organization_id:String})";
    let (column, nullable, own_kind) = sort_column(sort.key);
    let kind = kind.unwrap_or(own_kind);
    if position.key == SortValue::Null {
        return format!("isNull({column}) AND {TIES}");
    }
    let beyond = if sort.descending { "<" } else { ">" };
    let key = match position.key {
        SortValue::Beginning(_) => whole_text(sort),
        _ => format!("{{after_key:{kind}}}"),
    };
    let rest = format!("{column} {beyond} {key} OR ({column} = {key} AND {TIES})");
    if nullable { format!("(isNull({column}) OR {rest})") } else { format!("({rest})") }
}

/// The text that the row of a position is sorted by, where the cursor holds but its beginning. If
/// it begins otherwise by now, the place is where the beginning would lie, on the side on which no
/// row is left out; no text holds a byte 0xFF.
fn whole_text(sort: Sort) -> String {
    let (column, _, _) = sort_column(sort.key);
    let column = column.replacen("r.", "k.", 1);
    let elsewhere = if sort.descending {
        "concat({after_key:String}, char(255))"
    } else {
        "{after_key:String}"
    };
    format!(
        "(SELECT if(startsWith(max(ifNull({column}, '')), {{after_key:String}}), \
        max(ifNull({column}, '')), {elsewhere}) \
         FROM account_license_assignments(account = {{account:String}}) AS k \
         WHERE k.user_id = {{after_user_id:String}} AND k.organization_id = \
         {{after_organization_id:String}})"
    )
}
