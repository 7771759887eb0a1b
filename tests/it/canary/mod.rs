//! `seatmeter canary` against real Kafka, the embedded engine, the worker and the API: it is
//! content with a service that works, and notices one that does not.

mod faults;
mod refusals;
mod troubles;

use std::time::Duration;

use crate::counting::{self, STOP_TIMEOUT, Setup, ask};
use crate::support::{Program, eventually};

/// How long something may take that happens within seconds on an idle machine.
const SOON: Duration = Duration::from_secs(90);

/// The account of the canary, unless a test names another.
const ACCOUNT: &str = "seatmeter-canary";

/// The reports that it judges.
const REPORTS: [&str; 5] =
    ["test_activity", "quota", "license_history", "license_usage", "assignments"];

/// The address of a program that listens.
#[track_caller]
fn url_of(program: &mut Program) -> String {
    let line = program.wait_for_line("listening", STOP_TIMEOUT);
    let address = line.split("address=").nth(1).unwrap().split_whitespace().next().unwrap();
    format!("http://{address}")
}

/// A command of a canary that asks this API, in a hurry.
fn canary(setup: &Setup<'_>, api_url: &str) -> std::process::Command {
    let mut command = setup.command(&["canary"]);
    for (option, value) in
        [("API_URL", api_url), ("INTERVAL_MS", "1000"), ("LISTEN", "127.0.0.1:0")]
    {
        command.env(format!("SEATMETER__CANARY__{option}"), value);
    }
    command
}

/// The value of a series of a canary's metrics; 0 where there is none.
#[track_caller]
fn metric(canary: &mut Program, series: &str) -> f64 {
    counting::metric(canary, series).unwrap_or(0.0)
}

/// Rounds that the API has shown.
#[track_caller]
fn rounds_seen(canary: &mut Program) -> f64 {
    metric(canary, "seatmeter_canary_end_to_end_duration_seconds_count")
}

#[track_caller]
fn wrong_answers(canary: &mut Program, report: &str) -> f64 {
    metric(canary, &format!("seatmeter_canary_wrong_answers_total{{report=\"{report}\"}}"))
}

#[track_caller]
fn assert_nothing_is_wrong(canary: &mut Program) {
    for report in REPORTS {
        assert!(wrong_answers(canary, report) < 0.5, "{report}: {}", canary.stderr());
    }
}

#[track_caller]
fn wait_for_rounds(canary: &mut Program, rounds: f64) {
    let wanted = rounds_seen(canary) + rounds;
    eventually("rounds are seen", SOON, || (rounds_seen(canary) >= wanted).then_some(()));
}

#[test]
fn a_service_that_works_is_right_about_every_round() {
    let mut setup = Setup::new(2);
    setup.set("AUTH__MODE", "jwt");
    setup.set("AUTH__HS256_SECRETS", "0123456789abcdef0123456789abcdef");
    let mut run = Program::spawn(&mut setup.command(&["run"]));
    let url = url_of(&mut run);
    let token = setup
        .command(&["token", "--account", ACCOUNT, "--role", "account_admin"])
        .output()
        .unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), token.stdout).unwrap();
    let start = || {
        let mut command = canary(&setup, &url);
        Program::spawn(command.env("SEATMETER__CANARY__TOKEN_FILE", file.path()))
    };
    let (mut one, mut other) = (start(), start());
    // More than a round of the ring, so that users get a second seat.
    wait_for_rounds(&mut one, 11.0);
    wait_for_rounds(&mut other, 1.0);
    for canary in [&mut one, &mut other] {
        assert_nothing_is_wrong(canary);
        assert!(!canary.stderr().contains("a round failed"), "{}", canary.stderr());
        assert!(metric(canary, "seatmeter_canary_rounds_total") >= 1.0);
        assert!(metric(canary, "seatmeter_canary_success_age_seconds") < 30.0);
        assert_eq!(ask(canary, "/healthz").0, 200);
        assert_eq!(ask(canary, "/readyz").0, 404);
        assert!(canary.terminate(STOP_TIMEOUT).success(), "{}", canary.stderr());
    }
    // What earlier starts have left is its own.
    let mut again = start();
    wait_for_rounds(&mut again, 2.0);
    assert_nothing_is_wrong(&mut again);
    assert!(again.terminate(STOP_TIMEOUT).success(), "{}", again.stderr());
    assert!(run.terminate(STOP_TIMEOUT).success());
}
