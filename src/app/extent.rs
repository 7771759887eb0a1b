//! The subjects of events: an account that is worth looking at, an organization of it that has a
//! plan, and the days that its data lies in.

use std::collections::HashMap;

use crate::core::calendar::{Day, Zone, day_of};
use crate::core::event::{Event, EventKind};

/// Accounts that are told apart; the first ones.
const ACCOUNTS_MAX: usize = 1_000;

/// The subjects of the events so far, by account.
#[derive(Default)]
pub(super) struct Extents {
    accounts: HashMap<String, Extent>,
}

struct Extent {
    /// Number of accounts that came before.
    number: usize,
    zone: Zone,
    /// The times of the first and the last event of use or licensing, milliseconds since 1970 UTC.
    range_ms: Option<(i64, i64)>,
    /// The first organization that was seen to have a plan.
    organization: Option<String>,
}

/// A view of the dashboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    pub(super) account: String,
    pub(super) organization: Option<String>,
    pub(super) range: Range,
}

/// The range of days to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Range {
    /// From the first to the last day with data.
    Days(Day, Day),
    /// A preset of the dashboard.
    Preset(&'static str),
}

impl Extents {
    /// Takes an event of the account.
    pub(super) fn note(&mut self, account: &str, event: &Event<'_>) {
        let number = self.accounts.len();
        if !self.accounts.contains_key(account) {
            if number >= ACCOUNTS_MAX {
                return;
            }
            let extent = Extent { number, zone: Zone::UTC, range_ms: None, organization: None };
            self.accounts.insert(account.to_owned(), extent);
        }
        if let Some(extent) = self.accounts.get_mut(account) {
            extent.note(event);
        }
    }

    /// The first account that has an organization with a plan, or else the first one.
    pub(super) fn sight(&self) -> Option<Sight> {
        let order = |extent: &Extent| (extent.organization.is_none(), extent.number);
        let (account, extent) = self.accounts.iter().min_by_key(|(_, extent)| order(extent))?;
        let day = |time_ms| day_of(extent.zone, time_ms);
        Some(Sight {
            account: account.clone(),
            organization: extent.organization.clone(),
            range: extent
                .range_ms
                .map_or(Range::Preset("all"), |(first, last)| Range::Days(day(first), day(last))),
        })
    }
}

impl Extent {
    fn note(&mut self, event: &Event<'_>) {
        match &event.kind {
            // The dates of a directory and of plans may lie far from those of the rest.
            EventKind::AccountUpdated { timezone, .. } => {
                self.zone = timezone.unwrap_or(self.zone);
            }
            EventKind::Plan { organization, .. } => {
                self.organization.get_or_insert_with(|| organization.to_string());
            }
            EventKind::OrganizationUpdated { .. }
            | EventKind::UserUpdated { .. }
            | EventKind::ProjectUpdated { .. } => {}
            EventKind::Activity { .. }
            | EventKind::TestExecuted(_)
            | EventKind::LicensePurchased { .. }
            | EventKind::LicenseAllocated { .. }
            | EventKind::LicenseAssigned { .. }
            | EventKind::LicenseRevoked { .. } => {
                let (first, last) = self.range_ms.unwrap_or((event.time_ms, event.time_ms));
                self.range_ms = Some((first.min(event.time_ms), last.max(event.time_ms)));
            }
        }
    }
}

impl Sight {
    /// The query of the dashboard's address.
    pub(super) fn query(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("account", &self.account);
        if let Some(organization) = &self.organization {
            query.append_pair("organization_id", organization);
        }
        match self.range {
            Range::Days(from, to) => {
                query.append_pair("from", &from.to_string()).append_pair("to", &to.to_string());
            }
            Range::Preset(name) => {
                query.append_pair("range", name);
            }
        }
        query.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::decode::decode;
    use crate::core::event::{Decoded, Record};

    fn sight(events: &[(&str, &str, &str, &str)]) -> Option<Sight> {
        let mut extents = Extents::default();
        for (account, event_type, time, data) in events {
            let event = format!(
                r#"{{"id":"1","source":"/a","type":"{event_type}","time":"{time}",
                "data":{{"account_id":"{account}"{data}}}}}"#
            );
            let record = Record {
                offset: 0,
                timestamp_ms: None,
                key: Some(account.as_bytes()),
                payload: Some(event.as_bytes()),
            };
            match decode(&record) {
                Decoded::Event(event) => extents.note(account, &event),
                other => panic!("{event}: {other:?}"),
            }
        }
        extents.sight()
    }

    #[test]
    fn an_account_with_a_plan_is_preferred_and_its_days_are_those_of_its_zone() {
        assert_eq!(sight(&[]), None);
        let login = |account, time| (account, "user.login", time, r#","user_id":1"#);
        let plan = r#","organization_id":"o 1","plan":"free","monthly_quota":1"#;
        let events = [
            login("a", "2026-01-05T10:00:00Z"),
            ("b", "account.updated", "2025-01-01T00:00:00Z", r#","timezone":"Asia/Tokyo""#),
            login("b", "2026-03-02T20:00:00Z"),
            login("b", "2026-02-02T10:00:00Z"),
            ("b", "plan.started", "2025-11-01T00:00:00Z", plan),
        ];
        let query = |events| sight(events).map(|sight| sight.query());
        assert_eq!(query(&events[..1]).as_deref(), Some("account=a&from=2026-01-05&to=2026-01-05"));
        let expected = "account=b&organization_id=o+1&from=2026-02-02&to=2026-03-03";
        assert_eq!(query(&events).as_deref(), Some(expected));
        assert_eq!(query(&events[1..2]).as_deref(), Some("account=b&range=all"));
    }
}
