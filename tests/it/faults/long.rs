//! The long run: random faults, one after the other or several at once, over a growing log, with
//! three workers. Our counts are compared with the naive ones after each; those of a plain consumer
//! under the same faults are measured.
//!
//! ```text
//! SEATMETER_FAULT_SECONDS=600 SEATMETER_FAULT_SEED=17 \
//!     cargo test --test it faults::long -- --ignored --nocapture
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime};

use rdkafka::producer::Producer as _;

use super::arena::{Arena, MEMBERS, wait_for_end};
use super::{SOON, plain_consumer};
use crate::counting::{Record, Writer, produce};
use crate::support::http_proxy::{Meddling, Rule};
use crate::support::tcp_proxy::TcpProxy;
use crate::support::{Kafka, eventually, patience, unique};

/// Longer than the session timeout of these tests.
const BEYOND_SESSION: Duration = Duration::from_secs(5);

/// No more partitions than this are added.
const PARTITIONS_MAX: i32 = 10;

/// The table so far is printed after so many rounds.
const ROUNDS_BETWEEN_TABLES: usize = 50;

/// Name of rounds with more than one fault.
const SEVERAL: &str = "two of these at once";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Kill,
    Stop,
    Stall,
    Join,
    EngineKilled,
    EngineAway,
    Refused,
    Slow,
    RequestCut,
    AnswerCut,
    AnswerLost,
    NoAnswer,
    BrokerKilled,
    BrokerFrozen,
    ConnectionsCut,
    OffsetsDeleted,
    Aborted,
    PartitionsAdded,
    LogStartMoved,
}

const FAULTS: [(Fault, &str); 19] = [
    (Fault::Kill, "worker killed (`kill -9`)"),
    (Fault::Stop, "worker stopped politely and restarted"),
    (Fault::Stall, "worker stalled past its session (SIGSTOP), then continued"),
    (Fault::Join, "worker joins, another one leaves"),
    (Fault::EngineKilled, "ClickHouse killed and restarted"),
    (Fault::EngineAway, "ClickHouse away for longer than the session timeout"),
    (Fault::Refused, "ClickHouse refuses inserts for a while"),
    (Fault::Slow, "ClickHouse is slow"),
    (Fault::RequestCut, "requests to ClickHouse cut half way"),
    (Fault::AnswerCut, "answers of ClickHouse cut half way"),
    (Fault::AnswerLost, "insert done, acknowledgement lost"),
    (Fault::NoAnswer, "insert done, answer never comes"),
    (Fault::BrokerKilled, "broker killed and restarted"),
    (Fault::BrokerFrozen, "broker frozen for longer than the session timeout"),
    (Fault::ConnectionsCut, "connections to Kafka cut"),
    (Fault::OffsetsDeleted, "the group's committed offsets deleted"),
    (Fault::Aborted, "transactions aborted"),
    (Fault::PartitionsAdded, "partitions added"),
    (Fault::LogStartMoved, "start of the log moved past the progress"),
];

