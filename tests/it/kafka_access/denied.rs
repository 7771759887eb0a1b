//! Operations that the brokers deny.

use std::time::{Duration, Instant};

use super::{
    SOON, eventually, partition, reason, run, wait_for_reason, wait_until_ready, warnings,
};
use crate::counting::{STOP_TIMEOUT, Setup, Writer, ask, metric};
use crate::support::engine;
use crate::support::secured_kafka::{Listener, Operation, Resource, SecuredKafka};

/// A topic, and a user that may do nothing with it yet: its principal.
fn setup(kafka: &SecuredKafka, partitions: i32) -> (Setup<'_>, String) {
    let mut setup = Setup::between(kafka.kafka(), engine(), partitions);
    let user = kafka.scram_user();
    setup.come_by(&kafka.address(Listener::SaslSsl), &kafka.scram(&user));
    (setup, format!("User:{user}"))
}

/// The words that name the missing right, and add it.
fn missing_read(principal: &str, option: &str) -> String {
    format!("(kafka-acls.sh --add --allow-principal {principal} --operation Read {option})")
}

/// The right to read the topic is taken away under a worker that counts; describing it is still
/// allowed, so the end of the log is known.
#[test]
fn a_topic_that_must_not_be_read_any_more_is_no_fresh_data_and_counts_on_when_it_may() {
    let Some(kafka) = SecuredKafka::shared() else { return };
    let (setup, principal) = setup(kafka, 1);
    kafka.allow_worker(&principal, &setup.topic, &setup.group);
    let mut writer = Writer::new(41);
    setup.produce(&writer.write(500));
    let mut worker = run(&setup);
    setup.check(&writer);
    wait_until_ready(&mut worker);

    let topic = Resource::Topic(&setup.topic);
    kafka.forbid(&principal, Operation::Read, topic);
    let acl = missing_read(&principal, &format!("--topic {}", setup.topic));
    let told = wait_for_reason(&mut worker, "headway", &["partition 0", &acl]);
    assert!(!told.contains("does not exist"), "{told}");
    let stands = partition(&mut worker, 0)["data_through"].clone();
    setup.produce(&writer.write(9_000));
    // Longer than several empty flushes, one a second, and than the recorded end of the log is
    // valid.
    let waited_from = Instant::now();
    eventually("the lag is the log's", SOON, || {
        (partition(&mut worker, 0)["lag"] == 9_000).then_some(())
    });
    assert_eq!(
        metric(&mut worker, "seatmeter_partition_lag_records{partition=\"0\"}"),
        Some(9_000.0)
    );
    assert_eq!(
        metric(&mut worker, "seatmeter_halted_partitions{cause=\"topic_authorization\"}"),
        Some(1.0)
    );
    eventually("time passes", SOON, || {
        (waited_from.elapsed() > Duration::from_secs(10)).then_some(())
    });
    assert_eq!(partition(&mut worker, 0)["data_through"], stands, "nothing was read since");
    let (status, readiness) = ask(&mut worker, "/readyz");
    assert!(status == 503 && readiness.contains(&acl), "{status} {readiness}");
    assert_eq!(warnings(&worker, &acl).len(), 1, "{}", worker.stderr());

    kafka.allow(&principal, Operation::Read, topic);
    setup.check(&writer);
    wait_until_ready(&mut worker);
    let on = partition(&mut worker, 0);
    assert!(on["lag"] == 0 && on["data_through"].as_str() > stands.as_str(), "{on} after {stands}");
    assert_eq!(
        metric(&mut worker, "seatmeter_halted_partitions{cause=\"topic_authorization\"}"),
        Some(0.0)
    );
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

/// The only right is Read, which includes Describe; without it the log's end cannot be requested
/// either.
#[test]
fn a_topic_that_must_not_even_be_described_any_more_has_no_lag_and_is_not_said_to_be_gone() {
    let Some(kafka) = SecuredKafka::shared() else { return };
    let (setup, principal) = setup(kafka, 1);
    let topic = Resource::Topic(&setup.topic);
    kafka.allow(&principal, Operation::Read, topic);
    kafka.allow(&principal, Operation::Read, Resource::Group(&setup.group));
    let mut writer = Writer::new(42);
    setup.produce(&writer.write(300));
    let mut worker = run(&setup);
    setup.check(&writer);
    wait_until_ready(&mut worker);

    kafka.forbid(&principal, Operation::Read, topic);
    // Its client no longer sees the topic, and so releases its partitions.
    let told = wait_for_reason(
        &mut worker,
        "kafka",
        &[&missing_read(&principal, &format!("--topic {}", setup.topic))],
    );
    let stands = partition(&mut worker, 0)["data_through"].clone();
    setup.produce(&writer.write(1_000));
    eventually("the lag is not known", SOON, || {
        partition(&mut worker, 0)["lag"].is_null().then_some(())
    });
    eventually("the metric is not a number", SOON, || {
        metric(&mut worker, "seatmeter_partition_lag_records{partition=\"0\"}")
            .filter(|lag| lag.is_nan())
    });
    assert_eq!(partition(&mut worker, 0)["data_through"], stands, "nothing was read since");
    let said = format!("{told} {} {}", ask(&mut worker, "/readyz").1, worker.stderr());
    assert!(!said.contains("does not exist"), "{said}");

    kafka.allow(&principal, Operation::Read, topic);
    setup.check(&writer);
    wait_until_ready(&mut worker);
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

/// Describe alone, from the beginning.
#[test]
fn a_topic_that_may_be_described_and_not_read_is_never_ready() {
    let Some(kafka) = SecuredKafka::shared() else { return };
    let (setup, principal) = setup(kafka, 2);
    let topic = Resource::Topic(&setup.topic);
    kafka.allow(&principal, Operation::Describe, topic);
    kafka.allow(&principal, Operation::Read, Resource::Group(&setup.group));
    let mut writer = Writer::new(43);
    setup.produce(&writer.write(300));
    let mut worker = run(&setup);
    let told = eventually("the reason", SOON, || {
        let (status, readiness) = ask(&mut worker, "/readyz");
        assert_eq!(status, 503, "{readiness}");
        reason(&readiness, "headway")
    });
    assert!(
        told.contains(&missing_read(&principal, &format!("--topic {}", setup.topic))),
        "{told}"
    );
    eventually("the lag is the log's", SOON, || {
        let (one, other) = (partition(&mut worker, 0), partition(&mut worker, 1));
        (one["lag"].as_u64()? + other["lag"].as_u64()? == 300 && one["data_through"].is_null())
            .then_some(())
    });

    kafka.allow(&principal, Operation::Read, topic);
    setup.check(&writer);
    wait_until_ready(&mut worker);
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

#[test]
fn a_group_that_must_not_be_joined_is_told_by_its_acl() {
    let Some(kafka) = SecuredKafka::shared() else { return };
    let (setup, principal) = setup(kafka, 1);
    kafka.allow(&principal, Operation::Read, Resource::Topic(&setup.topic));
    let mut writer = Writer::new(44);
    setup.produce(&writer.write(300));
    let mut worker = run(&setup);
    let acl = missing_read(&principal, &format!("--group {}", setup.group));
    eventually("the reason", SOON, || {
        let (status, readiness) = ask(&mut worker, "/readyz");
        assert_eq!(status, 503, "{readiness}");
        reason(&readiness, "group").filter(|reason| reason.contains(&acl))
    });
    assert_eq!(warnings(&worker, &acl).len(), 1, "{}", worker.stderr());

    kafka.allow(&principal, Operation::Read, Resource::Group(&setup.group));
    setup.check(&writer);
    wait_until_ready(&mut worker);

    // Revoked from a member: its session ends.
    kafka.forbid(&principal, Operation::Read, Resource::Group(&setup.group));
    wait_for_reason(&mut worker, "group", &[&acl]);
    kafka.allow(&principal, Operation::Read, Resource::Group(&setup.group));
    setup.produce(&writer.write(300));
    setup.check(&writer);
    wait_until_ready(&mut worker);
    assert!(worker.terminate(STOP_TIMEOUT).success());
}
