//! The accounts that a caller may see.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::cursor;
use super::page::Page;
use super::query::{BadParameter, Query};
use super::search::search_key;
use crate::core::calendar::Zone;

/// The longest name that a cursor carries, bytes.
const CURSOR_NAME_BYTES_MAX: usize = 256;

/// What a token's bearer is to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May read everything of the account.
    AccountAdmin,
    /// Owns an organization.
    Owner,
    /// Administers an organization.
    Admin,
    /// Pays for an organization.
    BillingManager,
    /// A service that asks whether tests may run, and for nothing else.
    Checker,
}

impl Role {
    /// The role of this name in a token; `None` for one that this program does not know.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "account_admin" => Some(Self::AccountAdmin),
            "owner" => Some(Self::Owner),
            "admin" => Some(Self::Admin),
            "billing_manager" => Some(Self::BillingManager),
            "checker" => Some(Self::Checker),
            _ => None,
        }
    }
}

/// The roles that a caller has, by account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    everywhere: BTreeSet<Role>,
    by_account: BTreeMap<String, BTreeSet<Role>>,
}

impl Roles {
    /// Those of whoever calls where access is off.
    pub fn of_anyone() -> Self {
        Self { everywhere: BTreeSet::from([Role::AccountAdmin]), by_account: BTreeMap::new() }
    }

    /// Adds a role in one account.
    pub fn add(&mut self, account: &str, role: Role) {
        self.by_account.entry(account.to_owned()).or_default().insert(role);
    }

    /// Adds a role in all accounts.
    pub fn add_everywhere(&mut self, role: Role) {
        self.everywhere.insert(role);
    }

    /// The accounts that they are in, ascending; `None` for all.
    pub fn accounts(&self) -> Option<Vec<String>> {
        self.everywhere.is_empty().then(|| self.by_account.keys().cloned().collect())
    }

    /// Those in one account, each once, in the order of [`Role`].
    fn in_account(&self, account: &str) -> Vec<Role> {
        let own = self.by_account.get(account).into_iter().flatten();
        own.chain(&self.everywhere).copied().collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// An account, as its events describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedAccount {
    /// The account.
    pub id: String,
    /// Its name; empty until it has one.
    pub name: String,
    /// Its time zone of now.
    pub zone: Zone,
}

/// Accounts in the order of the report.
#[derive(Clone, Debug, Default)]
pub struct AccountList {
    /// By name, then id.
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    name: String,
    id: String,
    zone: Zone,
    /// The text by which it is searched, where that differs from name and id.
    keys: Option<Box<(String, String)>>,
}

impl Entry {
    fn new(account: NamedAccount) -> Self {
        let NamedAccount { id, name, zone } = account;
        let name = if name.is_empty() { id.clone() } else { name };
        let keys = (search_key(&name), search_key(&id));
        let is_plain = keys.0 == name && keys.1 == id;
        Self { name, id, zone, keys: (!is_plain).then(|| Box::new(keys)) }
    }

    fn place(&self) -> (&str, &str) {
        (&self.name, &self.id)
    }

    fn is_found_by(&self, part: &str) -> bool {
        let (name, id) =
            self.keys.as_ref().map_or((&self.name, &self.id), |keys| (&keys.0, &keys.1));
        name.contains(part) || id.contains(part)
    }
}

impl AccountList {
    /// Puts accounts, each of which is there once, in order.
    pub fn new(accounts: impl IntoIterator<Item = NamedAccount>) -> Self {
        let mut entries: Vec<Entry> = accounts.into_iter().map(Entry::new).collect();
        entries.sort_unstable_by(|a, b| a.place().cmp(&b.place()));
        Self { entries }
    }

    /// Bytes that it takes in memory, about.
    pub fn bytes(&self) -> usize {
        let texts = |entry: &Entry| {
            let keys = entry.keys.as_ref().map_or(0, |keys| keys.0.len() + keys.1.len() + 48);
            entry.name.len() + entry.id.len() + keys
        };
        self.entries.iter().map(|entry| size_of::<Entry>() + texts(entry)).sum()
    }
}

/// Which accounts are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountsRequest {
    /// Part of name or id, by its [`search_key`].
    part: Option<String>,
    /// Accounts of a page, at most.
    limit: usize,
    /// The last account of the page before.
    after: Option<Position>,
}

