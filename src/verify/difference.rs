//! Differences between the log and the tables, and the report of a verification.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::value::{StoredHour, StoredInterval, Value};
use crate::store::Compared;

/// Users that are named of a difference, at most.
const USERS_SHOWN_MAX: usize = 20;

/// A row that is not what the log says.
#[derive(Clone, Debug)]
pub struct RowDifference {
    /// The table.
    pub table: Compared,
    /// The row's key.
    pub key: Box<str>,
    /// What the log says; `None`: there must be no such row.
    pub wanted: Option<Value>,
    /// What the table holds; `None`: no such row.
    pub found: Option<Value>,
    /// The source by its name, where no progress of it is recorded.
    pub is_foreign: bool,
    /// The first offset that matters, and its partition.
    pub first: Option<(u32, u64)>,
    /// Ids of users by their keys, as far as the log names them.
    pub names: Vec<(u64, String)>,
}

impl RowDifference {
    /// The account, where the table is by account.
    pub fn account(&self) -> Option<&str> {
        self.table.is_by_account().then(|| self.key.split('\t').next()).flatten()
    }

    /// Columns and values of the key.
    pub fn columns(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.table.key_columns().iter().copied().zip(self.key.split('\t'))
    }

    /// Partition and offset that matter first: as found in the log, of a fact by its key, of an
    /// hour by its first record.
    pub fn place(&self) -> Option<(u32, u64)> {
        let column = |name: &str| self.columns().find(|(column, _)| *column == name);
        self.first.or_else(|| {
            let offset = match (column("offset"), &self.wanted, &self.found) {
                (Some((_, offset)), ..) => offset.parse().ok()?,
                (None, Some(Value::Hour(hour)), _) | (None, None, Some(Value::Hour(hour))) => {
                    hour.first_offset
                }
                _ => return None,
            };
            let (_, partition) = column("source")?.1.rsplit_once('/')?;
            Some((partition.parse().ok()?, offset))
        })
    }

    /// Users that are missing, and users that are too many.
    fn users(&self) -> Option<(Vec<u64>, Vec<u64>)> {
        let none = Value::Users(super::members::Members::default());
        let is_users = [&self.wanted, &self.found]
            .into_iter()
            .flatten()
            .any(|value| matches!(value, Value::Users(_)));
        if !is_users {
            return None;
        }
        let (wanted, found) =
            (self.wanted.as_ref().unwrap_or(&none), self.found.as_ref().unwrap_or(&none));
        let (Value::Users(wanted), Value::Users(found)) = (wanted, found) else { return None };
        Some((wanted.without(found), found.without(wanted)))
    }

    /// The keys of users that are missing or too many.
    pub fn differing_users(&self) -> Vec<u64> {
        let (mut missing, surplus) = self.users().unwrap_or_default();
        missing.extend(surplus);
        missing
    }

    fn name_of(&self, key: u64) -> String {
        let known = self.names.iter().find(|(of, _)| *of == key);
        known.map_or_else(|| format!("key {key}"), |(_, name)| name.clone())
    }

    fn named(&self, keys: &[u64]) -> Vec<String> {
        let mut names: Vec<String> =
            keys.iter().take(USERS_SHOWN_MAX).map(|key| self.name_of(*key)).collect();
        if keys.len() > USERS_SHOWN_MAX {
            names.push(format!("{} more", keys.len() - USERS_SHOWN_MAX));
        }
        names
    }

    /// The same as one JSON object.
    pub fn to_json(&self) -> Json {
        let key: Map<String, Json> =
            self.columns().map(|(name, value)| (name.to_owned(), json!(value))).collect();
        let mut document = json!({
            "table": self.table.table(),
            "key": key,
            "wanted": self.wanted.as_ref().map(text_of),
            "found": self.found.as_ref().map(text_of),
            "first_offset": self.place().map(
                |(partition, offset)| json!({"partition": partition, "offset": offset})
            ),
        });
        if let Some((missing, surplus)) = self.users() {
            document["missing_users"] = json!(self.named(&missing));
            document["surplus_users"] = json!(self.named(&surplus));
        }
        if self.is_foreign {
            document["foreign_source"] = json!(true);
        }
        document
    }
}

impl fmt::Display for RowDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.table.table())?;
        for (name, value) in self.columns() {
            write!(f, " {name}={value}")?;
        }
        let text =
            |value: &Option<Value>| value.as_ref().map_or_else(|| "no row".to_owned(), text_of);
        write!(f, ": wanted {}, found {}", text(&self.wanted), text(&self.found))?;
        if let Some((missing, surplus)) = self.users() {
            for (label, keys) in [("missing", missing), ("too many", surplus)] {
                if !keys.is_empty() {
                    write!(f, "; {label}: {}", self.named(&keys).join(", "))?;
                }
            }
        }
        if self.is_foreign {
            f.write_str("; no progress of this source is recorded")?;
        }
        if let Some((partition, offset)) = self.place() {
            write!(f, "; see partition {partition}, offset {offset}")?;
        }
        Ok(())
    }
}

