//! Entity tags: a poll costs little, and never shows something old.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{Answer, Api, event};
use crate::support::engine;
use crate::support::http_proxy::{HttpProxy, Meddling, Rule};

const REPORTS: [&str; 13] = [
    "/v1/accounts",
    "/v1/accounts/a/licenses/history",
    "/v1/accounts/a/licenses/history?organization_id=o",
    "/v1/accounts/a/licenses/usage",
    "/v1/accounts/a/licenses/usage?group_by=organization",
    "/v1/accounts/a/licenses/assignments",
    "/v1/accounts/a/organizations",
    "/v1/accounts/a/organizations/o/quota",
    "/v1/accounts/a/organizations/o/quota/history",
    "/v1/accounts/a/organizations/o/quota/history?format=csv",
    "/v1/accounts/a/organizations/o/test-activity?from=2026-03-01&to=2026-03-31",
    "/v1/accounts/a/quota",
    "/v1/accounts/a/quota?format=csv",
];

/// The time at which the reports are asked for again and again, so that no midnight comes between.
const AS_OF: &str = "as_of=2026-04-01T00:00:00Z";

fn at(path: &str) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    if path.ends_with("/organizations") || path == "/v1/accounts" {
        path.to_owned()
    } else {
        format!("{path}{separator}{AS_OF}")
    }
}

fn poll(api: &Api, path: &str, tag: &str) -> Answer {
    api.request("GET", path, &[("if-none-match", tag)])
}

fn counted() -> Api {
    let api = Api::open();
    api.count(&[
        event(
            "plan.started",
            "2026-03-01T00:00:00Z",
            &json!({
                "account_id": "a", "organization_id": "o", "plan": "free", "monthly_quota": 10,
            }),
        ),
        event(
            "license.assigned",
            "2026-03-01T00:00:00Z",
            &json!({"account_id": "a", "organization_id": "o", "user_id": "u"}),
        ),
    ]);
    api
}

#[test]
fn an_unchanged_report_is_answered_with_304() {
    let api = counted();
    for path in REPORTS {
        let path = at(path);
        let first = api.get(&path);
        assert_eq!(first.status, 200, "{path}");
        let tag = first.header("etag").unwrap().to_owned();
        assert!(
            tag.starts_with("W/\""),
            "it is the same for answers that differ in data_through: {tag}"
        );
        assert_eq!(first.header("cache-control"), Some("private, no-cache"));
        for known in [
            tag.clone(),
            tag.trim_start_matches("W/").to_owned(),
            "*".to_owned(),
            format!("\"x\", {tag}"),
        ] {
            let again = poll(&api, &path, &known);
            assert_eq!(again.status, 304, "{path} {known}");
            assert!(again.body.is_empty());
            assert_eq!(again.header("etag"), Some(tag.as_str()));
        }
        assert_eq!(poll(&api, &path, "\"something else\"").status, 200);
    }
}

#[test]
fn a_flush_that_changes_nothing_of_the_account_moves_data_through_alone() {
    let api = counted();
    let path = at("/v1/accounts/a/licenses/history");
    let first = api.get(&path);
    let tag = first.header("etag").unwrap();
    // Another partition, another account.
    api.count(&[event(
        "license.purchased",
        "2026-03-01T00:00:00Z",
        &json!({"account_id": "b", "seats": 5}),
    )]);
    assert_eq!(poll(&api, &path, tag).status, 304);
    let second = api.get(&path);
    assert_eq!(second.header("etag"), Some(tag));
    let without = |answer: &Answer| -> Value {
        let mut body = answer.json();
        body.as_object_mut()
            .unwrap()
            .remove("data_through")
            .expect("every report says how fresh it is");
        body
    };
    assert_eq!(without(&first), without(&second));
}

