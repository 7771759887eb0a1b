//! What may still run, while workers are killed.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{SecondsFormat, TimeDelta, Utc};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::hurry;
use crate::counting::{Record, STOP_TIMEOUT, Setup, ask};
use crate::support::Program;

const ACCOUNTS: u32 = 6;

/// Of each account.
const ORGANIZATIONS: u32 = 3;

/// With the grace, 130 % of it may run.
const QUOTA: u64 = 10_000;

const KILLS: u32 = 4;

/// Writes a log, and knows what is left of each organization's allowance.
struct Plans {
    random: ChaCha8Rng,
    events: u32,
    left: BTreeMap<(String, String), u64>,
}

impl Plans {
    fn record(&mut self, kind: &str, account: &str, mut data: Value) -> Record {
        self.events += 1;
        data["account_id"] = account.into();
        let time =
            (Utc::now() - TimeDelta::seconds(1)).to_rfc3339_opts(SecondsFormat::Millis, true);
        let event = json!({"specversion": "1.0", "id": self.events.to_string(), "source": "/test",
            "type": kind, "time": time, "data": data});
        Record { key: Some(account.to_owned()), value: Some(event.to_string().into_bytes()) }
    }

    fn start(&mut self) -> Vec<Record> {
        let ids = (0..ACCOUNTS).flat_map(|account| (0..ORGANIZATIONS).map(move |id| (account, id)));
        let ids: Vec<(String, String)> =
            ids.map(|(account, id)| (format!("account-{account}"), format!("o{id}"))).collect();
        let start = |(account, id): (String, String)| {
            let data = json!({"organization_id": id, "plan": "team", "monthly_quota": QUOTA});
            self.left.insert((account.clone(), id), QUOTA * 13 / 10);
            self.record("plan.started", &account, data)
        };
        ids.into_iter().map(start).collect()
    }

    fn run(&mut self, records: usize) -> Vec<Record> {
        let one = |_| {
            let account = format!("account-{}", self.random.random_range(0..ACCOUNTS));
            let id = format!("o{}", self.random.random_range(0..ORGANIZATIONS));
            let tests = self.random.random_range(1..20);
            let data = json!({"organization_id": id, "origin": "run", "tests": tests});
            let left = self.left.get_mut(&(account.clone(), id)).unwrap();
            *left = left.saturating_sub(tests);
            self.record("test.executed", &account, data)
        };
        (0..records).map(one).collect()
    }
}

/// Whenever everything is counted, an API that has run all the time says of each organization what
/// a naive count of the log does.
#[test]
fn what_may_still_run_is_right_whenever_workers_die() {
    let mut setup = Setup::new(3);
    hurry(&mut setup);
    let mut api = Program::spawn(&mut setup.command(&["api"]));
    let random = ChaCha8Rng::seed_from_u64(7);
    let mut plans = Plans { random, events: 0, left: BTreeMap::new() };
    let records = plans.start();
    setup.produce(&records);
    let mut worker = setup.worker();
    for kill in 0..KILLS {
        for _ in 0..5 {
            setup.produce(&plans.run(200));
            std::thread::sleep(Duration::from_millis(u64::from(30 + 40 * kill)));
        }
        worker.kill();
        setup.produce(&plans.run(50));
        worker = setup.worker();
        setup.wait_until_counted();
        std::thread::sleep(Duration::from_millis(250));
        for ((account, id), left) in &plans.left {
            let path = format!("/v1/accounts/{account}/organizations/{id}/can-run");
            let (status, answer) = ask(&mut api, &path);
            assert_eq!(status, 200, "{answer}");
            let answer: Value = serde_json::from_str(&answer).unwrap();
            assert_eq!(answer["remaining"], *left, "{account} {id}");
        }
    }
    assert!(worker.terminate(STOP_TIMEOUT).success());
    assert!(api.terminate(STOP_TIMEOUT).success());
}
