//! The events of each round, and the figures after each event.
//!
//! An organization has the rounds of one start on one day in UTC, the account's zone: so no figure
//! depends on a midnight, and what lanes load of a user is bounded. Its name holds the time and a
//! random part, so that other starts and other instances disturb nothing.
//!
//! Seats go round a ring of users: a round assigns a seat to the next one and revokes that of the
//! one [`HELD_SEATS`] before. In two of three rounds the user logs in, which activates the seat.
//! The last event of a round is the one by which it is seen.

use std::collections::BTreeSet;

use chrono::{DateTime, Days, NaiveDate, SecondsFormat};
use serde_json::{Value, json};

use super::figures::Values;

/// Start of the id of every organization and user of the canary.
pub const PREFIX: &str = "seatmeter-canary-";

/// Users of an organization.
pub const RING_USERS: usize = 8;

/// Seats that are held after a round, once there were as many.
pub const HELD_SEATS: u64 = 5;

/// Seats that the organization is allocated: one less than are assigned for a moment.
pub const ALLOCATED_SEATS: u64 = 5;

/// The monthly quota, tests.
pub const MONTHLY_QUOTA: u64 = 1_000_000_000;

/// What may run in the first three months: 130 % of the quota.
const ALLOWANCE: u64 = MONTHLY_QUOTA / 10 * 13;

/// Events of a round, at most.
const ROUND_EVENTS_MAX: i64 = 16;

const DAY_MS: i64 = 86_400_000;

/// The organization of a day, and how far its rounds are.
#[derive(Clone, Debug)]
pub struct Rounds {
    account: String,
    organization: String,
    /// Days since 1970 UTC.
    day: i64,
    /// Rounds made so far.
    number: u64,
    /// Time of the last event, milliseconds since 1970 UTC.
    last_ms: i64,
    state: RingState,
}

/// The events of a round, in the order in which they are to be sent.
#[derive(Clone, Debug)]
pub struct CanaryRound {
    /// 0 for the first one of an organization.
    pub number: u64,
    pub events: Vec<CanaryEvent>,
}

/// An event, and the figures as soon as it and all before it are counted.
#[derive(Clone, Debug)]
pub struct CanaryEvent {
    /// The record's value.
    pub payload: Vec<u8>,
    pub after: Values,
}

impl Rounds {
    /// The rounds of an organization that is new at `now_ms` (milliseconds since 1970 UTC);
    /// `token` distinguishes it from those of other instances.
    pub fn new(account: &str, now_ms: i64, token: u32) -> Self {
        let start_ms = within_a_day(now_ms);
        let time = instant(start_ms).format("%Y%m%dT%H%M%S%3fZ");
        Self {
            account: account.to_owned(),
            organization: format!("{PREFIX}{time}-{token:08x}"),
            day: start_ms.div_euclid(DAY_MS),
            number: 0,
            last_ms: start_ms - 1,
            state: RingState::default(),
        }
    }

    /// The organization's id.
    pub fn organization(&self) -> &str {
        &self.organization
    }

    /// The day of all its events.
    pub fn date(&self) -> NaiveDate {
        instant(self.day * DAY_MS).date_naive()
    }

    /// The midnight that ends the day, RFC 3339: reports as of then hold all events of the day,
    /// whatever the clocks of the API say.
    pub fn end(&self) -> String {
        let next = self.date().checked_add_days(Days::new(1)).unwrap_or(NaiveDate::MAX);
        format!("{next}T00:00:00.000Z")
    }

    /// The figures of what was made so far.
    pub fn values(&self) -> Values {
        self.state.values()
    }

    /// The next round, whose events happen at `now_ms` and in the milliseconds after it; `None`
    /// where they would not all lie on the organization's day.
    pub fn next_round(&mut self, now_ms: i64) -> Option<CanaryRound> {
        let start_ms = now_ms.max(self.last_ms + 1);
        if (start_ms + ROUND_EVENTS_MAX).div_euclid(DAY_MS) != self.day {
            return None;
        }
        let number = self.number;
        self.number += 1;
        let mut events = Vec::new();
        for action in actions(number) {
            self.last_ms = start_ms + i64::try_from(events.len()).unwrap_or(ROUND_EVENTS_MAX);
            let event = self.event(number, events.len(), &action);
            self.state.apply(&action);
            events.push(CanaryEvent {
                payload: event.to_string().into_bytes(),
                after: self.state.values(),
            });
        }
        Some(CanaryRound { number, events })
    }

