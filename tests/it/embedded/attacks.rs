//! Statements that try to escape the engine, by a client with the password: to files, programs and
//! other hosts.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use crate::support::engine::{execute, get, post, start};
use crate::support::{Database, engine, unique};

/// The content of a file that must not leak.
const SECRET: &str = "what nobody may read";

/// A file to read, a folder to write to, and a port to connect to.
struct Outside {
    folder: tempfile::TempDir,
    listener: TcpListener,
}

impl Outside {
    fn new() -> Outside {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        std::fs::write(folder.path().join("secret.csv"), format!("{SECRET}\n")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Outside { folder, listener }
    }

    /// A statement with `SECRET`, `TARGET` and `HOST` in it filled in.
    fn fill(&self, sql: &str) -> String {
        let folder = self.folder.path().display();
        let host = self.listener.local_addr().unwrap();
        sql.replace("SECRET", &format!("{folder}/secret.csv"))
            .replace("TARGET", &format!("{folder}/out"))
            .replace("HOST", &host.to_string())
    }

    /// Checks that nothing was touched.
    #[track_caller]
    fn check_untouched(&self, sql: &str) {
        let files: Vec<_> = std::fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(files, ["secret.csv"], "{sql}");
        assert_eq!(
            std::fs::read_to_string(self.folder.path().join("secret.csv")).unwrap(),
            format!("{SECRET}\n"),
            "{sql}"
        );
        let visitor = self.listener.accept().map(drop).map_err(|error| error.kind());
        assert_eq!(visitor, Err(ErrorKind::WouldBlock), "{sql} has connected");
    }
}

/// Runs a statement that must be refused with the way out, and must not touch anything.
#[track_caller]
fn check_refused(database: &Database, outside: &Outside, sql: &str) {
    let filled = outside.fill(sql);
    let (status, text) = post(&format!("{}/?database={}", database.url, database.name), &filled);
    assert!(matches!(status, 400 | 403 | 500), "{status} {filled}: {text}");
    let is_refusal = text.starts_with("Code: 497.") || text.starts_with("Code: 452.");
    assert!(is_refusal && text.contains("--allow-external"), "{filled}: {text}");
    assert!(!text.contains(SECRET), "{filled}: {text}");
    outside.check_untouched(&filled);
}

#[test]
fn table_functions_that_reach_outside_are_refused() {
    let (database, outside) = (engine().create(), Outside::new());
    for sql in [
        "SELECT * FROM file('SECRET')",
        "SELECT * FROM `file`('SECRET', 'LineAsString')",
        "SELECT * FROM /* x */ FILE /**/ ('SECRET')",
        "DESCRIBE TABLE file('SECRET')",
        "EXPLAIN SELECT * FROM file('SECRET', 'LineAsString')",
        "SELECT (SELECT count() FROM file('SECRET', 'LineAsString'))",
        "SELECT * FROM view(SELECT * FROM file('SECRET', 'LineAsString'))",
        "SELECT * FROM loop(file('SECRET', 'LineAsString'))",
        "INSERT INTO FUNCTION file('TARGET.csv') SELECT 1",
        "INSERT INTO TABLE FUNCTION url('http://HOST/') SELECT 1",
        "CREATE TABLE t AS file('SECRET')",
        "CREATE VIEW v AS SELECT * FROM file('SECRET', 'LineAsString')",
        "CREATE TABLE t ENGINE = Memory AS SELECT * FROM url('http://HOST/', 'LineAsString')",
        "SELECT * FROM url('http://HOST/', 'LineAsString', 'a String')",
        "SELECT * FROM s3('http://HOST/b/x.csv', 'CSV', 'a String')",
        "SELECT * FROM gcs('http://HOST/b/x.csv', 'CSV', 'a String')",
        "SELECT * FROM remote('HOST', system.one)",
        "SELECT * FROM remoteSecure('HOST', system.one)",
        "SELECT * FROM cluster('default', system.one)",
        "SELECT * FROM mysql('HOST', 'd', 't', 'u', 'p')",
        "SELECT * FROM postgresql('HOST', 'd', 't', 'u', 'p')",
        "SELECT * FROM mongodb('HOST', 'd', 't', 'u', 'p', 'a String')",
        "SELECT * FROM redis('HOST', 'k', 'k String')",
        "SELECT * FROM sqlite('TARGET.db', 't')",
        "SELECT * FROM executable('x.sh', 'CSV', 'a String')",
        "SELECT * FROM filesystem('/etc')",
        "SELECT * FROM icebergLocal('TARGET')",
        "SELECT * FROM deltaLakeLocal('TARGET')",
        "SELECT * FROM eval('SELECT 1') SETTINGS allow_experimental_eval_table_function = 1",
    ] {
        check_refused(&database, &outside, sql);
    }
}

#[test]
fn functions_clauses_and_settings_that_reach_outside_are_refused() {
    let (database, outside) = (engine().create(), Outside::new());
    database.query("CREATE TABLE t (a String) ENGINE = MergeTree ORDER BY a");
    for sql in [
        "SELECT file('SECRET')",
        "SELECT \"f\\x69le\"('SECRET')",
        "SELECT arrayMap(file, ['SECRET'])",
        "SELECT * APPLY file FROM (SELECT 'SECRET')",
        "CREATE FUNCTION f AS x -> file(x)",
        "CREATE TABLE u (a String DEFAULT file('SECRET')) ENGINE = MergeTree ORDER BY a",
        "INSERT INTO t VALUES (file('SECRET'))",
        "INSERT INTO t FORMAT values (upper(`file`('SECRET')))",
        "SELECT * FROM format('Values', 'a String', '(file(''SECRET''))')",
        "SELECT * FROM format(Values, 'a String', '(file(''SECRET''))')",
        "SELECT * FROM format('(''a''),(file(''SECRET''))') SETTINGS \
        input_format_max_rows_to_read_for_schema_inference = 1",
        "DESCRIBE format('(''a''),(file(''SECRET''))')",
        "SELECT * FROM format('Val' || 'ues', 'a String', '(file(''SECRET''))')",
        "WITH 'Values' AS CSV SELECT * FROM format(CSV, 'a String', '(file(''SECRET''))')",
        "SELECT catboostEvaluate('SECRET', 1.0)",
        "SELECT 1 INTO OUTFILE 'TARGET.csv'",
        "SELECT 1 INTO/**/outfile 'TARGET.csv' FORMAT CSV",
        "INSERT INTO t FROM INFILE 'SECRET' FORMAT CSV",
        "SELECT 1 AS a FORMAT Template SETTINGS format_template_row = 'SECRET'",
        "SELECT 1 AS a FORMAT Protobuf SETTINGS format_schema = 'SECRET:X'",
        "SELECT 1 AS a FORMAT Protobuf SETTINGS output_format_schema = 'TARGET.proto'",
        "SELECT 1 AS a SETTINGS additional_result_filter = 'notEmpty(file(''SECRET''))'",
        "SELECT * FROM t SETTINGS additional_table_filters = {'t': 'notEmpty(file(''SECRET''))'}",
        "SELECT 1 SETTINGS dialect = 'kusto'",
        "SELECT * FROM (SELECT 1 SETTINGS additional_result_filter = 'notEmpty(file(''SECRET''))')",
        "SELECT * FROM (SELECT * FROM format('Template', 'a String', 'x') SETTINGS \
        format_template_row = 'SECRET')",
        "SET format_template_row = 'SECRET'",
        "BACKUP TABLE t TO File('TARGET')",
        "RESTORE TABLE t AS u FROM S3('http://HOST/b/x', 'a', 'b')",
        "ATTACH TABLE u FROM 'TARGET/' (a UInt64) ENGINE = MergeTree ORDER BY a",
        "ALTER TABLE t FREEZE",
        // Defaults and aliases of columns that a string describes are expressions too.
        "SELECT b FROM values('a String, b String ALIAS file(''SECRET'')', 'x')",
        "SELECT b FROM values(('a String, b String ALIAS file(''SECRET'')'), ('x'))",
        "WITH 'a String, b String ALIAS file(''SECRET'')' AS s SELECT b FROM values(s, 'x')",
        "SELECT b FROM generateRandom('a String, b String ALIAS file(''SECRET'')') LIMIT 1",
        "SELECT b FROM generateRandom(concat('a String, b String ALIAS fi', 'le(''SECRET'')')) \
        LIMIT 1",
        "SELECT b FROM format('JSONEachRow', 'a String, b String DEFAULT file(''SECRET'')', '{}')",
        "CREATE TABLE u AS null('a String, b String DEFAULT file(''SECRET'')')",
        "INSERT INTO FUNCTION null('a String, b String DEFAULT file(''SECRET'')') SELECT 'a', 'b'",
        "SELECT * FROM (SELECT 1 SETTINGS allow_experimental_ai_functions)",
        "SELECT 1 SETTINGS ast_fuzzer_runs = 10",
        "CREATE VIEW v AS SELECT arrayMap({f:Identifier}, ['SECRET']) AS a",
        // What stands beside another statement is run past the engine's access control.
        "CREATE TABLE u (a UInt8) ENGINE = Log PARALLEL WITH CREATE TABLE v (a UInt8) ENGINE = Log",
        "CREATE TABLE u (a UInt8) ENGINE = Log PARALLEL WITH CREATE DICTIONARY d (a UInt64, s \
        String) PRIMARY KEY a \
         SOURCE(HTTP(url 'http://HOST/' format 'CSV')) LAYOUT(FLAT()) LIFETIME(0)",
        "CREATE NAMED COLLECTION c AS url = 'http://HOST/'",
        "SYSTEM SHUTDOWN",
    ] {
        check_refused(&database, &outside, sql);
    }
    assert_eq!(database.query("SELECT count() FROM t"), "0\n");
}

#[test]
fn files_are_no_tables_and_parameters_name_no_functions() {
    let (database, outside) = (engine().create(), Outside::new());
    // Neither for reading nor for writing.
    for sql in [
        "SELECT * FROM default.`SECRET`",
        "INSERT INTO default.`SECRET` VALUES ('x')",
        "TRUNCATE TABLE default.`SECRET`",
        "SELECT * FROM loop('default', 'SECRET')",
    ] {
        let (status, text) = post(&database.url, outside.fill(sql));
        assert!(status == 404 && !text.contains(SECRET), "{sql}: {status} {text}");
    }
    assert_eq!(execute(&database.url, &outside.fill("EXISTS TABLE default.`SECRET`")), "0\n");
    outside.check_untouched("a table of the database default");
    // A parameter does not name the function.
    let url = format!("{}/?param_f=file", database.url);
    let (status, text) = post(&url, outside.fill("SELECT arrayMap({f:Identifier}, ['SECRET'])"));
    assert!(status == 403 && !text.contains(SECRET), "{status} {text}");
    let insert = outside.fill(
        "INSERT INTO FUNCTION null('a String') VALUES (arrayMap({f:Identifier}, ['SECRET'])[1])",
    );
    assert_eq!(post(&url, insert).0, 403);
    assert_eq!(execute(&url, "SELECT {f:String}"), "file\n");
    // Neither settings in the URL nor commands of the engine's command line work.
    let url = format!("{}/?database={}&format_template_row=x", database.url, database.name);
    assert!(post(&url, "SELECT 1").1.starts_with("Code: 452."));
    for sql in ["\\i SECRET", "; \\i SECRET", "/* a */ \\i SECRET"] {
        let (status, text) = post(&database.url, outside.fill(sql));
        assert!(
            status == 400 && text.starts_with("Code: 62.") && !text.contains(SECRET),
            "{sql}: {text}"
        );
    }
}

#[test]
fn engines_disks_and_dictionaries_that_reach_outside_are_refused() {
    let (database, outside) = (engine().create(), Outside::new());
    for sql in [
        "CREATE TABLE t (a String) ENGINE = File(CSV, 'SECRET')",
        "CREATE TEMPORARY TABLE t (a String) ENGINE = File(CSV, 'SECRET')",
        "CREATE TABLE t (a String) ENGINE = URL('http://HOST/', CSV)",
        "CREATE TABLE t (a String) ENGINE = S3('http://HOST/b/x.csv', CSV)",
        "CREATE TABLE t (a String) ENGINE = Kafka('HOST', 't', 'g', 'CSV')",
        "CREATE TABLE t (a String) ENGINE = MySQL('HOST', 'd', 't', 'u', 'p')",
        "CREATE TABLE t (a String) ENGINE = Executable('x.sh', CSV)",
        "CREATE TABLE t (a String) ENGINE ExecutablePool('x.sh', CSV)",
        "CREATE TABLE t (a String) ENGINE = `FileLog`('TARGET/', CSV)",
        "CREATE TABLE t (a String) ENGINE = EmbeddedRocksDB(0, 'TARGET') PRIMARY KEY a",
        "CREATE TABLE t (a String) ENGINE = SQLite('TARGET.db', 't')",
        "CREATE TABLE t (query String) ENGINE = QueryRunner",
        "CREATE TABLE t (a String) ENGINE = Distributed('default', 'd', 't')",
        "CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = local, \
        path = 'TARGET/')",
        "CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a SETTINGS disk = `disk`(type = web, \
        endpoint = 'http://HOST/')",
        "CREATE DATABASE d ENGINE = Filesystem('/')",
        "CREATE DATABASE d ENGINE = SQLite('TARGET.db')",
        "CREATE DATABASE d ENGINE = MySQL('HOST', 'd', 'u', 'p')",
        "CREATE DATABASE d ENGINE = S3('http://HOST/b')",
        "CREATE DATABASE d ENGINE = DataLakeCatalog('http://HOST/b')",
        "CREATE DATABASE d ENGINE = Backup('x', File('TARGET'))",
        "CREATE DICTIONARY d (a UInt64, s String) PRIMARY KEY a SOURCE(FILE(path 'SECRET' format \
        'CSV')) LAYOUT(FLAT()) LIFETIME(0)",
        "CREATE DICTIONARY d (a UInt64, s String) PRIMARY KEY a SOURCE(EXECUTABLE(command 'touch \
        TARGET' format 'CSV')) \
         LAYOUT(FLAT()) LIFETIME(0)",
        "CREATE DICTIONARY d (a UInt64, s String) PRIMARY KEY a SOURCE(HTTP(url 'http://HOST/' \
        format 'CSV')) LAYOUT(FLAT()) \
         LIFETIME(0)",
        "CREATE DICTIONARY d (a UInt64, s String) PRIMARY KEY a \
         SOURCE(CLICKHOUSE(QUERY 'SELECT 1 AS a, file(''SECRET'') AS s')) LAYOUT(FLAT()) \
         LIFETIME(0)",
    ] {
        check_refused(&database, &outside, sql);
    }
    assert_eq!(database.query("SHOW TABLES"), "");
}

/// The system keeps the engine from a file that a table's own file is a link to, which no statement
/// names.
#[test]
#[cfg(target_os = "linux")]
fn the_system_confines_the_engine_to_its_data() {
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let outside = Outside::new();
    let mut engine = start(data.path(), false);
    execute(&engine.url(), "CREATE TABLE default.t (a String) ENGINE = TinyLog");
    execute(&engine.url(), "INSERT INTO default.t VALUES ('x')");
    engine.stop().unwrap();
    let file = find(data.path(), "a.bin").expect("the column's file");
    let target = outside.folder.path().join("a.bin");
    std::fs::rename(&file, &target).unwrap();
    std::os::unix::fs::symlink(&target, &file).unwrap();
    for allow_external in [false, true] {
        let engine = start(data.path(), allow_external);
        let (status, text) = post(&engine.url(), "SELECT * FROM default.t");
        if allow_external || !system_confines() {
            assert_eq!((status, text.as_str()), (200, "x\n"));
        } else {
            assert!(status == 503 && text.contains("Permission denied"), "{status} {text}");
        }
    }
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()).find_map(|entry| {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => find(&entry.path(), name),
            _ => (entry.file_name() == name).then(|| entry.path()),
        }
    })
}

