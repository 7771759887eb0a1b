//! Polls of accounts that nothing has touched are answered without a report query, and never with
//! something old: not in the middle of a flush, not after a merge, and not when time moves on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use seatmeter::core::rollup::LaneRows;
use serde_json::{Value, json};

use super::support::{Answer, Api, RUNTIME, event};
use crate::support::http_proxy::{HttpProxy, Meddling, Rule};
use crate::support::{Database, engine, eventually, unique};

const LONG: Duration = Duration::from_secs(60);

/// With an end of the range, but without an instant: answers of now.
const REPORTS: [&str; 13] = [
    "/v1/accounts/a/licenses/history?from=2026-03-01&to=2026-03-31",
    "/v1/accounts/a/licenses/history?from=2026-03-01&to=2026-03-31&organization_id=o",
    "/v1/accounts/a/licenses/usage?from=2026-03-01&to=2026-03-31&interval=week",
    "/v1/accounts/a/licenses/usage?from=2026-03-01&to=2026-03-31&interval=month&organization_id=o",
    "/v1/accounts/a/licenses/usage?from=2026-03-01&to=2026-03-31&interval=month&\
    group_by=organization",
    "/v1/accounts/a/licenses/assignments?status=all",
    "/v1/accounts/a/licenses/assignments?status=all&format=csv",
    "/v1/accounts/a/organizations",
    "/v1/accounts/a/organizations/o/quota/history?as_of=2026-04-10T00:00:00Z",
    "/v1/accounts/a/organizations/o/quota/history?format=csv&as_of=2026-04-10T00:00:00Z",
    "/v1/accounts/a/organizations/o/test-activity?from=2026-03-01&to=2026-03-31",
    "/v1/accounts/a/quota?as_of=2026-04-10T00:00:00Z",
    "/v1/accounts/a/quota?format=csv&as_of=2026-04-10T00:00:00Z",
];

/// Statements after which no report can be made, while licences can be counted on.
const HIDE: [&str; 4] = [
    "DROP VIEW account_license_assignments",
    "ALTER TABLE quota_usage_state RENAME COLUMN tests TO hidden",
    "ALTER TABLE test_executions_state RENAME COLUMN run TO hidden",
    "ALTER TABLE seat_intervals RENAME COLUMN opened TO hidden",
];

fn tag(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("etag").unwrap().to_owned()
}

fn poll(api: &Api, path: &str, tag: &str) -> Answer {
    api.request("GET", path, &[("if-none-match", tag)])
}

fn without_data_through(answer: &Answer) -> Vec<u8> {
    let Ok(Value::Object(mut body)) = serde_json::from_slice::<Value>(&answer.body) else {
        return answer.body.clone();
    };
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
        event(
            "account.updated",
            &time(0),
            &json!({"account_id": "a", "timezone": "Europe/Berlin"}),
        ),
        event("license.purchased", &time(1), &json!({"account_id": "a", "seats": day})),
        event("license.allocated", &time(1), &of(json!({"seats": day}))),
        event("license.assigned", &time(2), &of(json!({}))),
        event(
            "plan.started",
            &time(3),
            &of(json!({"plan": format!("plan-{day}"), "monthly_quota": day})),
        ),
        event("user.login", &time(4), &of(json!({}))),
        event(
            "test.executed",
            &time(5),
            &of(json!({"origin": "run", "tests": day, "duration_ms": 5})),
        ),
        event("organization.updated", &time(6), &of(json!({"name": format!("Name {day}")}))),
        event(
            "user.updated",
            &time(6),
            &json!({"account_id": "a", "user_id": user, "name": format!("User {day}")}),
        ),
    ]
}

/// A flush whose rows are written, and which is not announced yet.
struct Unannounced {
    announcement: LaneRows,
}

impl Unannounced {
    async fn write(api: &Api, mut rows: LaneRows) -> Self {
        let mut announcement = LaneRows::new(rows.source.clone(), rows.progress);
        announcement.account_progress = std::mem::take(&mut rows.account_progress);
        api.store.write_rows(&[rows]).await.unwrap();
        Self { announcement }
    }

    async fn announce(self, api: &Api) {
        let (source, progress) = (self.announcement.source.clone(), self.announcement.progress);
        api.store.write_rows(&[self.announcement]).await.unwrap();
        api.complete(source, progress).await;
    }
}

#[test]
fn a_half_written_flush_shows_up_once_it_is_announced() {
    let api = Api::open();
    api.count(&events("u1", 2));
    let tags: Vec<String> = REPORTS.iter().map(|path| tag(&api.get(path))).collect();
    let rows = RUNTIME.block_on(api.drained(&events("u2", 3)));
    let flush = RUNTIME.block_on(Unannounced::write(&api, rows));
    for (path, tag) in REPORTS.iter().zip(&tags) {
        assert_eq!(poll(&api, path, tag).status, 304, "{path}");
    }
    RUNTIME.block_on(flush.announce(&api));
    let fresh = api.beside(|_| {});
    for (path, tag) in REPORTS.iter().zip(&tags) {
        let (answer, truth) = (poll(&api, path, tag), fresh.get(path));
        assert_eq!(answer.header("etag"), truth.header("etag"), "{path}");
        assert_eq!(without_data_through(&answer), without_data_through(&truth), "{path}");
        if !path.contains("quota") {
            assert_eq!(answer.status, 200, "{path}");
        }
    }
}

