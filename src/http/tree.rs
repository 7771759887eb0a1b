//! Which organizations a report is about, kept for as long as nothing in the account's directory changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::problem::Problem;
use super::state::ApiState;
use super::tracked::Version;
use crate::store::TreeHash;

/// Organizations that are kept, at most, over all trees; with more all trees are dropped.
const KEPT_MAX: usize = 500_000;

/// The organizations of a report that is not about a whole account, or that compares organizations.
#[derive(Debug)]
pub(super) struct Tree {
    /// Tells the account's tree from any other.
    pub(super) hash: TreeHash,
    /// The ids of the organizations that are compared, ascending; one empty text where they are taken together.
    pub(super) series: Vec<String>,
    /// By organization, the series that count it; in a circle it may be several.
    members: HashMap<String, Vec<usize>>,
}

impl Tree {
    /// The series that count the organization.
    pub(super) fn series_of(&self, organization: &str) -> &[usize] {
        self.members.get(organization).map_or(&[], Vec::as_slice)
    }

    /// Whether no series counts anything.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// A tree of these series and of pairs of organization and series.
    #[cfg(test)]
    pub(super) fn of(series: &[&str], members: &[(&str, &str)]) -> Self {
        let mut tree = Self {
            hash: TreeHash::default(),
            series: series.iter().map(|&id| id.to_owned()).collect(),
            members: HashMap::new(),
        };
        for (organization, id) in members {
            let index = series.iter().position(|other| other == id).unwrap();
            tree.members.entry((*organization).to_owned()).or_default().push(index);
        }
        tree
    }

    /// The organizations that any series counts; none where there are more than that.
    pub(super) fn organizations(&self, most: usize) -> Vec<String> {
        if self.members.len() > most { Vec::new() } else { self.members.keys().cloned().collect() }
    }
}

/// Account, organization, and whether its children are compared.
type Place = (String, Option<String>, bool);

/// What is kept.
#[derive(Default)]
pub(super) struct TreeCache {
    kept: Mutex<KeptTrees>,
}

#[derive(Default)]
struct KeptTrees {
    /// Each with the version of the directory before which it was not read.
    trees: HashMap<Place, (u64, Arc<Tree>)>,
    organizations: usize,
}

impl TreeCache {
    fn get(&self, place: &Place, directory: u64) -> Option<Arc<Tree>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (version, tree) = kept.trees.get(place)?;
        (*version >= directory).then(|| Arc::clone(tree))
    }

    fn keep(&self, place: Place, directory: u64, tree: &Arc<Tree>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.organizations + tree.members.len() > KEPT_MAX {
            *kept = KeptTrees::default();
        }
        kept.organizations += tree.members.len();
        if let Some((_, before)) = kept.trees.insert(place, (directory, Arc::clone(tree))) {
            kept.organizations -= before.members.len();
        }
    }
}

impl ApiState {
    /// The organization with all below it, or each of its direct children (of the top-level organizations) with all below
    /// them. The version was read before.
    pub(super) async fn tree(
        &self,
        account: &str,
        organization: Option<&str>,
        by_organization: bool,
        version: Option<Version>,
    ) -> Result<Arc<Tree>, Problem> {
        let place = (account.to_owned(), organization.map(str::to_owned), by_organization);
        if let Some(version) = version
            && let Some(tree) = self.polls().trees.get(&place, version.directory)
        {
            return Ok(tree);
        }
        let tree = Arc::new(self.read_tree(account, organization, by_organization).await?);
        if let Some(version) = version {
            self.polls().trees.keep(place, version.directory, &tree);
        }
        Ok(tree)
    }

    async fn read_tree(
        &self,
        account: &str,
        organization: Option<&str>,
        by_organization: bool,
    ) -> Result<Tree, Problem> {
        let (mut children, mut hash) = self.store().child_organizations(account, organization).await?;
        loop {
            let rows = self.store().member_organizations(account, organization, by_organization).await?;
            let (now, hash_now) = self.store().child_organizations(account, organization).await?;
            if hash_now != hash {
                // It changed meanwhile.
                (children, hash) = (now, hash_now);
                continue;
            }
            children.sort_unstable();
            let series = if by_organization { children } else { vec![String::new()] };
            let mut members: HashMap<String, Vec<usize>> = HashMap::new();
            for (child, organization) in rows {
                if let Ok(index) = series.binary_search(&child) {
                    members.entry(organization).or_default().push(index);
                }
            }
            return Ok(Tree { hash, series, members });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_kept_until_the_directory_changes() {
        let cache = TreeCache::default();
        let place: Place = ("a".to_owned(), None, true);
        let tree = Arc::new(Tree::of(&["o", "q"], &[("o", "o"), ("p", "o"), ("p", "q")]));
        cache.keep(place.clone(), 5, &tree);
        cache.keep(place.clone(), 6, &tree);
        assert_eq!(cache.kept.lock().unwrap().organizations, 2);
        assert!(cache.get(&place, 6).is_some());
        assert!(cache.get(&place, 7).is_none());
        assert!(cache.get(&("a".to_owned(), None, false), 0).is_none());
        assert_eq!((tree.series_of("p"), tree.series_of("x")), (&[0, 1][..], &[][..]));
    }
}
