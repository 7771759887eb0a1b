//! A page of the license assignments of an account that has few rows: all are read, and put in
//! order here. The query of [`assignment_page`](super::assignment_page) costs more to plan than
//! these rows cost to read. A test holds both to the view `account_license_assignments`.

use std::collections::{BTreeMap, HashMap, HashSet};

use clickhouse::Row;
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;
use super::rows::NO_MINIMUM_MS;
use super::scope::Scope;
use crate::report::assignment_order::{Searched, page_of};
use crate::report::assignments::{Assignment, AssignmentStatus, AssignmentsRequest};
use crate::report::cursor::AssignmentPosition;
use crate::report::page::Page;
use crate::report::tree::OrganizationTree;
use crate::report::value::Timestamp;

/// Organizations of an account from which on its rows are not few.
const ORGANIZATIONS_MAX: usize = 500;
/// Rows of seats that are read, at most. Where there are more, they are not few.
const SEATS_MAX: usize = 2_000;
/// Rows of names that are read, at most.
const NAMES_MAX: usize = 8_000;

const SEATS: &str = "\
SELECT s.organization_id AS organization_id, s.user_id AS user_id, \
    toUnixTimestamp64Milli(s.start) AS start_ms, toUnixTimestamp64Milli(s.end) AS end_ms, \
    s.superseded AS superseded, toUnixTimestamp64Milli(s.first_active) AS first_active_ms, \
    toUnixTimestamp64Milli(s.last_active) AS last_active_ms, \
    tupleElement(s.opened, 'is_unknown') AS is_unknown, \
    tupleElement(s.opened, 'source') AS source, tupleElement(s.opened, 'offset') AS offset, \
    tupleElement(s.opened, 'project_id') AS project_id, \
    tupleElement(s.opened, 'license_source') AS license_source \
FROM seat_intervals AS s \
WHERE s.account_id = {account:String} \
LIMIT {rows:UInt64}";

const NAMES: &str = "\
SELECT CAST(d.entity, 'String') AS entity, d.organization_id AS organization_id, \
    d.entity_id AS entity_id, CAST(d.field, 'String') AS field, \
    toUnixTimestamp64Milli(tupleElement(d.latest, 'time')) AS time_ms, \
    tupleElement(d.latest, 'source') AS source, tupleElement(d.latest, 'offset') AS offset, \
    tupleElement(d.latest, 'value') AS value, \
    tupleElement(d.latest, 'search_key') AS search_key \
FROM directory_state AS d \
WHERE d.account_id = {account:String} AND d.entity IN ('user', 'project') \
LIMIT {rows:UInt64}";

#[derive(Row, Deserialize)]
struct SeatRow {
    organization_id: String,
    user_id: String,
    start_ms: i64,
    end_ms: i64,
    superseded: bool,
    first_active_ms: i64,
    last_active_ms: i64,
    is_unknown: bool,
    source: String,
    offset: u64,
    project_id: String,
    license_source: String,
}

#[derive(Row, Deserialize)]
struct NameRow {
    entity: String,
    organization_id: String,
    entity_id: String,
    field: String,
    time_ms: i64,
    source: String,
    offset: u64,
    value: String,
    search_key: String,
}

/// A seat, of the rows that tell of it.
struct Seat {
    end_ms: i64,
    superseded: bool,
    first_active_ms: i64,
    last_active_ms: i64,
    opened: Opened,
}

/// The column `opened`, in the order by which its least value is found.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Opened {
    is_unknown: bool,
    source: String,
    offset: u64,
    project_id: String,
    license_source: String,
}

/// The column `latest`, in the order by which its greatest value is found.
#[derive(Default, PartialEq, Eq, PartialOrd, Ord)]
struct Latest {
    time_ms: i64,
    source: String,
    offset: u64,
    value: String,
    search_key: String,
}

/// Names by entity, organization, id and field.
struct Names(HashMap<(String, String, String, String), Latest>);

impl Names {
    fn new(rows: Vec<NameRow>) -> Self {
        let mut names: HashMap<_, Latest> = HashMap::new();
        for row in rows {
            let NameRow { time_ms, source, offset, value, search_key, .. } = row;
            let told = Latest { time_ms, source, offset, value, search_key };
            let key = (row.entity, row.organization_id, row.entity_id, row.field);
            let latest = names.entry(key).or_default();
            if told > *latest {
                *latest = told;
            }
        }
        Self(names)
    }

