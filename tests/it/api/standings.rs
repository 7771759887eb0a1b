//! Standings: they never disagree with the reports, they are never older than they may be, and they
//! serve on while ClickHouse is away.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use seatmeter::core::rollup::{LaneRows, Progress};
use serde_json::{Value, json};

use super::support::{Answer, Api, Partition, RUNTIME, event};
use crate::support::http_proxy::{HttpProxy, Meddling, Rule};
use crate::support::{Database, PrivateEngine, engine, eventually, unique};

const LONG: Duration = Duration::from_secs(60);

/// What an answer may be older than what is stored, by default.
const LOOK_AGE_MAX: Duration = Duration::from_millis(250);

const ROUNDS: usize = 16;

const ACCOUNTS: [&str; 3] = ["a", "b", "c"];

const ORGANIZATIONS: [&str; 4] = ["o0", "o1", "o2", "o3"];

const ZONES: [&str; 6] = [
    "UTC",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
    "Asia/Kathmandu",
    "America/Havana",
    "Europe/Berlin",
];

fn moment(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn plan(kind: &str, organization: &str, time: DateTime<Utc>, quota: Option<u64>) -> String {
    let data = json!({"account_id": "a", "organization_id": organization, "plan": "p",
        "monthly_quota": quota});
    event(kind, &moment(time), &data)
}

fn run(organization: &str, time: DateTime<Utc>, tests: u64) -> String {
    let data = json!({"account_id": "a", "organization_id": organization, "origin": "run",
        "tests": tests});
    event("test.executed", &moment(time), &data)
}

fn ask(api: &Api, account: &str, organization: &str, tests: u64) -> Answer {
    let path = format!("/v1/accounts/{account}/organizations/{organization}/can-run?tests={tests}");
    api.get(&path)
}

/// The answer to a check; `None` where it tells that it may be older than what was written last.
/// A look that takes longer than a second, on a busy machine, leaves the figures before it.
#[track_caller]
fn up_to_date(api: &Api, account: &str, organization: &str, tests: u64) -> Option<Value> {
    let asked = Instant::now();
    let answer = ask(api, account, organization, tests);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    // It is told in whole milliseconds, rounded down.
    let age = Duration::from_millis(answer["age_ms"].as_u64().unwrap() + 1);
    (asked.checked_sub(age)? >= api.written()).then_some(answer)
}

/// The result of a check, of all that is written, without how fresh it is.
#[track_caller]
fn said(api: &Api, account: &str, organization: &str, tests: u64) -> Value {
    let ask = || up_to_date(api, account, organization, tests);
    let mut result = eventually("a look in time", LONG, ask);
    for dated in ["age_ms", "data_through"] {
        result.as_object_mut().unwrap().remove(dated).unwrap();
    }
    result
}

#[track_caller]
fn remaining(api: &Api, organization: &str) -> Value {
    said(api, "a", organization, 1)["remaining"].clone()
}

/// A time in the past days, around midnights of a month ago, or ahead.
fn time(random: &mut ChaCha8Rng) -> DateTime<Utc> {
    let now = Utc::now();
    match random.random_range(0..10) {
        0..3 => now - TimeDelta::milliseconds(random.random_range(0..60_000)),
        3..6 => now - TimeDelta::minutes(random.random_range(0..60 * 24 * 40)),
        6 => now - TimeDelta::minutes(random.random_range(0..60 * 24 * 400)),
        // The day of the month is that of today, or of one close to it.
        7 => now - TimeDelta::days(random.random_range(27..33)) + TimeDelta::minutes(30),
        8 => now + TimeDelta::milliseconds(random.random_range(0..3_000)),
        _ => now + TimeDelta::minutes(random.random_range(0..59)),
    }
}

fn arbitrary(random: &mut ChaCha8Rng) -> String {
    let time = moment(time(random));
    let account = ACCOUNTS[random.random_range(0..ACCOUNTS.len())];
    let organization = ORGANIZATIONS[random.random_range(0..ORGANIZATIONS.len())];
    let of = |more: Value| {
        let mut data = json!({"account_id": account, "organization_id": organization});
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        data
    };
    let quota = match random.random_range(0..6) {
        0 => Value::Null,
        1 => json!(0),
        _ => json!(random.random_range(1..60)),
    };
    let kind = ["plan.started", "plan.upgraded", "plan.adjusted", "plan.adjusted"]
        [random.random_range(0..4)];
    let tests = random.random_range(1..9);
    match random.random_range(0..20) {
        0..7 => event(kind, &time, &of(json!({"plan": "p", "monthly_quota": quota}))),
        7..16 => event("test.executed", &time, &of(json!({"origin": "run", "tests": tests}))),
        16 => event("test.executed", &time, &of(json!({"origin": "upload", "tests": tests}))),
        _ => {
            let zone = ZONES[random.random_range(0..ZONES.len())];
            event("account.updated", &time, &json!({"account_id": account, "timezone": zone}))
        }
    }
}

/// The rows of an account's overview by organization.
fn overview(api: &Api, account: &str) -> BTreeMap<String, Value> {
    let answer = api.get(&format!("/v1/accounts/{account}/quota?limit=1000"));
    if answer.status == 404 {
        return BTreeMap::new();
    }
    let rows = answer.json()["rows"].as_array().unwrap().clone();
    let id = |row: &Value| row["organization_id"].as_str().unwrap().to_owned();
    rows.into_iter().map(|row| (id(&row), row)).collect()
}

/// Instants at which time alone may change a standing: plans begin, and days wherever they do.
struct Edges(Vec<DateTime<Utc>>);

impl Edges {
    fn note(&mut self, event: &str) {
        let event: Value = serde_json::from_str(event).unwrap();
        self.0.push(event["time"].as_str().unwrap().parse().unwrap());
    }

    fn any_within(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> bool {
        const QUARTER_MS: i64 = 15 * 60 * 1_000;
        let quarter = |time: DateTime<Utc>| time.timestamp_millis().div_euclid(QUARTER_MS);
        // A record that anchors no month is in force from the next millisecond on.
        let late = TimeDelta::milliseconds(2);
        self.0.iter().any(|&time| from <= time + late && time <= until)
            || quarter(from) != quarter(until)
    }
}

/// Checks that all three say the same of an organization; false where time may have changed it
/// while they were asked. A report may be as old as the look that it was made after.
fn agree(api: &Api, account: &str, organization: &str, edges: &Edges, context: &str) -> bool {
    let from = Utc::now() - LOOK_AGE_MAX;
    let before = said(api, account, organization, 1);
    let answer = api.get(&format!("/v1/accounts/{account}/organizations/{organization}/quota"));
    let rows = overview(api, account);
    let fits = |tests: u64| said(api, account, organization, tests)["can_run"] == true;
    let remaining = before["remaining"].as_u64();
    let most = remaining.map(|most| (most == 0 || fits(most), fits(most + 1)));
    let after = said(api, account, organization, 1);
    if edges.any_within(from, Utc::now()) {
        return false;
    }
    assert_eq!(before, after, "{context}");
    if answer.status == 404 {
        let none = json!({"account_id": account, "organization_id": organization, "can_run": null,
            "status": "no_plan", "remaining": null, "resets_at": null});
        assert_eq!(before, none, "{context}");
        assert!(!rows.contains_key(organization), "{context}");
        return true;
    }
    let report = answer.json();
    for quota in [&report, &rows[organization]] {
        for field in ["can_run", "status", "remaining"] {
            assert_eq!(before[field], quota[field], "{field} {context}: {quota}");
        }
        assert_eq!(before["resets_at"], quota["window"]["end"], "{context}");
    }
    assert!(most.is_none_or(|fit| fit == (true, false)), "{context}: {most:?} of {remaining:?}");
    true
}

#[test]
fn at_rest_can_run_overview_and_report_never_disagree() {
    let seed = Utc::now().timestamp_millis().cast_unsigned();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let api = Api::open();
    let paced = api.beside(|config| config.http.look_age_max = LOOK_AGE_MAX);
    let mut partitions = [RUNTIME.block_on(api.partition()), RUNTIME.block_on(api.partition())];
    let mut edges = Edges(Vec::new());
    let mut compared = 0;
    for round in 0..ROUNDS {
        // An account lies in one partition.
        let events: Vec<String> =
            (0..random.random_range(1..12)).map(|_| arbitrary(&mut random)).collect();
        events.iter().for_each(|event| edges.note(event));
        let (first, second): (Vec<&String>, Vec<&String>) =
            events.iter().partition(|event| event.contains("\"account_id\":\"a\""));
        for (partition, events) in partitions.iter_mut().zip([first, second]) {
            api.count_next(partition, &events);
        }
        std::thread::sleep(LOOK_AGE_MAX);
        for api in [&api, &paced] {
            for (account, organization) in
                ACCOUNTS.iter().flat_map(|account| ORGANIZATIONS.map(|id| (account, id)))
            {
                let context = format!("seed {seed}, round {round}, {account} {organization}");
                compared += usize::from(agree(api, account, organization, &edges, &context));
            }
        }
    }
    let all = 2 * ROUNDS * ACCOUNTS.len() * ORGANIZATIONS.len();
    assert!(compared > all / 2, "seed {seed}: {compared} of {all} were at rest");
}

#[test]
fn what_is_counted_shows_within_a_look() {
    let api = Api::open();
    let paced = api.beside(|config| config.http.look_age_max = LOOK_AGE_MAX);
    let mut partition = RUNTIME.block_on(api.partition());
    let began = Utc::now() - TimeDelta::minutes(10);
    api.count_next(&mut partition, &[plan("plan.started", "o", began, Some(1_000))]);
    assert_eq!(remaining(&paced, "o"), 1_300);
    let mut at_once = 0;
    for (round, quota) in (1..20_u64).zip((200..).step_by(10)) {
        let time = began + TimeDelta::seconds(i64::try_from(round).unwrap());
        let lowered = plan("plan.adjusted", "o", time, Some(quota));
        api.count_next(&mut partition, &[lowered, run("o", time, 2)]);
        std::thread::sleep(LOOK_AGE_MAX);
        let Some(answer) = up_to_date(&paced, "a", "o", 1) else {
            assert_eq!(remaining(&paced, "o"), quota * 130 / 100 - 2 * round);
            continue;
        };
        at_once += 1;
        assert_eq!(answer["remaining"], quota * 130 / 100 - 2 * round);
        assert_eq!(answer["data_through"], api.report("/v1/ingest")["data_through"]);
        assert!(answer["age_ms"].as_u64().unwrap() < 1_000, "{answer}");
    }
    assert!(at_once > 9, "{at_once} of 19 answers were no older than a look");
    let exhausted = [plan("plan.adjusted", "o", Utc::now(), Some(10))];
    api.count_next(&mut partition, &exhausted);
    assert_eq!(said(&paced, "a", "o", 1)["can_run"], false);
}

fn proxied(change: impl FnOnce(&mut seatmeter::config::Config)) -> (HttpProxy, Api) {
    let proxy = HttpProxy::to(&engine().url);
    let database = Database::new(proxy.url.clone(), unique("test"));
    (proxy, Api::on(database, change))
}

#[test]
fn months_end_and_plans_begin_without_a_query() {
    let (proxy, api) = proxied(|config| config.http.look_age_max = LONG);
    let now = Utc::now();
    let edge = now + TimeDelta::seconds(4);
    api.count(&[
        plan("plan.started", "o", now - TimeDelta::days(3), Some(10)),
        run("o", now - TimeDelta::days(2), 13),
        plan("plan.upgraded", "o", edge, Some(100)),
        plan("plan.started", "new", edge, None),
    ]);
    assert_eq!(said(&api, "a", "o", 1)["status"], "exhausted");
    assert_eq!(said(&api, "a", "new", 1)["status"], "no_plan");
    proxy.set(Rule { meddling: Meddling::Refuse, every: 1, only: "" });
    assert!(Utc::now() < edge, "the machine is too slow for this test");
    std::thread::sleep((edge - Utc::now()).to_std().unwrap());
    let after = said(&api, "a", "o", 1);
    assert_eq!((&after["status"], &after["remaining"]), (&json!("within"), &json!(130)));
    assert_eq!(said(&api, "a", "new", 1)["can_run"], true);
    assert_eq!(proxy.meddled(), 0);
}

#[test]
fn many_who_ask_at_once_share_a_look() {
    let (proxy, api) = proxied(|config| config.http.look_age_max = Duration::ZERO);
    api.count(&[plan("plan.started", "o", Utc::now(), Some(10))]);
    remaining(&api, "o");
    proxy.set(Rule {
        meddling: Meddling::Delay(Duration::from_millis(500)),
        every: 1,
        only: "account_progress",
    });
    std::thread::scope(|scope| {
        // Each asks once: the age of so late an answer does not show that it holds all of that.
        let ask = || ask(&api, "a", "o", 1).json()["remaining"].clone();
        let askers: Vec<_> = (0..20).map(|_| scope.spawn(ask)).collect();
        assert!(askers.into_iter().all(|asker| asker.join().unwrap() == 13));
    });
    assert!(proxy.meddled() <= 4, "{} looks", proxy.meddled());
}

#[test]
fn answers_go_on_while_clickhouse_is_away_and_tell_their_age_until_they_are_too_old() {
    let mut engine = PrivateEngine::start();
    let api = Api::on(engine.database(), |config| {
        config.http.look_age_max = LOOK_AGE_MAX;
        config.http.standing_age_max = Duration::from_secs(4);
    });
    let began = Utc::now() - TimeDelta::minutes(10);
    api.count(&[plan("plan.started", "o", began, Some(10)), run("o", began, 5)]);
    assert_eq!(remaining(&api, "o"), 8);
    engine.process.kill().unwrap();
    let killed = Instant::now();
    let mut oldest = 0;
    let refused = eventually("answers get too old", LONG, || {
        let asked = Instant::now();
        let answer = ask(&api, "a", "o", 1);
        assert!(asked.elapsed() < Duration::from_millis(1_500), "nobody waits for long");
        if answer.status != 200 {
            return Some(answer);
        }
        let told = answer.json();
        let age_ms = told["age_ms"].as_u64().unwrap();
        assert!(age_ms >= oldest && age_ms <= 4_000, "{age_ms} after {oldest}");
        assert_eq!(told["remaining"], 8);
        oldest = age_ms;
        std::thread::sleep(Duration::from_millis(100));
        None
    });
    assert!(oldest > 3_000 && killed.elapsed() >= Duration::from_millis(3_500), "{oldest}");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    assert!(refused.header("retry-after").is_some());
    let problem = refused.json();
    assert_eq!(problem["type"], "urn:seatmeter:problem:unavailable");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("http.standing_age_max_ms"), "{detail}");
    let check = r#"{"checks": [{"account_id": "a", "organization_id": "o"}]}"#;
    assert_eq!(api.post("/v1/can-run", &[], check).status, 503);
    engine.process.restart().unwrap();
    eventually("answers are fresh again", LONG, || {
        let answer = ask(&api, "a", "o", 1);
        (answer.status == 200 && answer.json()["age_ms"].as_u64().unwrap() < 1_000).then_some(())
    });
    api.count(&[run("o", Utc::now(), 3)]);
    eventually("what is counted then shows", LONG, || (remaining(&api, "o") == 5).then_some(()));
}

#[test]
fn a_clickhouse_that_hangs_holds_up_few_and_not_for_long() {
    let (proxy, api) = proxied(|config| config.http.look_age_max = LOOK_AGE_MAX);
    api.count(&[plan("plan.started", "o", Utc::now(), Some(10))]);
    assert_eq!(remaining(&api, "o"), 13);
    proxy.set(Rule { meddling: Meddling::Hang, every: 1, only: "" });
    std::thread::sleep(Duration::from_millis(600));
    let timed = || {
        let asked = Instant::now();
        assert_eq!(remaining(&api, "o"), 13);
        asked.elapsed()
    };
    assert!(timed() < Duration::from_millis(1_500));
    std::thread::sleep(Duration::from_secs(1));
    assert!(timed() < Duration::from_millis(200), "the attempt has taken too long already");
    proxy.clear();
    eventually("answers are fresh again", LONG, || {
        (ask(&api, "a", "o", 1).json()["age_ms"].as_u64().unwrap() < 500).then_some(())
    });
}

#[test]
fn without_clickhouse_from_the_start_nothing_is_told() {
    let (proxy, api) = proxied(|_| {});
    api.count(&[plan("plan.started", "o", Utc::now(), Some(10))]);
    proxy.set(Rule { meddling: Meddling::Refuse, every: 1, only: "" });
    let api = api.beside(|_| {});
    let answer = ask(&api, "a", "o", 1);
    assert_eq!(answer.status, 503, "{}", answer.text());
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("not been read yet"), "{detail}");
    proxy.clear();
    eventually("they are read", LONG, || (ask(&api, "a", "o", 1).status == 200).then_some(()));
}

