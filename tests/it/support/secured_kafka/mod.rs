//! Apache Kafka as in production: TLS, SASL, and nothing is allowed without an ACL.
//!
//! One broker with a listener for each security protocol. Its plain listener, on loopback, is for
//! test setup: its clients are super users.

mod acl;
mod certificates;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

pub(crate) use self::acl::{Operation, Resource};
use self::certificates::Certificates;
use super::kafka::{Extras, Kafka, free_ports};
use super::{process_folder, unique};

/// Users that log in by SCRAM, one per test: created with the storage, before the broker starts,
/// they cost nothing.
const SCRAM_USERS: usize = 64;

/// The password of every user.
pub(crate) const PASSWORD: &str = "open-sesame-7261";

/// The one user that logs in by PLAIN.
const PLAIN_USER: &str = "plain";

const LOGIN_MODULES: &str = "org.apache.kafka.common.security";

/// A listener of the broker, by its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listener {
    /// SASL over TLS: SCRAM-SHA-512, PLAIN and OAUTHBEARER.
    SaslSsl,
    /// TLS with a client's certificate.
    MutualTls,
    /// As [`Listener::SaslSsl`], with an expired certificate.
    Expired,
    /// As [`Listener::SaslSsl`], with a certificate of another host.
    OtherHost,
    /// No TLS and no SASL.
    Plaintext,
}

/// The listeners besides the plain one: name and security protocol.
const LISTENERS: [(Listener, &str, &str); 4] = [
    (Listener::SaslSsl, "SASL", "SASL_SSL"),
    (Listener::MutualTls, "MTLS", "SSL"),
    (Listener::Expired, "EXPIRED", "SASL_SSL"),
    (Listener::OtherHost, "OTHERHOST", "SASL_SSL"),
];

/// A secured broker. It denies by default.
pub(crate) struct SecuredKafka {
    kafka: Kafka,
    ports: [u16; LISTENERS.len()],
    certificates: Certificates,
    scram_users: AtomicUsize,
}

/// librdkafka properties by name.
pub(crate) type Properties = Vec<(&'static str, String)>;

impl SecuredKafka {
    /// The shared broker; each test has its own users, topics and groups. `None` if there is only
    /// the mock cluster, which has no security. It is never stopped.
    pub(crate) fn shared() -> Option<&'static SecuredKafka> {
        static KAFKA: OnceLock<Option<SecuredKafka>> = OnceLock::new();
        KAFKA
            .get_or_init(|| SecuredKafka::in_folder(process_folder("secured-kafka"), None))
            .as_ref()
    }

    /// A broker of one test, which may stop and restart it; killed when dropped.
    #[track_caller]
    pub(crate) fn start() -> Option<SecuredKafka> {
        let owned = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        SecuredKafka::in_folder(owned.path().to_owned(), Some(owned))
    }

    #[track_caller]
    fn in_folder(folder: PathBuf, owned: Option<TempDir>) -> Option<SecuredKafka> {
        let certificates = Certificates::create(&folder);
        let ports = free_ports();
        let listeners =
            LISTENERS.iter().zip(ports).map(|((_, name, protocol), port)| (*name, *protocol, port));
        let extras = Extras {
            listeners: listeners.collect(),
            properties: properties(&certificates),
            scram_users: (0..SCRAM_USERS)
                .map(|number| {
                    format!(
                        "SCRAM-SHA-512=[name={},iterations=4096,password={PASSWORD}]",
                        scram_user(number)
                    )
                })
                .collect(),
        };
        let kafka = Kafka::in_folder(folder, owned, None, &extras);
        (!kafka.is_mock()).then(|| SecuredKafka {
            kafka,
            ports,
            certificates,
            scram_users: AtomicUsize::new(0),
        })
    }

    /// The broker for its super user: topics, groups, watermarks, kill and restart.
    pub(crate) fn kafka(&self) -> &Kafka {
        &self.kafka
    }

    /// `host:port` of a listener.
    pub(crate) fn address(&self, listener: Listener) -> String {
        match LISTENERS.iter().position(|(known, ..)| *known == listener) {
            Some(number) => format!("127.0.0.1:{}", self.ports[number]),
            None => self.kafka.bootstrap_servers().to_owned(),
        }
    }

    /// A file in PEM of a certificate authority that signed the broker's certificates.
    pub(crate) fn ca_file(&self) -> String {
        self.certificates.path("ca.pem")
    }

    /// A file in PEM of the broker's certificate and its key.
    pub(crate) fn certificate_file(&self) -> String {
        self.certificates.path("broker.pem")
    }

    /// A file in PEM of a certificate authority that signed none of them.
    pub(crate) fn other_ca_file(&self) -> String {
        self.certificates.path("other-ca.pem")
    }

    /// A user of one test, without permissions; its principal is `User:` and this name.
    pub(crate) fn scram_user(&self) -> String {
        let number = self.scram_users.fetch_add(1, Ordering::Relaxed);
        assert!(number < SCRAM_USERS, "more users than SCRAM_USERS");
        scram_user(number)
    }

    /// Properties of a client that logs in by SCRAM-SHA-512.
    pub(crate) fn scram(&self, user: &str) -> Properties {
        self.sasl("SCRAM-SHA-512", user)
    }

    /// Properties of a client that logs in by PLAIN, and its principal. Tests share it.
    pub(crate) fn plain(&self) -> (Properties, String) {
        (self.sasl("PLAIN", PLAIN_USER), format!("User:{PLAIN_USER}"))
    }

    /// Properties of a client that logs in by OAUTHBEARER, with unsecured tokens of this lifetime:
    /// any name works.
    pub(crate) fn oauthbearer(&self, user: &str, life_seconds: u32) -> Properties {
        vec![
            ("security.protocol", "SASL_SSL".to_owned()),
            ("ssl.ca.location", self.ca_file()),
            ("sasl.mechanism", "OAUTHBEARER".to_owned()),
            ("enable.sasl.oauthbearer.unsecure.jwt", "true".to_owned()),
            ("sasl.oauthbearer.config", format!("principal={user} lifeSeconds={life_seconds}")),
        ]
    }

    /// Properties of a client with its own certificate, and its principal.
    pub(crate) fn mutual_tls(&self) -> (Properties, String) {
        let name = unique("client");
        self.certificates.client(&name);
        let properties = vec![
            ("security.protocol", "SSL".to_owned()),
            ("ssl.ca.location", self.ca_file()),
            ("ssl.certificate.location", self.certificates.path(&format!("{name}.pem"))),
            ("ssl.key.location", self.certificates.path(&format!("{name}.pem"))),
        ];
        (properties, format!("User:CN={name}"))
    }

    fn sasl(&self, mechanism: &str, user: &str) -> Properties {
        vec![
            ("security.protocol", "SASL_SSL".to_owned()),
            ("ssl.ca.location", self.ca_file()),
            ("sasl.mechanism", mechanism.to_owned()),
            ("sasl.username", user.to_owned()),
            ("sasl.password", PASSWORD.to_owned()),
        ]
    }

    /// Allows a principal (`User:…`) an operation, from now on.
    #[track_caller]
    pub(crate) fn allow(&self, principal: &str, operation: Operation, resource: Resource<'_>) {
        acl::create(self.kafka.bootstrap_servers(), principal, operation, resource);
    }

    /// Revokes what [`allow`](SecuredKafka::allow) has granted.
    #[track_caller]
    pub(crate) fn forbid(&self, principal: &str, operation: Operation, resource: Resource<'_>) {
        acl::delete(self.kafka.bootstrap_servers(), principal, operation, resource);
    }

    /// Allows what a worker needs.
    #[track_caller]
    pub(crate) fn allow_worker(&self, principal: &str, topic: &str, group: &str) {
        self.allow(principal, Operation::Read, Resource::Topic(topic));
        self.allow(principal, Operation::Describe, Resource::Topic(topic));
        self.allow(principal, Operation::Read, Resource::Group(group));
    }

    /// Allows what a producer needs.
    #[track_caller]
    pub(crate) fn allow_producer(&self, principal: &str, topic: &str) {
        self.allow(principal, Operation::Write, Resource::Topic(topic));
        self.allow(principal, Operation::Describe, Resource::Topic(topic));
    }
}

