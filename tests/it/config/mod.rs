//! The configuration: all options are documented, layers override in order, and every problem is
//! reported with key, value and what is allowed, without secrets.

mod names;
mod secrets;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write as _;
use std::time::Duration;

use figment::Figment;
use figment::providers::{Format as _, Toml};
use figment::value::{Dict, Value};
use seatmeter::config::{self, AuthMode, Config, ConfigError};
use secrecy::ExposeSecret as _;

/// Loads a file with this text, if there is one, and these environment variables.
fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let environment =
        environment.iter().map(|&(name, value)| (OsString::from(name), OsString::from(value)));
    if file.is_empty() {
        return config::load(None, environment);
    }
    let mut named = tempfile::NamedTempFile::new().unwrap();
    named.write_all(file.as_bytes()).unwrap();
    config::load(Some(named.path()), environment)
}

/// The file is refused, with exactly these problems.
#[track_caller]
fn refused(file: &str, environment: &[(&str, &str)], expected: &[&str]) {
    let error = load(file, environment).expect_err("must be refused");
    let problems: Vec<_> = error.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems, expected);
}

/// `section.key` of every option in the document.
fn keys(document: &str) -> BTreeSet<String> {
    let sections: Dict = Figment::from(Toml::string(document)).extract().unwrap();
    let keys = |(section, table): (&String, &Value)| {
        let table = table.as_dict().unwrap();
        table.keys().map(|key| format!("{section}.{key}")).collect::<Vec<_>>()
    };
    sections.iter().flat_map(keys).collect()
}

#[test]
fn the_embedded_defaults_are_valid() {
    let config = load("", &[]).unwrap();
    assert_eq!(config.kafka.topic, "usage-events");
    assert_eq!(config.kafka.session_timeout, Duration::from_secs(45));
    assert!(config.ingest.worker_threads >= 1);
    assert!(matches!(config.auth.mode, AuthMode::Off));
}

#[test]
fn every_option_is_documented_by_a_comment_and_has_its_unit_in_its_name() {
    let lines: Vec<_> = config::DEFAULTS.lines().collect();
    for (index, line) in
        lines.iter().enumerate().filter(|(_, line)| line.contains(" = ") && !line.starts_with('#'))
    {
        let (name, value) = line.split_once(" = ").unwrap();
        // user and password of ClickHouse share a comment with the option before them.
        let commented = lines[..index].iter().rev().take(3).any(|line| line.starts_with('#'));
        assert!(commented, "{name} has no comment");
        let is_number = value.parse::<i64>().is_ok();
        let units = ["_ms", "_max", "_bytes", "_seconds", "_threads", "_quorum", "shards"];
        assert!(!is_number || units.iter().any(|unit| name.ends_with(unit)), "{name} has no unit");
    }
}

#[test]
fn what_is_shown_names_every_option_and_loads_again() {
    let secret = "0123456789abcdef0123456789abcdef";
    let shown = load("[auth]\nmode = \"jwt\"", &[("SEATMETER__AUTH__HS256_SECRETS", secret)])
        .unwrap()
        .to_string();
    // Secrets from files are shown under the keys for the values.
    let by_file = ["auth.hs256_secret_files", "clickhouse.password_file", "kafka.property_files"];
    let mut documented = keys(config::DEFAULTS);
    documented.retain(|key| !by_file.contains(&key.as_str()));
    assert_eq!(keys(&shown), documented);

    let shown = load("", &[]).unwrap().to_string();
    assert_eq!(load(&shown, &[]).unwrap().to_string(), shown);
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let file = "[kafka]\ntopic = \"from-file\"\ngroup_id = \"from-file\"";
    let config = load(file, &[("SEATMETER__KAFKA__TOPIC", "from-environment")]).unwrap();
    assert_eq!(config.kafka.topic, "from-environment");
    assert_eq!(config.kafka.group_id, "from-file");
    assert_eq!(config.kafka.brokers, "localhost:9092");
}

