//! A listing of assignments that is kept: the order of all its rows, and those that were shown lately.
//!
//! The order is that of the query: text by bytes, times by age, nulls last in both directions, ties by user id, then
//! organization id, ascending. A listing changes user by user: whatever is known of a user is replaced by what was read
//! anew.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::assignments::{Assignment, Page, Sort, SortKey};
use super::cursor::{Position, SortValue, TEXT_BYTES_MAX};

/// Rows that are remembered in full; with more those that are not on the latest page are forgotten.
const SHOWN_ROWS_MAX: usize = 4_000;
/// What a key takes besides its texts, bytes, about.
const KEY_BYTES: usize = 96;
/// What a row takes, bytes, about.
const ROW_BYTES: usize = 512;

/// What a row is sorted by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyValue {
    Text(Arc<str>),
    /// Milliseconds since 1970 UTC.
    Time(i64),
    Null,
}

/// A row's place in the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowKey {
    pub value: KeyValue,
    pub user_id: Arc<str>,
    pub organization_id: Arc<str>,
}

impl RowKey {
    fn of(row: &Assignment, key: SortKey) -> Self {
        let text = |text: &str| KeyValue::Text(text.into());
        let value = match key {
            SortKey::User => text(&row.user),
            SortKey::Email => row.email.as_deref().map_or(KeyValue::Null, text),
            SortKey::Organization => text(&row.organization),
            SortKey::LastAssignment => KeyValue::Time(row.last_assignment.0),
            SortKey::LastActiveUse => row.last_active_use.map_or(KeyValue::Null, |time| KeyValue::Time(time.0)),
        };
        Self { value, user_id: row.user_id.as_str().into(), organization_id: row.organization_id.as_str().into() }
    }

    /// The place where a page ended; `None` where the cursor does not tell all of it.
    fn at(position: &Position) -> Option<Self> {
        let value = match &position.key {
            SortValue::Null => KeyValue::Null,
            SortValue::Text(text) => KeyValue::Text(text.as_str().into()),
            SortValue::Time(time_ms) => KeyValue::Time(*time_ms),
            SortValue::Beginning(_) => return None,
        };
        let (user_id, organization_id) = (position.user_id.as_str().into(), position.organization_id.as_str().into());
        Some(Self { value, user_id, organization_id })
    }

    fn bytes(&self) -> usize {
        let text = if let KeyValue::Text(text) = &self.value { text.len() } else { 0 };
        KEY_BYTES + text + self.user_id.len() + self.organization_id.len()
    }
}

impl Sort {
    /// Which of two rows comes first.
    pub fn compare(self, left: &RowKey, right: &RowKey) -> Ordering {
        let by_value = match (&left.value, &right.value) {
            (KeyValue::Null, _) | (_, KeyValue::Null) => left.value.cmp(&right.value),
            (left, right) if self.descending => right.cmp(left),
            (left, right) => left.cmp(right),
        };
        by_value.then_with(|| (&left.user_id, &left.organization_id).cmp(&(&right.user_id, &right.organization_id)))
    }
}

/// Where an organization stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub organization_id: Arc<str>,
    /// The names from the top of the tree down.
    pub path: Arc<str>,
    /// It is the one that is asked for, or lies below it.
    pub is_within: bool,
}

/// Where the organizations of an account stand.
#[derive(Debug, Default)]
pub struct Places {
    by_id: HashMap<Arc<str>, Place>,
    /// The whole account is asked for.
    is_whole: bool,
}

impl Places {
    /// `is_whole` where no organization is asked for.
    pub fn new(places: Vec<Place>, is_whole: bool) -> Self {
        Self { by_id: places.into_iter().map(|place| (Arc::clone(&place.organization_id), place)).collect(), is_whole }
    }

    /// One that is not in the tree goes by its id.
    fn get(&self, organization_id: &str) -> Option<Place> {
        let Some(place) = self.by_id.get(organization_id) else {
            let id: Arc<str> = organization_id.into();
            return self.is_whole.then(|| Place { organization_id: Arc::clone(&id), path: id, is_within: true });
        };
        (self.is_whole || place.is_within).then(|| place.clone())
    }

