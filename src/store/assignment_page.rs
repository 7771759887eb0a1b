//! A page of the license assignments: first which rows are on it, from what the order and the
//! filters need, then those rows' names. The view `account_license_assignments` says the same to
//! analysts; a test holds them together.

use std::collections::HashMap;

use clickhouse::Row;
use clickhouse::query::Query;
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;
use super::load::chunks;
use super::reports_assignments::{continuation, filters, order, with_filters};
use super::scope::Scope;
use crate::report::assignments::{Assignment, AssignmentStatus, AssignmentsRequest, SortKey};
use crate::report::cursor::{AssignmentPosition, SortValue};
use crate::report::page::Page;
use crate::report::tree::OrganizationTree;
use crate::report::value::Timestamp;

/// The latest seats, with what decides about order and filters. `$columns` and `$joins` bring
/// names, `$opened` the licence, where they are needed; `$filter` chooses organizations.
const SEATS: &str = "\
SELECT i.user_id AS user_id, i.organization_id AS organization_id, i.start AS last_assignment, \
    if(i.first_use < i.ends, least(i.last_use, i.ends), NULL) AS last_active_use, \
    toBool(i.first_use < i.ends) AS activated, \
    if(i.ends < toDateTime64('2299-12-31 23:59:59.999', 3, 'UTC'), 'revoked', 'active') AS \
    status$columns \
FROM \
( \
    SELECT s.organization_id AS organization_id, s.user_id AS user_id, s.start AS start, \
    min(s.end) AS ends, \
        min(s.first_active) AS first_use, max(s.last_active) AS last_use$opened \
    FROM seat_intervals AS s \
    WHERE s.account_id = {account:String}$filter \
    GROUP BY s.organization_id, s.user_id, s.start \
    HAVING NOT max(s.superseded) AND NOT min(tupleElement(s.opened, 'is_unknown')) \
) AS i $joins";

/// One field of the users, with what it is searched by. Reading in the order of the key and taking
/// the first row of each finds the latest value without a hash table; the users are then distinct.
const USERS_BY_FIELD: &str = "\
LEFT ANY JOIN \
( \
    SELECT u.entity_id AS user_id, tupleElement(u.latest, 'value') AS $field, \
        tupleElement(u.latest, 'search_key') AS $field_key \
    FROM directory_state AS u \
    WHERE u.account_id = {account:String} AND u.entity = 'user' AND u.field = '$field' \
    ORDER BY u.account_id, u.entity, u.organization_id, u.entity_id, u.field, \
        tupleElement(u.latest, 'time') DESC, tupleElement(u.latest, 'source') DESC, \
        tupleElement(u.latest, 'offset') DESC \
    LIMIT 1 BY u.entity_id \
) AS n ON n.user_id = i.user_id";

/// Both fields of the users.
const USERS: &str = "\
LEFT ANY JOIN \
( \
    SELECT d.entity_id AS user_id, maxIf(d.value, d.field = 'name') AS name, \
        maxIf(d.value, d.field = 'email') AS email, \
        maxIf(d.search_key, d.field = 'name') AS name_key, \
        maxIf(d.search_key, d.field = 'email') AS email_key \
    FROM \
    ( \
        SELECT u.entity_id AS entity_id, u.field AS field, \
            tupleElement(u.latest, 'value') AS value, \
            tupleElement(u.latest, 'search_key') AS search_key \
        FROM directory_state AS u \
        WHERE u.account_id = {account:String} AND u.entity = 'user' \
        ORDER BY u.account_id, u.entity, u.organization_id, u.entity_id, u.field, \
            tupleElement(u.latest, 'time') DESC, tupleElement(u.latest, 'source') DESC, \
            tupleElement(u.latest, 'offset') DESC \
        LIMIT 1 BY u.entity_id, u.field \
    ) AS d \
    GROUP BY d.entity_id \
) AS n ON n.user_id = i.user_id";

const OPENED: &str = "\
SELECT s.organization_id AS organization_id, s.user_id AS user_id, toUnixTimestamp64Milli(s.start) \
AS start_ms, \
    tupleElement(min(s.opened) AS by, 'project_id') AS project_id, tupleElement(by, \
    'license_source') AS license_source \
FROM seat_intervals AS s \
WHERE s.account_id = {account:String} AND (s.organization_id, s.user_id) IN \
{keys:Array(Tuple(String, String))} \
GROUP BY s.organization_id, s.user_id, s.start";

