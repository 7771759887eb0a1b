//! Faults of a consumer group: members that join, leave, die and stall, and committed offsets that
//! are lost or wrong.

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};

use super::hurry;
use crate::counting::{COUNT_TIMEOUT, STOP_TIMEOUT, Setup, Writer};

/// One worker joins, one is killed, one is stopped by SIGTERM, one is stalled past its session and
/// continues.
#[track_caller]
fn members_come_and_go(assignor: &str, seed: u64) {
    let mut setup = Setup::new(4);
    hurry(&mut setup);
    setup.set("KAFKA__ASSIGNOR", assignor);
    let mut writer = Writer::new(seed);
    setup.produce(&writer.write(3_000));
    let first = setup.joined_worker();
    let mut second = setup.joined_worker();
    setup.produce(&writer.write(1_000));
    let mut third = setup.joined_worker();
    setup.wait_until_counted();

    setup.produce(&writer.write(1_000));
    first.signal("STOP");
    setup.produce(&writer.write(1_000));
    // The group removes the first one after its session timeout, and the others count its
    // partitions.
    setup.wait_until_counted();
    second.kill();
    setup.produce(&writer.write(1_000));
    first.signal("CONT");
    assert!(third.terminate(STOP_TIMEOUT).success(), "{}", third.stderr());
    setup.produce(&writer.write(1_000));
    let mut first = first;
    first.wait_for_line("partitions lost", COUNT_TIMEOUT);
    setup.check(&writer);
    assert!(first.terminate(STOP_TIMEOUT).success(), "{}", first.stderr());
}

#[test]
fn members_come_and_go_in_a_cooperative_group() {
    members_come_and_go("cooperative-sticky", 11);
}

#[test]
fn members_come_and_go_in_an_eager_group() {
    members_come_and_go("range", 12);
}

#[test]
fn committed_offsets_decide_nothing() {
    let setup = Setup::new(2);
    let mut writer = Writer::new(13);
    setup.produce(&writer.write(2_000));
    let mut worker = setup.worker();
    setup.check(&writer);
    assert!(worker.terminate(STOP_TIMEOUT).success());
    // The worker has left the group, so it is empty.
    setup.kafka.delete_group(&setup.group);
    setup.produce(&writer.write(500));
    let mut worker = setup.worker();
    setup.check(&writer);
    assert!(worker.terminate(STOP_TIMEOUT).success());

    // Offsets committed by another client: beyond the progress, before it, and beyond the end of
    // the log.
    for lie in ["end", "beginning", "beyond"] {
        setup.produce(&writer.write(500));
        commit_as_stranger(&setup, lie);
        let mut worker = setup.worker();
        setup.check(&writer);
        assert!(worker.terminate(STOP_TIMEOUT).success());
    }

    // librdkafka must not decide either.
    let mut refused = setup.command(&["worker"]);
    let refused =
        refused.env("SEATMETER__KAFKA__PROPERTIES__AUTO_OFFSET_RESET", "latest").output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        !refused.status.success() && said.contains("where to start is decided by the progress"),
        "{said}"
    );
}

/// Commits offsets for the group, as tools do.
fn commit_as_stranger(setup: &Setup<'_>, lie: &str) {
    let stranger: BaseConsumer =
        setup.kafka.client_config().set("group.id", &setup.group).create().unwrap();
    let mut offsets = rdkafka::TopicPartitionList::new();
    for partition in 0..setup.partitions() {
        let end = i64::try_from(setup.log_end(partition)).unwrap();
        let offset = match lie {
            "end" => end,
            "beginning" => 0,
            _ => end + 1_000,
        };
        offsets
            .add_partition_offset(&setup.topic, partition, rdkafka::Offset::Offset(offset))
            .unwrap();
    }
    stranger.commit(&offsets, CommitMode::Sync).unwrap();
}
