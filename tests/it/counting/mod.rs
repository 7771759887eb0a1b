//! A topic, a database and workers between them, and logs with known counts.

mod log;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

pub(crate) use self::log::{Counted, Record, Writer};
use crate::support::engine::PASSWORD;
use crate::support::program::command;
use crate::support::secured_kafka::Properties;
use crate::support::{Database, Kafka, Program, engine, eventually, patience, unique};

/// How long counting a test's log may take; the machine may be busy with other tests.
pub(crate) const COUNT_TIMEOUT: Duration = Duration::from_secs(120);

/// How long a worker may take to stop.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(40);

/// A topic, and the database that it is counted into.
pub(crate) struct Setup<'k> {
    pub(crate) kafka: &'k Kafka,
    pub(crate) topic: String,
    pub(crate) database: Database,
    pub(crate) group: String,
    options: BTreeMap<String, String>,
}

/// The progress of all partitions together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Accepted, rejected, duplicates, skipped.
    pub(crate) outcomes: [u64; 4],
    pub(crate) absent: u64,
    pub(crate) next_offsets: u64,
    /// `None` unless it is known for every partition.
    pub(crate) lag: Option<u64>,
}

impl Setup<'static> {
    /// A fresh topic of the shared broker, and a fresh database of the shared engine with the
    /// schema in it.
    pub(crate) fn new(partitions: i32) -> Setup<'static> {
        Setup::between(Kafka::shared(), engine(), partitions)
    }
}

impl<'k> Setup<'k> {
    /// A fresh topic of this broker, and this database with the schema in it.
    pub(crate) fn between(kafka: &'k Kafka, database: Database, partitions: i32) -> Setup<'k> {
        Setup::between_with(kafka, database, partitions, &[])
    }

    /// The same with these options, which the schema depends on.
    pub(crate) fn between_with(
        kafka: &'k Kafka,
        database: Database,
        partitions: i32,
        options: &[(&str, &str)],
    ) -> Setup<'k> {
        let topic = kafka.topic("counted", partitions);
        let mut setup =
            Setup { kafka, topic, database, group: unique("group"), options: BTreeMap::new() };
        for (option, value) in options {
            setup.set(option, value);
        }
        let migrated = setup.command(&["migrate"]).output().unwrap();
        assert!(migrated.status.success(), "{migrated:?}");
        setup
    }

    /// Workers started from now on have this option, such as `INGEST__FLUSH_INTERVAL_MS`.
    pub(crate) fn set(&mut self, option: &str, value: impl ToString) {
        self.options.insert(option.to_owned(), value.to_string());
    }

    /// Commands started from now on use this broker address, with these librdkafka properties.
    pub(crate) fn come_by(&mut self, address: &str, properties: &Properties) {
        self.set("KAFKA__BROKERS", address);
        for (name, value) in properties {
            self.set(
                &format!("KAFKA__PROPERTIES__{}", name.replace('.', "_").to_uppercase()),
                value,
            );
        }
    }

