//! A cluster of three nodes, two of which hold the replicas of a test's topics, for tests of leader
//! failures.

use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::admin::{NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use tempfile::TempDir;

use super::{ADMIN_TIMEOUT, Broker, Extras, Kafka, Kind, START_TIMEOUT, free_ports};
use crate::support::eventually;

/// Short timeouts for lagging replicas and dead brokers; unclean elections are allowed.
const IMPATIENCE: [(&str, &str); 6] = [
    ("broker.session.timeout.ms", "2000"),
    ("broker.heartbeat.interval.ms", "300"),
    ("replica.lag.time.max.ms", "3000"),
    ("unclean.leader.election.enable", "true"),
    ("unclean.leader.election.interval.ms", "1000"),
    ("min.insync.replicas", "1"),
];

/// Brokers 2 and 3, which may be killed, and node 1, which is the controller and holds the groups'
/// offsets.
pub(crate) struct Cluster {
    /// Node 1, and the addresses of all three.
    pub(crate) kafka: Kafka,
    brokers: [Broker; 2],
}

impl Cluster {
    /// Starts all nodes; `None` if there is no real Kafka.
    #[track_caller]
    pub(crate) fn start() -> Option<Cluster> {
        let owned = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let kafka = Kafka::in_folder(owned.path().to_owned(), Some(owned), None, &extras(&[]));
        let Kind::Real(first) = &kafka.kind else { return None };
        // While it is the only node, so that the groups' offsets are placed there.
        let group: BaseConsumer = kafka.client_config().set("group.id", "first").create().unwrap();
        let mut nowhere = TopicPartitionList::new();
        nowhere.add_partition("none", 0);
        eventually("groups have a coordinator", START_TIMEOUT, || {
            group.committed_offsets(nowhere.clone(), Duration::from_secs(5)).ok()
        });
        let controllers = std::fs::read_to_string(first.folder.join("server.properties")).unwrap();
        let quorum = controllers
            .lines()
            .find_map(|line| line.strip_prefix("controller.quorum.voters="))
            .unwrap();
        let mut servers = kafka.bootstrap_servers.clone();
        let brokers = [2, 3].map(|node| {
            let [port, unused] = free_ports();
            servers = format!("{servers},127.0.0.1:{port}");
            let (id, listener) = (node.to_string(), format!("PLAINTEXT://127.0.0.1:{port}"));
            let own = extras(&[
                ("process.roles", "broker"),
                ("node.id", &id),
                ("listeners", &listener),
                ("controller.quorum.voters", quorum),
            ]);
            let owned = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            let broker = Broker::new(first.jars.clone(), owned.path().to_owned(), Some(owned));
            broker.format(port, port, unused, &own);
            broker.launch();
            broker
        });
        let cluster = Cluster { kafka: Kafka { bootstrap_servers: servers, ..kafka }, brokers };
        let brokers = || {
            cluster
                .consumer()
                .fetch_metadata(None, Duration::from_secs(5))
                .ok()
                .map(|m| m.brokers().len())
        };
        eventually("all brokers have joined", START_TIMEOUT, || {
            (brokers() == Some(3)).then_some(())
        });
        Some(cluster)
    }

    /// Creates a topic of one partition on brokers 2, its leader, and 3.
    #[track_caller]
    pub(crate) fn create_topic(&self, name: &str) {
        let topic = NewTopic::new(name, 1, TopicReplication::Variable(&[&[2, 3]]));
        let created = self
            .kafka
            .administer(async |admin, options| admin.create_topics([&topic], options).await);
        assert_eq!(created, [Ok(name.to_owned())]);
    }

    /// Kills broker 2 or 3 at once.
    #[track_caller]
    pub(crate) fn kill(&self, node: usize) {
        *self.brokers[node - 2].running.lock().unwrap() = None;
    }

    /// Starts it again on the same data.
    #[track_caller]
    pub(crate) fn restart(&self, node: usize) {
        self.brokers[node - 2].launch();
    }

    /// Waits until the topic's partition is led by this broker, with so many replicas in sync.
    #[track_caller]
    pub(crate) fn wait_for_leader(&self, topic: &str, leader: i32, in_sync: usize) {
        let consumer = self.consumer();
        eventually("the partition has that leader", START_TIMEOUT, || {
            let metadata = consumer.fetch_metadata(Some(topic), ADMIN_TIMEOUT).ok()?;
            let partition = metadata.topics().first()?.partitions().first()?;
            (partition.leader() == leader && partition.isr().len() == in_sync).then_some(())
        });
    }

    fn consumer(&self) -> BaseConsumer {
        self.kafka.client_config().set("log_level", "0").create().unwrap()
    }
}

/// These properties; a later one overrides an earlier one with its name.
fn extras(own: &[(&str, &str)]) -> Extras {
    let properties =
        IMPATIENCE.iter().chain(own).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Extras { properties: properties.collect(), ..Extras::default() }
}
