//! Polls of accounts that nothing has touched are answered without a report query, and never with something old: not in
//! the middle of a flush, not after a merge, not when an operator deletes rows, and not when time moves on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use seatmeter::core::rollup::LaneRows;
use serde_json::{Value, json};

use super::support::{Answer, Api, RUNTIME, event};
use crate::support::PrivateEngine;

/// With an end of the range, but without an instant: answers of now.
const REPORTS: [&str; 11] = [
    "/v1/accounts/a/licenses/history?from=2026-03-01&to=2026-03-31",
    "/v1/accounts/a/licenses/history?from=2026-03-01&to=2026-03-31&organization_id=o",
    "/v1/accounts/a/licenses/usage?from=2026-03-01&to=2026-03-31&interval=week",
    "/v1/accounts/a/licenses/usage?from=2026-03-01&to=2026-03-31&interval=month&organization_id=o",
    "/v1/accounts/a/licenses/usage?from=2026-03-01&to=2026-03-31&interval=month&group_by=organization",
    "/v1/accounts/a/licenses/assignments?status=all",
    "/v1/accounts/a/licenses/assignments?status=all&format=csv",
    "/v1/accounts/a/organizations",
    "/v1/accounts/a/organizations/o/quota/history?as_of=2026-04-10T00:00:00Z",
    "/v1/accounts/a/organizations/o/quota/history?format=csv&as_of=2026-04-10T00:00:00Z",
    "/v1/accounts/a/organizations/o/test-activity?from=2026-03-01&to=2026-03-31",
];

/// The views that reports are made from.
const VIEWS: [&str; 11] = [
    "license_changes",
    "license_history",
    "license_history_by_organization",
    "license_purchases_at",
    "license_usage",
    "license_usage_by_organization",
    "account_license_assignments",
    "license_assignments_of_users",
    "organization_tree",
    "plans",
    "test_activity",
];

fn tag(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("etag").unwrap().to_owned()
}

fn poll(api: &Api, path: &str, tag: &str) -> Answer {
    api.request("GET", path, &[("if-none-match", tag)])
}

fn without_data_through(answer: &Answer) -> Vec<u8> {
    let Ok(Value::Object(mut body)) = serde_json::from_slice::<Value>(&answer.body) else { return answer.body.clone() };
    body.remove("data_through");
    serde_json::to_vec(&body).unwrap()
}

/// Events that touch every table.
fn events(user: &str, day: u32) -> Vec<String> {
    let time = |hour: u32| format!("2026-03-{day:02}T{hour:02}:00:00Z");
    let of = |more: Value| {
        let mut data = json!({"account_id": "a", "organization_id": "o", "user_id": user});
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        data
    };
    vec![
        event("account.updated", &time(0), &json!({"account_id": "a", "timezone": "Europe/Berlin"})),
        event("license.purchased", &time(1), &json!({"account_id": "a", "seats": day})),
        event("license.allocated", &time(1), &of(json!({"seats": day}))),
        event("license.assigned", &time(2), &of(json!({}))),
        event("plan.started", &time(3), &of(json!({"plan": format!("plan-{day}"), "monthly_quota": day}))),
        event("user.login", &time(4), &of(json!({}))),
        event("test.executed", &time(5), &of(json!({"origin": "run", "tests": day, "duration_ms": 5}))),
        event("organization.updated", &time(6), &of(json!({"name": format!("Name {day}")}))),
        event("user.updated", &time(6), &json!({"account_id": "a", "user_id": user, "name": format!("User {day}")})),
    ]
}

/// The rows of a flush, one table after another.
fn table_by_table(rows: &LaneRows) -> Vec<LaneRows> {
    type Take = fn(&mut LaneRows, &LaneRows);
    let tables: [Take; 9] = [
        |to, from| to.zone_facts.clone_from(&from.zone_facts),
        |to, from| to.license_facts.clone_from(&from.license_facts),
        |to, from| to.seat_usage.clone_from(&from.seat_usage),
        |to, from| to.seat_facts.clone_from(&from.seat_facts),
        |to, from| to.plan_facts.clone_from(&from.plan_facts),
        |to, from| to.active_users.clone_from(&from.active_users),
        |to, from| to.test_executions.clone_from(&from.test_executions),
        |to, from| to.quota_usage.clone_from(&from.quota_usage),
        |to, from| to.directory.clone_from(&from.directory),
    ];
    let part = |take: &Take| {
        let mut part = LaneRows::new(rows.source.clone(), rows.progress);
        take(&mut part, rows);
        part
    };
    tables.iter().map(part).collect()
}

#[test]
fn a_half_written_flush_is_never_hidden_from_a_poll() {
    // One that tells whether anything was written: the shared one may have been made to say nothing by another test.
    let engine = PrivateEngine::start();
    let api = Api::on(engine.database(), |_| {});
    api.count(&events("u1", 2));
    // It has polled before, and goes on polling while rows are written.
    let mut tags: Vec<String> = REPORTS.iter().map(|path| tag(&api.get(path))).collect();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                for path in REPORTS {
                    assert_eq!(api.get(path).status, 200);
                }
            }
        });
        let rows = RUNTIME.block_on(api.drained(&events("u2", 3)));
        let mut changed = 0;
        for part in table_by_table(&rows) {
            RUNTIME.block_on(api.store.write_rows(&[part])).unwrap();
            // One that has never been asked before keeps nothing that could be old.
            let fresh = api.beside(|_| {});
            for (path, tag) in REPORTS.iter().zip(&mut tags) {
                let truth = fresh.get(path);
                let answer = poll(&api, path, tag);
                if answer.status == 304 {
                    assert_eq!(truth.header("etag"), Some(tag.as_str()), "{path}");
                    continue;
                }
                changed += 1;
                assert_eq!(answer.header("etag"), truth.header("etag"), "{path}");
                assert_eq!(without_data_through(&answer), without_data_through(&truth), "{path}");
                *tag = answer.header("etag").unwrap().to_owned();
            }
        }
        over.store(true, Ordering::Relaxed);
        assert!(RUNTIME.block_on(api.store.writes()).is_some());
        assert!(changed >= REPORTS.len(), "{changed}");
        RUNTIME.block_on(api.complete(rows.source.clone(), rows.progress));
    });
    for (path, tag) in REPORTS.iter().zip(&tags) {
        assert_eq!(poll(&api, path, tag).status, 304, "the progress is no part of {path}");
    }
}