    /// The value, and what it is searched by; empty where there is none.
    fn of(&self, entity: &str, organization: &str, id: &str, field: &str) -> (&str, &str) {
        let key = [entity, organization, id, field].map(str::to_owned).into();
        self.0.get(&key).map_or(("", ""), |latest| (&latest.value, &latest.search_key))
    }
}

impl Store {
    /// As [`Store::assignment_page`]; `None` where the account's rows are too many.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn few_assignments(
        &self,
        account: &str,
        request: &AssignmentsRequest,
        page: &Page<AssignmentPosition>,
        now_ms: i64,
        (scope, tree): (&Scope<'_>, &OrganizationTree),
    ) -> Result<Option<(Vec<Assignment>, u64)>, StoreError> {
        if tree.len() > ORGANIZATIONS_MAX {
            return Ok(None);
        }
        let of_account = |sql| self.read(sql).param("account", account);
        let Some(seats) = self.at_most::<SeatRow>(of_account(SEATS), SEATS_MAX).await? else {
            return Ok(None);
        };
        let Some(names) = self.at_most::<NameRow>(of_account(NAMES), NAMES_MAX).await? else {
            return Ok(None);
        };
        let names = Names::new(names);
        let chosen: Option<HashSet<&str>> = match scope {
            Scope::Account => None,
            Scope::Organizations(ids) => Some(ids.iter().copied().collect()),
        };
        let rows: Vec<Searched> = merged(seats)
            .into_iter()
            .filter(|((organization, ..), seat)| {
                let is_chosen = chosen.as_ref().is_none_or(|ids| ids.contains(&**organization));
                is_chosen && !seat.superseded && !seat.opened.is_unknown
            })
            .map(|(key, seat)| described(key, seat, &names, tree))
            .collect();
        Ok(Some(page_of(rows, request, page, now_ms)))
    }
}

/// Organization, user and start, milliseconds since 1970 UTC.
type SeatKey = (String, String, i64);

fn merged(rows: Vec<SeatRow>) -> BTreeMap<SeatKey, Seat> {
    let mut seats: BTreeMap<SeatKey, Seat> = BTreeMap::new();
    for row in rows {
        let SeatRow { is_unknown, source, offset, project_id, license_source, .. } = row;
        let told = Seat {
            end_ms: row.end_ms,
            superseded: row.superseded,
            first_active_ms: row.first_active_ms,
            last_active_ms: row.last_active_ms,
            opened: Opened { is_unknown, source, offset, project_id, license_source },
        };
        let key = (row.organization_id, row.user_id, row.start_ms);
        match seats.entry(key) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(told);
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => entry.get_mut().add(told),
        }
    }
    seats
}

impl Seat {
    fn add(&mut self, told: Seat) {
        self.end_ms = self.end_ms.min(told.end_ms);
        self.superseded |= told.superseded;
        self.first_active_ms = self.first_active_ms.min(told.first_active_ms);
        self.last_active_ms = self.last_active_ms.max(told.last_active_ms);
        if told.opened < self.opened {
            self.opened = told.opened;
        }
    }
}

fn described(
    (organization, user, start_ms): SeatKey,
    seat: Seat,
    names: &Names,
    tree: &OrganizationTree,
) -> Searched {
    let (name, name_key) = names.of("user", "", &user, "name");
    let (email, email_key) = names.of("user", "", &user, "email");
    let Opened { project_id, license_source, .. } = seat.opened;
    let (project, _) = names.of("project", &organization, &project_id, "name");
    let first_of = |texts: [&str; 3]| {
        texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default().to_owned()
    };
    let activated = seat.first_active_ms < seat.end_ms;
    let project = (!project_id.is_empty()).then(|| first_of([project, &project_id, ""]));
    Searched {
        user_key: first_of([name_key, name, &user]),
        email_key: first_of([email_key, email, ""]),
        row: Assignment {
            user: first_of([name, &user, ""]),
            email: Some(email.to_owned()).filter(|email| !email.is_empty()),
            license_source,
            organization: tree.path(&organization).unwrap_or_else(|| organization.clone()),
            project_id: Some(project_id).filter(|id| !id.is_empty()).map(Into::into),
            project,
            last_assignment: Timestamp(start_ms),
            last_active_use: activated.then(|| Timestamp(seat.last_active_ms.min(seat.end_ms))),
            activated,
            status: if seat.end_ms < NO_MINIMUM_MS {
                AssignmentStatus::Revoked
            } else {
                AssignmentStatus::Active
            },
            user_id: user.into(),
            organization_id: organization.into(),
        },
    }
}
