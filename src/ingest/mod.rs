//! Kafka to rollups: the shell around the lanes.
//!
//! ```text
//!             rebalances                 batches                     rows                       INSERTs
//! librdkafka ------------> consumer ---------------> workers (own -----------> coordinator ----------------> ClickHouse
//!                           thread   open, freeze,   the lanes)   <- flushed      (task)     then progress
//!                              |     forget             |                            |
//!                              '-- starts (tasks) <-----+-- loads (tasks) <----------+---- then Kafka's offsets
//! ```
//!
//! - The **consumer thread** ([`consumer`]) only polls, and turns the group's decisions into messages ([`rebalance`]).
//! - A **worker thread** ([`worker`]) owns its lanes by value and takes batches from a queue of its own ([`librdkafka`]).
//! - The **coordinator** ([`flush`]) drains all lanes at each tick, and makes what they yield durable.
//! - Tasks find out where a partition starts ([`start`]), load what a lane lacks ([`load`]), look after the topic
//!   ([`topic`]) and at the end of a log that holds nothing more ([`tail`]); a **watchdog** ([`watchdog`]) looks after the
//!   threads.
//!
//! What it never does: count (the lanes do), decide by the group's committed offsets, wait for ClickHouse in a callback,
//! or drop a row. Whatever fails outside is tried again for ever, and `/readyz` says what is waited for.

mod batch;
mod client;
mod consumer;
mod flush;
mod librdkafka;
mod load;
mod rebalance;
mod retry;
mod seek;
mod slot;
mod start;
mod tail;
mod topic;
mod watchdog;
mod worker;

use std::ffi::CString;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::client::{Client, Context, consumer_properties};
use self::consumer::{ConsumerHandle, ConsumerThread, ToConsumer};
use self::flush::{Books, Coordinator, FlushRequest, Unwritten};
use self::librdkafka::{Queue, QueueTarget};
use self::load::Loader;
pub(crate) use self::retry::Dependency;
use self::start::Starter;
use self::topic::{Topic, wait_for_topic, watch_topic};
use self::watchdog::Heartbeat;
use self::worker::{ToWorker, Worker, WorkerHandle};
use crate::config::Config;
use crate::store::Store;
use crate::telemetry::events;
use crate::telemetry::health::Health;

/// How long leaving the group may take before the process ends without it.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long tasks may take to notice the end: as long as the slowest question to a broker.
const TASKS_TIMEOUT: Duration = Duration::from_secs(8);

/// Why the worker ended. Whichever it is, nothing is lost: what was not written is counted again by the next start.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The topic is not there.
    #[error(
        "topic {topic:?} does not exist on Kafka at {brokers}; create it (`kafka-topics.sh --create --topic {topic} \
         --partitions 4 --bootstrap-server {brokers}`), or set kafka.topic to the one that holds the events"
    )]
    TopicMissing { topic: String, brokers: String },
    /// librdkafka refuses the configuration.
    #[error("the Kafka client refuses its configuration: {0}; see [kafka] and [kafka.properties]")]
    ClientConfig(String),
    /// The topic's name cannot be one.
    #[error("kafka.topic = {0:?} is no topic name: it contains a zero byte")]
    TopicName(String),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The Kafka client can do nothing any more.
    #[error("the Kafka client failed for good: {reason}; restart to go on")]
    Client { reason: String },
    /// A thread shows no sign of life.
    #[error("thread {thread} has shown no sign of life for {seconds} s; restart to go on")]
    ThreadStuck { thread: String, seconds: u64 },
    /// A thread ended by a panic, which is a defect of this program.
    #[error("thread {thread} panicked, see above; this is a defect of seatmeter, please report it")]
    ThreadPanicked { thread: String },
    /// A lane asks for the same things again and again, which is a defect of this program.
    #[error(
        "offset {offset} of {source_name} cannot be judged however much is loaded; this is a defect of seatmeter, please report it"
    )]
    LaneStuck { source_name: String, offset: u64 },
    /// ClickHouse did not take the last flush in time.
    #[error(
        "stopped before the last events of {partitions} partitions were written, because {reason}; they are counted again by \
         the next start, nothing is lost"
    )]
    NotWritten { partitions: usize, reason: String },
}

