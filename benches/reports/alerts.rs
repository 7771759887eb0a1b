//! What it costs to judge the alerts of one account with 100,000 seats and 2,020 organizations with
//! a plan, as a worker does after each flush that has touched it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::Utc;
use seatmeter::alerts::{Judge, Touch};
use seatmeter::report::alert::AlertLines;

use super::clients::ACCOUNT;
use super::setting::{LARGE, Setting};

const ROUNDS: u32 = 20;

/// Measures and prints the times, and the engine's CPU times.
pub(crate) fn run() {
    let setting = Setting::prepare(LARGE);
    let lines = AlertLines { quota_percent: vec![80, 100], seats_percent: vec![90, 100] };
    let judge = Judge::new(setting.store.clone(), lines, "bench".to_owned());
    let touches = [
        ("tests alone", Touch::QUOTA),
        ("seats alone", Touch { quota: false, seats: true }),
        ("all", Touch::ALL),
    ];
    // What is reached already is told once, as a worker does before it goes on.
    let first = judged(&setting, &judge, Touch::ALL);
    println!("the first time: {} alerts in {:.0} ms", first.0, first.1.as_secs_f64() * 1e3);
    println!("{:<14} {:>10} {:>10}", "touched", "median, ms", "engine, ms");
    for (name, touch) in touches {
        let before = setting.engine_cpu_s();
        let mut times: Vec<Duration> = (0..ROUNDS)
            .map(|_| {
                let (alerts, time) = judged(&setting, &judge, touch);
                assert_eq!(alerts, 0, "nothing has changed");
                time
            })
            .collect();
        times.sort_unstable();
        let engine_ms = (setting.engine_cpu_s() - before) / f64::from(ROUNDS) * 1e3;
        let median = times[times.len() / 2].as_secs_f64() * 1e3;
        println!("{name:<14} {median:>10.0} {engine_ms:>10.0}");
    }
}

/// Judges the account and stores what is found: how many alerts, and the time for the judgement.
fn judged(setting: &Setting, judge: &Judge, touch: Touch) -> (usize, Duration) {
    let accounts = BTreeMap::from([(ACCOUNT.to_owned(), touch)]);
    let began = Instant::now();
    let judgement = judge.judge(&accounts, Utc::now().timestamp_millis());
    let judgement = setting.runtime.block_on(judgement).expect("the engine answers");
    let time = began.elapsed();
    let stored = setting.store.write_alerts(&judgement.rows);
    setting.runtime.block_on(stored).expect("the engine stores");
    (judgement.rows.len(), time)
}
