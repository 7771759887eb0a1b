//! Logs with known counts: the writer counts naively while it writes, by the meaning of each
//! record, and never parses one.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

const ACCOUNTS: u32 = 12;
const ORGANIZATIONS: u32 = 3;
const USERS: u32 = 40;

/// Zones without clock changes since 2000, each with its distance from UTC in minutes.
const ZONES: [(&str, i64); 4] =
    [("UTC", 0), ("Asia/Tokyo", 540), ("Asia/Kathmandu", 345), ("America/Phoenix", -420)];

/// Lines of a difference shown in a failure.
const LINES_SHOWN_MAX: usize = 20;

/// One record of a log.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) key: Option<String>,
    pub(crate) value: Option<Vec<u8>>,
}

/// Expected result of counting a log: each line as the query in [`super::Setup::counted`] prints
/// it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Accepted, rejected, duplicates, skipped.
    pub(crate) outcomes: [u64; 4],
    /// Account, organization, project, day: run, uploaded, milliseconds.
    pub(crate) executions: Vec<String>,
    /// Account, day: users.
    pub(crate) active_users: Vec<String>,
    /// Account, organization, day: users.
    pub(crate) organization_users: Vec<String>,
    /// Account, organization: tests that consumed quota.
    pub(crate) quota: Vec<String>,
    /// Account, organization, user: activated, status.
    pub(crate) seats: Vec<String>,
    /// Account, organization or nothing: seats owned or allocated.
    pub(crate) licenses: Vec<String>,
}

impl Counted {
    /// Fails with the lines that are in only one of the two.
    #[track_caller]
    pub(crate) fn assert_is(&self, expected: &Counted) {
        let only = |these: &[String], those: &[String]| -> Vec<String> {
            let those: BTreeSet<&String> = those.iter().collect();
            these
                .iter()
                .filter(|line| !those.contains(line))
                .take(LINES_SHOWN_MAX)
                .cloned()
                .collect()
        };
        let tables = [
            ("executions", &self.executions, &expected.executions),
            ("active users", &self.active_users, &expected.active_users),
            ("organization's users", &self.organization_users, &expected.organization_users),
            ("quota", &self.quota, &expected.quota),
            ("seats", &self.seats, &expected.seats),
            ("licenses", &self.licenses, &expected.licenses),
        ];
        for (table, counted, expected) in tables {
            let (wrong, missing) = (only(counted, expected), only(expected, counted));
            assert!(counted == expected, "{table}: counted {wrong:#?}\nwritten {missing:#?}");
        }
        assert_eq!(self.outcomes, expected.outcomes, "accepted, rejected, duplicates, skipped");
    }
}

/// Writes a log and counts it. Event times ascend, except late events; plans, seats and timely
/// tests lie within one quota month.
pub(crate) struct Writer {
    rng: ChaCha8Rng,
    clock: DateTime<Utc>,
    /// Greatest step of the clock per record.
    step_ms: i64,
    number: u64,
    records: Vec<Record>,
    outcomes: [u64; 4],
    executions: BTreeMap<(String, String, String, String), [u64; 3]>,
    active_users: BTreeMap<(String, String), BTreeSet<String>>,
    organization_users: BTreeMap<(String, String, String), BTreeSet<String>>,
    quota: BTreeMap<(String, String), u64>,
    /// The latest interval of each seat.
    seats: BTreeMap<(String, String, String), Seat>,
    licenses: BTreeMap<(String, String), u64>,
    /// Minutes from UTC, by account.
    zones: BTreeMap<String, i64>,
    /// Start of each organization's plan.
    planned: BTreeMap<(String, String), DateTime<Utc>>,
    /// Tests that can be sent again, with their number of tests.
    sent_tests: Vec<(Record, u64)>,
    /// Tests, however often they were sent.
    tests_sent: u64,
}

struct Seat {
    start: DateTime<Utc>,
    end: Option<DateTime<Utc>>,
    is_activated: bool,
}

