//! Rows of the tables against what the log says, while workers go on.
//!
//! | found, compared with the log up to the progress ... | then |
//! |---|---|
//! | ... before the rows were read: equal | it agrees |
//! | ... before the rows were read: does not hold that | it differs: all of that was stored |
//! | ... after: equal | it agrees |
//! | ... after: lies within | it is read again |
//! | ... after: does not lie within | it differs, once the progress covers what was stored then |

use hashbrown::{HashMap, HashSet};

use super::difference::RowDifference;
use super::expected::Expected;
use super::scope::{Mode, VerifiedScope};
use super::value::Value;
use crate::store::{Compared, StoredRow};

/// Differences that are kept.
pub const DIFFERENCES_MAX: usize = 1_000;

type Key = (Compared, Box<str>);

/// The state of a comparison of one pass.
#[derive(Debug, Default)]
pub struct Check {
    /// Rows that were found to hold more than the log said before they were read.
    pending: HashMap<Key, Value>,
    /// Those of them that the current reading has met.
    met: HashSet<Key>,
    is_first: bool,
    differences: Vec<RowDifference>,
    more_differences: u64,
}

impl Check {
    /// Before the first reading.
    pub fn new() -> Self {
        Self { is_first: true, ..Self::default() }
    }

    /// Takes in a merged row of a table.
    pub fn see(
        &mut self,
        table: Compared,
        row: StoredRow,
        expected: &mut Expected,
        scope: &VerifiedScope,
    ) {
        let key: Box<str> = row.key.as_str().into();
        if !self.is_first {
            let key = (table, key.clone());
            if !self.pending.contains_key(&key) {
                return;
            }
            self.met.insert(key);
        }
        let mode = scope.mode(table, &key);
        let wanted = match self.is_first {
            true => expected.meet(table, &key),
            false => expected.value(table, &key),
        };
        let Some(found) = Value::of_stored(table, row) else { return };
        let holds_wanted = wanted.is_none_or(|wanted| wanted.is_within(&found));
        let is_equal = wanted.is_some_and(|wanted| *wanted == found);
        let is_empty = wanted.is_none() && is_nothing(&found);
        let place = (table, key);
        match mode {
            Mode::Ignored => {
                self.pending.remove(&place);
            }
            Mode::Foreign => {
                self.pending.remove(&place);
                self.differ(place, wanted.cloned(), Some(found), true);
            }
            _ if is_equal || is_empty => {
                self.pending.remove(&place);
            }
            _ if !holds_wanted => {
                self.pending.remove(&place);
                self.differ(place, wanted.cloned(), Some(found), false);
            }
            Mode::AtLeast => {
                self.pending.remove(&place);
            }
            Mode::Exact => {
                self.pending.insert(place, found);
            }
        }
    }

    /// All rows of the reading were seen: those that were not are missing.
    pub fn end_reading(&mut self, expected: &mut Expected, scope: &VerifiedScope) {
        if self.is_first {
            let mut missing = Vec::new();
            expected.unmet(|table, key, wanted| {
                let may_lack = is_nothing(wanted) || scope.mode(table, key) == Mode::Ignored;
                if !may_lack {
                    missing.push(((table, Box::from(key)), wanted.clone()));
                }
            });
            for (place, wanted) in missing {
                self.differ(place, Some(wanted), None, false);
            }
        } else {
            // A row that was there before and is not any more was removed by somebody: it agrees
            // if the log does not say it.
            let met = std::mem::take(&mut self.met);
            let gone: Vec<Key> =
                self.pending.keys().filter(|place| !met.contains(*place)).cloned().collect();
            for place in gone {
                self.pending.remove(&place);
                if let Some(wanted) = expected.value(place.0, &place.1).cloned() {
                    self.differ(place, Some(wanted), None, false);
                }
            }
        }
        self.is_first = false;
    }

    /// The log is folded on. `covers`: everything that was stored when the rows were read lies
    /// below.
    pub fn judge(&mut self, expected: &mut Expected, covers: bool) {
        let mut differing = Vec::new();
        self.pending.retain(|(table, key), found| {
            let wanted = expected.value(*table, key);
            if wanted.is_some_and(|wanted| wanted == found) {
                return false;
            }
            let is_within = wanted.is_some_and(|wanted| found.is_within(wanted));
            if covers && !is_within {
                differing.push(((*table, key.clone()), wanted.cloned(), found.clone()));
                return false;
            }
            true
        });
        for (place, wanted, found) in differing {
            self.differ(place, wanted, Some(found), false);
        }
    }

    /// How many rows are to be read again.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Tables that hold such rows.
    pub fn pending_tables(&self) -> Vec<Compared> {
        let is_pending =
            |table: &Compared| self.pending.keys().any(|(pending, _)| pending == table);
        Compared::ALL.into_iter().filter(is_pending).collect()
    }

