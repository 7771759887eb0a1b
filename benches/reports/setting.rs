//! The engine with the data, and the API over it, each a process of its own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chrono::{Days, NaiveDate, Utc};
use seatmeter::config;
use seatmeter::embedded::clickhouse::EngineProcess;
use seatmeter::store::Store;
use secrecy::ExposeSecret as _;

use super::process::{cpu_s, memory_mb};

const API_CORE: &str = "0";
const OTHER_CORE: &str = "1";

/// What the API reports on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Data {
    database: &'static str,
    /// What fills the database; `{first_day:Date}` and `{last_day:Date}` stand for its days.
    statements: &'static str,
    /// From the first day to today.
    days: u64,
}

/// Three years of one account with 100,000 seats.
pub(crate) const LARGE: Data =
    Data { database: "bench", statements: include_str!("load.sql"), days: 1095 };
/// Four weeks of 20,000 accounts with 12 users each.
pub(crate) const SMALL: Data =
    Data { database: "small", statements: include_str!("small.sql"), days: 28 };
/// Four weeks of 100,000 organizations with a plan in 20,000 accounts.
pub(crate) const STANDINGS: Data =
    Data { database: "standings", statements: include_str!("standings.sql"), days: 28 };
/// Nothing yet: events come in over the run.
pub(crate) const EMPTY: Data = Data { database: "many", statements: "", days: 0 };

/// The running processes; they end when this is dropped.
pub(crate) struct Setting {
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) store: Store,
    engine: EngineProcess,
    database: &'static str,
    exe: PathBuf,
    /// `host:port` of the API.
    address: String,
    api: Child,
}

impl Setting {
    /// Starts the engine, loads the data unless today's is present, and starts the API.
    pub(crate) fn prepare(data: Data) -> Self {
        let exe = Path::new(env!("CARGO_BIN_EXE_seatmeter"));
        let today = Utc::now().date_naive();
        let folder = kept_folder(exe, today);
        let loaded = folder.join(format!("{}.loaded", data.database));
        let engine = EngineProcess::spawn(exe, &folder.join("data")).expect("the engine starts");
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime starts");
        let mut config =
            config::load(None, std::iter::empty()).expect("the defaults are valid").clickhouse;
        config.url = engine.url();
        config.password = engine.password().clone();
        config.database = data.database.to_owned();
        let store = Store::connect(&config).expect("the URL is one");
        if !loaded.exists() || data.statements.is_empty() {
            eprintln!("loading {}, kept in {}", data.database, folder.display());
            let started = Instant::now();
            runtime.block_on(async {
                store.reset_database().await.expect("the database can be made anew");
                store.migrate().await.expect("the schema applies");
            });
            load(&engine, data, today);
            std::fs::write(&loaded, "").expect("the folder can be written to");
            eprintln!("loaded in {:.0} s", started.elapsed().as_secs_f64());
        } else {
            runtime.block_on(store.migrate()).expect("the schema applies");
        }
        let (api, address) = start_api(exe, &engine, data.database, &[]);
        let (database, exe) = (data.database, exe.to_owned());
        Self { runtime, store, engine, database, exe, address, api }
    }

    /// URL of a report of an account.
    pub(crate) fn url(&self, account: &str, path: &str) -> String {
        format!("http://{}/v1/accounts/{account}/{path}", self.address)
    }

    /// Starts the API anew, which has kept nothing then.
    pub(crate) fn restart_api(&mut self) {
        self.restart_api_with(&[]);
    }

    /// The same; it runs on the first core, and all else on another one, if there are two and
    /// `taskset` is installed.
    pub(crate) fn restart_api_on_one_core(&mut self) {
        self.restart_api_with(&[("TOKIO_WORKER_THREADS", "1")]);
        let engine = self.engine.pid().expect("the engine runs");
        pin("-acp", API_CORE, self.api.id());
        pin("-acp", OTHER_CORE, engine);
        pin("-acp", OTHER_CORE, std::process::id());
    }

    fn restart_api_with(&mut self, variables: &[(&str, &str)]) {
        self.stop_api();
        (self.api, self.address) = start_api(&self.exe, &self.engine, self.database, variables);
    }

