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
use super::expected::{Expected, ExpectedTable};
use super::scope::{Mode, VerifiedScope};
use super::value::Value;
use crate::store::{Compared, StoredRow};

/// Differences that are kept.
pub const DIFFERENCES_MAX: usize = 1_000;

/// The state of a comparison of one pass.
#[derive(Debug)]
pub struct Check {
    tables: [TableCheck; Compared::ALL.len()],
}

/// The state of the comparison of one table.
#[derive(Debug)]
pub struct TableCheck {
    table: Compared,
    /// Rows that were found to hold more than the log said before they were read, by key.
    pending: HashMap<Box<str>, Value>,
    /// Those of them that the current reading has met.
    met: HashSet<Box<str>>,
    is_first: bool,
    differences: Vec<RowDifference>,
    more_differences: u64,
}

impl Default for Check {
    fn default() -> Self {
        Self { tables: Compared::ALL.map(TableCheck::new) }
    }
}

impl Check {
    /// Before the first reading.
    pub fn new() -> Self {
        Self::default()
    }

    /// The tables in the order of [`Compared::ALL`].
    pub fn tables(&mut self) -> &mut [TableCheck] {
        &mut self.tables
    }

    /// The log is folded on. `covers`: everything that was stored when the rows were read lies
    /// below.
    pub fn judge(&mut self, expected: &mut Expected, covers: bool) {
        for (table, expected) in self.tables.iter_mut().zip(expected.by_table()) {
            table.judge(expected, covers);
        }
    }

    /// How many rows are to be read again.
    pub fn pending(&self) -> usize {
        self.tables.iter().map(|table| table.pending.len()).sum()
    }

    /// Ends the comparison: differences, how many more there were, and the rows that never settled.
    pub fn finish(self, expected: &mut Expected) -> (Vec<RowDifference>, u64, Vec<RowDifference>) {
        let (mut differences, mut more, mut unsettled) = (Vec::new(), 0, Vec::new());
        for (mut check, mut expected) in self.tables.into_iter().zip(expected.by_table()) {
            let room = DIFFERENCES_MAX - differences.len();
            let beyond = check.differences.len().saturating_sub(room);
            differences.extend(check.differences.drain(..).take(room));
            more += check.more_differences + u64::try_from(beyond).unwrap_or(u64::MAX);
            let room = DIFFERENCES_MAX - unsettled.len();
            unsettled.extend(check.pending.drain().take(room).map(|(key, found)| {
                let wanted = expected.value(&key).cloned();
                difference(check.table, key, wanted, Some(found), false)
            }));
        }
        (differences, more, unsettled)
    }
}

impl TableCheck {
    fn new(table: Compared) -> Self {
        Self {
            table,
            pending: HashMap::new(),
            met: HashSet::new(),
            is_first: true,
            differences: Vec::new(),
            more_differences: 0,
        }
    }

    /// The table.
    pub fn table(&self) -> Compared {
        self.table
    }

    /// Whether nothing was read yet.
    pub fn is_first(&self) -> bool {
        self.is_first
    }

    /// Takes in a merged row of the table.
    pub fn see(
        &mut self,
        mut row: StoredRow,
        expected: &mut ExpectedTable<'_>,
        scope: &VerifiedScope,
    ) {
        let key = std::mem::take(&mut row.key);
        if !self.is_first {
            if !self.pending.contains_key(key.as_str()) {
                return;
            }
            self.met.insert(key.as_str().into());
        }
        let mode = scope.mode(self.table, &key);
        let wanted = match self.is_first {
            true => expected.meet(&key),
            false => expected.value(&key),
        };
        let Some(found) = Value::of_stored(self.table, row) else { return };
        let is_equal = wanted.is_some_and(|wanted| *wanted == found);
        let agrees = is_equal || (wanted.is_none() && is_nothing(&found));
        let holds_wanted = agrees || wanted.is_none_or(|wanted| wanted.is_within(&found));
        if mode == Mode::Exact && !agrees && holds_wanted {
            self.pending.insert(key.into(), found);
            return;
        }
        if !self.is_first {
            self.pending.remove(key.as_str());
        }
        match mode {
            Mode::Ignored => {}
            Mode::Foreign => self.differ(key.into(), wanted.cloned(), Some(found), true),
            Mode::AtLeast | Mode::Exact if holds_wanted => {}
            Mode::AtLeast | Mode::Exact => {
                self.differ(key.into(), wanted.cloned(), Some(found), false);
            }
        }
    }