#[test]
fn an_idle_flush_leaves_the_tag_of_the_ingest_report() {
    use seatmeter::core::rollup::{Progress, Source};
    use seatmeter::store::ProgressRow;
    let api = counted();
    let source = Source::new("usage-events", "", 4_000_001);
    let flush = |next_offset| {
        let progress = Progress { next_offset, accepted: next_offset, ..Progress::default() };
        let row = ProgressRow {
            source: source.clone(),
            progress,
            high_watermark: 10,
            end_valid_for: std::time::Duration::from_secs(3_600),
            completes_flush: true,
        };
        super::support::RUNTIME.block_on(api.store.write_progress(&[row])).unwrap();
        let answer = api.get("/v1/ingest");
        let partitions = answer.json()["partitions"].as_array().unwrap().clone();
        let flushed =
            partitions.iter().find(|one| one["partition"] == 4_000_001).unwrap()["data_through"]
                .clone();
        (flushed, answer.header("etag").unwrap().to_owned())
    };
    let (first_flushed, first_tag) = flush(5);
    std::thread::sleep(std::time::Duration::from_millis(5));
    let (second_flushed, second_tag) = flush(5);
    assert_ne!(first_flushed, second_flushed);
    assert_eq!(first_tag, second_tag);
    assert_eq!(poll(&api, "/v1/ingest", &first_tag).status, 304);
    assert_ne!(flush(6).1, first_tag, "an offset counts");
}

#[test]
fn a_change_is_never_hidden_by_a_tag() {
    let api = counted();
    let tags: Vec<(String, String)> = REPORTS
        .iter()
        .map(|path| {
            let path = at(path);
            let tag = api.get(&path).header("etag").unwrap().to_owned();
            (path, tag)
        })
        .collect();
    api.count(&[
        event("account.updated", "2026-03-02T00:00:00Z", &json!({"account_id": "a", "name": "A"})),
        event("license.purchased", "2026-03-02T00:00:00Z", &json!({"account_id": "a", "seats": 5})),
        event(
            "license.assigned",
            "2026-03-02T00:00:00Z",
            &json!({"account_id": "a", "organization_id": "p", "user_id": "u"}),
        ),
        event(
            "user.login",
            "2026-03-31T00:00:00Z",
            &json!({"account_id": "a", "organization_id": "o", "user_id": "u"}),
        ),
        event(
            "plan.upgraded",
            "2026-03-02T00:00:00Z",
            &json!({
                "account_id": "a", "organization_id": "o", "plan": "team", "monthly_quota": 20,
            }),
        ),
        event(
            "test.executed",
            "2026-03-03T00:00:00Z",
            &json!({"account_id": "a", "organization_id": "o", "origin": "run"}),
        ),
    ]);
    for (path, tag) in tags {
        let answer = poll(&api, &path, &tag);
        assert_eq!(answer.status, 200, "{path}");
        assert_ne!(answer.header("etag"), Some(tag.as_str()));
    }
}

/// One event of each type, each of which changes something.
fn one_of_each() -> Vec<(&'static str, Value)> {
    let of = |kind, data: Value| (kind, data);
    vec![
        of("user.login", json!({"organization_id": "o", "user_id": "u"})),
        // The last use of a seat, and nothing else.
        of("user.login", json!({"organization_id": "o", "user_id": "u"})),
        of("user.action", json!({"user_id": "v"})),
        of(
            "test.executed",
            json!({"organization_id": "o", "origin": "run", "user_id": "w", "project_id": "p"}),
        ),
        of("license.purchased", json!({"seats": 5})),
        of("license.allocated", json!({"organization_id": "o", "seats": 3})),
        of("license.assigned", json!({"organization_id": "n", "user_id": "u", "project_id": "p"})),
        of("license.revoked", json!({"organization_id": "o", "user_id": "u"})),
        of("plan.upgraded", json!({"organization_id": "o", "plan": "team", "monthly_quota": 20})),
        of("plan.adjusted", json!({"organization_id": "o", "plan": "team", "monthly_quota": 25})),
        of("user.updated", json!({"user_id": "u", "name": "Uma"})),
        of("project.updated", json!({"organization_id": "n", "project_id": "p", "name": "Pea"})),
        of("organization.updated", json!({"organization_id": "n", "parent_id": "o", "name": "En"})),
        of("account.updated", json!({"timezone": "Asia/Kolkata"})),
    ]
}

/// What is kept holds for some topics only, so each report is asked for after a change of each, and
/// is compared with what an API says that has kept nothing.
#[test]
fn whatever_changes_every_report_is_as_one_made_anew() {
    let api = counted();
    let said = |api: &Api| -> Vec<String> {
        let body = |path: &&str| {
            let answer = api.get(&at(path));
            assert_eq!(answer.status, 200, "{path}");
            let text = answer.text();
            text.split(",\"data_through\"").next().unwrap_or_default().to_owned()
        };
        REPORTS.iter().map(body).collect()
    };
    let mut before = said(&api);
    // The first event of a partition that names an account or organization touches the directory,
    // the next ones need not.
    let mut partition = super::support::RUNTIME.block_on(api.partition());
    for (hour, (kind, mut data)) in (0..).zip(one_of_each()) {
        data["account_id"] = "a".into();
        api.count_next(
            &mut partition,
            &[event(kind, &format!("2026-03-05T{hour:02}:00:00Z"), &data)],
        );
        let now = said(&api);
        let anew = said(&api.beside(|_| {}));
        for ((path, now), anew) in REPORTS.iter().zip(&now).zip(&anew) {
            assert!(now == anew, "{path} after {kind}: {now} instead of {anew}");
        }
        assert!(now != before, "{kind} changes some report");
        before = now;
    }
}

