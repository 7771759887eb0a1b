//! Starts all threads and tasks of the worker, and stops them in an order that loses nothing.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::Consumer as _;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::{Client, Context, consumer_properties};
use super::commit::Committer;
use super::consumer::{self, ConsumerThread};
use super::ends::{Ends, watch_ends};
use super::error::IngestError;
use super::flush::{Books, Coordinator, Intervals, Unwritten};
use super::headway::Teller;
use super::held_budget::HeldBudget;
use super::librdkafka::{Queue, QueueTarget};
use super::load::Loader;
use super::messages::{
    ConsumerHandle, Fatal, FatalSender, FlushHints, FlushRequest, ToConsumer, ToWorker,
    WorkerHandle,
};
use super::positions::Positions;
use super::rebalance::Tenure;
use super::retry::Dependency;
use super::split_accounts::watch_split_accounts;
use super::start::Starter;
use super::tail::{Stalled, watch_tails};
use super::topic::{Topic, wait_for_topic, watch_topic};
use super::watchdog::{self, Heartbeat, beating};
use super::worker::{self, Worker};
use crate::alerts::AlertWatch;
use crate::config::Config;
use crate::core::calendar::RELEASE;
use crate::core::id::UserKeySeed;
use crate::kafka::Causes;
use crate::store::Store;
use crate::telemetry::events;
use crate::telemetry::health::Health;

/// Time limit for leaving the group before the process ends without it.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(15);

/// Time limit for tasks to end: as long as the slowest broker request.
const TASKS_TIMEOUT: Duration = Duration::from_secs(8);

