//! What is held of accounts and their organizations.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::time::{Duration, Instant};

use crate::report::standing::{QuotaStanding, Timeline};
use crate::report::value::Timestamp;
use crate::store::{AccountQuota, Accounts};

/// Why no standing can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoStandings {
    /// They have not been read yet.
    #[error("the standings have not been read yet")]
    NotRead,
    /// ClickHouse has not been read for longer than answers may be old.
    #[error("the standings were read {} s ago", age.as_secs())]
    TooOld { age: Duration },
}

/// All that is held.
#[derive(Default)]
pub(super) struct Held {
    /// By account id. Accounts without any plan are not there.
    accounts: BTreeMap<Box<str>, HeldAccount>,
    /// How many organizations they have.
    organizations: usize,
    /// The latest look; `None` before the first one that all accounts were read for.
    pub(super) look: Option<HeldLook>,
    /// What the latest look has found changed, while it is read again.
    unread: Option<Unread>,
    /// The first instant that no timeline reaches to, milliseconds since 1970 UTC.
    pub(super) known_until_ms: i64,
}

/// Accounts that have changed since they were read.
struct Unread {
    accounts: BTreeSet<String>,
    /// The latest look whose changes of them are held.
    look: HeldLook,
}

/// A look at what has changed, whose changes are held.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldLook {
    /// When it began.
    pub(super) began: Instant,
    /// Time by which everything up to it was counted.
    pub(super) data_through: Option<Timestamp>,
}

/// What is held of an account.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeldAccount {
    /// Its organizations that have a plan, by id; never none.
    Organizations(Box<[HeldOrganization]>),
    /// This program does not know its time zone.
    Unreadable,
}

/// The standing of an organization, now and later.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HeldOrganization {
    id: Box<str>,
    timeline: Timeline,
}

/// Accounts as they were read, and which ones were asked for.
pub(super) struct Fresh(BTreeMap<Box<str>, HeldAccount>);

/// The figures of this account cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this program does not know the account's time zone")]
pub struct UnreadableAccount;

/// The standings at an instant.
pub struct Reading<'h> {
    held: &'h Held,
    now_ms: i64,
    /// Time by which everything that they say was counted.
    pub data_through: Option<Timestamp>,
    /// Time since they began to be read.
    pub age: Duration,
}

impl Reading<'_> {
    /// The standing of an organization; `None` where it has no plan.
    ///
    /// # Errors
    /// Where the account's figures cannot be read.
    pub fn standing(
        &self,
        account: &str,
        organization: &str,
    ) -> Result<Option<&QuotaStanding>, UnreadableAccount> {
        match self.held.accounts.get(account) {
            None => Ok(None),
            Some(HeldAccount::Unreadable) => Err(UnreadableAccount),
            Some(HeldAccount::Organizations(organizations)) => {
                let place = organizations.binary_search_by(|of| (*of.id).cmp(organization));
                Ok(place.ok().and_then(|place| organizations[place].timeline.at(self.now_ms)))
            }
        }
    }
}

impl HeldAccount {
    /// The account as it is held from one instant to another, milliseconds since 1970 UTC; `None`
    /// where it is not, because no plan starts before the end.
    fn new(quota: &AccountQuota, from_ms: i64, until_ms: i64) -> Option<Self> {
        let Some(zone) = quota.zone else {
            let has_plan = quota.organizations.values().any(|facts| !facts.records.is_empty());
            return has_plan.then_some(Self::Unreadable);
        };
        let organizations = quota.organizations.iter().filter_map(|(id, facts)| {
            let timeline = Timeline::draw(zone, facts, from_ms, until_ms)?;
            Some(HeldOrganization { id: id.as_str().into(), timeline })
        });
        let mut organizations: Vec<HeldOrganization> = organizations.collect();
        organizations.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        (!organizations.is_empty()).then(|| Self::Organizations(organizations.into()))
    }

    fn organizations(&self) -> usize {
        match self {
            Self::Organizations(organizations) => organizations.len(),
            Self::Unreadable => 0,
        }
    }
}

impl Fresh {
    /// The accounts as they are held from one instant to another, milliseconds since 1970 UTC.
    pub(super) fn new(
        accounts: &HashMap<String, AccountQuota>,
        from_ms: i64,
        until_ms: i64,
    ) -> Self {
        let held = accounts.iter().filter_map(|(id, quota)| {
            Some((id.as_str().into(), HeldAccount::new(quota, from_ms, until_ms)?))
        });
        Self(held.collect())
    }
}

/// What a reading changes.
pub(super) struct Changes {
    fresh: Vec<(Box<str>, HeldAccount)>,
    vanished: Vec<Box<str>>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.vanished.is_empty()
    }

    /// The accounts whose figures cannot be read any more.
    pub(super) fn unreadable(&self) -> impl Iterator<Item = &str> {
        let unreadable = self.fresh.iter().filter(|(_, held)| *held == HeldAccount::Unreadable);
        unreadable.map(|(id, _)| &**id)
    }
}