    /// A command of the program, configured for this topic and database.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(arguments);
        let defaults = [
            ("KAFKA__BROKERS", self.kafka.bootstrap_servers()),
            ("KAFKA__TOPIC", &self.topic),
            ("KAFKA__GROUP_ID", &self.group),
            ("KAFKA__SESSION_TIMEOUT_MS", "6000"),
            ("INGEST__REVOKE_DEADLINE_MS", "4000"),
            ("INGEST__FLUSH_INTERVAL_MS", "100"),
            ("INGEST__IDLE_FLUSH_INTERVAL_MS", "1000"),
            ("CLICKHOUSE__URL", &self.database.url),
            ("CLICKHOUSE__DATABASE", &self.database.name),
            ("CLICKHOUSE__PASSWORD", PASSWORD),
            // A free port.
            ("HTTP__LISTEN", "127.0.0.1:0"),
            ("LOG__FILTER", "info"),
        ];
        for (option, value) in defaults {
            command.env(format!("SEATMETER__{option}"), value);
        }
        for (option, value) in &self.options {
            command.env(format!("SEATMETER__{option}"), value);
        }
        command
    }

    /// Starts a worker.
    #[track_caller]
    pub(crate) fn worker(&self) -> Program {
        Program::spawn(&mut self.command(&["worker"]))
    }

    /// Starts a worker and waits until the group has assigned partitions to it, possibly none.
    #[track_caller]
    pub(crate) fn joined_worker(&self) -> Program {
        let mut worker = self.worker();
        worker.wait_for_line("partitions assigned", COUNT_TIMEOUT);
        worker
    }

    /// Appends records, as the producers of the contract do.
    #[track_caller]
    pub(crate) fn produce(&self, records: &[Record]) {
        produce(&self.producer(&[]), &self.topic, records);
    }

    /// A producer with these properties.
    #[track_caller]
    pub(crate) fn producer(&self, properties: &[(&str, &str)]) -> BaseProducer {
        let mut config = self.kafka.client_config();
        config.set("partitioner", "murmur2_random").set("queue.buffering.max.messages", "200000");
        for (name, value) in properties {
            config.set(*name, *value);
        }
        config.create().unwrap()
    }

    /// The recorded progress.
    #[track_caller]
    pub(crate) fn progress(&self) -> Progress {
        let sums = self.database.query(
            "SELECT sum(accepted), sum(rejected), sum(duplicates), sum(skipped), sum(absent), \
            sum(next_offset), \
             if(countIf(lag IS NULL) = 0, sum(lag), NULL) \
             FROM ingest_progress",
        );
        let (counts, lag) = sums.trim().rsplit_once('\t').unwrap();
        let sums: Vec<u64> = counts.split_whitespace().map(|sum| sum.parse().unwrap()).collect();
        Progress {
            outcomes: [sums[0], sums[1], sums[2], sums[3]],
            absent: sums[4],
            next_offsets: sums[5],
            lag: lag.parse().ok(),
        }
    }

    /// The ends of all partitions' logs, summed.
    #[track_caller]
    pub(crate) fn log_ends(&self) -> u64 {
        (0..self.partitions()).map(|partition| self.log_end(partition)).sum()
    }

    /// The end of a partition's log.
    #[track_caller]
    pub(crate) fn log_end(&self, partition: i32) -> u64 {
        u64::try_from(self.kafka.watermarks(&self.topic, partition).1).unwrap()
    }

    /// Number of partitions of the topic; 0 if it does not exist.
    #[track_caller]
    pub(crate) fn partitions(&self) -> i32 {
        let consumer: BaseConsumer = self.kafka.client_config().create().unwrap();
        let metadata =
            consumer.fetch_metadata(Some(&self.topic), patience(Duration::from_secs(30))).unwrap();
        i32::try_from(metadata.topics()[0].partitions().len()).unwrap()
    }

    /// Waits until everything that the log holds is counted, and the lag is 0.
    #[track_caller]
    pub(crate) fn wait_until_counted(&self) -> Progress {
        let ends = self.log_ends();
        eventually("everything is counted", COUNT_TIMEOUT, || {
            let progress = self.progress();
            (progress.next_offsets == ends && progress.lag == Some(0)).then_some(progress)
        })
    }

    /// Waits until at least this many records are counted.
    #[track_caller]
    pub(crate) fn wait_until_passed(&self, records: u64) {
        eventually("some records are counted", COUNT_TIMEOUT, || {
            (self.progress().next_offsets >= records).then_some(())
        });
    }

    /// The counts in the database.
    #[track_caller]
    pub(crate) fn counted(&self) -> Counted {
        let lines = |sql: &str| {
            let mut lines: Vec<String> =
                self.database.query(sql).lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        Counted {
            outcomes: self.progress().outcomes,
            executions: lines(
                "SELECT account_id, organization_id, project_id, day, run, uploaded, duration_ms \
                FROM test_executions_daily",
            ),
            active_users: lines(
                "SELECT account_id, day, active_users FROM daily_active_users_by_account",
            ),
            organization_users: lines(
                "SELECT account_id, organization_id, day, active_users FROM daily_active_users",
            ),
            quota: lines("SELECT account_id, organization_id, used FROM quota_usage"),
            seats: lines(
                "SELECT account_id, organization_id, user_id, activated, status FROM \
                license_assignments",
            ),
            licenses: lines(
                "SELECT account_id, organization_id, seats FROM license_purchases WHERE \
                isNull(end)",
            ),
        }
    }

    /// Waits until everything is counted, and compares it with the expected counts.
    #[track_caller]
    pub(crate) fn check(&self, writer: &Writer) -> Progress {
        let progress = self.wait_until_counted();
        self.counted().assert_is(&writer.counted());
        let passed: u64 = progress.outcomes.iter().sum();
        assert_eq!(
            passed + progress.absent,
            progress.next_offsets,
            "every offset is counted once: {progress:?}"
        );
        let rejected: u64 =
            self.database.query("SELECT count() FROM rejected_events").trim().parse().unwrap();
        assert_eq!(rejected, progress.outcomes[1], "every rejected record can be looked at");
        progress
    }
}

/// Appends records with this producer.
#[track_caller]
pub(crate) fn produce(producer: &BaseProducer, topic: &str, records: &[Record]) {
    produce_at(producer, topic, records, None);
}

/// Appends records stamped at this time, milliseconds since 1970 UTC, or now.
#[track_caller]
pub(crate) fn produce_at(
    producer: &BaseProducer,
    topic: &str,
    records: &[Record],
    timestamp_ms: Option<i64>,
) {
    for record in records {
        let mut message: BaseRecord<'_, str, [u8]> = BaseRecord::to(topic);
        message.timestamp = timestamp_ms;
        message.key = record.key.as_deref();
        message.payload = record.value.as_deref();
        producer.send(message).map_err(|(error, _)| error).unwrap();
        producer.poll(Duration::ZERO);
    }
    producer.flush(patience(Duration::from_secs(60))).unwrap();
}

/// A worker's answer under this path: status and body.
#[track_caller]
pub(crate) fn ask(worker: &mut Program, path: &str) -> (u16, String) {
    let line = worker.wait_for_line("listening", STOP_TIMEOUT);
    let address = line.split("address=").nth(1).unwrap().split_whitespace().next().unwrap();
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut answer = agent.get(format!("http://{address}{path}")).call().unwrap();
    (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
}

/// The value of a series of a process's metrics; `None` where it was never set.
#[track_caller]
pub(crate) fn metric(process: &mut Program, series: &str) -> Option<f64> {
    let (status, text) = ask(process, "/metrics");
    assert_eq!(status, 200, "{text}");
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    Some(value.parse().unwrap())
}