/// Whether this kernel has Landlock. Tried on a thread of its own, as nothing takes it back.
#[cfg(target_os = "linux")]
fn system_confines() -> bool {
    use landlock::{AccessFs, Ruleset, RulesetAttr as _, RulesetStatus};
    let tried = std::thread::spawn(|| {
        let rules = Ruleset::default().handle_access(AccessFs::ReadFile).and_then(Ruleset::create);
        rules
            .and_then(|rules| rules.restrict_self())
            .is_ok_and(|status| status.ruleset != RulesetStatus::NotEnforced)
    });
    tried.join().unwrap()
}

/// A release of the engine with a new table function or engine fails here until it is reviewed.
#[test]
fn what_the_engine_offers_is_known() {
    let database = engine().create();
    let names = |sql: &str| database.query(sql).lines().map(str::to_owned).collect::<Vec<_>>();
    let passes = |sql: String| !post(&database.url, sql).1.contains("--allow-external");
    let mut functions = names("SELECT name FROM system.table_functions ORDER BY lower(name)");
    functions.retain(|name| passes(format!("SELECT * FROM `{name}`('no such thing')")));
    // format() is not among them: its first argument is the name of a format.
    assert_eq!(
        functions.join(" "),
        "dictionary fuzzJSON fuzzQuery generate_series generateRandom generateSeries input loop \
        merge mergeTreeAnalyzeIndexes mergeTreeAnalyzeIndexesUUID mergeTreeIndex \
        mergeTreeProjection mergeTreeTextIndex null numbers numbers_mt primes prometheusQuery \
        prometheusQueryRange SQLStandardValues timeSeriesData timeSeriesMetrics timeSeriesSamples \
        timeSeriesSelector timeSeriesTags values view viewExplain viewIfPermitted zeros zeros_mt"
    );
    let mut engines = names(
        "SELECT name FROM system.table_engines WHERE name NOT LIKE '%MergeTree' ORDER BY \
        lower(name)",
    );
    engines.retain(|name| {
        passes(format!(
            "CREATE TABLE {}.t (a UInt8) ENGINE = {name}('no such thing')",
            database.name
        ))
    });
    assert_eq!(
        engines.join(" "),
        "Alias Buffer Dictionary FuzzJSON FuzzQuery GenerateRandom Join Log Loop MaterializedView \
        Memory Merge Null Set StripeLog TimeSeries TinyLog View WindowView"
    );
    let mut engines = names("SELECT name FROM system.database_engines ORDER BY lower(name)");
    engines.retain(|name| {
        passes(format!("CREATE DATABASE {} ENGINE = {name}('no such thing')", unique("never")))
    });
    assert_eq!(engines.join(" "), "Atomic Dictionary Memory Ordinary");
}

