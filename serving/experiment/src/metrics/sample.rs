//! A bounded sample of units that shards can merge.

use std::collections::BTreeMap;

use plaudit_event::Timestamp;
use serde::{Deserialize, Serialize};

/// Most single values kept of a unit.
const MAX_VALUES: usize = 64;

/// One unit of a sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sampled {
    /// When it entered.
    pub first: Timestamp,
    /// Its value.
    pub value: f64,
    /// Its covariate.
    pub before: f64,
    /// Its single values, at most 64.
    pub events: Vec<f64>,
}

/// The units with the lowest hashes: a uniform sample without replacement, the same whatever the order and the
/// shards, and all units as long as there are no more than the capacity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnitSample {
    capacity: usize,
    seen: u64,
    units: BTreeMap<u64, Sampled>,
}

impl UnitSample {
    pub(super) const fn new(capacity: usize) -> Self {
        Self { capacity, seen: 0, units: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, hash: u64, mut unit: Sampled) {
        unit.events.truncate(MAX_VALUES);
        self.seen += 1;
        self.insert(hash, unit);
    }

    fn insert(&mut self, mut hash: u64, unit: Sampled) {
        // Two ids with one hash are two units.
        while self.units.contains_key(&hash) {
            hash = hash.wrapping_add(1);
        }
        self.units.insert(hash, unit);
        if self.units.len() > self.capacity {
            self.units.pop_last();
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.seen += other.seen;
        for (hash, unit) in &other.units {
            self.insert(*hash, unit.clone());
        }
    }

    /// The same, of `seen` units in all.
    pub(super) fn of(self, seen: u64) -> Self {
        Self { seen: seen.max(self.units.len() as u64), ..self }
    }

    /// Units that were offered.
    #[must_use]
    pub const fn seen(&self) -> u64 {
        self.seen
    }

    /// Whether all of them are here.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.seen == self.units.len() as u64
    }

    /// The units, by hash.
    pub fn units(&self) -> impl Iterator<Item = &Sampled> {
        self.units.values()
    }

    /// The units with their hashes.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, &Sampled)> {
        self.units.iter().map(|(hash, unit)| (*hash, unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_hashes_stay_whatever_the_shards() {
        let unit =
            |hash: u64| Sampled { first: Timestamp::from_millis(0), value: hash as f64, before: 0.0, events: vec![] };
        let of = |hashes: &[u64]| {
            let mut sample = UnitSample::new(3);
            for hash in hashes {
                sample.add(*hash, unit(*hash));
            }
            sample
        };
        let whole = of(&[9, 2, 7, 4, 1]);
        let (mut left, right) = (of(&[7, 9]), of(&[1, 4, 2]));
        left.merge(&right);
        assert_eq!(left, whole);
        assert_eq!(whole.units().map(|unit| unit.value).collect::<Vec<_>>(), [1.0, 2.0, 4.0]);
        assert!(!whole.is_whole() && whole.seen() == 5 && right.is_whole());
        // Two units of one hash are two.
        assert_eq!(of(&[6, 6]).units().count(), 2);
    }
}
