//! The engine's shortcuts are switched off with our queries, once the server was asked for those
//! that it knows.

use seatmeter::store::{SHORTCUTS, ServerVersion};

use super::TestDatabase;

/// Those that came after the older release that the tests are run on.
const NEWER: [&str; 1] = ["optimize_aggregation_in_order_limit"];

/// A view in the place of `ingest_progress`, by which a query tells one of its settings.
fn telling_view(setting: &str) -> String {
    format!(
        "CREATE OR REPLACE VIEW ingest_progress AS SELECT 't//0' AS source, 't' AS topic, \
         '' AS topic_id, toUInt32(0) AS partition, toUInt64(0) AS first_offset, \
         toUInt64(getSetting('{setting}')) AS next_offset, toUInt64(0) AS high_watermark, \
         CAST(NULL, 'Nullable(UInt64)') AS lag, \
         toUInt64(0) AS accepted, toUInt64(0) AS rejected, toUInt64(0) AS duplicates, \
         toUInt64(0) AS skipped, toUInt64(0) AS absent, \
         CAST((0, -1, 0), 'Tuple(UInt64, Int32, UInt64)') AS last_record, \
         CAST(NULL, 'Nullable(DateTime64(3))') AS flushed_at"
    )
}

#[tokio::test]
async fn shortcuts_are_off_once_the_server_was_asked() {
    let database = TestDatabase::migrated().await;
    database.text(&telling_view("use_query_condition_cache"));
    let store = database.store();
    let setting = async || store.progress("t").await.unwrap()[0].progress.next_offset;
    assert_eq!(setting().await, 1, "the engine's default");
    store.check_server().await.unwrap();
    assert_eq!(setting().await, 0);
    let known = database.text("SELECT name FROM system.settings");
    for (name, value) in SHORTCUTS {
        if !known.lines().any(|line| line == name) {
            assert!(NEWER.contains(&name), "the engine does not know {name}");
            continue;
        }
        database.text(&telling_view(name));
        assert_eq!(setting().await.to_string(), value, "{name}");
    }
}

#[test]
fn releases_with_a_fault_that_no_setting_mends_are_known() {
    let has_fault = |year, month| ServerVersion { year, month }.known_fault().is_some();
    assert!(has_fault(25, 8) && has_fault(26, 4));
    assert!(!has_fault(26, 5) && !has_fault(26, 7));
}
