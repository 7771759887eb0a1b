//! License assignments: who holds a seat, and who really uses it.

use serde::Serialize;
use utoipa::ToSchema;

use super::csv::{Cell, Table};
use super::cursor::{AssignmentPosition, SortValue};
use super::id::{AccountId, OrganizationId, ProjectId, UserId};
use super::page::{Page, refuse_pages};
use super::period::{EVENT_TIME_MAX_MS, Pinned};
use super::query::{BadParameter, Query};
use super::search::search_key;
use super::subject::Subject;
use super::value::Timestamp;
use crate::core::calendar::Zone;

/// The longest inactivity, and the longest time that a seat is held, that can be asked for, days.
const DAYS_MAX: u32 = 100_000;

const DAY_MS: i64 = 86_400_000;

/// Which assignments are asked for, and in which order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AssignmentsRequest {
    /// Only this organization and all below it.
    pub organization: Option<OrganizationId>,
    /// Only seats taken from this licence.
    pub license_source: Option<String>,
    /// Part of the user's name, by its [`search_key`].
    pub user_part: Option<String>,
    /// Part of the e-mail address, by its [`search_key`].
    pub email_part: Option<String>,
    pub status: StatusFilter,
    pub activated: Option<bool>,
    /// Never used, or last before `as_of` less that many times 24 hours.
    pub inactive_days: Option<u32>,
    /// Assigned at or before `as_of` less that many times 24 hours.
    pub held_days: Option<u32>,
    pub sort: Sort,
    as_of_ms: Option<i64>,
}

/// The instants that filters go by, milliseconds since 1970 UTC; `None` where a filter is not asked
/// for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Before it lies the last use of an inactive seat.
    pub inactive_before_ms: Option<i64>,
    /// At or before it the seat was assigned.
    pub held_since_ms: Option<i64>,
}

/// Which seats are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatusFilter {
    Active,
    Revoked,
    All,
}

/// The order of the rows; ties go by user id, then organization id, ascending, and nulls come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sort {
    pub key: SortKey,
    pub descending: bool,
}

/// The column that rows are sorted by: text by code point, times by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SortKey {
    User,
    Email,
    Organization,
    LastAssignment,
    LastActiveUse,
}

impl SortKey {
    /// Every key.
    pub const ALL: [Self; 5] =
        [Self::User, Self::Email, Self::Organization, Self::LastAssignment, Self::LastActiveUse];

    /// The name in queries, which is also the column's.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Email => "email",
            Self::Organization => "organization",
            Self::LastAssignment => "last_assignment",
            Self::LastActiveUse => "last_active_use",
        }
    }
}

impl Sort {
    fn parse(text: &str) -> Result<Self, String> {
        let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
        let key = SortKey::ALL.into_iter().find(|key| key.as_str() == name);
        key.map(|key| Self { key, descending }).ok_or_else(|| {
            "Not one of user, email, organization, last_assignment, last_active_use, with - before \
            it for descending."
                .to_owned()
        })
    }
}

impl AssignmentsRequest {
    /// Takes the parameters of a request for all rows, as CSV has them.
    pub fn parse_all(mut query: Query) -> Result<Self, BadParameter> {
        let request = Self::take(&mut query)?;
        refuse_pages(&mut query)?;
        query.finish()?;
        Ok(request)
    }

    /// Takes the parameters of a request for a page of the account's rows.
    pub fn parse_page(
        account: &str,
        mut query: Query,
    ) -> Result<(Self, Page<AssignmentPosition>), BadParameter> {
        let request = Self::take(&mut query)?;
        let page = Page::take(&mut query, "account and query", |cursor| {
            AssignmentPosition::decode(cursor, &request.scope(account))
                .filter(|position| request.sorts_by(&position.key))
        })?;
        query.finish()?;
        Ok((request, page))
    }

