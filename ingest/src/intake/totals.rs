//! The sums over all outcomes.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::quality::Hits;
use crate::{Outcome, metrics};

/// How many events met which fate since the start:
/// `received = accepted + duplicate + rejected + quarantined + sampled + unavailable`, once nothing is in flight,
/// whether or not the callers have waited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Events handed in.
    pub received: u64,
    /// Made durable.
    pub accepted: u64,
    /// Durable before.
    pub duplicate: u64,
    /// Refused for good.
    pub rejected: u64,
    /// Kept to be sent again.
    pub quarantined: u64,
    /// Left out, as the configuration asks.
    pub sampled: u64,
    /// Handed back because the log could not be written, or because too much was in flight.
    pub unavailable: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    received: AtomicU64,
    accepted: AtomicU64,
    duplicate: AtomicU64,
    rejected: AtomicU64,
    quarantined: AtomicU64,
    sampled: AtomicU64,
    unavailable: AtomicU64,
}

impl Counters {
    pub(super) fn count_received(&self, count: usize) {
        self.received.fetch_add(count as u64, Ordering::Relaxed);
        metrics::intake_received(count);
    }

    pub(super) fn count_unavailable(&self, count: usize) {
        self.unavailable.fetch_add(count as u64, Ordering::Relaxed);
        metrics::intake_outcome("unavailable", "", count);
    }

    pub(super) fn count_outcomes(&self, outcomes: &[Outcome]) {
        let (mut accepted, mut duplicate, mut sampled) = (0, 0, 0);
        for outcome in outcomes {
            match outcome {
                Outcome::Accepted => accepted += 1,
                Outcome::Duplicate => duplicate += 1,
                Outcome::Sampled => sampled += 1,
                Outcome::Rejected(refusal) => {
                    self.rejected.fetch_add(1, Ordering::Relaxed);
                    metrics::intake_outcome("rejected", refusal.reason.as_str(), 1);
                }
                Outcome::Quarantined(refusal) => {
                    self.quarantined.fetch_add(1, Ordering::Relaxed);
                    metrics::intake_outcome("quarantined", refusal.reason.as_str(), 1);
                }
            }
        }
        self.accepted.fetch_add(accepted as u64, Ordering::Relaxed);
        self.duplicate.fetch_add(duplicate as u64, Ordering::Relaxed);
        self.sampled.fetch_add(sampled as u64, Ordering::Relaxed);
        metrics::intake_outcome("accepted", "", accepted);
        metrics::intake_outcome("sampled", "", sampled);
        metrics::intake_outcome("duplicate", "", duplicate);
    }

    pub(super) fn read(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            received: read(&self.received),
            accepted: read(&self.accepted),
            duplicate: read(&self.duplicate),
            rejected: read(&self.rejected),
            quarantined: read(&self.quarantined),
            sampled: read(&self.sampled),
            unavailable: read(&self.unavailable),
        }
    }
}

/// How often each rule of redaction was met.
pub(super) struct Redactions(Vec<(String, AtomicU64)>);

impl Redactions {
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        Self(names.map(|name| (name.to_owned(), AtomicU64::new(0))).collect())
    }

    pub(super) fn count(&self, hits: &Hits) {
        for (rule, count) in hits.iter() {
            let (name, counter) = &self.0[rule];
            counter.fetch_add(count, Ordering::Relaxed);
            metrics::redactions(name, count);
        }
    }

    pub(super) fn read(&self) -> Vec<(String, u64)> {
        self.0.iter().map(|(name, counter)| (name.clone(), counter.load(Ordering::Relaxed))).collect()
    }
}