impl Writer {
    /// A writer whose log depends only on the seed. 20,000 records stay within a quota month.
    pub(crate) fn new(seed: u64) -> Writer {
        Writer::with_step(seed, 200_000)
    }

    /// A writer of a longer log: its clock advances by at most this much per record.
    pub(crate) fn with_step(seed: u64, step_ms: i64) -> Writer {
        Writer {
            rng: ChaCha8Rng::seed_from_u64(seed),
            clock: "2025-01-06T08:00:00Z".parse().unwrap(),
            step_ms,
            number: 0,
            records: Vec::new(),
            outcomes: [0; 4],
            executions: BTreeMap::new(),
            active_users: BTreeMap::new(),
            organization_users: BTreeMap::new(),
            quota: BTreeMap::new(),
            seats: BTreeMap::new(),
            licenses: BTreeMap::new(),
            zones: BTreeMap::new(),
            planned: BTreeMap::new(),
            sent_tests: Vec::new(),
            tests_sent: 0,
        }
    }

    /// Writes so many more records, and returns them.
    pub(crate) fn write(&mut self, records: usize) -> Vec<Record> {
        for _ in 0..records {
            self.write_one();
        }
        std::mem::take(&mut self.records)
    }

    /// Writes this many records that are no events: each becomes a row, and none needs a load.
    pub(crate) fn write_rejects(&mut self, records: usize) -> Vec<Record> {
        for _ in 0..records {
            let account = self.account();
            self.reject(&account);
        }
        std::mem::take(&mut self.records)
    }

    /// Writes this many records that are no events and are large, even compressed.
    pub(crate) fn write_large_rejects(&mut self, records: usize) -> Vec<Record> {
        for _ in 0..records {
            let account = self.account();
            let value: String =
                (0..4_000).map(|_| format!("{:016x}", self.rng.random::<u64>())).collect();
            self.records.push(Record { key: Some(account), value: Some(value.into_bytes()) });
            self.outcomes[1] += 1;
        }
        std::mem::take(&mut self.records)
    }

    /// Writes one late test and one late activity for each of this many months, from the latest
    /// back.
    pub(crate) fn write_months(&mut self, months: i64) -> Vec<Record> {
        for month in 0..months {
            let (account, organization) = (self.account(), self.organization());
            let time = self.clock - Duration::days(31 * month);
            self.test(&account, &organization, time);
            self.activity(&account, &organization, time);
        }
        std::mem::take(&mut self.records)
    }

    /// From now on no earlier test is sent again: its first record can no longer be found, because
    /// the log was truncated or its account moved to another partition.
    pub(crate) fn forget_sent_tests(&mut self) {
        self.sent_tests.clear();
    }

    /// The tests of all records, including repeated ones: the result of a counter without duplicate
    /// detection.
    pub(crate) fn tests_sent(&self) -> u64 {
        self.tests_sent
    }

    /// The expected counts of all records so far.
    pub(crate) fn counted(&self) -> Counted {
        Counted {
            outcomes: self.outcomes,
            executions: lines(self.executions.iter().map(
                |((account, organization, project, day), [run, uploaded, ms])| {
                    format!("{account}\t{organization}\t{project}\t{day}\t{run}\t{uploaded}\t{ms}")
                },
            )),
            active_users: lines(
                self.active_users
                    .iter()
                    .map(|((account, day), users)| format!("{account}\t{day}\t{}", users.len())),
            ),
            organization_users: lines(self.organization_users.iter().map(
                |((account, organization, day), users)| {
                    format!("{account}\t{organization}\t{day}\t{}", users.len())
                },
            )),
            quota: lines(self.quota.iter().map(|((account, organization), used)| {
                format!("{account}\t{organization}\t{used}")
            })),
            seats: lines(self.seats.iter().map(|((account, organization, user), seat)| {
                let status = if seat.end.is_none() { "active" } else { "revoked" };
                format!("{account}\t{organization}\t{user}\t{}\t{status}", seat.is_activated)
            })),
            licenses: lines(self.licenses.iter().map(|((account, organization), seats)| {
                format!("{account}\t{organization}\t{seats}")
            })),
        }
    }

