//! Validates a [`Raw`] document and builds the [`Config`]; collects every problem instead of
//! stopping at the first.
//!
//! Pure except for the given [`Surroundings`], so that every rule can be tested without a file.

mod token_source;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::value::Dict;
use secrecy::SecretString;
use tracing_subscriber::EnvFilter;
use url::Url;

use super::raw::{Raw, RawAuth, RawClickHouse, RawHttp, RawIngest, RawKafka, RawLog};
use super::token;
use super::{
    Auth, AuthMode, ClickHouse, Config, ConfigError, Http, INTERNAL_SUFFIX, Ingest, Jwt, Kafka,
    Log, Problem, properties,
};

/// Threads that `worker_threads = 0` means at most.
const DEFAULT_WORKER_THREADS_MAX: usize = 16;

/// Minimum: each of 64 worker threads has room for two rejected records. Maximum: one tebibyte.
const PENDING_BYTES_MAX_ALLOWED: RangeInclusive<usize> = 1 << 24..=1 << 40;

/// RFC 7518, section 3.2: a key of the size of the hash, or larger.
pub(crate) const HS256_SECRET_BYTES_MIN: usize = 32;

/// What validation needs from the machine.
pub(super) struct Surroundings<'a> {
    /// Cores that this process may use.
    pub(super) cores: usize,
    /// Reads a file that holds a secret.
    pub(super) read_file: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// The configuration, or all its problems.
pub(super) fn validate(raw: Raw, surroundings: &Surroundings<'_>) -> Result<Config, ConfigError> {
    let mut check = Check { problems: Vec::new(), surroundings };
    let Raw { kafka, ingest, clickhouse, http, auth, log } = raw;
    let kafka = check.kafka(kafka);
    let ingest = check.ingest(&ingest, kafka.session_timeout);
    let clickhouse = check.clickhouse(clickhouse);
    let http = check.http(http);
    let auth = check.auth(auth, http.listen);
    let log = check.log(log);
    if check.problems.is_empty() {
        Ok(Config { kafka, ingest, clickhouse, http, auth, log })
    } else {
        Err(ConfigError { problems: check.problems })
    }
}

struct Check<'a> {
    problems: Vec<Problem>,
    surroundings: &'a Surroundings<'a>,
}