#[test]
fn the_environment_takes_the_types_of_the_options() {
    let config = load(
        "",
        &[
            ("SEATMETER__CLICKHOUSE__PASSWORD", "0123"),
            ("SEATMETER__CLICKHOUSE__USER", "true"),
            ("SEATMETER__INGEST__WORKER_THREADS", "7"),
            ("SEATMETER__AUTH__MODE", "jwt"),
            ("SEATMETER__AUTH__HS256_SECRETS", "0123456789abcdef0123456789abcdef"),
            ("SEATMETER__AUTH__REQUIRE_EXP", " false"),
            ("SEATMETER__HTTP__CORS_ORIGINS", "https://a.example, http://b.example:3000"),
            ("SEATMETER__KAFKA__PROPERTIES__SASL_USERNAME", "42"),
            ("SEATMETERX", "is none of ours"),
        ],
    )
    .unwrap();
    assert_eq!(config.clickhouse.password.expose_secret(), "0123");
    assert_eq!(config.clickhouse.user, "true");
    assert_eq!(config.ingest.worker_threads, 7);
    assert!(matches!(&config.auth.mode, AuthMode::Jwt(jwt) if !jwt.require_exp));
    assert_eq!(config.http.cors_origins, ["https://a.example", "http://b.example:3000"]);
    assert_eq!(config.kafka.properties["sasl.username"].expose_secret(), "42");

    let config =
        load("", &[("SEATMETER__HTTP__CORS_ORIGINS", r#"["https://a.example"]"#)]).unwrap();
    assert_eq!(config.http.cors_origins, ["https://a.example"]);
}

#[test]
fn frame_ancestors_are_origins() {
    let text = "[http]\nframe_ancestors = [\"https://portal.example\"]";
    assert_eq!(load(text, &[]).unwrap().http.frame_ancestors, ["https://portal.example"]);
    refused(
        "[http]\nframe_ancestors = [\"*\", \"portal.example\"]",
        &[],
        &[
            "http.frame_ancestors = \"*\": a wildcard matches no origin; name each in full",
            "http.frame_ancestors = \"portal.example\": expected an origin such as \
            https://portal.example.com",
        ],
    );
}

#[test]
fn all_problems_are_told_at_once() {
    refused(
        "[kafka]\nbrokers = \"a:0\"\ntopic = \"a b\"\ngroup_id = \"\"\nassignor = \
        \"sticky\"\nsession_timeout_ms = 999\n\
         [ingest]\nworker_threads = 65\nflush_interval_ms = -1\n\
         [clickhouse]\nurl = \"localhost\"\ndatabase = \"1a\"\n\
         [http]\nlisten = \"example:8080\"\ncors_origins = [\"https://a.example/\"]\n\
         [log]\nformat = \"xml\"",
        &[],
        &[
            "kafka.brokers = \"a:0\": \"a:0\": the port must be 1 to 65535",
            "kafka.topic = \"a b\": allowed are 1 to 249 of the characters a-z, A-Z, 0-9, `.`, `_` \
            and `-`",
            "kafka.group_id = \"\": allowed are 1 to 255 bytes without control characters",
            "kafka.assignor = \"sticky\": allowed are cooperative-sticky, range and roundrobin",
            "kafka.session_timeout_ms = 999: allowed are 1000 to 1800000",
            "ingest.worker_threads = 65: allowed are 0 to 64",
            "ingest.flush_interval_ms = -1: allowed are 50 to 600000",
            "clickhouse.url: not a URL; expected http://HOST:PORT or https://HOST:PORT",
            "clickhouse.database = \"1a\": allowed are 1 to 55 of the characters a-z, A-Z, 0-9 and \
            `_`, no digit first",
            "http.cors_origins = \"https://a.example/\": expected an origin such as \
            https://dashboard.example.com",
            "http.listen = \"example:8080\": expected an IP address and a port, such as \
            127.0.0.1:8080 or [::1]:8080; localhost:8080 or 8080 for this machine alone; \
            0.0.0.0:8080 for all networks",
            "log.format = \"xml\": allowed are auto, text and json",
        ],
    );
}

#[test]
fn a_database_leaves_room_for_the_name_of_the_internal_one() {
    let database = |name: &str| load(&format!("[clickhouse]\ndatabase = \"{name}\""), &[]);
    let longest = "d".repeat(55);
    let config = database(&longest).unwrap().clickhouse;
    assert_eq!(config.internal_database(), format!("{longest}_internal"));
    database(&format!("{longest}d")).unwrap_err();
    refused(
        "[clickhouse]\ndatabase = \"usage_internal\"",
        &[],
        &["clickhouse.database = \"usage_internal\": must not end in `_internal` or `_shard`, \
            which are added for the databases of the tables"],
    );
}

#[test]
fn every_number_has_a_lowest_and_a_highest_value() {
    let defaults: Dict = Figment::from(Toml::string(config::DEFAULTS)).extract().unwrap();
    for (section, table) in &defaults {
        for (key, value) in table.as_dict().unwrap() {
            if !matches!(value, Value::Num(..)) || key == "leeway_seconds" {
                continue;
            }
            for extreme in [i64::MIN, -1, i64::MAX] {
                let error = load(&format!("[{section}]\n{key} = {extreme}"), &[])
                    .expect_err("must be refused");
                let first = &error.problems[0];
                assert_eq!(first.key, format!("{section}.{key}"));
                assert!(
                    first.message.starts_with(&format!(" = {extreme}: allowed are ")),
                    "{first}"
                );
            }
        }
    }
    let jwt = "[auth]\nmode = \"jwt\"\njwks_files = [\"keys.json\"]\nleeway_seconds = 601";
    refused(jwt, &[], &["auth.leeway_seconds = 601: allowed are 0 to 600"]);
}

#[test]
fn a_partition_must_be_given_up_before_the_session_ends() {
    refused(
        "[kafka]\nsession_timeout_ms = 10000\n[ingest]\nrevoke_deadline_ms = 10000",
        &[],
        &["ingest.revoke_deadline_ms = 10000: must be less than kafka.session_timeout_ms = 10000"],
    );
    load("[kafka]\nsession_timeout_ms = 10000\n[ingest]\nrevoke_deadline_ms = 9999", &[]).unwrap();
}

#[test]
fn brokers_are_hosts_with_ports() {
    for good in [
        "a",
        "a:1",
        "a:1,b:65535",
        "SASL_SSL://kafka.example.com:9093",
        "[::1]:9092",
        "10.0.0.1:9092",
    ] {
        load(&format!("[kafka]\nbrokers = \"{good}\""), &[]).unwrap();
    }
    for bad in ["", "a,", "a:65536", "a:b", "http://a:1", "::1:9092", "user@a:1", "a:1;b:1 "] {
        load(&format!("[kafka]\nbrokers = \"{bad}\""), &[]).expect_err(bad);
    }
}

#[test]
fn librdkafka_properties_pass_through() {
    let file = "[kafka.properties]\n\"security.protocol\" = \"SASL_SSL\"\n\"sasl.mechanism\" = \
        \"SCRAM-SHA-512\"\n\
                \"socket.timeout.ms\" = 10000\n\"socket.keepalive.enable\" = true";
    let config = load(file, &[("SEATMETER__KAFKA__PROPERTIES__SASL_PASSWORD", "hunter2")]).unwrap();
    let property = |name: &str| config.kafka.properties[name].expose_secret().to_owned();
    assert_eq!(property("security.protocol"), "SASL_SSL");
    assert_eq!(property("socket.timeout.ms"), "10000");
    assert_eq!(property("socket.keepalive.enable"), "true");
    assert_eq!(property("sasl.password"), "hunter2");
}

#[test]
fn librdkafka_properties_that_would_break_exactness_are_refused() {
    let properties = [
        "auto.offset.reset = earliest",
        "enable.auto.commit = true",
        "auto.commit.enable = true",
        "enable.auto.offset.store = true",
        "enable.partition.eof = true",
        "isolation.level = read_uncommitted",
        "group.id = x",
        "bootstrap.servers = x",
        "metadata.broker.list = x",
        "session.timeout.ms = 5",
        "partition.assignment.strategy = range",
        "queued.max.messages.kbytes = 5",
        "group.protocol = consumer",
        "check.crcs = false",
        "allow.auto.create.topics = true",
        "partitioner = random",
        "enable.idempotence = false",
        "rebalance_cb = x",
    ];
    for property in properties {
        let (name, value) = property.split_once(" = ").unwrap();
        let error =
            load(&format!("[kafka.properties]\n\"{name}\" = \"{value}\""), &[]).expect_err(name);
        let told = error.to_string();
        assert!(
            told.starts_with(&format!("configuration: kafka.properties.{name}: cannot be set: ")),
            "{told}"
        );
    }
    load("[kafka.properties]\n\"isolation.level\" = \"read_committed\"", &[]).unwrap();
}

#[test]
fn librdkafka_judges_names_and_values() {
    refused(
        "[kafka.properties]\n\"sasl.pasword\" = \"x\"\n\"security.protocol\" = \"tls\"\nssl.ca = \
        \"x\"",
        &[],
        &[
            "kafka.properties.sasl.pasword: No such configuration property: \"sasl.pasword\"",
            "kafka.properties.security.protocol: Invalid value \"tls\" for configuration property \
            \"security.protocol\"",
            "kafka.properties.ssl: expected a string, found a table; write the whole property name \
            in quotes",
        ],
    );
}

#[test]
fn without_authentication_only_loopback_may_listen() {
    for listen in ["0.0.0.0:8080", "[::]:8080", "10.0.0.1:8080"] {
        let error =
            load(&format!("[http]\nlisten = \"{listen}\""), &[]).expect_err(listen).to_string();
        assert!(
            error.starts_with(
                "configuration: auth.mode = \"off\": everybody who reaches http.listen"
            ),
            "{error}"
        );
    }
    load("[http]\nlisten = \"127.0.0.9:80\"", &[]).unwrap();
    load("[http]\nlisten = \"[::1]:80\"", &[]).unwrap();
    load(
        "[http]\nlisten = \"0.0.0.0:80\"\n[auth]\nmode = \"jwt\"\njwks_files = [\"keys.json\"]",
        &[],
    )
    .unwrap();
}

#[test]
fn the_canary_has_an_account_and_an_api() {
    let config = load("[canary]\napi_url = \"https://api.example/seats\"", &[]).unwrap();
    assert_eq!(config.canary.api_url, "https://api.example/seats");
    assert_eq!(config.canary.token_file, None);
    refused(
        "[canary]\naccount = \"..\"\ninterval_ms = 999\napi_url = \"ftp://a\"\n\
        ca_file = \"a.pem\"\nlisten = \"example\"",
        &[],
        &[
            "canary.account = \"..\": allowed are 1 to 64 bytes without control characters, except \
            . and ..",
            "canary.api_url = \"ftp://a\": expected http://HOST:PORT or https://HOST:PORT",
            "canary.ca_file = \"a.pem\": has no effect unless canary.api_url starts with https://",
            "canary.listen = \"example\": expected an IP address and a port, such as \
            127.0.0.1:8080 or [::1]:8080; localhost:8080 or 8080 for this machine alone; \
            0.0.0.0:8080 for all networks",
            "canary.interval_ms = 999: allowed are 1000 to 3600000",
        ],
    );
    refused(
        "[canary]\napi_url = \"http://a:hunter2@b\"",
        &[],
        &["canary.api_url: holds a user or a password; the token is in canary.token_file"],
    );
}

#[test]
fn tokens_need_a_key() {
    refused(
        "[auth]\nmode = \"jwt\"",
        &[],
        &[concat!(
            "auth.mode = \"jwt\": needs a key: set auth.hs256_secrets, auth.hs256_secret_files, ",
            "auth.rs256_public_key_files, auth.eddsa_public_key_files or auth.jwks_files"
        )],
    );
    refused(
        "[auth]\nmode = \"jwt\"\nhs256_secrets = [\"short\"]",
        &[],
        &["auth.hs256_secrets: a secret is shorter than 32 bytes"],
    );
    refused("[auth]\nmode = \"basic\"", &[], &["auth.mode = \"basic\": allowed are jwt and off"]);
}