impl Held {
    /// What is different in a reading of these accounts.
    pub(super) fn changes(&self, read: Accounts<'_>, fresh: Fresh) -> Changes {
        let is_gone = |id: &str| !fresh.0.contains_key(id);
        let vanished = match read {
            Accounts::These(ids) => {
                let held = ids.iter().filter(|id| self.accounts.contains_key(id.as_str()));
                held.filter(|id| is_gone(id)).map(|id| id.as_str().into()).collect()
            }
            Accounts::Behind { after, upto } => {
                let end = upto.map_or(Bound::Unbounded, Bound::Included);
                let held = self.accounts.range::<str, _>((Bound::Excluded(after), end));
                held.map(|(id, _)| id).filter(|id| is_gone(id)).cloned().collect()
            }
        };
        let changed = |(id, account): &(Box<str>, HeldAccount)| {
            self.accounts.get(id).is_none_or(|held| held != account)
        };
        Changes { fresh: fresh.0.into_iter().filter(changed).collect(), vanished }
    }

    /// Takes the changes in, and hands out what they replace.
    pub(super) fn apply(&mut self, changes: Changes) -> Vec<HeldAccount> {
        let mut replaced = Vec::with_capacity(changes.fresh.len() + changes.vanished.len());
        for id in changes.vanished {
            replaced.extend(self.accounts.remove(&id));
        }
        for (id, account) in changes.fresh {
            self.organizations += account.organizations();
            replaced.extend(self.accounts.insert(id, account));
        }
        self.organizations -= replaced.iter().map(HeldAccount::organizations).sum::<usize>();
        replaced
    }

    /// How many organizations are held.
    pub(super) fn organizations(&self) -> usize {
        self.organizations
    }

    /// A look has found these accounts changed; it holds of all others.
    pub(super) fn look_found(&mut self, look: HeldLook, changed: BTreeSet<String>) {
        // Before the first look nothing is told of any account.
        let Some(before) = self.look else { return };
        let (look_before, mut accounts) = match self.unread.take() {
            Some(Unread { look, accounts }) => (look, accounts),
            None => (before, BTreeSet::new()),
        };
        accounts.extend(changed);
        self.unread = Some(Unread { accounts, look: look_before });
        self.look = Some(look);
    }

    /// All that a look has found is held.
    pub(super) fn look_succeeded(&mut self, look: HeldLook) {
        self.unread = None;
        self.look = Some(look);
    }

