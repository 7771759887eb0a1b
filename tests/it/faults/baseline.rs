//! The plain consumer under faults that the long run cannot combine with others: each needs its own
//! topic. Nothing is asserted here; the figures are in `tests/README.md`.
//!
//! ```text
//! cargo test --test it faults::baseline -- --ignored --nocapture
//! ```

use std::io::Write as _;
use std::time::{Duration, Instant};

use super::{SOON, log, plain_consumer, topic};
use crate::counting::{Setup, Writer};
use crate::support::{Program, eventually};

/// After this time without a change nothing more will come: longer than the client takes to refresh
/// its topic.
const QUIET: Duration = Duration::from_secs(15);

/// The tests that it has counted, once the count is stable.
fn settled(setup: &Setup<'_>) -> i64 {
    let mut seen = (plain_consumer::tests_counted(setup), Instant::now());
    while seen.1.elapsed() < QUIET {
        std::thread::sleep(Duration::from_millis(100));
        let now = plain_consumer::tests_counted(setup);
        if now != seen.0 {
            seen = (now, Instant::now());
        }
    }
    i64::try_from(seen.0).unwrap()
}

fn sent(writers: &[&Writer]) -> i64 {
    writers.iter().map(|writer| i64::try_from(writer.tests_sent()).unwrap()).sum()
}

fn tell(fault: &str, counted: i64, sent: i64) {
    // Not println!, which is captured by the harness.
    let _ = writeln!(std::io::stderr(), "{fault}: off by {:+} of {sent} tests", counted - sent);
}

fn start(setup: &Setup<'_>) -> Program {
    plain_consumer::migrate(setup);
    plain_consumer::spawn(setup, &setup.database.url)
}

#[test]
#[ignore = "a measurement"]
fn a_recreated_topic() {
    let setup = Setup::new(2);
    let mut writer = Writer::new(61);
    setup.produce(&writer.write(1_000));
    let _plain = start(&setup);
    eventually("it counts", SOON, || (plain_consumer::tests_counted(&setup) > 0).then_some(()));
    assert_eq!(settled(&setup), sent(&[&writer]), "as yet nothing has happened");
    topic::recreate(&setup);
    let mut refilled = Writer::new(62);
    setup.produce(&refilled.write(3_000));
    tell(
        "topic recreated and refilled beyond the offsets read",
        settled(&setup),
        sent(&[&writer, &refilled]),
    );
}

#[test]
#[ignore = "a measurement"]
fn compacted_gaps() {
    let setup = Setup::new(1);
    log::compact(&setup);
    let mut writer = Writer::new(63);
    setup.produce(&writer.write(1_000));
    let _plain = start(&setup);
    eventually("it counts", SOON, || (plain_consumer::tests_counted(&setup) > 0).then_some(()));
    tell("compacted gaps", settled(&setup), sent(&[&writer]));
}
