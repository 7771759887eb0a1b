//! Logs whose counts are known, because they are made together with them: a naive count of what is written, by someone who
//! knows what each record means and never reads one back.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

const ACCOUNTS: u32 = 12;
const ORGANIZATIONS: u32 = 3;
const USERS: u32 = 40;

/// One record of a log.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) key: Option<String>,
    pub(crate) value: Option<Vec<u8>>,
}

/// What counting a log must yield: each line as the query in [`super::Setup::counted`] prints it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Accepted, rejected, duplicates, skipped.
    pub(crate) outcomes: [u64; 4],
    /// Account, organization, project, day: run, uploaded, milliseconds.
    pub(crate) executions: Vec<String>,
    /// Account, day: users.
    pub(crate) active_users: Vec<String>,
    /// Account, organization: tests that consumed quota.
    pub(crate) quota: Vec<String>,
    /// Account, organization, user: activated, status.
    pub(crate) seats: Vec<String>,
}

impl Counted {
    /// Fails with the lines that only one of the two has.
    #[track_caller]
    pub(crate) fn assert_is(&self, expected: &Counted) {
        let only = |these: &[String], those: &[String]| -> Vec<String> {
            these.iter().filter(|line| !those.contains(line)).cloned().collect()
        };
        let tables = [
            ("executions", &self.executions, &expected.executions),
            ("active users", &self.active_users, &expected.active_users),
            ("quota", &self.quota, &expected.quota),
            ("seats", &self.seats, &expected.seats),
        ];
        for (table, counted, expected) in tables {
            let (wrong, missing) = (only(counted, expected), only(expected, counted));
            assert!(counted == expected, "{table}: counted {wrong:#?}\nwritten {missing:#?}");
        }
        assert_eq!(self.outcomes, expected.outcomes, "accepted, rejected, duplicates, skipped");
    }
}

/// Writes a log and counts along. Its event times only grow, and lie within one quota month.
pub(crate) struct Writer {
    rng: ChaCha8Rng,
    clock: DateTime<Utc>,
    number: u64,
    records: Vec<Record>,
    outcomes: [u64; 4],
    executions: BTreeMap<(String, String, String, String), [u64; 3]>,
    active_users: BTreeMap<(String, String), BTreeSet<String>>,
    quota: BTreeMap<(String, String), u64>,
    /// Whether it was activated, and whether it is still held.
    seats: BTreeMap<(String, String, String), (bool, bool)>,
    planned: BTreeSet<(String, String)>,
    /// Tests that can be sent once more.
    sent_tests: Vec<Record>,
}

impl Writer {
    /// A writer that writes the same log for the same seed.
    pub(crate) fn new(seed: u64) -> Writer {
        Writer {
            rng: ChaCha8Rng::seed_from_u64(seed),
            clock: "2025-01-06T08:00:00Z".parse().unwrap(),
            number: 0,
            records: Vec::new(),
            outcomes: [0; 4],
            executions: BTreeMap::new(),
            active_users: BTreeMap::new(),
            quota: BTreeMap::new(),
            seats: BTreeMap::new(),
            planned: BTreeSet::new(),
            sent_tests: Vec::new(),
        }
    }

    /// Writes so many more records, and returns them.
    pub(crate) fn write(&mut self, records: usize) -> Vec<Record> {
        for _ in 0..records {
            self.write_one();
        }
        std::mem::take(&mut self.records)
    }

    /// Writes so many records that are no events: each becomes a row, and none needs anything to be loaded.
    pub(crate) fn write_rejects(&mut self, records: usize) -> Vec<Record> {
        for _ in 0..records {
            let account = format!("acct-{}", self.rng.random_range(0..ACCOUNTS));
            self.reject(&account);
        }
        std::mem::take(&mut self.records)
    }

    /// From now on no test is sent again that was written before: its first record can be found no more, because the log
    /// was cut off or its account moved to another partition.
    pub(crate) fn forget_sent_tests(&mut self) {
        self.sent_tests.clear();
    }

    /// What all records written so far count as.
    pub(crate) fn counted(&self) -> Counted {
        Counted {
            outcomes: self.outcomes,
            executions: lines(self.executions.iter().map(
                |((account, organization, project, day), [run, uploaded, ms])| {
                    format!("{account}\t{organization}\t{project}\t{day}\t{run}\t{uploaded}\t{ms}")
                },
            )),
            active_users: lines(
                self.active_users.iter().map(|((account, day), users)| format!("{account}\t{day}\t{}", users.len())),
            ),
            quota: lines(
                self.quota.iter().map(|((account, organization), used)| format!("{account}\t{organization}\t{used}")),
            ),
            seats: lines(self.seats.iter().map(|((account, organization, user), (is_activated, is_held))| {
                let status = if *is_held { "active" } else { "revoked" };
                format!("{account}\t{organization}\t{user}\t{is_activated}\t{status}")
            })),
        }
    }