fn scram_user(number: usize) -> String {
    format!("scram-{number}")
}

/// The properties that secure the broker.
fn properties(certificates: &Certificates) -> Vec<(String, String)> {
    let plain = format!(
        "{LOGIN_MODULES}.plain.PlainLoginModule required user_{PLAIN_USER}=\"{PASSWORD}\";"
    );
    let scram = format!("{LOGIN_MODULES}.scram.ScramLoginModule required;");
    let oauthbearer = format!(
        "{LOGIN_MODULES}.oauthbearer.OAuthBearerLoginModule required \
        unsecuredLoginStringClaim_sub=\"broker\" unsecuredValidatorAllowableClockSkewMs=\"5000\";"
    );
    let mut properties = vec![
        (
            "authorizer.class.name".to_owned(),
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned(),
        ),
        ("allow.everyone.if.no.acl.found".to_owned(), "false".to_owned()),
        // Clients of the plain listener, including the controller's.
        ("super.users".to_owned(), "User:ANONYMOUS".to_owned()),
        ("ssl.truststore.type".to_owned(), "PEM".to_owned()),
        ("ssl.truststore.location".to_owned(), certificates.path("ca.pem")),
        ("ssl.keystore.type".to_owned(), "PEM".to_owned()),
        ("sasl.enabled.mechanisms".to_owned(), "SCRAM-SHA-512,PLAIN,OAUTHBEARER".to_owned()),
        ("listener.name.mtls.ssl.client.auth".to_owned(), "required".to_owned()),
    ];
    for (listener, name, _) in LISTENERS {
        let prefix = format!("listener.name.{}", name.to_lowercase());
        let certificate = match listener {
            Listener::Expired => "expired.pem",
            Listener::OtherHost => "other-host.pem",
            _ => "broker.pem",
        };
        properties
            .push((format!("{prefix}.ssl.keystore.location"), certificates.path(certificate)));
        for (mechanism, module) in
            [("plain", &plain), ("scram-sha-512", &scram), ("oauthbearer", &oauthbearer)]
        {
            properties.push((format!("{prefix}.{mechanism}.sasl.jaas.config"), module.clone()));
        }
    }
    properties
}
