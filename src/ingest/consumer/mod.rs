//! The consumer thread: polls the client and acts on the group's decisions.
//!
//! It only polls and sends messages. A revocation is answered once the coordinator has flushed the
//! partitions or the deadline has passed, and polling continues meanwhile; nothing here waits for
//! ClickHouse. [`super::rebalance`] has the table of all cases.

mod ready;
mod release;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use rdkafka::consumer::Consumer;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio_util::task::TaskTracker;

use super::client::{Client, assign, is_cooperative, is_fatal, unassign};
use super::librdkafka::{QueueTarget, TopicDescription, forward_partition};
use super::messages::{Fatal, FatalSender, FlushRequest, ToConsumer, ToWorker, WorkerHandle};
use super::opening::{Opening, Refusal};
use super::rebalance::{GroupEvent, Holding, Holdings, Release, ReleaseReason, Tenure};
use super::seek::{partition_list, pause};
use super::start::Starter;
use super::watchdog::Heartbeat;
use crate::telemetry::health::Health;
use crate::telemetry::{events, metrics};

/// The group's component on `/readyz`.
const GROUP: &str = "group";

/// Longest wait of one poll. Messages from other threads wait until it ends.
const POLL_WAIT: Duration = Duration::from_millis(50);

/// The consumer thread's state.
pub(super) struct ConsumerThread {
    pub(super) client: Arc<Client>,
    pub(super) topic: Arc<str>,
    pub(super) group: String,
    pub(super) inbox: Receiver<ToConsumer>,
    /// Each worker's queue and inbox.
    pub(super) workers: Vec<(QueueTarget, WorkerHandle)>,
    pub(super) coordinator: mpsc::UnboundedSender<FlushRequest>,
    pub(super) starter: Starter,
    pub(super) look_at_topic: Arc<Notify>,
    pub(super) runtime: Handle,
    /// Tasks that use the client and must end before it.
    pub(super) tasks: TaskTracker,
    pub(super) revoke_deadline: Duration,
    pub(super) health: Arc<Health>,
    pub(super) heartbeat: Arc<Heartbeat>,
    pub(super) fatal: FatalSender,
    pub(super) state: State,
}

/// The thread's mutable state.
pub(super) struct State {
    holdings: Holdings,
    /// Releases that wait for their last flush.
    releases: BTreeMap<u64, Release>,
    last_release: u64,
    refusals: BTreeMap<u32, Refusal>,
    /// Partitions of the topic, by the last description.
    topic_partitions: u32,
    readiness: Readiness,
    is_finishing: bool,
    is_over: bool,
}

/// The last reported readiness.
#[derive(Debug, Default)]
struct Readiness {
    is_member: bool,
    /// Every partition of an assignment has been read from.
    has_read: bool,
    /// Why the group does not accept this process.
    denial: Option<String>,
    partitions: Option<String>,
}

/// The process is a worker and has not joined its group yet.
pub(super) fn not_joined(health: &Health, group: &str) {
    health.not_ready(GROUP, format!("has not joined the consumer group {group} yet"));
}

impl State {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            holdings: Holdings::new(workers),
            releases: BTreeMap::new(),
            last_release: 0,
            refusals: BTreeMap::new(),
            topic_partitions: 0,
            readiness: Readiness::default(),
            is_finishing: false,
            is_over: false,
        }
    }
}

impl ConsumerThread {
    /// Polls until it is asked to close, then leaves the group.
    pub(super) fn run(mut self) {
        while !self.state.is_over {
            self.heartbeat.beat();
            self.poll();
            while let Some(event) = self.client.context().next_event() {
                self.group_decided(event);
            }
            while let Ok(message) = self.inbox.try_recv() {
                self.handle(message);
            }
            self.enforce_deadlines();
            self.tell_readiness();
        }
        self.leave();
    }

    fn poll(&mut self) {
        match self.client.poll(POLL_WAIT) {
            // Other errors have reached the context already.
            Some(Err(error)) if is_fatal(&error) => self.end_by(&error.to_string()),
            None | Some(Err(_)) => {}
            Some(Ok(stray)) => {
                // A message that bypassed its worker's queue is missing in its lane.
                let partition =
                    u32::try_from(rdkafka::Message::partition(&stray)).unwrap_or(u32::MAX);
                drop(stray);
                events::stray_message(partition);
                self.reopen(&[partition]);
            }
        }
        if let Some((_, text)) = self.client.client().fatal_error() {
            self.end_by(&text);
        }
    }

