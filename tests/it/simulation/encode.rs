//! Events to bytes, in all the ways of producers: any field order, ids as numbers or strings, nulls
//! for what is absent, unknown fields, any UTC offset, digits beyond the millisecond.

use chrono::{FixedOffset, Timelike};
use serde_json::{Value, json};

use super::dice::Dice;
use super::log::{Kind, SimEvent, Test};
use super::naive_calendar::utc;

/// The fields of a JSON object, in the order in which they will be written.
pub(super) type Fields = Vec<(&'static str, Value)>;

/// The `type` of an event.
fn type_of(kind: &Kind, dice: &mut Dice) -> &'static str {
    match kind {
        Kind::Activity { .. } => ["user.login", "user.action"][dice.below(2)],
        Kind::Test(_) => "test.executed",
        Kind::Purchased { .. } => "license.purchased",
        Kind::Allocated { .. } => "license.allocated",
        Kind::Assigned { .. } => "license.assigned",
        Kind::Revoked { .. } => "license.revoked",
        Kind::Plan { kind: "started", .. } => "plan.started",
        Kind::Plan { kind: "upgraded", .. } => "plan.upgraded",
        Kind::Plan { .. } => "plan.adjusted",
        Kind::Account { .. } => "account.updated",
        Kind::Organization { .. } => "organization.updated",
        Kind::User { .. } => "user.updated",
        Kind::Project { .. } => "project.updated",
    }
}

/// RFC 3339 with a random offset.
fn time_text(time_ms: i64, dice: &mut Dice) -> String {
    let minutes = *dice.pick(&[0, 0, 330, -210, 14 * 60, -12 * 60]);
    let offset = FixedOffset::east_opt(minutes * 60).expect("within a day");
    let local = utc(time_ms).with_timezone(&offset);
    let beyond = *dice.pick(&["", "", "9", "999999"]);
    let zone = if minutes == 0 { "Z".to_owned() } else { local.format("%:z").to_string() };
    format!(
        "{}.{:03}{beyond}{zone}",
        local.format("%Y-%m-%dT%H:%M:%S"),
        local.nanosecond() / 1_000_000
    )
}

/// A canonical decimal goes out as a number half of the time.
fn id(text: &str, dice: &mut Dice) -> Value {
    match text.parse::<i64>() {
        Ok(number) if number.to_string() == text && dice.chance(50) => json!(number),
        _ => json!(text),
    }
}

/// An optional field: absent where there is no value, or null.
fn optional(fields: &mut Fields, name: &'static str, value: Option<Value>, dice: &mut Dice) {
    match value {
        Some(value) => fields.push((name, value)),
        None if dice.chance(30) => fields.push((name, Value::Null)),
        None => {}
    }
}

fn test_data(fields: &mut Fields, test: &Test, dice: &mut Dice) {
    fields.push(("organization_id", id(&test.organization, dice)));
    let project = test.project.as_ref().map(|project| id(project, dice));
    optional(fields, "project_id", project, dice);
    let user = test.user.as_ref().map(|user| id(user, dice));
    optional(fields, "user_id", user, dice);
    fields.push(("origin", json!(if test.is_upload { "upload" } else { "run" })));
    let tests = (test.tests != 1 || dice.chance(50)).then(|| json!(test.tests));
    optional(fields, "tests", tests, dice);
    let duration_ms = (test.duration_ms != 0 || dice.chance(50)).then(|| json!(test.duration_ms));
    optional(fields, "duration_ms", duration_ms, dice);
}