    fn event(&self, round: u64, index: usize, action: &Action) -> Value {
        let mut data = json!({"account_id": self.account});
        let mut set = |name: &str, value: Value| data[name] = value;
        if !matches!(action, Action::NameAccount) {
            set("organization_id", json!(self.organization));
        }
        let kind = match action {
            Action::NameAccount => {
                set("name", json!("Canary of seatmeter"));
                "account.updated"
            }
            Action::NameOrganization => {
                set("name", json!(self.organization));
                "organization.updated"
            }
            Action::StartPlan => {
                set("plan", json!("canary"));
                set("monthly_quota", json!(MONTHLY_QUOTA));
                "plan.started"
            }
            Action::Allocate => {
                set("seats", json!(ALLOCATED_SEATS));
                "license.allocated"
            }
            Action::Assign(user) | Action::LogIn(user) | Action::Revoke(user) => {
                set("user_id", json!(format!("{}-{user}", self.organization)));
                match action {
                    Action::Assign(_) => "license.assigned",
                    Action::LogIn(_) => "user.login",
                    _ => "license.revoked",
                }
            }
            Action::Test { origin, tests, duration_ms } => {
                set("origin", json!(origin.as_str()));
                set("tests", json!(tests));
                set("duration_ms", json!(duration_ms));
                "test.executed"
            }
        };
        let time = instant(self.last_ms).to_rfc3339_opts(SecondsFormat::Millis, true);
        // The id is fixed, so that a record that is in the log twice is counted once.
        json!({
            "specversion": "1.0",
            "id": format!("{}-{round}-{index}", self.organization),
            "source": "/seatmeter/canary",
            "type": kind,
            "time": time,
            "data": data,
        })
    }
}

/// What an event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    NameAccount,
    NameOrganization,
    StartPlan,
    Allocate,
    Assign(u64),
    LogIn(u64),
    Revoke(u64),
    Test { origin: TestOrigin, tests: u64, duration_ms: u64 },
}

/// Where tests ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TestOrigin {
    Run,
    Upload,
}

impl TestOrigin {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Upload => "upload",
        }
    }
}

/// What happens in a round. Tests that run are last, once in each.
fn actions(number: u64) -> Vec<Action> {
    let mut actions = Vec::new();
    if number == 0 {
        actions.extend([
            Action::NameAccount,
            Action::NameOrganization,
            Action::StartPlan,
            Action::Allocate,
        ]);
    }
    let user_of = |round: u64| round % RING_USERS as u64;
    let user = user_of(number);
    actions.push(Action::Assign(user));
    if number % 3 != 2 {
        actions.push(Action::LogIn(user));
    }
    if let Some(earlier) = number.checked_sub(HELD_SEATS) {
        actions.push(Action::Revoke(user_of(earlier)));
    }
    if number % 4 == 3 {
        actions.push(Action::Test { origin: TestOrigin::Upload, tests: 2, duration_ms: 500 });
    }
    let (tests, duration_ms) = (1 + number % 5, 100 + number % 7);
    actions.push(Action::Test { origin: TestOrigin::Run, tests, duration_ms });
    actions
}

/// What the events so far amount to.
#[derive(Clone, Debug, Default)]
struct RingState {
    /// Of each user, the seat that is held, and whether it is activated.
    seats: [Option<bool>; RING_USERS],
    active: BTreeSet<u64>,
    has_plan: bool,
    allocated: u64,
    run: u64,
    uploaded: u64,
    duration_ms: u64,
    peak_assigned: u64,
    peak_overage: u64,
}

