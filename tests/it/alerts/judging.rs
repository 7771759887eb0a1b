//! What is judged as time goes on: the figures are those of the reports at that instant, and what
//! is told is what a naive reading of these reports tells.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use seatmeter::alerts::{Judge, Touch};
use seatmeter::report::alert::AlertLines;
use serde_json::{Value, json};

use crate::api::support::{Api, RUNTIME, event};

const DAY_MS: i64 = 86_400_000;

/// 1 March 2026 UTC, milliseconds since 1970.
const START_MS: i64 = 1_772_323_200_000;

fn at(time_ms: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(time_ms).unwrap();
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// A database of its own, judged by a clock of the test.
struct Court {
    api: Api,
    judge: Judge,
}

impl Court {
    fn open() -> Self {
        let api = Api::open();
        let lines = AlertLines { quota_percent: vec![80, 100], seats_percent: vec![90, 100] };
        let judge = Judge::new(api.store.clone(), lines, "db".to_owned());
        Self { api, judge }
    }

    fn count(&self, kind: &str, time_ms: i64, data: Value) {
        let mut data = data;
        data["account_id"] = "acme".into();
        assert_eq!(self.api.count(&[event(kind, &at(time_ms), &data)]).accepted, 1);
    }

    fn run(&self, time_ms: i64, tests: u64) {
        let data = json!({"organization_id": "o", "origin": "run", "tests": tests});
        self.count("test.executed", time_ms, data);
    }

    /// Judges, stores, and returns what was told: rule, line, month and state, and the data.
    fn told(&self, now_ms: i64) -> Vec<(String, Value)> {
        let accounts = BTreeMap::from([("acme".to_owned(), Touch::ALL)]);
        let judgement = RUNTIME.block_on(self.judge.judge(&accounts, now_ms)).unwrap();
        RUNTIME.block_on(self.api.store.write_alerts(&judgement.rows)).unwrap();
        let again = RUNTIME.block_on(self.judge.judge(&accounts, now_ms)).unwrap();
        assert!(again.rows.is_empty(), "what is stored is not told again: {:?}", again.rows);
        let row = |row: &seatmeter::store::AlertRow| {
            let (rule, line) = (row.key.rule.as_str(), row.key.line);
            let name = format!("{rule} {line} {} {}", row.key.arming.month, row.state.as_str());
            let event: Value = serde_json::from_str(&row.event).unwrap_or_default();
            assert!(row.event.is_empty() || event["id"] == row.key.id("acme", row.state).as_str());
            (name, event["data"].clone())
        };
        judgement.rows.iter().map(row).collect()
    }

    #[track_caller]
    fn check(&self, now_ms: i64, expected: &[&str]) {
        let told = self.told(now_ms);
        let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, expected, "at {}", at(now_ms));
    }

    /// The quota report at an instant; null without a plan.
    fn report(&self, as_of_ms: i64) -> Value {
        let path = format!("/v1/accounts/acme/organizations/o/quota?as_of={}", at(as_of_ms));
        match self.api.get(&path) {
            answer if answer.status == 404 => Value::Null,
            answer => answer.json(),
        }
    }
}

