//! Alerts that are switched on where there is a past, and a database that is counted anew.

use std::time::Duration;

use chrono::Utc;

use super::delivery::{SOON, World, plan, purchase, run};
use super::receiver::Receiver;
use crate::counting::STOP_TIMEOUT;
use crate::support::eventually;

#[test]
fn nothing_is_sent_of_what_was_so_before_and_all_of_what_comes() {
    let receiver = Receiver::start(1);
    let mut world = World::new(2);
    let now_ms = Utc::now().timestamp_millis();
    for account in ["a", "b"] {
        world.send(account, &[plan(now_ms - 1_000, "started", 100), run(now_ms - 900, 90)]);
    }
    let mut worker = world.setup.worker();
    world.setup.wait_until_counted();
    assert!(worker.terminate(STOP_TIMEOUT).success());
    world.switch_on(&receiver.option(""));
    std::thread::sleep(Duration::from_millis(5));
    let mut worker = world.setup.worker();
    worker.wait_for_line("of lines that were reached before, nothing is sent", SOON);
    assert!(worker.stderr().contains("lines=2"), "{}", worker.stderr());
    world.send("a", &[run(Utc::now().timestamp_millis(), 15)]);
    eventually("the next line is told", SOON, || {
        (receiver.told() == ["a o quota 100 raised"]).then_some(())
    });
    // Of what was never told nothing is taken back.
    world.send("b", &[plan(Utc::now().timestamp_millis(), "adjusted", 1_000)]);
    world.send("b", &[purchase(Utc::now().timestamp_millis(), 0)]);
    world.send("a", &[plan(Utc::now().timestamp_millis(), "adjusted", 1_000)]);
    eventually("a new quota resolves", SOON, || (receiver.told().len() >= 2).then_some(()));
    let expected = ["a o quota 100 raised", "a o quota 100 resolved"];
    assert_eq!(receiver.told(), expected);
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

#[test]
fn counting_anew_tells_nothing_again() {
    let receiver = Receiver::start(1);
    let (world, mut worker) = World::told(&receiver, 90);
    // Until its mark tells how far it was judged.
    world.send("a", &[run(Utc::now().timestamp_millis(), 1)]);
    world.wait_until_marked();
    assert!(worker.terminate(STOP_TIMEOUT).success());
    for table in ["source_progress", "quota_usage_state", "test_executions_state", "plan_facts"] {
        world.setup.database.query(&format!("TRUNCATE TABLE {table}"));
    }
    let mut worker = world.setup.worker();
    world.setup.wait_until_counted();
    world.send("a", &[run(Utc::now().timestamp_millis(), 10)]);
    eventually("the next line is told", SOON, || (receiver.told().len() == 2).then_some(()));
    assert_eq!(receiver.told(), ["a o quota 100 raised", "a o quota 80 raised"]);
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

#[test]
fn an_added_line_tells_nothing_of_who_is_past_it() {
    let receiver = Receiver::start(1);
    let mut world = World::new(1);
    world.switch_on(&receiver.option(""));
    let mut worker = world.judging_worker();
    let now_ms = Utc::now().timestamp_millis();
    world.send("a", &[plan(now_ms - 1_000, "started", 100), run(now_ms - 900, 85)]);
    world.send("b", &[plan(now_ms - 1_000, "started", 100), run(now_ms - 900, 70)]);
    eventually("it is told", SOON, || (receiver.told().len() == 1).then_some(()));
    world.setup.wait_until_counted();
    assert!(worker.terminate(STOP_TIMEOUT).success());
    world.setup.set("ALERTS__QUOTA_PERCENT", "60,90");
    let mut worker = world.setup.worker();
    let known = "SELECT count() FROM alert_marks WHERE kind = 'line' AND name LIKE '% quota 60'";
    eventually("the new lines are judged", SOON, || {
        (world.setup.database.query(known).trim() == "1").then_some(())
    });
    world.send("b", &[run(Utc::now().timestamp_millis(), 22)]);
    eventually("a new line is reached", SOON, || (receiver.told().len() >= 2).then_some(()));
    assert_eq!(receiver.told(), ["a o quota 80 raised", "b o quota 90 raised"]);
    let silent = "SELECT groupArray((account_id, line)) FROM alerts WHERE is_silent";
    assert_eq!(world.setup.database.query(silent).trim(), "[('b','60')]");
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

#[test]
fn what_waits_for_a_name_is_sent_to_the_address_that_it_has() {
    let receiver = Receiver::start(1);
    let mut world = World::new(1);
    let nobody = "http://127.0.0.1:1/mistaken";
    let mistaken = receiver.option("").replace(&receiver.url(), nobody);
    world.switch_on(&mistaken);
    let mut worker = world.judging_worker();
    let now_ms = Utc::now().timestamp_millis();
    world.send("a", &[plan(now_ms - 1_000, "started", 100), run(now_ms - 900, 85)]);
    worker.wait_for_line("an alert is not sent, trying again", SOON);
    assert!(worker.terminate(STOP_TIMEOUT).success());
    world.switch_on(&receiver.option(&format!(", name = '{nobody}'")));
    let mut worker = world.setup.worker();
    eventually("it is told", SOON, || (receiver.told() == ["a o quota 80 raised"]).then_some(()));
    assert!(worker.terminate(STOP_TIMEOUT).success());
}