/// What ends the process from within.
#[derive(Clone, Debug)]
enum Fatal {
    Client { reason: String },
    ThreadStuck { thread: String, seconds: u64 },
    ThreadPanicked { thread: String },
    LaneStuck { source: String, offset: u64 },
}

impl From<Fatal> for IngestError {
    fn from(fatal: Fatal) -> Self {
        match fatal {
            Fatal::Client { reason } => Self::Client { reason },
            Fatal::ThreadStuck { thread, seconds } => Self::ThreadStuck { thread, seconds },
            Fatal::ThreadPanicked { thread } => Self::ThreadPanicked { thread },
            Fatal::LaneStuck { source, offset } => Self::LaneStuck { source_name: source, offset },
        }
    }
}

/// Tells [`run`] that the process must end.
#[derive(Clone, Debug)]
struct FatalSender(mpsc::UnboundedSender<Fatal>);

impl FatalSender {
    /// The first cause counts; later ones are mostly its consequences.
    fn send(&self, fatal: Fatal) {
        let _ = self.0.send(fatal);
    }
}

/// Counts the topic's events until `shutdown` is cancelled, then writes what was read, commits and leaves the group.
///
/// After an error other than [`IngestError::TopicMissing`] and the configuration's, threads may still be about, some of
/// them stuck: the caller is to end the process.
pub async fn run(
    config: &Config,
    store: Store,
    health: Arc<Health>,
    shutdown: CancellationToken,
) -> Result<(), IngestError> {
    let (fatal, mut fatalities) = mpsc::unbounded_channel();
    let mut shell = Shell::start(config, store, health, FatalSender(fatal))?;
    let joined = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        fatal = fatalities.recv() => return Err(fatal.map_or(thread_gone(), IngestError::from)),
        joined = shell.join_group() => joined,
    };
    if joined.is_ok() {
        tokio::select! {
            () = shutdown.cancelled() => {}
            fatal = fatalities.recv() => return Err(fatal.map_or(thread_gone(), IngestError::from)),
        }
    }
    let stopped = shell.stop(config.ingest.revoke_deadline).await;
    joined.and(stopped)
}

/// All senders of fatal causes are gone, though one lives in each thread.
fn thread_gone() -> IngestError {
    IngestError::ThreadPanicked { thread: "unknown".to_owned() }
}

