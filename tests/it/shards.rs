//! Accounts on several shards: `Distributed` tables over a cluster of two, as far as one embedded
//! engine goes.
//!
//! Both shards are the engine itself, so each stores all rows, and a filter on what a query reads
//! leaves each shard the accounts that a server of its own would have. What the engine has no
//! Keeper for (`ON CLUSTER`, replicated engines) is taken out of the statements on their way.

use std::collections::BTreeSet;
use std::fs;

use seatmeter::config::ClickHouse;
use seatmeter::embedded::clickhouse::EngineProcess;
use seatmeter::store::{DOCUMENTED_VIEWS, Placement, Shards, Statement, Store, migrations};
use tempfile::TempDir;

use crate::api::support::{Api, RUNTIME};
use crate::counting::{STOP_TIMEOUT, Setup, Writer};
use crate::scenarios::{compare, count, own_files};
use crate::support::engine::{execute, start};
use crate::support::http_proxy::HttpProxy;
use crate::support::{Database, Kafka};

/// A cluster of two shards, both at the engine's own address: it goes there without a connection.
const CLUSTER: &str = "<clickhouse>
<tcp_port>9000</tcp_port>
<macros><everything>two</everything></macros>
<remote_servers><two>
<shard><replica><host>127.0.0.1</host><port>9000</port></replica></shard>
<shard><replica><host>127.0.0.1</host><port>9000</port></replica></shard>
</two></remote_servers>
</clickhouse>
";

/// Views that large scopes are read by, which name others with parameters.
const OF_INTERNAL_VIEWS: [&str; 5] = [
    "SELECT first_day, active_users FROM license_usage(account = 'acme', organization = '42', \
     first_days = ['2020-01-01'], last_day = '2030-01-01') ORDER BY ALL",
    "SELECT organization_id, active_users FROM license_usage_by_organization(account = 'acme', \
     organization = '', first_days = ['2020-01-01'], last_day = '2030-01-01') ORDER BY ALL",
    "SELECT organization_id, active_users FROM license_usage_by_organization(account = 'acme', \
     organization = 'hq', first_days = ['2020-01-01'], last_day = '2030-01-01') ORDER BY ALL",
    "SELECT child_id, organization_id FROM organization_children(account = 'acme', \
     organization = '') ORDER BY ALL",
    "SELECT * FROM license_changes(account = 'acme') ORDER BY ALL",
];

/// Columns that differ from one database to another: partition, keys of users, and when it was.
const OF_ONE_DATABASE: &str = "source|partition|users|user_key|_at$|end_known_until|_through$";

/// An engine with the cluster, and a way to it that hides what it lacks.
struct TwoShards {
    proxy: HttpProxy,
    engine: EngineProcess,
    _folder: TempDir,
}

impl TwoShards {
    fn start(databases: &[&str]) -> TwoShards {
        let folder = tempfile::tempdir().unwrap();
        let settings = folder.path().join("conf.d");
        fs::create_dir(&settings).unwrap();
        fs::write(settings.join("cluster.xml"), CLUSTER).unwrap();
        let engine = start(folder.path(), true);
        let own_rows = format!(
            "additional_table_filters={}",
            url::form_urlencoded::byte_serialize(filters(databases).as_bytes()).collect::<String>()
        );
        let proxy = HttpProxy::with_edits(&engine.url(), &own_rows, edits());
        TwoShards { proxy, engine, _folder: folder }
    }
}

/// Tables whose rows are spread.
fn tables_of_accounts() -> Vec<String> {
    let shards = Shards { cluster: "two".to_owned(), count: 2, database: String::new() };
    let placement = Placement::Shards(shards);
    let is_spread = |statements: &[Statement]| statements.len() == 2;
    let tables = migrations().into_iter().filter(|of| is_spread(&of.statements(&placement)));
    tables.map(|table| table.name).collect()
}