    /// The key of a row, if its organization is asked for; the value of one that is sorted by organization is its path.
    pub fn key(&self, sort: SortKey, user_id: &str, organization_id: &str, value: KeyValue) -> Option<RowKey> {
        let place = self.get(organization_id)?;
        let value = if sort == SortKey::Organization { KeyValue::Text(place.path) } else { value };
        Some(RowKey { value, user_id: user_id.into(), organization_id: place.organization_id })
    }

    /// The row with its organization's path, if the organization is asked for.
    pub fn row(&self, row: Assignment) -> Option<Assignment> {
        let place = self.get(&row.organization_id)?;
        Some(Assignment { organization: place.path.to_string(), ..row })
    }

    /// The organizations that are asked for; `None` where that is the whole account.
    pub fn asked_for(&self) -> Option<Vec<String>> {
        let within = self.by_id.values().filter(|place| place.is_within);
        (!self.is_whole).then(|| within.map(|place| place.organization_id.to_string()).collect())
    }

    /// Whether a path is longer than what a listing keeps.
    pub fn are_long(&self) -> bool {
        self.by_id.values().any(|place| place.path.len() > TEXT_BYTES_MAX)
    }

    fn bytes(&self) -> usize {
        self.by_id.values().map(|place| KEY_BYTES + place.organization_id.len() + place.path.len()).sum()
    }
}

/// The rows of a listing in their order.
#[derive(Debug)]
pub struct Listing {
    sort: Sort,
    keys: Vec<RowKey>,
    places: Places,
    /// By user: all rows of those whose rows have been read in full.
    shown: HashMap<String, Vec<Assignment>>,
    shown_rows: usize,
    bytes: usize,
}

impl Listing {
    /// Puts the keys of all rows in order.
    pub fn new(sort: Sort, mut keys: Vec<RowKey>, places: Places) -> Self {
        keys.sort_unstable_by(|left, right| sort.compare(left, right));
        let bytes = places.bytes() + keys.iter().map(RowKey::bytes).sum::<usize>();
        Self { sort, keys, places, shown: HashMap::new(), shown_rows: 0, bytes }
    }

    /// How many rows there are on all pages.
    pub fn total(&self) -> u64 {
        self.keys.len() as u64
    }

    /// Whether rows of the organization are in it, if there are any.
    pub fn is_about(&self, organization_id: &str) -> bool {
        self.places.get(organization_id).is_some()
    }

    /// The organizations that are asked for; `None` where that is the whole account.
    pub fn organizations(&self) -> Option<Vec<String>> {
        self.places.asked_for()
    }

    /// What it takes, bytes, about.
    pub fn bytes(&self) -> usize {
        self.bytes + self.shown_rows * ROW_BYTES
    }

    /// The rows of a page, and one more if there are as many; an error names the users whose rows have to be read for it.
    ///
    /// # Errors
    /// Where rows of the page are not at hand.
    pub fn page(&self, page: &Page) -> Result<Vec<Assignment>, Vec<String>> {
        let mut missing = Vec::new();
        let mut rows = Vec::new();
        for key in self.slice(page) {
            let of_user = self.shown.get(&*key.user_id).into_iter().flatten();
            match of_user.into_iter().find(|row| *row.organization_id == *key.organization_id) {
                Some(row) => rows.push(row.clone()),
                None => missing.push(key.user_id.to_string()),
            }
        }
        if missing.is_empty() { Ok(rows) } else { Err(missing) }
    }

    /// Replaces whatever is known of the users by these rows: all that they have in the listing, without their paths.
    pub fn update(&mut self, users: &HashSet<String>, rows: Vec<Assignment>) {
        let mut bytes = 0;
        self.keys.retain(|key| {
            let stays = !users.contains(&*key.user_id);
            bytes += if stays { 0 } else { key.bytes() };
            stays
        });
        self.bytes -= bytes;
        for user in users {
            self.shown_rows -= self.shown.remove(user).map_or(0, |rows| rows.len());
        }
        let rows: Vec<Assignment> = rows.into_iter().filter_map(|row| self.places.row(row)).collect();
        self.insert(rows.iter().map(|row| RowKey::of(row, self.sort.key)).collect());
        self.shown_rows += rows.len();
        for row in rows {
            self.shown.entry(row.user_id.clone()).or_default().push(row);
        }
    }