    fn take(query: &mut Query) -> Result<Self, BadParameter> {
        let status = query.take_parsed("status", |value| match value {
            "active" => Ok(StatusFilter::Active),
            "revoked" => Ok(StatusFilter::Revoked),
            "all" => Ok(StatusFilter::All),
            _ => Err("Not one of active, revoked, all.".to_owned()),
        })?;
        let activated = query.take_parsed("activated", |value| match value {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("Neither true nor false.".to_owned()),
        })?;
        Ok(Self {
            organization: query.take_id("organization_id")?,
            license_source: query.take_id("license_source")?,
            user_part: query.take_text("user")?.map(|part| search_key(&part)),
            email_part: query.take_text("email")?.map(|part| search_key(&part)),
            status: status.unwrap_or(StatusFilter::Active),
            activated,
            inactive_days: query.take_number("inactive_days", 0..=DAYS_MAX)?,
            held_days: query.take_number("held_days", 0..=DAYS_MAX)?,
            sort: query
                .take_parsed("sort", Sort::parse)?
                .unwrap_or(Sort { key: SortKey::User, descending: false }),
            as_of_ms: query.take_instant("as_of")?,
        })
    }

    /// Whether the rows change as now moves on.
    pub fn pinned(&self) -> Pinned {
        let goes_by_instant = self.inactive_days.is_some() || self.held_days.is_some();
        if goes_by_instant && self.as_of_ms.is_none() { Pinned::Never } else { Pinned::Always }
    }

    /// The instants that the filters go by. `now_ms` stands in for an `as_of` that was not given.
    pub fn bounds(&self, now_ms: i64) -> Bounds {
        // Nothing happens outside, so an instant beyond asks for the same.
        let before_as_of = |days: u32| {
            let as_of_ms = self.as_of_ms.unwrap_or(now_ms);
            (as_of_ms - i64::from(days) * DAY_MS).clamp(0, EVENT_TIME_MAX_MS)
        };
        Bounds {
            inactive_before_ms: self.inactive_days.map(before_as_of),
            held_since_ms: self.held_days.map(before_as_of),
        }
    }

    /// The order of the rows, in words that differ from those of any other.
    pub fn order(&self) -> String {
        format!("{:?}", self.sort)
    }

    /// Names the account and everything that decides which rows there are and how they are ordered.
    fn scope(&self, account: &str) -> String {
        let fields: [&dyn std::fmt::Debug; 11] = [
            &account,
            &self.organization,
            &self.license_source,
            &self.user_part,
            &self.email_part,
            &self.status,
            &self.activated,
            &self.inactive_days,
            &self.held_days,
            &self.sort,
            &self.as_of_ms,
        ];
        format!("{fields:?}")
    }

    fn sorts_by(&self, value: &SortValue) -> bool {
        let is_text =
            matches!(self.sort.key, SortKey::User | SortKey::Email | SortKey::Organization);
        match value {
            SortValue::Null => matches!(self.sort.key, SortKey::Email | SortKey::LastActiveUse),
            SortValue::Text(_) | SortValue::Beginning(_) => is_text,
            SortValue::Time(_) => !is_text,
        }
    }
}

/// The latest seat of a user in an organization; also the form in which the store gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Assignment {
    /// The user.
    #[schema(value_type = String, example = "9013")]
    pub user_id: UserId,
    /// The user's name, the id until there is one.
    #[schema(example = "Ada Lovelace")]
    pub user: String,
    /// The user's e-mail address.
    #[schema(example = "ada@example.com", required = true)]
    pub email: Option<String>,
    /// The licence that the seat is taken from.
    #[schema(example = "acme")]
    pub license_source: String,
    /// The organization of the seat.
    #[schema(value_type = String, example = "42")]
    pub organization_id: OrganizationId,
    /// Its path: the names from the top of the tree down, joined by ` / `.
    #[schema(example = "Acme / Quality")]
    pub organization: String,
    /// The project that the assignment named.
    #[schema(value_type = Option<String>, example = "7", required = true)]
    pub project_id: Option<ProjectId>,
    /// Its name, the id until it has one.
    #[schema(example = "Checkout", required = true)]
    pub project: Option<String>,
    /// When the seat was last assigned.
    pub last_assignment: Timestamp,
    /// The last activity while holding it.
    #[schema(required = true)]
    pub last_active_use: Option<Timestamp>,
    /// Whether the user was active while holding it.
    pub activated: bool,
    pub status: AssignmentStatus,
}