    /// Accounts of these rows in the table, each once.
    pub fn pending_accounts(&self, table: Compared) -> Vec<String> {
        let keys = self.pending.keys().filter(|(of, _)| *of == table).map(|(_, key)| key);
        let mut accounts: Vec<String> =
            keys.filter_map(|key| key.split('\t').next()).map(str::to_owned).collect();
        accounts.sort_unstable();
        accounts.dedup();
        accounts
    }

    /// Ends the comparison: differences, how many more there were, and the rows that never settled.
    pub fn finish(
        mut self,
        expected: &mut Expected,
    ) -> (Vec<RowDifference>, u64, Vec<RowDifference>) {
        let unsettled =
            std::mem::take(&mut self.pending).into_iter().map(|((table, key), found)| {
                let wanted = expected.value(table, &key).cloned();
                difference((table, key), wanted, Some(found), false)
            });
        (self.differences, self.more_differences, unsettled.take(DIFFERENCES_MAX).collect())
    }

    fn differ(&mut self, place: Key, wanted: Option<Value>, found: Option<Value>, foreign: bool) {
        if self.differences.len() >= DIFFERENCES_MAX {
            self.more_differences += 1;
            return;
        }
        self.differences.push(difference(place, wanted, found, foreign));
    }
}

fn difference(
    (table, key): Key,
    wanted: Option<Value>,
    found: Option<Value>,
    is_foreign: bool,
) -> RowDifference {
    RowDifference { table, key, wanted, found, is_foreign, first: None, names: Vec::new() }
}

/// A row that says no more than none.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Counts(counts) => counts.iter().all(|count| *count == 0),
        Value::Users(users) => users.keys().is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::calendar::Day;
    use crate::core::id::Id;
    use crate::core::rollup::{ExecutionCount, LaneRows, Progress, Source, TestExecutions};
    use crate::verify::scope::FoldedSource;

    fn source() -> Source {
        Source::new("t", "id", 0)
    }

    /// Adds what the log says: tests run of organizations.
    fn fold(expected: &Expected, counts: &[(&str, u64)]) {
        let mut rows = LaneRows::new(source(), Progress::default());
        rows.test_executions.extend(counts.iter().map(|&(organization, run)| TestExecutions {
            account: Id::from_text("a"),
            organization: Id::from_text(organization),
            project: None,
            day: Day(0),
            count: ExecutionCount { run, uploaded: 0, duration_ms: 0 },
            upto: 0,
        }));
        expected.absorb(&rows);
    }

    struct Tables {
        check: Check,
        expected: Expected,
        scope: VerifiedScope,
    }

    impl Tables {
        fn new(log: &[(&str, u64)]) -> Self {
            let expected = Expected::default();
            fold(&expected, log);
            let folded = FoldedSource { source: source(), start: 0 };
            let scope = VerifiedScope::new(&[folded], vec![source().as_str().to_owned()]);
            Self { check: Check::new(), expected, scope }
        }

        fn read(&mut self, rows: &[(&str, u64)]) {
            for (organization, run) in rows {
                let key = format!("a\t{organization}\t\t1970-01-01\tt/id/0");
                let row = StoredRow { key, numbers: vec![*run, 0, 0], text: String::new() };
                let (expected, scope) = (&mut self.expected, &self.scope);
                self.check.see(Compared::TestExecutions, row, expected, scope);
            }
            self.check.end_reading(&mut self.expected, &self.scope);
        }

        fn go_on(&mut self, log: &[(&str, u64)], covers: bool) {
            fold(&self.expected, log);
            self.check.judge(&mut self.expected, covers);
        }

        /// Rows to be read again, differences.
        fn state(&self) -> (usize, usize) {
            (self.check.pending(), self.check.differences.len())
        }
    }

    #[test]
    fn equal_rows_agree_and_missing_ones_differ() {
        let mut tables = Tables::new(&[("1", 5), ("2", 7), ("3", 0)]);
        tables.read(&[("1", 5)]);
        assert_eq!(tables.state(), (0, 1));
        assert!(tables.check.differences[0].to_string().contains("organization_id=2"));
    }

    #[test]
    fn less_than_the_progress_says_differs_at_once() {
        let mut tables = Tables::new(&[("1", 5)]);
        tables.read(&[("1", 4)]);
        assert_eq!(tables.state(), (0, 1));
    }

    #[test]
    fn more_is_read_again_until_it_is_equal() {
        let mut tables = Tables::new(&[("1", 5)]);
        tables.read(&[("1", 6), ("new", 2)]);
        assert_eq!(tables.state(), (2, 0));
        tables.go_on(&[("1", 8), ("new", 2)], true);
        assert_eq!(tables.state(), (1, 0), "one was equal, one lay between");
        tables.read(&[("1", 8)]);
        assert_eq!(tables.state(), (0, 0));
    }

    #[test]
    fn too_much_differs_once_the_progress_covers_it() {
        let mut tables = Tables::new(&[("1", 5)]);
        tables.read(&[("1", 6)]);
        tables.go_on(&[], false);
        assert_eq!(tables.state(), (1, 0));
        tables.go_on(&[], true);
        assert_eq!(tables.state(), (0, 1));
    }
}
