//! The rules of a lane, one by one. The simulation in `tests/it` combines them.

use super::*;
use crate::core::audit::{AuditedHour, RecordHour};
use crate::core::calendar::{Day, YearMonth, Zone};
use crate::core::event::{Event, Origin, PlanKind, Reject, RejectReason, TestExecuted};
use crate::core::id::{IdRef, UserKeySeed};
use crate::core::load::{AccountExtent, Loaded, Missing};
use crate::core::rollup::{
    ExecutionCount, SeatFact, SeatFactKind, SeatInterval, SeatUsage, ZoneFact,
};
use crate::core::topics::Topic;

const ACCOUNT: IdRef<'static> = IdRef::Number(1);
const ORGANIZATION: IdRef<'static> = IdRef::Number(10);
const USER: IdRef<'static> = IdRef::Number(100);
/// 2026-03-01 00:00 UTC.
const MARCH_MS: i64 = 1_772_323_200_000;
const HOUR_MS: i64 = 3_600_000;

/// Number of intervals with an activity in a drain.
fn activity_rows(rows: &LaneRows) -> usize {
    rows.seat_intervals.iter().filter(|row| row.last_active_ms.is_some()).count()
}

/// The store's answer about the use of these seats.
fn usage_of(intervals: Vec<SeatInterval>) -> Vec<SeatUsage> {
    let usage = |row: SeatInterval| {
        let SeatInterval {
            account,
            organization,
            user,
            start_ms,
            first_active_ms,
            last_active_ms,
            ..
        } = row;
        let (first_active_ms, last_active_ms) = (first_active_ms?, last_active_ms?);
        Some(SeatUsage { account, organization, user, start_ms, first_active_ms, last_active_ms })
    };
    intervals.into_iter().filter_map(usage).collect()
}

type Batch = Vec<(Record<'static>, Decoded<'static>)>;

fn record(offset: u64) -> Record<'static> {
    Record { offset, timestamp_ms: Some(MARCH_MS), key: Some(b"1"), payload: Some(b"{}") }
}

fn event(
    offset: u64,
    time_ms: i64,
    kind: EventKind<'static>,
) -> (Record<'static>, Decoded<'static>) {
    let id = format!("evt-{offset}").into();
    (record(offset), Decoded::Event(Event { id, time_ms, account: ACCOUNT, kind }))
}

fn tests_run(offset: u64, time_ms: i64, tests: u64) -> (Record<'static>, Decoded<'static>) {
    let test = TestExecuted {
        event_source: "/ci".into(),
        organization: ORGANIZATION,
        project: None,
        user: None,
        origin: Origin::Run,
        tests,
        duration_ms: 5,
    };
    event(offset, time_ms, EventKind::TestExecuted(test))
}

fn login(offset: u64, time_ms: i64) -> (Record<'static>, Decoded<'static>) {
    event(offset, time_ms, EventKind::Activity { organization: Some(ORGANIZATION), user: USER })
}

fn plan(offset: u64, time_ms: i64) -> (Record<'static>, Decoded<'static>) {
    let kind = EventKind::Plan {
        kind: PlanKind::Started,
        organization: ORGANIZATION,
        plan: IdRef::from_text("team"),
        monthly_quota: Some(100),
    };
    event(offset, time_ms, kind)
}

fn zone(offset: u64, zone: Zone) -> (Record<'static>, Decoded<'static>) {
    event(offset, MARCH_MS, EventKind::AccountUpdated { name: None, timezone: Some(zone) })
}

fn assigned(offset: u64, time_ms: i64) -> (Record<'static>, Decoded<'static>) {
    let kind = EventKind::LicenseAssigned {
        organization: ORGANIZATION,
        user: USER,
        project: None,
        license_source: ACCOUNT,
    };
    event(offset, time_ms, kind)
}

const SEED: UserKeySeed = UserKeySeed { k0: 1, k1: 2 };

fn lane_at(next_offset: u64) -> Lane {
    let progress = Progress { next_offset, accepted: next_offset, ..Progress::default() };
    let mut lane = Lane::new(Source::new("t", "", 0), progress, SEED);
    // No hour of the audit is stored.
    let asked = Missing { hours: vec![RecordHour(0)], ..Missing::default() };
    lane.admit(&asked, Loaded::default());
    lane
}