/// Everything that runs.
struct Shell {
    topic: Topic,
    kafka: Arc<Dependency>,
    consumer: ConsumerHandle,
    workers: Vec<WorkerHandle>,
    worker_threads: Vec<JoinHandle<()>>,
    consumer_thread: JoinHandle<()>,
    coordinator: Option<tokio::task::JoinHandle<Result<(), Unwritten>>>,
    flush_requests: mpsc::UnboundedSender<FlushRequest>,
    flush_deadline: watch::Sender<Option<Instant>>,
    look_at_topic: Arc<Notify>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Shell {
    /// Starts all threads and tasks. Nothing is read before [`Shell::join_group`].
    fn start(config: &Config, store: Store, health: Arc<Health>, fatal: FatalSender) -> Result<Self, IngestError> {
        let properties = consumer_properties(&config.kafka, &config.ingest);
        let client = Client::from_config_and_context(&properties, Context::default())
            .map_err(|error| IngestError::ClientConfig(error.to_string()))?;
        let client = Arc::new(client);
        let topic = Topic::new(&config.kafka.topic, &config.kafka.brokers, Arc::clone(&client));
        let kafka = Dependency::new("kafka", "cannot read from Kafka", Arc::clone(&health));
        let clickhouse = Dependency::new("clickhouse", "cannot write to ClickHouse", Arc::clone(&health));
        let (to_consumer, consumer_inbox) = crossbeam_channel::unbounded();
        let consumer = ConsumerHandle(to_consumer);
        let (flush_requests, flush_inbox) = mpsc::unbounded_channel();
        let (tails, tail_requests) = mpsc::channel(1);
        let (flush_deadline, deadline) = watch::channel(None);
        let (stop, tasks, look_at_topic) = (CancellationToken::new(), TaskTracker::new(), Arc::new(Notify::new()));

        let crew = Crew::start(config, &store, &health, &client, &consumer, &fatal)?;
        let workers: Vec<WorkerHandle> = crew.workers.iter().map(|(_, worker)| worker.clone()).collect();
        let coordinator = Coordinator {
            store: store.clone(),
            clickhouse,
            kafka: Arc::clone(&kafka),
            topic: topic.clone(),
            client: Arc::clone(&client),
            workers: workers.clone(),
            consumer: consumer.clone(),
            tails,
            idle_flush_interval: config.ingest.idle_flush_interval,
            books: Books::default(),
        };
        let coordinator = tokio::spawn(coordinator.run(config.ingest.flush_interval, flush_inbox, deadline));
        tasks.spawn(tail::watch_tails(config.kafka.clone(), workers.clone(), tail_requests, stop.clone()));
        let starter = Starter {
            store,
            topic: topic.clone(),
            progress: Dependency::new("start", "cannot read the progress from ClickHouse", Arc::clone(&health)),
            kafka: Arc::clone(&kafka),
            consumer: consumer.clone(),
        };
        let heartbeat = Heartbeat::new("kafka-poll".to_owned());
        let mut heartbeats = crew.heartbeats;
        heartbeats.push(Arc::clone(&heartbeat));
        let thread = ConsumerThread {
            client,
            topic: topic.name.clone(),
            inbox: consumer_inbox,
            coordinator: flush_requests.clone(),
            starter,
            look_at_topic: Arc::clone(&look_at_topic),
            runtime: Handle::current(),
            tasks: tasks.clone(),
            revoke_deadline: config.ingest.revoke_deadline,
            health: Arc::clone(&health),
            heartbeat: Arc::clone(&heartbeat),
            fatal: fatal.clone(),
            state: consumer::State::new(crew.workers.len()),
            workers: crew.workers,
        };
        let consumer_thread = spawn_watched(&heartbeat, &fatal, move || thread.run())?;
        let limit = config.ingest.watchdog_timeout;
        std::thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || watchdog::watch(&heartbeats, limit, &health, &fatal))?;
        Ok(Self {
            topic,
            kafka,
            consumer,
            workers,
            worker_threads: crew.threads,
            consumer_thread,
            coordinator: Some(coordinator),
            flush_requests,
            flush_deadline,
            look_at_topic,
            tasks,
            stop,
        })
    }

    /// Waits for the topic, then subscribes to it.
    async fn join_group(&mut self) -> Result<(), IngestError> {
        let description = wait_for_topic(&self.topic, &self.kafka).await?;
        events::topic_found(&self.topic.name, &description.id, description.partitions);
        self.consumer.send(ToConsumer::Subscribe(description));
        self.tasks.spawn(watch_topic(
            self.topic.clone(),
            Arc::clone(&self.kafka),
            Arc::clone(&self.look_at_topic),
            self.consumer.clone(),
            self.stop.clone(),
        ));
        Ok(())
    }

    /// Freezes all lanes, flushes them for the last time, commits, and leaves the group.
    async fn stop(mut self, flush_timeout: Duration) -> Result<(), IngestError> {
        events::stopping();
        self.stop.cancel();
        let (frozen, are_frozen) = oneshot::channel();
        self.consumer.send(ToConsumer::Finish(frozen));
        // Without an answer the consumer thread is gone, and freezes nothing any more either way.
        let _ = are_frozen.await;
        let written = self.last_flush(flush_timeout).await;
        for worker in &self.workers {
            worker.send(ToWorker::Exit);
        }
        let Self { topic, consumer, worker_threads, consumer_thread, tasks, .. } = self;
        // The client's last users have to let go of it before the consumer thread can close it.
        drop(topic);
        join_all(worker_threads).await;
        tasks.close();
        let _ = tokio::time::timeout(TASKS_TIMEOUT, tasks.wait()).await;
        consumer.send(ToConsumer::Close);
        if tokio::time::timeout(LEAVE_TIMEOUT, join_all(vec![consumer_thread])).await.is_err() {
            events::leaving_timed_out(LEAVE_TIMEOUT);
        }
        written
    }

