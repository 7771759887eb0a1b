//! Generates the events of one account, one local day at a time.

use std::collections::VecDeque;

use chrono::Weekday;
use rand::{RngExt as _, SeedableRng as _, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;

use super::line::{Line, LineKind};
use super::load::Load;
use super::showcase::{self, PLAN_DAYS, Showcase};
use super::wire::{Happening, Test, render};
use super::world::{self, Account, Organization, index};
use crate::core::calendar::{Day, day_of, day_start};
use crate::core::event::{Origin, PlanKind};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Distribution of automated test runs over the hours of a working day.
const TEST_HOURS: [u32; 24] =
    [9, 7, 14, 6, 4, 4, 8, 25, 60, 90, 95, 85, 60, 75, 90, 92, 85, 70, 40, 22, 14, 12, 10, 9];

/// What an account in its working hours is worth among the busy ones: an hour of the middle of
/// [`TEST_HOURS`] on a working day.
pub(super) const BUSY: u32 = 60;

/// Hours of the day in which people work.
const WORKING_HOURS: std::ops::Range<u32> = 7..19;

/// Actions of users besides logging in.
const ACTIONS: [&str; 8] = [
    "test_case.created",
    "test_case.updated",
    "test_plan.viewed",
    "launch.reviewed",
    "defect.linked",
    "dashboard.viewed",
    "comment.added",
    "report.exported",
];

/// The events of one account, in order of time.
pub(super) struct AccountStream {
    account: Account,
    rng: ChaCha8Rng,
    actions_per_day: u32,
    from_ms: i64,
    to_ms: i64,
    next_day: Day,
    /// The rest of the day that was planned last, in order of time.
    planned: VecDeque<(i64, Happening)>,
    sequence: u64,
    seats: Seats,
    showcases: Vec<Showcase>,
}

/// Seats purchased, and seats held.
struct Seats {
    purchased: u64,
    /// Allocated and held seats, by organization.
    organizations: Vec<(u64, u64)>,
}

impl AccountStream {
    pub(super) fn new(load: &Load, number: u32) -> Self {
        // A separate random stream per account, so that more accounts do not change the others.
        let mut rng = ChaCha8Rng::seed_from_u64(load.seed);
        rng.set_stream(u64::from(number) + 1);
        let mut account = world::build(load, number, &mut rng);
        let showcases = match load.showcase && number == 0 {
            true => showcase::prepare(&mut account.organizations),
            false => Vec::new(),
        };
        let seats =
            Seats { purchased: 0, organizations: vec![(0, 0); account.organizations.len()] };
        let mut stream = Self {
            rng,
            actions_per_day: load.actions_per_day,
            from_ms: load.from_ms,
            to_ms: load.to_ms,
            next_day: day_of(account.zone, load.from_ms),
            planned: VecDeque::new(),
            sequence: 0,
            seats,
            showcases,
            account,
        };
        stream.plan_beginning();
        stream
    }

    /// Time of the next event; `None` after the last.
    pub(super) fn next_time_ms(&mut self) -> Option<i64> {
        while self.planned.is_empty() && day_start(self.account.zone, self.next_day) < self.to_ms {
            self.plan_day(self.next_day);
            self.next_day = self.next_day.plus_days(1);
        }
        self.planned.front().map(|&(time_ms, _)| time_ms)
    }

    /// The next event.
    pub(super) fn next_line(&mut self) -> Option<(Line, LineKind)> {
        self.next_time_ms()?;
        let (time_ms, happening) = self.planned.pop_front()?;
        for showcase in &mut self.showcases {
            showcase.note(self.account.zone, time_ms, &happening);
        }
        Some(self.line(time_ms, happening))
    }

    /// How busy the account is at that moment, by the hour and the weekday of its zone: around
    /// [`BUSY`] and more in working hours.
    pub(super) fn busy(&self, now_ms: i64) -> u32 {
        let (day, hour) = self.day_and_hour(now_ms);
        TEST_HOURS[index(hour)] * day_weight_percent(day) / 100
    }

    fn day_and_hour(&self, now_ms: i64) -> (Day, u32) {
        let day = day_of(self.account.zone, now_ms);
        let hour = (now_ms - day_start(self.account.zone, day)) / HOUR_MS;
        // A day may have 25 hours.
        (day, u32::try_from(hour.clamp(0, 23)).expect("a day has 24 hours"))
    }

    /// A live event. People work by day, tests run by night too.
    pub(super) fn live(&mut self, rng: &mut ChaCha8Rng, now_ms: i64) -> (Line, LineKind) {
        let (today, hour) = self.day_and_hour(now_ms);
        let tests_percent = if WORKING_HOURS.contains(&hour) { 25 } else { 100 };
        let is_active = |user: &u32| {
            let user = &self.account.users[index(*user)];
            user.attendance > 0 && user.is_there(today)
        };
        // Any user, if a few tries find no matching one.
        let user =
            (0..32).map(|_| random_index(rng, &self.account.users)).find(is_active).unwrap_or(0);
        let organization = random_index(rng, &self.account.organizations);
        let happening = match rng.random_range(0..100) {
            ticket if ticket < tests_percent => Happening::Test(Test {
                tests: rng.random_range(1..=3),
                ..test(&self.account, organization, today, rng)
            }),
            ..40 => Happening::Login { user },
            _ => Happening::Action {
                user,
                action: ACTIONS.choose(rng).copied().unwrap_or("dashboard.viewed"),
            },
        };
        self.line(now_ms, happening)
    }

    fn line(&mut self, time_ms: i64, happening: Happening) -> (Line, LineKind) {
        self.sequence += 1;
        let kind =
            if matches!(happening, Happening::Test(_)) { LineKind::Test } else { LineKind::Other };
        (Line { time_ms, json: render(&self.account, time_ms, self.sequence, happening) }, kind)
    }

    /// The initial events of an account: its directory, plans and licenses, a millisecond apart.
    fn plan_beginning(&mut self) {
        let mut plan = Vec::new();
        plan.push(Happening::AccountUpdated);
        for number in 0..self.organizations() {
            plan.push(Happening::OrganizationUpdated { organization: number });
            let projects = count(&self.account.organizations[index(number)].projects);
            plan.extend(
                (0..projects)
                    .map(|project| Happening::ProjectUpdated { organization: number, project }),
            );
        }
        self.planned = plan
            .into_iter()
            .zip(self.from_ms..)
            .map(|(happening, time_ms)| (time_ms, happening))
            .collect();
        for number in 0..self.organizations() {
            let organization = &self.account.organizations[index(number)];
            let happening = Happening::Plan {
                kind: PlanKind::Started,
                organization: number,
                plan: organization.plan,
                monthly_quota: organization.monthly_quota,
            };
            let started_ms = self.from_ms - i64::from(organization.plan_age_days) * DAY_MS;
            self.planned.push_back((started_ms, happening));
        }
        let hires = self.hires(self.next_day);
        self.plan_licenses(self.from_ms);
        self.planned.extend(
            hires.into_iter().zip(self.from_ms..).map(|(happening, time_ms)| (time_ms, happening)),
        );
    }

    /// All events of that day, in order of time.
    fn plan_day(&mut self, day: Day) {
        let midnight_ms = day_start(self.account.zone, day);
        let end_ms = day_start(self.account.zone, day.plus_days(1));
        if midnight_ms > self.from_ms {
            self.plan_office(day, midnight_ms + 8 * HOUR_MS);
        }
        self.plan_showcases(day, midnight_ms);
        self.plan_users(day, midnight_ms);
        self.plan_tests(day, midnight_ms);
        // A day may have 23 hours, and the first and the last day may be cut.
        let range = midnight_ms.max(self.from_ms)..end_ms.min(self.to_ms);
        self.planned.retain(|(time_ms, _)| range.contains(time_ms));
        self.planned.make_contiguous().sort_by_key(|&(time_ms, _)| time_ms);
    }

    /// Administrative events in the morning: users join and leave, seats are bought, plans are
    /// upgraded.
    fn plan_office(&mut self, day: Day, time_ms: i64) {
        let hires = self.hires(day);
        self.plan_licenses(time_ms);
        self.planned.extend(
            hires.into_iter().zip(time_ms + 1..).map(|(happening, time_ms)| (time_ms, happening)),
        );
        for number in 0..self.organizations() {
            let organization = &self.account.organizations[index(number)];
            if organization.upgraded_on == Some(day) {
                let monthly_quota = organization.monthly_quota.map(|quota| quota * 2);
                let (kind, plan) = (PlanKind::Upgraded, "business");
                let upgrade = Happening::Plan { kind, organization: number, plan, monthly_quota };
                self.planned.push_back((time_ms + 2 * HOUR_MS, upgrade));
            }
        }
    }

    /// Plans begin anew some weeks before the end, and are adjusted at the last midnight.
    fn plan_showcases(&mut self, day: Day, midnight_ms: i64) {
        let last_day = day_of(self.account.zone, self.to_ms - 1);
        for showcase in &mut self.showcases {
            if day == last_day.plus_days(-PLAN_DAYS) {
                let organization = &self.account.organizations[index(showcase.organization)];
                let time_ms = midnight_ms + 10 * HOUR_MS;
                let plan = showcase.begin(time_ms, organization.monthly_quota);
                self.planned.push_back((time_ms, plan));
            } else if day == last_day {
                self.planned.extend(showcase.adjust().map(|plan| (midnight_ms, plan)));
            }
        }
    }

    /// Buys and allocates seats if more are held than exist.
    fn plan_licenses(&mut self, time_ms: i64) {
        let held: u64 = self.seats.organizations.iter().map(|&(_, held)| held).sum();
        if held > self.seats.purchased {
            self.seats.purchased = with_reserve(held);
            self.planned.push_back((time_ms, Happening::Purchased { seats: self.seats.purchased }));
        }
        for number in 0..self.organizations() {
            let (allocated, held) = &mut self.seats.organizations[index(number)];
            if *held > *allocated {
                *allocated = with_reserve(*held);
                self.planned.push_back((
                    time_ms,
                    Happening::Allocated { organization: number, seats: *allocated },
                ));
            }
        }
    }

    /// Users who join, leave or change their project on that day.
    fn hires(&mut self, day: Day) -> Vec<Happening> {
        let mut hires = Vec::new();
        for number in 0..self.users() {
            let user = &self.account.users[index(number)];
            let joins = user.joins_on == day;
            let leaves = user.leaves_on == Some(day);
            if joins {
                hires.push(Happening::UserUpdated { user: number });
            }
            if !user.has_seat {
                continue;
            }
            let held = &mut self.seats.organizations[user.organization].1;
            let projects = &self.account.organizations[user.organization].projects;
            if leaves {
                *held -= 1;
                hires.push(Happening::Revoked { user: number });
            } else if joins || (user.reassigned_on == Some(day) && user.is_there(day)) {
                *held += u64::from(joins);
                hires.push(Happening::Assigned {
                    user: number,
                    project: random_index(&mut self.rng, projects),
                });
            }
        }
        hires
    }

    /// Logins in the morning, actions in the nine hours after them.
    fn plan_users(&mut self, day: Day, midnight_ms: i64) {
        let weight = day_weight_percent(day);
        for number in 0..self.users() {
            let user = &self.account.users[index(number)];
            if !user.is_there(day)
                || !self.rng.random_ratio((user.attendance * weight / 100).min(10_000), 10_000)
            {
                continue;
            }
            let login_ms = midnight_ms + 7 * HOUR_MS + self.rng.random_range(0..3 * HOUR_MS);
            self.planned.push_back((login_ms, Happening::Login { user: number }));
            for _ in 0..self.rng.random_range(0..=2 * self.actions_per_day) {
                let time_ms = login_ms + self.rng.random_range(1..9 * HOUR_MS);
                let action = ACTIONS.choose(&mut self.rng).copied().unwrap_or("dashboard.viewed");
                self.planned.push_back((time_ms, Happening::Action { user: number, action }));
            }
        }
    }

    /// Test runs by day and by night.
    fn plan_tests(&mut self, day: Day, midnight_ms: i64) {
        let weight = day_weight_percent(day);
        for number in 0..self.organizations() {
            let mean = self.account.organizations[index(number)].test_runs_per_day * weight;
            // In hundredths and rounded at random, so that a small mean holds over many days.
            let runs = (self.rng.random_range(0..=2 * mean) + self.rng.random_range(0..100)) / 100;
            for _ in 0..runs {
                let time_ms = midnight_ms + random_time_of_day(&mut self.rng);
                let test = test(&self.account, number, day, &mut self.rng);
                self.planned.push_back((time_ms, Happening::Test(test)));
            }
        }
    }

    fn users(&self) -> u32 {
        count(&self.account.users)
    }

    fn organizations(&self) -> u32 {
        count(&self.account.organizations)
    }
}

/// One `test.executed` event of the organization.
fn test(account: &Account, organization: u32, day: Day, rng: &mut ChaCha8Rng) -> Test {
    let Organization { projects, tests_per_run, .. } = &account.organizations[index(organization)];
    let tests = rng.random_range(1..=2 * tests_per_run);
    // Some are started by a person of the organization, most by a build.
    let starter = random_index(rng, &account.users);
    let user = &account.users[index(starter)];
    let is_by_user =
        user.organization == index(organization) && user.attendance > 0 && user.is_there(day);
    Test {
        organization,
        project: random_index(rng, projects),
        user: is_by_user.then_some(starter),
        origin: if rng.random_ratio(7, 10) { Origin::Run } else { Origin::Upload },
        tests,
        duration_ms: u64::from(tests) * rng.random_range(200..4_000),
    }
}

/// A tenth more than needed, rounded to fives.
fn with_reserve(held: u64) -> u64 {
    (held + held / 10).next_multiple_of(5)
}

/// How busy a day is, percent of a working day: weekends are quiet, and so are the days between the
/// years.
fn day_weight_percent(day: Day) -> u32 {
    let weekday = match day.weekday() {
        Weekday::Sat => 10,
        Weekday::Sun => 6,
        Weekday::Mon | Weekday::Fri => 90,
        _ => 105,
    };
    let month = day.year_month().0.rem_euclid(12) + 1;
    match (month, day.day_of_month()) {
        (12, 24..) | (1, 1) => weekday / 5,
        _ => weekday,
    }
}

/// Milliseconds since midnight, drawn by the weights of [`TEST_HOURS`].
fn random_time_of_day(rng: &mut ChaCha8Rng) -> i64 {
    let mut ticket = rng.random_range(0..TEST_HOURS.iter().sum());
    let hours = TEST_HOURS.iter().take_while(|&&weight| {
        let later = ticket >= weight;
        ticket = ticket.saturating_sub(weight);
        later
    });
    let hour = i64::try_from(hours.count()).expect("a day has 24 hours");
    hour * HOUR_MS + rng.random_range(0..HOUR_MS)
}

/// The index of any of the items, of which there is at least one.
fn random_index<T>(rng: &mut ChaCha8Rng, items: &[T]) -> u32 {
    rng.random_range(0..count(items))
}

fn count<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).expect("a load says by 32-bit numbers how many there are")
}
