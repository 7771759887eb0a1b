//! Messages when Kafka or the Kafka client refuses: the cause by name, with its remedy, and status
//! 1.

use std::path::Path;
use std::process::Output;

use crate::counting::{COUNT_TIMEOUT, STOP_TIMEOUT, ask};
use crate::support::program::command;
use crate::support::secured_kafka::{
    Listener, Operation, PASSWORD, Properties, Resource, SecuredKafka,
};
use crate::support::token_endpoint::TokenEndpoint;
use crate::support::{engine, eventually, unique};

/// A broker, a topic, and a user who may do what a worker and `check-config` need, and write.
struct Setup {
    kafka: &'static SecuredKafka,
    topic: String,
    group: String,
    user: String,
}

impl Setup {
    fn new() -> Option<Setup> {
        let kafka = SecuredKafka::shared()?;
        let topic = kafka.kafka().topic("refused", 1);
        Some(Setup { kafka, topic, group: unique("refused"), user: kafka.scram_user() })
    }

    fn principal(&self) -> String {
        format!("User:{}", self.user)
    }

    fn allow(&self, operation: Operation, resource: Resource<'_>) -> &Setup {
        self.kafka.allow(&self.principal(), operation, resource);
        self
    }

    fn allow_all(&self) -> &Setup {
        self.allow(Operation::Read, Resource::Topic(&self.topic))
            .allow(Operation::Write, Resource::Topic(&self.topic))
            .allow(Operation::DescribeConfigs, Resource::Topic(&self.topic))
            .allow(Operation::Read, Resource::Group(&self.group))
    }