    fn end_by(&mut self, reason: &str) {
        self.fatal.send(Fatal::Client { reason: reason.to_owned() });
        self.state.is_over = true;
    }

    fn handle(&mut self, message: ToConsumer) {
        match message {
            ToConsumer::Subscribe(description) => {
                self.state.topic_partitions = description.partitions;
                if let Err(error) = self.client.subscribe(&[&self.topic]) {
                    self.end_by(&error.to_string());
                }
            }
            ToConsumer::Reading(tenure) => {
                if let Some(held) = self.state.holdings.current(tenure) {
                    held.is_read = true;
                }
            }
            ToConsumer::Started { tenure, outcome } => self.started(tenure, outcome),
            ToConsumer::Released(release) => self.released(release),
            ToConsumer::TopicSeen(description) => self.topic_seen(&description),
            ToConsumer::LookAtTopic => self.look_at_topic.notify_one(),
            ToConsumer::Broken(tenure) => {
                self.look_at_topic.notify_one();
                if self.state.holdings.current(tenure).is_some() {
                    self.reopen(&[tenure.partition]);
                }
            }
            ToConsumer::Differs(tenure, refusal) => self.refuse(tenure, refusal),
            ToConsumer::Finish(done) => {
                self.state.is_finishing = true;
                let all: Vec<(Tenure, usize)> =
                    self.state.holdings.iter().map(|held| (held.tenure, held.worker)).collect();
                self.tell_workers(&all, ToWorker::Freeze);
                let _ = done.send(all.into_iter().map(|(tenure, _)| tenure).collect());
            }
            ToConsumer::Close => self.state.is_over = true,
        }
    }

    fn group_decided(&mut self, event: GroupEvent) {
        // librdkafka may have delivered messages during the change, and lanes that stay are not
        // restarted.
        for (_, worker) in self.workers.iter() {
            worker.send(ToWorker::Doubt);
        }
        match event {
            GroupEvent::Assigned(partitions) => {
                metrics::rebalanced("assigned");
                events::assigned(&partitions);
                self.joined();
                self.assigned(&partitions);
            }
            GroupEvent::Revoked(partitions) => {
                metrics::rebalanced("revoked");
                events::revoked(&partitions);
                let tenures = self.end_tenures(&partitions);
                // A process that ends has frozen its lanes and flushes them already; closing
                // answers the group.
                if !self.state.is_finishing {
                    let deadline = Some(Instant::now() + self.revoke_deadline);
                    self.release(Release {
                        reason: ReleaseReason::Revoked,
                        tenures,
                        partitions,
                        deadline,
                    });
                }
            }
            GroupEvent::Lost(partitions) => {
                metrics::rebalanced("lost");
                events::lost(&partitions);
                self.put_out(&partitions);
                self.lost(&partitions);
            }
        }
        self.tell_partitions();
    }

    fn assigned(&mut self, partitions: &[u32]) {
        if !is_cooperative(&self.client) {
            // An eager assignment names all our partitions; any other one was not revoked before,
            // and is released here.
            let before: Vec<u32> = self.state.holdings.partitions();
            let left = self.end_tenures(&before);
            self.tell_workers(&left, ToWorker::Forget);
        }
        self.begin(partitions);
    }

    /// Begins a tenure of each partition: assigns it natively, paused, and has its start
    /// determined.
    fn begin(&mut self, partitions: &[u32]) {
        let tenures = self.state.holdings.begin(partitions);
        for partition in partitions {
            self.state.refusals.remove(partition);
        }
        if let Err(error) = self.attach(partitions) {
            // Nothing would ever be read from these partitions, and the group would not notice.
            return self.end_by(&format!("partitions {partitions:?} cannot be assigned: {error}"));
        }
        if self.state.is_finishing {
            return;
        }
        let tokens = tenures
            .into_iter()
            .filter_map(|tenure| Some((tenure, self.state.holdings.current(tenure)?.ended.clone())))
            .collect();
        self.tasks.spawn_on(self.starter.clone().start(tokens), &self.runtime);
    }

    /// Assigns partitions natively: forwarded to their workers' queues, paused, at offset 0. With
    /// an offset, the later seek finds a started partition; nothing is fetched from offset 0.
    fn attach(&mut self, partitions: &[u32]) -> Result<(), anyhow::Error> {
        let list = partition_list(&self.topic, partitions.iter().map(|&partition| (partition, 0)))?;
        self.forward(partitions)?;
        pause(&self.client, &list)?;
        // Pausing waits for librdkafka's own thread, which undoes forwarding when a former
        // assignment ends. So this forwarding comes after that, and stays.
        self.forward(partitions)?;
        Ok(assign(&self.client, &list)?)
    }

