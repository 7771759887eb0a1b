//! The migrations on the real engine: applied once, twice and concurrently, and refused where they
//! would do harm.

use std::collections::BTreeSet;

use seatmeter::store::{
    DOCUMENTED_VIEWS, MigrateError, Migration, Placement, Shards, Store, TABLES, View, migrations,
    views,
};

use crate::documents::{first_cells, quoted, section};
use crate::store::TestDatabase;

fn newest() -> u32 {
    migrations().last().unwrap().version
}

#[tokio::test]
async fn migrating_twice_does_no_harm() {
    let database = TestDatabase::absent();
    let store = database.store();
    let first = store.migrate().await.unwrap();
    assert_eq!(first.applied, (1..=newest()).collect::<Vec<_>>());
    assert_eq!(first.views.len(), views().len());
    assert_eq!(first.version, newest());
    store.check_schema().await.unwrap();
    let second = store.migrate().await.unwrap();
    assert_eq!(second.applied, Vec::<u32>::new());
    assert_eq!(second.views, Vec::<String>::new());
    assert_eq!(second.version, newest());
    store.check_schema().await.unwrap();
}

#[tokio::test]
async fn a_plan_says_what_would_be_done_and_does_nothing() {
    let database = TestDatabase::absent();
    let store = database.store();
    let (tables, all) = (migrations(), views());
    let names: Vec<String> = all.iter().map(|view| view.name.clone()).collect();
    for _ in 0..2 {
        let plan = store.migration_plan().await.unwrap();
        assert_eq!((plan.version, &plan.migrations, &plan.views), (0, &tables, &names));
    }
    store.migrate_to(&tables[..18], &[]).await.unwrap();
    let plan = store.migration_plan().await.unwrap();
    assert_eq!((plan.version, &plan.migrations[..]), (18, &tables[18..]));
    assert_eq!(plan.views, names);
    let report = store.migrate().await.unwrap();
    assert_eq!(report.applied.len(), plan.migrations.len());
    assert_eq!(report.views, plan.views);
    database.execute(
        "ALTER TABLE schema_views DELETE WHERE name = 'plans' SETTINGS mutations_sync = 2",
    );
    let plan = store.migration_plan().await.unwrap();
    assert_eq!((plan.version, plan.migrations), (newest(), Vec::new()));
    assert_eq!(plan.views, ["plans"]);
}

#[tokio::test]
async fn a_migration_that_was_applied_but_not_recorded_is_applied_again() {
    let database = TestDatabase::migrated().await;
    database.execute("INSERT INTO organizations_seen VALUES ('acme', '42')");
    database.execute("TRUNCATE TABLE schema_migrations");
    let report = database.store().migrate().await.unwrap();
    assert_eq!(report.applied.len(), migrations().len());
    assert_eq!(database.text("SELECT organization_id FROM organizations"), "42\n");
}

#[tokio::test]
async fn two_processes_that_migrate_at_once_do_no_harm() {
    let database = TestDatabase::absent();
    let other = Store::connect(&database.config()).unwrap();
    let (one, two) = tokio::join!(database.store().migrate(), other.migrate());
    assert_eq!(one.unwrap().version, newest());
    assert_eq!(two.unwrap().version, newest());
    database.store().check_schema().await.unwrap();
    let recorded = database
        .text("SELECT uniqExact(version), uniqExact(version, checksum) FROM schema_migrations");
    assert_eq!(recorded, format!("{0}\t{0}\n", newest()));
}

#[tokio::test]
async fn programs_that_migrate_at_once_agree_on_one_seed_and_later_ones_keep_it() {
    let database = TestDatabase::absent();
    let others = [(); 3].map(|()| Store::connect(&database.config()).unwrap());
    for result in futures_util::future::join_all(others.iter().map(Store::migrate)).await {
        result.unwrap();
    }
    let seed = database.store().user_key_seed().await.unwrap();
    assert_ne!(seed.k0, seed.k1);
    for store in &others {
        assert_eq!(store.user_key_seed().await.unwrap(), seed);
    }
    // One that stopped before it added the row, and one that comes later.
    database.execute("TRUNCATE TABLE deployment");
    database.store().migrate().await.unwrap();
    assert_eq!(database.store().user_key_seed().await.unwrap(), seed);
    database.store().migrate().await.unwrap();
    assert_eq!(database.text("SELECT count() FROM deployment"), "1\n");
    let another = TestDatabase::migrated().await;
    assert_ne!(another.store().user_key_seed().await.unwrap(), seed);
}

