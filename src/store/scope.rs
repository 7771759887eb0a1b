//! Which organizations of an account a query counts.

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
