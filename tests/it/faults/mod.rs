//! Faults: whatever happens to a worker and its dependencies, the counts equal a naive count of the
//! log, and every offset is accounted for.
//!
//! Each test runs the program as a child process against real Apache Kafka and the embedded engine.
//! Tests that kill, freeze or cut off a server have one of their own; the others share one.

mod arena;
mod baseline;
mod broker;
mod bytes;
mod clickhouse;
mod connections;
mod disk;
mod election;
mod group;
mod log;
mod long;
mod plain_consumer;
mod process;
mod split;
mod standings;
mod topic;
mod worker;
mod zone_data;

use std::time::Duration;

use crate::counting::Setup;

/// How long a worker may take to notice something; the machine may be busy with other tests.
const SOON: Duration = Duration::from_secs(60);

/// Short timeouts, so that the group removes a killed member soon.
fn hurry(setup: &mut Setup<'_>) {
    setup.set("KAFKA__SESSION_TIMEOUT_MS", 3_000);
    setup.set("INGEST__REVOKE_DEADLINE_MS", 2_500);
}