#[tokio::test]
async fn a_database_without_a_seed_or_with_two_is_refused() {
    let database = TestDatabase::migrated().await;
    database.execute("TRUNCATE TABLE deployment");
    let error = database.store().user_key_seed().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "database '{}' has no seed for the keys of users: run `seatmeter migrate`",
            database.name()
        )
    );
    database.execute("INSERT INTO deployment (user_key_seed) VALUES ((1, 2)), ((3, 4))");
    let error = database.store().user_key_seed().await.unwrap_err();
    assert!(matches!(error, MigrateError::ManySeeds { found: 2, .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .contains("leave in its table deployment the row with the earliest made_at"),
        "{error}"
    );
    database.store().migrate_to(&migrations(), &[]).await.unwrap();
    assert_eq!(
        database.text("SELECT count() FROM deployment"),
        "2\n",
        "nothing is made up where there is something"
    );
}

#[tokio::test]
async fn a_gap_is_refused() {
    let database = TestDatabase::absent();
    let known = migrations();
    database.store().migrate_to(&known[..2], &[]).await.unwrap();
    record(&database, &known[3]);
    for result in
        [database.store().migrate().await.map(drop), database.store().check_schema().await]
    {
        let error = result.unwrap_err();
        assert!(matches!(error, MigrateError::Gap { missing: 3, found: 4, .. }), "{error:?}");
        assert_eq!(
            error.to_string(),
            format!(
                "database '{}' has schema version 4, but migration 3 was never applied to it: its \
                schema_migrations \
                 table is damaged; restore it, or point clickhouse.database elsewhere",
                database.config().internal_database()
            )
        );
    }
    assert_eq!(
        database.text("EXISTS TABLE active_users_state"),
        "0\n",
        "nothing is applied over a gap"
    );
}

#[tokio::test]
async fn a_schema_newer_than_the_program_is_refused() {
    let database = TestDatabase::migrated().await;
    let future = Migration { version: 9_999, name: "tomorrow".into(), sql: "SELECT 1".into() };
    record(&database, &future);
    for result in
        [database.store().migrate().await.map(drop), database.store().check_schema().await]
    {
        let error = result.unwrap_err();
        assert!(matches!(error, MigrateError::Newer { found: 9_999, .. }), "{error:?}");
        assert!(error.to_string().contains("run a newer seatmeter"), "{error}");
    }
}

#[tokio::test]
async fn a_changed_migration_is_refused() {
    let database = TestDatabase::absent();
    let mut known = migrations();
    database.store().migrate_to(&known, &[]).await.unwrap();
    known[1].sql.push_str("-- edited\n");
    let error = database.store().migrate_to(&known, &[]).await.unwrap_err();
    assert!(matches!(error, MigrateError::Changed { version: 2, .. }), "{error:?}");
    assert!(error.to_string().contains("was applied from another file"), "{error}");
}

#[tokio::test]
async fn a_view_is_made_anew_when_its_text_changes() {
    let database = TestDatabase::migrated().await;
    let (tables, mut known) = (migrations(), views());
    let plans = known.iter_mut().find(|view| view.name == "plans").unwrap();
    plans.sql = "CREATE OR REPLACE VIEW plans \nAS SELECT 'another' AS text".to_owned();
    let report = database.store().migrate_to(&tables, &known).await.unwrap();
    assert_eq!(report.views, ["plans"]);
    assert_eq!(database.text("SELECT text FROM plans"), "another\n");
    assert_eq!(database.analyst_text("SELECT text FROM plans"), "another\n");
    let error = database.store().check_schema().await.unwrap_err();
    assert!(
        matches!(&error, MigrateError::OutdatedView { view, .. } if view == "plans"),
        "{error:?}"
    );
    assert_eq!(database.store().migrate().await.unwrap().views, ["plans"]);
    database.store().check_schema().await.unwrap();
}

#[tokio::test]
async fn a_view_that_cannot_be_made_is_named() {
    let database = TestDatabase::absent();
    let broken = View {
        name: "broken".to_owned(),
        sql: "CREATE OR REPLACE VIEW broken AS SELECT nonsense(1)".to_owned(),
        is_documented: false,
    };
    let error = database.store().migrate_to(&migrations(), &[broken]).await.unwrap_err();
    assert!(
        error.to_string().starts_with("view 'broken' cannot be made: ClickHouse at "),
        "{error}"
    );
    assert_eq!(database.text("SELECT count() FROM schema_views"), "0\n");
}

#[tokio::test]
async fn a_database_of_the_old_layout_is_refused() {
    let database = TestDatabase::absent();
    let name = database.name();
    database.engine_text(&format!("CREATE DATABASE {name}"));
    database.analyst_text(&migrations()[0].statements(&Placement::Server)[0].sql);
    for result in
        [database.store().migrate().await.map(drop), database.store().check_schema().await]
    {
        let error = result.unwrap_err();
        assert!(matches!(error, MigrateError::OldLayout { .. }), "{error:?}");
        assert!(error.to_string().contains("the layout of an older seatmeter"), "{error}");
    }
    let internal = database.config().internal_database();
    assert_eq!(
        database.engine_text(&format!("EXISTS DATABASE {internal}")),
        "0\n",
        "nothing is applied beside it"
    );
}

#[tokio::test]
async fn an_older_schema_is_told_apart_from_a_current_one() {
    let database = TestDatabase::absent();
    let known = migrations();
    for applied in [0, 5] {
        let error = match applied {
            0 => database.store().check_schema().await.unwrap_err(),
            _ => {
                database.store().migrate_to(&known[..applied], &[]).await.unwrap();
                database.store().check_schema().await.unwrap_err()
            }
        };
        let MigrateError::Outdated { found, needed, .. } = error else { panic!("{error:?}") };
        assert_eq!((usize::try_from(found).unwrap(), needed), (applied, newest()));
    }
    let rest = database.store().migrate().await.unwrap();
    assert_eq!(rest.applied, (6..=newest()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_failing_statement_is_named_and_not_recorded() {
    let database = TestDatabase::absent();
    let mut known = migrations();
    known.truncate(2);
    known.push(Migration {
        version: 3,
        name: "broken".into(),
        sql: "CREATE TABLE IF NOT EXISTS t (a Nonsense)".into(),
    });
    let error = database.store().migrate_to(&known, &[]).await.unwrap_err();
    assert!(
        error.to_string().starts_with("migration 3 (broken) failed: ClickHouse at "),
        "{error}"
    );
    assert_eq!(database.text("SELECT max(version) FROM schema_migrations"), "2\n");
}

#[tokio::test]
async fn resetting_leaves_an_empty_database() {
    let database = TestDatabase::migrated().await;
    database.store().reset_database().await.unwrap();
    assert_eq!(database.text("SHOW TABLES") + &database.analyst_text("SHOW TABLES"), "");
    database.store().reset_database().await.unwrap();
    database.store().migrate().await.unwrap();
}

#[tokio::test]
async fn an_analyst_who_lists_tables_sees_the_documented_views_and_nothing_else() {
    let database = TestDatabase::migrated().await;
    let listed = database.analyst_text("SHOW TABLES");
    assert_eq!(listed.lines().collect::<Vec<_>>(), DOCUMENTED_VIEWS);
    let tables = "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine != \
        'View'";
    assert_eq!(database.analyst_text(tables), "");
    let described = section("schemas/clickhouse/README.md", "Views");
    let described: BTreeSet<&str> = first_cells(&described)
        .flat_map(quoted)
        .map(|name| name.split('(').next().unwrap())
        .collect();
    assert_eq!(described.into_iter().collect::<Vec<_>>(), DOCUMENTED_VIEWS);
}

#[tokio::test]
async fn documented_views_are_those_of_the_internal_database() {
    let database = TestDatabase::migrated().await;
    let [mine, internal] = [database.name().to_owned(), database.config().internal_database()];
    for view in DOCUMENTED_VIEWS {
        let columns = |database_name: &str| {
            database.engine_text(&format!("DESCRIBE TABLE {database_name}.{view} FORMAT TSVRaw"))
        };
        assert_eq!(columns(&mine), columns(&internal), "{view}");
        let text = |database_name: &str| {
            database.engine_text(&format!(
                "SELECT as_select, comment FROM system.tables WHERE database = '{database_name}' \
                AND name = '{view}' FORMAT TSVRaw"
            ))
        };
        assert_eq!(text(&mine), text(&internal), "{view}");
        assert!(!text(&mine).contains(&format!("{mine}.")), "{view} reads the internal database");
    }
}

#[tokio::test]
async fn every_table_view_and_column_is_described() {
    let database = TestDatabase::migrated().await;
    let silent = "SELECT name FROM system.tables WHERE database = currentDatabase() AND comment = \
        '' ORDER BY name";
    assert_eq!(database.text(silent), "");
    // The columns of a parameterized view, and of a materialized one, are described by its own
    // comment.
    let silent = "SELECT table, name FROM system.columns AS c WHERE database = currentDatabase() \
        AND comment = '' \
                  AND table NOT IN (SELECT name FROM system.tables WHERE database = \
                  currentDatabase() \
                      AND (engine = 'MaterializedView' OR comment LIKE '%for parameter%')) ORDER \
                      BY ALL";
    assert_eq!(database.text(silent), "");
}

#[tokio::test]
async fn tables_merge_by_value_and_have_neither_partitions_nor_ttl() {
    let database = TestDatabase::migrated().await;
    let tables = "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine \
        LIKE '%MergeTree' \
                  AND name NOT LIKE 'schema_%' AND name != 'deployment' ORDER BY name";
    assert_eq!(database.text(tables), TABLES.map(|table| format!("{table}\n")).concat());
    let odd = "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE \
        '%MergeTree' \
               AND (partition_key != '' OR create_table_query LIKE '%TTL%' \
                   OR engine NOT IN ('AggregatingMergeTree', 'ReplacingMergeTree'))";
    assert_eq!(database.text(odd), "");
}

#[tokio::test]
async fn the_statements_for_a_cluster_are_sound() {
    let database = TestDatabase::migrated().await;
    let cluster = "main".to_owned();
    let shards = Shards { cluster: cluster.clone(), count: 2, database: "usage_shard".to_owned() };
    for placement in [Placement::Replicas { cluster }, Placement::Shards(shards)] {
        let tables =
            migrations().into_iter().flat_map(|migration| migration.statements(&placement));
        let views = views().into_iter().flat_map(|view| {
            let for_analysts = view.statement_for_analysts("usage", &placement);
            [view.statement(&placement)].into_iter().chain(for_analysts)
        });
        for statement in tables.map(|statement| statement.sql).chain(views) {
            let formatted =
                database.text_of("SELECT formatQuery({sql:String})", &[("sql", &statement)]);
            assert!(formatted.contains("ON CLUSTER main"), "{formatted}");
            if statement.contains("ENGINE") {
                let engines = ["ENGINE = Replicated", "ENGINE = Distributed("];
                assert!(engines.iter().any(|engine| formatted.contains(engine)), "{formatted}");
            }
        }
    }
}

fn record(database: &TestDatabase, migration: &Migration) {
    let Migration { version, name, .. } = migration;
    let checksum = migration.checksum();
    database.execute(&format!(
        "INSERT INTO schema_migrations (version, name, checksum) VALUES ({version}, '{name}', \
        '{checksum}')"
    ));
}