const NAMES: &str = "\
SELECT d.entity_id AS user_id, CAST(d.field, 'String') AS field, tupleElement(max(d.latest), \
'value') AS value \
FROM directory_state AS d \
WHERE d.account_id = {account:String} AND d.entity = 'user' AND d.organization_id = '' \
    AND d.entity_id IN {keys:Array(String)} \
GROUP BY d.entity_id, d.field";

const PROJECTS: &str = "\
SELECT d.organization_id AS organization_id, d.entity_id AS project_id, \
tupleElement(max(d.latest), 'value') AS name \
FROM directory_state AS d \
WHERE d.account_id = {account:String} AND d.entity = 'project' AND d.field = 'name' \
    AND (d.organization_id, d.entity_id) IN {keys:Array(Tuple(String, String))} \
GROUP BY d.organization_id, d.entity_id";

#[derive(Row, Deserialize)]
struct KeyRow {
    user_id: String,
    organization_id: String,
    last_assignment_ms: i64,
    last_active_use_ms: Option<i64>,
    activated: bool,
    active: bool,
    total: u64,
}

#[derive(Row, Deserialize)]
struct OpenedRow {
    organization_id: String,
    user_id: String,
    start_ms: i64,
    project_id: String,
    license_source: String,
}

#[derive(Row, Deserialize)]
struct NameRow {
    user_id: String,
    field: String,
    value: String,
}

#[derive(Row, Deserialize)]
struct ProjectRow {
    organization_id: String,
    project_id: String,
    name: String,
}

/// Organizations by the order of their paths: even numbers, equal ones for equal paths.
struct Ranks<'t> {
    ids: Vec<&'t str>,
    ranks: Vec<u64>,
    paths: Vec<String>,
}

impl<'t> Ranks<'t> {
    fn of(tree: &'t OrganizationTree, ids: Vec<&'t str>) -> Self {
        let path = |id: &str| tree.path(id).unwrap_or_else(|| id.to_owned());
        let mut paths: Vec<String> = ids.iter().map(|id| path(id)).collect();
        let of_ids = paths.clone();
        paths.sort_unstable();
        paths.dedup();
        let rank = |path: &String| 2 * paths.partition_point(|other| other < path) as u64 + 2;
        let ranks = of_ids.iter().map(rank).collect();
        Self { ids, ranks, paths }
    }

    /// The number of the path; of one that is not there a number between its neighbours'.
    fn position(&self, path: &str) -> u64 {
        let before = self.paths.partition_point(|other| other.as_str() < path);
        let is_there = self.paths.get(before).is_some_and(|other| other == path);
        2 * before as u64 + if is_there { 2 } else { 1 }
    }
}

impl Store {
    /// A page of the account's assignments, one row more than its limit if there are as many, and
    /// how many there are on all pages.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn assignment_page(
        &self,
        account: &str,
        request: &AssignmentsRequest,
        page: &Page<AssignmentPosition>,
        now_ms: i64,
        (scope, tree): (&Scope<'_>, &OrganizationTree),
    ) -> Result<(Vec<Assignment>, u64), StoreError> {
        if is_cut(page) {
            return self.assignments(account, request, page, now_ms).await;
        }
        let place = (scope, tree);
        if let Some(few) = self.few_assignments(account, request, page, now_ms, place).await? {
            return Ok(few);
        }
        self.many_assignments(account, request, page, now_ms, place).await
    }

    /// The same, whatever the number of rows, by queries of keys first and names then.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn many_assignments(
        &self,
        account: &str,
        request: &AssignmentsRequest,
        page: &Page<AssignmentPosition>,
        now_ms: i64,
        (scope, tree): (&Scope<'_>, &OrganizationTree),
    ) -> Result<(Vec<Assignment>, u64), StoreError> {
        let ranked = match scope {
            _ if request.sort.key != SortKey::Organization => None,
            Scope::Account => Some(tree.ids()),
            Scope::Organizations(ids) => Some(ids.clone()),
        };
        let can_rank = ranked.as_ref().is_none_or(|ids| Scope::Organizations(ids.clone()).fits());
        if is_cut(page) || !scope.fits() || !can_rank {
            return self.assignments(account, request, page, now_ms).await;
        }
        let ranks = ranked.map(|ids| Ranks::of(tree, ids));
        let query =
            self.page_query(account, request, page.after.as_ref(), now_ms, scope, ranks.as_ref());
        let keys: Vec<KeyRow> = self.fetch_all(query.param("limit", page.limit + 1)).await?;
        let Some(first) = keys.first() else {
            if page.after.is_none() {
                return Ok((Vec::new(), 0));
            }
            // A page behind the last row says nothing about the total.
            return self.assignments(account, request, page, now_ms).await;
        };
        let total = first.total;
        Ok((self.described(account, keys, tree).await?, total))
    }

