//! Generated accounts: their organizations, projects and users, with their properties.

use rand::{RngExt as _, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;

use super::load::{Load, PLAN_AGE_DAYS_MAX};
use crate::core::calendar::{Day, Zone, day_of};
use crate::core::id::Id;

/// One account.
pub(super) struct Account {
    pub(super) id: Id,
    pub(super) name: &'static str,
    pub(super) zone: Zone,
    /// Its sources write times with the local offset instead of `Z`.
    pub(super) writes_local_times: bool,
    pub(super) organizations: Vec<Organization>,
    pub(super) users: Vec<User>,
}

/// One organization.
pub(super) struct Organization {
    pub(super) id: Id,
    pub(super) name: String,
    /// Index of its parent, which comes before it.
    pub(super) parent: Option<usize>,
    pub(super) projects: Vec<Project>,
    /// `test.executed` events on a working day, mean.
    pub(super) test_runs_per_day: u32,
    /// Tests of one such event, mean.
    pub(super) tests_per_run: u32,
    pub(super) plan: &'static str,
    pub(super) monthly_quota: Option<u64>,
    /// Days from the start of its plan to the first instant.
    pub(super) plan_age_days: i32,
    /// The day on which it gets a larger plan.
    pub(super) upgraded_on: Option<Day>,
}

/// One project.
pub(super) struct Project {
    pub(super) id: Id,
    pub(super) name: &'static str,
}

/// One user.
pub(super) struct User {
    pub(super) id: Id,
    pub(super) name: String,
    pub(super) email: String,
    /// Index of the organization that they work in.
    pub(super) organization: usize,
    pub(super) joins_on: Day,
    pub(super) leaves_on: Option<Day>,
    pub(super) has_seat: bool,
    /// The day on which the seat moves to another project.
    pub(super) reassigned_on: Option<Day>,
    /// How likely an active day is on a working day, per 10,000. 0: the seat is left unused.
    pub(super) attendance: u32,
}

impl User {
    /// True from the day of joining to the day before leaving.
    pub(super) fn is_there(&self, day: Day) -> bool {
        self.joins_on <= day && self.leaves_on.is_none_or(|leaves_on| day < leaves_on)
    }
}

const ACCOUNTS: [(&str, &str); 10] = [
    ("acme", "Acme Robotics"),
    ("globex", "Globex"),
    ("initech", "Initech Software"),
    ("northwind", "Northwind Traders"),
    ("umbra", "Umbra Studios"),
    ("stark", "Stark Mobility"),
    ("wayne", "Wayne Logistics"),
    ("tyrell", "Tyrell Bio"),
    ("cyber", "Cyberdyne Payments"),
    ("aperture", "Aperture Optics"),
];

// Spread over the world, so that some account is always in its working hours; with an offset of :45
// and a half-hour one.
const ZONES: [&str; 8] = [
    "Europe/Berlin",
    "America/New_York",
    "Asia/Tokyo",
    "Asia/Kolkata",
    "America/Los_Angeles",
    "Asia/Kathmandu",
    "Australia/Sydney",
    "America/Sao_Paulo",
];

const DIVISIONS: [&str; 8] = [
    "Engineering",
    "Payments",
    "Mobile",
    "Platform",
    "Data",
    "Commerce",
    "Devices",
    "Customer Success",
];

const TEAMS: [&str; 12] = [
    "Checkout",
    "Search",
    "Identity",
    "Billing",
    "Messaging",
    "Android",
    "iOS",
    "Infrastructure",
    "Analytics",
    "Firmware",
    "Onboarding",
    "Quality",
];

const PROJECTS: [&str; 8] =
    ["Web", "API", "Regression", "Smoke", "End to End", "Performance", "Mobile App", "Integration"];

const GIVEN_NAMES: [&str; 24] = [
    "Ada", "Amir", "Ana", "Chidi", "Chloé", "Diego", "Elif", "Emma", "Grace", "Hana", "Ines",
    "Ivan", "Jonas", "José", "Kofi", "Lena", "Łukasz", "Mei", "Noah", "Olga", "Priya", "Ravi",
    "Sofia", "Zoë",
];

const FAMILY_NAMES: [&str; 24] = [
    "Almeida", "Bauer", "Chen", "Dubois", "Eriksen", "Fischer", "García", "Haddad", "Ito",
    "Jansen", "Kowalska", "Larsen", "Moreau", "Nakamura", "O'Neill", "Okafor", "Patel", "Quispe",
    "Rossi", "Silva", "Tanaka", "Ueda", "Weiß", "Yılmaz",
];

/// Builds account `number`. All randomness comes from `rng`.
pub(super) fn build(load: &Load, number: u32, rng: &mut ChaCha8Rng) -> Account {
    let index = index(number);
    let zone: Zone =
        ZONES[index % ZONES.len()].parse().expect("all of them are in the IANA database");
    let (slug, name) = ACCOUNTS[index % ACCOUNTS.len()];
    // Ids of both kinds, unique even beyond the number of names.
    let id = if index.is_multiple_of(2) && index < ACCOUNTS.len() {
        Id::from_text(slug)
    } else {
        numbered(1_000 + number)
    };
    let first_day = day_of(zone, load.from_ms);
    let days = day_of(zone, load.to_ms).0.saturating_sub(first_day.0).max(1);
    let span = Span { first_day, days };
    let organizations =
        (0..load.organizations).map(|number| organization(load, number, span, rng)).collect();
    let users = (0..load.users)
        .map(|number| user(load, number, slug, index.is_multiple_of(2), span, rng))
        .collect();
    Account { id, name, zone, writes_local_times: index % 3 == 1, organizations, users }
}

/// The days to generate.
#[derive(Clone, Copy)]
struct Span {
    first_day: Day,
    days: i32,
}

impl Span {
    /// A day after the first one.
    fn random_day(self, rng: &mut ChaCha8Rng) -> Day {
        self.first_day.plus_days(rng.random_range(1..=self.days))
    }
}

fn organization(load: &Load, number: u32, span: Span, rng: &mut ChaCha8Rng) -> Organization {
    let top_level = load.organizations.div_ceil(5);
    let position = index(number);
    let (parent, name) = if number < top_level {
        let division = DIVISIONS[position % DIVISIONS.len()];
        (None, name_with_round(division, position / DIVISIONS.len()))
    } else {
        let team = TEAMS[position % TEAMS.len()];
        (Some(rng.random_range(0..position)), name_with_round(team, position / TEAMS.len()))
    };
    let projects = (0..rng.random_range(1..=4_u32)).map(|project| Project {
        id: if number.is_multiple_of(2) {
            numbered(100 * (number + 1) + project)
        } else {
            Id::from_text(&format!("p{number}-{project}"))
        },
        name: PROJECTS[index(number + project) % PROJECTS.len()],
    });
    let projects = projects.collect();
    let test_runs_per_day = rng.random_range(0..=2 * load.test_runs_per_day);
    let tests_per_run = rng.random_range(4..=80);
    let (plan, monthly_quota, runs_hot) = plan(test_runs_per_day, tests_per_run, rng);
    Organization {
        id: if number.is_multiple_of(3) {
            Id::from_text(&format!("org-{number}"))
        } else {
            numbered(100 + number)
        },
        name,
        parent,
        projects,
        test_runs_per_day,
        tests_per_run,
        plan,
        monthly_quota,
        plan_age_days: if rng.random_ratio(1, 2) {
            rng.random_range(0..=PLAN_AGE_DAYS_MAX)
        } else {
            0
        },
        upgraded_on: (runs_hot && rng.random_ratio(1, 2)).then(|| span.random_day(rng)),
    }
}

/// A plan, its quota, and how much of it the organization uses: most use a part, some exceed it,
/// some are unlimited.
fn plan(
    runs_per_day: u32,
    tests_per_run: u32,
    rng: &mut ChaCha8Rng,
) -> (&'static str, Option<u64>, bool) {
    // 7 of 10 test runs consume quota, and a month has about 21 working days.
    let expected = u64::from(runs_per_day) * u64::from(tests_per_run) * 21 * 7 / 10;
    let percent_used = match rng.random_range(0..100) {
        0..10 => return ("enterprise", None, false),
        10..30 => rng.random_range(105..170),
        _ => rng.random_range(30..90),
    };
    let quota = two_digits((expected * 100 / percent_used).max(100));
    let plan = match quota {
        0..1_000 => "free",
        1_000..10_000 => "team",
        _ => "business",
    };
    (plan, Some(quota), percent_used > 100)
}

fn user(
    load: &Load,
    number: u32,
    domain: &str,
    numeric: bool,
    span: Span,
    rng: &mut ChaCha8Rng,
) -> User {
    let given = GIVEN_NAMES.choose(rng).copied().unwrap_or_default();
    let family = FAMILY_NAMES.choose(rng).copied().unwrap_or_default();
    let ascii = |name: &str| {
        name.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_lowercase()
    };
    let email = format!("{}.{}{number}@{domain}.example", ascii(given), ascii(family));
    let joins_on = if rng.random_ratio(7, 10) { span.first_day } else { span.random_day(rng) };
    let later = |rng: &mut ChaCha8Rng, in_hundred: u32| {
        (rng.random_range(0..100) < in_hundred)
            .then(|| span.random_day(rng))
            .filter(|&day| day > joins_on)
    };
    let percent = match rng.random_range(0..100) {
        0..12 => 0,
        12..30 => rng.random_range(1..15),
        30..70 => rng.random_range(40..75),
        _ => rng.random_range(75..96),
    };
    User {
        id: if numeric {
            numbered(9_000 + number)
        } else {
            Id::from_text(&format!("u-{number:05}"))
        },
        name: format!("{given} {family}"),
        email,
        organization: rng.random_range(0..index(load.organizations)),
        joins_on,
        leaves_on: later(rng, 8),
        has_seat: rng.random_range(0..100) < 88,
        reassigned_on: later(rng, 4),
        attendance: (percent * load.attendance_percent).min(10_000),
    }
}

/// Names repeat, so from the second round on they carry its number.
fn name_with_round(name: &str, round: usize) -> String {
    if round == 0 { name.to_owned() } else { format!("{name} {}", round + 1) }
}

/// The number rounded down to two significant digits.
fn two_digits(number: u64) -> u64 {
    let mut unit = 1;
    while number / unit >= 100 {
        unit *= 10;
    }
    number / unit * unit
}

fn numbered(number: u32) -> Id {
    Id::Number(u64::from(number))
}

/// A 32-bit number as an index.
pub(super) fn index(number: u32) -> usize {
    usize::try_from(number).expect("seatmeter runs on machines of 32 bits and more")
}
