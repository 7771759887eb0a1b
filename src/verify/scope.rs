//! What can be said of a row: which sources are folded, and from where.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;

use crate::core::rollup::Source;
use crate::store::{Compared, MetSource};

/// A source that is folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoldedSource {
    /// The source.
    pub source: Source,
    /// The first offset that is read; everything before it is unknown, unless it is 0.
    pub start: u64,
}

/// How a row is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It must be what the log says.
    Exact,
    /// It must hold what the log says, and may hold more: a part of its log is not read.
    AtLeast,
    /// Nothing can be said.
    Ignored,
    /// No progress of its source is recorded, so nothing may have written it.
    Foreign,
}

/// What is folded, and what else has counted into the tables.
#[derive(Clone, Debug, Default)]
pub struct VerifiedScope {
    folded: BTreeMap<String, FoldedSource>,
    /// Every source whose progress is recorded.
    recorded: BTreeSet<String>,
    /// Accounts that were counted by more than one source, or by one that is not folded whole.
    exceptions: HashMap<Box<str>, Exception>,
}

/// An account that not only one folded source has met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Exception {
    met: Vec<MetSource>,
    is_ambiguous: bool,
    is_partial: bool,
}

impl VerifiedScope {
    /// The scope of these sources, with those that are recorded besides.
    pub fn new(folded: &[FoldedSource], recorded: Vec<String>) -> Self {
        let by_name = folded.iter().map(|of| (of.source.as_str().to_owned(), of.clone()));
        Self {
            folded: by_name.collect(),
            recorded: recorded.into_iter().collect(),
            exceptions: HashMap::new(),
        }
    }

    /// The sources that are folded from their first offset on, by name.
    pub fn whole_sources(&self) -> Vec<String> {
        let whole = self.folded.iter().filter(|(_, of)| of.start == 0);
        whole.map(|(name, _)| name.clone()).collect()
    }

    /// The recorded sources that are not folded.
    pub fn unread_sources(&self) -> impl Iterator<Item = &str> {
        self.recorded.iter().map(String::as_str).filter(|name| !self.folded.contains_key(*name))
    }

    /// Takes in who has met the accounts that are exceptions.
    pub fn met(&mut self, met: Vec<MetSource>) {
        let mut exceptions: HashMap<Box<str>, Exception> = HashMap::new();
        for row in met {
            exceptions.entry(row.account_id.as_str().into()).or_default().met.push(row);
        }
        for exception in exceptions.values_mut() {
            exception.is_partial = exception
                .met
                .iter()
                .any(|row| self.folded.get(&row.source).is_none_or(|of| of.start > 0));
            exception.is_ambiguous = overlap(&exception.met);
        }
        self.exceptions = exceptions;
    }

    /// Accounts whose order of events no log tells: two sources counted them at the same time, or
    /// one before and after another.
    pub fn ambiguous_accounts(&self) -> Vec<&str> {
        let ambiguous = self.exceptions.iter().filter(|(_, exception)| exception.is_ambiguous);
        let mut names: Vec<&str> = ambiguous.map(|(account, _)| &**account).collect();
        names.sort_unstable();
        names
    }

    /// The folded sources of each exceptional account that were preceded by other facts: by those
    /// of other sources, or by offsets that are not read.
    pub fn preceded(&self) -> impl Iterator<Item = (&str, &FoldedSource)> {
        self.exceptions.iter().filter(|(_, exception)| !exception.is_ambiguous).flat_map(
            move |(account, exception)| {
                exception.met.iter().filter_map(move |row| {
                    let folded = self.folded.get(&row.source)?;
                    let is_preceded =
                        folded.start > 0 || exception.met.iter().any(|other| precedes(other, row));
                    is_preceded.then_some((&**account, folded))
                })
            },
        )
    }

    /// Whether a fact was known to the source's lane when it first met the account.
    pub fn is_prior(&self, account: &str, source: &str, fact: (&str, u64)) -> bool {
        let (of, offset) = fact;
        if of == source {
            return self.folded.get(source).is_some_and(|folded| offset < folded.start);
        }
        let Some(exception) = self.exceptions.get(account) else { return false };
        let row_of = |name: &str| exception.met.iter().find(|row| row.source == name);
        row_of(of).zip(row_of(source)).is_some_and(|(former, latter)| precedes(former, latter))
    }