    fn page_query(
        &self,
        account: &str,
        request: &AssignmentsRequest,
        after: Option<&AssignmentPosition>,
        now_ms: i64,
        scope: &Scope<'_>,
        ranks: Option<&Ranks<'_>>,
    ) -> Query {
        let seats = seats_sql(request, scope, ranks.is_some());
        // The organization is chosen above.
        let mut anywhere = request.clone();
        anywhere.organization = None;
        let filters = filters(&anywhere);
        let kind = ranks.map(|_| "UInt64");
        let continued = after.map_or_else(String::new, |after| {
            format!(" WHERE {}", continuation(request.sort, after, kind))
        });
        let sql = format!(
            "SELECT r.user_id AS user_id, r.organization_id AS organization_id, \
                toUnixTimestamp64Milli(r.last_assignment) AS last_assignment_ms, \
                toUnixTimestamp64Milli(r.last_active_use) AS last_active_use_ms, r.activated AS \
                activated, \
                r.status = 'active' AS active, r.total AS total \
            FROM (SELECT a.*, count() OVER () AS total FROM ({seats}) AS a{filters}) AS \
            r{continued} \
            ORDER BY {} LIMIT {{limit:UInt64}}",
            order(request.sort)
        );
        let mut query = with_filters(self.read(&sql), account, &anywhere, request.bounds(now_ms));
        if let Scope::Organizations(ids) = scope {
            query = query.param("organizations", ids);
        }
        if let Some(ranks) = ranks {
            query = query.param("ranked", &ranks.ids).param("ranks", &ranks.ranks);
        }
        let Some(after) = after else { return query };
        match (&after.key, ranks) {
            (SortValue::Text(path), Some(ranks)) => query
                .param("after_key", ranks.position(path))
                .param("after_user_id", &after.user_id)
                .param("after_organization_id", &after.organization_id),
            _ => super::reports_assignments::with_position(query, after),
        }
    }

    /// The rows of these keys, with names.
    async fn described(
        &self,
        account: &str,
        keys: Vec<KeyRow>,
        tree: &OrganizationTree,
    ) -> Result<Vec<Assignment>, StoreError> {
        let pairs: Vec<(String, String)> =
            keys.iter().map(|key| (key.organization_id.clone(), key.user_id.clone())).collect();
        let mut users: Vec<String> = keys.iter().map(|key| key.user_id.clone()).collect();
        users.sort_unstable();
        users.dedup();
        let (opened, names): (Vec<OpenedRow>, Vec<NameRow>) = tokio::try_join!(
            self.rows_of(OPENED, account, &pairs),
            self.rows_of(NAMES, account, &users),
        )?;
        let projects = self.project_names(account, &opened).await?;
        let names: HashMap<(String, String), String> =
            names.into_iter().map(|row| ((row.user_id, row.field), row.value)).collect();
        let name = |user: &str, field: &str| {
            names.get(&(user.to_owned(), field.to_owned())).filter(|name| !name.is_empty()).cloned()
        };
        let mut opened: HashMap<(String, String, i64), (String, String)> = opened
            .into_iter()
            .map(|row| {
                (
                    (row.organization_id, row.user_id, row.start_ms),
                    (row.project_id, row.license_source),
                )
            })
            .collect();
        let described = keys.into_iter().map(|key| {
            let place = (key.organization_id.clone(), key.user_id.clone(), key.last_assignment_ms);
            let (project_id, license_source) = opened.remove(&place).unwrap_or_default();
            let project_id = Some(project_id).filter(|id| !id.is_empty());
            let project = project_id.as_ref().map(|id| {
                let known = projects
                    .get(&(key.organization_id.clone(), id.clone()))
                    .filter(|name| !name.is_empty());
                known.unwrap_or(id).clone()
            });
            Assignment {
                user: name(&key.user_id, "name").unwrap_or_else(|| key.user_id.clone()),
                email: name(&key.user_id, "email"),
                license_source,
                organization: tree
                    .path(&key.organization_id)
                    .unwrap_or_else(|| key.organization_id.clone()),
                project_id: project_id.map(Into::into),
                project,
                last_assignment: Timestamp(key.last_assignment_ms),
                last_active_use: key.last_active_use_ms.map(Timestamp),
                activated: key.activated,
                status: if key.active {
                    AssignmentStatus::Active
                } else {
                    AssignmentStatus::Revoked
                },
                user_id: key.user_id.into(),
                organization_id: key.organization_id.into(),
            }
        });
        Ok(described.collect())
    }

