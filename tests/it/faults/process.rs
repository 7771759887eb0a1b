//! What a worker's process does that cannot go on: it ends, clearly, and the next one counts on.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

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

/// A log that nobody reads any more blocks whoever writes to it, sooner or later. The process must end all the same, for a
/// supervisor to start it again, though it can tell nobody why.
#[test]
fn a_stuck_thread_ends_the_process() {
    let mut setup = Setup::new(2);
    hurry(&mut setup);
    setup.set("INGEST__WATCHDOG_TIMEOUT_MS", 2_000);
    setup.set("INGEST__FLUSH_INTERVAL_MS", 50);
    let mut writer = Writer::new(52);
    setup.produce(&writer.write(1_000));
    let mut command = setup.command(&["worker"]);
    command.env("SEATMETER__LOG__FILTER", "trace");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut stuck = Killed(command.spawn().unwrap());
    let mut lines = BufReader::new(stuck.0.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("counting partition")));
    // From here on nobody reads, and what the flushes say fills the pipe.
    let ended = eventually("the process with the stuck thread ends", SOON * 2, || {
        setup.produce(&writer.write(20));
        stuck.0.try_wait().unwrap()
    });
    assert_eq!(ended.code(), Some(70));
    let mut worker = setup.worker();
    setup.check(&writer);
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

/// A process that ends with the test, however that ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It has ended, if all went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