/// Whether a seat is still held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AssignmentStatus {
    Active,
    Revoked,
}

/// A page of the license assignments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AssignmentsReport {
    #[serde(flatten)]
    pub subject: Subject,
    /// The rows of this page.
    pub rows: Vec<Assignment>,
    /// How many rows there are on all pages.
    #[schema(example = 1)]
    pub total: u64,
    /// `cursor` of the next page; null on the last one.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

impl AssignmentsReport {
    /// Puts a page together. `rows` are those after the page's start, one more than the limit if
    /// there are as many.
    pub fn assemble(
        account: &AccountId,
        request: &AssignmentsRequest,
        page: &Page<AssignmentPosition>,
        zone: Zone,
        mut rows: Vec<Assignment>,
        total: u64,
    ) -> Self {
        let more = rows.len() > page.limit;
        rows.truncate(page.limit);
        let last = rows.last().filter(|_| more);
        let next_cursor =
            last.map(|row| position_of(row, request.sort.key).encode(&request.scope(account)));
        Self {
            subject: Subject::new(account, request.organization.as_ref(), zone),
            rows,
            total,
            next_cursor,
        }
    }
}

fn position_of(row: &Assignment, key: SortKey) -> AssignmentPosition {
    let text = |text: &String| SortValue::text(text);
    let key = match key {
        SortKey::User => text(&row.user),
        SortKey::Email => row.email.as_ref().map_or(SortValue::Null, text),
        SortKey::Organization => text(&row.organization),
        SortKey::LastAssignment => SortValue::Time(row.last_assignment.0),
        SortKey::LastActiveUse => {
            row.last_active_use.map_or(SortValue::Null, |time| SortValue::Time(time.0))
        }
    };
    AssignmentPosition {
        key,
        user_id: row.user_id.clone(),
        organization_id: row.organization_id.clone(),
    }
}

/// An empty CSV of assignments, with its header.
pub fn table() -> Table {
    let header = [
        "User",
        "Email",
        "License Source",
        "Organization",
        "TestOps Project",
        "Last Assignment",
        "Last Active Use",
    ];
    Table::new(&header)
}