    /// How a row is compared.
    pub fn mode(&self, table: Compared, key: &str) -> Mode {
        let column = |name: &str| {
            let at = table.key_columns().iter().position(|column| *column == name)?;
            key.split('\t').nth(at)
        };
        let exception = column("account_id").and_then(|account| self.exceptions.get(account));
        if exception.is_some_and(|exception| exception.is_ambiguous) {
            return Mode::Ignored;
        }
        let Some(source) = column("source") else {
            let is_partial = exception.is_some_and(|exception| exception.is_partial);
            return if is_partial { Mode::AtLeast } else { Mode::Exact };
        };
        match self.folded.get(source) {
            None if self.recorded.contains(source) => Mode::Ignored,
            None => Mode::Foreign,
            Some(folded) if folded.start == 0 => Mode::Exact,
            Some(folded) => match column("offset").and_then(|offset| offset.parse::<u64>().ok()) {
                // A fact: it lies in what is read, or not.
                Some(offset) if offset < folded.start => Mode::Ignored,
                Some(_) => Mode::Exact,
                None => Mode::AtLeast,
            },
        }
    }
}

/// Whether all that the first source counted of the account came before the other one's first.
fn precedes(former: &MetSource, latter: &MetSource) -> bool {
    former.source != latter.source && former.last_ms <= latter.first_ms
}

/// Whether two sources counted the account in turns.
fn overlap(met: &[MetSource]) -> bool {
    let mut spans: Vec<(i64, i64)> = met.iter().map(|row| (row.first_ms, row.last_ms)).collect();
    spans.sort_unstable();
    spans.windows(2).any(|pair| pair[0].1 > pair[1].0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(partition: u32, start: u64) -> FoldedSource {
        FoldedSource { source: Source::new("t", "id", partition), start }
    }

    fn met(account: &str, source: &str, first_ms: i64, last_ms: i64) -> MetSource {
        let (account_id, source) = (account.to_owned(), source.to_owned());
        MetSource { account_id, source, first_ms, last_ms }
    }

    fn scope() -> VerifiedScope {
        let recorded = ["t/id/0", "t/id/1", "t/old/0"].map(str::to_owned).to_vec();
        VerifiedScope::new(&[folded(0, 0), folded(1, 70)], recorded)
    }

    #[test]
    fn rows_of_sources_go_by_how_much_of_the_source_is_read() {
        let of =
            |source: &str| scope().mode(Compared::TestExecutions, &format!("a\to\tp\td\t{source}"));
        assert_eq!(of("t/id/0"), Mode::Exact);
        assert_eq!(of("t/id/1"), Mode::AtLeast);
        assert_eq!(of("t/old/0"), Mode::Ignored);
        assert_eq!(of("t/id/9"), Mode::Foreign);
        let fact =
            |offset: u64| scope().mode(Compared::ZoneFacts, &format!("a\t5\tt/id/1\t{offset}"));
        assert_eq!((fact(69), fact(70)), (Mode::Ignored, Mode::Exact));
    }

    #[test]
    fn rows_of_accounts_go_by_who_has_met_the_account() {
        let mut scope = scope();
        scope.met(vec![
            met("moved", "t/id/0", 5, 9),
            met("moved", "t/old/0", 1, 4),
            met("split", "t/id/0", 5, 9),
            met("split", "t/id/1", 7, 8),
        ]);
        let mode = |account: &str| scope.mode(Compared::ActiveUsers, &format!("{account}\to\td"));
        assert_eq!(mode("plain"), Mode::Exact);
        assert_eq!(mode("moved"), Mode::AtLeast);
        assert_eq!(mode("split"), Mode::Ignored);
        assert_eq!(scope.ambiguous_accounts(), ["split"]);
        assert!(scope.is_prior("moved", "t/id/0", ("t/old/0", 99)));
        assert!(!scope.is_prior("plain", "t/id/0", ("t/old/0", 99)));
        assert!(scope.is_prior("plain", "t/id/1", ("t/id/1", 69)));
        let preceded: Vec<&str> = scope.preceded().map(|(account, _)| account).collect();
        assert_eq!(preceded, ["moved"]);
    }
}