fn data(event: &SimEvent, dice: &mut Dice) -> Fields {
    let mut fields = vec![("account_id", id(&event.account, dice))];
    match &event.kind {
        Kind::Activity { organization, user } => {
            let organization = organization.as_ref().map(|organization| id(organization, dice));
            optional(&mut fields, "organization_id", organization, dice);
            fields.push(("user_id", id(user, dice)));
        }
        Kind::Test(test) => test_data(&mut fields, test, dice),
        Kind::Purchased { seats } => fields.push(("seats", json!(seats))),
        Kind::Allocated { organization, seats } => {
            fields.extend([("organization_id", id(organization, dice)), ("seats", json!(seats))]);
        }
        Kind::Assigned { organization, user, project, license_source } => {
            fields
                .extend([("organization_id", id(organization, dice)), ("user_id", id(user, dice))]);
            let project = project.as_ref().map(|project| id(project, dice));
            optional(&mut fields, "project_id", project, dice);
            let license_source = license_source.as_ref().map(|source| id(source, dice));
            optional(&mut fields, "license_source", license_source, dice);
        }
        Kind::Revoked { organization, user } => {
            fields
                .extend([("organization_id", id(organization, dice)), ("user_id", id(user, dice))]);
        }
        Kind::Plan { organization, plan, monthly_quota, .. } => {
            fields.extend([("organization_id", id(organization, dice)), ("plan", id(plan, dice))]);
            fields.push(("monthly_quota", json!(monthly_quota)));
        }
        Kind::Account { name, zone } => {
            optional(&mut fields, "name", name.as_ref().map(|name| json!(name)), dice);
            optional(&mut fields, "timezone", zone.map(|zone| json!(zone.name())), dice);
        }
        Kind::Organization { organization, name, parent } => {
            fields.push(("organization_id", id(organization, dice)));
            optional(&mut fields, "name", name.as_ref().map(|name| json!(name)), dice);
            // Here null has a meaning: top level.
            match parent {
                None => {}
                Some(None) => fields.push(("parent_id", Value::Null)),
                Some(Some(parent)) => fields.push(("parent_id", id(parent, dice))),
            }
        }
        Kind::User { user, name, email } => {
            fields.push(("user_id", id(user, dice)));
            optional(&mut fields, "name", name.as_ref().map(|name| json!(name)), dice);
            optional(&mut fields, "email", email.as_ref().map(|email| json!(email)), dice);
        }
        Kind::Project { organization, project, name } => {
            fields.extend([
                ("organization_id", id(organization, dice)),
                ("project_id", id(project, dice)),
            ]);
            optional(&mut fields, "name", name.as_ref().map(|name| json!(name)), dice);
        }
    }
    if dice.chance(10) {
        fields.push(("colour", json!({"deep": ["unknown"]})));
    }
    dice.shuffle(&mut fields);
    fields
}

fn object(fields: &Fields) -> String {
    let field = |(name, value): &(&str, Value)| format!("{}:{value}", json!(name));
    format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(","))
}

/// The fields of the envelope, and those of its data.
pub(super) fn envelope(event: &SimEvent, dice: &mut Dice) -> (Fields, Fields) {
    let source = match &event.kind {
        Kind::Test(test) => test.event_source.as_str(),
        // It matters only for `test.executed`.
        _ => "/any",
    };
    let mut fields = vec![
        ("specversion", json!("1.0")),
        ("id", json!(event.id)),
        ("source", json!(source)),
        ("type", json!(type_of(&event.kind, dice))),
        ("time", json!(time_text(event.time_ms, dice))),
    ];
    if dice.chance(10) {
        fields.push(("datacontenttype", json!("application/json")));
    }
    dice.shuffle(&mut fields);
    (fields, data(event, dice))
}

/// The record's value. `data` stands anywhere in the envelope, or is left out.
pub(super) fn payload(envelope: &Fields, data: Option<&Fields>, dice: &mut Dice) -> Vec<u8> {
    let mut parts: Vec<String> =
        envelope.iter().map(|(name, value)| format!("{}:{value}", json!(name))).collect();
    if let Some(data) = data {
        parts.insert(dice.below(parts.len() + 1), format!("\"data\":{}", object(data)));
    }
    format!("{{{}}}", parts.join(",")).into_bytes()
}
