//! The organizations of an account as a tree: what lies below what, and under which path.
//!
//! Parents are what events said, so there may be circles and parents that nobody has named. A walk
//! upwards ends before it repeats itself; an organization lies below all that its walk meets, in a
//! circle also below its own children.

use std::collections::{HashMap, HashSet};

use super::organizations::OrganizationEntry;

/// An organization, as its events describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The organization.
    pub id: String,
    /// Its name, the id until it has one.
    pub name: String,
    /// The organization above it, itself excepted; `None` at top level.
    pub parent: Option<String>,
}

/// All organizations of an account.
#[derive(Clone, Debug, Default)]
pub struct OrganizationTree {
    nodes: Vec<Node>,
    by_id: HashMap<String, usize>,
    /// By parent, which need not be among the nodes; under the empty text the top level. Ascending
    /// by id.
    below: HashMap<String, Vec<usize>>,
}

impl OrganizationTree {
    /// A tree of these organizations, each of which is there once.
    pub fn new(mut nodes: Vec<Node>) -> Self {
        nodes.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        let by_id =
            nodes.iter().enumerate().map(|(index, node)| (node.id.clone(), index)).collect();
        let mut below: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, node) in nodes.iter().enumerate() {
            below.entry(node.parent.clone().unwrap_or_default()).or_default().push(index);
        }
        Self { nodes, by_id, below }
    }

    /// The direct children of the organization, or the top-level organizations, ascending by id.
    pub fn children(&self, organization: Option<&str>) -> Vec<&str> {
        let below = self.below.get(organization.unwrap_or_default());
        below.into_iter().flatten().map(|&index| self.nodes[index].id.as_str()).collect()
    }

    /// The organization and all below it, in no order; empty where neither it nor any below it is
    /// known.
    pub fn subtree(&self, organization: &str) -> Vec<&str> {
        let mut seen = HashSet::new();
        let mut open = vec![organization];
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                open.extend(self.children(Some(id)));
            }
        }
        seen.into_iter()
            .filter_map(|id| self.by_id.get_key_value(id))
            .map(|(id, _)| id.as_str())
            .collect()
    }

    /// Number of the organizations.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The ids of all organizations, ascending.
    pub fn ids(&self) -> Vec<&str> {
        self.nodes.iter().map(|node| node.id.as_str()).collect()
    }

    /// Every organization with its path: the names from the top of the tree down to it, joined by `
    /// / `.
    pub fn organizations(&self) -> Vec<OrganizationEntry> {
        let organization = |node: &Node| OrganizationEntry {
            organization_id: node.id.clone(),
            name: node.name.clone(),
            parent_id: node.parent.clone(),
            path: self.path_of(node),
        };
        self.nodes.iter().map(organization).collect()
    }

    /// The path of the organization, `None` where it is not known.
    pub fn path(&self, organization: &str) -> Option<String> {
        self.by_id.get(organization).map(|&index| self.path_of(&self.nodes[index]))
    }

    fn path_of<'t>(&'t self, node: &'t Node) -> String {
        let mut names = vec![node.name.as_str()];
        let mut seen = HashSet::from([node.id.as_str()]);
        let mut above = node.parent.as_deref();
        while let Some(id) = above.filter(|id| seen.insert(id)) {
            let parent = self.by_id.get(id).map(|&index| &self.nodes[index]);
            names.push(parent.map_or(id, |parent| &parent.name));
            above = parent.and_then(|parent| parent.parent.as_deref());
        }
        names.reverse();
        names.join(" / ")
    }

    /// Bytes that it takes, about.
    pub fn bytes(&self) -> usize {
        let text = |node: &Node| {
            3 * node.id.len() + node.name.len() + 3 * node.parent.as_ref().map_or(0, String::len)
        };
        self.nodes.iter().map(|node| 200 + text(node)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(links: &[(&str, &str)]) -> OrganizationTree {
        let node = |&(id, parent): &(&str, &str)| Node {
            id: id.to_owned(),
            name: id.to_uppercase(),
            parent: Some(parent.to_owned()).filter(|parent| !parent.is_empty()),
        };
        OrganizationTree::new(links.iter().map(node).collect())
    }

    fn sorted(mut ids: Vec<&str>) -> Vec<&str> {
        ids.sort_unstable();
        ids
    }

    #[test]
    fn an_organization_holds_all_below_it() {
        let tree =
            tree(&[("root", ""), ("b", "root"), ("a", "root"), ("leaf", "a"), ("other", "")]);
        assert_eq!(tree.children(None), ["other", "root"]);
        assert_eq!(tree.children(Some("root")), ["a", "b"]);
        assert_eq!(sorted(tree.subtree("root")), ["a", "b", "leaf", "root"]);
        assert_eq!(tree.subtree("leaf"), ["leaf"]);
        assert_eq!(tree.subtree("unknown"), [""; 0]);
        assert_eq!(tree.path("leaf").as_deref(), Some("ROOT / A / LEAF"));
    }

    #[test]
    fn a_circle_ends_before_it_repeats_itself() {
        let tree = tree(&[("a", "c"), ("b", "a"), ("c", "b"), ("below", "a")]);
        assert_eq!(tree.children(None), [""; 0]);
        assert_eq!(sorted(tree.subtree("b")), ["a", "b", "below", "c"]);
        assert_eq!(tree.path("below").as_deref(), Some("B / C / A / BELOW"));
    }

    #[test]
    fn a_parent_that_nobody_has_named_stands_in_paths_by_its_id() {
        let tree = tree(&[("orphan", "nobody"), ("below", "orphan")]);
        assert_eq!(tree.path("below").as_deref(), Some("nobody / ORPHAN / BELOW"));
        assert_eq!(sorted(tree.subtree("nobody")), ["below", "orphan"]);
        assert_eq!(tree.path("nobody"), None);
    }
}