/// One method per section. If a value is wrong, the problem is recorded and an allowed value is
/// used in its place, so that the rest can be validated; no [`Config`] is built then.
impl Check<'_> {
    fn kafka(&mut self, raw: RawKafka) -> Kafka {
        self.brokers(&raw.brokers);
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if raw.topic.is_empty() || raw.topic.len() > 249 || !raw.topic.chars().all(legal) {
            self.refuse(
                "kafka.topic",
                &raw.topic,
                "allowed are 1 to 249 of the characters a-z, A-Z, 0-9, `.`, `_` and `-`",
            );
        } else if matches!(raw.topic.as_str(), "." | "..") {
            self.refuse("kafka.topic", &raw.topic, "Kafka does not allow this name");
        }
        if raw.group_id.is_empty()
            || raw.group_id.len() > 255
            || raw.group_id.chars().any(char::is_control)
        {
            self.refuse(
                "kafka.group_id",
                &raw.group_id,
                "allowed are 1 to 255 bytes without control characters",
            );
        }
        if !matches!(raw.assignor.as_str(), "cooperative-sticky" | "range" | "roundrobin") {
            self.refuse(
                "kafka.assignor",
                &raw.assignor,
                "allowed are cooperative-sticky, range and roundrobin",
            );
        }
        let properties = self.properties(&raw.properties, &raw.property_files);
        Kafka {
            session_timeout: self.milliseconds(
                "kafka.session_timeout_ms",
                raw.session_timeout_ms,
                1_000..=1_800_000,
            ),
            token_source: self.token_source(&properties),
            properties,
            brokers: raw.brokers,
            topic: raw.topic,
            group_id: raw.group_id,
            assignor: raw.assignor,
        }
    }

    /// Validates the broker list. An entry with an `@` may hold a password, and is not quoted.
    fn brokers(&mut self, brokers: &str) {
        const KEY: &str = "kafka.brokers";
        if brokers.contains('@') {
            let way_out =
                "user and password are sasl.username and sasl.password in [kafka.properties]";
            return self.problem(
                KEY,
                format!(
                    ": holds an `@`; expected host:port, with commas between several; {way_out}"
                ),
            );
        }
        for broker in brokers.split(',') {
            if let Err(expected) = broker_address(broker.trim()) {
                self.refuse(KEY, brokers, format!("{:?}: {expected}", broker.trim()));
            }
        }
    }

    fn properties(&mut self, values: &Dict, files: &Dict) -> BTreeMap<String, SecretString> {
        let mut all = BTreeMap::new();
        let is_oidc = values.get("sasl.oauthbearer.method").and_then(|method| method.as_str())
            == Some("oidc");
        for (name, value) in values {
            let key = format!("kafka.properties.{name}");
            match properties::text(value) {
                Ok(value) => self.property(&mut all, &key, name, value, is_oidc),
                Err(message) => self.problem(key, format!(": {message}")),
            }
        }
        for (name, path) in files {
            let key = format!("kafka.property_files.{name}");
            match path.as_str() {
                Some(_) if values.contains_key(name) => {
                    self.problem(
                        key,
                        format!(": kafka.properties.{name} is set too; keep one of them"),
                    );
                }
                Some(path) => {
                    if let Some(value) = self.secret_file(&key, path) {
                        self.property(&mut all, &key, name, value, is_oidc);
                    }
                }
                None => self.problem(key, ": expected the path of a file, in quotes".to_owned()),
            }
        }
        all
    }

    fn property(
        &mut self,
        all: &mut BTreeMap<String, SecretString>,
        key: &str,
        name: &str,
        value: String,
        is_oidc: bool,
    ) {
        let is_of_server =
            properties::is_of_server(name) && (is_oidc || name != "sasl.oauthbearer.method");
        let check = |value: &str| match is_of_server {
            true if is_oidc => token::check_of_server(name, value).map_err(str::to_owned),
            true => Err("goes with \"sasl.oauthbearer.method\" = \"oidc\"".to_owned()),
            false => properties::check(name, value),
        };
        if let Some(reason) = properties::refusal(name, &value) {
            self.problem(key, format!(": cannot be set: {reason}"));
        } else if let Err(message) = check(&value) {
            self.problem(key, format!(": {message}"));
        } else {
            all.insert(name.to_owned(), SecretString::from(value));
        }
    }

    fn ingest(&mut self, raw: &RawIngest, session_timeout: Duration) -> Ingest {
        let worker_threads =
            match self.integer("ingest.worker_threads", raw.worker_threads, 0..=64_usize) {
                0 => self.surroundings.cores.clamp(1, DEFAULT_WORKER_THREADS_MAX),
                threads => threads,
            };
        let ingest = Ingest {
            worker_threads,
            batch_records_max: self.integer(
                "ingest.batch_records_max",
                raw.batch_records_max,
                1..=100_000,
            ),
            batch_wait: self.milliseconds("ingest.batch_wait_ms", raw.batch_wait_ms, 1..=1_000),
            flush_interval: self.milliseconds(
                "ingest.flush_interval_ms",
                raw.flush_interval_ms,
                50..=600_000,
            ),
            catch_up_flush_interval: self.milliseconds(
                "ingest.catch_up_flush_interval_ms",
                raw.catch_up_flush_interval_ms,
                50..=600_000,
            ),
            idle_flush_interval: self.milliseconds(
                "ingest.idle_flush_interval_ms",
                raw.idle_flush_interval_ms,
                1_000..=600_000,
            ),
            pending_rows_max: self.integer(
                "ingest.pending_rows_max",
                raw.pending_rows_max,
                1_000..=100_000_000,
            ),
            pending_bytes_max: self.integer(
                "ingest.pending_bytes_max",
                raw.pending_bytes_max,
                PENDING_BYTES_MAX_ALLOWED,
            ),
            held_entries_max: self.integer(
                "ingest.held_entries_max",
                raw.held_entries_max,
                1_000..=1_000_000_000,
            ),
            queue_kbytes_max: self.integer(
                "ingest.queue_kbytes_max",
                raw.queue_kbytes_max,
                64..=2_097_151,
            ),
            revoke_deadline: self.milliseconds(
                "ingest.revoke_deadline_ms",
                raw.revoke_deadline_ms,
                100..=1_800_000,
            ),
            watchdog_timeout: self.milliseconds(
                "ingest.watchdog_timeout_ms",
                raw.watchdog_timeout_ms,
                1_000..=3_600_000,
            ),
        };
        let comparable =
            self.problems.iter().all(|problem| problem.key != "kafka.session_timeout_ms");
        if comparable && ingest.revoke_deadline >= session_timeout {
            let limit = format!(
                "must be less than kafka.session_timeout_ms = {}",
                session_timeout.as_millis()
            );
            self.refuse_number("ingest.revoke_deadline_ms", raw.revoke_deadline_ms, &limit);
        }
        if ingest.idle_flush_interval < ingest.flush_interval {
            let limit = format!(
                "must not be less than ingest.flush_interval_ms = {}",
                raw.flush_interval_ms
            );
            self.refuse_number("ingest.idle_flush_interval_ms", raw.idle_flush_interval_ms, &limit);
        }
        ingest
    }

    fn clickhouse(&mut self, raw: RawClickHouse) -> ClickHouse {
        let https = self.clickhouse_url(&raw.url);
        if !is_identifier(&raw.database) {
            let allowed =
                "allowed are 1 to 55 of the characters a-z, A-Z, 0-9 and `_`, no digit first";
            self.refuse("clickhouse.database", &raw.database, allowed);
        }
        if raw.database.ends_with(INTERNAL_SUFFIX) {
            let reason =
                "must not end in `_internal`, which is added for the database of the tables";
            self.refuse("clickhouse.database", &raw.database, reason);
        }
        if raw.user.is_empty() || raw.user.chars().any(char::is_control) {
            self.refuse("clickhouse.user", &raw.user, "expected a user name");
        }
        let cluster_legal =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '{' | '}');
        if raw.cluster.len() > 255 || !raw.cluster.chars().all(cluster_legal) {
            let allowed = "allowed are the characters a-z, A-Z, 0-9, `.`, `_`, `-`, `{` and `}`";
            self.refuse("clickhouse.cluster", &raw.cluster, allowed);
        }
        if !raw.ca_file.is_empty() && !https {
            self.refuse(
                "clickhouse.ca_file",
                &raw.ca_file,
                "has no effect unless clickhouse.url starts with https://",
            );
        }
        let password = self.secret(
            "clickhouse.password",
            raw.password,
            "clickhouse.password_file",
            &raw.password_file,
        );
        ClickHouse {
            password: SecretString::from(password),
            insert_quorum: self.integer("clickhouse.insert_quorum", raw.insert_quorum, 0..=100),
            request_timeout: self.milliseconds(
                "clickhouse.request_timeout_ms",
                raw.request_timeout_ms,
                1_000..=3_600_000,
            ),
            ca_file: unless_empty(raw.ca_file).map(PathBuf::from),
            cluster: unless_empty(raw.cluster),
            url: raw.url,
            database: raw.database,
            user: raw.user,
        }
    }

    /// True if it is an https URL. Text before `@` or after `?` may be a password, and is not
    /// quoted.
    fn clickhouse_url(&mut self, text: &str) -> bool {
        const KEY: &str = "clickhouse.url";
        let url = match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => url,
            Ok(_) if !text.contains(['@', '?', '#']) => {
                self.refuse(KEY, text, "expected http://HOST:PORT or https://HOST:PORT");
                return false;
            }
            Ok(_) | Err(_) => {
                self.problem(
                    KEY,
                    ": not a URL; expected http://HOST:PORT or https://HOST:PORT".to_owned(),
                );
                return false;
            }
        };
        if !url.username().is_empty() || url.password().is_some() {
            self.problem(
                KEY,
                ": holds a user or a password; set clickhouse.user and clickhouse.password"
                    .to_owned(),
            );
        } else if url.query().is_some() || url.fragment().is_some() {
            let way_out = "user and password are clickhouse.user and clickhouse.password";
            self.problem(KEY, format!(": must end before `?` and `#`; {way_out}"));
        }
        url.scheme() == "https"
    }

    fn http(&mut self, raw: RawHttp) -> Http {
        self.origins("http.cors_origins", &raw.cors_origins, "https://dashboard.example.com");
        self.origins("http.frame_ancestors", &raw.frame_ancestors, "https://portal.example.com");
        for host in &raw.allowed_hosts {
            let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            if host.is_empty() || !host.chars().all(legal) {
                self.refuse(
                    "http.allowed_hosts",
                    host,
                    "expected a host name without port, such as seatmeter.test",
                );
            }
        }
        let listen = raw.listen.parse().unwrap_or_else(|_| {
            let expected =
                "expected an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080";
            self.refuse("http.listen", &raw.listen, expected);
            SocketAddr::from(([127, 0, 0, 1], 8080))
        });
        Http {
            listen,
            request_timeout: self.milliseconds(
                "http.request_timeout_ms",
                raw.request_timeout_ms,
                100..=600_000,
            ),
            concurrent_queries_max: self.integer(
                "http.concurrent_queries_max",
                raw.concurrent_queries_max,
                1..=1_000,
            ),
            concurrent_exports_max: self.integer(
                "http.concurrent_exports_max",
                raw.concurrent_exports_max,
                1..=1_000,
            ),
            query_memory_max_bytes: self.integer(
                "http.query_memory_max_bytes",
                raw.query_memory_max_bytes,
                0..=1_000_000_000_000,
            ),
            connections_max: self.integer(
                "http.connections_max",
                raw.connections_max,
                1..=1_000_000,
            ),
            connections_per_peer_max: self.integer(
                "http.connections_per_peer_max",
                raw.connections_per_peer_max,
                1..=1_000_000,
            ),
            keep_alive_timeout: self.milliseconds(
                "http.keep_alive_timeout_ms",
                raw.keep_alive_timeout_ms,
                1_000..=600_000,
            ),
            look_age_max: self.milliseconds(
                "http.look_max_age_ms",
                raw.look_max_age_ms,
                0..=10_000,
            ),
            allowed_hosts: raw.allowed_hosts,
            cors_origins: raw.cors_origins,
            frame_ancestors: raw.frame_ancestors,
        }
    }

    /// Checks that each is an origin as a browser names it.
    fn origins(&mut self, key: &'static str, origins: &[String], example: &str) {
        for origin in origins {
            if origin.contains('*') {
                self.refuse(key, origin, "a wildcard matches no origin; name each in full");
                continue;
            }
            let url =
                Url::parse(origin).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            // `https://a.example/` and `https://a.example:443` are never sent by a browser.
            if url.is_none_or(|url| url.origin().ascii_serialization() != *origin) {
                self.refuse(key, origin, format!("expected an origin such as {example}"));
            }
        }
    }

    fn auth(&mut self, raw: RawAuth, listen: SocketAddr) -> Auth {
        match raw.mode.as_str() {
            "off" if listen.ip().is_loopback() => Auth { mode: AuthMode::Off },
            "off" => {
                let reason = format!(
                    "everybody who reaches http.listen = \"{listen}\" could read everything; it is \
                    allowed on loopback \
                     addresses only, so listen on 127.0.0.1 or set auth.mode = \"jwt\" and a key"
                );
                self.refuse("auth.mode", &raw.mode, reason);
                Auth { mode: AuthMode::Off }
            }
            "jwt" => Auth { mode: AuthMode::Jwt(self.jwt(raw)) },
            mode => {
                self.refuse("auth.mode", mode, "allowed are jwt and off");
                Auth { mode: AuthMode::Off }
            }
        }
    }

    fn jwt(&mut self, raw: RawAuth) -> Jwt {
        let mut secrets = raw.hs256_secrets;
        let short = |secret: &String| secret.len() < HS256_SECRET_BYTES_MIN;
        if secrets.iter().any(short) {
            let expected = format!(": a secret is shorter than {HS256_SECRET_BYTES_MIN} bytes");
            self.problem("auth.hs256_secrets", expected);
        }
        for path in &raw.hs256_secret_files {
            let Some(secret) = self.secret_file("auth.hs256_secret_files", path) else { continue };
            if short(&secret) {
                let expected =
                    format!("the secret in it is shorter than {HS256_SECRET_BYTES_MIN} bytes");
                self.refuse("auth.hs256_secret_files", path, expected);
            }
            secrets.push(secret);
        }
        let files = [&raw.rs256_public_key_files, &raw.eddsa_public_key_files, &raw.jwks_files];
        if secrets.is_empty()
            && raw.hs256_secret_files.is_empty()
            && files.iter().all(|files| files.is_empty())
        {
            let expected = "needs a key: set auth.hs256_secrets, auth.hs256_secret_files, \
                auth.rs256_public_key_files, \
                            auth.eddsa_public_key_files or auth.jwks_files";
            self.refuse("auth.mode", &raw.mode, expected);
        }
        let leeway_seconds = self.integer("auth.leeway_seconds", raw.leeway_seconds, 0..=600_u64);
        Jwt {
            hs256_secrets: secrets.into_iter().map(SecretString::from).collect(),
            rs256_public_key_files: paths(raw.rs256_public_key_files),
            eddsa_public_key_files: paths(raw.eddsa_public_key_files),
            jwks_files: paths(raw.jwks_files),
            issuer: unless_empty(raw.issuer),
            audience: unless_empty(raw.audience),
            require_exp: raw.require_exp,
            leeway: Duration::from_secs(leeway_seconds),
        }
    }

    fn log(&mut self, raw: RawLog) -> Log {
        if let Err(error) = EnvFilter::try_new(&raw.filter) {
            self.refuse("log.filter", &raw.filter, error);
        }
        if !matches!(raw.format.as_str(), "text" | "json") {
            self.refuse("log.format", &raw.format, "allowed are text and json");
        }
        Log { filter: raw.filter, json: raw.format == "json" }
    }
}

