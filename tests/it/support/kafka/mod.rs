//! Apache Kafka for tests: one broker in KRaft mode, on free ports, started from the jars in the
//! cache folder.
//!
//! If Java or Maven is missing, librdkafka's mock cluster takes its place, with a message. With
//! `SEATMETER_REQUIRE_KAFKA=1` (CI) the tests fail instead.

mod cluster;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use seatmeter::embedded::kafka::MockBroker;
use seatmeter::embedded::provision;
use tempfile::TempDir;

pub(crate) use self::cluster::Cluster;
use super::tcp_proxy::TcpProxy;
use super::{eventually, is_required, patience, process_folder, signal, unique};

/// Asks a cluster to change.
type Administrator = AdminClient<DefaultClientContext>;

/// How long a broker may take to answer after its start; it takes about 5 s on an idle machine.
const START_TIMEOUT: Duration = Duration::from_secs(90);
/// How long an administrative request may take.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(30);
/// One process, few topics: a small heap and the fast compiler start quickest.
const JVM_OPTIONS: [&str; 4] =
    ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"];
/// Any id works; each broker is its own cluster.
const CLUSTER_ID: &str = "MkU3OEVBNTcwNTJENDM2Qg";

/// Runs Java as a child of a shell that kills it when its own standard input closes: with this
/// process, however it ends. A shell's background job has no standard input. The process id is the
/// first line of its output.
const GUARD: &str = r#""$@" & pid=$!; echo $pid; read -r _; kill -9 $pid; wait $pid"#;

/// What a broker has besides its plain listener, which remains for test setup.
#[derive(Debug, Default)]
pub(super) struct Extras {
    /// Name, security protocol and port of each further listener.
    pub(super) listeners: Vec<(&'static str, &'static str, u16)>,
    /// Further properties of the broker.
    pub(super) properties: Vec<(String, String)>,
    /// Users as Kafka's storage tool takes them: `SCRAM-SHA-512=[name=…,password=…]`.
    pub(super) scram_users: Vec<String>,
}

/// A Kafka cluster of one broker.
pub(crate) struct Kafka {
    bootstrap_servers: String,
    kind: Kind,
}

enum Kind {
    Real(Box<Broker>),
    Mock(MockBroker),
}

/// A real broker, on its own data.
struct Broker {
    jars: PathBuf,
    folder: PathBuf,
    /// Removes the folder of a private broker.
    _owned: Option<TempDir>,
    running: Mutex<Option<Running>>,
}

struct Running {
    guard: Child,
    stdin: Option<ChildStdin>,
    java_pid: u32,
}

