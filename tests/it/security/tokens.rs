//! OAUTHBEARER tokens that expire while the program runs.

use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::counting::{STOP_TIMEOUT, Setup, Writer, ask};
use crate::support::secured_kafka::{Listener, SecuredKafka};
use crate::support::token_endpoint::{Mood, TokenEndpoint};
use crate::support::{Program, engine, eventually, unique};

/// Lifetime of a token. Brokers close a connection when its token expires.
const LIFE: Duration = Duration::from_secs(20);

const LONG: Duration = Duration::from_secs(120);

/// A topic, and commands that come with short-lived tokens of a principal that may read and write
/// it.
fn setup(kafka: &'static SecuredKafka) -> Setup<'static> {
    let user = unique("bearer");
    let mut setup = Setup::between(kafka.kafka(), engine(), 1);
    setup.come_by(
        &kafka.address(Listener::SaslSsl),
        &kafka.oauthbearer(&user, u32::try_from(LIFE.as_secs()).unwrap()),
    );
    let principal = format!("User:{user}");
    kafka.allow_worker(&principal, &setup.topic, &setup.group);
    kafka.allow_producer(&principal, &setup.topic);
    setup
}

#[test]
fn a_worker_counts_on_when_its_token_has_ended() {
    let Some(kafka) = SecuredKafka::shared() else { return };
    let setup = setup(kafka);
    let mut writer = Writer::new(6);
    setup.produce(&writer.write(200));
    let mut worker = setup.worker();
    setup.check(&writer);
    let began = Instant::now();
    while began.elapsed() < LIFE * 2 + LIFE / 4 {
        std::thread::sleep(LIFE / 4);
        setup.produce(&writer.write(50));
        setup.check(&writer);
    }
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

/// Why `/readyz` waits for Kafka.
fn reason(worker: &mut Program) -> Option<String> {
    let readiness: Value = serde_json::from_str(&ask(worker, "/readyz").1).unwrap();
    let waiting = readiness["waiting_for"].as_array()?.clone();
    let of_kafka = waiting.iter().find(|waiting| waiting["component"] == "kafka")?;
    Some(of_kafka["reason"].as_str().unwrap().to_owned())
}

/// The token endpoint is down when the worker starts, gives a token, refuses the next one until the
/// first has ended, and gives tokens again.
#[test]
fn a_worker_that_gets_no_token_says_why_and_counts_on_once_it_gets_one() {
    let Some(kafka) = SecuredKafka::shared() else { return };
    let user = unique("oidc");
    let endpoint = TokenEndpoint::down(kafka, &user);
    let mut setup = Setup::between(kafka.kafka(), engine(), 1);
    setup.come_by(&kafka.address(Listener::SaslSsl), &endpoint.properties(kafka.ca_file()));
    kafka.allow_worker(&format!("User:{user}"), &setup.topic, &setup.group);
    let mut writer = Writer::new(7);
    setup.produce(&writer.write(200));

    let mut worker = setup.worker();
    let url = endpoint.url();
    let wait_for = |worker: &mut Program, parts: &[&str]| {
        eventually(&format!("{parts:?}"), LONG, || {
            let told = reason(worker)?;
            (told.contains(&url) && parts.iter().all(|part| told.contains(part))).then_some(())
        });
    };
    wait_for(&mut worker, &["no token for OAUTHBEARER", "Connection refused"]);
    worker.wait_for_line("no token for OAUTHBEARER, trying again", LONG);
    endpoint.set(Mood::Gives(LIFE));
    endpoint.open();
    setup.check(&writer);
    eventually("ready", LONG, || (ask(&mut worker, "/readyz").0 == 200).then_some(()));

    let refusals =
        ["no token for OAUTHBEARER", "status 401 (invalid_client: not with ***)", "client.secret"];
    endpoint.set(Mood::Refuses);
    wait_for(&mut worker, &refusals);
    setup.produce(&writer.write(300));
    assert_eq!(ask(&mut worker, "/readyz").0, 503);
    assert!(setup.progress().next_offsets < setup.log_ends(), "nothing is read without a token");
    endpoint.set(Mood::GivesLate(Duration::from_secs(4), LIFE));
    setup.check(&writer);
    eventually("ready", LONG, || (ask(&mut worker, "/readyz").0 == 200).then_some(()));

    let said = worker.stderr();
    let is_told = |line: &&str| {
        line.contains("WARN") && line.contains("no token for OAUTHBEARER, trying again")
    };
    assert_eq!(said.lines().filter(is_told).count(), 2, "a line for each reason: {said}");
    assert!(said.contains("there is a token for OAUTHBEARER again"), "{said}");
    assert!(!said.contains(endpoint.client_secret()), "{said}");
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

#[test]
fn produce_goes_on_when_its_token_has_ended_and_shows_what_was_sent() {
    let Some(kafka) = SecuredKafka::shared() else { return };
    let setup = setup(kafka);
    let mut command = setup.command(&["produce", "-"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let began = Instant::now();
    let mut sent = 0;
    while began.elapsed() < LIFE + LIFE / 2 {
        for _ in 0..20 {
            pipe.write_all(b"{\"data\":{\"account_id\":\"a\"}}\n").unwrap();
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert_eq!(setup.log_end(0), sent);
    // Each progress line counts nearly everything written by then, and the counts grow.
    let shown: Vec<u64> = said
        .lines()
        .filter_map(|line| {
            line.strip_prefix("sending: ")?.split(' ').next()?.replace(',', "").parse().ok()
        })
        .collect();
    assert!(shown.len() >= 3, "{said}");
    let per_second = sent / began.elapsed().as_secs();
    for (number, shown) in shown.iter().enumerate() {
        let seconds = u64::try_from(number).unwrap() * 5;
        assert!(*shown >= per_second * seconds / 2, "{shown} after more than {seconds} s: {said}");
    }
}

#[test]
fn generate_goes_on_when_its_token_has_ended_and_ends_when_it_is_told_to() {
    let Some(kafka) = SecuredKafka::shared() else { return };
    let setup = setup(kafka);
    let mut command = setup.command(&["generate", "--to-kafka", "--rate", "20"]);
    let mut generating = Program::spawn(&mut command);
    std::thread::sleep(LIFE + LIFE / 4);
    let before = setup.log_end(0);
    std::thread::sleep(Duration::from_secs(3));
    assert!(setup.log_end(0) > before, "{}", generating.stderr());
    assert!(generating.terminate(LONG).success(), "{}", generating.stderr());
}
