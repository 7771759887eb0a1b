//! A set of users by their keys.

/// Keys of users, as they were added; sorted where they are compared.
#[derive(Clone, Debug, Default)]
pub struct Members {
    keys: Vec<u64>,
    /// So many at the start are sorted, each once.
    sorted: usize,
}

impl Members {
    /// From keys in any order.
    pub fn new(keys: Vec<u64>) -> Self {
        let mut members = Self { keys, sorted: 0 };
        members.sort();
        members
    }

    /// Adds keys; returns by how much the memory has grown, bytes.
    pub fn extend(&mut self, keys: &[u64]) -> usize {
        let before = self.keys.capacity();
        self.keys.extend_from_slice(keys);
        if self.keys.len() > 2 * self.sorted + 64 {
            self.sort();
        }
        self.keys.capacity().saturating_sub(before) * size_of::<u64>()
    }

    /// Puts the keys in order, each once.
    pub fn sort(&mut self) {
        if self.sorted < self.keys.len() {
            self.keys.sort_unstable();
            self.keys.dedup();
            self.sorted = self.keys.len();
        }
    }

    /// The keys, ascending; [`sort`](Self::sort) was called before.
    pub fn keys(&self) -> &[u64] {
        debug_assert_eq!(self.sorted, self.keys.len(), "keys are sorted before they are compared");
        &self.keys
    }

    /// The keys that `other` lacks.
    pub fn without(&self, other: &Self) -> Vec<u64> {
        let lacks = |key: &&u64| other.keys().binary_search(key).is_err();
        self.keys().iter().filter(lacks).copied().collect()
    }
}

impl PartialEq for Members {
    fn eq(&self, other: &Self) -> bool {
        self.keys() == other.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_each_key_once() {
        let mut set = Members::new(vec![5, 1, 5]);
        set.extend(&[9, 1, 2]);
        set.sort();
        assert_eq!(set.keys(), [1, 2, 5, 9]);
        assert_eq!(set.without(&Members::new(vec![2, 9])), [1, 5]);
    }
}
