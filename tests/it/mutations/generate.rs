//! Random events with a JSON text of each, varied as far as the contract allows: any field order,
//! any escapes, ids as numbers or strings, nulls for what is absent, unknown fields, any offset,
//! any whitespace.

use std::borrow::Cow;

use chrono::{DateTime, FixedOffset};
use seatmeter::core::calendar::Zone;
use seatmeter::core::event::{Event, EventKind, Origin, PlanKind, TestExecuted};
use seatmeter::core::id::IdRef;

use crate::simulation::dice::Dice;

/// An event and one of its texts.
pub(super) struct Generated {
    pub(super) event: Event<'static>,
    /// The record's value.
    pub(super) text: String,
    /// The record's key.
    pub(super) key: String,
}

/// The members of an object: names, and values as JSON.
type Members = Vec<(&'static str, String)>;

pub(super) fn generate(dice: &mut Dice) -> Generated {
    let time_ms = dice.between(946_684_800_000, 4_102_444_799_999);
    let account = id(dice, 64);
    let (event_source, event_id) = (nonempty_text(dice), nonempty_text(dice));
    let mut data = Members::new();
    push_id(dice, &mut data, "account_id", &account);
    let (event_type, kind) = kind(dice, &mut data, &account, &event_source);
    let envelope = vec![
        ("specversion", "\"1.0\"".to_owned()),
        ("id", json_text(dice, &event_id)),
        ("source", json_text(dice, &event_source)),
        ("type", json_text(dice, event_type)),
        ("time", time_text(dice, time_ms)),
        ("data", json_object(dice, data)),
    ];
    let text = json_object(dice, envelope);
    let key = account.to_string();
    Generated { key, event: Event { id: event_id.into(), time_ms, account, kind }, text }
}

fn kind(
    dice: &mut Dice,
    data: &mut Members,
    account: &IdRef<'static>,
    event_source: &str,
) -> (&'static str, EventKind<'static>) {
    let event_type = *dice.pick(&seatmeter::core::decode::EVENT_TYPES);
    let kind = match event_type {
        "user.login" | "user.action" => EventKind::Activity {
            organization: optional_id(dice, data, "organization_id"),
            user: required_id(dice, data, "user_id"),
        },
        "test.executed" => EventKind::TestExecuted(TestExecuted {
            event_source: Cow::Owned(event_source.to_owned()),
            organization: required_id(dice, data, "organization_id"),
            project: optional_id(dice, data, "project_id"),
            user: optional_id(dice, data, "user_id"),
            origin: origin(dice, data),
            tests: optional_number(dice, data, "tests", (1, 1_000_000), 1),
            duration_ms: optional_number(dice, data, "duration_ms", (0, 1_000_000_000_000), 0),
        }),
        "license.purchased" => EventKind::LicensePurchased { seats: seats(dice, data) },
        "license.allocated" => EventKind::LicenseAllocated {
            organization: required_id(dice, data, "organization_id"),
            seats: seats(dice, data),
        },
        "license.assigned" => EventKind::LicenseAssigned {
            organization: required_id(dice, data, "organization_id"),
            user: required_id(dice, data, "user_id"),
            project: optional_id(dice, data, "project_id"),
            license_source: optional_id(dice, data, "license_source")
                .unwrap_or_else(|| account.clone()),
        },
        "license.revoked" => EventKind::LicenseRevoked {
            organization: required_id(dice, data, "organization_id"),
            user: required_id(dice, data, "user_id"),
        },
        "plan.started" => plan(dice, data, PlanKind::Started),
        "plan.upgraded" => plan(dice, data, PlanKind::Upgraded),
        "plan.adjusted" => plan(dice, data, PlanKind::Adjusted),
        "account.updated" => {
            let timezone = dice.chance(60).then(|| *dice.pick(&Zone::all().collect::<Vec<_>>()));
            let value = timezone.map(|zone| json_text(dice, zone.name()));
            push_optional(dice, data, "timezone", value);
            EventKind::AccountUpdated { name: label(dice, data, "name"), timezone }
        }
        "organization.updated" => EventKind::OrganizationUpdated {
            organization: required_id(dice, data, "organization_id"),
            name: label(dice, data, "name"),
            parent: parent(dice, data),
        },
        "user.updated" => EventKind::UserUpdated {
            user: required_id(dice, data, "user_id"),
            name: label(dice, data, "name"),
            email: label(dice, data, "email"),
        },
        "project.updated" => EventKind::ProjectUpdated {
            organization: required_id(dice, data, "organization_id"),
            project: required_id(dice, data, "project_id"),
            name: label(dice, data, "name"),
        },
        other => panic!("{other} is not generated"),
    };
    (event_type, kind)
}

fn plan(dice: &mut Dice, data: &mut Members, kind: PlanKind) -> EventKind<'static> {
    let monthly_quota = dice.chance(70).then(|| number(dice, (0, 1_000_000_000_000)));
    data.push((
        "monthly_quota",
        monthly_quota.map_or("null".to_owned(), |quota| quota.to_string()),
    ));
    EventKind::Plan {
        kind,
        organization: required_id(dice, data, "organization_id"),
        plan: required_id(dice, data, "plan"),
        monthly_quota,
    }
}