    /// Forgets rows that are not on the page, if it remembers too many.
    pub fn forget_but(&mut self, page: &Page) {
        if self.shown_rows > SHOWN_ROWS_MAX {
            let users: HashSet<String> = self.slice(page).iter().map(|key| key.user_id.to_string()).collect();
            self.shown.retain(|user, _| users.contains(user));
            self.shown_rows = self.shown.values().map(Vec::len).sum();
        }
    }

    fn slice(&self, page: &Page) -> &[RowKey] {
        let start =
            page.after.as_ref().and_then(RowKey::at).map_or(0, |after| {
                self.keys.partition_point(|key| self.sort.compare(key, &after) != Ordering::Greater)
            });
        &self.keys[start..(start + page.limit + 1).min(self.keys.len())]
    }

    /// Puts the keys where they belong, in one pass over those that are there.
    fn insert(&mut self, mut new: Vec<RowKey>) {
        let sort = self.sort;
        new.sort_unstable_by(|left, right| sort.compare(left, right));
        let mut merged = Vec::with_capacity(self.keys.len() + new.len());
        let mut start = 0;
        let keys = std::mem::take(&mut self.keys);
        let places: Vec<usize> =
            new.iter().map(|key| keys.partition_point(|other| sort.compare(other, key) == Ordering::Less)).collect();
        let mut keys = keys.into_iter();
        for (key, place) in new.into_iter().zip(places) {
            merged.extend(keys.by_ref().take(place - start));
            start = place;
            self.bytes += key.bytes();
            merged.push(key);
        }
        merged.extend(keys);
        self.keys = merged;
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::report::assignments::AssignmentStatus;
    use crate::report::value::Instant;

    /// Numbers that look arbitrary: the upper bits of a linear congruential generator.
    struct Arbitrary(u64);

    impl Arbitrary {
        fn random_range(&mut self, range: Range<i64>) -> i64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            range.start + (self.0 >> 33).cast_signed() % (range.end - range.start)
        }

        fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
            of[usize::try_from(self.random_range(0..of.len().try_into().unwrap())).unwrap()]
        }
    }

    /// Rows of some users whose names and times often collide, sorted by nothing.
    fn rows_of(random: &mut Arbitrary, users: &[String]) -> Vec<Assignment> {
        let names = ["", "Zoë", "anna", "Anna", "漢字", "Anna ", "\u{1f600}", "zz"];
        let mut rows = Vec::new();
        for user in users {
            let name = random.pick(&names);
            for organization in ["o", "p", "elsewhere", "unheard-of"] {
                if random.random_range(0..3) == 0 {
                    continue;
                }
                rows.push(Assignment {
                    user_id: user.clone(),
                    user: name.to_owned(),
                    email: (name != "Zoë").then(|| name.to_owned()),
                    license_source: "a".to_owned(),
                    organization_id: organization.to_owned(),
                    organization: String::new(),
                    project_id: None,
                    project: None,
                    last_assignment: Instant(random.random_range(0..4)),
                    last_active_use: (random.random_range(0..3) > 0).then(|| Instant(random.random_range(0..4))),
                    activated: false,
                    status: AssignmentStatus::Active,
                });
            }
        }
        rows
    }

    fn places(is_whole: bool) -> Places {
        let place =
            |id: &str, path: &str, is_within| Place { organization_id: id.into(), path: path.into(), is_within };
        Places::new(vec![place("o", "Top / O", true), place("p", "P", true), place("elsewhere", "E", false)], is_whole)
    }

    /// The rows that the request's organization has, in order, as the query has it.
    fn naive(rows: &[Assignment], sort: Sort, is_whole: bool) -> Vec<Assignment> {
        let mut rows: Vec<Assignment> = rows.iter().filter_map(|row| places(is_whole).row(row.clone())).collect();
        rows.sort_by(|left, right| {
            let null = |row: &Assignment| match sort.key {
                SortKey::Email => row.email.is_none(),
                SortKey::LastActiveUse => row.last_active_use.is_none(),
                SortKey::User | SortKey::Organization | SortKey::LastAssignment => false,
            };
            let by_key = match sort.key {
                SortKey::User => left.user.as_bytes().cmp(right.user.as_bytes()),
                SortKey::Email => left.email.cmp(&right.email),
                SortKey::Organization => left.organization.cmp(&right.organization),
                SortKey::LastAssignment => left.last_assignment.0.cmp(&right.last_assignment.0),
                SortKey::LastActiveUse => {
                    left.last_active_use.map(|time| time.0).cmp(&right.last_active_use.map(|time| time.0))
                }
            };
            let by_key = if sort.descending { by_key.reverse() } else { by_key };
            let tie = |row: &Assignment| (row.user_id.clone(), row.organization_id.clone());
            null(left).cmp(&null(right)).then(by_key).then_with(|| tie(left).cmp(&tie(right)))
        });
        rows
    }

    fn page(limit: usize, after: Option<&RowKey>) -> Page {
        let after = after.map(|key| Position {
            key: match &key.value {
                KeyValue::Text(text) => SortValue::text(text),
                KeyValue::Time(time_ms) => SortValue::Time(*time_ms),
                KeyValue::Null => SortValue::Null,
            },
            user_id: key.user_id.to_string(),
            organization_id: key.organization_id.to_string(),
        });
        Page { limit, after }
    }

    /// All rows, page by page, reading what is missing.
    fn walk(listing: &mut Listing, truth: &[Assignment], limit: usize) -> Vec<Assignment> {
        let mut walked: Vec<Assignment> = Vec::new();
        loop {
            let after = walked.last().map(|row| RowKey::of(row, listing.sort.key));
            let page = page(limit, after.as_ref());
            let mut rows = listing.page(&page).unwrap_or_else(|users| {
                let users: HashSet<String> = users.into_iter().collect();
                listing.update(&users, truth.iter().filter(|row| users.contains(&row.user_id)).cloned().collect());
                listing.page(&page).unwrap()
            });
            let is_last = rows.len() <= limit;
            rows.truncate(limit);
            walked.extend(rows);
            if is_last {
                return walked;
            }
        }
    }

    #[test]
    fn a_listing_that_is_brought_up_is_one_made_anew() {
        let mut random = Arbitrary(7);
        let users: Vec<String> = (0..40).map(|user| format!("u{user}")).collect();
        for (key, descending, is_whole) in
            SortKey::ALL.into_iter().flat_map(|key| [(key, false, true), (key, true, true), (key, true, false)])
        {
            let sort = Sort { key, descending };
            let mut truth = rows_of(&mut random, &users);
            let of = |row: &Assignment| {
                let value = RowKey::of(row, key).value;
                places(is_whole).key(key, &row.user_id, &row.organization_id, value)
            };
            let mut listing = Listing::new(sort, truth.iter().filter_map(of).collect(), places(is_whole));
            for limit in [1, 7, 1_000, 3] {
                let expected = naive(&truth, sort, is_whole);
                assert_eq!(listing.total(), expected.len() as u64);
                assert_eq!(walk(&mut listing, &truth, limit), expected, "{sort:?} by {limit}");
                let touched: HashSet<String> =
                    users.iter().filter(|_| random.random_range(0..5) == 0).cloned().collect();
                let anew = rows_of(&mut random, &touched.iter().cloned().collect::<Vec<_>>());
                truth.retain(|row| !touched.contains(&row.user_id));
                truth.extend(anew.iter().cloned());
                listing.update(&touched, anew);
                let keys: usize = listing.keys.iter().map(RowKey::bytes).sum();
                assert_eq!(listing.bytes, listing.places.bytes() + keys);
                assert_eq!(listing.shown_rows, listing.shown.values().map(Vec::len).sum::<usize>());
            }
        }
    }

    #[test]
    fn rows_off_the_page_are_forgotten_when_they_are_many() {
        let mut random = Arbitrary(8);
        let users: Vec<String> = (0..SHOWN_ROWS_MAX).map(|user| format!("u{user:05}")).collect();
        let rows = rows_of(&mut random, &users);
        let mut listing = Listing::new(Sort { key: SortKey::User, descending: false }, Vec::new(), places(true));
        listing.update(&users.iter().cloned().collect(), rows);
        let first = page(10, None);
        let shown = listing.page(&first).unwrap();
        assert_eq!(shown.len(), 11);
        listing.forget_but(&first);
        assert_eq!(listing.page(&first).unwrap(), shown);
        assert!(listing.shown_rows < 100);
        assert!(listing.page(&page(100, None)).is_err());
    }
}
