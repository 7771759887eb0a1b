//! Validates `data` by the event type: the rows of the contract's table, each field in the row's
//! order.

use std::borrow::Cow;

use super::envelope::{Fields, is};
use super::json::Raw;
use super::value::{id, integer, optional, required, short_text, text, user_id};
use crate::core::calendar::Zone;
use crate::core::event::{EventKind, Origin, PlanKind, Reject, TestExecuted};
use crate::core::id::IdRef;

/// The most seats.
const SEATS_MAX: u64 = 1_000_000_000;

/// The highest quota, tests per month.
const MONTHLY_QUOTA_MAX: u64 = 1_000_000_000_000;

/// The longest duration of one event's tests together.
const DURATION_MAX_MS: u64 = 1_000_000_000_000;

/// The most tests of one event.
const TESTS_MAX: u64 = 1_000_000;

/// The names of all event types, in the order of the contract's table.
pub const EVENT_TYPES: [&str; 14] = [
    "user.login",
    "user.action",
    "test.executed",
    "license.purchased",
    "license.allocated",
    "license.assigned",
    "license.revoked",
    "plan.started",
    "plan.upgraded",
    "plan.adjusted",
    "account.updated",
    "organization.updated",
    "user.updated",
    "project.updated",
];

/// A known value of the envelope's `type`. The two activities share a variant; so do the plans,
/// with their kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventType {
    Activity,
    TestExecuted,
    LicensePurchased,
    LicenseAllocated,
    LicenseAssigned,
    LicenseRevoked,
    Plan(PlanKind),
    AccountUpdated,
    OrganizationUpdated,
    UserUpdated,
    ProjectUpdated,
}

impl EventType {
    /// The type with that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        let name = name.as_bytes();
        Some(match name.len() {
            10 if is(name, b"user.login") => Self::Activity,
            11 if is(name, b"user.action") => Self::Activity,
            12 if is(name, b"plan.started") => Self::Plan(PlanKind::Started),
            12 if is(name, b"user.updated") => Self::UserUpdated,
            13 if is(name, b"test.executed") => Self::TestExecuted,
            13 if is(name, b"plan.upgraded") => Self::Plan(PlanKind::Upgraded),
            13 if is(name, b"plan.adjusted") => Self::Plan(PlanKind::Adjusted),
            15 if is(name, b"license.revoked") => Self::LicenseRevoked,
            15 if is(name, b"account.updated") => Self::AccountUpdated,
            15 if is(name, b"project.updated") => Self::ProjectUpdated,
            16 if is(name, b"license.assigned") => Self::LicenseAssigned,
            17 if is(name, b"license.purchased") => Self::LicensePurchased,
            17 if is(name, b"license.allocated") => Self::LicenseAllocated,
            20 if is(name, b"organization.updated") => Self::OrganizationUpdated,
            _ => return None,
        })
    }
}

/// The account and the meaning of an event. `event_source` is the envelope's `source`.
#[inline(always)]
pub(super) fn judge<'a>(
    event_type: EventType,
    fields: &Fields<'a>,
    event_source: Cow<'a, str>,
) -> Result<(IdRef<'a>, EventKind<'a>), Reject> {
    // Every row of the table starts with the account.
    let account = required("data.account_id", fields.account_id, id)?;
    let kind = match event_type {
        EventType::Activity => EventKind::Activity {
            organization: fields.organization_if_given()?,
            user: fields.user()?,
        },
        EventType::TestExecuted => test_executed(fields, event_source)?,
        EventType::LicensePurchased => EventKind::LicensePurchased { seats: fields.seats()? },
        EventType::LicenseAllocated => EventKind::LicenseAllocated {
            organization: fields.organization()?,
            seats: fields.seats()?,
        },
        EventType::LicenseAssigned => EventKind::LicenseAssigned {
            organization: fields.organization()?,
            user: fields.user()?,
            project: fields.project_if_given()?,
            license_source: optional("data.license_source", fields.license_source, id)?
                .unwrap_or_else(|| account.clone()),
        },
        EventType::LicenseRevoked => {
            EventKind::LicenseRevoked { organization: fields.organization()?, user: fields.user()? }
        }
        EventType::Plan(kind) => EventKind::Plan {
            kind,
            organization: fields.organization()?,
            plan: required("data.plan", fields.plan, id)?,
            monthly_quota: fields.monthly_quota()?,
        },
        EventType::AccountUpdated => EventKind::AccountUpdated {
            name: fields.name()?,
            timezone: optional("data.timezone", fields.timezone, timezone)?,
        },
        EventType::OrganizationUpdated => EventKind::OrganizationUpdated {
            organization: fields.organization()?,
            name: fields.name()?,
            parent: fields.parent()?,
        },
        EventType::UserUpdated => EventKind::UserUpdated {
            user: fields.user()?,
            name: fields.name()?,
            email: label("data.email", fields.email)?,
        },
        EventType::ProjectUpdated => EventKind::ProjectUpdated {
            organization: fields.organization()?,
            project: required("data.project_id", fields.project_id, id)?,
            name: fields.name()?,
        },
    };
    Ok((account, kind))
}