/// What a shard sees of the tables that both store in. Outside of shards, `shardNum()` is 0.
fn filters(databases: &[&str]) -> String {
    let tables = tables_of_accounts();
    let filters: Vec<String> = databases
        .iter()
        .flat_map(|database| tables.iter().map(move |table| format!("{database}_shard.{table}")))
        .map(|table| format!("'{table}': 'shardNum() IN (0, cityHash64(account_id) % 2 + 1)'"))
        .collect();
    format!("{{{}}}", filters.join(", "))
}

fn edits() -> Vec<(String, String)> {
    let mut edits = vec![
        (" ON CLUSTER `two`".to_owned(), String::new()),
        (" ON CLUSTER `{everything}`".to_owned(), String::new()),
        ("ENGINE = Replicated".to_owned(), "ENGINE = ".to_owned()),
    ];
    for (place, name) in [("all", "{shard}-{replica}"), ("{shard}", "{replica}")] {
        let path = format!("'/clickhouse/tables/{{database}}/{{table}}/{place}', '{name}'");
        edits.push((format!("({path})"), String::new()));
        edits.push((format!("({path}, "), "(".to_owned()));
    }
    for name in migrations().into_iter().map(|of| of.name) {
        let sync = format!("SYSTEM SYNC REPLICA {name} LIGHTWEIGHT");
        edits.push((sync, format!("EXISTS TABLE {name}")));
    }
    edits
}

fn over_two_shards(config: &mut ClickHouse, proxy: &HttpProxy) {
    config.url.clone_from(&proxy.url);
    config.cluster = Some("two".to_owned());
    config.shards = 2;
}

/// All answers of whole logs, counted and read over two shards.
#[test]
fn reports_over_two_shards_are_those_of_one_server() {
    const LOGS: [(&str, &str); 3] =
        [("own", "own"), ("ids", "ids-and-names"), ("tree", "deep-tree")];
    let shards = TwoShards::start(&LOGS.map(|(database, _)| database));
    let url = format!("{}/?", shards.proxy.url);
    let ask = |sql: &str| execute(&url, sql);
    let mut shards_with_accounts = BTreeSet::new();
    let mut empty = [&DOCUMENTED_VIEWS[..], &OF_INTERNAL_VIEWS].concat();
    for (name, log) in LOGS {
        let (events, expected) = own_files(log);
        let database = |name: &str| Database::new(shards.engine.url(), name.to_owned());
        let api = Api::on(database(name), |config| {
            over_two_shards(&mut config.clickhouse, &shards.proxy)
        });
        count(&api, &events);
        compare(&api, &expected);

        // An account is on one shard, once.
        let told = ask(&format!(
            "SELECT DISTINCT account_id, shardNum() FROM {name}_internal.account_progress"
        ));
        let mut accounts = BTreeSet::new();
        for (account, shard) in told.lines().filter_map(|line| line.split_once('\t')) {
            assert!(accounts.insert(account), "{account} is on several shards");
            shards_with_accounts.insert(shard.to_owned());
        }
        for table in tables_of_accounts() {
            let rows = |database: &str| ask(&format!("SELECT count() FROM {database}.{table}"));
            let (all, stored) = (rows(&format!("{name}_internal")), rows(&format!("{name}_shard")));
            assert_eq!(all, stored, "{table}");
        }

        // Analysts' own profile has no setting for shards.
        let plain = format!("{name}_plain");
        let on_one_server = Api::on(database(&plain), |_| {});
        count(&on_one_server, &events);
        for view in DOCUMENTED_VIEWS {
            let parameters = match view {
                "organization_subtree" => "(account = 'acme', organization = '42')",
                "organization_tree" => "(account = 'acme')",
                "user_keys" => "(users = ['ann', '42'])",
                _ => "",
            };
            let rows = |database: &str| {
                ask(&format!(
                    "SELECT * EXCEPT('{OF_ONE_DATABASE}') FROM {database}.{view}{parameters} \
                     ORDER BY ALL"
                ))
            };
            let found = rows(name);
            assert_eq!(found, rows(&plain), "{view}");
            empty.retain(|empty| *empty != view || found.is_empty());
        }
        for question in OF_INTERNAL_VIEWS {
            let rows = |name: &str| execute(&format!("{url}database={name}_internal&"), question);
            let found = rows(name);
            assert_eq!(found, rows(&plain), "{question}");
            empty.retain(|empty| *empty != question || found.is_empty());
        }
        RUNTIME.block_on(api.store.check_server()).unwrap();
        let again = RUNTIME.block_on(api.store.migrate()).unwrap();
        assert_eq!((again.applied, again.views), (vec![], vec![]));
    }
    assert_eq!(shards_with_accounts.len(), 2, "both shards have accounts");
    // Nobody is told of anything, and no account is in two partitions.
    assert_eq!(empty, ["alerts", "split_accounts"], "no log has rows of these");
}

