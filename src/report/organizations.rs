//! The organizations of an account.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use utoipa::ToSchema;

use super::id::AccountId;
use super::subject::Subject;
use crate::core::calendar::Zone;

/// One organization; also the form in which the store gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Organization)]
pub struct OrganizationEntry {
    /// The organization.
    #[schema(example = "42")]
    pub organization_id: String,
    /// Its name, the id until it has one.
    #[schema(example = "Quality")]
    pub name: String,
    /// The organization above it; null at top level.
    #[schema(example = "7", required = true)]
    pub parent_id: Option<String>,
    /// The names from the top of the tree down to it, joined by ` / `.
    #[schema(example = "Acme / Quality")]
    pub path: String,
}

/// Every organization that any event has named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrganizationsReport {
    #[serde(flatten)]
    pub subject: Subject,
    /// Ordered by path, then id.
    pub organizations: Vec<OrganizationEntry>,
}

/// Which organizations of an account a caller may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visible {
    /// All of them.
    All,
    /// These alone.
    Only(HashSet<String>),
}

impl OrganizationsReport {
    /// Puts the report together from all organizations of the account. Of those that the caller may
    /// not see, no name is in it: a path begins at the first organization on it from which on all
    /// are visible.
    pub fn assemble(
        account: &AccountId,
        zone: Zone,
        visible: &Visible,
        mut organizations: Vec<OrganizationEntry>,
    ) -> Self {
        if let Visible::Only(ids) = visible {
            organizations.retain(|organization| ids.contains(&organization.organization_id));
            let paths: Vec<String> = visible_paths(&organizations);
            for (organization, path) in organizations.iter_mut().zip(paths) {
                organization.path = path;
            }
        }
        organizations.sort_unstable_by(|a, b| {
            (&a.path, &a.organization_id).cmp(&(&b.path, &b.organization_id))
        });
        Self { subject: Subject::new(account, None, zone), organizations }
    }
}

/// The path of each organization through these alone. Like every path it ends where the tree would
/// repeat itself.
fn visible_paths(organizations: &[OrganizationEntry]) -> Vec<String> {
    let known: HashMap<&str, &OrganizationEntry> = organizations
        .iter()
        .map(|organization| (organization.organization_id.as_str(), organization))
        .collect();
    let path = |organization: &OrganizationEntry| {
        let mut names = vec![organization.name.as_str()];
        let mut seen = HashSet::from([organization.organization_id.as_str()]);
        let above = |organization: &OrganizationEntry| {
            known.get(organization.parent_id.as_deref()?).copied()
        };
        let mut next = above(organization);
        while let Some(parent) = next.filter(|parent| seen.insert(&parent.organization_id)) {
            names.push(&parent.name);
            next = above(parent);
        }
        names.reverse();
        names.join(" / ")
    };
    organizations.iter().map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn organization(id: &str, parent: Option<&str>, path: &str) -> OrganizationEntry {
        OrganizationEntry {
            organization_id: id.to_owned(),
            name: id.to_uppercase(),
            parent_id: parent.map(str::to_owned),
            path: path.to_owned(),
        }
    }

    #[test]
    fn names_of_others_are_not_on_a_path() {
        let all = vec![
            organization("a", None, "A"),
            organization("b", Some("a"), "A / B"),
            organization("c", Some("b"), "A / B / C"),
            organization("d", Some("c"), "A / B / C / D"),
            organization("x", Some("y"), "Y / X"),
            organization("y", Some("x"), "X / Y"),
        ];
        let check = |ids: &[&str], paths: &[&str]| {
            let visible = Visible::Only(ids.iter().map(|id| (*id).to_owned()).collect());
            let report =
                OrganizationsReport::assemble(&"acme".into(), Zone::UTC, &visible, all.clone());
            let found: Vec<_> = report
                .organizations
                .iter()
                .map(|organization| organization.path.as_str())
                .collect();
            assert_eq!(found, paths, "{ids:?}");
        };
        check(&["c", "d"], &["C", "C / D"]);
        check(&["a", "c", "d"], &["A", "C", "C / D"]);
        check(&["d", "b"], &["B", "D"]);
        check(&["x", "y"], &["X / Y", "Y / X"]);
        check(&["y"], &["Y"]);
        check(&[], &[]);
    }
}