#[test]
fn what_analysts_do_goes_on_to_work() {
    let database = engine().create();
    for sql in [
        "CREATE TABLE t (a UInt64, s String, `größe` UInt8) ENGINE = ReplacingMergeTree ORDER BY a",
        "INSERT INTO t VALUES (1, 'it''s, file(1)', 2), (toUInt64(2) + 1, upper('b'), 0)",
        "INSERT INTO t (a, s) SELECT number, format('{}-{}', toString(number), 'x') FROM \
        numbers(10, 2)",
        "ALTER TABLE t ADD COLUMN b UInt8 DEFAULT 7",
        "ALTER TABLE t UPDATE s = 'file' WHERE a = 10 SETTINGS mutations_sync = 1",
        "CREATE MATERIALIZED VIEW m ENGINE = SummingMergeTree ORDER BY a AS SELECT a, count() AS n \
        FROM t GROUP BY a",
        "CREATE TEMPORARY TABLE z ENGINE = Memory AS SELECT 1",
        "CREATE FUNCTION IF NOT EXISTS twice AS x -> x * 2",
        "OPTIMIZE TABLE t FINAL",
        "SYSTEM FLUSH LOGS",
        "SYSTEM STOP MERGES t",
        "SYSTEM START MERGES t",
        "TRUNCATE TABLE m",
        "RENAME TABLE m TO n",
        "DETACH TABLE n",
        "ATTACH TABLE n",
        "EXPLAIN SELECT * FROM t",
        "SELECT * FROM merge(currentDatabase(), '^t$')",
        "SELECT * FROM format('CSV', '1,2')",
        "SELECT * FROM format('JSONEachRow', 'a UInt8, b UInt8 DEFAULT a + 1', '{\"a\":1}')",
        "SELECT * FROM values('a String, b UInt8', ('file', 1), ('y', 2))",
        "SELECT * FROM values((1, 'file'), (2, 'y'))",
        "SELECT * FROM generateRandom('a String', 1, 10) LIMIT 1",
        "SELECT engine, name FROM system.tables WHERE engine = 'File'",
        "KILL QUERY WHERE query_id = 'none'",
    ] {
        database.query(sql);
    }
    assert_eq!(
        database.query("SELECT a, s, b FROM t WHERE a < 11 ORDER BY a"),
        "1\tit\\'s, file(1)\t7\n3\tB\t7\n10\tfile\t7\n"
    );
}