#[test]
fn a_poll_of_an_untouched_account_costs_no_report_query() {
    let api = Api::open();
    let rows = RUNTIME.block_on(api.drained(&events("u1", 2)));
    let (source, progress) = (rows.source.clone(), rows.progress);
    RUNTIME.block_on(api.store.write_rows(&[rows])).unwrap();
    RUNTIME.block_on(api.complete(source.clone(), progress));
    let other = events("u1", 2)
        .into_iter()
        .map(|event| event.replace("\"account_id\":\"a\"", "\"account_id\":\"b\""));
    let other: Vec<String> = other.collect();
    api.count(&other);
    let before: Vec<Answer> = REPORTS.iter().map(|path| api.get(path)).collect();
    // A report query would fail from here on.
    for statement in HIDE {
        api.sql(statement);
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
    api.count(&[event(
        "license.purchased",
        "2026-03-05T00:00:00Z",
        &json!({"account_id": "b", "seats": 7}),
    )]);
    polls();
    // The partition whose last flush is oldest completes an empty one.
    RUNTIME.block_on(api.complete(source, progress));
    polls();
    assert_ne!(api.get(REPORTS[0]).json()["data_through"], whole.json()["data_through"]);
    let is_there = |table: &&str| !HIDE.contains(&format!("DROP TABLE {table}").as_str());
    for table in seatmeter::store::TABLES.into_iter().filter(is_there) {
        api.sql(&format!("OPTIMIZE TABLE {table} FINAL"));
    }
    polls();
    api.count(&[event(
        "license.purchased",
        "2026-03-05T00:00:00Z",
        &json!({"account_id": "a", "seats": 7}),
    )]);
    assert_eq!(
        poll(&api, REPORTS[0], whole.header("etag").unwrap()).status,
        500,
        "now it has to be made anew"
    );
}

#[test]
fn what_lies_ahead_shows_up_when_its_time_comes() {
    let api = Api::open();
    api.count(&events("u1", 2));
    let at = Utc::now() + Duration::from_secs(3);
    let time = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    api.count(&[event("license.purchased", &time, &json!({"account_id": "a", "seats": 99}))]);
    let path = "/v1/accounts/a/licenses/history?interval=year";
    let purchased = |answer: &Answer| {
        answer.json()["points"].as_array().unwrap().last().unwrap()["purchased"].clone()
    };
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

/// A database that an API reaches through a proxy.
fn proxied() -> (HttpProxy, Database) {
    let proxy = HttpProxy::to(&engine().url);
    let database = Database::new(proxy.url.clone(), unique("test"));
    (proxy, database)
}

fn purchased(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["points"].as_array().unwrap().last().unwrap()["purchased"].as_u64().unwrap()
}

fn purchase(seats: u64) -> String {
    let time = DateTime::UNIX_EPOCH + Duration::from_secs(1_772_323_200 + seats);
    let time = time.to_rfc3339_opts(SecondsFormat::Millis, true);
    event("license.purchased", &time, &json!({"account_id": "a", "seats": seats}))
}

#[test]
fn what_is_stored_while_a_report_is_read_is_in_the_next_answer() {
    let (proxy, database) = proxied();
    let api = Api::on(database, |_| {});
    api.count(&[purchase(1)]);
    proxy.set(Rule { meddling: Meddling::HoldAnswer, every: 1, only: "FROM license_facts" });
    std::thread::scope(|scope| {
        let first = scope.spawn(|| api.get(REPORTS[0]));
        eventually("the report is read", LONG, || (proxy.held() > 0).then_some(()));
        api.count(&[purchase(2)]);
        proxy.clear();
        assert_eq!(purchased(&first.join().unwrap()), 1);
    });
    assert_eq!(purchased(&api.get(REPORTS[0])), 2);
}

#[test]
fn what_is_stored_amid_a_look_is_not_in_its_data_through() {
    let (proxy, database) = proxied();
    let api = Api::on(database, |_| {});
    let writer = api.beside(|config| config.clickhouse.url = engine().url.clone());
    let mut partition = RUNTIME.block_on(writer.partition());
    writer.count_next(&mut partition, &[purchase(1)]);
    assert_eq!(purchased(&api.get(REPORTS[0])), 1);
    proxy.set(Rule { meddling: Meddling::HoldAnswer, every: 1, only: "account_progress" });
    std::thread::scope(|scope| {
        let held = scope.spawn(|| api.get(REPORTS[0]));
        eventually("the account was looked at", LONG, || (proxy.held() > 0).then_some(()));
        writer.count_next(&mut partition, &[purchase(2)]);
        proxy.clear();
        let (held, next) = (held.join().unwrap(), api.get(REPORTS[0]));
        assert_eq!((purchased(&held), purchased(&next)), (1, 2));
        let data_through =
            |answer: &Answer| answer.json()["data_through"].as_str().unwrap().to_owned();
        assert!(data_through(&held) < data_through(&next));
    });
}

#[test]
fn a_report_that_many_ask_for_is_made_once() {
    let (proxy, database) = proxied();
    let api = Api::on(database, |_| {});
    api.count(&[purchase(1)]);
    proxy.set(Rule {
        meddling: Meddling::Delay(Duration::from_millis(500)),
        every: 1,
        only: "FROM license_facts",
    });
    std::thread::scope(|scope| {
        let askers: Vec<_> =
            (0..20).map(|_| scope.spawn(|| purchased(&api.get(REPORTS[0])))).collect();
        assert!(askers.into_iter().all(|asker| asker.join().unwrap() == 1));
    });
    assert_eq!(proxy.meddled(), 1);
}

#[test]
fn a_poll_of_an_unchanged_account_asks_nothing_while_the_look_is_young() {
    let (proxy, database) = proxied();
    let api = Api::on(database, |config| config.http.look_age_max = Duration::from_secs(600));
    api.count(&events("u1", 2));
    let tags: Vec<String> = REPORTS.iter().map(|path| tag(&api.get(path))).collect();
    proxy.set(Rule { meddling: Meddling::Delay(Duration::ZERO), every: 1, only: "" });
    for (path, tag) in REPORTS.iter().zip(&tags) {
        assert_eq!(poll(&api, path, tag).status, 304, "{path}");
    }
    assert_eq!(proxy.meddled(), 0);
    proxy.clear();
    // Once it is older, one look serves all who ask.
    let api = api.beside(|config| config.http.look_age_max = Duration::ZERO);
    api.get(REPORTS[0]);
    proxy.set(Rule {
        meddling: Meddling::Delay(Duration::from_millis(500)),
        every: 1,
        only: "account_progress",
    });
    std::thread::scope(|scope| {
        let askers: Vec<_> = (0..20).map(|_| scope.spawn(|| api.get(REPORTS[0]).status)).collect();
        assert!(askers.into_iter().all(|asker| asker.join().unwrap() == 200));
    });
    assert!(proxy.meddled() <= 4, "{} looks", proxy.meddled());
}

#[test]
fn an_answer_holds_all_that_was_counted_by_its_data_through() {
    let api = Api::open();
    let polled = api.beside(|config| config.http.look_age_max = Duration::from_millis(250));
    let mut partition = RUNTIME.block_on(api.partition());
    let over = AtomicBool::new(false);
    let path = "/v1/accounts/a/licenses/history?from=2026-03-01&to=2026-03-31&interval=month";
    let moment = |text: &Value| text.as_str().map(|text| text.parse::<DateTime<Utc>>().unwrap());
    let mut flushed = Vec::new();
    std::thread::scope(|scope| {
        api.count_next(&mut partition, &[purchase(1)]);
        let pollers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut told = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        let answer = polled.get(path);
                        told.push((moment(&answer.json()["data_through"]), purchased(&answer)));
                    }
                    told
                })
            })
            .collect();
        for seats in 2..40 {
            api.count_next(&mut partition, &[purchase(seats)]);
            flushed.push((moment(&api.report("/v1/ingest")["data_through"]), seats));
        }
        over.store(true, Ordering::Relaxed);
        for (data_through, seats) in pollers.into_iter().flat_map(|poller| poller.join().unwrap()) {
            let counted = flushed
                .iter()
                .filter(|(flushed_at, _)| *flushed_at <= data_through)
                .map(|&(_, seats)| seats);
            let counted = counted.max().unwrap_or(1);
            assert!(seats >= counted, "{seats} of {counted} by {data_through:?}");
        }
    });
    assert_eq!(purchased(&polled.beside(|_| {}).get(path)), 39);
    eventually("the answer is at most as old as a look", LONG, || {
        (purchased(&polled.get(path)) == 39).then_some(())
    });
}

#[test]
fn a_repair_by_hand_shows_within_a_minute() {
    let api = Api::open();
    api.count(&events("u1", 2));
    let [seats, usage] = [REPORTS[0], REPORTS[2]];
    let began = Instant::now();
    let first = api.get(seats);
    assert_eq!((&first.json()["timezone"], purchased(&first)), (&json!("Europe/Berlin"), 2));
    std::thread::sleep(Duration::from_secs(20));
    // What is known of the account was read before this report.
    let later = tag(&api.get(usage));
    for table in ["license_facts", "zone_facts"] {
        api.sql(&format!(
            "ALTER TABLE {table} DELETE WHERE account_id = 'a' SETTINGS mutations_sync = 2"
        ));
    }
    assert_eq!(poll(&api, usage, &later).status, 304);
    std::thread::sleep(Duration::from_secs(61).saturating_sub(began.elapsed()));
    let repaired = api.get(seats);
    assert_eq!((&repaired.json()["timezone"], purchased(&repaired)), (&json!("UTC"), 0));
    assert_eq!(api.get(usage).json()["timezone"], "UTC");
}
