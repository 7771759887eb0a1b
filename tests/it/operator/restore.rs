//! A restored copy of ClickHouse is counted on from its own progress, whatever Kafka's committed
//! offsets say, as the runbook promises.

use crate::counting::{STOP_TIMEOUT, Setup, Writer};
use crate::support::{Database, unique};

/// The table that a copy must not have newer than the others.
const PROGRESS: &str = "source_progress";

/// All tables, the progress first.
fn tables(database: &Database) -> Vec<String> {
    let names = database.query(
        "SELECT name FROM system.tables \
        WHERE database = currentDatabase() AND engine LIKE '%MergeTree' ORDER BY name",
    );
    let others = names.lines().filter(|name| *name != PROGRESS).map(str::to_owned);
    let tables: Vec<String> = [PROGRESS.to_owned()].into_iter().chain(others).collect();
    assert!(tables.len() > 15, "only {tables:?}");
    tables
}

/// Copies the parts of a table of one database to the other, as BACKUP and RESTORE do.
fn copy_parts(engine: &Database, from: &str, to: &str, table: &str) {
    engine.query(&format!("CREATE TABLE IF NOT EXISTS {to}.{table} AS {from}.{table}"));
    engine.query(&format!("TRUNCATE TABLE {to}.{table}"));
    engine
        .query(&format!("ALTER TABLE {to}.{table} ATTACH PARTITION ID 'all' FROM {from}.{table}"));
}

#[test]
fn a_copy_that_is_older_than_the_commits_is_counted_on_from_its_progress() {
    let setup = Setup::new(2);
    let mut writer = Writer::new(61);
    setup.produce(&writer.write(2_000));
    let mut worker = setup.worker();
    let copied = setup.check(&writer);

    // The progress is copied first, the rest while the worker goes on.
    let copy = Database::new(setup.database.url.clone(), unique("copy")).create();
    let (internal, tables) = (setup.database.internal(), tables(&setup.database));
    copy_parts(&copy, &internal, &copy.name, &tables[0]);
    setup.produce(&writer.write(2_000));
    setup.wait_until_passed(copied.next_offsets + 500);
    for table in &tables[1..] {
        copy_parts(&copy, &internal, &copy.name, table);
    }
    let counted = setup.check(&writer);
    assert!(worker.terminate(STOP_TIMEOUT).success());

    for table in &tables {
        copy_parts(&copy, &copy.name, &internal, table);
    }
    let restored = setup.progress();
    assert!(restored.next_offsets < counted.next_offsets, "{restored:?}, {counted:?}");
    assert_eq!(restored.next_offsets, copied.next_offsets);
    setup.produce(&writer.write(500));
    let mut worker = setup.worker();
    setup.check(&writer);
    assert!(worker.terminate(STOP_TIMEOUT).success());
    let verified = setup.command(&["verify"]).output().unwrap();
    assert!(verified.status.success(), "{verified:?}");
}