/// Shared by the sections.
impl Check<'_> {
    /// Records a problem; `message` follows the key.
    fn problem(&mut self, key: impl Into<String>, message: String) {
        self.problems.push(Problem::new(key, message));
    }

    /// Records that a value, which is not a secret, is not allowed.
    fn refuse(&mut self, key: &str, value: &str, why: impl Display) {
        self.problem(key, format!(" = {value:?}: {why}"));
    }

    fn refuse_number(&mut self, key: &str, value: i64, why: &str) {
        self.problem(key, format!(" = {value}: {why}"));
    }

    fn integer<T>(&mut self, key: &str, value: i64, allowed: RangeInclusive<T>) -> T
    where
        T: TryFrom<i64> + PartialOrd + Display + Copy,
    {
        match T::try_from(value) {
            Ok(value) if allowed.contains(&value) => value,
            _ => {
                self.refuse_number(
                    key,
                    value,
                    &format!("allowed are {} to {}", allowed.start(), allowed.end()),
                );
                *allowed.start()
            }
        }
    }

    fn milliseconds(&mut self, key: &str, value: i64, allowed: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.integer(key, value, allowed))
    }

    /// A secret that is given either directly or by a file.
    fn secret(&mut self, key: &str, value: String, file_key: &str, file: &str) -> String {
        if file.is_empty() {
            return value;
        }
        if !value.is_empty() {
            self.problem(file_key, format!(": {key} is set too; keep one of them"));
        }
        self.secret_file(file_key, file).unwrap_or_default()
    }

    /// The content of the file without the line end that editors put there.
    fn secret_file(&mut self, key: &str, path: &str) -> Option<String> {
        match (self.surroundings.read_file)(Path::new(path)) {
            Ok(content) => Some(
                content
                    .strip_suffix('\n')
                    .map_or(&*content, |line| line.strip_suffix('\r').unwrap_or(line))
                    .to_owned(),
            ),
            Err(error) => {
                self.refuse(key, path, format!("the file cannot be read: {error}"));
                None
            }
        }
    }
}