/// The place of an account in the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    /// Its name, or the beginning of one that is too long for a cursor.
    name: String,
    is_cut: bool,
    id: String,
}

impl Position {
    fn of(entry: &Entry) -> Self {
        let end = entry.name.floor_char_boundary(CURSOR_NAME_BYTES_MAX);
        let (name, is_cut) = (entry.name[..end].to_owned(), end < entry.name.len());
        Self { name, is_cut, id: entry.id.clone() }
    }

    /// Name and id that it stands for. Of a name that is cut the list knows the rest, unless the
    /// account was renamed since.
    fn place<'a>(&'a self, list: &'a AccountList) -> (&'a str, &'a str) {
        let is_it = |entry: &&Entry| entry.id == self.id && entry.name.starts_with(&self.name);
        let entry = list.entries.iter().filter(|_| self.is_cut).find(is_it);
        entry.map_or((self.name.as_str(), self.id.as_str()), Entry::place)
    }
}

impl AccountsRequest {
    /// Takes the parameters of a request.
    ///
    /// # Errors
    /// Where one is at fault.
    pub fn parse(mut query: Query) -> Result<Self, BadParameter> {
        let part = query.take_text("search")?.map(|part| search_key(&part));
        let Page { limit, after } = Page::take(&mut query, "query", |cursor| {
            cursor::unseal(&scope(part.as_deref()), cursor)
        })?;
        query.finish()?;
        Ok(Self { part, limit, after })
    }
}

/// Tells the cursors of one search from those of any other.
fn scope(part: Option<&str>) -> String {
    format!("accounts {part:?}")
}

/// An account that the caller may see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Account)]
pub struct AccountEntry {
    /// The account.
    #[schema(example = "acme")]
    pub account_id: String,
    /// Its name, the id until it has one.
    #[schema(example = "Acme")]
    pub name: String,
    /// IANA name of its time zone of now.
    #[schema(example = "Europe/Berlin")]
    pub timezone: &'static str,
    /// The roles that the token grants in it; `account_admin` where access is off.
    pub roles: Vec<Role>,
}

/// A page of the accounts that the caller may see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AccountsReport {
    /// Ordered by name, then id.
    pub accounts: Vec<AccountEntry>,
    /// How many accounts there are on all pages.
    #[schema(example = 1)]
    pub total: u64,
    /// `cursor` of the next page; null on the last one.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