fn seats(dice: &mut Dice, data: &mut Members) -> u64 {
    let seats = number(dice, (0, 1_000_000_000));
    data.push(("seats", seats.to_string()));
    seats
}

fn origin(dice: &mut Dice, data: &mut Members) -> Origin {
    let (origin, name) = *dice.pick(&[(Origin::Run, "run"), (Origin::Upload, "upload")]);
    let value = json_text(dice, name);
    data.push(("origin", value));
    origin
}

fn parent(dice: &mut Dice, data: &mut Members) -> Option<Option<IdRef<'static>>> {
    match dice.below(3) {
        0 => None,
        1 => {
            data.push(("parent_id", "null".to_owned()));
            Some(None)
        }
        _ => Some(Some(required_id(dice, data, "parent_id"))),
    }
}

/// A name or an email; absent, null and empty are the same.
fn label(dice: &mut Dice, data: &mut Members, name: &'static str) -> Option<Cow<'static, str>> {
    let label = dice.chance(70).then(|| text(dice, 20));
    let value = label.as_ref().map(|label| json_text(dice, label));
    push_optional(dice, data, name, value);
    label.filter(|label| !label.is_empty()).map(Cow::Owned)
}

fn required_id(dice: &mut Dice, data: &mut Members, name: &'static str) -> IdRef<'static> {
    let id = id(dice, if name == "user_id" { 128 } else { 64 });
    push_id(dice, data, name, &id);
    id
}

fn optional_id(dice: &mut Dice, data: &mut Members, name: &'static str) -> Option<IdRef<'static>> {
    if dice.chance(60) {
        return Some(required_id(dice, data, name));
    }
    push_optional(dice, data, name, None);
    None
}

fn optional_number(
    dice: &mut Dice,
    data: &mut Members,
    name: &'static str,
    limits: (i64, i64),
    default: u64,
) -> u64 {
    let number = dice.chance(60).then(|| number(dice, limits));
    push_optional(dice, data, name, number.map(|number| number.to_string()));
    number.unwrap_or(default)
}

fn push_optional(dice: &mut Dice, data: &mut Members, name: &'static str, value: Option<String>) {
    match value {
        Some(value) => data.push((name, value)),
        None if dice.chance(50) => data.push((name, "null".to_owned())),
        None => {}
    }
}

fn push_id(dice: &mut Dice, data: &mut Members, name: &'static str, id: &IdRef<'_>) {
    let value = match id {
        IdRef::Number(number) if dice.chance(50) => number.to_string(),
        id => json_text(dice, &id.to_string()),
    };
    data.push((name, value));
}

/// A number within the limits, often a limit itself.
fn number(dice: &mut Dice, (min, max): (i64, i64)) -> u64 {
    let number = match dice.below(4) {
        0 => min,
        1 => max,
        _ => dice.between(min, max),
    };
    u64::try_from(number).unwrap()
}

fn id(dice: &mut Dice, bytes_max: usize) -> IdRef<'static> {
    match dice.below(6) {
        0 => IdRef::Number(number(dice, (0, i64::MAX))),
        1 => IdRef::Number(number(dice, (0, 100))),
        2 => IdRef::Text(Cow::Owned(format!("0{}", dice.below(1000)))),
        3 => IdRef::Text(Cow::Owned("x".repeat(bytes_max))),
        _ => {
            let letters: String =
                (0..1 + dice.below(12)).map(|_| *dice.pick(&ID_CHARACTERS)).collect();
            IdRef::Text(Cow::Owned(format!("{letters}!")))
        }
    }
}

/// No control characters; the longest has 4 bytes.
const ID_CHARACTERS: [char; 14] =
    ['a', 'Z', '0', '9', ' ', '"', '\\', '/', '-', 'é', '\u{a0}', '€', '\u{fffd}', '😀'];

/// Some that ids must not have.
const TEXT_CHARACTERS: [char; 8] =
    ['\0', '\u{8}', '\t', '\n', '\u{1f}', '\u{7f}', '\u{85}', '\u{10ffff}'];

fn text(dice: &mut Dice, characters_max: usize) -> String {
    let character = |dice: &mut Dice| {
        if dice.chance(20) { *dice.pick(&TEXT_CHARACTERS) } else { *dice.pick(&ID_CHARACTERS) }
    };
    (0..dice.below(characters_max + 1)).map(|_| character(dice)).collect()
}

fn nonempty_text(dice: &mut Dice) -> String {
    text(dice, 30) + *dice.pick(&["1", "x", "é"])
}

/// The text as a JSON string, each character as it is or in one of its escapes.
fn json_text(dice: &mut Dice, text: &str) -> String {
    let escape_percent = *dice.pick(&[0, 0, 10, 100]);
    let mut json = String::from("\"");
    for character in text.chars() {
        let short = match character {
            '"' => Some("\\\""),
            '\\' => Some("\\\\"),
            '/' => Some("\\/"),
            '\u{8}' => Some("\\b"),
            '\u{c}' => Some("\\f"),
            '\n' => Some("\\n"),
            '\r' => Some("\\r"),
            '\t' => Some("\\t"),
            _ => None,
        };
        let must = matches!(character, '"' | '\\' | '\0'..='\u{1f}');
        match short {
            Some(short) if must || dice.chance(escape_percent) => json.push_str(short),
            None if must || dice.chance(escape_percent) => {
                let upper = dice.chance(50);
                for unit in character.encode_utf16(&mut [0; 2]) {
                    json.push_str(&if upper {
                        format!("\\u{unit:04X}")
                    } else {
                        format!("\\u{unit:04x}")
                    });
                }
            }
            _ => json.push(character),
        }
    }
    json + "\""
}

/// The instant as RFC 3339, at some offset, with the digits that it needs or more.
fn time_text(dice: &mut Dice, time_ms: i64) -> String {
    let offset_minutes = *dice.pick(&[0, 0, 0, 60, 345, -570, 1439, -1439]);
    let offset = FixedOffset::east_opt(offset_minutes * 60).unwrap();
    let local = DateTime::from_timestamp_millis(time_ms).unwrap().with_timezone(&offset);
    let millisecond = time_ms.rem_euclid(1000);
    let beyond = if dice.chance(30) { "9".repeat(dice.below(9)) } else { String::new() };
    let fraction = match millisecond {
        0 if beyond.is_empty() && dice.chance(50) => String::new(),
        _ => format!(".{millisecond:03}{beyond}"),
    };
    let zone = match offset_minutes {
        0 => (*dice.pick(&["Z", "z", "+00:00", "-00:00"])).to_owned(),
        _ => local.format("%:z").to_string(),
    };
    let separator = *dice.pick(&["T", "T", "t"]);
    let text = format!(
        "{}{separator}{}{fraction}{zone}",
        local.format("%Y-%m-%d"),
        local.format("%H:%M:%S")
    );
    json_text(dice, &text)
}

/// An object of these members and of some unknown ones, in any order.
fn json_object(dice: &mut Dice, mut members: Members) -> String {
    const UNKNOWN: [&str; 8] = [
        "0",
        "-1.5e-7",
        "\"\"",
        "[]",
        "{}",
        "[1,[2,{\"id\":[]}],\"]\"]",
        "{\"data\":{\"account_id\":7},\"\":null}",
        "false",
    ];
    for name in ["comment", "Data", "account", "x"] {
        if dice.chance(15) {
            members.push((name, (*dice.pick(&UNKNOWN)).to_owned()));
        }
    }
    dice.shuffle(&mut members);
    let mut text = format!("{{{}", space(dice));
    for (index, (name, value)) in members.iter().enumerate() {
        if index > 0 {
            text += ",";
        }
        let name = json_text(dice, name);
        text +=
            &format!("{}{name}{}:{}{value}{}", space(dice), space(dice), space(dice), space(dice));
    }
    text + "}"
}

fn space(dice: &mut Dice) -> &'static str {
    dice.pick::<&str>(&["", "", "", "", " ", "\n  ", "\r\n\t"])
}