    fn stop_api(&mut self) {
        drop(self.api.kill());
        drop(self.api.wait());
    }

    /// `host:port` of the API.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// CPU seconds of the API so far.
    pub(crate) fn api_cpu_s(&self) -> f64 {
        cpu_s(self.api.id())
    }

    /// CPU seconds of the engine so far.
    pub(crate) fn engine_cpu_s(&self) -> f64 {
        cpu_s(self.engine.pid().expect("the engine runs"))
    }

    /// CPU seconds of engine and API so far.
    pub(crate) fn cpu_s(&self) -> f64 {
        self.engine_cpu_s() + self.api_cpu_s()
    }

    pub(crate) fn api_memory_mb(&self) -> u64 {
        memory_mb(self.api.id(), "VmRSS")
    }

    pub(crate) fn api_memory_peak_mb(&self) -> u64 {
        memory_mb(self.api.id(), "VmHWM")
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        self.stop_api();
    }
}

/// Moves this thread, a client, to the core of the API. On the engine's core it would wait for what
/// the engine does in the kernel, tens of milliseconds of a flush, and take that for a late answer.
pub(crate) fn join_api_core() {
    // Linux: `<process>/task/<thread>`.
    let thread = std::fs::read_link("/proc/thread-self").expect("Linux tells it");
    let thread = thread.file_name().and_then(|id| id.to_str()?.parse().ok()).expect("a number");
    pin("-cp", API_CORE, thread);
}

fn pin(options: &str, core: &str, id: u32) {
    let mut pin = Command::new("taskset");
    pin.args([options, core, &id.to_string()]).stdout(Stdio::null());
    if !pin.status().is_ok_and(|status| status.success()) {
        eprintln!("process or thread {id} runs on any core");
    }
}

/// Today's folder below the target folder; those of other days are removed, because ranges end
/// today.
fn kept_folder(exe: &Path, today: NaiveDate) -> PathBuf {
    let target = exe
        .parent()
        .and_then(Path::parent)
        .expect("the program lies in a profile's folder of the target folder");
    let all = target.join("bench-reports");
    let folder = all.join(today.to_string());
    for entry in std::fs::read_dir(&all).into_iter().flatten().flatten() {
        if entry.path() != folder {
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
    std::fs::create_dir_all(&folder).expect("the target folder can be written to");
    folder
}

fn load(engine: &EngineProcess, data: Data, today: NaiveDate) {
    let Data { database, statements, days } = data;
    let first_day = today - Days::new(days);
    let statements =
        statements.split(";\n").map(str::trim).filter(|statement| !statement.is_empty());
    for statement in statements {
        let url = format!(
            "{}/?database={database}_internal&param_first_day={first_day}&param_last_day={today}",
            engine.url()
        );
        let request =
            ureq::post(&url).header("X-ClickHouse-Key", engine.password().expose_secret());
        request.send(statement).unwrap_or_else(|error| panic!("{error}: {statement}"));
    }
}

fn start_api(
    exe: &Path,
    engine: &EngineProcess,
    database: &str,
    variables: &[(&str, &str)],
) -> (Child, String) {
    let free = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port is free");
    let address = free.to_string();
    let api = Command::new(exe)
        .arg("api")
        .env("SEATMETER__CLICKHOUSE__URL", engine.url())
        .env("SEATMETER__CLICKHOUSE__PASSWORD", engine.password().expose_secret())
        .env("SEATMETER__CLICKHOUSE__DATABASE", database)
        .env("SEATMETER__HTTP__LISTEN", &address)
        // The made-up rows are of no log, so that figures counted twice differ.
        .env("SEATMETER__AUDIT__INTERVAL_MS", "0")
        .env("SEATMETER__LOG__FILTER", "error")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .spawn()
        .expect("the API starts");
    let deadline = Instant::now() + Duration::from_secs(30);
    while ureq::get(format!("http://{address}/readyz")).call().is_err() {
        assert!(Instant::now() < deadline, "the API gets ready");
        std::thread::sleep(Duration::from_millis(50));
    }
    (api, address)
}
