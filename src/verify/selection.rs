//! The accounts that one pass over the log folds.

use std::collections::BTreeSet;

use xxhash_rust::xxh3::xxh3_64;

/// Accounts by the hash of their id, and possibly by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Alone these, where any is named.
    pub accounts: Option<BTreeSet<String>>,
    /// The divisor of the hash, at least 1.
    pub divisor: u64,
    /// The remainder.
    pub remainder: u64,
}

impl Selection {
    /// All accounts, or these.
    pub fn new(accounts: Option<BTreeSet<String>>) -> Self {
        Self { accounts, divisor: 1, remainder: 0 }
    }

    /// Whether a record with this key belongs to it; a key is the id of its account.
    pub fn takes(&self, key: Option<&[u8]>) -> bool {
        let key = key.unwrap_or_default();
        if self.divisor > 1 && xxh3_64(key) % self.divisor != self.remainder {
            return false;
        }
        self.accounts.as_ref().is_none_or(|accounts| {
            std::str::from_utf8(key).is_ok_and(|account| accounts.contains(account))
        })
    }

    /// The same in two halves.
    pub fn halves(&self) -> [Self; 2] {
        let divisor = self.divisor * 2;
        [self.remainder, self.remainder + self.divisor].map(|remainder| Self {
            divisor,
            remainder,
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_share_out_every_key() {
        let whole = Selection::new(None);
        let [left, right] = whole.halves();
        let [left, middle] = left.halves();
        for number in 0..200 {
            let key = number.to_string();
            let takes = [&left, &middle, &right].map(|part| part.takes(Some(key.as_bytes())));
            assert_eq!(takes.iter().filter(|takes| **takes).count(), 1, "{key}");
        }
        assert!(whole.takes(None));
    }

    #[test]
    fn named_accounts_are_taken_alone() {
        let named = Selection::new(Some(BTreeSet::from(["acme".to_owned()])));
        assert!(named.takes(Some(b"acme")) && !named.takes(Some(b"acme2")) && !named.takes(None));
    }
}
