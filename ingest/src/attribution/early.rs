//! Signals that came before their exposure.

use std::collections::{BTreeMap, HashMap, VecDeque};

use plaudit_event::Timestamp;

use super::shown::Reaction;
use crate::fingerprint::Fingerprint;

/// Signals without exposure, each until it is too old.
///
/// Two limits bound them: when signals wait for too many exposures, those that have waited longest are
/// dropped until the rest waits for few enough; of the signals that wait for one exposure the newest
/// stay. Whether a signal is dropped then follows from the signals after it alone, of which only those
/// of one `early_slack` matter, since it is too old after that. So the log can be read from the middle.
pub(super) struct Early {
    max_exposures: usize,
    max_signals: usize,
    /// By exposure, the oldest first, each with its number in the order of arrival.
    waiting: HashMap<Fingerprint, VecDeque<(u64, Reaction)>>,
    /// When each came and what it waits for, in the order of arrival.
    order: BTreeMap<u64, (Timestamp, Fingerprint)>,
    next: u64,
}

impl Early {
    pub(super) fn new(max_exposures: usize, max_signals: usize) -> Self {
        Self { max_exposures, max_signals, waiting: HashMap::new(), order: BTreeMap::new(), next: 0 }
    }

    /// Exposures that signals wait for.
    pub(super) fn num_exposures(&self) -> usize {
        self.waiting.len()
    }

    /// Keeps a signal about `exposure`; returns what was dropped for it.
    pub(super) fn keep(&mut self, appended: Timestamp, exposure: Fingerprint, reaction: Reaction) -> Dropped {
        let number = self.next;
        self.next += 1;
        self.order.insert(number, (appended, exposure));
        let mut dropped = Dropped::default();
        let waiting = self.waiting.entry(exposure).or_default();
        waiting.push_back((number, reaction));
        if waiting.len() > self.max_signals
            && let Some((oldest, _)) = waiting.pop_front()
        {
            self.order.remove(&oldest);
            dropped.over_limit += 1;
        }
        while self.waiting.len() > self.max_exposures && self.drop_oldest() {
            dropped.orphans += 1;
        }
        dropped
    }

    /// The signals that wait for `exposure`, in the order of arrival.
    pub(super) fn take(&mut self, exposure: Fingerprint) -> impl Iterator<Item = Reaction> {
        let waiting = self.waiting.remove(&exposure).unwrap_or_default();
        for (number, _) in &waiting {
            self.order.remove(number);
        }
        waiting.into_iter().map(|(_, reaction)| reaction)
    }

    /// Drops the signals that came before `oldest`; returns their number.
    pub(super) fn expire(&mut self, oldest: Timestamp) -> u64 {
        let mut count = 0;
        while self.order.first_key_value().is_some_and(|(_, (appended, _))| *appended < oldest) {
            count += u64::from(self.drop_oldest());
        }
        count
    }

    fn drop_oldest(&mut self) -> bool {
        let Some((_, (_, exposure))) = self.order.pop_first() else { return false };
        if let Some(waiting) = self.waiting.get_mut(&exposure) {
            waiting.pop_front();
            if waiting.is_empty() {
                self.waiting.remove(&exposure);
            }
        }
        true
    }
}

/// How many signals were dropped to keep another.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    /// Their exposure may never come.
    pub(super) orphans: u64,
    /// Too many waited for one exposure.
    pub(super) over_limit: u64,
}
