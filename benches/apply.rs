//! Applying decoded events to a lane: nanoseconds and allocations per event. `cargo bench --bench
//! apply`.
//!
//! The population is that of a busy cluster: 100,000 users in 2,000 organizations of 100 accounts,
//! over one day.

#![allow(clippy::print_stdout, reason = "a bench reports on standard output")]

use std::time::Instant;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seatmeter::core::event::{Decoded, Event, EventKind, Origin, Record, TestExecuted};
use seatmeter::core::id::{IdRef, UserKeySeed};
use seatmeter::core::lane::{Applied, Lane};
use seatmeter::core::load::Loaded;
use seatmeter::core::rollup::{Progress, Source};

const ACCOUNTS: u64 = 100;
const ORGANIZATIONS_PER_ACCOUNT: u64 = 20;
const USERS: u64 = 100_000;
const BATCH: u64 = 4096;
const FLUSH_EVERY_BATCHES: u64 = 40;
const EVENTS: u64 = 4_000_000;
/// 2026-03-02 00:00 UTC.
const DAY_MS: i64 = 1_772_409_600_000;

fn event(random: &mut ChaCha8Rng, offset: u64) -> (Record<'static>, Decoded<'static>) {
    let user = random.random_range(0..USERS);
    let account = user % ACCOUNTS;
    let organization =
        IdRef::from_text(format!("org-{account}-{}", user / ACCOUNTS % ORGANIZATIONS_PER_ACCOUNT));
    let time_ms = DAY_MS + i64::try_from(offset / 50).expect("a small number");
    let kind = if random.random_range(0..10) < 6 {
        EventKind::Activity { organization: Some(organization), user: IdRef::Number(user) }
    } else {
        EventKind::TestExecuted(TestExecuted {
            event_source: "/runner".into(),
            organization,
            project: Some(IdRef::from_text(format!("project-{}", user % 3))),
            user: Some(IdRef::Number(user)),
            origin: Origin::Run,
            tests: 1,
            duration_ms: 1_000,
        })
    };
    let record = Record { offset, timestamp_ms: Some(time_ms), key: None, payload: None };
    let id = format!("evt-{offset}").into();
    (record, Decoded::Event(Event { id, time_ms, account: IdRef::Number(account), kind }))
}

/// Applies the whole batch; nothing is stored, so every load is answered with an empty result.
fn apply(lane: &mut Lane, batch: &[(Record<'_>, Decoded<'_>)]) {
    let mut rest = batch;
    while let Applied::Blocked { index } = lane.apply(rest) {
        rest = &rest[index..];
        let missing = lane.missing(rest);
        lane.admit(&missing, Loaded::default());
    }
}

fn main() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let seed = UserKeySeed { k0: 1, k1: 2 };
    let mut lane = Lane::new(Source::new("bench", "", 0), Progress::default(), seed);
    let (mut offset, mut batches, mut drained_rows) = (0, 0, 0);
    let (mut apply_ns, mut drain_ns, mut allocations) = (0, 0, 0);
    let warm_up = EVENTS / 4;
    while offset < EVENTS {
        let batch: Vec<_> =
            (offset..offset + BATCH).map(|offset| event(&mut random, offset)).collect();
        offset += BATCH;
        let counted = offset > warm_up;
        let started = Instant::now();
        let allocated = allocation_counter::measure(|| apply(&mut lane, &batch)).count_total;
        if counted {
            apply_ns += started.elapsed().as_nanos();
            allocations += allocated;
        }
        batches += 1;
        if batches % FLUSH_EVERY_BATCHES == 0 {
            let started = Instant::now();
            let rows = lane.drain();
            if counted {
                drain_ns += started.elapsed().as_nanos();
                drained_rows += rows.active_users.len()
                    + rows.seat_intervals.len()
                    + rows.test_executions.len();
            }
            lane.flushed();
        }
    }
    let events = EVENTS - warm_up;
    println!(
        "apply: {} ns/event, {} allocations/1000 events",
        apply_ns / u128::from(events),
        allocations * 1000 / events
    );
    println!(
        "drain: {} ns/event, {} rows/flush",
        drain_ns / u128::from(events),
        drained_rows as u64 * FLUSH_EVERY_BATCHES * BATCH / events
    );
    println!("held:  {} entries, {} remembered ids", lane.held_entries(), lane.remembered_ids());
}
