//! The memory of ids: recognises an event that was sent before.

use std::collections::HashMap;

use crate::erasure::Erasures;
use crate::fingerprint::Fingerprint;

/// What is known about an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing: it is now in flight, for the one who asked.
    Claimed,
    /// It is in flight for somebody else, who may fail: ask again when that is settled.
    InFlight,
    /// The same event is durable.
    Duplicate,
    /// Another event with this id is durable.
    Conflict,
}

/// Ids of durable events, and of events in flight.
///
/// Bounded: two generations, each of half the capacity; when the younger is full, the older is
/// forgotten. Of any run of events the newest `capacity / 2` are remembered at least. Events that
/// are forgotten here are still recognised by attribution within its windows, and by the store.
pub(super) struct Dedup {
    half: usize,
    younger: HashMap<Fingerprint, Fingerprint>,
    older: HashMap<Fingerprint, Fingerprint>,
    in_flight: HashMap<Fingerprint, Fingerprint>,
    /// What nothing may be about any more.
    pub(super) erased: Erasures,
}

impl Dedup {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            half: (capacity / 2).max(1),
            younger: HashMap::new(),
            older: HashMap::new(),
            in_flight: HashMap::new(),
            erased: Erasures::default(),
        }
    }

    /// Looks `id` up, and puts it in flight when it is unknown.
    pub(super) fn claim(&mut self, id: Fingerprint, content: Fingerprint) -> Known {
        if let Some(durable) = self.younger.get(&id).or_else(|| self.older.get(&id)) {
            return if *durable == content { Known::Duplicate } else { Known::Conflict };
        }
        if self.in_flight.contains_key(&id) {
            return Known::InFlight;
        }
        self.in_flight.insert(id, content);
        Known::Claimed
    }

    /// The claimed `id` did not become durable.
    pub(super) fn release(&mut self, id: Fingerprint) {
        self.in_flight.remove(&id);
    }

    /// The claimed `id` is durable.
    pub(super) fn settle(&mut self, id: Fingerprint) {
        if let Some(content) = self.in_flight.remove(&id) {
            self.remember(id, content);
        }
    }

    /// Notes a durable event.
    pub(super) fn remember(&mut self, id: Fingerprint, content: Fingerprint) {
        if self.younger.len() >= self.half {
            self.older = std::mem::take(&mut self.younger);
        }
        self.younger.insert(id, content);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> Fingerprint {
        Fingerprint::of(&number.to_le_bytes())
    }

    #[test]
    fn an_id_in_flight_is_neither_new_nor_a_duplicate() {
        let mut dedup = Dedup::new(10);
        assert_eq!(dedup.claim(id(1), id(100)), Known::Claimed);
        assert_eq!(dedup.claim(id(1), id(100)), Known::InFlight);
        dedup.release(id(1));
        assert_eq!(dedup.claim(id(1), id(100)), Known::Claimed);
        dedup.settle(id(1));
        assert_eq!(dedup.claim(id(1), id(100)), Known::Duplicate);
        assert_eq!(dedup.claim(id(1), id(200)), Known::Conflict);
    }

    #[test]
    fn the_newest_half_is_remembered_and_memory_is_bounded() {
        let mut dedup = Dedup::new(100);
        for number in 0..10_000 {
            dedup.remember(id(number), id(0));
            assert!(dedup.younger.len() + dedup.older.len() <= 100);
        }
        for number in 9_950..10_000 {
            assert_eq!(dedup.claim(id(number), id(0)), Known::Duplicate);
        }
        assert_eq!(dedup.claim(id(0), id(0)), Known::Claimed);
    }
}
