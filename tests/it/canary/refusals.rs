//! What the canary refuses to start with.

use serde_json::{Value, json};

use super::{canary, url_of};
use crate::api::support::event;
use crate::counting::{Record, STOP_TIMEOUT, Setup};
use crate::support::Program;

/// An event of an account, at a time of today.
fn record(account: &str, kind: &str, mut data: Value) -> Record {
    data["account_id"] = account.into();
    let time = chrono::Utc::now().to_rfc3339();
    let value = event(kind, &time, &data).into_bytes();
    Record { key: Some(account.to_owned()), value: Some(value) }
}

/// The canary of this account ends with this message.
#[track_caller]
fn refused(setup: &Setup<'_>, url: &str, account: &str, expected: &str) {
    let mut command = canary(setup, url);
    let mut canary = Program::spawn(command.env("SEATMETER__CANARY__ACCOUNT", account));
    let status = canary.wait(STOP_TIMEOUT);
    let said = canary.stderr();
    assert_eq!(status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap();
    assert!(last.starts_with("seatmeter: ") && last.contains(expected), "{said}");
}

#[test]
fn an_account_of_real_events_is_refused() {
    let setup = Setup::new(1);
    setup.produce(&[
        record("acme", "user.login", json!({"organization_id": "42", "user_id": 1})),
        record("loose", "user.login", json!({"user_id": 1})),
        record(
            "seated",
            "license.assigned",
            json!({"organization_id": "seatmeter-canary-x", "user_id": "zoe"}),
        ),
    ]);
    let mut run = Program::spawn(&mut setup.command(&["run"]));
    let url = url_of(&mut run);
    setup.wait_until_counted();
    for (account, occupant) in [
        ("acme", "an organization \"42\""),
        ("loose", "users that act in no organization"),
        ("seated", "a user \"zoe\""),
    ] {
        let expected = format!(
            "the account {account:?} is in use by real events: it has {occupant}; name an account \
            of the canary's own by canary.account"
        );
        refused(&setup, &url, account, &expected);
    }
    let progress = setup.progress();
    assert_eq!(progress.next_offsets, 3, "nothing was sent: {progress:?}");
    assert!(run.terminate(STOP_TIMEOUT).success());
}

#[test]
fn an_api_that_refuses_the_token_and_a_missing_topic_are_told() {
    let mut setup = Setup::new(1);
    setup.set("AUTH__MODE", "jwt");
    setup.set("AUTH__HS256_SECRETS", "0123456789abcdef0123456789abcdef");
    let mut api = Program::spawn(&mut setup.command(&["api"]));
    refused(&setup, &url_of(&mut api), "seatmeter-canary", "see canary.token_file");
    assert!(api.terminate(STOP_TIMEOUT).success());

    setup.set("AUTH__MODE", "off");
    let mut api = Program::spawn(&mut setup.command(&["api"]));
    setup.set("KAFKA__TOPIC", "no-such-topic");
    refused(&setup, &url_of(&mut api), "seatmeter-canary", "no-such-topic");
    assert!(api.terminate(STOP_TIMEOUT).success());
}