#[test]
fn a_poll_of_an_untouched_account_costs_no_report_query() {
    let api = Api::open();
    let rows = RUNTIME.block_on(api.drained(&events("u1", 2)));
    let (source, progress) = (rows.source.clone(), rows.progress);
    RUNTIME.block_on(api.store.write_rows(&[rows])).unwrap();
    RUNTIME.block_on(api.complete(source.clone(), progress));
    let other = events("u1", 2).into_iter().map(|event| event.replace("\"account_id\":\"a\"", "\"account_id\":\"b\""));
    let other: Vec<String> = other.collect();
    api.count(&other);
    let before: Vec<Answer> = REPORTS.iter().map(|path| api.get(path)).collect();
    // A report query would fail from here on.
    for view in VIEWS {
        api.sql(&format!("DROP VIEW {view}"));
    }
    let polls = || {
        for (path, before) in REPORTS.iter().zip(&before) {
            let again = poll(&api, path, before.header("etag").unwrap());
            assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
            assert_eq!(again.header("etag"), before.header("etag"));
        }
    };
    polls();
    // A whole answer is at hand too, and says how fresh it is by now.
    let [whole, again] = [&before[0], &api.get(REPORTS[0])];
    assert_eq!(without_data_through(whole), without_data_through(again));
    api.count(&[event("license.purchased", "2026-03-05T00:00:00Z", &json!({"account_id": "b", "seats": 7}))]);
    polls();
    // The partition whose last flush is oldest completes an empty one.
    RUNTIME.block_on(api.complete(source, progress));
    polls();
    assert_ne!(api.get(REPORTS[0]).json()["data_through"], whole.json()["data_through"]);
    for table in seatmeter::store::TABLES {
        api.sql(&format!("OPTIMIZE TABLE {table} FINAL"));
    }
    polls();
    api.count(&[event("license.purchased", "2026-03-05T00:00:00Z", &json!({"account_id": "a", "seats": 7}))]);
    assert_eq!(poll(&api, REPORTS[0], whole.header("etag").unwrap()).status, 500, "now it has to be made anew");
}

#[test]
fn rows_that_an_operator_deletes_are_gone_from_the_next_answer() {
    let api = Api::open();
    api.count(&events("u1", 2));
    let first = api.get(REPORTS[0]);
    assert_eq!(first.json()["points"][30]["purchased"], 2);
    api.sql("ALTER TABLE license_facts DELETE WHERE account_id = 'a' SETTINGS mutations_sync = 2");
    let answer = poll(&api, REPORTS[0], first.header("etag").unwrap());
    assert_eq!((answer.status, &answer.json()["points"][30]["purchased"]), (200, &json!(0)));
    api.sql("TRUNCATE TABLE seat_facts");
    let truncated = poll(&api, REPORTS[0], answer.header("etag").unwrap());
    assert_eq!((truncated.status, &truncated.json()["points"][30]["assigned"]), (200, &json!(0)));
}

#[test]
fn what_lies_ahead_shows_up_when_its_time_comes() {
    let api = Api::open();
    api.count(&events("u1", 2));
    let at = Utc::now() + Duration::from_secs(3);
    let time = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    api.count(&[event("license.purchased", &time, &json!({"account_id": "a", "seats": 99}))]);
    let path = "/v1/accounts/a/licenses/history?interval=year";
    let purchased = |answer: &Answer| answer.json()["points"].as_array().unwrap().last().unwrap()["purchased"].clone();
    let first = api.get(path);
    if Utc::now() < at {
        assert_eq!(purchased(&first), 2);
    }
    std::thread::sleep((at - Utc::now()).to_std().unwrap_or_default() + Duration::from_millis(50));
    let second = poll(&api, path, first.header("etag").unwrap());
    assert_eq!((second.status, purchased(&second)), (200, json!(99)));
    // Nothing lies ahead any more.
    assert_eq!(poll(&api, path, second.header("etag").unwrap()).status, 304);
}

#[test]
fn inactivity_is_judged_anew_at_each_poll() {
    let api = Api::open();
    let moment = |ago: Duration| (Utc::now() - ago).to_rfc3339_opts(SecondsFormat::Millis, true);
    let day = Duration::from_secs(86_400);
    let data = json!({"account_id": "a", "organization_id": "o", "user_id": "u"});
    api.count(&[
        event("license.assigned", &moment(2 * day), &data),
        event("user.login", &moment(day - Duration::from_secs(3)), &data),
    ]);
    let path = "/v1/accounts/a/licenses/assignments?inactive_days=1";
    let first = api.get(path);
    std::thread::sleep(Duration::from_secs(4));
    let second = poll(&api, path, first.header("etag").unwrap());
    assert_eq!((second.status, &second.json()["total"]), (200, &json!(1)));
}
