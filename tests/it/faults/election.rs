//! Logs that lose their end with their leader, and are refilled by the next one.

use std::time::Duration;

use super::{SOON, hurry};
use crate::counting::{STOP_TIMEOUT, Setup, Writer, ask};
use crate::support::{Cluster, Program, engine, eventually, unique};

/// How long the election may take, and producers and workers to find the new leader.
const ELECTION_TIMEOUT: Duration = Duration::from_secs(120);

/// A worker's message after an unclean election.
const REFUSAL: &str = "lost records that were counted, and others took their offsets";

/// Counting continues across a clean change of leaders. An unclean one, which puts other records in
/// the offsets of counted ones, is refused, by a worker that was running and by one that was not,
/// at each start, however far the log has grown since.
#[test]
fn a_log_that_an_election_has_cut_and_others_have_filled_is_refused() {
    let Some(cluster) = Cluster::start() else { return };
    let [running, stopped] = [(), ()].map(|()| {
        let mut setup = Setup::between(&cluster.kafka, engine(), 1);
        hurry(&mut setup);
        setup.topic = unique("elected");
        cluster.create_topic(&setup.topic);
        cluster.wait_for_leader(&setup.topic, 2, 2);
        setup
    });
    let setups = [&running, &stopped];
    let mut writer = Writer::new(81);
    let mut worker = running.joined_worker();
    let mut other_worker = stopped.joined_worker();
    let counted_by_all = |writer: &Writer| setups.map(|setup| setup.check(writer));
    let append = |writer: &mut Writer, records| {
        let records = writer.write(records);
        setups.iter().for_each(|setup| setup.produce(&records));
    };
    append(&mut writer, 100);
    counted_by_all(&writer);

    // Broker 3 takes over with all records of broker 2.
    cluster.kill(2);
    setups.iter().for_each(|setup| cluster.wait_for_leader(&setup.topic, 3, 1));
    append(&mut writer, 200);
    counted_by_all(&writer);
    assert!(looks(&mut worker) > 0, "the last record is looked for when the leader epoch changes");

    // Broker 2 comes back as the only one, without these 200 records.
    assert!(other_worker.terminate(STOP_TIMEOUT).success());
    cluster.kill(3);
    cluster.restart(2);
    setups.iter().for_each(|setup| cluster.wait_for_leader(&setup.topic, 2, 1));
    append(&mut Writer::new(82), 250);
    assert_eq!(
        setups.map(Setup::log_ends),
        [350, 350],
        "the log has grown beyond where it was counted"
    );
    worker.wait_for_line("partition refused", ELECTION_TIMEOUT);
    assert!(worker.terminate(STOP_TIMEOUT).success());

    for setup in setups {
        let mut worker = setup.worker();
        refused(&mut worker, &setup.topic);
        // More records make no difference.
        setup.produce(&Writer::new(83).write(100));
        std::thread::sleep(Duration::from_secs(1));
        setup.counted().assert_is(&writer.counted());
        assert_eq!(setup.progress().next_offsets, 300);
        assert!(worker.terminate(STOP_TIMEOUT).success());
    }
}

/// How often the worker has checked its last record because of another leader epoch.
fn looks(worker: &mut Program) -> u64 {
    let (_, metrics) = ask(worker, "/metrics");
    let line = metrics
        .lines()
        .find(|line| line.starts_with("seatmeter_seeks_total{cause=\"leader_epoch\"}"));
    line.map_or(0, |line| line.split_whitespace().last().unwrap().parse().unwrap())
}

/// Waits until the worker reports that its log was cut and refilled, with the way out.
fn refused(worker: &mut Program, topic: &str) {
    let line = worker.wait_for_line("partition refused", SOON);
    assert!(line.contains("ERROR") && line.contains(REFUSAL) && line.contains(topic), "{line}");
    assert!(line.contains("count what it holds now into another database"), "{line}");
    eventually("readiness says why", SOON, || {
        let (status, readiness) = ask(worker, "/readyz");
        (status == 503 && readiness.contains(REFUSAL)).then_some(())
    });
}
