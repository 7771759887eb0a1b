//! Events of alerts on real Kafka: a receiver that fails half of its requests, workers that are
//! killed, stopped and joined, ClickHouse that goes away: what arrives is what a naive reading of
//! the log tells.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chrono::Utc;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use serde_json::{Value, json};

use super::receiver::Receiver;
use crate::api::support::event;
use crate::counting::{Record, STOP_TIMEOUT, Setup};
use crate::simulation::dice::Dice;
use crate::support::http_proxy::{HttpProxy, Meddling, Rule};
use crate::support::{Kafka, PrivateEngine, Program, eventually, patience};

/// How long an event may take to arrive; the machine may be busy with other tests.
pub(super) const SOON: Duration = Duration::from_secs(240);

/// A topic and a database, and accounts with one organization each.
pub(super) struct World {
    pub(super) setup: Setup<'static>,
}

/// An event: its type, time and data without the account.
pub(super) type Told = (&'static str, i64, Value);

pub(super) fn plan(time_ms: i64, kind: &str, quota: u64) -> Told {
    let kind = match kind {
        "started" => "plan.started",
        "upgraded" => "plan.upgraded",
        _ => "plan.adjusted",
    };
    (kind, time_ms, json!({"organization_id": "o", "plan": "p", "monthly_quota": quota}))
}

pub(super) fn run(time_ms: i64, tests: u64) -> Told {
    let data = json!({"organization_id": "o", "origin": "run", "tests": tests});
    ("test.executed", time_ms, data)
}

pub(super) fn purchase(time_ms: i64, seats: u64) -> Told {
    ("license.purchased", time_ms, json!({"seats": seats}))
}

fn seat(time_ms: i64, kind: &'static str, user: usize) -> Told {
    (kind, time_ms, json!({"organization_id": "o", "user_id": user}))
}

impl World {
    pub(super) fn new(partitions: i32) -> Self {
        Self { setup: Setup::new(partitions) }
    }

    /// One partition, and an account with 100 tests a month that has run so many of them, of which
    /// the receiver was told; with the worker that told it.
    pub(super) fn told(receiver: &Receiver, tests: u64) -> (Self, Program) {
        let mut world = Self::new(1);
        world.switch_on(&receiver.option(""));
        let worker = world.judging_worker();
        let now_ms = Utc::now().timestamp_millis();
        world.send("a", &[plan(now_ms - 1_000, "started", 100), run(now_ms - 900, tests)]);
        eventually("it is told", SOON, || (receiver.told().len() == 1).then_some(()));
        (world, worker)
    }

    /// Workers started from now on judge alerts and tell of them.
    pub(super) fn switch_on(&mut self, webhooks: &str) {
        self.setup.set("ALERTS__ENABLED", true);
        self.setup.set("ALERTS__WEBHOOKS", webhooks);
    }

    /// Starts a worker, and waits until it is stored since when alerts are on.
    pub(super) fn judging_worker(&self) -> Program {
        let worker = self.setup.worker();
        let since = "SELECT count() FROM alert_marks WHERE kind = 'database'";
        eventually("alerts are on", SOON, || {
            (self.setup.database.query(since).trim() != "0").then_some(())
        });
        worker
    }

    pub(super) fn send(&self, account: &str, events: &[Told]) {
        let record = |(kind, time_ms, data): &Told| {
            let mut data = data.clone();
            data["account_id"] = account.into();
            let time = chrono::DateTime::from_timestamp_millis(*time_ms).unwrap();
            let time = time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
            let value = event(kind, &time, &data).into_bytes();
            Record { key: Some(account.to_owned()), value: Some(value) }
        };
        self.setup.produce(&events.iter().map(record).collect::<Vec<_>>());
    }

    /// Waits until it is stored how far everything was judged.
    pub(super) fn wait_until_marked(&self) {
        let offsets = "SELECT (SELECT sum(upto) FROM (SELECT max(judged_upto) AS upto FROM \
            alert_marks GROUP BY kind, name)) = (SELECT sum(next_offset) FROM ingest_progress)";
        eventually("it is stored how far was judged", SOON, || {
            let is_lag_over = self.setup.progress().lag == Some(0);
            (is_lag_over && self.setup.database.query(offsets).trim() == "1").then_some(())
        });
    }
}

#[test]
fn a_topic_gets_every_event_keyed_by_its_account_and_a_webhook_what_it_asked_for() {
    let receiver = Receiver::start(1);
    let mut world = World::new(2);
    let topic = world.setup.kafka.topic("alerts", 1);
    world.switch_on(&receiver.option(", rules = ['seats'], accounts = ['a']"));
    world.setup.set("ALERTS__TOPIC", &topic);
    let mut worker = world.judging_worker();
    let now_ms = Utc::now().timestamp_millis();
    for account in ["a", "b"] {
        let seats = [purchase(now_ms - 2_000, 1), seat(now_ms - 1_000, "license.assigned", 1)];
        world.send(account, &seats);
        world.send(account, &[plan(now_ms - 1_000, "started", 10), run(now_ms, 8)]);
    }
    let consumer: BaseConsumer =
        world.setup.kafka.client_config().set("group.id", "alerts").create().unwrap();
    let mut all = rdkafka::TopicPartitionList::new();
    all.add_partition_offset(&topic, 0, rdkafka::Offset::Beginning).unwrap();
    consumer.assign(&all).unwrap();
    let mut found = BTreeSet::new();
    eventually("all events are in the topic", SOON, || {
        if let Some(Ok(record)) = consumer.poll(Duration::from_millis(200)) {
            let event: Value = serde_json::from_slice(record.payload().unwrap()).unwrap();
            let account = event["data"]["account_id"].as_str().unwrap().to_owned();
            assert_eq!(record.key(), Some(account.as_bytes()));
            found.insert((account, event["data"]["rule"].as_str().unwrap().to_owned()));
        }
        (found.len() == 4).then_some(())
    });
    eventually("the webhook is told", SOON, || {
        (receiver.told() == ["a - seats 100 raised"]).then_some(())
    });
    // Who reads a record may know of it before its producer does.
    let delivered = "seatmeter_alert_deliveries_total{target=\"kafka\",outcome=\"delivered\"} 4";
    eventually("four are counted as delivered", SOON, || {
        let (_, metrics) = crate::counting::ask(&mut worker, "/metrics");
        metrics.contains(delivered).then_some(())
    });
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

#[test]
fn what_clickhouse_stores_without_saying_so_arrives_too() {
    let receiver = Receiver::start(1);
    let mut world = World::new(1);
    let clickhouse = HttpProxy::to(&world.setup.database.url);
    world.setup.set("CLICKHOUSE__URL", &clickhouse.url);
    world.switch_on(&receiver.option(""));
    let mut worker = world.judging_worker();
    // Every other request about events is done, and its answer lost.
    let rule = Rule { meddling: Meddling::SwallowAnswer, every: 2, only: "alert_events" };
    clickhouse.set(rule);
    let now_ms = Utc::now().timestamp_millis();
    let mut expected: Vec<String> = Vec::new();
    let mut step = |events: &[Told], told: &str| {
        for account in ["a", "b"] {
            world.send(account, events);
            expected.push(format!("{account} {told}"));
        }
        expected.sort_unstable();
        eventually("everything has arrived that is to be told", SOON, || {
            (receiver.told().len() >= expected.len()).then_some(())
        });
        assert_eq!(receiver.told(), expected);
    };
    let begin = [plan(now_ms - 9_000, "started", 100), run(now_ms - 8_000, 85)];
    step(&begin, "o quota 80 raised");
    step(&[run(now_ms, 20)], "o quota 100 raised");
    step(&[purchase(now_ms - 9_000, 1), seat(now_ms, "license.assigned", 1)], "- seats 100 raised");
    assert!(clickhouse.meddled() > 5, "only {} answers were lost", clickhouse.meddled());
    clickhouse.clear();
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

/// A former owner that was held up stores what it has found after the next one has looked for what
/// is unsent; then it learns that it holds nothing any more, and sends nothing.
#[test]
fn what_a_former_owner_stores_late_is_sent() {
    let receiver = Receiver::start(1);
    let (world, mut worker) = World::told(&receiver, 85);
    world.setup.database.query(
        "INSERT INTO alert_events SELECT * REPLACE ('100' AS line, 'late' AS id, \
            replace(replace(event, id, 'late'), '\"line\":\"80\"', '\"line\":\"100\"') AS event) \
        FROM alert_events",
    );
    world.send("a", &[run(Utc::now().timestamp_millis(), 20)]);
    eventually("that is told too", SOON, || (receiver.told().len() == 2).then_some(()));
    assert_eq!(receiver.told(), ["a o quota 100 raised", "a o quota 80 raised"]);
    assert!(receiver.events().contains_key("late"));
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

/// A zone in which it is noon, so that no midnight passes while the test runs.
fn zone_of_noon(now_ms: i64) -> String {
    let hour = now_ms.rem_euclid(86_400_000) / 3_600_000;
    // The sign of these zones is that of POSIX: west is positive.
    match 12 - hour {
        0 => "Etc/GMT".to_owned(),
        east @ 1.. => format!("Etc/GMT-{east}"),
        west => format!("Etc/GMT+{}", -west),
    }
}

/// What each account of the fault test does, round by round, with what has to be told of it.
fn rounds(now_ms: i64) -> Vec<(Vec<Told>, &'static [&'static str])> {
    let seats = |from: usize, to: usize| {
        (from..to).map(|user| seat(now_ms - 60_000, "license.assigned", user)).collect::<Vec<_>>()
    };
    let revoked: Vec<Told> =
        (0..5).map(|user| seat(now_ms - 9_000, "license.revoked", user)).collect();
    let day_ms = 86_400_000;
    let week: Vec<Told> = (1..=7).map(|days| run(now_ms - days * day_ms, 20)).collect();
    let begin = [
        ("account.updated", now_ms - 10 * day_ms, json!({"timezone": zone_of_noon(now_ms)})),
        plan(now_ms - 10 * day_ms, "started", 1_000),
        purchase(now_ms - 90_000, 10),
    ];
    vec![
        (begin.into(), &[]),
        // By 20 a day, what runs today alone may use up the month: no pace that lasts a midnight.
        (week, &[]),
        (vec![run(now_ms, 700)], &["o quota 80 raised"]),
        (seats(0, 9), &["- seats 90 raised"]),
        (vec![run(now_ms, 250)], &["o quota 100 raised"]),
        (
            vec![plan(now_ms - 8_000, "adjusted", 3_000)],
            &["o quota 100 resolved", "o quota 80 resolved"],
        ),
        (vec![plan(now_ms - 7_000, "adjusted", 500)], &["o quota exhausted raised"]),
        (vec![purchase(now_ms - 50_000, 20)], &["- seats 90 resolved"]),
        (seats(9, 19), &["- seats 90 raised"]),
        (revoked, &["- seats 90 resolved"]),
        // A late plan draws the months anew; nothing is sent of the month that it ends.
        (vec![plan(now_ms - day_ms / 2, "upgraded", 700)], &[]),
        (vec![run(now_ms, 420)], &["o quota 80 raised"]),
    ]
}

/// Something that happens to the workers or to ClickHouse.
fn strike(dice: &mut Dice, workers: &mut Vec<Program>, world: &World, engine: &mut PrivateEngine) {
    let one = dice.below(workers.len());
    match dice.below(5) {
        0 => workers.remove(one).kill(),
        1 => assert!(workers.remove(one).terminate(STOP_TIMEOUT).success()),
        2 => {
            workers[one].signal("STOP");
            std::thread::sleep(Duration::from_secs(7));
            workers[one].signal("CONT");
        }
        3 => {
            engine.process.kill().unwrap();
            std::thread::sleep(Duration::from_secs(2));
            engine.process.restart().unwrap();
        }
        _ => {}
    }
    while workers.len() < 2 {
        workers.push(world.setup.worker());
    }
}

#[test]
fn under_faults_what_arrives_is_what_the_log_tells() {
    let receiver = Receiver::start(2);
    let mut engine = PrivateEngine::start();
    let clickhouse = HttpProxy::to(&engine.process.url());
    let setup = Setup::between(Kafka::shared(), engine.database(), 4);
    let mut world = World { setup };
    world.setup.set("CLICKHOUSE__URL", &clickhouse.url);
    world.setup.set("CLICKHOUSE__REQUEST_TIMEOUT_MS", 2_000);
    world.switch_on(&receiver.option(""));
    let mut dice = Dice::new(7, 1);
    let mut workers = vec![world.judging_worker(), world.setup.worker()];
    let accounts: Vec<String> = (0..6).map(|number| format!("account-{number}")).collect();
    let mut expected: Vec<String> = Vec::new();
    for (events, told) in rounds(Utc::now().timestamp_millis()) {
        for account in &accounts {
            world.send(account, &events);
            expected.extend(told.iter().map(|told| format!("{account} {told}")));
        }
        strike(&mut dice, &mut workers, &world, &mut engine);
        expected.sort_unstable();
        world.setup.wait_until_counted();
        let deadline = Instant::now() + patience(SOON);
        while receiver.told().len() < expected.len() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(
            receiver.told(),
            expected,
            "stored are\n{}",
            world.setup.database.query(
                "SELECT account_id, rule, line, state, silent, found_at FROM alerts ORDER BY ALL"
            )
        );
        world.wait_until_marked();
    }
    // Who comes last sends nothing again, and finds nothing else.
    for mut worker in workers {
        worker.terminate(STOP_TIMEOUT);
    }
    let requests = receiver.requests();
    let mut worker = world.setup.worker();
    world.wait_until_marked();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(receiver.told(), expected);
    assert_eq!(receiver.requests(), requests, "what was acknowledged is not sent again");
    assert!(worker.terminate(STOP_TIMEOUT).success());
    assert_eq!(world.setup.database.query("SELECT count() FROM alerts"), "36\n");
}