    fn forward(&mut self, partitions: &[u32]) -> Result<(), anyhow::Error> {
        for held in
            self.state.holdings.iter().filter(|held| partitions.contains(&held.tenure.partition))
        {
            forward_partition(
                &self.client,
                &self.topic,
                held.tenure.partition,
                &self.workers[held.worker].0,
            )?;
        }
        Ok(())
    }

    fn started(&mut self, tenure: Tenure, outcome: Result<Opening, Refusal>) {
        if self.state.is_finishing {
            return;
        }
        let Some(held) = self.state.holdings.current(tenure) else { return };
        match outcome {
            Ok(opening) => {
                let was_refused = std::mem::take(&mut held.is_refused);
                held.topic_id = Some(opening.source.topic_id().to_owned());
                let worker = held.worker;
                self.workers[worker].1.send(ToWorker::Open(tenure, Box::new(opening)));
                if was_refused {
                    self.state.refusals.remove(&tenure.partition);
                    self.tell_partitions();
                }
            }
            Err(refusal) => self.refuse(tenure, refusal),
        }
    }

    /// Stops counting this partition. It stays assigned, so that no other member tries the same.
    fn refuse(&mut self, tenure: Tenure, refusal: Refusal) {
        let Some(held) = self.state.holdings.current(tenure) else { return };
        held.is_refused = true;
        let worker = held.worker;
        events::refused(&refusal);
        self.tell_workers(&[(tenure, worker)], ToWorker::Forget);
        let paused = partition_list(&self.topic, [(tenure.partition, 0)])
            .and_then(|list| pause(&self.client, &list));
        if let Err(error) = paused {
            // The worker drops what is still read, because it has no lane for it.
            events::pause_failed(tenure.partition, &error.to_string());
        }
        self.state.refusals.insert(tenure.partition, refusal);
        self.tell_partitions();
    }

    fn topic_seen(&mut self, description: &TopicDescription) {
        let recreated: Vec<(Tenure, String)> = self
            .state
            .holdings
            .iter()
            .filter(|held| !held.is_refused)
            .filter_map(|held| {
                Some((held.tenure, held.topic_id.clone().filter(|id| *id != description.id)?))
            })
            .collect();
        for (tenure, recorded) in recreated {
            let refusal = Refusal::Recreated {
                topic: self.topic.to_string(),
                partition: tenure.partition,
                recorded,
                current: description.id.clone(),
            };
            self.refuse(tenure, refusal);
        }
        let before = std::mem::replace(&mut self.state.topic_partitions, description.partitions);
        if before != description.partitions {
            events::partitions_changed(&self.topic, before, description.partitions);
            // An account's facts may come from another partition from now on, so the state of the
            // lanes is stale.
            let counted: Vec<u32> = self
                .state
                .holdings
                .iter()
                .filter(|held| !held.is_refused)
                .map(|held| held.tenure.partition)
                .collect();
            self.reopen(&counted);
        }
    }

    /// Ends tenures, and returns them with their workers.
    fn end_tenures(&mut self, partitions: &[u32]) -> Vec<(Tenure, usize)> {
        for partition in partitions {
            self.state.refusals.remove(partition);
        }
        let ended: Vec<Holding> = self.state.holdings.end(partitions);
        ended.iter().map(|held| (held.tenure, held.worker)).collect()
    }

    /// Unassigns partitions natively.
    fn let_go(&self, partitions: &[u32]) {
        let list = partition_list(&self.topic, partitions.iter().map(|&partition| (partition, 0)));
        if let Err(error) = list.and_then(|list| unassign(&self.client, &list)) {
            events::rebalance_failed(&error.to_string());
        }
    }

    fn tell_workers(
        &self,
        tenures: &[(Tenure, usize)],
        message: impl Fn(BTreeSet<Tenure>) -> ToWorker,
    ) {
        for (number, (_, worker)) in self.workers.iter().enumerate() {
            let of_worker =
                tenures.iter().filter(|(_, owner)| *owner == number).map(|(tenure, _)| *tenure);
            let of_worker: BTreeSet<Tenure> = of_worker.collect();
            if !of_worker.is_empty() {
                worker.send(message(of_worker));
            }
        }
    }

    /// Updates the metrics of assigned and refused partitions.
    fn tell_partitions(&self) {
        metrics::partitions(self.state.holdings.iter().count(), self.state.refusals.len());
    }
}
