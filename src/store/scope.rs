//! Which organizations of an account a query counts.

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
