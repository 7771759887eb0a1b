//! Counting through each listener.

use crate::counting::{STOP_TIMEOUT, Setup, Writer};
use crate::support::engine;
use crate::support::secured_kafka::{Listener, Properties, SecuredKafka};

/// Counts a log through a listener, as a principal that may do what a worker needs, and no more.
fn count(kafka: &SecuredKafka, listener: Listener, properties: &Properties, principal: &str) {
    let mut setup = Setup::between(kafka.kafka(), engine(), 2);
    setup.come_by(&kafka.address(listener), properties);
    kafka.allow_worker(principal, &setup.topic, &setup.group);
    let mut writer = Writer::new(5);
    setup.produce(&writer.write(500));
    let mut worker = setup.worker();
    setup.check(&writer);
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

#[test]
fn a_log_is_counted_by_scram() {
    let Some(kafka) = SecuredKafka::shared() else { return };
    let user = kafka.scram_user();
    count(kafka, Listener::SaslSsl, &kafka.scram(&user), &format!("User:{user}"));
}

#[test]
fn a_log_is_counted_by_plain() {
    let Some(kafka) = SecuredKafka::shared() else { return };
    let (properties, principal) = kafka.plain();
    count(kafka, Listener::SaslSsl, &properties, &principal);
}

#[test]
fn a_log_is_counted_by_mutual_tls() {
    let Some(kafka) = SecuredKafka::shared() else { return };
    let (properties, principal) = kafka.mutual_tls();
    count(kafka, Listener::MutualTls, &properties, &principal);
}

#[test]
fn a_log_is_counted_by_oauthbearer() {
    let Some(kafka) = SecuredKafka::shared() else { return };
    let user = crate::support::unique("bearer");
    count(kafka, Listener::SaslSsl, &kafka.oauthbearer(&user, 3600), &format!("User:{user}"));
}
