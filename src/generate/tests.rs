//! Properties of the generated load, and that the program counts it as intended.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::*;
use crate::core::calendar::{Day, Zone, day_of, day_start, quota_month_of};
use crate::core::decode::{account_key, decode};
use crate::core::event::{Decoded, EventKind, Origin, Record};

fn load(days: i32) -> Load {
    let from = Day::from_ymd(2026, 1, 5).unwrap();
    Load::ordinary(day_start(Zone::UTC, from), day_start(Zone::UTC, from.plus_days(days)))
}

fn quiet(load: Load) -> Load {
    Load { shares: Shares { duplicates: 0.0, late: 0.0, malformed: 0.0 }, ..load }
}

/// Passes each line to `see`, decoded as by the worker, as if sent at the time of the event.
fn decode_each(load: &Load, mut see: impl FnMut(&Line, Decoded<'_>)) {
    for (line, offset) in Generator::new(load).zip(0..) {
        let key = account_key(&line.json).map(|id| id.to_string());
        let record = Record {
            offset,
            timestamp_ms: Some(load.to_ms),
            key: key.as_ref().map(|key| key.as_bytes()),
            payload: Some(&line.json),
        };
        see(&line, decode(&record));
    }
}

#[test]
fn the_same_load_yields_the_same_lines_and_another_seed_others() {
    let lines = |seed| Generator::new(&Load { seed, ..load(7) }).collect::<Vec<_>>();
    assert!(lines(1) == lines(1));
    assert!(lines(1) != lines(2));
}

#[test]
fn more_accounts_leave_the_others_as_they_are() {
    let lines = |accounts| {
        let lines = Generator::new(&quiet(Load { accounts, ..load(7) }));
        lines
            .filter(|line| account_key(&line.json).unwrap().to_string() == "acme")
            .collect::<Vec<_>>()
    };
    assert!(!lines(1).is_empty());
    assert!(lines(1) == lines(5));
}

#[test]
fn without_noise_every_line_is_an_event_in_order_of_time() {
    let mut kinds = BTreeSet::new();
    let mut ids = HashSet::new();
    let mut last_ms = BTreeMap::new();
    let load = quiet(load(30));
    decode_each(&load, |line, decoded| {
        let Decoded::Event(event) = decoded else {
            panic!("{decoded:?}: {}", String::from_utf8_lossy(&line.json))
        };
        assert_eq!(event.time_ms, line.time_ms);
        let envelope: serde_json::Value = serde_json::from_slice(&line.json).unwrap();
        let event_type = envelope["type"].as_str().unwrap();
        kinds.insert(event_type.to_owned());
        assert!(
            ids.insert((event.account.to_id(), envelope["id"].to_string())),
            "an id came twice"
        );
        // Plans may have started before the first instant.
        if event_type != "plan.started" {
            assert!((load.from_ms..load.to_ms).contains(&line.time_ms));
            let last_ms =
                last_ms.insert((event.account.to_id(), event_type.to_owned()), line.time_ms);
            assert!(last_ms <= Some(line.time_ms));
        }
    });
    let expected = [
        "account.updated",
        "license.allocated",
        "license.assigned",
        "license.purchased",
        "license.revoked",
        "organization.updated",
        "plan.started",
        "plan.upgraded",
        "project.updated",
        "test.executed",
        "user.action",
        "user.login",
        "user.updated",
    ];
    assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[test]
fn noise_comes_in_the_shares_that_are_asked_for() {
    let load = Load { shares: Shares { duplicates: 0.1, late: 0.05, malformed: 0.02 }, ..load(60) };
    let (mut events, mut tests, mut rejected, mut late, mut duplicates) = (0, 0, 0, 0, 0);
    let mut seen = HashSet::new();
    let mut newest_ms = i64::MIN;
    decode_each(&load, |line, decoded| match decoded {
        Decoded::Event(event) => {
            events += 1;
            late += u32::from(
                line.time_ms < newest_ms && !matches!(event.kind, EventKind::Plan { .. }),
            );
            newest_ms = newest_ms.max(line.time_ms);
            if let EventKind::TestExecuted(_) = event.kind {
                tests += 1;
                duplicates +=
                    u32::from(!seen.insert((event.account.to_id(), event.id.into_owned())));
            }
        }
        Decoded::Rejected(_) => rejected += 1,
        Decoded::Tombstone => panic!("a line is never a tombstone"),
    });
    let percent = |part: u32, whole: u32| f64::from(part) * 100.0 / f64::from(whole);
    assert!(
        (9.0..11.0).contains(&percent(duplicates, tests - duplicates)),
        "{duplicates} duplicates of {tests}"
    );
    // Duplicates come after later events too, so a few more are out of order than were held back.
    assert!((4.0..8.0).contains(&percent(late, events)), "{late} late ones of {events}");
    assert!(
        (1.7..2.3).contains(&percent(rejected, events)),
        "{rejected} malformed ones of {events}"
    );
}

#[test]
fn working_days_are_busy_and_weekends_are_not() {
    let mut by_weekday = [0_u32; 7];
    decode_each(&quiet(load(28)), |line, decoded| {
        let Decoded::Event(event) = decoded else { panic!("{decoded:?}") };
        if matches!(event.kind, EventKind::Activity { .. })
            && event.account.to_id().to_string() == "acme"
        {
            let weekday = day_of(Zone::named("Europe/Berlin"), line.time_ms).weekday();
            by_weekday[usize::try_from(weekday.num_days_from_monday()).unwrap()] += 1;
        }
    });
    let quietest = by_weekday[..5].iter().min().unwrap();
    let busiest = by_weekday[5..].iter().max().unwrap();
    assert!(*busiest > 0 && quietest > &(3 * busiest), "{by_weekday:?}");
}

#[test]
fn live_lines_are_events_of_now() {
    let load = quiet(load(7));
    let mut generator = Generator::new(&load);
    let history = generator.by_ref().count();
    assert!(history > 1_000);
    // Three in the afternoon of a Tuesday in Berlin.
    let now_ms = day_start(Zone::UTC, Day::from_ymd(2026, 3, 10).unwrap()) + 14 * 3_600_000;
    for now_ms in (now_ms..).step_by(1_000).take(200) {
        let lines = generator.live(now_ms);
        assert_eq!(lines.iter().map(|line| line.time_ms).collect::<Vec<_>>(), [now_ms]);
        let key = account_key(&lines[0].json).unwrap().to_string();
        let record = Record {
            offset: 0,
            timestamp_ms: Some(now_ms),
            key: Some(key.as_bytes()),
            payload: Some(&lines[0].json),
        };
        assert!(matches!(decode(&record), Decoded::Event(_)));
    }
}

#[test]
fn live_lines_keep_to_the_hours_and_weekdays_of_their_zones() {
    let load = quiet(load(7));
    let mut generator = Generator::new(&load);
    generator.by_ref().for_each(drop);
    let mut tell = |date: (i32, u32, u32)| {
        let midnight_ms = day_start(Zone::UTC, Day::from_ymd(date.0, date.1, date.2).unwrap());
        let mut by_hour = [0_usize; 24];
        for (hour, lines) in by_hour.iter_mut().enumerate() {
            let begin_ms = midnight_ms + i64::try_from(hour).unwrap() * 3_600_000;
            for now_ms in (begin_ms..begin_ms + 3_600_000).step_by(10_000) {
                for line in generator.live(now_ms) {
                    if account_key(&line.json).unwrap().to_string() != "acme" {
                        continue;
                    }
                    *lines += 1;
                    // Berlin is an hour ahead.
                    let is_night = !(7..19).contains(&(hour + 1));
                    let is_person = line
                        .json
                        .windows(8)
                        .any(|part| part == b"\"user.lo" || part == b"\"user.ac");
                    assert!(!(is_night && is_person), "at {hour} UTC");
                }
            }
        }
        by_hour
    };
    let tuesday = tell((2026, 3, 10));
    let sunday = tell((2026, 3, 15));
    assert!(tuesday[9] > 5 * tuesday[3], "{tuesday:?}");
    assert!(tuesday.iter().sum::<usize>() > 5 * sunday.iter().sum::<usize>(), "{sunday:?}");
}

/// The quota, the tests used, and whether the grace is over, of each showcase at the end.
#[test]
fn a_demo_shows_every_status_of_a_quota_whenever_it_starts() {
    for day in (0..40).step_by(8) {
        let to_ms = day_start(Zone::UTC, Day::from_ymd(2026, 3, 1).unwrap().plus_days(day))
            + i64::from(day) * 2_000_000;
        let load = quiet(Load::demo(to_ms - 92 * 86_400_000, to_ms));
        let zone = Zone::named("Europe/Berlin");
        let mut anchors = BTreeMap::new();
        let mut quotas = BTreeMap::new();
        let mut used = BTreeMap::<(String, u32), u64>::new();
        decode_each(&load, |line, decoded| {
            let Decoded::Event(event) = decoded else { panic!("{decoded:?}") };
            if event.account.to_id().to_string() != "acme" {
                return;
            }
            match event.kind {
                EventKind::Plan { organization, kind, monthly_quota, .. } => {
                    let organization = organization.to_string();
                    quotas.insert(organization.clone(), monthly_quota);
                    if kind.anchors() {
                        anchors.insert(organization.clone(), line.time_ms);
                        used.retain(|(known, _), _| *known != organization);
                    }
                }
                EventKind::TestExecuted(test) if test.origin == Origin::Run => {
                    let organization = test.organization.to_string();
                    let month = quota_month_of(zone, anchors[&organization], line.time_ms);
                    *used.entry((organization, month)).or_default() += test.tests;
                }
                _ => {}
            }
        });
        let status = |organization: &str| {
            let month = quota_month_of(zone, anchors[organization], to_ms);
            assert_eq!(month, 3, "the last month of the grace");
            let quota = quotas[organization].unwrap();
            let used = used[&(organization.to_owned(), month)];
            match used {
                used if used < quota => "within",
                used if used < quota * 130 / 100 => "grace",
                _ => "exhausted",
            }
        };
        assert_eq!(["42", "101", "102"].map(status), ["grace", "exhausted", "within"], "{day}");
    }
}