impl RingState {
    fn apply(&mut self, action: &Action) {
        match *action {
            Action::NameAccount | Action::NameOrganization => {}
            Action::StartPlan => self.has_plan = true,
            Action::Allocate => self.allocated = ALLOCATED_SEATS,
            Action::Assign(user) => *self.seat(user) = Some(false),
            Action::Revoke(user) => *self.seat(user) = None,
            Action::LogIn(user) => {
                self.active.insert(user);
                if let Some(is_activated) = self.seat(user) {
                    *is_activated = true;
                }
            }
            Action::Test { origin, tests, duration_ms } => {
                self.duration_ms += duration_ms;
                match origin {
                    TestOrigin::Run => self.run += tests,
                    TestOrigin::Upload => self.uploaded += tests,
                }
            }
        }
        let assigned = self.assigned();
        self.peak_assigned = self.peak_assigned.max(assigned);
        self.peak_overage = self.peak_overage.max(assigned.saturating_sub(self.allocated));
    }

    fn seat(&mut self, user: u64) -> &mut Option<bool> {
        let place = usize::try_from(user).unwrap_or(0) % RING_USERS;
        &mut self.seats[place]
    }

    fn assigned(&self) -> u64 {
        self.seats.iter().flatten().map(|_| 1).sum()
    }

    /// The figures, in the order of [`JUDGED`](super::figures::JUDGED).
    fn values(&self) -> Values {
        let assigned = self.assigned();
        let activated = self.seats.iter().flatten().map(|&of| u64::from(of)).sum();
        let active_users: u64 = self.active.iter().map(|_| 1).sum();
        // Without a plan there is no such report, and nothing in it.
        let remaining = if self.has_plan { ALLOWANCE.saturating_sub(self.run) } else { 0 };
        [
            self.run + self.uploaded,
            self.run,
            self.uploaded,
            self.duration_ms,
            self.run,
            remaining,
            self.allocated,
            assigned,
            activated,
            self.peak_assigned,
            self.peak_overage,
            assigned,
            active_users,
            assigned,
        ]
    }
}

/// The time, or the next midnight where a round from then on would reach into the next day.
fn within_a_day(now_ms: i64) -> i64 {
    let end_ms = (now_ms.div_euclid(DAY_MS) + 1) * DAY_MS;
    if now_ms + ROUND_EVENTS_MAX < end_ms { now_ms } else { end_ms }
}

