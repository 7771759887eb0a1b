//! Order and filters of license assignments that are all at hand.

use std::cmp::Ordering;

use super::assignments::{
    Assignment, AssignmentStatus, AssignmentsRequest, Bounds, Sort, SortKey, StatusFilter,
};
use super::cursor::{AssignmentPosition, SortValue};
use super::page::Page;

/// An assignment, with what it is searched by.
#[derive(Clone, Debug)]
pub struct Searched {
    /// The assignment.
    pub row: Assignment,
    /// [`search_key`](super::search::search_key) of the user's name.
    pub user_key: String,
    /// [`search_key`](super::search::search_key) of the e-mail address, empty where there is none.
    pub email_key: String,
}

/// A value that rows are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    Text(&'a str),
    Time(i64),
}

/// Where a row stands: its value, which may be null, its user and its organization.
type Place<'a> = (Option<Key<'a>>, &'a str, &'a str);

/// The page of the rows that are asked for, one row more than its limit if there are as many, and
/// how many there are on all pages. `rows` are all of the organizations that are asked for. A
/// position must not hold the beginning of a text alone.
pub fn page_of(
    rows: Vec<Searched>,
    request: &AssignmentsRequest,
    page: &Page<AssignmentPosition>,
    now_ms: i64,
) -> (Vec<Assignment>, u64) {
    let bounds = request.bounds(now_ms);
    let matching = rows.into_iter().filter(|row| matches(row, request, bounds));
    let mut rows: Vec<Assignment> = matching.map(|searched| searched.row).collect();
    let total = rows.len() as u64;
    let sort = request.sort;
    rows.sort_unstable_by(|a, b| compared(sort, place(a, sort.key), place(b, sort.key)));
    if let Some(after) = &page.after {
        let after = place_of(after);
        let passed =
            rows.partition_point(|row| compared(sort, place(row, sort.key), after).is_le());
        rows.drain(..passed);
    }
    rows.truncate(page.limit + 1);
    (rows, total)
}

fn matches(searched: &Searched, request: &AssignmentsRequest, bounds: Bounds) -> bool {
    let Searched { row, user_key, email_key } = searched;
    let is_part = |part: &Option<String>, key: &str| {
        part.as_ref().is_none_or(|part| key.contains(part.as_str()))
    };
    let is_asked = match request.status {
        StatusFilter::Active => row.status == AssignmentStatus::Active,
        StatusFilter::Revoked => row.status == AssignmentStatus::Revoked,
        StatusFilter::All => true,
    };
    is_asked
        && request.license_source.as_ref().is_none_or(|source| **source == *row.license_source)
        && is_part(&request.user_part, user_key)
        && is_part(&request.email_part, email_key)
        && request.activated.is_none_or(|activated| activated == row.activated)
        && bounds.inactive_before_ms.is_none_or(|before_ms| {
            row.last_active_use.is_none_or(|last_use| last_use.0 < before_ms)
        })
        && bounds.held_since_ms.is_none_or(|since_ms| row.last_assignment.0 <= since_ms)
}

fn place(row: &Assignment, key: SortKey) -> Place<'_> {
    let key = match key {
        SortKey::User => Some(Key::Text(&row.user)),
        SortKey::Email => row.email.as_deref().map(Key::Text),
        SortKey::Organization => Some(Key::Text(&row.organization)),
        SortKey::LastAssignment => Some(Key::Time(row.last_assignment.0)),
        SortKey::LastActiveUse => row.last_active_use.map(|time| Key::Time(time.0)),
    };
    (key, &row.user_id, &row.organization_id)
}

fn place_of(position: &AssignmentPosition) -> Place<'_> {
    let key = match &position.key {
        SortValue::Null => None,
        SortValue::Text(text) | SortValue::Beginning(text) => Some(Key::Text(text)),
        SortValue::Time(time_ms) => Some(Key::Time(*time_ms)),
    };
    (key, &position.user_id, &position.organization_id)
}

/// Nulls come last in both directions, and ties go by the ids, ascending.
fn compared(sort: Sort, (a, user_a, organization_a): Place<'_>, b: Place<'_>) -> Ordering {
    let (b, user_b, organization_b) = b;
    let by_key = match (a, b) {
        (Some(a), Some(b)) if sort.descending => b.cmp(&a),
        (Some(a), Some(b)) => a.cmp(&b),
        (a, b) => a.is_none().cmp(&b.is_none()),
    };
    by_key.then_with(|| (user_a, organization_a).cmp(&(user_b, organization_b)))
}