    /// All rows of the reading were seen: those that were not are missing.
    pub fn end_reading(&mut self, expected: &mut ExpectedTable<'_>, scope: &VerifiedScope) {
        let mut missing = Vec::new();
        if self.is_first {
            expected.unmet(|key, wanted| {
                let may_lack = is_nothing(wanted) || scope.mode(self.table, key) == Mode::Ignored;
                if !may_lack {
                    missing.push((Box::from(key), wanted.clone()));
                }
            });
        } else {
            // A row that was there before and is not any more was removed by somebody: it agrees
            // if the log does not say it.
            let met = std::mem::take(&mut self.met);
            let gone = self.pending.extract_if(|key, _| !met.contains(key));
            missing.extend(gone.filter_map(|(key, _)| {
                let wanted = expected.value(&key).cloned()?;
                Some((key, wanted))
            }));
        }
        for (key, wanted) in missing {
            self.differ(key, Some(wanted), None, false);
        }
        self.is_first = false;
    }

    fn judge(&mut self, mut expected: ExpectedTable<'_>, covers: bool) {
        let mut differing = Vec::new();
        self.pending.retain(|key, found| {
            let wanted = expected.value(key);
            if wanted.is_some_and(|wanted| wanted == found) {
                return false;
            }
            let is_within = wanted.is_some_and(|wanted| found.is_within(wanted));
            if covers && !is_within {
                differing.push((key.clone(), wanted.cloned(), found.clone()));
                return false;
            }
            true
        });
        for (key, wanted, found) in differing {
            self.differ(key, wanted, Some(found), false);
        }
    }

    /// Whether rows of the table are to be read again.
    pub fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Accounts of these rows, each once.
    pub fn pending_accounts(&self) -> Vec<String> {
        let mut accounts: Vec<String> = self
            .pending
            .keys()
            .filter_map(|key| key.split('\t').next())
            .map(str::to_owned)
            .collect();
        accounts.sort_unstable();
        accounts.dedup();
        accounts
    }

    fn differ(
        &mut self,
        key: Box<str>,
        wanted: Option<Value>,
        found: Option<Value>,
        foreign: bool,
    ) {
        if self.differences.len() >= DIFFERENCES_MAX {
            self.more_differences += 1;
            return;
        }
        self.differences.push(difference(self.table, key, wanted, found, foreign));
    }
}

fn difference(
    table: Compared,
    key: Box<str>,
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
            for (check, mut expected) in
                self.check.tables().iter_mut().zip(self.expected.by_table())
            {
                if check.table() == Compared::TestExecutions {
                    for (organization, run) in rows {
                        let key = format!("a\t{organization}\t\t1970-01-01\tt/id/0");
                        let row = StoredRow { key, numbers: vec![*run, 0, 0], text: String::new() };
                        check.see(row, &mut expected, &self.scope);
                    }
                }
                check.end_reading(&mut expected, &self.scope);
            }
        }

        fn go_on(&mut self, log: &[(&str, u64)], covers: bool) {
            fold(&self.expected, log);
            self.check.judge(&mut self.expected, covers);
        }

        /// Rows to be read again, differences.
        fn state(&self) -> (usize, usize) {
            let differences = self.check.tables.iter().map(|table| table.differences.len()).sum();
            (self.check.pending(), differences)
        }
    }

    #[test]
    fn equal_rows_agree_and_missing_ones_differ() {
        let mut tables = Tables::new(&[("1", 5), ("2", 7), ("3", 0)]);
        tables.read(&[("1", 5)]);
        assert_eq!(tables.state(), (0, 1));
        assert!(tables.check.tables[0].differences[0].to_string().contains("organization_id=2"));
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