/// The line of a row.
pub fn cells(row: Assignment) -> [Cell; 7] {
    [
        Cell::Text(row.user),
        Cell::text(row.email),
        Cell::Text(row.license_source),
        Cell::Text(row.organization),
        Cell::text(row.project),
        Cell::Plain(row.last_assignment.to_string()),
        Cell::Plain(row.last_active_use.map_or_else(String::new, |time| time.to_string())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(raw: &str) -> Result<(AssignmentsRequest, Page<AssignmentPosition>), String> {
        Query::parse(Some(raw))
            .and_then(|query| AssignmentsRequest::parse_page("acme", query))
            .map_err(|fault| fault.parameter)
    }

    fn row(user: &str) -> Assignment {
        Assignment {
            user_id: user.into(),
            user: format!("Name {user}"),
            email: None,
            license_source: "acme".to_owned(),
            organization_id: "42".into(),
            organization: "=Acme".to_owned(),
            project_id: None,
            project: None,
            last_assignment: Timestamp(0),
            last_active_use: None,
            activated: false,
            status: AssignmentStatus::Active,
        }
    }

    #[test]
    fn bad_values_name_their_parameter() {
        for (raw, parameter) in [
            ("status=open", "status"),
            ("activated=1", "activated"),
            ("inactive_days=-1", "inactive_days"),
            ("inactive_days=100001", "inactive_days"),
            ("held_days=-1", "held_days"),
            ("held_days=100001", "held_days"),
            ("sort=name", "sort"),
            ("sort=--user", "sort"),
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("cursor=abc", "cursor"),
            ("license_source=", "license_source"),
            ("from=2026-01-01", "from"),
        ] {
            assert_eq!(page(raw).map(drop), Err(parameter.to_owned()), "{raw}");
        }
        let query = Query::parse(Some("limit=10")).unwrap();
        assert_eq!(AssignmentsRequest::parse_all(query).unwrap_err().parameter, "limit");
    }

    #[test]
    fn the_next_cursor_continues_the_same_query_alone() {
        let (request, first) = page("limit=1&sort=email").unwrap();
        let rows = vec![row("1"), row("2")];
        let report =
            AssignmentsReport::assemble(&"acme".into(), &request, &first, Zone::UTC, rows, 2);
        assert_eq!(report.rows.len(), 1);
        let cursor = report.next_cursor.unwrap();
        let (_, second) = page(&format!("limit=5&sort=email&cursor={cursor}")).unwrap();
        let position = second.after.unwrap();
        assert_eq!((position.key, position.user_id), (SortValue::Null, UserId::from("1")));
        for other in [
            "sort=-email",
            "sort=user",
            "sort=email&status=all",
            "sort=email&user=x",
            "sort=email&held_days=1",
        ] {
            assert_eq!(
                page(&format!("{other}&cursor={cursor}")).map(drop),
                Err("cursor".to_owned()),
                "{other}"
            );
        }
        let query = Query::parse(Some(&format!("sort=email&cursor={cursor}"))).unwrap();
        assert!(AssignmentsRequest::parse_page("other", query).is_err());
    }

    #[test]
    fn the_last_page_has_no_cursor() {
        let (request, first) = page("limit=2").unwrap();
        let report = AssignmentsReport::assemble(
            &"acme".into(),
            &request,
            &first,
            Zone::UTC,
            vec![row("1"), row("2")],
            2,
        );
        assert_eq!(report.next_cursor, None);
    }

    #[test]
    fn a_day_is_24_hours_back_from_as_of() {
        let bounds = |raw: &str, now_ms| page(raw).unwrap().0.bounds(now_ms);
        let as_of = "as_of=2026-06-20T12:00:00Z";
        let found = bounds(&format!("inactive_days=30&held_days=1&{as_of}"), 0);
        let text = |time_ms: Option<i64>| Timestamp(time_ms.unwrap()).to_string();
        assert_eq!(text(found.inactive_before_ms), "2026-05-21T12:00:00.000Z");
        assert_eq!(text(found.held_since_ms), "2026-06-19T12:00:00.000Z");
        let none = Bounds { inactive_before_ms: None, held_since_ms: None };
        assert_eq!(bounds("inactive_days=100000", 1).inactive_before_ms, Some(0));
        assert_eq!(bounds("held_days=100000", 1), Bounds { held_since_ms: Some(0), ..none });
        assert_eq!(bounds("", 1), none);
    }

    #[test]
    fn rows_that_go_by_the_instant_change_as_now_moves_on() {
        for (raw, pinned) in [
            ("", Pinned::Always),
            ("inactive_days=1", Pinned::Never),
            ("held_days=1", Pinned::Never),
            ("held_days=1&as_of=2026-06-20T12:00:00Z", Pinned::Always),
        ] {
            assert_eq!(page(raw).unwrap().0.pinned(), pinned, "{raw}");
        }
    }

    #[test]
    fn lines_follow_the_header() {
        let mut table = table();
        table.row(cells(row("1")));
        assert_eq!(
            String::from_utf8(table.take_bytes()).unwrap(),
            "User,Email,License Source,Organization,TestOps Project,Last Assignment,Last Active \
            Use\r\n\
             Name 1,,acme,'=Acme,,1970-01-01T00:00:00.000Z,\r\n"
        );
    }
}