/// Validates one entry of the broker list: `host`, `host:port` or `PROTOCOL://host:port`.
fn broker_address(broker: &str) -> Result<(), &'static str> {
    const EXPECTED: &str = "expected host:port, with commas between several";
    let address = match broker.split_once("://") {
        Some(("PLAINTEXT" | "SSL" | "SASL_PLAINTEXT" | "SASL_SSL", address)) => address,
        Some(_) => return Err(EXPECTED),
        None => broker,
    };
    let (host, port) = match address.rsplit_once(':') {
        // An IPv6 address in brackets, without a port.
        Some((_, tail)) if tail.ends_with(']') => (address, None),
        Some((host, port)) => (host, Some(port)),
        None => (address, None),
    };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || host.contains([' ', '/', '@']) || (host.contains(':') && !bracketed) {
        return Err(EXPECTED);
    }
    match port.map(str::parse::<u16>) {
        None => Ok(()),
        Some(Ok(port)) if port > 0 => Ok(()),
        Some(_) => Err("the port must be 1 to 65535"),
    }
}

/// True for names that ClickHouse takes without quotes, in 64 bytes with the suffix of the internal
/// database.
fn is_identifier(name: &str) -> bool {
    (1..=64 - INTERNAL_SUFFIX.len()).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn unless_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn paths(texts: Vec<String>) -> Vec<PathBuf> {
    texts.into_iter().map(PathBuf::from).collect()
}