/// Writes a flush but for its progress, as a worker leaves it that dies then; `announces` tells
/// which accounts it has announced.
fn die_after(api: &Api, mut rows: LaneRows, announces: impl Fn(&str) -> bool) {
    rows.account_progress.retain(|row| announces(&row.account.to_string()));
    RUNTIME.block_on(api.write_rows(rows));
}

fn drained(api: &Api, partition: &mut Partition, events: &[String]) -> LaneRows {
    RUNTIME.block_on(partition.drained(&api.store, events))
}

fn of(account: &str, event: &str) -> String {
    event.replace("\"account_id\":\"a\"", &format!("\"account_id\":\"{account}\""))
}

#[test]
fn whatever_a_worker_leaves_when_it_dies_the_next_owner_makes_right() {
    let api = Api::open();
    let mut partition = RUNTIME.block_on(api.partition());
    let began = Utc::now() - TimeDelta::minutes(10);
    let started = plan("plan.started", "o", began, Some(100));
    api.count_next(&mut partition, &[of("a", &started), of("b", &started)]);
    let left = |account: &str| said(&api, account, "o", 1)["remaining"].clone();
    assert_eq!((left("a"), left("b")), (json!(130), json!(130)));
    let counted = Progress { next_offset: 2, accepted: 2, ..Progress::default() };

    // It dies when it has announced one of two accounts, the one whose event came last.
    let events = [of("a", &run("o", began, 1)), of("b", &run("o", began, 2))];
    let rows = drained(&api, &mut partition, &events);
    die_after(&api, rows, |account| account == "b");
    assert_eq!((left("a"), left("b")), (json!(130), json!(128)));

    // The next owner goes on from the progress, and flushes when it has read less than that.
    let mut owner = RUNTIME.block_on(partition.reopened(&api.store, counted));
    api.count_next(&mut owner, &events[..1]);
    assert_eq!((left("a"), left("b")), (json!(129), json!(128)));

    // It dies when all is announced, and the progress is not recorded.
    let rows = drained(&api, &mut owner, &events[1..]);
    die_after(&api, rows, |_| true);
    assert_eq!((left("a"), left("b")), (json!(129), json!(128)));
    let counted = Progress { next_offset: 3, accepted: 3, ..counted };
    let mut owner = RUNTIME.block_on(partition.reopened(&api.store, counted));
    let more = [events[1].clone(), of("b", &run("o", began, 3)), of("a", &run("o", began, 4))];
    api.count_next(&mut owner, &more);
    assert_eq!((left("a"), left("b")), (json!(125), json!(125)));
    let fresh = api.beside(|_| {});
    for account in ["a", "b"] {
        assert_eq!(said(&fresh, account, "o", 1), said(&api, account, "o", 1));
    }
}

