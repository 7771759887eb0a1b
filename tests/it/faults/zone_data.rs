//! A log that was counted with other zone data before.

use seatmeter::core::calendar::RELEASE;

use super::SOON;
use crate::counting::{STOP_TIMEOUT, Setup, Writer, ask};
use crate::support::eventually;

/// As if a program with an older release had counted so far. Of partition 1 it may have left rows
/// beyond the progress.
fn counted_by_another(setup: &Setup<'_>, beyond: u64) {
    setup.database.query("TRUNCATE TABLE zone_claims");
    setup.database.query(&format!(
        "INSERT INTO zone_claims SELECT source, topic, topic_id, partition, '2025b', \
         (toUInt64(1), next_offset + if(partition = 1, {beyond}, 0)) FROM ingest_progress"
    ));
}

#[test]
fn other_zone_data_waits_until_all_is_stored_up_to_the_progress() {
    let setup = Setup::new(2);
    let mut writer = Writer::new(31);
    setup.produce(&writer.write(500));
    let mut worker = setup.worker();
    let counted = setup.check(&writer);
    assert!(worker.terminate(STOP_TIMEOUT).success());
    counted_by_another(&setup, 5);
    setup.produce(&writer.write(100));

    let mut worker = setup.worker();
    let line = worker.wait_for_line("partition refused", SOON);
    for part in [
        "was counted by time zone data 2025b",
        RELEASE,
        "partitions [1]",
        "Run the program with 2025b",
    ] {
        assert!(line.contains("ERROR") && line.contains(part), "{part} is not in {line}");
    }
    let refused = || {
        let (status, readiness) = ask(&mut worker, "/readyz");
        (status == 503 && readiness.contains("2 of the assigned partitions are refused"))
            .then_some(readiness)
    };
    let readiness = eventually("both partitions are refused", SOON, refused);
    assert!(readiness.contains("was counted by time zone data 2025b"), "{readiness}");
    assert_eq!(setup.progress().next_offsets, counted.next_offsets);

    // The older one has ended in an orderly way, and the waiting worker continues by itself.
    counted_by_another(&setup, 0);
    setup.check(&writer);
    let ready = || (ask(&mut worker, "/readyz").0 == 200).then_some(());
    eventually("nothing is refused any more", SOON, ready);
    let releases = setup.database.query("SELECT DISTINCT zone_release FROM ingest_progress");
    assert_eq!(releases.trim(), RELEASE);
    assert!(worker.terminate(STOP_TIMEOUT).success());
}
