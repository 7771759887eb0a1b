//! `seatmeter worker` as a process, counting a backlog into an engine of its own.

use std::time::{Duration, Instant};

use seatmeter::embedded::clickhouse::EngineProcess;
use tempfile::TempDir;

use crate::backlog::{Backlog, fresh_group, kafka};
use crate::process;
use crate::support::engine::{self, PASSWORD};
use crate::support::{Database, Program, program, unique};

/// Interval of progress queries; each costs the engine some CPU time.
const ASK_INTERVAL: Duration = Duration::from_millis(200);

/// How long a run may take.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Cost of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// CPU time of the process, from its start to the last durable event.
    pub(crate) cpu: Duration,
    /// CPU time of the engine's process meanwhile.
    pub(crate) engine_cpu: Duration,
    pub(crate) elapsed: Duration,
    pub(crate) peak_mib: f64,
}

impl Cost {
    /// CPU seconds per million events.
    pub(crate) fn per_million(&self, events: u64) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / count(events)
    }
}

/// A number of events as a divisor.
pub(crate) fn count(events: u64) -> f64 {
    f64::from(u32::try_from(events).expect("fewer than four billion events"))
}

/// An engine of its own, with a fresh database for each run.
pub(crate) struct Engine {
    process: EngineProcess,
    _data: TempDir,
}

impl Engine {
    pub(crate) fn start() -> Self {
        let data =
            TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder is writable");
        Self { process: engine::start(data.path(), false), _data: data }
    }

    /// A fresh database with the schema.
    pub(crate) fn database(&self) -> Database {
        let database = Database::new(self.process.url(), unique("pipeline"));
        let mut migrate = program::command(&["migrate"]);
        let migrated = migrate
            .env("SEATMETER__CLICKHOUSE__URL", &database.url)
            .env("SEATMETER__CLICKHOUSE__DATABASE", &database.name)
            .env("SEATMETER__CLICKHOUSE__PASSWORD", PASSWORD)
            .output()
            .expect("the program starts");
        assert!(migrated.status.success(), "{migrated:?}");
        database
    }

    fn cpu(&self) -> Duration {
        process::cpu(self.process.pid().expect("the engine runs"))
    }
}

/// A running worker.
pub(crate) struct Worker<'e> {
    engine: &'e Engine,
    database: &'e Database,
    began: Instant,
    engine_cpu: Duration,
    program: Program,
}

impl<'e> Worker<'e> {
    pub(crate) fn start(engine: &'e Engine, database: &'e Database, topic: &str) -> Self {
        let mut command = program::command(&["worker"]);
        command
            .env("SEATMETER__KAFKA__BROKERS", kafka().bootstrap_servers())
            .env("SEATMETER__KAFKA__TOPIC", topic)
            .env("SEATMETER__KAFKA__GROUP_ID", fresh_group())
            .env("SEATMETER__CLICKHOUSE__URL", &database.url)
            .env("SEATMETER__CLICKHOUSE__DATABASE", &database.name)
            .env("SEATMETER__CLICKHOUSE__PASSWORD", PASSWORD)
            .env("SEATMETER__HTTP__LISTEN", "127.0.0.1:0");
        let engine_cpu = engine.cpu();
        let began = Instant::now();
        Self { engine, database, began, engine_cpu, program: Program::spawn(&mut command) }
    }

    /// Waits until that many offsets are durably passed, and returns the cost so far.
    pub(crate) fn wait_for(&self, offsets: u64) -> Cost {
        while passed(self.database) < offsets {
            assert!(
                self.began.elapsed() < TIMEOUT,
                "not done after {TIMEOUT:?}:\n{}",
                self.program.stderr()
            );
            std::thread::sleep(ASK_INTERVAL);
        }
        Cost {
            cpu: process::cpu(self.pid()),
            engine_cpu: self.engine.cpu().saturating_sub(self.engine_cpu),
            elapsed: self.began.elapsed(),
            peak_mib: process::peak_mib(self.pid()),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// The sum of all metrics whose name and labels start like this.
    pub(crate) fn metric(&mut self, start: &str) -> f64 {
        let line = self.program.wait_for_line("listening", Duration::from_secs(20));
        let address = line
            .split("address=")
            .nth(1)
            .and_then(|rest| rest.split_whitespace().next())
            .expect("an address");
        let mut answer = ureq::get(format!("http://{address}/metrics"))
            .call()
            .expect("the worker serves metrics");
        let text = answer.body_mut().read_to_string().expect("text");
        let values: Vec<f64> = text
            .lines()
            .filter(|line| line.starts_with(start))
            .map(|line| line.rsplit(' ').next().unwrap_or_default().parse().expect("a number"))
            .collect();
        assert!(!values.is_empty(), "no metric {start} in\n{text}");
        values.iter().sum()
    }

    /// Stops it by SIGTERM.
    pub(crate) fn stop(mut self) {
        assert!(
            self.program.terminate(Duration::from_secs(60)).success(),
            "{}",
            self.program.stderr()
        );
    }
}

/// Offsets passed, durably.
pub(crate) fn passed(database: &Database) -> u64 {
    database.query("SELECT sum(next_offset) FROM ingest_progress").trim().parse().expect("a number")
}

/// Counts the whole backlog into a fresh database and returns the cost.
pub(crate) fn drain(engine: &Engine, backlog: &Backlog) -> Cost {
    let database = engine.database();
    let worker = Worker::start(engine, &database, &backlog.topic);
    let cost = worker.wait_for(backlog.events);
    worker.stop();
    cost
}