#[test]
fn a_source_whose_progress_was_deleted_counts_on_as_stored() {
    let api = Api::open();
    let began = Utc::now() - TimeDelta::minutes(10);
    api.count(&[plan("plan.started", "o", began, Some(100)), run("o", began, 1)]);
    api.sql("TRUNCATE TABLE source_progress");
    api.count(&[of("b", &plan("plan.started", "o", began, Some(10)))]);
    let api = api.beside(|config| config.http.look_age_max = LOOK_AGE_MAX);
    assert_eq!(remaining(&api, "o"), 129);
    assert_eq!(said(&api, "b", "o", 1)["remaining"], 13);
    api.count(&[of("b", &run("o", began, 1))]);
    std::thread::sleep(LOOK_AGE_MAX);
    assert_eq!(said(&api, "b", "o", 1)["remaining"], 12);
    assert_eq!(remaining(&api, "o"), 129);
}

#[test]
fn a_repair_by_hand_shows_within_a_minute_or_so() {
    let api = Api::open();
    let paced = api.beside(|config| config.http.look_age_max = LOOK_AGE_MAX);
    let began = Utc::now() - TimeDelta::minutes(10);
    api.count(&[
        plan("plan.started", "o", began, Some(100)),
        plan("plan.started", "gone", began, Some(100)),
    ]);
    assert_eq!((remaining(&paced, "o"), remaining(&paced, "gone")), (json!(130), json!(130)));
    api.sql(
        "ALTER TABLE plan_facts DELETE WHERE organization_id = 'gone' SETTINGS mutations_sync = 2",
    );
    eventually("the repair shows", Duration::from_secs(65), || {
        (said(&paced, "a", "gone", 1)["status"] == "no_plan").then_some(())
    });
    assert_eq!(remaining(&paced, "o"), 130);
}