    fn write_one(&mut self) {
        // No two records have the same instant.
        self.clock += Duration::milliseconds(self.rng.random_range(1..self.step_ms));
        let (account, organization) = (self.account(), self.organization());
        if !self.planned.contains_key(&(account.clone(), organization.clone())) {
            return self.plan(&account, &organization);
        }
        let late = Duration::minutes(self.rng.random_range(0..150 * 30 * 24 * 60));
        match self.rng.random_range(0..100) {
            0..3 => self.reject(&account),
            3 => self.tombstone(&account),
            4..9 => self.send_again(),
            9..14 => self.assign(&account, &organization),
            14..16 => self.revoke(&account, &organization),
            16 => self.license(&account, &organization),
            17 if self.rng.random_bool(0.2) => self.zone(&account),
            18 => self.test(&account, &organization, self.clock - late),
            19 => self.activity(&account, &organization, self.clock - late),
            20..58 => self.test(&account, &organization, self.clock),
            _ => self.activity(&account, &organization, self.clock),
        }
    }

    fn plan(&mut self, account: &str, organization: &str) {
        let data =
            json!({"organization_id": organization, "plan": "pro", "monthly_quota": 100_000});
        self.event("plan.started", account, self.clock, data);
        self.planned.insert((account.to_owned(), organization.to_owned()), self.clock);
    }

    fn activity(&mut self, account: &str, organization: &str, time: DateTime<Utc>) {
        let user = self.user();
        self.event(
            "user.action",
            account,
            time,
            json!({"organization_id": organization, "user_id": user}),
        );
        self.active(account, organization, &user, time);
    }

    fn test(&mut self, account: &str, organization: &str, time: DateTime<Utc>) {
        let user = self.user();
        let project = format!("p{}", self.rng.random_range(0..5));
        let (is_run, tests) = (self.rng.random_bool(0.7), self.rng.random_range(1..500_u64));
        let duration_ms = self.rng.random_range(0..10_000_u64);
        let origin = if is_run { "run" } else { "upload" };
        let data = json!({
            "organization_id": organization, "project_id": project, "user_id": user,
            "origin": origin, "tests": tests, "duration_ms": duration_ms,
        });
        self.event("test.executed", account, time, data);
        self.sent_tests.extend(self.records.last().map(|record| (record.clone(), tests)));
        self.tests_sent += tests;
        let key = (account.to_owned(), organization.to_owned(), project, self.day(account, time));
        let counts = self.executions.entry(key).or_default();
        counts[usize::from(!is_run)] += tests;
        counts[2] += duration_ms;
        let plan = (account.to_owned(), organization.to_owned());
        if is_run && self.planned.get(&plan).is_some_and(|anchor| *anchor <= time) {
            *self.quota.entry(plan).or_default() += tests;
        }
        self.active(account, organization, &user, time);
    }

    fn send_again(&mut self) {
        if self.sent_tests.is_empty() {
            return self.tombstone("acct-0");
        }
        let (again, tests) =
            self.sent_tests[self.rng.random_range(0..self.sent_tests.len())].clone();
        self.records.push(again);
        self.tests_sent += tests;
        self.outcomes[2] += 1;
    }

    fn assign(&mut self, account: &str, organization: &str) {
        let user = self.user();
        self.event(
            "license.assigned",
            account,
            self.clock,
            json!({"organization_id": organization, "user_id": user}),
        );
        let seat = Seat { start: self.clock, end: None, is_activated: false };
        self.seats.insert((account.to_owned(), organization.to_owned(), user), seat);
    }

    fn revoke(&mut self, account: &str, organization: &str) {
        let user = self.user();
        self.event(
            "license.revoked",
            account,
            self.clock,
            json!({"organization_id": organization, "user_id": user}),
        );
        if let Some(seat) = self.seats.get_mut(&(account.to_owned(), organization.to_owned(), user))
        {
            seat.end = seat.end.or(Some(self.clock));
        }
    }

