//! Judges accounts: reads their figures and what was told of them, and says what is to be told.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::calendar::{Day, Zone, day_of};
use crate::report::alert::{
    AlertChange, AlertData, AlertEvent, AlertFigures, AlertLines, AlertRule, AlertState, ToldAlerts,
};
use crate::report::alert_rules::{QuotaFigures, judge_quota, judge_seats, next_change_ms};
use crate::store::{AccountCourses, AccountSeats, AlertRow, Store, StoreError};

/// Zones lie less than a day from UTC, and the figures of the day before now are needed too.
const DAYS_BEFORE: i32 = 2;

/// Which figures of an account may have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Touch {
    /// Tests, plans or the zone.
    pub quota: bool,
    /// Seats or purchases.
    pub seats: bool,
}

impl Touch {
    /// Quota alone.
    pub const QUOTA: Self = Self { quota: true, seats: false };
    /// All figures.
    pub const ALL: Self = Self { quota: true, seats: true };

    /// Adds what another one touches.
    pub(super) fn add(&mut self, other: Self) {
        self.quota |= other.quota;
        self.seats |= other.seats;
    }
}

/// What came of judging accounts.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// What is to be stored, and then sent.
    pub rows: Vec<AlertRow>,
    /// Accounts of which alerts are stored already, perhaps by a former owner that has not sent
    /// them.
    pub told: Vec<String>,
    /// When each account has to be judged again even if nothing touches it, milliseconds since 1970
    /// UTC; for accounts that have a plan or seats.
    pub due_ms: Vec<(String, i64)>,
    /// Accounts in a time zone that this program does not know: their quota is not judged.
    pub unreadable: Vec<String>,
}

/// Judges by the lines of the configuration.
#[derive(Clone)]
pub struct Judge {
    store: Store,
    lines: AlertLines,
    /// The name of the database, which events have in their source.
    database: String,
}

/// What an account's figures are made of.
struct Account<'a> {
    touch: Touch,
    courses: Option<&'a AccountCourses>,
    seats: AccountSeats,
    told: &'a ToldAlerts,
}

impl Judge {
    /// A judge of these lines.
    pub fn new(store: Store, lines: AlertLines, database: String) -> Self {
        Self { store, lines, database }
    }

    /// Judges the accounts as of now, milliseconds since 1970 UTC.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn judge(
        &self,
        accounts: &BTreeMap<String, Touch>,
        now_ms: i64,
    ) -> Result<Judgement, StoreError> {
        let of = |is_touched: fn(&Touch) -> bool| -> Vec<String> {
            let touched = accounts.iter().filter(|(_, touch)| is_touched(touch));
            touched.map(|(account, _)| account.clone()).collect()
        };
        let all: Vec<String> = accounts.keys().cloned().collect();
        let (quota, seats) = (of(|touch| touch.quota), of(|touch| touch.seats));
        let from_day = Day(day_of(Zone::UTC, now_ms).0 - DAYS_BEFORE);
        let (told, courses, seats) = tokio::try_join!(
            self.store.told_alerts(&all, now_ms),
            self.store.quota_courses_from(&quota, from_day),
            self.store.account_seats(&seats, now_ms),
        )?;
        let nothing = ToldAlerts::new();
        let mut judgement =
            Judgement { told: told.keys().cloned().collect(), ..Judgement::default() };
        for (id, &touch) in accounts {
            let account = Account {
                touch,
                courses: courses.get(id),
                seats: seats.get(id).copied().unwrap_or_default(),
                told: told.get(id).unwrap_or(&nothing),
            };
            if account.courses.is_some_and(|courses| courses.zone.is_none()) {
                judgement.unreadable.push(id.clone());
            }
            if let Some(due_ms) = account.due_ms(now_ms) {
                judgement.due_ms.push((id.clone(), due_ms));
            }
            let changes = account.changes(&self.lines, now_ms);
            judgement.rows.extend(self.rows(id, changes, now_ms).await?);
        }
        Ok(judgement)
    }

    /// The rows of an account's changes.
    async fn rows(
        &self,
        account: &str,
        changes: Vec<(AlertChange, Option<AlertFigures>)>,
        now_ms: i64,
    ) -> Result<Vec<AlertRow>, StoreError> {
        let is_of_organization = |(change, _): &(AlertChange, _)| change.key.organization.is_some();
        let directory = match changes.iter().any(is_of_organization) {
            true => self.store.account_directory(account).await?,
            false => None,
        };
        let path = |organization: &String| {
            let path = directory.as_ref().and_then(|known| known.tree.path(organization));
            path.unwrap_or_else(|| organization.clone())
        };
        let row = |(change, figures): (AlertChange, Option<AlertFigures>)| {
            let AlertChange { key, state, is_silent } = change;
            let organization = key.organization.as_ref().map(path);
            let data = figures.map(|figures| AlertData {
                state,
                rule: key.rule,
                line: key.line,
                account_id: account.to_owned(),
                organization_id: key.organization.clone(),
                organization,
                figures,
            });
            let event = data.as_ref().map(|data| {
                let (id, subject) = (key.id(account, state), key.subject(account));
                let about = (self.database.as_str(), subject);
                json(&AlertEvent::new(key.rule.as_str(), &id, about, now_ms, data))
            });
            AlertRow {
                account: account.to_owned(),
                state,
                found_ms: now_ms,
                is_silent,
                data: data.as_ref().map(json).unwrap_or_default(),
                event: event.filter(|_| !is_silent).unwrap_or_default(),
                key,
            }
        };
        Ok(changes.into_iter().map(row).collect())
    }
}

impl Account<'_> {
    /// What is to be told, each with the figures that say so; none where nothing is sent.
    fn changes(&self, lines: &AlertLines, now_ms: i64) -> Vec<(AlertChange, Option<AlertFigures>)> {
        let mut changes = Vec::new();
        if self.touch.seats {
            let AccountSeats { figures, purchase_ms, .. } = self.seats;
            for change in judge_seats(lines, &figures, purchase_ms, self.told) {
                let is_sent = change.state != AlertState::Ended;
                changes.push((change, is_sent.then_some(AlertFigures::Seats(figures))));
            }
        }
        let zone = self.courses.and_then(|courses| courses.zone);
        let (true, Some(courses), Some(zone)) = (self.touch.quota, self.courses, zone) else {
            return changes;
        };
        let told = self.told.keys().filter(|key| key.rule != AlertRule::Seats);
        let told = told.filter_map(|key| key.organization.as_deref());
        let planned = courses.organizations.keys().map(String::as_str);
        for organization in planned.chain(told).collect::<BTreeSet<_>>() {
            let course = courses.organizations.get(organization);
            let figures = course.and_then(|course| QuotaFigures::at(zone, course, now_ms));
            for change in judge_quota(lines, organization, figures.as_ref(), self.told) {
                let sent = figures.as_ref().filter(|_| change.state != AlertState::Ended);
                let sent = sent.map(|figures| AlertFigures::Quota(Box::new(figures.quota.clone())));
                changes.push((change, sent));
            }
        }
        changes
    }

    /// When its figures may change by themselves.
    fn due_ms(&self, now_ms: i64) -> Option<i64> {
        let quota = self.courses.and_then(|courses| {
            let facts = courses.organizations.values().map(|course| &course.facts);
            let has_plan = facts.clone().any(|facts| !facts.records.is_empty());
            has_plan.then(|| next_change_ms(courses.zone.unwrap_or(Zone::UTC), facts, now_ms))
        });
        quota.into_iter().chain(self.seats.next_ms).min()
    }
}

/// As JSON.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("figures and names are JSON")
}