    /// The names of the projects that the rows name, by organization and id.
    async fn project_names(
        &self,
        account: &str,
        opened: &[OpenedRow],
    ) -> Result<HashMap<(String, String), String>, StoreError> {
        let mut projects: Vec<(String, String)> = opened
            .iter()
            .filter(|row| !row.project_id.is_empty())
            .map(|row| (row.organization_id.clone(), row.project_id.clone()))
            .collect();
        projects.sort_unstable();
        projects.dedup();
        let names: Vec<ProjectRow> = self.rows_of(PROJECTS, account, &projects).await?;
        Ok(names.into_iter().map(|row| ((row.organization_id, row.project_id), row.name)).collect())
    }

    /// The rows of these keys, asked for in as many requests as their size takes.
    async fn rows_of<K: super::load::Key, R: clickhouse::RowOwned + clickhouse::RowRead>(
        &self,
        sql: &str,
        account: &str,
        keys: &[K],
    ) -> Result<Vec<R>, StoreError> {
        let mut rows = Vec::new();
        for keys in chunks(keys) {
            rows.extend(
                self.fetch_all::<R>(self.read(sql).param("account", account).param("keys", keys))
                    .await?,
            );
        }
        Ok(rows)
    }
}

/// Whether the page's place is told by the beginning of a text alone.
fn is_cut(page: &Page<AssignmentPosition>) -> bool {
    page.after.as_ref().is_some_and(|after| matches!(after.key, SortValue::Beginning(_)))
}

/// The latest seats of the scope, with what the request's order and filters need; `is_ranked`
/// brings the organizations' ranks.
fn seats_sql(request: &AssignmentsRequest, scope: &Scope<'_>, is_ranked: bool) -> String {
    let (mut columns, joins) = user_sql(request);
    let mut opened = "";
    if request.license_source.is_some() {
        columns += ", i.license_source AS license_source";
        opened = ", tupleElement(min(s.opened), 'license_source') AS license_source";
    }
    if is_ranked {
        columns += ", transform(i.organization_id, {ranked:Array(String)}, {ranks:Array(UInt64)}, \
            toUInt64(0)) AS organization";
    }
    let filter = match scope {
        Scope::Account => "",
        Scope::Organizations(_) => " AND s.organization_id IN {organizations:Array(String)}",
    };
    SEATS
        .replace("$columns", &columns)
        .replace("$joins", &joins)
        .replace("$opened", opened)
        .replace("$filter", filter)
}

/// Columns and join of what order and filters need of the users, and of nothing else.
fn user_sql(request: &AssignmentsRequest) -> (String, String) {
    let has_name = request.sort.key == SortKey::User || request.user_part.is_some();
    let has_email = request.sort.key == SortKey::Email || request.email_part.is_some();
    let mut columns = String::new();
    if has_name {
        columns += ", if(n.name = '', i.user_id, n.name) AS user";
    }
    if request.user_part.is_some() {
        columns += ", multiIf(n.name_key != '', n.name_key, n.name != '', n.name, i.user_id) AS \
            user_search_key";
    }
    if has_email {
        columns += ", nullIf(n.email, '') AS email";
    }
    if request.email_part.is_some() {
        columns += ", if(n.email_key = '', n.email, n.email_key) AS email_search_key";
    }
    let joins = match (has_name, has_email) {
        (true, true) => USERS.to_owned(),
        (true, false) => USERS_BY_FIELD.replace("$field", "name"),
        (false, true) => USERS_BY_FIELD.replace("$field", "email"),
        (false, false) => String::new(),
    };
    (columns, joins)
}
