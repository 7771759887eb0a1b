//! Which organizations of an account a query counts.

use std::collections::HashMap;

use clickhouse::query::Query;

/// Bytes of ids that a parameter carries, at most. ClickHouse refuses a form field of more than 128
/// KiB (`http_max_field_value_size`); each byte of an id may become two.
const IDS_BYTES_MAX: usize = 48 * 1024;

/// Which organizations a query counts together.
#[derive(Clone, Debug)]
pub enum Scope<'a> {
    /// Everything of the account.
    Account,
    /// These organizations.
    Organizations(Vec<&'a str>),
}

/// Organizations that are compared, each with all below it.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    /// The organization of each series.
    pub heads: Vec<&'a str>,
    organizations: Vec<&'a str>,
    /// Of each of them, the series.
    indices: Vec<u32>,
}

impl<'a> Scope<'a> {
    /// Whether the query can name them.
    pub(super) fn fits(&self) -> bool {
        match self {
            Self::Account => true,
            Self::Organizations(ids) => fits(ids),
        }
    }
}

impl<'a> Series<'a> {
    /// The series of these organizations, each with its members. `None` where one query cannot name
    /// them all, or where an organization belongs to several, as in a circle.
    pub fn new(members: Vec<(&'a str, Vec<&'a str>)>) -> Option<Self> {
        let mut series = Self { heads: Vec::new(), organizations: Vec::new(), indices: Vec::new() };
        for (index, (head, ids)) in (0..).zip(members) {
            series.heads.push(head);
            series.indices.extend(ids.iter().map(|_| index));
            series.organizations.extend(ids);
        }
        let mut ids = series.organizations.clone();
        ids.sort_unstable();
        let is_of_one = ids.is_sorted_by(|a, b| a < b);
        (is_of_one && fits(&ids)).then_some(series)
    }

    pub(super) fn organizations(&self) -> &[&'a str] {
        &self.organizations
    }

    pub(super) fn indices(&self) -> &[u32] {
        &self.indices
    }
}

/// The organizations that a query covers.
#[derive(Clone, Debug)]
pub enum Who<'a> {
    /// The account, whatever organization its events named.
    Account,
    /// Each of the series.
    Series(Series<'a>),
}

impl<'a> Who<'a> {
    /// The scope as one series, which goes by the empty text; `None` where a query cannot name it.
    pub fn of(scope: &Scope<'a>) -> Option<Self> {
        match scope {
            Scope::Account => Some(Self::Account),
            Scope::Organizations(ids) => Series::new(vec![("", ids.clone())]).map(Self::Series),
        }
    }

    /// Bytes that two of them share only if their queries count the same organizations in the same
    /// series: each series with its members, whose order is of no matter.
    pub fn identity(&self) -> Vec<u8> {
        let Self::Series(series) = self else { return Vec::new() };
        let mut members: Vec<(u32, &str)> =
            series.indices.iter().copied().zip(series.organizations.iter().copied()).collect();
        members.sort_unstable();
        let ids: usize = series.heads.iter().chain(&series.organizations).map(|id| id.len()).sum();
        let count = series.heads.len() + members.len();
        let mut bytes = Vec::with_capacity(1 + ids + 8 * count);
        // Not even an empty list of series has the identity of the account.
        bytes.push(1);
        let mut push = |index: u32, id: &str| {
            bytes.extend(index.to_le_bytes());
            bytes.extend(u32::try_from(id.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend(id.as_bytes());
        };
        push(u32::try_from(series.heads.len()).unwrap_or(u32::MAX), "");
        (0..).zip(&series.heads).for_each(|(index, head)| push(index, head));
        members.into_iter().for_each(|(index, id)| push(index, id));
        bytes
    }

    /// How many organizations the query counts, of an account that has `of_account`.
    pub(super) fn organizations_of(&self, of_account: usize) -> usize {
        match self {
            Self::Account => of_account,
            Self::Series(series) => series.organizations.len(),
        }
    }

    /// The number of the series of each organization; empty where all are of the first one.
    pub(super) fn indices(&self) -> HashMap<&'a str, u32> {
        match self {
            Self::Series(series) if series.heads.len() > 1 => {
                let indices = series.indices.iter().copied();
                series.organizations.iter().copied().zip(indices).collect()
            }
            _ => HashMap::new(),
        }
    }

    /// Nothing can be told.
    pub(super) fn is_nobody(&self) -> bool {
        matches!(self, Self::Series(series) if series.organizations.is_empty())
    }

    /// The organization of the series of this number, empty where there is one series alone.
    pub(super) fn head(&self, index: u32) -> String {
        match self {
            Self::Account => String::new(),
            Self::Series(series) => {
                series.heads.get(index as usize).copied().unwrap_or_default().to_owned()
            }
        }
    }

    /// SQL for the number of the series of a row, by the column that names its organization.
    pub(super) fn index_of(&self, organization: &str) -> String {
        match self {
            Self::Series(series) if series.heads.len() > 1 => format!(
                "transform({organization}, {{organizations:Array(String)}}, \
                {{indices:Array(UInt32)}}, toUInt32(0))"
            ),
            _ => "toUInt32(0)".to_owned(),
        }
    }

    /// SQL that continues a condition on rows `s`.
    pub(super) fn filter(&self) -> &'static str {
        match self {
            Self::Account => "",
            Self::Series(_) => " AND s.organization_id IN {organizations:Array(String)}",
        }
    }

    /// The table of active users.
    pub(super) fn users_table(&self) -> &'static str {
        match self {
            Self::Account => "active_users_by_account_state",
            Self::Series(_) => "active_users_state",
        }
    }

    /// Binds what the pieces of SQL name.
    pub(super) fn bind(&self, query: Query) -> Query {
        match self {
            Self::Account => query,
            Self::Series(series) => query
                .param("organizations", series.organizations())
                .param("indices", series.indices()),
        }
    }
}

fn fits(ids: &[&str]) -> bool {
    ids.iter().map(|id| id.len() + 12).sum::<usize>() <= IDS_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_organizations_in_the_same_series_have_one_identity() {
        let identity = |members| Who::Series(Series::new(members).unwrap()).identity();
        let one = identity(vec![("a", vec!["a", "b"]), ("c", vec!["c"])]);
        assert_eq!(one, identity(vec![("a", vec!["b", "a"]), ("c", vec!["c"])]));
        let others = [
            Who::Account.identity(),
            identity(vec![]),
            identity(vec![("", vec!["a", "b", "c"])]),
            identity(vec![("a", vec!["a"]), ("c", vec!["b", "c"])]),
            identity(vec![("a", vec!["a", "b"]), ("d", vec!["c"])]),
            identity(vec![("a", vec!["a", "bc"]), ("c", vec![])]),
        ];
        for (index, other) in others.iter().enumerate() {
            assert_ne!(one, *other, "{index}");
            assert!(!others[index + 1..].contains(other), "{index}");
        }
    }

    #[test]
    fn an_organization_of_two_series_needs_another_query() {
        let series = Series::new(vec![("a", vec!["a", "b"]), ("c", vec!["c"])]).unwrap();
        assert_eq!(
            (series.organizations(), series.indices()),
            (&["a", "b", "c"][..], &[0, 0, 1][..])
        );
        assert!(Series::new(vec![("a", vec!["a", "c"]), ("c", vec!["c"])]).is_none());
        let long = "x".repeat(IDS_BYTES_MAX);
        assert!(Series::new(vec![("a", vec![long.as_str()])]).is_none());
        assert!(!Scope::Organizations(vec![long.as_str()]).fits());
    }
}
