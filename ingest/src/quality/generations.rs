//! A map that never holds more than so many entries.

use std::collections::HashMap;

use crate::fingerprint::Fingerprint;

/// The newest entries, by when they were last looked at.
///
/// Two generations, each of half the capacity; when the younger is full, the older is forgotten. Of the
/// entries that were looked at last, `capacity / 2` are there at least.
pub(super) struct Generations<V> {
    half: usize,
    younger: HashMap<Fingerprint, V>,
    older: HashMap<Fingerprint, V>,
}

impl<V> Generations<V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { half: (capacity / 2).max(1), younger: HashMap::new(), older: HashMap::new() }
    }

    pub(super) fn get_mut(&mut self, key: Fingerprint) -> Option<&mut V> {
        if let Some(value) = self.older.remove(&key) {
            self.insert(key, value);
        }
        self.younger.get_mut(&key)
    }

    pub(super) fn get_or_insert_with(&mut self, key: Fingerprint, make: impl FnOnce() -> V) -> &mut V {
        if self.get_mut(key).is_none() {
            self.insert(key, make());
        }
        self.younger.get_mut(&key).expect("it was just put there")
    }

    pub(super) fn insert(&mut self, key: Fingerprint, value: V) {
        if self.younger.len() >= self.half && !self.younger.contains_key(&key) {
            self.older = std::mem::take(&mut self.younger);
        }
        self.older.remove(&key);
        self.younger.insert(key, value);
    }

    pub(super) fn remove(&mut self, key: Fingerprint) -> Option<V> {
        self.younger.remove(&key).or_else(|| self.older.remove(&key))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.younger.len() + self.older.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entries_looked_at_last_stay_and_memory_is_bounded() {
        let key = |number: u32| Fingerprint::of(&number.to_le_bytes());
        let mut map = Generations::new(10);
        for number in 0..1_000 {
            *map.get_or_insert_with(key(number), || 0) = number;
            assert!(map.len() <= 10);
            assert_eq!(map.get_mut(key(0)).copied(), Some(0), "looked at all the time");
        }
        assert_eq!(map.get_mut(key(999)).copied(), Some(999));
        assert_eq!(map.get_mut(key(900)), None);
        assert_eq!((map.remove(key(999)), map.remove(key(999))), (Some(999), None));
    }
}