/// Applies the batch to the end, answering every load with what `stored` holds; returns what was
/// asked for.
fn apply(lane: &mut Lane, batch: &Batch, stored: &Loaded) -> Vec<Missing> {
    let (mut rest, mut asked) = (&batch[..], Vec::new());
    loop {
        match lane.apply(rest) {
            Applied::All => return asked,
            Applied::Blocked { index } => {
                rest = &rest[index..];
                let missing = lane.missing(rest);
                assert!(!missing.is_empty(), "blocked, but nothing is missing: {:?}", rest[0]);
                lane.admit(&missing, stored.clone());
                asked.push(missing);
            }
            Applied::Gap { index } => panic!("gap before offset {}", rest[index].0.offset),
        }
    }
}

#[test]
fn nothing_is_counted_for_a_key_that_is_not_held() {
    let mut lane = lane_at(0);
    assert_eq!(lane.apply(&[tests_run(0, MARCH_MS, 3)]), Applied::Blocked { index: 0 });
    assert_eq!(lane.progress(), Progress::default());
}

#[test]
fn one_load_serves_a_batch() {
    let batch = vec![
        zone(0, Zone::named("Asia/Kathmandu")),
        login(1, MARCH_MS),
        tests_run(2, MARCH_MS, 3),
        plan(3, MARCH_MS),
    ];
    let asked = apply(&mut lane_at(0), &batch, &Loaded::default());
    assert_eq!(asked.len(), 1, "{asked:?}");
}

#[test]
fn a_plan_governs_the_tests_after_it_in_the_same_batch() {
    let mut lane = lane_at(0);
    let batch = vec![tests_run(0, MARCH_MS, 3), plan(1, MARCH_MS), tests_run(2, MARCH_MS, 4)];
    apply(&mut lane, &batch, &Loaded::default());
    let rows = lane.drain();
    assert_eq!(
        rows.test_executions[0].count,
        ExecutionCount { run: 7, uploaded: 0, duration_ms: 10 }
    );
    assert_eq!(
        rows.quota_usage.iter().map(|row| (row.month, row.tests, row.upto)).collect::<Vec<_>>(),
        [(1, 4, 3)]
    );
}

#[test]
fn a_zone_governs_the_records_after_it_in_the_same_batch() {
    let mut lane = lane_at(0);
    let evening_ms = MARCH_MS - HOUR_MS;
    let batch =
        vec![login(0, evening_ms), zone(1, Zone::named("Europe/Berlin")), login(2, evening_ms)];
    apply(&mut lane, &batch, &Loaded::default());
    let mut days: Vec<_> = lane.drain().active_users.into_iter().map(|row| row.day).collect();
    days.sort();
    let march = Day(i32::try_from(MARCH_MS / (24 * HOUR_MS)).unwrap());
    assert_eq!(days, [Day(march.0 - 1), march]);
}

#[test]
fn what_a_stored_counter_covers_is_not_counted_again() {
    let mut first = lane_at(0);
    apply(
        &mut first,
        &vec![tests_run(0, MARCH_MS, 3), tests_run(1, MARCH_MS, 4)],
        &Loaded::default(),
    );
    // The flush was written, its progress was not: the next owner starts at 0 again.
    let stored = Loaded { test_executions: first.drain().test_executions, ..Loaded::default() };
    let mut second = lane_at(0);
    let batch =
        vec![tests_run(0, MARCH_MS, 3), tests_run(1, MARCH_MS, 4), tests_run(2, MARCH_MS, 5)];
    apply(&mut second, &batch, &stored);
    assert_eq!(second.drain().test_executions[0].count.run, 12);
}

/// The topics that the next drain announces, each with its latest time in hours after [`MARCH_MS`].
fn touched(lane: &mut Lane) -> Vec<(Topic, i64)> {
    let rows = lane.drain().account_progress;
    let [row] = &rows[..] else { panic!("one account was counted: {rows:?}") };
    let latest = |topic| Some((topic, (row.touched.latest_ms(topic)? - MARCH_MS) / HOUR_MS));
    Topic::ALL.into_iter().filter_map(latest).collect()
}

