//! Readiness and its reasons.

use std::time::{Duration, Instant};

use super::{SOON, eventually, reason, run, wait_for_reason, wait_until_ready};
use crate::counting::{STOP_TIMEOUT, Setup, Writer, ask, metric};
use crate::support::secured_kafka::{Listener, SecuredKafka};
use crate::support::{Kafka, engine};

/// From the first answer on, until it is a member of its group and reads.
#[test]
fn a_worker_is_not_ready_before_it_reads() {
    let kafka = Kafka::start();
    if kafka.is_mock() {
        return;
    }
    let setup = Setup::between(&kafka, engine(), 2);
    let mut writer = Writer::new(51);
    setup.produce(&writer.write(300));
    kafka.signal("STOP");
    let mut worker = run(&setup);
    let began = Instant::now();
    eventually("six seconds, which is longer than a question to a broker may take", SOON, || {
        let (status, readiness) = ask(&mut worker, "/readyz");
        assert_eq!(status, 503, "{readiness}");
        let waiting = reason(&readiness, "group").unwrap();
        assert!(
            waiting.contains(&format!("has not joined the consumer group {} yet", setup.group)),
            "{waiting}"
        );
        (began.elapsed() > Duration::from_secs(6)).then_some(())
    });
    kafka.signal("CONT");
    wait_until_ready(&mut worker);
    assert!(worker.stderr().contains("counting partition"), "{}", worker.stderr());
    setup.check(&writer);
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

/// Both are ready, so that a rolling update proceeds; the API alone joins no group.
#[test]
fn a_member_without_partitions_and_an_api_alone_are_ready() {
    let setup = Setup::new(1);
    let mut members = [run(&setup), run(&setup)];
    for member in &mut members {
        wait_until_ready(member);
    }
    let mut api = crate::support::Program::spawn(&mut setup.command(&["api"]));
    wait_until_ready(&mut api);
    assert!(api.terminate(STOP_TIMEOUT).success());
    for member in &mut members {
        assert!(member.terminate(STOP_TIMEOUT).success());
    }
}

/// "1/1 brokers are down" follows each refusal.
#[test]
fn the_cause_outlives_that_all_brokers_are_down() {
    let Some(kafka) = SecuredKafka::shared() else { return };
    let mut setup = Setup::between(kafka.kafka(), engine(), 1);
    let user = kafka.scram_user();
    let mut properties = kafka.scram(&user);
    properties.retain(|(name, _)| *name != "sasl.password");
    properties.push(("sasl.password", "wrong".to_owned()));
    setup.come_by(&kafka.address(Listener::SaslSsl), &properties);
    let mut worker = run(&setup);
    wait_for_reason(&mut worker, "kafka", &["wrong password, or no such user"]);
    let began = Instant::now();
    eventually("more attempts", SOON, || {
        let (status, readiness) = ask(&mut worker, "/readyz");
        let told = reason(&readiness, "kafka").unwrap();
        assert!(
            status == 503 && told.contains("wrong password, or no such user"),
            "{status} {readiness}"
        );
        (began.elapsed() > Duration::from_secs(8)).then_some(())
    });
    assert_eq!(metric(&mut worker, "seatmeter_kafka_trouble{cause=\"authentication\"}"), Some(1.0));
    let line = worker.wait_for_line("cannot read from Kafka", SOON);
    assert!(line.contains("wrong password, or no such user"), "{line}");
    assert!(worker.terminate(STOP_TIMEOUT).success());
}
