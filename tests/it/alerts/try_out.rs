//! `seatmeter alerts test`.

use std::process::Output;

use super::receiver::Receiver;
use crate::support::program::command;

fn test_with(webhooks: &str) -> (Output, String) {
    let mut command = command(&["alerts", "test"]);
    command.env("SEATMETER__ALERTS__WEBHOOKS", webhooks);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, said)
}

#[test]
fn every_target_is_tried_and_named() {
    let receiver = Receiver::start(1);
    let (output, said) = test_with(&receiver.option(""));
    assert!(output.status.success(), "{output:?}");
    assert!(said.contains(&format!("{}: taken", receiver.url())), "{said}");
    let events = receiver.events();
    let event = events.values().next().unwrap();
    assert_eq!(event["type"], "seatmeter.alert.test");
    assert_eq!(event["source"], "/seatmeter/seatmeter");
    receiver.take_every(0);
    let (output, said) = test_with(&receiver.option(""));
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("not taken: it answers with "), "{said}");
}

#[test]
fn bad_options_name_the_way_out() {
    let check = |webhooks: &str, expected: &str| {
        let (output, _) = test_with(webhooks);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(expected), "{webhooks}: {said}");
    };
    check("", "there is nobody to tell: set alerts.webhooks or alerts.topic");
    let receiver = Receiver::start(1);
    let file = receiver.secret_file().display().to_string();
    let with_url = |url: &str| format!("[{{ url = '{url}', secret_file = '{file}' }}]");
    check(&with_url("ftp://x/"), "alerts.webhooks.0.url: not such a URL");
    check(&with_url("http://u:secret@x/"), "holds a user or a password");
    check("[{ url = 'http://x/', secret_file = '/nowhere' }]", "the file cannot be read");
    check(&receiver.option(", rules = ['seat']"), "allowed are quota, pace and seats");
    check(&receiver.option(", secret = 'x'"), "secret: no such option");
    check("[{ url = 'http://x/' }]", "secret_file is missing");
    check("http://x/", "expected a TOML array of tables");
    std::fs::write(receiver.secret_file(), "hunter2").unwrap();
    check(&receiver.option(""), "whsec_ and 24 to 64 bytes in base64");
}