fn instant(ms: i64) -> DateTime<chrono::Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// 2026-03-01T09:00:00Z
    const START_MS: i64 = 1_772_355_600_000;

    /// The figures by their definitions, from the events' texts alone.
    fn naive(events: &[Value]) -> Values {
        let of = |kind: &'static str| events.iter().filter(move |event| event["type"] == kind);
        let number = |event: &Value, name: &str| event["data"][name].as_u64().unwrap();
        let tests = |origin: &'static str, name: &str| -> u64 {
            let events = of("test.executed").filter(|event| event["data"]["origin"] == origin);
            events.map(|event| number(event, name)).sum()
        };
        let user = |event: &Value| event["data"]["user_id"].as_str().unwrap().to_owned();
        // The seats as they stand after the first so many events: by user, where it was assigned.
        let standing = |until: usize| {
            let mut seats = BTreeMap::new();
            for (at, event) in events[..until].iter().enumerate() {
                match event["type"].as_str().unwrap() {
                    "license.assigned" => drop(seats.insert(user(event), at)),
                    "license.revoked" => drop(seats.remove(&user(event))),
                    _ => {}
                }
            }
            seats
        };
        let allocated = |until: usize| {
            let found = events[..until].iter().rfind(|event| event["type"] == "license.allocated");
            found.map_or(0, |event| number(event, "seats"))
        };
        let count = |until: usize| u64::try_from(standing(until).len()).unwrap();
        let now = events.len();
        let seats = standing(now);
        let activated = seats.iter().filter(|(user_id, at)| {
            events[**at..].iter().any(|of| of["type"] == "user.login" && user(of) == **user_id)
        });
        let activated = u64::try_from(activated.count()).unwrap();
        let peak = (0..=now).map(count).max().unwrap();
        let overage =
            (0..=now).map(|until| count(until).saturating_sub(allocated(until))).max().unwrap();
        let active: BTreeSet<String> = of("user.login").map(user).collect();
        let (run, uploaded) = (tests("run", "tests"), tests("upload", "tests"));
        let duration_ms = tests("run", "duration_ms") + tests("upload", "duration_ms");
        let quota = of("plan.started").next().map(|event| number(event, "monthly_quota"));
        let remaining = quota.map_or(0, |quota| quota * 130 / 100 - run);
        let active = u64::try_from(active.len()).unwrap();
        [
            run + uploaded,
            run,
            uploaded,
            duration_ms,
            run,
            remaining,
            allocated(now),
            count(now),
            activated,
            peak,
            overage,
            count(now),
            active,
            count(now),
        ]
    }

    #[test]
    fn the_figures_after_each_event_are_those_of_a_naive_count() {
        let mut rounds = Rounds::new("canary", START_MS, 7);
        let mut events: Vec<Value> = Vec::new();
        let mut times = Vec::new();
        for number in 0..30 {
            let round = rounds.next_round(START_MS + number * 5_000).unwrap();
            for event in round.events {
                let parsed: Value = serde_json::from_slice(&event.payload).unwrap();
                times.push(parsed["time"].as_str().unwrap().to_owned());
                events.push(parsed);
                assert_eq!(event.after, naive(&events), "round {number}");
            }
            assert_eq!(rounds.values(), naive(&events));
        }
        assert!(times.is_sorted_by(|a, b| a < b), "no two facts happen at one instant");
        let ids: BTreeSet<&str> =
            events.iter().map(|event| event["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), events.len());
        let last = naive(&events);
        assert_eq!((last[7], last[9], last[10]), (5, 6, 1));
        assert_ne!(last[8], last[7], "some seats are not activated");
    }

    #[test]
    fn the_last_event_of_a_round_alone_is_a_test_that_runs() {
        for number in 0..50 {
            let actions = actions(number);
            let runs =
                |action: &Action| matches!(action, Action::Test { origin: TestOrigin::Run, .. });
            assert!(runs(actions.last().unwrap()));
            assert_eq!(actions.iter().filter(|action| runs(action)).count(), 1);
            assert!(i64::try_from(actions.len()).unwrap() <= ROUND_EVENTS_MAX);
        }
    }

    #[test]
    fn an_organization_keeps_to_its_day() {
        let midnight_ms = (START_MS / DAY_MS + 1) * DAY_MS;
        let mut rounds = Rounds::new("canary", START_MS, 1);
        assert_eq!(rounds.organization(), "seatmeter-canary-20260301T090000000Z-00000001");
        assert_eq!(rounds.date().to_string(), "2026-03-01");
        assert_eq!(rounds.end(), "2026-03-02T00:00:00.000Z");
        assert!(rounds.next_round(midnight_ms - 1_000).is_some());
        assert!(rounds.next_round(midnight_ms - 3).is_none(), "its events would be of two days");
        assert!(rounds.next_round(midnight_ms).is_none());

        let mut late = Rounds::new("canary", midnight_ms - 3, 1);
        assert_eq!(late.date().to_string(), "2026-03-02");
        let round = late.next_round(midnight_ms - 2).unwrap();
        let first: Value = serde_json::from_slice(&round.events[0].payload).unwrap();
        assert_eq!(first["time"], "2026-03-02T00:00:00.000Z");
    }

    #[test]
    fn a_clock_that_goes_back_moves_no_event_before_another() {
        let mut rounds = Rounds::new("canary", START_MS, 1);
        let one = rounds.next_round(START_MS).unwrap();
        let other = rounds.next_round(START_MS - 60_000).unwrap();
        let time = |event: &CanaryEvent| {
            let event: Value = serde_json::from_slice(&event.payload).unwrap();
            event["time"].as_str().unwrap().to_owned()
        };
        assert!(time(one.events.last().unwrap()) < time(&other.events[0]));
    }
}