    /// The properties of the user, some of them set to other values.
    fn but(&self, changes: &[(&'static str, &str)]) -> Properties {
        let mut properties = self.kafka.scram(&self.user);
        for (name, value) in changes {
            properties.retain(|(known, _)| known != name);
            properties.push((name, (*value).to_owned()));
        }
        properties
    }

    /// Runs a command by this listener; the ClickHouse part of `check-config` is ignored.
    fn run(&self, arguments: &[&str], listener: Listener, properties: &Properties) -> Output {
        let mut command = command(arguments);
        command
            .env("SEATMETER__KAFKA__BROKERS", self.kafka.address(listener))
            .env("SEATMETER__KAFKA__TOPIC", &self.topic)
            .env("SEATMETER__KAFKA__GROUP_ID", &self.group)
            .env("SEATMETER__CLICKHOUSE__URL", "http://127.0.0.1:1");
        for (name, value) in properties {
            let name = name.replace('.', "_").to_uppercase();
            command.env(format!("SEATMETER__KAFKA__PROPERTIES__{name}"), value);
        }
        command.output().unwrap()
    }

    /// The Kafka findings of `check-config`, and its status.
    fn check(&self, listener: Listener, properties: &Properties) -> (Option<i32>, String) {
        let output = self.run(&["check-config"], listener, properties);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_no_secret(&said, properties);
        let of_kafka =
            said.lines().filter(|line| !line.contains("ClickHouse") && !line.contains("see above"));
        (output.status.code(), of_kafka.collect::<Vec<_>>().join("\n"))
    }

    /// The last message of `produce`, and its status.
    fn produce(&self, listener: Listener, properties: &Properties) -> (Option<i32>, String) {
        let events = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(events.path(), "{\"data\":{\"account_id\":\"a\"}}\n").unwrap();
        let output = self.run(&["produce", events.path().to_str().unwrap()], listener, properties);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_no_secret(&said, properties);
        (output.status.code(), said.lines().last().unwrap().to_owned())
    }

    /// Both commands fail with these words, which name the fault.
    #[track_caller]
    fn both_refuse(&self, listener: Listener, properties: &Properties, expected: &[&str]) {
        let (checked, produced) = std::thread::scope(|scope| {
            let checked = scope.spawn(|| self.check(listener, properties));
            let produced = scope.spawn(|| self.produce(listener, properties));
            (checked.join().unwrap(), produced.join().unwrap())
        });
        for ((status, said), start) in [(checked, "error: "), (produced, "seatmeter: ")] {
            assert_eq!(status, Some(1), "{said}");
            assert!(said.starts_with(start), "{said}");
            for part in expected {
                assert!(said.contains(part), "{part:?} is not in {said}");
            }
        }
    }
}

#[track_caller]
fn assert_no_secret(said: &str, properties: &Properties) {
    for (name, value) in properties {
        let is_secret = [
            "sasl.password",
            "ssl.key.password",
            "sasl.oauthbearer.config",
            "sasl.oauthbearer.client.secret",
        ]
        .contains(name);
        assert!(!is_secret || !said.contains(value.as_str()), "{name} is told: {said}");
    }
    assert!(!said.contains(PASSWORD), "{said}");
}

#[test]
fn a_wrong_password_and_a_wrong_mechanism_are_named() {
    let Some(setup) = Setup::new() else { return };
    let wrong = setup.but(&[("sasl.password", "not-the-right-one")]);
    let user =
        format!("refuse user {:?} by SCRAM-SHA-512: wrong password, or no such user", setup.user);
    setup.both_refuse(Listener::SaslSsl, &wrong, &[&user, "sasl.password"]);
    let mechanism = setup.but(&[("sasl.mechanism", "SCRAM-SHA-256")]);
    let expected =
        ["do not offer sasl.mechanism = SCRAM-SHA-256", "SCRAM-SHA-512,PLAIN,OAUTHBEARER"];
    setup.both_refuse(Listener::SaslSsl, &mechanism, &expected);
}

#[test]
fn a_token_endpoint_that_gives_no_token_is_named() {
    let Some(setup) = Setup::new() else { return };
    let endpoint = TokenEndpoint::down(setup.kafka, "nobody");
    let known = endpoint.properties(setup.kafka.ca_file());
    let none =
        format!("no token for OAUTHBEARER: the token endpoint {} gives none", endpoint.url());
    setup.both_refuse(Listener::SaslSsl, &known, &[&none, "Connection refused"]);
    endpoint.open();
    let refusal = "client \"seat:meter\" with status 401 (invalid_client: not with ***); see \
        sasl.oauthbearer.client.id";
    setup.both_refuse(Listener::SaslSsl, &known, &[&none, refusal]);
    let stranger = endpoint.properties(setup.kafka.other_ca_file());
    setup.both_refuse(
        Listener::SaslSsl,
        &stranger,
        &[&none, "invalid peer certificate", "https.ca.location"],
    );
}

#[test]
fn what_is_wrong_with_a_certificate_is_named() {
    let Some(setup) = Setup::new() else { return };
    let stranger = setup.but(&[("ssl.ca.location", &setup.kafka.other_ca_file())]);
    let ca =
        format!("is signed by no authority of ssl.ca.location = {:?}", setup.kafka.other_ca_file());
    setup.both_refuse(Listener::SaslSsl, &stranger, &[&ca]);
    let known = setup.but(&[]);
    setup.both_refuse(
        Listener::Expired,
        &known,
        &["expired on 2021-01-01 00:00:00 UTC: the broker needs a new one"],
    );
    setup.both_refuse(
        Listener::OtherHost,
        &known,
        &["is for kafka.example", "ssl.endpoint.identification.algorithm"],
    );
}

#[test]
fn the_wrong_protocol_is_named() {
    let Some(setup) = Setup::new() else { return };
    let plaintext = vec![];
    let expected = [
        "security.protocol = PLAINTEXT this client does not speak TLS",
        "set security.protocol = SSL or SASL_SSL",
    ];
    setup.both_refuse(Listener::SaslSsl, &plaintext, &expected);
    let sasl_plaintext = setup.but(&[("security.protocol", "SASL_PLAINTEXT")]);
    let expected = ["does not speak TLS", "set security.protocol = SASL_SSL in"];
    setup.both_refuse(Listener::SaslSsl, &sasl_plaintext, &expected);
    let expected = ["does not speak TLS, as security.protocol = SASL_SSL asks for"];
    setup.both_refuse(Listener::Plaintext, &setup.but(&[]), &expected);
}

#[test]
fn a_missing_client_certificate_and_files_that_cannot_be_used_are_named() {
    let Some(setup) = Setup::new() else { return };
    let ca_file = setup.kafka.ca_file();
    let tls = |more: &[(&'static str, &str)]| -> Properties {
        let common = [("security.protocol", "SSL"), ("ssl.ca.location", ca_file.as_str())];
        let mut properties: Properties =
            common.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        for (name, value) in more {
            properties.retain(|(known, _)| known != name);
            properties.push((name, (*value).to_owned()));
        }
        properties
    };
    let expected =
        ["asks for a client's certificate: set ssl.certificate.location and ssl.key.location"];
    setup.both_refuse(Listener::MutualTls, &tls(&[]), &expected);
    let missing = "\"/nonexistent.pem\": the file cannot be read: No such file or directory";
    for name in ["ssl.ca.location", "ssl.certificate.location", "ssl.key.location"] {
        let expected = format!("{name} = {missing}");
        setup.both_refuse(Listener::MutualTls, &tls(&[(name, "/nonexistent.pem")]), &[&expected]);
    }
    let key = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/keys/encrypted.private.pem");
    let key = key.to_str().unwrap();
    for password in [&[][..], &[("ssl.key.password", "not-the-right-one")]] {
        let properties = tls(&[&[("ssl.key.location", key)], password].concat());
        let expected = format!(
            "ssl.key.location = {key:?}: the key in the file is encrypted, and ssl.key.password is \
            wrong"
        );
        setup.both_refuse(Listener::MutualTls, &properties, &[&expected]);
    }
}

#[test]
fn check_config_passes_where_everything_is_allowed_and_names_each_missing_acl() {
    let Some(setup) = Setup::new() else { return };
    let (topic, group, principal) = (setup.topic.as_str(), setup.group.as_str(), setup.principal());
    let properties = setup.but(&[]);
    let check = || setup.check(Listener::SaslSsl, &properties);
    let denied = |operation: &str, resource: &str, option: &str| {
        format!(
            "error: the brokers refuse {operation} on {resource}: an ACL must allow {principal} \
            {operation} on {resource} \
             (kafka-acls.sh --add --allow-principal {principal} --operation {operation} {option})"
        )
    };
    setup.allow_all();
    let good = format!(
        "ok: topic {topic:?} can be read; partition 0 holds no records\nok: group {group:?} can be \
        joined\nok: topic {topic:?} keeps its records for longer than 24 hours"
    );
    assert_eq!(check(), (Some(0), good));

    let lacks = |operation, resource, expected: String| {
        setup.kafka.forbid(&principal, operation, resource);
        let (status, said) = check();
        assert_eq!(status, Some(1), "{said}");
        assert!(
            said.lines().any(|line| line.starts_with(&expected)),
            "{expected} is not in {said}"
        );
        setup.allow(operation, resource);
    };
    let of_topic = |operation: &str| {
        denied(operation, &format!("topic {topic:?}"), &format!("--topic {topic}"))
    };
    lacks(Operation::Read, Resource::Topic(topic), of_topic("Read"));
    lacks(Operation::DescribeConfigs, Resource::Topic(topic), of_topic("DescribeConfigs"));
    let expected = denied("Read", &format!("group {group:?}"), &format!("--group {group}"));
    lacks(Operation::Read, Resource::Group(group), expected);
    // A user who may describe the group, but not join it.
    setup.allow(Operation::Describe, Resource::Group(group));
    let expected = denied("Read", &format!("group {group:?}"), &format!("--group {group}"));
    lacks(Operation::Read, Resource::Group(group), expected);
}

#[test]
fn a_topic_that_may_not_be_described_is_not_said_to_be_missing() {
    let Some(setup) = Setup::new() else { return };
    let lacks = format!("topic {:?} does not exist on Kafka at", setup.topic);
    let acl = format!("an ACL must allow {}", setup.principal());
    let expected = [lacks.as_str(), ", or this user lacks Describe on it", &acl];
    setup.both_refuse(Listener::SaslSsl, &setup.but(&[]), &expected);
}

#[test]
fn produce_names_the_acl_that_it_lacks() {
    let Some(setup) = Setup::new() else { return };
    setup.allow(Operation::Describe, Resource::Topic(&setup.topic));
    let check = || {
        let (status, said) = setup.produce(Listener::SaslSsl, &setup.but(&[]));
        // The refusal comes before the record is queued ("line 1: cannot send: …") or after ("not
        // delivered: 1 record; the first is line 1: …"): the line is named either way.
        let expected = format!(
            "the brokers refuse Write on topic {0:?}: an ACL must allow {1} Write on topic {0:?}",
            setup.topic,
            setup.principal()
        );
        assert_eq!(status, Some(1));
        assert!(said.contains(&expected), "{said}");
        assert!(said.contains("line 1: "), "{said}");
    };
    // Without any topic to write to, a producer is refused before it writes.
    check();
    let other = setup.kafka.kafka().topic("other", 1);
    setup.allow(Operation::Write, Resource::Topic(&other));
    check();
    setup.allow(Operation::Write, Resource::Topic(&setup.topic));
    let (status, said) = setup.produce(Listener::SaslSsl, &setup.but(&[]));
    assert_eq!(status, Some(0), "{said}");
}

#[test]
fn a_worker_waits_and_names_the_cause() {
    let Some(kafka) = SecuredKafka::shared() else { return };
    let user = kafka.scram_user();
    let mut setup = crate::counting::Setup::between(kafka.kafka(), engine(), 1);
    let mut named = |listener: Listener, change: (&'static str, &str), expected: &str| {
        let mut properties = kafka.scram(&user);
        properties.retain(|(known, _)| *known != change.0);
        properties.push((change.0, change.1.to_owned()));
        setup.come_by(&kafka.address(listener), &properties);
        let mut worker = setup.worker();
        eventually(expected, COUNT_TIMEOUT, || {
            let (status, ready) = ask(&mut worker, "/readyz");
            (status == 503 && ready.contains(expected)).then_some(())
        });
        assert!(worker.is_running(), "it waits");
        assert!(worker.terminate(STOP_TIMEOUT).success(), "{}", worker.stderr());
        assert_no_secret(&worker.stderr(), &properties);
    };
    let password = ("sasl.password", "not-the-right-one");
    named(Listener::SaslSsl, password, "wrong password, or no such user; see sasl.username");
    named(
        Listener::OtherHost,
        ("client.id", "worker"),
        "is for kafka.example: name the broker so in kafka.brokers",
    );
    named(Listener::Expired, ("client.id", "worker"), "expired on 2021-01-01 00:00:00 UTC");
    let plaintext = ("security.protocol", "SASL_PLAINTEXT");
    named(
        Listener::SaslSsl,
        plaintext,
        "with security.protocol = SASL_PLAINTEXT this client does not speak TLS",
    );
}