fn test_executed<'a>(
    fields: &Fields<'a>,
    event_source: Cow<'a, str>,
) -> Result<EventKind<'a>, Reject> {
    Ok(EventKind::TestExecuted(TestExecuted {
        event_source,
        organization: fields.organization()?,
        project: fields.project_if_given()?,
        user: optional("data.user_id", fields.user_id, user_id)?,
        origin: required("data.origin", fields.origin, origin)?,
        tests: optional("data.tests", fields.tests, |raw| integer(raw, 1, TESTS_MAX))?.unwrap_or(1),
        duration_ms: optional("data.duration_ms", fields.duration_ms, |raw| {
            integer(raw, 0, DURATION_MAX_MS)
        })?
        .unwrap_or(0),
    }))
}

/// Fields that mean the same wherever they occur.
impl<'a> Fields<'a> {
    fn organization(&self) -> Result<IdRef<'a>, Reject> {
        required("data.organization_id", self.organization_id, id)
    }

    fn organization_if_given(&self) -> Result<Option<IdRef<'a>>, Reject> {
        optional("data.organization_id", self.organization_id, id)
    }

    fn project_if_given(&self) -> Result<Option<IdRef<'a>>, Reject> {
        optional("data.project_id", self.project_id, id)
    }

    fn user(&self) -> Result<IdRef<'a>, Reject> {
        required("data.user_id", self.user_id, user_id)
    }

    fn seats(&self) -> Result<u64, Reject> {
        required("data.seats", self.seats, |raw| integer(raw, 0, SEATS_MAX))
    }

    fn name(&self) -> Result<Option<Cow<'a, str>>, Reject> {
        label("data.name", self.name)
    }

    /// Unlike elsewhere, null is a value here: unlimited.
    fn monthly_quota(&self) -> Result<Option<u64>, Reject> {
        if self.monthly_quota == Raw::Null {
            return Ok(None);
        }
        required("data.monthly_quota", self.monthly_quota, |raw| integer(raw, 0, MONTHLY_QUOTA_MAX))
            .map(Some)
    }

    /// Unlike elsewhere, null is a value here: top level. Absent, the parent stays as it was.
    fn parent(&self) -> Result<Option<Option<IdRef<'a>>>, Reject> {
        if self.parent_id == Raw::Null {
            return Ok(Some(None));
        }
        Ok(optional("data.parent_id", self.parent_id, id)?.map(Some))
    }
}

/// A name or an email: any bounded string, an empty one counting as absent.
fn label<'a>(path: &'static str, raw: Raw<'a>) -> Result<Option<Cow<'a, str>>, Reject> {
    Ok(optional(path, raw, short_text)?.filter(|label| !label.is_empty()))
}

fn origin(raw: Raw<'_>) -> Option<Origin> {
    match text(raw)?.as_ref() {
        "run" => Some(Origin::Run),
        "upload" => Some(Origin::Upload),
        _ => None,
    }
}

fn timezone(raw: Raw<'_>) -> Option<Zone> {
    text(raw)?.parse().ok()
}