    /// The latest look whose changes of all these accounts are held.
    pub(super) fn look_of<'a>(
        &self,
        mut accounts: impl Iterator<Item = &'a str>,
    ) -> Option<HeldLook> {
        match &self.unread {
            Some(unread) if accounts.any(|id| unread.accounts.contains(id)) => Some(unread.look),
            _ => self.look,
        }
    }

    /// The standings of these accounts at an instant, milliseconds since 1970 UTC.
    ///
    /// # Errors
    /// Where they have not been read, or not for `age_max`.
    pub(super) fn reading<'a>(
        &self,
        accounts: impl Iterator<Item = &'a str>,
        now_ms: i64,
        age_max: Duration,
    ) -> Result<Reading<'_>, NoStandings> {
        let look = self.look_of(accounts);
        let HeldLook { began, data_through } = look.ok_or(NoStandings::NotRead)?;
        let age = began.elapsed();
        if age > age_max || now_ms >= self.known_until_ms {
            return Err(NoStandings::TooOld { age });
        }
        Ok(Reading { held: self, now_ms, data_through, age })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::calendar::Zone;
    use crate::core::event::PlanKind;
    use crate::report::quota::QuotaFacts;
    use crate::report::window::PlanRecord;

    const UNTIL_MS: i64 = 1_000;

    /// Accounts, each with organizations and their quotas.
    fn fresh(accounts: &[(&str, &[(&str, u64)])]) -> Fresh {
        let facts = |quota| QuotaFacts {
            records: vec![PlanRecord {
                time_ms: 0,
                kind: PlanKind::Started,
                plan: "p".to_owned(),
                monthly_quota: Some(quota),
            }],
            ..QuotaFacts::default()
        };
        let accounts = accounts.iter().map(|&(id, organizations)| {
            let organizations =
                organizations.iter().map(|&(id, quota)| (id.to_owned(), facts(quota))).collect();
            (id.to_owned(), AccountQuota { zone: Some(Zone::UTC), organizations })
        });
        Fresh::new(&accounts.collect(), 1, UNTIL_MS)
    }

    fn quota(held: &Held, account: &str, organization: &str) -> Option<u64> {
        let reading = held.reading([account].into_iter(), 2, Duration::MAX).unwrap();
        let standing = reading.standing(account, organization).unwrap()?;
        standing.bounds.map(|bounds| bounds.quota)
    }

    fn held(accounts: &[(&str, &[(&str, u64)])]) -> Held {
        let mut held = Held { known_until_ms: UNTIL_MS, ..Held::default() };
        held.look = Some(HeldLook { began: Instant::now(), data_through: None });
        let all = Accounts::Behind { after: "", upto: None };
        held.apply(held.changes(all, fresh(accounts)));
        held
    }

    #[test]
    fn a_reading_replaces_what_it_is_about_and_nothing_else() {
        let mut held =
            held(&[("a", &[("x", 1), ("y", 2)]), ("b", &[("x", 3)]), ("c", &[("x", 4)])]);
        assert_eq!(held.organizations(), 4);
        let these = ["a".to_owned(), "b".to_owned(), "unheard".to_owned()];
        let changes = held.changes(Accounts::These(&these), fresh(&[("a", &[("y", 5)])]));
        held.apply(changes);
        assert_eq!(["x", "y"].map(|id| quota(&held, "a", id)), [None, Some(5)]);
        assert_eq!(["b", "c"].map(|id| quota(&held, id, "x")), [None, Some(4)]);
        assert_eq!(held.organizations(), 2);
        let behind = Accounts::Behind { after: "a", upto: Some("c") };
        held.apply(held.changes(behind, fresh(&[("bb", &[("x", 6)])])));
        assert_eq!(["a", "bb", "c"].map(|id| quota(&held, id, "y")), [Some(5), None, None]);
        assert_eq!((quota(&held, "bb", "x"), held.organizations()), (Some(6), 2));
    }

    #[test]
    fn what_was_read_again_and_is_the_same_changes_nothing() {
        let accounts: &[(&str, &[(&str, u64)])] = &[("a", &[("x", 1)]), ("b", &[("x", 3)])];
        let held = held(accounts);
        let all = Accounts::Behind { after: "", upto: None };
        assert!(held.changes(all, fresh(accounts)).is_empty());
        assert!(!held.changes(all, fresh(&accounts[..1])).is_empty());
    }

    #[test]
    fn an_account_that_has_changed_is_as_old_as_it_was_read() {
        let mut held = held(&[("a", &[("x", 1)]), ("b", &[("x", 2)])]);
        let look = |through_ms| HeldLook {
            began: Instant::now(),
            data_through: Some(Timestamp(through_ms)),
        };
        let through = |held: &Held, accounts: &[&str]| {
            let reading = held.reading(accounts.iter().copied(), 2, Duration::MAX).unwrap();
            reading.data_through
        };
        held.look_succeeded(look(1));
        held.look_found(look(2), ["a".to_owned()].into());
        assert_eq!(through(&held, &["b"]), Some(Timestamp(2)));
        assert_eq!(through(&held, &["a"]), Some(Timestamp(1)));
        assert_eq!(through(&held, &["b", "a"]), Some(Timestamp(1)));
        // That look could not be ended.
        held.look_found(look(3), ["b".to_owned()].into());
        assert_eq!(
            ["a", "b", "c"].map(|id| through(&held, &[id])),
            [1, 1, 3].map(|ms| Some(Timestamp(ms)))
        );
        held.look_succeeded(look(4));
        assert_eq!(through(&held, &["a", "b"]), Some(Timestamp(4)));
    }

    #[test]
    fn old_figures_are_not_told() {
        let mut held = held(&[("a", &[("x", 1)])]);
        let reading = |held: &Held, now_ms, age_max| {
            held.reading(["a"].into_iter(), now_ms, age_max).map(drop)
        };
        assert!(reading(&held, UNTIL_MS - 1, Duration::MAX).is_ok());
        let refused = |held: &Held, now_ms, age_max| reading(held, now_ms, age_max).err();
        assert!(matches!(
            refused(&held, UNTIL_MS, Duration::MAX),
            Some(NoStandings::TooOld { .. })
        ));
        std::thread::sleep(Duration::from_millis(2));
        let age_max = Duration::from_millis(1);
        assert!(matches!(refused(&held, 1, age_max), Some(NoStandings::TooOld { .. })));
        held.look = None;
        assert_eq!(refused(&held, 1, Duration::MAX), Some(NoStandings::NotRead));
    }

    #[test]
    fn an_account_of_an_unknown_zone_is_told_apart_from_one_without_a_plan() {
        let plan = PlanRecord {
            time_ms: 0,
            kind: PlanKind::Started,
            plan: "p".to_owned(),
            monthly_quota: None,
        };
        let facts = QuotaFacts { records: vec![plan], ..QuotaFacts::default() };
        let unknown = AccountQuota { zone: None, organizations: [("x".to_owned(), facts)].into() };
        let fresh = Fresh::new(&[("a".to_owned(), unknown)].into(), 1, UNTIL_MS);
        let mut held = held(&[]);
        let changes = held.changes(Accounts::Behind { after: "", upto: None }, fresh);
        assert_eq!(changes.unreadable().collect::<Vec<_>>(), ["a"]);
        held.apply(changes);
        let reading = held.reading(["a", "b"].into_iter(), 2, Duration::MAX).unwrap();
        assert_eq!(reading.standing("a", "x"), Err(UnreadableAccount));
        assert_eq!(reading.standing("b", "x"), Ok(None));
    }
}