/// Workers load what they need from the shards, and `verify` finds there what the topic says.
#[test]
fn workers_that_die_count_over_two_shards_exactly() {
    let shards = TwoShards::start(&["counted"]);
    let database = Database::new(shards.proxy.url.clone(), "counted".to_owned());
    let options = [("CLICKHOUSE__CLUSTER", "two"), ("CLICKHOUSE__SHARDS", "2")];
    let setup = Setup::between_with(Kafka::shared(), database, 2, &options);
    let mut writer = Writer::new(61);
    setup.produce(&writer.write(6_000));
    let mut first = setup.worker();
    setup.wait_until_passed(1_500);
    first.kill();
    let mut workers = [setup.worker(), setup.worker()];
    setup.produce(&writer.write(2_000));
    setup.check(&writer);
    let verified = setup.command(&["verify"]).output().unwrap();
    assert!(verified.status.success(), "{verified:?}");
    for worker in &mut workers {
        assert!(worker.terminate(STOP_TIMEOUT).success());
    }
}

/// An account that is on two shards would be counted wrongly, so nothing runs that may bring that
/// about.
#[test]
fn another_number_of_shards_than_the_schema_was_made_for_is_refused() {
    let two = TwoShards::start(&["made"]);
    let database = Database::new(two.engine.url(), "made".to_owned());
    let config = |shards, proxy: &HttpProxy| {
        let mut config = database.config();
        over_two_shards(&mut config, proxy);
        config.shards = shards;
        config
    };
    let store = |config: &ClickHouse| Store::connect(config).unwrap();
    let made = config(2, &two.proxy);
    RUNTIME.block_on(store(&made).migrate()).unwrap();
    for (other, wanted) in [(1, "made for 2 shards, and clickhouse.shards is 1"), (3, "is 3")] {
        let config = config(other, &two.proxy);
        let error = RUNTIME.block_on(store(&config).check_schema()).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
        let error = RUNTIME.block_on(store(&config).migrate()).unwrap_err().to_string();
        assert!(error.contains("set clickhouse.shards = 2"), "{error}");
        let error = RUNTIME.block_on(store(&config).check_server()).unwrap_err().to_string();
        assert!(error.contains(&format!("2 shards, and clickhouse.shards is {other}")), "{error}");
    }
    // One server is no cluster, whatever tables it has.
    let plain = database.config();
    let error = RUNTIME.block_on(store(&plain).check_schema()).unwrap_err().to_string();
    assert!(error.contains("made for 2 shards"), "{error}");

    let mut by_macro = made.clone();
    by_macro.cluster = Some("{everything}".to_owned());
    RUNTIME.block_on(store(&by_macro).check_server()).unwrap();
    let mut unknown = made;
    unknown.cluster = Some("{nothing}".to_owned());
    let error = RUNTIME.block_on(store(&unknown).check_server()).unwrap_err().to_string();
    assert!(error.contains("knows no such cluster"), "{error}");
}