#[test]
fn a_month_passes_by_the_clock() {
    let court = Court::open();
    let plan = json!({"organization_id": "o", "plan": "p", "monthly_quota": 700});
    court.count("account.updated", START_MS, json!({"timezone": "Asia/Kolkata", "name": "Acme"}));
    court.count("organization.updated", START_MS, json!({"organization_id": "o", "name": "QA"}));
    court.count("plan.started", START_MS + 1, plan);
    let midnight = |day: i64| START_MS + day * DAY_MS - 330 * 60_000;
    court.check(midnight(1) - 1, &[]);
    for day in 1..=8 {
        court.run(midnight(day) + 3_600_000, 60);
    }
    // Nobody knows a pace before a week of the plan is over; by it the month is too long.
    court.check(midnight(7) - 1, &[]);
    court.check(midnight(7), &["pace runs_out 1 raised"]);
    court.check(midnight(9), &[]);
    court.run(midnight(9) + 1, 79);
    court.check(midnight(9) + 2, &[]);
    court.run(midnight(9) + 2, 1);
    let told = court.told(midnight(9) + 3);
    assert_eq!(told[0].0, "quota 80 1 raised");
    let data = &told[0].1;
    assert_eq!(data["organization"], "QA");
    let report = court.report(midnight(9) + 3);
    for field in ["plan", "window", "used", "allowance", "percent_used", "status", "pace", "grace"]
    {
        assert_eq!(data[field], report[field], "{field}");
    }
    // A new month, whose figures begin at 0: nothing is sent of the old one.
    let month_ends = midnight(31);
    court.check(month_ends - 1, &["pace runs_out 1 resolved"]);
    court.check(month_ends, &["quota 80 1 ended"]);
    court.run(month_ends + 5, 800);
    court.check(month_ends + 6, &["quota 100 2 raised"]);
    let more = json!({"organization_id": "o", "plan": "p", "monthly_quota": 2_000});
    court.count("plan.adjusted", month_ends + 7, more.clone());
    court.check(month_ends + 7, &[]);
    court.check(month_ends + 8, &["quota 100 2 resolved"]);
    // Another anchor ends the month and arms anew, without a word of what was before.
    court.run(month_ends + 9, 900);
    court.check(month_ends + 10, &[]);
    court.count("plan.upgraded", month_ends + 11, more);
    court.check(month_ends + 11, &[]);
    court.run(month_ends + 12, 1_600);
    court.check(month_ends + 13, &["quota 80 1 raised"]);
}

#[test]
fn an_account_is_due_when_its_figures_may_change_by_themselves() {
    let court = Court::open();
    let due = |now_ms| {
        let accounts = BTreeMap::from([("acme".to_owned(), Touch::ALL)]);
        let judgement = RUNTIME.block_on(court.judge.judge(&accounts, now_ms)).unwrap();
        judgement.due_ms.into_iter().map(|(_, due_ms)| due_ms - now_ms).collect::<Vec<_>>()
    };
    let now_ms = START_MS + 10 * DAY_MS;
    let seats = |seats| json!({"seats": seats});
    court.count("license.purchased", now_ms - 1, seats(10));
    assert_eq!(due(now_ms), [] as [i64; 0]);
    court.count("license.purchased", now_ms + 700, seats(1));
    assert_eq!(due(now_ms), [700]);
    let holder = |user| json!({"organization_id": "o", "user_id": user});
    court.count("license.assigned", now_ms + 400, holder("u"));
    court.count("license.assigned", now_ms - 9, holder("v"));
    court.count("license.revoked", now_ms + 300, holder("v"));
    assert_eq!(due(now_ms), [300]);
    let plan = json!({"organization_id": "o", "plan": "p", "monthly_quota": 1});
    court.count("plan.started", now_ms + 200, plan);
    assert_eq!(due(now_ms), [200]);
    assert_eq!(due(now_ms + 5_000), [DAY_MS - 5_000]);
}

#[test]
fn seats_are_those_of_the_history() {
    let court = Court::open();
    let holder = |user: usize| json!({"organization_id": "o", "user_id": user});
    let minute = |minutes: i64| START_MS + minutes * 60_000;
    court.count("license.purchased", minute(0), json!({"seats": 10}));
    for user in 0..9 {
        court.count("license.assigned", minute(1), holder(user));
    }
    let told = court.told(minute(2));
    assert_eq!(told[0].0, "seats 90 0 raised");
    assert_eq!((&told[0].1["purchased"], &told[0].1["assigned"]), (&json!(10), &json!(9)));
    assert_eq!(told[0].1["organization_id"], Value::Null);
    // A redelivered purchase is the same one.
    court.count("license.purchased", minute(0), json!({"seats": 10}));
    court.check(minute(2), &[]);
    court.count("license.assigned", minute(3), holder(9));
    court.count("license.assigned", minute(3), holder(10));
    court.check(minute(4), &["seats overage 0 raised"]);
    court.count("license.revoked", minute(5), holder(10));
    court.check(minute(6), &["seats overage 0 resolved"]);
    court.count("license.purchased", minute(7), json!({"seats": 20}));
    court.check(minute(8), &["seats 90 0 resolved"]);
}

