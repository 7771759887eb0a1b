//! Messages of librdkafka, and the causes that they are mapped to.

use super::*;

fn causes(properties: &[(&str, &str)]) -> Causes {
    let environment = properties.iter().map(|(name, value)| {
        let name = name.replace('.', "_").to_uppercase();
        (format!("SEATMETER__KAFKA__PROPERTIES__{name}").into(), (*value).into())
    });
    Causes::new(&config::load(None, environment).unwrap().kafka)
}

#[track_caller]
fn check(properties: &[(&str, &str)], code: Code, text: &str, kind: Kind, expected: &str) {
    let cause = causes(properties).of(Some(code), text);
    assert_eq!(cause.kind, kind, "{cause}");
    assert!(cause.to_string().starts_with(expected), "{cause}");
}

const SASL: [(&str, &str); 4] = [
    ("security.protocol", "SASL_SSL"),
    ("sasl.mechanism", "PLAIN"),
    ("sasl.username", "alice"),
    ("sasl.password", "hunter2"),
];

#[test]
fn what_librdkafka_says_has_a_cause() {
    let text = "sasl_ssl://k:9093/bootstrap: SASL authentication error: Authentication failed: \
        Invalid username or password (after 404ms in state AUTH_REQ)";
    let expected = "the brokers refuse user \"alice\" by PLAIN: wrong password, or no such user";
    check(&SASL, Code::Authentication, text, Kind::Refused, expected);
    let text = "sasl_ssl://k:9093/1: Receive failed: error:0A000412:SSL routines::ssl/tls alert \
        bad certificate: SSL alert number 42 (after 3ms in state APIVERSION_QUERY)";
    check(
        &SASL,
        Code::BrokerTransportFailure,
        text,
        Kind::Refused,
        "k:9093 asks for a client's certificate",
    );
    let text = "GroupCoordinator: k:9093: SSL handshake failed: error:0A000086:SSL \
        routines::certificate verify failed: broker certificate could not be verified";
    check(
        &SASL,
        Code::SSL,
        text,
        Kind::Refused,
        "the certificate of k:9093 is not accepted: it is signed by no",
    );
    let text = "k:9092/bootstrap: Disconnected: connection closed by peer: receive 0 after POLLIN \
        (after 4ms in state APIVERSION_QUERY, 1 identical error(s) suppressed)";
    check(
        &[],
        Code::BrokerTransportFailure,
        text,
        Kind::Refused,
        "k:9092 closes the connection: with security",
    );
    let text = "ssl://k:9092/bootstrap: Disconnected: SSL connection closed by peer (after 4ms \
        in state SSL_HANDSHAKE)";
    check(
        &SASL,
        Code::BrokerTransportFailure,
        text,
        Kind::Refused,
        "k:9092 does not speak TLS, as security.protocol",
    );
    let text = "ssl://k:9092/1: Disconnected: SSL connection closed by peer (after 60000ms in \
        state UP)";
    check(
        &SASL,
        Code::BrokerTransportFailure,
        text,
        Kind::Unreachable,
        "ssl://k:9092/1: Disconnected",
    );
    let text = "k:9092/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused \
        (after 0ms in state CONNECT)";
    let expected = "k:9092/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused";
    check(&[], Code::BrokerTransportFailure, text, Kind::Unreachable, expected);
    check(&SASL, Code::Unknown, "it says hunter2", Kind::Other, "it says ***");
}

#[test]
fn lines_of_the_log_tell_what_no_error_does() {
    let line = "[thrd:k:9093/bootstrap]: k:9093/bootstrap: Disconnected: connection closed by \
        peer: receive 0 after POLLIN (after 34ms in state APIVERSION_QUERY)";
    let told = causes(&[]).complaint("FAIL", line).unwrap();
    assert!(told.starts_with("k:9093/bootstrap: Disconnected"), "{told}");
    assert_eq!(causes(&[]).complaint("CONNECT", line), None);
    let of_no_concern = "[thrd:k:9093/1]: k:9093/1: Disconnected (after 600000ms in state UP)";
    assert_eq!(causes(&[]).complaint("FAIL", of_no_concern), None);
}