#[test]
fn with_leave_it_reaches_outside() {
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let outside = Outside::new();
    let mut engine = start(data.path(), true);
    let url = engine.url();
    for sql in [
        "SELECT trim(file('SECRET'))",
        "SELECT * FROM file('SECRET', 'LineAsString')",
        "SELECT * FROM format(Values, 'a String', '(trim(file(''SECRET'')))')",
    ] {
        assert!(execute(&url, &outside.fill(sql)).starts_with(SECRET), "{sql}");
    }
    let view = outside.fill("CREATE VIEW v AS SELECT * FROM file('SECRET', 'LineAsString')");
    execute(&format!("{url}/?database=default"), &view);
    // A GET only reads, also here.
    let statement =
        outside.fill("INSERT INTO FUNCTION file('TARGET.csv') SELECT 1").replace(' ', "+");
    assert_eq!(get(&format!("{url}/?query={statement}")).status(), 500);
    outside.check_untouched("a GET");
    execute(&url, &outside.fill("INSERT INTO FUNCTION file('TARGET.csv') SELECT 1"));
    assert!(Path::new(&outside.fill("TARGET.csv")).exists());

    // A view that was created with external access reads nothing without it.
    engine.stop().unwrap();
    drop(engine);
    let engine = start(data.path(), false);
    let (status, text) = post(&engine.url(), "SELECT * FROM default.v");
    assert!(
        status == 403 && text.contains("--allow-external") && !text.contains(SECRET),
        "{status} {text}"
    );
}