/// What happens to the organization.
#[derive(Clone, Debug)]
enum Step {
    Run(u64),
    Plan(bool, Option<u64>),
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..60_u64).prop_map(Step::Run),
        1 => (any::<bool>(), prop::option::weighted(0.9, 0..200_u64))
            .prop_map(|(anchors, quota)| Step::Plan(anchors, quota)),
        2 => (1..40_i64).prop_map(|hours| Step::Wait(hours * 3_600_000)),
    ]
}

/// A naive reading of quota reports: which lines of which month were told, by rule.
#[derive(Default)]
struct NaiveReader {
    /// By anchor and month: the highest line that was raised, and those that are open.
    months: BTreeMap<(i64, u64), (Option<u64>, BTreeSet<u64>)>,
}

impl NaiveReader {
    /// What the report tells of the rule of quota, as lines in percent of the quota (an exhausted
    /// allowance as 1,000), each raised or resolved.
    fn read(&mut self, anchor_ms: i64, report: &Value) -> Vec<(u64, &'static str)> {
        let mut told = Vec::new();
        if report.is_null() {
            return told;
        }
        let number = report["window"]["month"].as_u64().unwrap();
        let (highest, open) = self.months.entry((anchor_ms, number)).or_default();
        let used = report["percent_used"].as_f64();
        let reached = |line: u64| match line {
            1_000 => report["status"] == "exhausted",
            percent => used.is_some_and(|used| used >= percent as f64),
        };
        let fallen: Vec<u64> = open.iter().copied().filter(|&line| !reached(line)).collect();
        for line in fallen {
            open.remove(&line);
            told.push((line, "resolved"));
        }
        let line = [1_000, 100, 80].into_iter().find(|&line| reached(line));
        if let Some(line) = line.filter(|&line| Some(line) > *highest) {
            *highest = Some(line);
            open.insert(line);
            told.push((line, "raised"));
        }
        told.sort_unstable();
        told
    }
}

#[test]
fn whatever_happens_alerts_are_a_naive_reading_of_the_reports() {
    let mut runner = TestRunner::new(Config { cases: 6, ..Config::default() });
    runner
        .run(&prop::collection::vec(step(), 1..16), |steps| {
            let court = Court::open();
            let (mut now_ms, mut anchor_ms, mut reader) = (START_MS, 0, NaiveReader::default());
            for step in steps {
                now_ms += 60_000;
                match step {
                    Step::Run(tests) => court.run(now_ms, tests),
                    Step::Wait(time_ms) => now_ms += time_ms,
                    Step::Plan(anchors, quota) => {
                        let kind = if anchors { "plan.started" } else { "plan.adjusted" };
                        anchor_ms = if anchors { now_ms } else { anchor_ms };
                        let plan =
                            json!({"organization_id": "o", "plan": "p", "monthly_quota": quota});
                        court.count(kind, now_ms, plan);
                    }
                }
                now_ms += 1;
                let expected = reader.read(anchor_ms, &court.report(now_ms));
                let mut found: Vec<(u64, &str)> = Vec::new();
                for (name, _) in court.told(now_ms) {
                    let parts: Vec<&str> = name.split(' ').collect();
                    if parts[0] == "quota" && parts[3] != "ended" {
                        let line = parts[1].parse().unwrap_or(1_000);
                        let state = if parts[3] == "raised" { "raised" } else { "resolved" };
                        found.push((line, state));
                    }
                }
                found.sort_unstable();
                prop_assert_eq!(found, expected, "at {}", at(now_ms));
            }
            Ok(())
        })
        .unwrap();
}
