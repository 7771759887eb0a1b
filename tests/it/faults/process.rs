//! What a worker's process does that cannot go on: it ends, clearly, and the next one counts on.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use super::{SOON, hurry};
use crate::counting::{STOP_TIMEOUT, Setup, Writer};
use crate::support::eventually;

/// A second member with the same static identity makes the Kafka client of the first one fail for good.
#[test]
fn a_client_that_fails_for_good_ends_the_process() {
    let mut setup = Setup::new(2);
    if setup.kafka.is_mock() {
        return;
    }
    hurry(&mut setup);
    setup.set("KAFKA__PROPERTIES__GROUP_INSTANCE_ID", "the-same");
    let mut writer = Writer::new(51);
    setup.produce(&writer.write(1_000));
    let mut first = setup.joined_worker();
    setup.check(&writer);
    let mut second = setup.joined_worker();
    assert_eq!(first.wait(SOON).code(), Some(1));
    let said = first.stderr();
    let last = said.lines().last().unwrap();
    assert!(last.contains("the Kafka client failed for good") && last.contains("restart to go on"), "{said}");
    setup.produce(&writer.write(1_000));
    setup.check(&writer);
    assert!(second.terminate(STOP_TIMEOUT).success());
}

/// A log that nobody reads any more blocks whoever writes to it, sooner or later every thread. The process must end all the
/// same, for a supervisor to start it again, though it can tell nobody why.
#[test]
fn a_stuck_thread_ends_the_process() {
    let mut setup = Setup::new(2);
    hurry(&mut setup);
    setup.set("INGEST__WATCHDOG_TIMEOUT_MS", 2_000);
    let mut writer = Writer::new(52);
    setup.produce(&writer.write(1_000));
    let mut stuck = setup.command(&["worker"]);
    stuck.env("SEATMETER__LOG__FILTER", "trace").env("SEATMETER__KAFKA__PROPERTIES__DEBUG", "all");
    stuck.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut stuck = stuck.spawn().unwrap();
    let mut lines = BufReader::new(stuck.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("counting partition")));
    // From here on nobody reads, and the pipe fills.
    setup.produce(&writer.write(1_000));
    let mut another = setup.worker();
    let ended = eventually("the process with the stuck thread ends", SOON * 2, || stuck.try_wait().unwrap());
    assert_eq!(ended.code(), Some(70));
    setup.check(&writer);
    assert!(another.terminate(STOP_TIMEOUT).success());
}