/// A value for people.
fn text_of(value: &Value) -> String {
    match value {
        Value::Counts(counts) => match counts[..] {
            [run, uploaded, ms] => format!("{run} run, {uploaded} uploaded, {ms} ms"),
            [tests] => format!("{tests} tests"),
            _ => format!("{counts:?}"),
        },
        Value::Users(users) => match users.keys().len() {
            1 => "1 user".to_owned(),
            users => format!("{users} users"),
        },
        Value::Fact(text) => format!("{:?}", text.replace('\t', " ").trim()),
        Value::Interval(interval) => interval_text(interval),
        Value::Hour(hour) => hour_text(hour),
        Value::Latest(latest) => {
            format!(
                "{:?} of {} ms, {} {}",
                latest.value, latest.time_ms, latest.source, latest.offset
            )
        }
        Value::Present => "a row".to_owned(),
    }
}

fn hour_text(StoredHour { first_offset, counts }: &StoredHour) -> String {
    format!(
        "{} accepted, {} rejected, {} duplicates, {} skipped, {} tests run, {} uploaded, checksum \
        {:016x}, from offset {first_offset} on",
        counts.accepted,
        counts.rejected,
        counts.duplicates,
        counts.skipped,
        counts.tests_run,
        counts.tests_uploaded,
        counts.checksum
    )
}

fn interval_text(interval: &StoredInterval) -> String {
    const NONE_MS: u64 = 10_413_791_999_999;
    let time = |ms: u64| if ms == 0 || ms == NONE_MS { "none".to_owned() } else { ms.to_string() };
    let opened = interval.opened.as_ref().map_or_else(
        || "not opened".to_owned(),
        |(source, offset, rest)| {
            format!("opened by {source} {offset} ({})", rest.replace('\t', " ").trim())
        },
    );
    format!(
        "{opened}, end {}, superseded {}, first active {}, last active {}",
        time(interval.end_ms),
        interval.is_superseded,
        time(interval.first_active_ms),
        time(interval.last_active_ms)
    )
}

/// How one partition was verified.
#[derive(Clone, Debug, Serialize)]
pub struct VerifiedPartition {
    /// The partition.
    pub partition: u32,
    /// The first offset that was read.
    pub first_offset: u64,
    /// The offset before which all was read.
    pub next_offset: u64,
    /// The recorded outcomes are those that the log has, as far as it is read.
    pub outcomes_agree: bool,
}

/// Result of a verification.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The topic.
    pub topic: String,
    /// Ordered by partition.
    pub partitions: Vec<VerifiedPartition>,
    /// Rows that the log says, over all passes.
    pub rows: u64,
    /// Passes over the log, each for a share of the accounts.
    pub passes: u64,
    /// Differences, of the recorded outcomes, in words.
    pub outcomes: Vec<String>,
    /// All other differences.
    pub differences: Vec<RowDifference>,
    /// How many more were found than are kept.
    pub more_differences: u64,
    /// Rows that lie between their bounds, but were never seen to be equal.
    pub unsettled: Vec<RowDifference>,
    /// What the verification leaves open, in words.
    pub open: Vec<String>,
}

impl Report {
    /// Whether everything that was compared agrees.
    pub fn agrees(&self) -> bool {
        self.found() == 0 && self.unsettled.is_empty()
    }

    /// How many differences there are.
    pub fn found(&self) -> u64 {
        let kept = self.differences.len() + self.outcomes.len();
        u64::try_from(kept).unwrap_or(u64::MAX).saturating_add(self.more_differences)
    }

    /// The same as one JSON object.
    pub fn to_json(&self) -> Json {
        let all = |differences: &[RowDifference]| -> Vec<Json> {
            differences.iter().map(RowDifference::to_json).collect()
        };
        json!({
            "agrees": self.agrees(),
            "topic": self.topic,
            "partitions": self.partitions,
            "rows": self.rows,
            "passes": self.passes,
            "outcomes": self.outcomes,
            "differences": all(&self.differences),
            "more_differences": self.more_differences,
            "unsettled": all(&self.unsettled),
            "open": self.open,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::members::Members;
    use super::*;

    fn difference(wanted: Option<Value>, found: Option<Value>) -> RowDifference {
        RowDifference {
            table: Compared::ActiveUsers,
            key: "acme\t42\t2026-03-01".into(),
            wanted,
            found,
            is_foreign: false,
            first: Some((3, 17)),
            names: vec![(2, "ben".to_owned())],
        }
    }

    #[test]
    fn a_difference_names_key_values_users_and_offset() {
        let users = |keys: &[u64]| Some(Value::Users(Members::new(keys.to_vec())));
        let difference = difference(users(&[1, 2]), users(&[1, 3]));
        assert_eq!(
            difference.to_string(),
            "active_users_state account_id=acme organization_id=42 day=2026-03-01: wanted 2 users, \
            found 2 users; missing: ben; too many: key 3; see partition 3, offset 17"
        );
        let json = difference.to_json();
        assert_eq!(json["key"]["organization_id"], "42");
        assert_eq!(json["missing_users"][0], "ben");
        assert_eq!(json["first_offset"]["offset"], 17);
    }

    #[test]
    fn a_fact_that_differs_names_its_own_offset() {
        let mut difference = difference(Some(Value::Fact("x".into())), None);
        difference.table = Compared::RejectedEvents;
        difference.key = "usage-events/Kx9_/3\t41".into();
        difference.first = None;
        assert_eq!(difference.place(), Some((3, 41)));
        assert_eq!(difference.account(), None);
    }

    #[test]
    fn a_report_with_a_difference_does_not_agree() {
        let mut report = Report::default();
        assert!(report.agrees());
        report.differences.push(difference(None, Some(Value::Present)));
        assert!(!report.agrees() && report.found() == 1);
    }
}