/// All running threads and tasks.
pub(super) struct Supervisor {
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

impl Supervisor {
    /// Starts all threads and tasks. Nothing is read before [`Supervisor::join_group`].
    pub(super) fn start(
        config: &Config,
        (store, seed): (Store, UserKeySeed),
        (health, positions): (Arc<Health>, Arc<Positions>),
        alerts: Option<AlertWatch>,
        fatal: FatalSender,
    ) -> Result<Self, IngestError> {
        let (to_consumer, consumer_inbox) = crossbeam_channel::unbounded();
        let common = Common::new(config, (store, seed), (health, positions), fatal, to_consumer)?;
        let (flush_requests, flush_inbox) = mpsc::unbounded_channel();
        let (tails, tail_requests) = mpsc::channel(1);
        let (flush_deadline, deadline) = watch::channel(None);
        let (stop, tasks, look_at_topic) =
            (CancellationToken::new(), TaskTracker::new(), Arc::new(Notify::new()));

        let ends = Arc::new(Ends::default());
        let crew = Crew::start(&common, &ends)?;
        let workers: Vec<WorkerHandle> =
            crew.workers.iter().map(|(_, worker)| worker.clone()).collect();
        let flushes = Heartbeat::new("flush".to_owned());
        let coordinator = common.coordinator(&workers, tails, crew.hints, alerts);
        let flushing = coordinator.run(flush_inbox, deadline);
        let coordinator = tokio::spawn(beating(Arc::clone(&flushes), flushing));
        tasks.spawn(watch_tails(
            config.kafka.clone(),
            workers.clone(),
            tail_requests,
            stop.clone(),
        ));
        common.watch(ends, &tasks, &stop);
        let heartbeat = Heartbeat::new("kafka-poll".to_owned());
        let mut heartbeats = crew.heartbeats;
        heartbeats.extend([flushes, Arc::clone(&heartbeat)]);
        let thread = ConsumerThread {
            client: Arc::clone(&common.client),
            topic: common.topic.name.clone(),
            group: config.kafka.group_id.clone(),
            inbox: consumer_inbox,
            coordinator: flush_requests.clone(),
            starter: common.starter(),
            look_at_topic: Arc::clone(&look_at_topic),
            runtime: Handle::current(),
            tasks: tasks.clone(),
            revoke_deadline: config.ingest.revoke_deadline,
            health: Arc::clone(&common.health),
            heartbeat: Arc::clone(&heartbeat),
            fatal: common.fatal.clone(),
            state: consumer::State::new(crew.workers.len()),
            workers: crew.workers,
        };
        let Common { topic, kafka, consumer, health, fatal, .. } = common;
        let consumer_thread = spawn_watched(&heartbeat, &fatal, move || thread.run())?;
        let limit = config.ingest.watchdog_timeout;
        let watchdog = std::thread::Builder::new().name("watchdog".to_owned());
        watchdog.spawn(move || watchdog::watch(&heartbeats, limit, &health, &fatal))?;
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
    pub(super) async fn join_group(&mut self) -> Result<(), IngestError> {
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
    pub(super) async fn stop(mut self, flush_timeout: Duration) -> Result<(), IngestError> {
        events::stopping();
        self.stop.cancel();
        let (frozen, are_frozen) = oneshot::channel();
        self.consumer.send(ToConsumer::Finish(frozen));
        // Without a reply the consumer thread is gone, and no lane is frozen any more.
        let held = are_frozen.await.ok();
        let written = self.last_flush(flush_timeout, held.as_ref()).await;
        for worker in &self.workers {
            worker.send(ToWorker::Exit);
        }
        let Self { topic, consumer, worker_threads, consumer_thread, tasks, .. } = self;
        // The last users of the client must release it before the consumer thread can close it.
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

    /// A flush may still wait for lanes that were lost to another member, which goes on counting
    /// them. So only unwritten lanes that are still `held` are an error; if the held ones are
    /// unknown, all of them.
    async fn last_flush(
        &mut self,
        timeout: Duration,
        held: Option<&BTreeSet<Tenure>>,
    ) -> Result<(), IngestError> {
        let Some(coordinator) = self.coordinator.take() else { return Ok(()) };
        self.flush_deadline.send_replace(Some(Instant::now() + timeout));
        // A coordinator that has ended already is detected below.
        let _ = self.flush_requests.send(FlushRequest::Finish);
        match coordinator.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Unwritten { lanes, reason })) => {
                let is_held = |lane: &&Tenure| held.is_none_or(|held| held.contains(*lane));
                let partitions = lanes.iter().filter(is_held).count();
                if partitions == 0 {
                    return Ok(());
                }
                let reason =
                    reason.unwrap_or_else(|| format!("it took more than {} s", timeout.as_secs()));
                Err(IngestError::NotWritten { partitions, reason })
            }
            Err(_) => Err(IngestError::ThreadPanicked { thread: "flush".to_owned() }),
        }
    }
}

/// State that the parts of a worker share.
struct Common<'a> {
    config: &'a Config,
    store: Store,
    seed: UserKeySeed,
    health: Arc<Health>,
    /// The position of each partition, for a feeder of this process.
    positions: Arc<Positions>,
    fatal: FatalSender,
    consumer: ConsumerHandle,
    client: Arc<Client>,
    topic: Topic,
    /// Kafka, for the tasks that ask about the topic.
    kafka: Arc<Dependency>,
}

impl<'a> Common<'a> {
    fn new(
        config: &'a Config,
        (store, seed): (Store, UserKeySeed),
        (health, positions): (Arc<Health>, Arc<Positions>),
        fatal: FatalSender,
        to_consumer: crossbeam_channel::Sender<ToConsumer>,
    ) -> Result<Self, IngestError> {
        let consumer = ConsumerHandle(to_consumer);
        let properties = consumer_properties(&config.kafka, &config.ingest);
        let client = Client::from_config_and_context(&properties, Context::of(&config.kafka))
            .map_err(|error| {
                IngestError::ClientConfig(Causes::new(&config.kafka).of_error(&error).to_string())
            })?;
        let client = Arc::new(client);
        let topic = Topic::new(&config.kafka.topic, &config.kafka.brokers, Arc::clone(&client));
        let kafka = Dependency::new("kafka", "cannot read from Kafka", Arc::clone(&health));
        Ok(Self { config, store, seed, health, positions, fatal, consumer, client, topic, kafka })
    }

    fn dependency(&self, component: &'static str, trouble: &'static str) -> Arc<Dependency> {
        Dependency::new(component, trouble, Arc::clone(&self.health))
    }