#[test]
fn an_event_touches_what_it_changes() {
    use Topic::{Activity, Directory, Seats, Tests, Uses};
    let mut lane = lane_at(0);
    let at = |hours| MARCH_MS + hours * HOUR_MS;
    let mut after = |event| {
        apply(&mut lane, &vec![event], &Loaded::default());
        touched(&mut lane)
    };
    assert_eq!(
        after(assigned(0, at(0))),
        [(Directory, 0), (Seats, 0)],
        "the first that names the organization"
    );
    assert_eq!(after(login(1, at(2))), [(Seats, 2), (Uses, 2), (Activity, 2)]);
    assert_eq!(after(login(2, at(5))), [(Uses, 5)], "the day is counted already");
    assert_eq!(after(login(3, at(4))), [], "neither the first nor the last use");
    assert_eq!(after(login(4, at(1))), [(Seats, 1)]);
    assert_eq!(after(tests_run(5, at(3), 1)), [(Tests, 3)]);
    assert_eq!(after(plan(6, at(6))), [(Tests, 6)]);
    assert_eq!(after(zone(7, Zone::UTC)), [(Directory, 0)]);
    assert_eq!(after(assigned(8, at(0))), [], "known already");
}

#[test]
fn what_is_stored_already_is_announced_again() {
    use Topic::{Activity, Directory, Seats, Tests, Uses};
    let events = || {
        vec![
            assigned(0, MARCH_MS),
            login(1, MARCH_MS),
            tests_run(2, MARCH_MS, 3),
            login(3, MARCH_MS),
        ]
    };
    let mut first = lane_at(0);
    apply(&mut first, &events(), &extent(true, None));
    // All rows of the flush were written, and nothing else: its owner died.
    let rows = first.drain();
    let stored = Loaded {
        organizations: rows.organizations,
        seat_facts: rows.seat_facts,
        seat_usage: usage_of(rows.seat_intervals),
        test_executions: rows.test_executions,
        ..extent(true, None)
    };
    let mut second = lane_at(0);
    apply(&mut second, &events(), &stored);
    assert_eq!(
        touched(&mut second),
        [Directory, Seats, Uses, Activity, Tests].map(|topic| (topic, 0))
    );
    // The next owner starts behind the fact, so that the use of the seat is loaded, too.
    let mut third = lane_at(1);
    apply(&mut third, &vec![events().remove(1)], &stored);
    assert_eq!(touched(&mut third), [Directory, Seats, Uses, Activity].map(|topic| (topic, 0)));
    assert_eq!(third.drain().seat_intervals, [], "it is stored as it is");
    apply(&mut third, &events().split_off(2), &stored);
    assert_eq!(
        touched(&mut third),
        [Seats, Uses, Tests].map(|topic| (topic, 0)),
        "also where counting was skipped"
    );
}

#[test]
fn a_fact_beyond_the_position_is_left_to_the_log() {
    let fact = |source: &Source, offset, time_ms| SeatFact {
        account: ACCOUNT.to_id(),
        organization: ORGANIZATION.to_id(),
        user: USER.to_id(),
        time_ms,
        kind: SeatFactKind::Assigned,
        source: source.name(),
        offset,
        project: None,
        license_source: None,
    };
    let own = Source::new("t", "", 0);
    for (fact, is_used) in [
        (fact(&own, 4, MARCH_MS), true),
        (fact(&own, 5, MARCH_MS), false),
        (fact(&Source::new("t", "", 7), 99, MARCH_MS), true),
    ] {
        let stored = Loaded { seat_facts: vec![fact.clone()], ..Loaded::default() };
        let mut lane = lane_at(5);
        apply(&mut lane, &vec![login(5, MARCH_MS)], &stored);
        assert_eq!(activity_rows(&lane.drain()), usize::from(is_used), "{fact:?}");
    }
}

fn extent(has_all_seats: bool, last_counted: Option<YearMonth>) -> Loaded {
    let extents = vec![AccountExtent { account: ACCOUNT.to_id(), has_all_seats, last_counted }];
    Loaded { extents, ..Loaded::default() }
}

#[test]
fn an_account_that_is_held_whole_is_asked_for_once() {
    let another = Event {
        id: "another".into(),
        time_ms: MARCH_MS,
        account: ACCOUNT,
        kind: EventKind::Activity { organization: None, user: IdRef::Number(101) },
    };
    let mut lane = lane_at(0);
    assert_eq!(apply(&mut lane, &vec![login(0, MARCH_MS)], &extent(true, None)).len(), 1);
    let rest = vec![
        (record(1), Decoded::Event(another)),
        tests_run(2, MARCH_MS, 3),
        assigned(3, MARCH_MS),
    ];
    assert_eq!(apply(&mut lane, &rest, &Loaded::default()), []);
    assert_eq!(lane.drain().test_executions[0].count.run, 3);
}