/// Each request to ClickHouse takes a second, so that a poll which waits for one is told from a
/// poll on a busy machine.
#[test]
fn who_asks_again_and_again_waits_for_nothing_and_sees_what_is_counted() {
    const AGE_MAX: Duration = Duration::from_secs(10);
    const SLOW: Duration = Duration::from_secs(1);
    let database = engine();
    let proxy = HttpProxy::to(&database.url);
    let slowed = Api::on(database, |config| {
        config.clickhouse.url.clone_from(&proxy.url);
        config.http.look_age_max = AGE_MAX;
    });
    let seats = |user: &str| {
        let data = json!({"account_id": "a", "organization_id": "o", "user_id": user});
        event("license.assigned", "2026-03-01T00:00:00Z", &data)
    };
    let path = at("/v1/accounts/a/licenses/history");
    slowed.count(&[seats("u")]);
    let first = slowed.get(&path).body;
    slowed.count(&[seats("v")]);
    proxy.set(Rule { meddling: Meddling::Delay(SLOW), every: 1, only: "" });
    let counted = Instant::now();
    let mut changed = None;
    while counted.elapsed() < AGE_MAX + SLOW {
        let asked = Instant::now();
        let answer = slowed.get(&path);
        let waited = asked.elapsed();
        assert!(waited < SLOW, "{waited:?} after {:?}", counted.elapsed());
        if answer.body != first && changed.is_none() {
            changed = Some(asked.duration_since(counted));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    proxy.clear();
    let changed = changed.expect("the new seat shows");
    assert!(changed < AGE_MAX, "{changed:?}");
}

#[test]
fn what_is_asked_for_once_is_made_once() {
    let database = engine();
    let proxy = HttpProxy::to(&database.url);
    let slowed = Api::on(database, |config| {
        config.clickhouse.url.clone_from(&proxy.url);
        config.http.look_age_max = Duration::from_secs(2);
    });
    let data = json!({"account_id": "a", "organization_id": "o", "user_id": "u"});
    slowed.count(&[event("license.assigned", "2026-03-01T00:00:00Z", &data)]);
    let slow = Meddling::Delay(Duration::from_millis(250));
    proxy.set(Rule { meddling: slow, every: 1, only: "" });
    // Its look is aging when the answer is there, and still good.
    slowed.report(&at("/v1/accounts/a/licenses/history"));
    let asked = proxy.meddled();
    assert!(asked > 2, "{asked}");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(proxy.meddled(), asked);
}

#[test]
fn a_midnight_changes_the_answer_of_an_unchanged_account() {
    let api = counted();
    let tag = |as_of: &str| {
        let answer = api.get(&format!("/v1/accounts/a/licenses/history?as_of={as_of}"));
        answer.header("etag").unwrap().to_owned()
    };
    assert_eq!(tag("2026-03-31T10:00:00Z"), tag("2026-03-31T11:00:00Z"));
    assert_ne!(tag("2026-03-31T23:59:59.999Z"), tag("2026-04-01T00:00:00Z"));
}

#[test]
fn forms_of_a_report_have_tags_of_their_own() {
    let api = counted();
    let path = "/v1/accounts/a/organizations/o/quota/history?as_of=2026-04-01T00:00:00Z";
    let json = api.get(path);
    let csv = poll(&api, &format!("{path}&format=csv"), json.header("etag").unwrap());
    assert_eq!(csv.status, 200);
    assert_ne!(csv.header("etag"), json.header("etag"));
    assert!(csv.header("vary").unwrap().contains("accept"));
    let unchanged = poll(&api, path, json.header("etag").unwrap());
    assert_eq!(unchanged.status, 304);
    assert_eq!(
        unchanged.header("vary"),
        json.header("vary"),
        "a cache keeps the two apart by the same fields"
    );
}
