//! Wrong answers, and answers that do not come.

use super::{
    SOON, assert_nothing_is_wrong, canary, metric, url_of, wait_for_rounds, wrong_answers,
};
use crate::counting::{STOP_TIMEOUT, Setup};
use crate::support::http_proxy::{HttpProxy, Meddling, Rule};
use crate::support::{Program, eventually};

const SUCCESS_AGE: &str = "seatmeter_canary_success_age_seconds";

fn failures(canary: &mut Program, cause: &str) -> f64 {
    metric(canary, &format!("seatmeter_canary_failures_total{{cause=\"{cause}\"}}"))
}

#[test]
fn a_changed_figure_is_a_wrong_answer_until_it_is_right_again() {
    let setup = Setup::new(1);
    let mut run = Program::spawn(&mut setup.command(&["run"]));
    let proxy = HttpProxy::to(&url_of(&mut run));
    let mut canary = Program::spawn(&mut canary(&setup, &proxy.url));
    wait_for_rounds(&mut canary, 2.0);
    assert_nothing_is_wrong(&mut canary);

    for (report, only, number, figure) in [
        ("quota", "/quota?", "used", "used"),
        ("license_usage", "/licenses/usage?organization_id=", "active_users", "active_users"),
        ("assignments", "/licenses/assignments?organization_id=", "total", "total"),
        ("test_activity", "/test-activity?", "executions", "executions"),
    ] {
        proxy.set(Rule { meddling: Meddling::ChangeNumber(number), every: 1, only });
        eventually("the answer is called wrong", SOON, || {
            (wrong_answers(&mut canary, report) > 0.0).then_some(())
        });
        let said = canary.stderr();
        let line = said.lines().find(|line| {
            line.contains("canary: a wrong answer")
                && line.contains(&format!("report=\"{report}\" figure=\"{figure}\""))
        });
        let line = line.unwrap_or_else(|| panic!("{report}: {said}"));
        assert!(line.contains("wanted=") && line.contains("found="), "{line}");
        proxy.clear();
        wait_for_rounds(&mut canary, 2.0);
    }
    canary.wait_for_line("canary: all reports are right again", SOON);
    assert!(wrong_answers(&mut canary, "license_history") < 0.5, "it was not meddled with");

    proxy.set(Rule { meddling: Meddling::Refuse, every: 1, only: "" });
    eventually("answers fail", SOON, || (failures(&mut canary, "answer") > 2.0).then_some(()));
    proxy.clear();
    wait_for_rounds(&mut canary, 2.0);
    assert!(canary.terminate(STOP_TIMEOUT).success(), "{}", canary.stderr());
    assert!(run.terminate(STOP_TIMEOUT).success());
}

/// A table that loses rows: seats that are held are missing.
#[test]
fn lost_rows_are_noticed() {
    let setup = Setup::new(1);
    let mut run = Program::spawn(&mut setup.command(&["run"]));
    let mut canary = Program::spawn(&mut canary(&setup, &url_of(&mut run)));
    wait_for_rounds(&mut canary, 4.0);
    assert_nothing_is_wrong(&mut canary);
    setup.database.query(
        "ALTER TABLE seat_intervals DELETE WHERE account_id = 'seatmeter-canary' SETTINGS \
         mutations_sync = 2",
    );
    for report in ["license_history", "license_usage", "assignments"] {
        eventually("the report is called wrong", SOON, || {
            (wrong_answers(&mut canary, report) > 0.0).then_some(())
        });
    }
    assert!(wrong_answers(&mut canary, "quota") < 0.5, "{}", canary.stderr());
    assert!(canary.terminate(STOP_TIMEOUT).success(), "{}", canary.stderr());
    assert!(run.terminate(STOP_TIMEOUT).success());
}

/// Nothing is wrong with a service that stands still; but time passes.
#[test]
fn a_worker_that_stands_still_is_no_wrong_answer() {
    let setup = Setup::new(1);
    let mut api = Program::spawn(&mut setup.command(&["api"]));
    let mut worker = setup.worker();
    let mut command = canary(&setup, &url_of(&mut api));
    let mut canary = Program::spawn(command.env("SEATMETER__CANARY__TIMEOUT_MS", "3000"));
    wait_for_rounds(&mut canary, 2.0);

    worker.signal("STOP");
    eventually("time passes without success", SOON, || {
        (metric(&mut canary, SUCCESS_AGE) > 8.0).then_some(())
    });
    assert!(failures(&mut canary, "timeout") > 0.0, "{}", canary.stderr());
    let line = canary.wait_for_line("is not counted and shown after", SOON);
    assert!(line.contains(" s: test_activity, quota, "), "{line}");
    assert_nothing_is_wrong(&mut canary);

    worker.signal("CONT");
    canary.wait_for_line("canary: all reports are right again", SOON);
    eventually("it is young again", SOON, || {
        (metric(&mut canary, SUCCESS_AGE) < 8.0).then_some(())
    });
    assert_nothing_is_wrong(&mut canary);
    assert!(canary.terminate(STOP_TIMEOUT).success(), "{}", canary.stderr());
    assert!(worker.terminate(STOP_TIMEOUT).success());
    assert!(api.terminate(STOP_TIMEOUT).success());
}
