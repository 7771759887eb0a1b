//! Faults of a worker's process.

use std::time::{Duration, Instant};

use crate::counting::{STOP_TIMEOUT, Setup, Writer};
use crate::support::http_proxy::{HttpProxy, Meddling, Rule};

const KILLS: u32 = 20;

/// Rows go out first, then the progress, alone. A kill between the two leaves rows of events that
/// the next start counts again; every request is delayed a little, so that kills hit that moment.
/// Half of the kills wait for it, the others come at any time.
#[test]
fn kills_in_the_middle_of_flushes_change_nothing() {
    let mut setup = Setup::new(4);
    // The group removes a killed member soon.
    setup.set("KAFKA__SESSION_TIMEOUT_MS", 1_000);
    setup.set("INGEST__REVOKE_DEADLINE_MS", 900);
    let proxy = HttpProxy::to(&setup.database.url);
    proxy.set(Rule {
        meddling: Meddling::Delay(Duration::from_millis(40)),
        every: 1,
        only: "INSERT",
    });
    setup.set("CLICKHOUSE__URL", &proxy.url);
    setup.set("INGEST__FLUSH_INTERVAL_MS", 50);
    let mut writer = Writer::new(3);
    setup.produce(&writer.write(2_000));
    let mut half_written = 0;
    for kill in 0..KILLS {
        let mut worker = setup.worker();
        worker.wait_for_line("counting partition", STOP_TIMEOUT);
        for _ in 0..5 {
            setup.produce(&writer.write(100));
            std::thread::sleep(Duration::from_millis(u64::from(20 + 3 * kill)));
        }
        if kill % 2 == 1 {
            wait_for_half_a_flush(&setup, &mut writer);
        }
        worker.kill();
        half_written += u32::from(is_half_written(&setup));
        assert_eq!(unclaimed(&setup), "0", "rows with days are claimed before they are stored");
    }
    assert!(half_written > 0, "no kill has hit the middle of a flush, so this test shows nothing");
    proxy.clear();
    let mut worker = setup.worker();
    setup.check(&writer);
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

/// Produces until rows are stored whose progress is still on its way.
fn wait_for_half_a_flush(setup: &Setup<'_>, writer: &mut Writer) {
    let deadline = Instant::now() + STOP_TIMEOUT;
    while !is_half_written(setup) {
        assert!(Instant::now() < deadline, "the worker writes nothing");
        setup.produce(&writer.write(10));
    }
}

/// How many partitions have rows with days beyond what any zone data has claimed.
fn unclaimed(setup: &Setup<'_>) -> String {
    let count = setup.database.query(
        "SELECT count() FROM (SELECT source, max(upto) AS upto FROM test_executions_state GROUP BY \
        source) AS rows \
         LEFT JOIN (SELECT source, max(claim).upto AS upto FROM zone_claims GROUP BY source) AS \
         claims \
         ON claims.source = rows.source WHERE rows.upto > claims.upto",
    );
    count.trim().to_owned()
}

/// Whether rows are stored beyond the progress.
fn is_half_written(setup: &Setup<'_>) -> bool {
    let beyond = setup.database.query(
        "SELECT count() FROM (SELECT source, max(upto) AS upto FROM test_executions_state GROUP BY \
        source) AS rows \
         LEFT JOIN ingest_progress AS progress ON progress.source = rows.source WHERE rows.upto > \
         progress.next_offset",
    );
    beyond.trim() != "0"
}