/// Results of a kind of fault.
#[derive(Default)]
struct Tally {
    survived: u32,
    /// Tests that the plain consumer counted too many or too few, round by round.
    plain_off: Vec<i64>,
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn say(text: &str) {
    // Not println!, which is captured by the harness.
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[test]
#[ignore = "takes as long as it is told to, 10 minutes unless told otherwise"]
fn random_faults_change_no_count() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = from_environment("SEATMETER_FAULT_SEED").unwrap_or(u64::from(now.subsec_nanos()));
    let seconds = from_environment("SEATMETER_FAULT_SECONDS").unwrap_or(600);
    say(&format!(
        "SEATMETER_FAULT_SEED={seed} SEATMETER_FAULT_SECONDS={seconds} (a seed sets log and \
        schedule, not timing)"
    ));
    let brokers = TcpProxy::start();
    let kafka = Kafka::start_behind(&brokers);
    assert!(!kafka.is_mock(), "the long run needs Apache Kafka");
    let mut arena = Arena::new(&kafka, brokers, seed);
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut schedule: Vec<(Fault, &str)> = Vec::new();
    let mut plain_off = 0;
    for round in 1.. {
        if Instant::now() >= until {
            break;
        }
        if schedule.is_empty() {
            // Each kind occurs regularly.
            schedule.extend(FAULTS);
            arena.dice.shuffle(&mut schedule);
        }
        let mut faults: Vec<(Fault, &str)> = schedule.pop().into_iter().collect();
        if arena.dice.chance(20) {
            faults.extend(schedule.pop());
        }
        say(&format!("{:?}", faults.iter().map(|(fault, _)| fault).collect::<Vec<_>>()));
        for (fault, name) in &faults {
            tallies.entry(name).or_default().survived += strike(&mut arena, *fault);
        }
        let off = arena.settle();
        let row = if let [(_, name)] = faults.as_slice() { name } else { SEVERAL };
        let tally = tallies.entry(row).or_default();
        tally.survived += u32::from(row == SEVERAL);
        tally.plain_off.push(off - plain_off);
        plain_off = off;
        if round % ROUNDS_BETWEEN_TABLES == 0 {
            say(&format!("after {round} rounds:\n{}", table(&tallies, &arena, plain_off)));
        }
    }
    arena.stop_members();
    say(&table(&tallies, &arena, plain_off));
}

/// Applies the fault, and returns how often.
fn strike(arena: &mut Arena<'_>, fault: Fault) -> u32 {
    let times = u32::try_from(arena.dice.between(1, 3)).unwrap();
    match fault {
        Fault::Kill | Fault::Stop | Fault::Stall | Fault::Join => arena.while_producing(|arena| {
            for _ in 0..times {
                strike_member(arena, fault);
                wait_a_little(arena);
            }
            times
        }),
        Fault::EngineKilled | Fault::EngineAway => arena.while_producing(|arena| {
            wait_a_little(arena);
            arena.engine.process.kill().unwrap();
            if fault == Fault::EngineAway {
                std::thread::sleep(BEYOND_SESSION)
            } else {
                wait_a_little(arena)
            }
            arena.engine.process.restart().unwrap();
            1
        }),
        Fault::Refused
        | Fault::Slow
        | Fault::RequestCut
        | Fault::AnswerCut
        | Fault::AnswerLost
        | Fault::NoAnswer => meddle(arena, fault),
        Fault::BrokerKilled => arena.while_producing(|arena| {
            wait_a_little(arena);
            arena.setup.kafka.kill();
            wait_a_little(arena);
            arena.setup.kafka.restart();
            1
        }),
        Fault::BrokerFrozen => arena.while_producing(|arena| {
            wait_a_little(arena);
            arena.setup.kafka.signal("STOP");
            std::thread::sleep(BEYOND_SESSION);
            arena.setup.kafka.signal("CONT");
            1
        }),
        Fault::ConnectionsCut => arena.while_producing(|arena| {
            for _ in 0..times {
                arena.brokers.cut();
                wait_a_little(arena);
            }
            arena.brokers.close();
            wait_a_little(arena);
            arena.brokers.open();
            times + 1
        }),
        Fault::OffsetsDeleted | Fault::LogStartMoved => between_two_lives(arena, fault),
        Fault::Aborted => abort_transactions(arena),
        Fault::PartitionsAdded => add_partition(arena),
    }
}

fn wait_a_little(arena: &mut Arena<'_>) {
    std::thread::sleep(Duration::from_millis(
        u64::try_from(arena.dice.between(50, 1_500)).unwrap(),
    ));
}

/// The same is applied to one member of each group.
fn strike_member(arena: &mut Arena<'_>, fault: Fault) {
    arena.start_members();
    let member = arena.dice.below(MEMBERS);
    match fault {
        Fault::Kill => {
            arena.ours.remove(member).kill();
            arena.plain.remove(member).kill();
        }
        Fault::Stall => {
            let both = [&arena.ours[member], &arena.plain[member]];
            both.into_iter().for_each(|stalled| stalled.signal("STOP"));
            std::thread::sleep(BEYOND_SESSION);
            both.into_iter().for_each(|stalled| stalled.signal("CONT"));
        }
        Fault::Join => {
            arena.ours.push(arena.setup.worker());
            arena.plain.push(plain_consumer::spawn(&arena.setup, &arena.clickhouse.url));
            wait_a_little(arena);
            stop_member(arena, member);
        }
        _ => stop_member(arena, member),
    }
}

fn stop_member(arena: &mut Arena<'_>, member: usize) {
    for members in [&mut arena.ours, &mut arena.plain] {
        let mut leaving = members.remove(member);
        leaving.signal("TERM");
        wait_for_end(&mut leaving);
    }
}

/// Requests that the proxy may be limited to.
const INSERT: &str = "INSERT";

fn meddle(arena: &mut Arena<'_>, fault: Fault) -> u32 {
    let every = u64::try_from(arena.dice.between(1, 3)).unwrap();
    let (meddling, only) = match fault {
        Fault::Refused => (Meddling::Refuse, INSERT),
        Fault::Slow => (
            Meddling::Delay(Duration::from_millis(
                u64::try_from(arena.dice.between(50, 900)).unwrap(),
            )),
            "",
        ),
        Fault::RequestCut => {
            (Meddling::CutRequest, if arena.dice.chance(50) { INSERT } else { "" })
        }
        Fault::AnswerCut => (Meddling::CutAnswer, if arena.dice.chance(50) { INSERT } else { "" }),
        Fault::AnswerLost => (Meddling::SwallowAnswer, INSERT),
        _ => (Meddling::Hang, INSERT),
    };
    let before = arena.clickhouse.meddled();
    arena.clickhouse.set(Rule { meddling, every, only });
    arena.while_producing(|arena| (0..4).for_each(|_| wait_a_little(arena)));
    arena.clickhouse.clear();
    u32::try_from(arena.clickhouse.meddled() - before).unwrap()
}

/// Faults that are applied while no member of any group runs.
fn between_two_lives(arena: &mut Arena<'_>, fault: Fault) -> u32 {
    arena.while_producing(wait_a_little);
    arena.settle();
    arena.stop_members();
    let (kafka, topic) = (arena.setup.kafka, arena.setup.topic.clone());
    if fault == Fault::OffsetsDeleted {
        kafka.delete_group(&arena.setup.group);
        kafka.delete_group(&plain_consumer::group(&arena.setup));
    } else {
        let lost: Vec<Record> = (0..500)
            .map(|number| Record { key: Some(format!("key-{number}")), value: None })
            .collect();
        arena.setup.produce(&lost);
        for partition in 0..arena.setup.partitions() {
            kafka.delete_records(&topic, partition, kafka.watermarks(&topic, partition).1);
        }
        arena.writer.forget_sent_tests();
    }
    arena.start_members();
    arena.while_producing(wait_a_little);
    1
}

/// Transactions that are aborted and committed in turn; aborted records are invalid. The last one
/// is committed, because a plain consumer never commits offsets that hold nothing.
fn abort_transactions(arena: &mut Arena<'_>) -> u32 {
    let timeout = patience(Duration::from_secs(30));
    let producer = arena.setup.producer(&[("transactional.id", &unique("tx"))]);
    producer.init_transactions(timeout).unwrap();
    let garbage = Writer::new(arena.dice.salt()).write(100);
    for _ in 0..3 {
        for (records, is_committed) in [(garbage.clone(), false), (arena.writer.write(150), true)] {
            producer.begin_transaction().unwrap();
            produce(&producer, &arena.setup.topic, &records);
            let ended = if is_committed {
                producer.commit_transaction(timeout)
            } else {
                producer.abort_transaction(timeout)
            };
            ended.unwrap();
        }
    }
    3
}

/// By the contract: the producers stop, all is counted, a partition is added, the producers go on.
fn add_partition(arena: &mut Arena<'_>) -> u32 {
    let partitions = arena.setup.partitions();
    arena.settle();
    if partitions >= PARTITIONS_MAX {
        return 0;
    }
    let more = partitions + 1;
    arena.setup.kafka.add_partitions(&arena.setup.topic, usize::try_from(more).unwrap());
    eventually("the partition is there", SOON, || (arena.setup.partitions() == more).then_some(()));
    arena.writer.forget_sent_tests();
    arena.while_producing(wait_a_little);
    1
}

/// The table of `tests/README.md`. Our counts are exact, or `settle` would have failed.
fn table(tallies: &BTreeMap<&str, Tally>, arena: &Arena<'_>, plain_off: i64) -> String {
    let mut lines = String::from(
        "| fault | survived | our counts off by | the plain consumer's off by, in tests (rounds in \
        which it was wrong) |\n\
         |---|---|---|---|\n",
    );
    for name in FAULTS.iter().map(|(_, name)| *name).chain([SEVERAL]) {
        let Some(Tally { survived, plain_off }) = tallies.get(name) else { continue };
        let (too_many, too_few): (Vec<i64>, Vec<i64>) = plain_off.iter().partition(|off| **off > 0);
        let wrong = plain_off.iter().filter(|off| **off != 0).count();
        let (too_many, too_few) = (too_many.iter().sum::<i64>(), too_few.iter().sum::<i64>());
        let rounds = plain_off.len();
        writeln!(
            lines,
            "| {name} | {survived} | 0 | +{too_many} / {too_few} ({wrong} of {rounds}) |"
        )
        .unwrap();
    }
    let progress = arena.setup.progress();
    let sent = arena.writer.tests_sent();
    writeln!(
        lines,
        "{progress:?}; {sent} tests were sent, the plain consumer is off by {plain_off}"
    )
    .unwrap();
    lines
}