impl Kafka {
    /// The shared broker; each test has its own topics. It is never stopped.
    pub(crate) fn shared() -> &'static Kafka {
        static KAFKA: OnceLock<Kafka> = OnceLock::new();
        KAFKA.get_or_init(|| {
            Kafka::in_folder(process_folder("kafka"), None, None, &Extras::default())
        })
    }

    /// A broker of one test, which may stop and restart it; killed when dropped.
    #[track_caller]
    pub(crate) fn start() -> Kafka {
        let owned = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Kafka::in_folder(owned.path().to_owned(), Some(owned), None, &Extras::default())
    }

    /// A broker of one test that is reached only through a proxy: it advertises the proxy's
    /// address. Killed, it has noted where its logs start: else it would bring deleted records
    /// back, which a worker has counted as absent and refuses.
    #[track_caller]
    pub(crate) fn start_behind(proxy: &TcpProxy) -> Kafka {
        let owned = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        // It writes all starts each time, which would slow a broker of many topics down.
        let often = ("log.flush.start.offset.checkpoint.interval.ms".into(), "500".into());
        let extras = Extras { properties: vec![often], ..Extras::default() };
        Kafka::in_folder(owned.path().to_owned(), Some(owned), Some(proxy), &extras)
    }

    /// A broker in this folder that has more than its plain listener. `owned` removes the folder
    /// with the broker.
    #[track_caller]
    pub(super) fn in_folder(
        folder: PathBuf,
        owned: Option<TempDir>,
        proxy: Option<&TcpProxy>,
        extras: &Extras,
    ) -> Kafka {
        match needs().and_then(|()| provision::kafka_jars()) {
            Ok(jars) => Kafka::real(jars, folder, owned, proxy, extras),
            Err(error) if is_required("SEATMETER_REQUIRE_KAFKA") => {
                panic!("Apache Kafka is required here: {error:#}")
            }
            Err(error) => {
                // Not eprintln!, which is captured while tests pass.
                let warning =
                    "WARNING: no Apache Kafka, testing with librdkafka's mock cluster instead";
                let _ = writeln!(std::io::stderr(), "{warning}: {error:#}");
                let mock = MockBroker::start(&unique("unused"), 1).unwrap();
                Kafka { bootstrap_servers: mock.bootstrap_servers(), kind: Kind::Mock(mock) }
            }
        }
    }

    #[track_caller]
    fn real(
        jars: PathBuf,
        folder: PathBuf,
        owned: Option<TempDir>,
        proxy: Option<&TcpProxy>,
        extras: &Extras,
    ) -> Kafka {
        let [port, controller_port] = free_ports();
        let public_port = proxy.map_or(port, TcpProxy::port);
        if let Some(proxy) = proxy {
            proxy.forward_to(port);
        }
        let broker = Broker::new(jars, folder, owned);
        broker.format(port, public_port, controller_port, extras);
        broker.launch();
        let kafka = Kafka {
            bootstrap_servers: format!("127.0.0.1:{public_port}"),
            kind: Kind::Real(Box::new(broker)),
        };
        kafka.wait_until_ready();
        kafka
    }

    /// `host:port`, the same after a restart.
    pub(crate) fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Whether this is only the mock cluster: without topic ids, transactions' markers, retention,
    /// compaction and restarts.
    pub(crate) fn is_mock(&self) -> bool {
        matches!(self.kind, Kind::Mock(_))
    }

    /// A client configuration for this broker.
    pub(crate) fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap_servers);
        config
    }

    /// Creates a topic with topic properties, such as `("retention.ms", "1000")`.
    #[track_caller]
    pub(crate) fn create_topic(&self, name: &str, partitions: i32, properties: &[(&str, &str)]) {
        if let Kind::Mock(mock) = &self.kind {
            return mock.create_topic(name, partitions).unwrap();
        }
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in properties {
            topic = topic.set(key, value);
        }
        let created =
            self.administer(async |admin, options| admin.create_topics([&topic], options).await);
        assert_eq!(created, [Ok(name.to_owned())]);
    }

    /// A fresh topic.
    #[track_caller]
    pub(crate) fn topic(&self, prefix: &str, partitions: i32) -> String {
        let name = unique(prefix);
        self.create_topic(&name, partitions, &[]);
        name
    }

    #[track_caller]
    pub(crate) fn delete_topic(&self, name: &str) {
        let deleted =
            self.administer(async |admin, options| admin.delete_topics(&[name], options).await);
        assert_eq!(deleted, [Ok(name.to_owned())]);
    }

    /// Raises the number of partitions of a topic.
    #[track_caller]
    pub(crate) fn add_partitions(&self, name: &str, total: usize) {
        let added = self.administer(async |admin, options| {
            admin.create_partitions([&NewPartitions::new(name, total)], options).await
        });
        assert_eq!(added, [Ok(name.to_owned())]);
    }

    /// Deletes the records of a partition below an offset, as retention does.
    #[track_caller]
    pub(crate) fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        let mut offsets = rdkafka::TopicPartitionList::new();
        offsets.add_partition_offset(topic, partition, rdkafka::Offset::Offset(before)).unwrap();
        self.administer(async |admin, options| admin.delete_records(&offsets, options).await);
    }

    /// Changes one property of a topic; the others go back to their defaults.
    #[track_caller]
    pub(crate) fn configure_topic(&self, name: &str, property: &str, value: &str) {
        let config = AlterConfig::new(ResourceSpecifier::Topic(name)).set(property, value);
        let altered =
            self.administer(async |admin, options| admin.alter_configs([&config], options).await);
        assert!(altered.iter().all(Result::is_ok), "{altered:?}");
    }

    /// Deletes a consumer group with its committed offsets.
    #[track_caller]
    pub(crate) fn delete_group(&self, group_id: &str) {
        let deleted =
            self.administer(async |admin, options| admin.delete_groups(&[group_id], options).await);
        assert_eq!(deleted, [Ok(group_id.to_owned())]);
    }

    /// The file of the only segment of a partition's log.
    #[track_caller]
    pub(crate) fn segment_file(&self, topic: &str, partition: u32) -> PathBuf {
        let name = format!("data/{topic}-{partition}/00000000000000000000.log");
        self.broker().folder.join(name)
    }

    /// First and next offset of a partition.
    #[track_caller]
    pub(crate) fn watermarks(&self, topic: &str, partition: i32) -> (i64, i64) {
        let consumer: BaseConsumer = self.client_config().create().unwrap();
        // A broker that a busy machine kept from its controller leads nothing for a while.
        eventually("a partition tells where it ends", ADMIN_TIMEOUT, || {
            consumer.fetch_watermarks(topic, partition, ADMIN_TIMEOUT).ok()
        })
    }

    /// Kills the broker at once (SIGKILL).
    #[track_caller]
    pub(crate) fn kill(&self) {
        *self.broker().running.lock().unwrap() = None;
    }

    /// Starts the broker again after [`kill`](Kafka::kill), on the same data and port.
    #[track_caller]
    pub(crate) fn restart(&self) {
        self.kill();
        self.broker().launch();
        self.wait_until_ready();
    }

    /// The first segment of a partition's log, a file that the broker reads anew for each fetch.
    #[track_caller]
    pub(crate) fn segment(&self, topic: &str, partition: i32) -> PathBuf {
        self.broker().folder.join(format!("data/{topic}-{partition}/00000000000000000000.log"))
    }

    /// Sends a signal to the broker, such as `STOP` and `CONT`.
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        let running = self.broker().running.lock().unwrap();
        signal(running.as_ref().unwrap().java_pid, name);
    }

    #[track_caller]
    fn broker(&self) -> &Broker {
        match &self.kind {
            Kind::Real(broker) => broker,
            Kind::Mock(_) => panic!("the mock cluster cannot be stopped; ask is_mock() first"),
        }
    }

    /// Runs an administrative request on its own runtime, so that async tests can call it too.
    #[track_caller]
    fn administer<T: Send>(
        &self,
        request: impl AsyncFnOnce(&Administrator, &AdminOptions) -> KafkaResult<T> + Send,
    ) -> T {
        std::thread::scope(|scope| {
            let run = || {
                let admin: Administrator = self.client_config().create().unwrap();
                let options = AdminOptions::new().operation_timeout(Some(patience(ADMIN_TIMEOUT)));
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(request(&admin, &options)).unwrap()
            };
            scope.spawn(run).join().unwrap()
        })
    }

    #[track_caller]
    fn wait_until_ready(&self) {
        let deadline = Instant::now() + patience(START_TIMEOUT);
        let consumer: BaseConsumer = self
            .client_config()
            .set("log_level", "0")
            .set("reconnect.backoff.max.ms", "100")
            .create()
            .unwrap();
        while consumer.fetch_metadata(None, Duration::from_millis(500)).is_err() {
            assert!(
                Instant::now() < deadline,
                "Kafka does not start; its last words:\n{}",
                self.log_tail()
            );
        }
    }

    fn log_tail(&self) -> String {
        let Kind::Real(broker) = &self.kind else { return String::new() };
        let log = std::fs::read_to_string(broker.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Broker {
    fn new(jars: PathBuf, folder: PathBuf, owned: Option<TempDir>) -> Broker {
        Broker { jars, folder, _owned: owned, running: Mutex::new(None) }
    }

    /// Writes its configuration, and prepares its storage.
    #[track_caller]
    fn format(&self, port: u16, public_port: u16, controller_port: u16, extras: &Extras) {
        let file = self.folder.join("server.properties");
        let properties = properties(&self.folder, port, public_port, controller_port, extras);
        std::fs::write(&file, properties).unwrap();
        let formatted = java(&self.jars)
            .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"])
            .arg(file)
            .args(extras.scram_users.iter().flat_map(|user| ["--add-scram", user]))
            .output()
            .unwrap();
        assert!(formatted.status.success(), "cannot format Kafka's storage: {formatted:?}");
    }

    #[track_caller]
    fn launch(&self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .unwrap();
        let java = java(&self.jars);
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "sh"])
            .arg(java.get_program())
            .args(java.get_args())
            .arg("kafka.Kafka")
            .arg(self.folder.join("server.properties"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // Ctrl-C would end the shell but not its background job.
            .process_group(0)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(guard.stdout.take().unwrap());
        let mut first_line = String::new();
        stdout.read_line(&mut first_line).unwrap();
        // The broker writes here too; reading keeps its pipe open and empty.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        let stdin = guard.stdin.take();
        *self.running.lock().unwrap() =
            Some(Running { guard, stdin, java_pid: first_line.trim().parse().unwrap() });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut stdin) = self.stdin.take() {
            let _ = stdin.write_all(b"\n");
        }
        // The guard kills Java and waits for it.
        let _ = self.guard.wait();
    }
}

/// Fails if a program that Kafka needs is missing.
fn needs() -> anyhow::Result<()> {
    let found =
        Command::new("java").arg("-version").output().is_ok_and(|output| output.status.success());
    anyhow::ensure!(found, "Java is not installed (Debian: apt install openjdk-17-jre-headless)");
    Ok(())
}

fn java(jars: &Path) -> Command {
    let mut command = Command::new("java");
    command.args(JVM_OPTIONS).arg("-cp").arg(jars.join("*"));
    command
}

/// Ports that were free a moment ago.
pub(super) fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// The broker's configuration: one partition for each internal topic, short waits, retention and
/// compaction at once.
fn properties(
    folder: &Path,
    port: u16,
    public_port: u16,
    controller_port: u16,
    extras: &Extras,
) -> String {
    let data = folder.join("data").display().to_string();
    let quorum = format!("1@127.0.0.1:{controller_port}");
    let mut listeners =
        format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}");
    let mut advertised = format!("PLAINTEXT://127.0.0.1:{public_port}");
    let mut protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned();
    for (name, protocol, port) in &extras.listeners {
        for addresses in [&mut listeners, &mut advertised] {
            addresses.push_str(&format!(",{name}://127.0.0.1:{port}"));
        }
        protocols.push_str(&format!(",{name}:{protocol}"));
    }
    let lines: HashMap<&str, &str> = HashMap::from([
        ("process.roles", "broker,controller"),
        ("node.id", "1"),
        ("controller.quorum.voters", quorum.as_str()),
        ("controller.listener.names", "CONTROLLER"),
        ("listeners", listeners.as_str()),
        ("advertised.listeners", advertised.as_str()),
        ("listener.security.protocol.map", protocols.as_str()),
        ("log.dirs", data.as_str()),
        ("auto.create.topics.enable", "false"),
        ("offsets.topic.num.partitions", "1"),
        ("offsets.topic.replication.factor", "1"),
        ("transaction.state.log.num.partitions", "1"),
        ("transaction.state.log.replication.factor", "1"),
        ("transaction.state.log.min.isr", "1"),
        ("share.coordinator.state.topic.num.partitions", "1"),
        ("share.coordinator.state.topic.replication.factor", "1"),
        ("group.initial.rebalance.delay.ms", "0"),
        ("group.min.session.timeout.ms", "500"),
        ("log.initial.task.delay.ms", "500"),
        ("log.retention.check.interval.ms", "1000"),
        ("log.cleaner.backoff.ms", "200"),
        ("log.cleaner.dedupe.buffer.size", "4194304"),
        ("num.network.threads", "2"),
        ("num.io.threads", "2"),
    ]);
    let further = extras.properties.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    lines.into_iter().chain(further).map(|(key, value)| format!("{key}={value}\n")).collect()
}