#[test]
fn months_up_to_the_last_counted_one_are_asked_for() {
    let march = Day(i32::try_from(MARCH_MS / (24 * HOUR_MS)).unwrap()).year_month();
    for (last_counted, loads) in [(Some(march), 1), (Some(YearMonth(march.0 - 1)), 0), (None, 0)] {
        let mut lane = lane_at(0);
        apply(&mut lane, &vec![login(0, MARCH_MS)], &extent(true, last_counted));
        assert_eq!(
            apply(&mut lane, &vec![tests_run(1, MARCH_MS, 3)], &Loaded::default()).len(),
            loads
        );
    }
}

#[test]
fn what_was_evicted_of_a_whole_account_is_asked_for_again() {
    let mut lane = lane_at(0);
    let batch = vec![assigned(0, MARCH_MS), tests_run(1, MARCH_MS, 3)];
    apply(&mut lane, &batch, &extent(true, None));
    let keep = |lane: &mut Lane, offset| {
        let other = EventKind::AccountUpdated { name: None, timezone: None };
        apply(lane, &vec![event(offset, MARCH_MS, other)], &Loaded::default());
        lane.drain();
        lane.flushed();
    };
    (2..6).for_each(|offset| keep(&mut lane, offset));
    assert!(lane.evict(0) > 0, "the user and the counters are idle, the account is not");
    assert_eq!(lane.apply(&[login(6, MARCH_MS)]), Applied::Blocked { index: 0 });
    assert_eq!(lane.apply(&[tests_run(6, MARCH_MS, 4)]), Applied::Blocked { index: 0 });
}

#[test]
fn of_two_zones_the_later_by_time_holds() {
    let fact = |offset, time_ms, zone| ZoneFact {
        account: ACCOUNT.to_id(),
        time_ms,
        source: Source::new("t", "", 0).name(),
        offset,
        zone,
    };
    let zone_facts =
        vec![fact(1, MARCH_MS + 1, Zone::named("Europe/Berlin")), fact(2, MARCH_MS, Zone::UTC)];
    let mut lane = lane_at(5);
    apply(
        &mut lane,
        &vec![login(5, MARCH_MS - HOUR_MS)],
        &Loaded { zone_facts, ..Loaded::default() },
    );
    assert_eq!(i64::from(lane.drain().active_users[0].day.0) * 24 * HOUR_MS, MARCH_MS);
}

#[test]
fn records_below_the_position_are_dropped() {
    let mut lane = lane_at(5);
    assert_eq!(
        apply(&mut lane, &vec![login(3, MARCH_MS), login(4, MARCH_MS)], &Loaded::default()),
        []
    );
    assert_eq!((lane.progress().passed(), lane.pending_rows()), (5, 0));
}

#[test]
fn a_gap_is_believed_when_a_seek_shows_it_again() {
    let mut lane = lane_at(0);
    let tombstone = |offset| (Record { payload: None, ..record(offset) }, Decoded::Tombstone);
    assert_eq!(lane.apply(&[tombstone(0), tombstone(3)]), Applied::Gap { index: 1 });
    assert_eq!(lane.apply(&[tombstone(3)]), Applied::Gap { index: 0 }, "no seek has succeeded yet");
    lane.sought();
    assert_eq!(lane.apply(&[tombstone(3), tombstone(9)]), Applied::All);
    assert_eq!((lane.progress().absent, lane.progress().skipped, lane.next_offset()), (7, 3, 10));
    lane.doubt();
    assert_eq!(lane.apply(&[tombstone(11)]), Applied::Gap { index: 0 });
}

#[test]
fn a_duplicate_counts_nothing_and_needs_nothing() {
    let mut lane = lane_at(2);
    let (_, original) = tests_run(0, MARCH_MS, 3);
    lane.warm(&record(1), &original);
    assert_eq!(lane.apply(&[(record(2), original)]), Applied::All);
    assert_eq!((lane.progress().duplicates, lane.pending_rows()), (1, 1));
    let rows = lane.drain();
    assert_eq!((rows.row_count(), rows.audited_hours[0].counts), (1, HourCounts::DUPLICATE));
}