impl AccountsReport {
    /// Puts a page together. The list holds no account but those that the roles are in.
    pub fn assemble(request: &AccountsRequest, roles: &Roles, list: &AccountList) -> Self {
        let part = request.part.as_deref();
        let is_found = |entry: &&Entry| part.is_none_or(|part| entry.is_found_by(part));
        let found: Vec<&Entry> = list.entries.iter().filter(is_found).collect();
        let rest = request.after.as_ref().map_or(&found[..], |after| {
            let place = after.place(list);
            &found[found.partition_point(|entry| entry.place() <= place)..]
        });
        let page = &rest[..rest.len().min(request.limit)];
        let last = page.last().filter(|_| page.len() < rest.len());
        let next_cursor =
            last.map(|entry| cursor::seal(&scope(part), &serde_json::json!(Position::of(entry))));
        let account = |entry: &&Entry| AccountEntry {
            account_id: entry.id.clone(),
            name: entry.name.clone(),
            timezone: entry.zone.name(),
            roles: roles.in_account(&entry.id),
        };
        Self {
            accounts: page.iter().map(account).collect(),
            total: u64::try_from(found.len()).unwrap_or(u64::MAX),
            next_cursor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[(&str, &str)]) -> AccountList {
        AccountList::new(names.iter().map(|&(id, name)| NamedAccount {
            id: id.to_owned(),
            name: name.to_owned(),
            zone: Zone::UTC,
        }))
    }

    fn request(query: &str) -> Result<AccountsRequest, String> {
        Query::parse(Some(query)).and_then(AccountsRequest::parse).map_err(|fault| fault.parameter)
    }

    fn report(list: &AccountList, query: &str) -> AccountsReport {
        AccountsReport::assemble(&request(query).unwrap(), &Roles::of_anyone(), list)
    }

    /// The ids of a page, and how many there are on all.
    fn ids(report: &AccountsReport) -> (Vec<&str>, u64) {
        let ids = report.accounts.iter().map(|account| account.account_id.as_str());
        (ids.collect(), report.total)
    }

    #[test]
    fn accounts_go_by_name_then_id_and_are_searched_by_both() {
        let list = list(&[("7", "Zoë"), ("b", "Acme"), ("a", "Acme"), ("İd", ""), ("zoe", "Lab")]);
        let check = |query: &str, expected: &[&str]| {
            let report = report(&list, query);
            assert_eq!(ids(&report), (expected.to_vec(), expected.len() as u64), "{query}");
        };
        check("", &["a", "b", "zoe", "7", "İd"]);
        check("search=zoe", &["zoe", "7"]);
        check("search=ZO%C3%8B", &["zoe", "7"]);
        check("search=CM", &["a", "b"]);
        check("search=id", &["İd"]);
        check("search=%22", &[]);
        assert_eq!(report(&list, "search=id").accounts[0].name, "İd");
    }

    #[test]
    fn pages_hold_each_account_once_whatever_it_is_called() {
        let long = "é".repeat(2000);
        let longer = format!("{long}é");
        let names =
            [("1", "b"), ("2", long.as_str()), ("3", &longer), ("4", &long), ("5", "a"), ("6", "")];
        let list = list(&names);
        for limit in 1..=7 {
            let (mut found, mut cursor) = (Vec::new(), String::new());
            loop {
                let report = report(&list, &format!("limit={limit}{cursor}"));
                assert_eq!(report.total, 6);
                assert!(report.accounts.len() <= limit);
                found.extend(report.accounts.into_iter().map(|account| account.account_id));
                let Some(next) = report.next_cursor else { break };
                assert!(next.len() < 1000, "{}", next.len());
                cursor = format!("&cursor={next}");
            }
            assert_eq!(found, ["6", "5", "1", "2", "4", "3"], "{limit}");
        }
    }

    #[test]
    fn a_page_goes_on_where_an_account_was_that_has_gone() {
        let before = list(&[("1", "a"), ("2", "b"), ("3", "c")]);
        let first = report(&before, "limit=2");
        assert_eq!(ids(&first).0, ["1", "2"]);
        let cursor = first.next_cursor.unwrap();
        let renamed = list(&[("1", "a"), ("2", "z"), ("3", "c")]);
        assert_eq!(ids(&report(&renamed, &format!("cursor={cursor}"))).0, ["3", "2"]);
        assert_eq!(request(&format!("search=x&cursor={cursor}")), Err("cursor".to_owned()));
    }

    #[test]
    fn bad_values_name_their_parameter() {
        for (query, parameter) in [
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("cursor=abc", "cursor"),
            ("sort=name", "sort"),
            ("as_of=2026-01-01T00:00:00Z", "as_of"),
        ] {
            assert_eq!(request(query), Err(parameter.to_owned()), "{query}");
        }
    }

    #[test]
    fn roles_are_those_of_the_account_and_those_of_all() {
        let mut roles = Roles::default();
        assert_eq!(roles.accounts(), Some(Vec::new()));
        for (account, role) in
            [("b", "owner"), ("a", "owner"), ("b", "account_admin"), ("b", "owner")]
        {
            roles.add(account, Role::parse(role).unwrap());
        }
        assert_eq!(roles.accounts(), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(roles.in_account("b"), [Role::AccountAdmin, Role::Owner]);
        roles.add_everywhere(Role::Checker);
        assert_eq!(roles.accounts(), None);
        assert_eq!(roles.in_account("a"), [Role::Owner, Role::Checker]);
        assert_eq!(roles.in_account("c"), [Role::Checker]);
        assert_eq!(serde_json::json!(Role::BillingManager), "billing_manager");
        assert_eq!(Role::parse("root"), None);
    }
}