    async fn last_flush(&mut self, timeout: Duration) -> Result<(), IngestError> {
        let Some(coordinator) = self.coordinator.take() else { return Ok(()) };
        self.flush_deadline.send_replace(Some(Instant::now() + timeout));
        // A coordinator that has ended already is found out below.
        let _ = self.flush_requests.send(FlushRequest::Finish);
        match coordinator.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Unwritten { partitions, reason })) => {
                let reason = reason.unwrap_or_else(|| format!("it took more than {} s", timeout.as_secs()));
                Err(IngestError::NotWritten { partitions, reason })
            }
            Err(_) => Err(IngestError::ThreadPanicked { thread: "flush".to_owned() }),
        }
    }
}

/// The worker threads.
struct Crew {
    workers: Vec<(QueueTarget, WorkerHandle)>,
    threads: Vec<JoinHandle<()>>,
    heartbeats: Vec<Arc<Heartbeat>>,
}

impl Crew {
    fn start(
        config: &Config,
        store: &Store,
        health: &Arc<Health>,
        client: &Arc<Client>,
        consumer: &ConsumerHandle,
        fatal: &FatalSender,
    ) -> Result<Self, IngestError> {
        let topic = &config.kafka.topic;
        let topic_c = CString::new(topic.as_str()).map_err(|_| IngestError::TopicName(topic.clone()))?;
        let dependency = Dependency::new("load", "cannot load from ClickHouse", Arc::clone(health));
        let mut crew = Self { workers: Vec::new(), threads: Vec::new(), heartbeats: Vec::new() };
        for number in 0..config.ingest.worker_threads.max(1) {
            let (to_worker, inbox) = crossbeam_channel::unbounded();
            let handle = WorkerHandle(to_worker);
            let heartbeat = Heartbeat::new(format!("worker-{number}"));
            let queue = Queue::new(Arc::clone(client));
            let loader = Loader {
                store: store.clone(),
                runtime: Handle::current(),
                dependency: Arc::clone(&dependency),
                worker: handle.clone(),
            };
            crew.workers.push((queue.target(), handle));
            let worker = Worker {
                number,
                client: Arc::clone(client),
                topic: topic.as_str().into(),
                topic_c: topic_c.clone(),
                inbox,
                consumer: consumer.clone(),
                loader,
                limits: config.ingest.clone(),
                heartbeat: Arc::clone(&heartbeat),
                fatal: fatal.clone(),
                state: worker::State::default(),
            };
            crew.threads.push(spawn_watched(&heartbeat, fatal, move || worker.run(queue))?);
            crew.heartbeats.push(heartbeat);
        }
        Ok(crew)
    }
}

/// Starts a thread whose end by a panic ends the process.
fn spawn_watched(
    heartbeat: &Arc<Heartbeat>,
    fatal: &FatalSender,
    body: impl FnOnce() + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    struct End(Arc<Heartbeat>, FatalSender);
    impl Drop for End {
        fn drop(&mut self) {
            if std::thread::panicking() {
                self.1.send(Fatal::ThreadPanicked { thread: self.0.name().to_owned() });
            }
            self.0.end();
        }
    }
    let end = End(Arc::clone(heartbeat), fatal.clone());
    std::thread::Builder::new().name(heartbeat.name().to_owned()).spawn(move || {
        let _end = end;
        body();
    })
}

/// Waits for threads to end, off the runtime's own threads.
async fn join_all(threads: Vec<JoinHandle<()>>) {
    let joined = tokio::task::spawn_blocking(move || {
        for thread in threads {
            // A panic has been told by the thread's own guard.
            let _ = thread.join();
        }
    });
    let _ = joined.await;
}
