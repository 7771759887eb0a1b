//! Planned events as CloudEvents JSON.

use chrono::{DateTime, FixedOffset, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use super::world::{Account, Organization, User, index};
use crate::core::event::{Origin, PlanKind};
use crate::core::id::Id;

/// An event, with indices into the [`Account`].
#[derive(Clone, Copy, Debug)]
pub(super) enum Happening {
    Login { user: u32 },
    Action { user: u32, action: &'static str },
    Test(Test),
    Purchased { seats: u64 },
    Allocated { organization: u32, seats: u64 },
    Assigned { user: u32, project: u32 },
    Revoked { user: u32 },
    Plan { kind: PlanKind, organization: u32, plan: &'static str, monthly_quota: Option<u64> },
    AccountUpdated,
    OrganizationUpdated { organization: u32 },
    ProjectUpdated { organization: u32, project: u32 },
    UserUpdated { user: u32 },
}

/// A `test.executed` event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Test {
    pub(super) organization: u32,
    pub(super) project: u32,
    pub(super) user: Option<u32>,
    pub(super) origin: Origin,
    pub(super) tests: u32,
    pub(super) duration_ms: u64,
}

/// The event as one line of JSON. `sequence` makes its id unique within the account.
pub(super) fn render(
    account: &Account,
    time_ms: i64,
    sequence: u64,
    happening: Happening,
) -> Vec<u8> {
    let (source, event_type, data) = data(account, happening);
    let event = Envelope {
        specversion: "1.0",
        id: format!("{}-{sequence}", account.id),
        source,
        event_type,
        time: time(account, time_ms),
        data,
    };
    serde_json::to_vec(&event).expect("strings and numbers are always JSON")
}

#[derive(Serialize)]
struct Envelope {
    specversion: &'static str,
    id: String,
    source: &'static str,
    #[serde(rename = "type")]
    event_type: &'static str,
    time: String,
    data: Value,
}

/// The event's source, type and data.
fn data(account: &Account, happening: Happening) -> (&'static str, &'static str, Value) {
    let account_id = wire(&account.id);
    let organization = |organization: u32| &account.organizations[index(organization)];
    let user = |user: u32| &account.users[index(user)];
    let home = |user: u32| wire(&account.organizations[account.users[index(user)].organization].id);
    match happening {
        Happening::Login { user: number } => {
            let data = json!({"account_id": account_id, "user_id": wire(&user(number).id)});
            ("/auth", "user.login", data)
        }
        Happening::Action { user: number, action } => {
            let user_id = wire(&user(number).id);
            let data = json!({
                "account_id": account_id, "organization_id": home(number), "user_id": user_id,
                "action": action,
            });
            ("/app", "user.action", data)
        }
        Happening::Test(test) => ("/runner", "test.executed", test_data(account, test)),
        Happening::Purchased { seats } => {
            ("/licensing", "license.purchased", json!({"account_id": account_id, "seats": seats}))
        }
        Happening::Allocated { organization: number, seats } => {
            let organization_id = wire(&organization(number).id);
            let data = json!({
                "account_id": account_id, "organization_id": organization_id, "seats": seats,
            });
            ("/licensing", "license.allocated", data)
        }
        Happening::Assigned { user: number, project } => {
            let project =
                &account.organizations[user(number).organization].projects[index(project)];
            let data = json!({
                "account_id": account_id, "organization_id": home(number),
                "user_id": wire(&user(number).id), "project_id": wire(&project.id),
            });
            ("/licensing", "license.assigned", data)
        }
        Happening::Revoked { user: number } => {
            let user_id = wire(&user(number).id);
            let data = json!({
                "account_id": account_id, "organization_id": home(number), "user_id": user_id,
            });
            ("/licensing", "license.revoked", data)
        }
        Happening::Plan { kind, organization: number, plan, monthly_quota } => {
            let data = json!({
                "account_id": account_id, "organization_id": wire(&organization(number).id),
                "plan": plan, "monthly_quota": monthly_quota,
            });
            ("/billing", plan_event_type(kind), data)
        }
        Happening::AccountUpdated => {
            let data = json!({
                "account_id": account_id, "name": account.name, "timezone": account.zone.name(),
            });
            ("/directory", "account.updated", data)
        }
        Happening::OrganizationUpdated { organization: number } => {
            ("/directory", "organization.updated", organization_data(account, organization(number)))
        }
        Happening::ProjectUpdated { organization: number, project } => {
            let data = project_data(account, organization(number), index(project));
            ("/directory", "project.updated", data)
        }
        Happening::UserUpdated { user: number } => {
            ("/directory", "user.updated", user_data(account, user(number)))
        }
    }
}

fn plan_event_type(kind: PlanKind) -> &'static str {
    match kind {
        PlanKind::Started => "plan.started",
        PlanKind::Upgraded => "plan.upgraded",
        PlanKind::Adjusted => "plan.adjusted",
    }
}

fn project_data(account: &Account, organization: &Organization, project: usize) -> Value {
    let project = &organization.projects[project];
    json!({
        "account_id": wire(&account.id), "organization_id": wire(&organization.id),
        "project_id": wire(&project.id), "name": project.name,
    })
}

fn organization_data(account: &Account, organization: &Organization) -> Value {
    let parent = organization.parent.map(|parent| wire(&account.organizations[parent].id));
    json!({
        "account_id": wire(&account.id), "organization_id": wire(&organization.id),
        "name": organization.name, "parent_id": parent,
    })
}

fn user_data(account: &Account, user: &User) -> Value {
    json!({
        "account_id": wire(&account.id), "user_id": wire(&user.id), "name": user.name,
        "email": user.email,
    })
}

fn test_data(account: &Account, test: Test) -> Value {
    let organization = &account.organizations[index(test.organization)];
    let mut data = json!({
        "account_id": wire(&account.id),
        "organization_id": wire(&organization.id),
        "project_id": wire(&organization.projects[index(test.project)].id),
        "origin": match test.origin { Origin::Run => "run", Origin::Upload => "upload" },
        "tests": test.tests,
        "duration_ms": test.duration_ms,
    });
    if let Some(user) = test.user {
        data["user_id"] = wire(&account.users[index(user)].id);
    }
    data
}

/// An id as JSON: a number where it is one.
fn wire(id: &Id) -> Value {
    match id {
        Id::Number(number) => json!(number),
        Id::Text(text) => json!(&**text),
    }
}

/// RFC 3339, in UTC or with the account's offset.
fn time(account: &Account, time_ms: i64) -> String {
    let time = DateTime::<Utc>::from_timestamp_millis(time_ms)
        .expect("chrono knows every instant of the years generated");
    if account.writes_local_times {
        let ahead_s =
            i32::try_from(account.zone.offset_ms(time_ms) / 1000).expect("no clock is a day ahead");
        let offset = FixedOffset::east_opt(ahead_s).expect("no clock is a day ahead");
        time.with_timezone(&offset).to_rfc3339_opts(SecondsFormat::Millis, true)
    } else {
        time.to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}