#[test]
fn a_rejected_record_is_cut_at_64_kib() {
    static LARGE: [u8; 70_000] = [b'x'; 70_000];
    let mut lane = lane_at(0);
    let reject = Reject { reason: RejectReason::InvalidJson, path: "" };
    let rejected = Record { key: Some(&LARGE), payload: Some(&LARGE), ..record(0) };
    assert_eq!(lane.apply(&[(rejected, Decoded::Rejected(reject))]), Applied::All);
    assert!((131_072..132_000).contains(&lane.pending_bytes()), "{}", lane.pending_bytes());
    let rejected = &lane.drain().rejected[0];
    assert_eq!(rejected.key.as_ref().map(Vec::len), Some(65_536));
    assert_eq!((rejected.payload.len(), rejected.payload_bytes), (65_536, 70_000));
    assert_eq!(lane.pending_bytes(), 0);
}

#[test]
fn whatever_waits_counts_its_bytes() {
    let mut lane = lane_at(0);
    let events = vec![assigned(0, MARCH_MS), login(1, MARCH_MS)];
    let mut last = 0;
    for event in events {
        apply(&mut lane, &vec![event], &Loaded::default());
        assert!(lane.pending_bytes() > last + 50, "{} after {last}", lane.pending_bytes());
        last = lane.pending_bytes();
    }
    let rows = lane.drain();
    assert!(last >= rows.seat_facts.iter().map(|row| row.bytes()).sum(), "{last}");
    assert_eq!(lane.pending_bytes(), 0);
}

#[test]
fn only_what_is_stored_and_idle_is_evicted() {
    let mut lane = lane_at(0);
    apply(&mut lane, &vec![assigned(0, MARCH_MS), login(1, MARCH_MS)], &Loaded::default());
    lane.drain();
    lane.drain();
    lane.drain();
    assert_eq!(lane.evict(0), 1, "the flush is not acknowledged; an hour without records goes");
    lane.flushed();
    // An account, a user, and an hour.
    assert_eq!(lane.held_entries(), 3);
    assert_eq!(lane.evict(0), 3);
    assert_eq!(lane.apply(&[login(2, MARCH_MS)]), Applied::Blocked { index: 0 });
}

#[test]
fn a_record_waits_until_its_hour_is_loaded() {
    let mut lane = Lane::new(Source::new("t", "", 0), Progress::default(), SEED);
    let tombstone = |offset, timestamp_ms| {
        let record = Record { payload: None, timestamp_ms: Some(timestamp_ms), ..record(offset) };
        (record, Decoded::Tombstone)
    };
    let counts = |skipped| HourCounts { skipped, ..HourCounts::default() };
    let march = |counts, upto| {
        let hour = RecordHour::of(Some(MARCH_MS));
        AuditedHour { hour, first_offset: 0, counts, upto }
    };
    // A flush that died had counted one record already.
    let stored = Loaded { audited_hours: vec![march(counts(1), 1)], ..Loaded::default() };
    let batch = vec![tombstone(0, MARCH_MS), tombstone(1, MARCH_MS + HOUR_MS)];
    assert_eq!(apply(&mut lane, &batch, &stored).len(), 1, "later hours are not stored");
    let rows = lane.drain().audited_hours;
    assert_eq!(
        (rows.len(), rows[0].first_offset, rows[0].upto, rows[0].counts),
        (1, 1, 2, counts(1))
    );
    let asked = apply(&mut lane, &vec![tombstone(2, MARCH_MS), tombstone(3, 0)], &stored);
    assert_eq!(asked[0].hours, [RecordHour(0)], "an earlier hour may be stored");
    assert_eq!(lane.drain().audited_hours[0], march(counts(2), 4));
}

#[test]
fn a_redelivered_assignment_adds_no_row() {
    let mut lane = lane_at(0);
    apply(&mut lane, &vec![assigned(0, MARCH_MS), assigned(1, MARCH_MS)], &Loaded::default());
    assert_eq!(lane.drain().seat_facts.len(), 1);
}

#[test]
fn a_drain_yields_each_change_once() {
    let mut lane = lane_at(0);
    apply(
        &mut lane,
        &vec![assigned(0, MARCH_MS), login(1, MARCH_MS), tests_run(2, MARCH_MS, 1)],
        &Loaded::default(),
    );
    let rows = lane.drain();
    assert_eq!(
        (rows.active_users.len(), activity_rows(&rows), rows.test_executions.len()),
        (1, 1, 1)
    );
    assert_eq!(rows.organizations.len(), 2);
    assert_eq!(lane.pending_rows(), 0);
    let empty = lane.drain();
    assert_eq!(
        LaneRows { record_times: Vec::new(), ..empty },
        LaneRows::new(lane.source().clone(), lane.progress())
    );
}
