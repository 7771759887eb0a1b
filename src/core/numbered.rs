//! Values by identifier, each with a number, in one piece of memory.
//!
//! A map that holds large values itself spreads them over up to twice the memory, and a lookup
//! waits for the processor's cache twice: for the map's bytes, and for the value. Here the map
//! holds numbers alone, small enough to stay in the cache.

use hashbrown::{DefaultHashBuilder, Equivalent as _, HashTable};
use std::hash::BuildHasher as _;

use super::id::{Id, IdRef};
use super::prefetch::prefetch;

/// A value that has an identifier, which never changes.
pub trait Identified {
    /// The identifier.
    fn id(&self) -> &Id;
}

/// Values by identifier. Numbers count from 0.
#[derive(Debug)]
pub struct Numbered<T> {
    hasher: DefaultHashBuilder,
    numbers: HashTable<u32>,
    values: Vec<T>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            numbers: HashTable::new(),
            values: Vec::new(),
        }
    }
}

impl<T: Identified> Numbered<T> {
    /// The number of a value; stable until [`retain`](Self::retain).
    pub fn number(&self, id: &IdRef<'_>) -> Option<u32> {
        let is_of_id = |number: &u32| id.equivalent(self.values[*number as usize].id());
        self.numbers.find(self.hasher.hash_one(id), is_of_id).copied()
    }

    /// Brings what [`number`](Self::number) will read into the processor's cache.
    pub fn prefetch(&self, id: &IdRef<'_>) {
        let bring = |number: &u32| {
            prefetch(&self.values[*number as usize]);
            true
        };
        self.numbers.find(self.hasher.hash_one(id), bring);
    }

    /// Adds a value whose identifier has none, and returns its number.
    ///
    /// # Panics
    /// With 2^32 values, which take more memory than any machine has.
    pub fn insert(&mut self, value: T) -> u32 {
        let number = u32::try_from(self.values.len()).expect("fewer values than 2^32");
        let hash = self.hasher.hash_one(value.id());
        self.values.push(value);
        let (hasher, values) = (&self.hasher, &self.values);
        let hash_of = |number: &u32| hasher.hash_one(values[*number as usize].id());
        self.numbers.insert_unique(hash, number, hash_of);
        number
    }

    /// The value with that number.
    ///
    /// # Panics
    /// If no value has it.
    pub fn get_mut(&mut self, number: u32) -> &mut T {
        &mut self.values[number as usize]
    }

    /// All values, by number.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// All values, by number.
    pub fn values_mut(&mut self) -> &mut [T] {
        &mut self.values
    }

    /// Keeps the values of which this holds. Numbers are given anew if one goes.
    pub fn retain(&mut self, stays: impl FnMut(&T) -> bool) {
        let count = self.values.len();
        self.values.retain(stays);
        if self.values.len() == count {
            return;
        }
        self.values.shrink_to(self.values.len() * 2);
        self.numbers = HashTable::with_capacity(self.values.len());
        for (number, value) in (0..).zip(&self.values) {
            let hash = self.hasher.hash_one(value.id());
            let (hasher, values) = (&self.hasher, &self.values);
            let hash_of = |number: &u32| hasher.hash_one(values[*number as usize].id());
            self.numbers.insert_unique(hash, number, hash_of);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Identified for Id {
        fn id(&self) -> &Id {
            self
        }
    }

    #[test]
    fn values_are_found_by_both_kinds_of_identifiers_and_keep_their_numbers() {
        let mut values = Numbered::default();
        let ids = |count| (0..count).flat_map(|n: u64| [n.to_string(), format!("user-{n}")]);
        for (number, id) in (0..).zip(ids(5_000)) {
            assert_eq!(values.number(&IdRef::from_text(&*id)), None);
            assert_eq!(values.insert(Id::from_text(&id)), number);
        }
        for (number, id) in (0..).zip(ids(5_000)) {
            assert_eq!(values.number(&IdRef::from_text(id)), Some(number));
        }
        assert_eq!(values.number(&IdRef::from_text("user-5000")), None);
    }

    #[test]
    fn what_is_kept_is_found_and_what_goes_is_not() {
        let mut values = Numbered::default();
        for number in 0..10_000 {
            values.insert(Id::Number(number));
        }
        let stays = |id: &Id| matches!(id, Id::Number(number) if number % 7 == 0);
        values.retain(stays);
        values.retain(stays);
        for number in 0..10_000 {
            let id = Id::Number(number);
            let found = values.number(&id.as_ref());
            assert_eq!(found.is_some(), stays(&id));
            if let Some(found) = found {
                assert_eq!(*values.get_mut(found), id);
            }
        }
        assert_eq!(values.insert(Id::Number(1)) as usize, values.values().len() - 1);
    }
}