    fn coordinator(
        &self,
        workers: &[WorkerHandle],
        tails: mpsc::Sender<Vec<Stalled>>,
        hints: Arc<FlushHints>,
        alerts: Option<AlertWatch>,
    ) -> Coordinator {
        let limits = &self.config.ingest;
        Coordinator {
            store: self.store.clone(),
            clickhouse: self.dependency("clickhouse", "cannot write to ClickHouse"),
            kafka: Arc::clone(&self.kafka),
            topic: self.topic.clone(),
            committer: Committer::new(Arc::clone(&self.client), Arc::clone(&self.topic.name)),
            workers: workers.to_vec(),
            consumer: self.consumer.clone(),
            tails,
            intervals: Intervals {
                usual: limits.flush_interval,
                catch_up: limits.catch_up_flush_interval,
                idle: limits.idle_flush_interval,
            },
            headway: Teller::new(
                Arc::clone(&self.topic.name),
                self.client.context().names().clone(),
                Arc::clone(&self.health),
            ),
            hints,
            books: Books::default(),
            zone_release: RELEASE.into(),
            alerts,
        }
    }

    /// Starts the tasks that watch the ends of the log and look for split accounts.
    fn watch(&self, ends: Arc<Ends>, tasks: &TaskTracker, stop: &CancellationToken) {
        let kafka = Arc::clone(&self.kafka);
        tasks.spawn(watch_ends(self.topic.clone(), ends, kafka, stop.clone()));
        tasks.spawn(watch_split_accounts(
            self.store.clone(),
            self.config.kafka.topic.clone(),
            Arc::clone(&self.health),
            stop.clone(),
        ));
    }

    fn starter(&self) -> Starter {
        Starter {
            store: self.store.clone(),
            topic: self.topic.clone(),
            progress: self.dependency("start", "cannot read the progress from ClickHouse"),
            kafka: Arc::clone(&self.kafka),
            consumer: self.consumer.clone(),
        }
    }
}

/// The worker threads.
struct Crew {
    workers: Vec<(QueueTarget, WorkerHandle)>,
    threads: Vec<JoinHandle<()>>,
    heartbeats: Vec<Arc<Heartbeat>>,
    hints: Arc<FlushHints>,
}

impl Crew {
    fn start(common: &Common<'_>, ends: &Arc<Ends>) -> Result<Self, IngestError> {
        let limits = &common.config.ingest;
        let topic = &common.config.kafka.topic;
        let topic_c =
            CString::new(topic.as_str()).map_err(|_| IngestError::TopicName(topic.clone()))?;
        let dependency = common.dependency("load", "cannot load from ClickHouse");
        let hints = Arc::new(FlushHints::default());
        let mut crew =
            Self { workers: Vec::new(), threads: Vec::new(), heartbeats: Vec::new(), hints };
        let workers = limits.worker_threads.max(1);
        let budget = Arc::new(HeldBudget::new(limits.held_mbytes_max << 20, workers));
        for number in 0..workers {
            let (to_worker, inbox) = crossbeam_channel::unbounded();
            let handle = WorkerHandle(to_worker);
            let heartbeat = Heartbeat::new(format!("worker-{number}"));
            let queue = Queue::new(Arc::clone(&common.client));
            let loader = Loader {
                store: common.store.clone(),
                runtime: Handle::current(),
                dependency: Arc::clone(&dependency),
                worker: handle.clone(),
            };
            crew.workers.push((queue.target(), handle));
            let worker = Worker {
                number,
                client: Arc::clone(&common.client),
                topic: topic.as_str().into(),
                topic_c: topic_c.clone(),
                inbox,
                consumer: common.consumer.clone(),
                loader,
                ends: Arc::clone(ends),
                positions: Arc::clone(&common.positions),
                seed: common.seed,
                limits: limits.clone(),
                budget: Arc::clone(&budget),
                heartbeat: Arc::clone(&heartbeat),
                fatal: common.fatal.clone(),
                hints: Arc::clone(&crew.hints),
                state: worker::State::default(),
            };
            crew.threads.push(spawn_watched(&heartbeat, &common.fatal, move || worker.run(queue))?);
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

/// Waits for threads to end, without blocking the runtime.
async fn join_all(threads: Vec<JoinHandle<()>>) {
    let joined = tokio::task::spawn_blocking(move || {
        for thread in threads {
            // The thread's guard has reported a panic.
            let _ = thread.join();
        }
    });
    let _ = joined.await;
}
