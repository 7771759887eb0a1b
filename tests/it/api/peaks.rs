//! Peaks of the license history, against a count at every instant at which anything can differ.

use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, Utc};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::exports::assert_file_of_today;
use super::support::{Account, Api, event};

const ACCOUNTS: usize = 6;
const EVENTS: usize = 60;
const HOUR_MS: i64 = 3_600_000;
/// Organizations; `b` lies below `a`.
const ORGANIZATIONS: [&str; 3] = ["a", "b", "c"];

fn first_instant() -> DateTime<Utc> {
    "2026-03-01T00:00:00Z".parse().unwrap()
}

fn time(ms: i64) -> String {
    let time = first_instant() + TimeDelta::milliseconds(ms);
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// What happened in an account, in the order of the log; times in milliseconds since the first
/// instant.
#[derive(Default)]
struct Log {
    /// Time, organization, user, and whether it was assigned.
    seats: Vec<(i64, &'static str, u32, bool)>,
    /// Time, organization (empty: the account), and seats.
    purchases: Vec<(i64, &'static str, u64)>,
}

impl Log {
    fn random(random: &mut ChaCha8Rng) -> Self {
        let mut log = Self::default();
        for _ in 0..EVENTS {
            // Times often coincide, and often with a midnight.
            let time = random.random_range(0..7 * 6) * 4 * HOUR_MS
                + if random.random_range(0..3) == 0 { 1 } else { 0 };
            let organization = ORGANIZATIONS[random.random_range(0..3)];
            if random.random_range(0..5) == 0 {
                let organization = if random.random() { "" } else { organization };
                log.purchases.push((time, organization, random.random_range(0..6)));
            } else {
                let (user, is_assigned) =
                    (random.random_range(0..4), random.random_range(0..5) < 3);
                log.seats.push((time, organization, user, is_assigned));
            }
        }
        log
    }

    fn events(&self, account: &str) -> Vec<String> {
        let named = |id: &str, parent: Option<&str>| {
            let data = json!({"account_id": account, "organization_id": id, "parent_id": parent});
            event("organization.updated", "2026-01-01T00:00:00Z", &data)
        };
        let seat = |&(ms, organization, user, is_assigned): &(i64, &str, u32, bool)| {
            let kind = if is_assigned { "license.assigned" } else { "license.revoked" };
            let data =
                json!({"account_id": account, "organization_id": organization, "user_id": user});
            event(kind, &time(ms), &data)
        };
        let purchase = |&(ms, organization, seats): &(i64, &str, u64)| {
            let mut data = json!({"account_id": account, "seats": seats});
            if organization.is_empty() {
                event("license.purchased", &time(ms), &data)
            } else {
                data["organization_id"] = organization.into();
                event("license.allocated", &time(ms), &data)
            }
        };
        let mut events = vec![named("a", None), named("b", Some("a")), named("c", None)];
        events.extend(self.seats.iter().map(seat));
        events.extend(self.purchases.iter().map(purchase));
        events
    }

    /// Start and end of each seat of the organization and what lies below it.
    fn intervals(&self, organization: &str) -> Vec<(i64, i64)> {
        let is_in = |own: &str| {
            organization.is_empty() || own == organization || (organization, own) == ("a", "b")
        };
        let mut intervals = Vec::new();
        for own in ORGANIZATIONS.into_iter().filter(|own| is_in(own)) {
            for user in 0..4 {
                let facts = self.seats.iter().filter(|seat| (seat.1, seat.2) == (own, user));
                let mut facts: Vec<(i64, bool)> = facts.map(|seat| (seat.0, seat.3)).collect();
                let mut seen = Vec::new();
                facts.retain(|fact| {
                    let is_new = !seen.contains(fact);
                    seen.push(*fact);
                    is_new
                });
                facts.sort_by_key(|&(ms, _)| ms);
                for (index, &(start, is_assigned)) in facts.iter().enumerate() {
                    let end = facts.get(index + 1).map_or(i64::MAX, |fact| fact.0);
                    intervals.extend(is_assigned.then_some((start, end)));
                }
            }
        }
        intervals
    }

    fn purchased(&self, organization: &str, instant: i64) -> u64 {
        let before = self.purchases.iter().filter(|p| p.1 == organization && p.0 < instant);
        before.max_by_key(|purchase| purchase.0).map_or(0, |purchase| purchase.2)
    }

    /// Peaks over all instants after `start`, up to `end`.
    fn peaks(&self, organization: &str, start: i64, end: i64) -> (u64, u64) {
        let intervals = self.intervals(organization);
        let happened = self.seats.iter().map(|seat| seat.0);
        let happened = happened.chain(self.purchases.iter().map(|purchase| purchase.0));
        let instants = happened.map(|ms| ms + 1).chain([start + 1, end]);
        let within: Vec<i64> = if start < end {
            instants.filter(|&instant| start < instant && instant <= end).collect()
        } else {
            vec![end]
        };
        let assigned = |instant: i64| {
            let is_open = |&&(start, end): &&(i64, i64)| start < instant && instant <= end;
            intervals.iter().filter(is_open).count() as u64
        };
        let overage =
            |instant| assigned(instant).saturating_sub(self.purchased(organization, instant));
        let greatest = |figure: &dyn Fn(i64) -> u64| within.iter().map(|&at| figure(at)).max();
        (greatest(&assigned).unwrap(), greatest(&overage).unwrap())
    }
}

/// The start of a day of a report, milliseconds since the first instant.
fn start_of(day: &Value) -> i64 {
    let day: NaiveDate = day.as_str().unwrap().parse().unwrap();
    (day - first_instant().date_naive()).num_days() * 24 * HOUR_MS
}

#[test]
fn peaks_are_those_of_all_instants() {
    let api = Api::open();
    let mut random = ChaCha8Rng::seed_from_u64(20);
    let logs: Vec<Log> = (0..ACCOUNTS).map(|_| Log::random(&mut random)).collect();
    for (index, log) in logs.iter().enumerate() {
        let events = log.events(&format!("a{index}"));
        let progress = api.count(&events);
        assert_eq!(progress.accepted, events.len() as u64);
    }
    let mut overages = 0;
    for (index, log) in logs.iter().enumerate() {
        for organization in ["", "a", "b", "c"] {
            let as_of = random.random_range(0..8 * 6) * 4 * HOUR_MS + random.random_range(0..2);
            let interval = ["day", "week"][random.random_range(0..2)];
            let mut path = format!(
                "/v1/accounts/a{index}/licenses/history?from=2026-02-28&to=2026-03-09\
                &interval={interval}&as_of={}",
                time(as_of)
            );
            if !organization.is_empty() {
                path += &format!("&organization_id={organization}");
            }
            for point in api.report(&path)["points"].as_array().unwrap() {
                let start = start_of(&point["start"]);
                let end = (start_of(&point["end"]) + 24 * HOUR_MS).min(as_of);
                let found = ["peak_assigned", "peak_overage"].map(|name| point[name].as_u64());
                let (assigned, overage) = log.peaks(organization, start, end);
                assert_eq!(found, [Some(assigned), Some(overage)], "{path} {point}");
                overages += overage;
            }
        }
    }
    assert!(overages > 0, "some seats were never purchased");
}

#[test]
fn a_seat_that_comes_and_goes_within_a_bucket_shows_in_its_peak() {
    let seat =
        |kind, time, user: &str| (kind, time, json!({"organization_id": "o", "user_id": user}));
    let account = Account::counted(&[
        ("license.purchased", "2026-03-01T00:00:00Z", json!({"seats": 1})),
        seat("license.assigned", "2026-03-02T08:00:00Z", "u"),
        seat("license.assigned", "2026-03-02T09:00:00Z", "v"),
        seat("license.revoked", "2026-03-02T10:00:00Z", "v"),
        // What happens at a midnight belongs to the day that begins.
        seat("license.revoked", "2026-03-03T00:00:00Z", "u"),
        seat("license.assigned", "2026-03-03T00:00:00Z", "w"),
    ]);
    let path = "/licenses/history?from=2026-03-01&to=2026-03-03&as_of=2026-03-04T00:00:00Z";
    let report = account.report(path);
    let peaks: Vec<_> = report["points"]
        .as_array()
        .unwrap()
        .iter()
        .map(|point| ["assigned", "peak_assigned", "peak_overage"].map(|n| point[n].as_u64()))
        .collect();
    assert_eq!(peaks, [[0, 0, 0], [1, 2, 1], [1, 1, 0]].map(|figures| figures.map(Some)));
    let csv = account.get(&format!("{path}&format=csv"));
    assert_eq!(
        csv.text(),
        "Start,End,Purchased,Assigned,Activated,Peak Assigned,Peak Overage\r\n\
         2026-03-01,2026-03-01,1,0,0,0,0\r\n\
         2026-03-02,2026-03-02,1,1,0,2,1\r\n\
         2026-03-03,2026-03-03,1,1,0,1,0\r\n"
    );
    assert_file_of_today(&csv, "license-history");
}