    fn write_one(&mut self) {
        self.number += 1;
        // 20,000 records stay within a quota month.
        self.clock += Duration::seconds(self.rng.random_range(0..200));
        let account = format!("acct-{}", self.rng.random_range(0..ACCOUNTS));
        let organization = self.rng.random_range(1..=ORGANIZATIONS).to_string();
        if self.planned.insert((account.clone(), organization.clone())) {
            return self.plan(&account, &organization);
        }
        match self.rng.random_range(0..100) {
            0..3 => self.reject(&account),
            3 => self.tombstone(&account),
            4..9 => self.send_again(),
            9..14 => self.assign(&account, &organization),
            14..16 => self.revoke(&account, &organization),
            16..55 => self.test(&account, &organization),
            _ => self.activity(&account, &organization),
        }
    }

    fn plan(&mut self, account: &str, organization: &str) {
        let data = json!({"organization_id": organization, "plan": "pro", "monthly_quota": 100_000});
        self.event("plan.started", account, data);
    }

    fn activity(&mut self, account: &str, organization: &str) {
        let user = self.user();
        self.event("user.action", account, json!({"organization_id": organization, "user_id": user}));
        self.active(account, &user);
    }

    fn test(&mut self, account: &str, organization: &str) {
        let user = self.user();
        let project = format!("p{}", self.rng.random_range(0..5));
        let (is_run, tests) = (self.rng.random_bool(0.7), self.rng.random_range(1..500_u64));
        let duration_ms = self.rng.random_range(0..10_000_u64);
        let origin = if is_run { "run" } else { "upload" };
        let data = json!({"organization_id": organization, "project_id": project, "user_id": user, "origin": origin,
                          "tests": tests, "duration_ms": duration_ms});
        self.event("test.executed", account, data);
        self.sent_tests.extend(self.records.last().cloned());
        let key = (account.to_owned(), organization.to_owned(), project, self.day());
        let counts = self.executions.entry(key).or_default();
        counts[usize::from(!is_run)] += tests;
        counts[2] += duration_ms;
        if is_run {
            *self.quota.entry((account.to_owned(), organization.to_owned())).or_default() += tests;
        }
        self.active(account, &user);
    }

    fn send_again(&mut self) {
        if self.sent_tests.is_empty() {
            return self.tombstone("acct-0");
        }
        let again = self.rng.random_range(0..self.sent_tests.len());
        self.records.push(self.sent_tests[again].clone());
        self.outcomes[2] += 1;
    }

    fn assign(&mut self, account: &str, organization: &str) {
        let user = self.user();
        self.event("license.assigned", account, json!({"organization_id": organization, "user_id": user}));
        self.seats.insert((account.to_owned(), organization.to_owned(), user), (false, true));
    }

    fn revoke(&mut self, account: &str, organization: &str) {
        let user = self.user();
        self.event("license.revoked", account, json!({"organization_id": organization, "user_id": user}));
        if let Some((_, is_held)) = self.seats.get_mut(&(account.to_owned(), organization.to_owned(), user)) {
            *is_held = false;
        }
    }

    fn reject(&mut self, account: &str) {
        let good = json!({"id": "x", "source": "/s", "type": "user.login", "time": self.time(),
                          "data": {"account_id": account, "user_id": 1}});
        let (key, value) = match self.rng.random_range(0..4) {
            0 => (Some(account), b"{\"id\":".to_vec()),
            1 => (Some(account), with(&good, "type", json!("user.vanished"))),
            2 => (Some(account), with(&good, "time", Value::Null)),
            _ => (None, good.to_string().into_bytes()),
        };
        self.records.push(Record { key: key.map(str::to_owned), value: Some(value) });
        self.outcomes[1] += 1;
    }

    fn tombstone(&mut self, account: &str) {
        self.records.push(Record { key: Some(account.to_owned()), value: None });
        self.outcomes[3] += 1;
    }

    fn event(&mut self, kind: &str, account: &str, mut data: Value) {
        data["account_id"] = json!(account);
        let event = json!({"specversion": "1.0", "id": format!("e{}", self.number), "source": "/test", "type": kind,
                           "time": self.time(), "data": data});
        self.records.push(Record { key: Some(account.to_owned()), value: Some(event.to_string().into_bytes()) });
        self.outcomes[0] += 1;
    }

    fn active(&mut self, account: &str, user: &str) {
        self.active_users.entry((account.to_owned(), self.day())).or_default().insert(user.to_owned());
        for ((seat_account, _, seat_user), (is_activated, is_held)) in &mut self.seats {
            if seat_account == account && seat_user == user && *is_held {
                *is_activated = true;
            }
        }
    }

    /// Some users have numbers, others have names.
    fn user(&mut self) -> String {
        let number = self.rng.random_range(0..USERS);
        if number.is_multiple_of(2) { number.to_string() } else { format!("user-{number}") }
    }

    fn time(&self) -> String {
        self.clock.to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    fn day(&self) -> String {
        self.clock.format("%Y-%m-%d").to_string()
    }
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