    fn license(&mut self, account: &str, organization: &str) {
        let seats = self.rng.random_range(0..1000_u64);
        let of = if self.rng.random_bool(0.5) {
            self.event("license.purchased", account, self.clock, json!({"seats": seats}));
            String::new()
        } else {
            let data = json!({"organization_id": organization, "seats": seats});
            self.event("license.allocated", account, self.clock, data);
            organization.to_owned()
        };
        self.licenses.insert((account.to_owned(), of), seats);
    }

    fn zone(&mut self, account: &str) {
        let (zone, minutes) = ZONES[self.rng.random_range(0..ZONES.len())];
        self.event("account.updated", account, self.clock, json!({"timezone": zone}));
        self.zones.insert(account.to_owned(), minutes);
    }

    fn reject(&mut self, account: &str) {
        let good = json!({"id": "x", "source": "/s", "type": "user.login", "time": text(self.clock),
                          "data": {"account_id": account, "user_id": 1}});
        let (key, value) = match self.rng.random_range(0..6) {
            0 => (Some(account), b"{\"id\":".to_vec()),
            1 => (Some(account), with(&good, "type", json!("user.vanished"))),
            2 => (Some(account), with(&good, "time", Value::Null)),
            3 => (Some(account), with(&good, "time", json!("1999-12-31T23:59:59.999Z"))),
            4 => (Some(account), with(&good, "time", json!("2099-01-01T00:00:00Z"))),
            _ => (None, good.to_string().into_bytes()),
        };
        self.records.push(Record { key: key.map(str::to_owned), value: Some(value) });
        self.outcomes[1] += 1;
    }

    fn tombstone(&mut self, account: &str) {
        self.records.push(Record { key: Some(account.to_owned()), value: None });
        self.outcomes[3] += 1;
    }

    fn event(&mut self, kind: &str, account: &str, time: DateTime<Utc>, mut data: Value) {
        self.number += 1;
        data["account_id"] = json!(account);
        let event = json!({
            "specversion": "1.0", "id": format!("e{}", self.number), "source": "/test",
            "type": kind, "time": text(time), "data": data,
        });
        self.records.push(Record {
            key: Some(account.to_owned()),
            value: Some(event.to_string().into_bytes()),
        });
        self.outcomes[0] += 1;
    }

    fn active(&mut self, account: &str, organization: &str, user: &str, time: DateTime<Utc>) {
        let day = self.day(account, time);
        let of_organization = (account.to_owned(), organization.to_owned(), day.clone());
        self.organization_users.entry(of_organization).or_default().insert(user.to_owned());
        self.active_users.entry((account.to_owned(), day)).or_default().insert(user.to_owned());
        for organization in 1..=ORGANIZATIONS {
            let seat = self.seats.get_mut(&(
                account.to_owned(),
                organization.to_string(),
                user.to_owned(),
            ));
            if let Some(seat) =
                seat.filter(|seat| seat.start <= time && seat.end.is_none_or(|end| time < end))
            {
                seat.is_activated = true;
            }
        }
    }

    fn account(&mut self) -> String {
        format!("acct-{}", self.rng.random_range(0..ACCOUNTS))
    }

    fn organization(&mut self) -> String {
        self.rng.random_range(1..=ORGANIZATIONS).to_string()
    }

    /// Some users have numbers, others have names.
    fn user(&mut self) -> String {
        let number = self.rng.random_range(0..USERS);
        if number.is_multiple_of(2) { number.to_string() } else { format!("user-{number}") }
    }

    fn day(&self, account: &str, time: DateTime<Utc>) -> String {
        let minutes = self.zones.get(account).copied().unwrap_or(0);
        (time + Duration::minutes(minutes)).format("%Y-%m-%d").to_string()
    }
}

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The event with another value of one field.
fn with(event: &Value, field: &str, value: Value) -> Vec<u8> {
    let mut event = event.clone();
    event[field] = value;
    event.to_string().into_bytes()
}

fn lines(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}
