//! Alerts: what they are about, how each is known, and what is told of it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use super::quota::CurrentQuota;
use super::value::Timestamp;

/// Bytes of the hash that an id is made of.
const ID_BYTES: usize = 16;

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AlertRule {
    /// How much of the quota is used.
    Quota,
    /// Whether the quota lasts the month.
    Pace,
    /// How many of the purchased seats are assigned.
    Seats,
}

impl AlertRule {
    /// Every rule.
    pub const ALL: [Self; 3] = [Self::Quota, Self::Pace, Self::Seats];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quota => "quota",
            Self::Pace => "pace",
            Self::Seats => "seats",
        }
    }

    /// The rule of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.as_str() == name)
    }
}

/// What a figure reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertLine {
    /// So many percent of the quota, or of the purchased seats.
    Percent(u32),
    /// The allowance.
    Exhausted,
    /// The allowance, on a day to come, by the pace.
    RunsOut,
    /// More than the purchased seats.
    Overage,
}

impl fmt::Display for AlertLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}"),
            Self::Exhausted => f.write_str("exhausted"),
            Self::RunsOut => f.write_str("runs_out"),
            Self::Overage => f.write_str("overage"),
        }
    }
}

impl Serialize for AlertLine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text that names no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no line of an alert has this name")]
pub struct UnknownLine;

impl FromStr for AlertLine {
    type Err = UnknownLine;

    fn from_str(text: &str) -> Result<Self, UnknownLine> {
        match text {
            "exhausted" => Ok(Self::Exhausted),
            "runs_out" => Ok(Self::RunsOut),
            "overage" => Ok(Self::Overage),
            _ => text.parse().map(Self::Percent).map_err(|_| UnknownLine),
        }
    }
}

/// What became of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// Its line was reached.
    Raised,
    /// The figure has fallen below its line.
    Resolved,
    /// Its month or its purchase is over. Nothing is sent of that.
    Ended,
}

impl AlertState {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Resolved => "resolved",
            Self::Ended => "ended",
        }
    }
}

/// What arms a rule: each of its lines is raised once for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arming {
    /// The anchor of the quota month, or the time of the latest record of purchase; milliseconds
    /// since 1970 UTC, 0 where nothing was purchased.
    pub at_ms: i64,
    /// The number of the quota month, 1 = first; 0 for seats.
    pub month: u32,
}

/// An alert, among those of an account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AlertKey {
    pub rule: AlertRule,
    /// The organization; `None` where the rule is about the whole account.
    pub organization: Option<String>,
    pub arming: Arming,
    pub line: AlertLine,
}

impl AlertKey {
    /// The id of the event that tells of this state: a hash, so that telling it again has the same.
    pub fn id(&self, account: &str, state: AlertState) -> String {
        // No id holds a control character, so the parts cannot run into one another.
        let text = format!(
            "{}\n{}\n{account}\n{}\n{}\n{}\n{}",
            self.rule.as_str(),
            self.line,
            self.organization.as_deref().unwrap_or_default(),
            self.arming.at_ms,
            self.arming.month,
            state.as_str(),
        );
        hex::encode(&Sha256::digest(text)[..ID_BYTES])
    }

    /// What the event is about: the account, or the account and an organization.
    pub fn subject(&self, account: &str) -> String {
        match &self.organization {
            None => account.to_owned(),
            Some(organization) => format!("{account}/{organization}"),
        }
    }
}

/// What is known of an alert that was raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToldAlert {
    pub state: AlertState,
    /// Nothing was sent of it.
    pub is_silent: bool,
}

/// The alerts of an account that were raised and may still matter.
pub type ToldAlerts = BTreeMap<AlertKey, ToldAlert>;

/// The percentages that rules have lines at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertLines {
    /// Of the monthly quota.
    pub quota_percent: Vec<u32>,
    /// Of the purchased seats.
    pub seats_percent: Vec<u32>,
}

/// The seats of an account at an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = SeatAlert)]
pub struct SeatFigures {
    /// Seats that the account owns.
    #[schema(example = 100)]
    pub purchased: u64,
    /// Seats that are assigned.
    #[schema(example = 95)]
    pub assigned: u64,
}

/// A change to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertChange {
    pub key: AlertKey,
    pub state: AlertState,
    /// Nothing is sent of it.
    pub is_silent: bool,
}

/// What the event of an alert says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AlertData {
    pub state: AlertState,
    pub rule: AlertRule,
    pub line: AlertLine,
    pub account_id: String,
    /// `None` where the rule is about the whole account.
    pub organization_id: Option<String>,
    /// Its path.
    pub organization: Option<String>,
    #[serde(flatten)]
    pub figures: AlertFigures,
}

/// The figures of an alert, as the report says them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum AlertFigures {
    Quota(Box<CurrentQuota>),
    Seats(SeatFigures),
}

/// A CloudEvent in structured mode.
#[derive(Clone, Debug, Serialize)]
pub struct AlertEvent<'a, D> {
    specversion: &'static str,
    id: &'a str,
    source: String,
    r#type: String,
    subject: String,
    time: Timestamp,
    datacontenttype: &'static str,
    data: &'a D,
}

impl<'a, D: Serialize> AlertEvent<'a, D> {
    /// An event of the type `seatmeter.alert.<kind>`, of the database, found at `time_ms`
    /// (milliseconds since 1970 UTC).
    pub fn new(
        kind: &str,
        id: &'a str,
        (database, subject): (&str, String),
        time_ms: i64,
        data: &'a D,
    ) -> Self {
        Self {
            specversion: "1.0",
            id,
            source: format!("/seatmeter/{database}"),
            r#type: format!("seatmeter.alert.{kind}"),
            subject,
            time: Timestamp(time_ms),
            datacontenttype: "application/json",
            data,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_of_everything_that_names_an_alert() {
        let key = AlertKey {
            rule: AlertRule::Quota,
            organization: Some("o".to_owned()),
            arming: Arming { at_ms: 1, month: 2 },
            line: AlertLine::Percent(80),
        };
        let raised = |key: &AlertKey| key.id("a", AlertState::Raised);
        let mut ids = vec![raised(&key), key.id("b", AlertState::Raised)];
        ids.push(key.id("a", AlertState::Resolved));
        ids.push(raised(&AlertKey { line: AlertLine::Percent(100), ..key.clone() }));
        ids.push(raised(&AlertKey { organization: Some("p".to_owned()), ..key.clone() }));
        ids.push(raised(&AlertKey { arming: Arming { at_ms: 2, month: 2 }, ..key.clone() }));
        ids.push(raised(&AlertKey { arming: Arming { at_ms: 1, month: 3 }, ..key.clone() }));
        ids.push(raised(&AlertKey { rule: AlertRule::Pace, ..key.clone() }));
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((ids.len(), ids[0].len()), (count, 2 * ID_BYTES));
        assert_eq!(raised(&key), raised(&key.clone()));
    }
}
