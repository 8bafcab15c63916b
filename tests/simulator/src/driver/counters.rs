//! Live counts of a run.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Live counts of a run, shared with whoever shows progress.
#[derive(Debug, Default)]
pub struct Counters {
    pub(crate) requests: Counter,
    pub(crate) answers: Counter,
    pub(crate) failures: Counter,
    pub(crate) retries: Counter,
    pub(crate) planned: Counter,
    pub(crate) sent: Counter,
    pub(crate) resent: Counter,
    pub(crate) accepted: Counter,
    pub(crate) duplicate: Counter,
    pub(crate) rejected: Counter,
    pub(crate) quarantined: Counter,
    pub(crate) lost: Counter,
}

/// Counts at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Requests for an answer or a choice.
    pub requests: u64,
    /// Requests answered.
    pub answers: u64,
    /// Requests without an answer after all attempts.
    pub failures: u64,
    /// Attempts after the first, of requests and of batches of signals.
    pub retries: u64,
    /// Signals planned, without the second sending of duplicates.
    pub planned: u64,
    /// Signals sent in batches that were answered, including duplicates.
    pub sent: u64,
    /// Signals sent a second time on purpose.
    pub resent: u64,
    /// Outcomes `accepted`.
    pub accepted: u64,
    /// Outcomes `duplicate`.
    pub duplicate: u64,
    /// Outcomes `rejected`.
    pub rejected: u64,
    /// Outcomes `quarantined`.
    pub quarantined: u64,
    /// Signals of batches without an answer after all attempts.
    pub lost: u64,
}

impl Counters {
    /// The counts now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            requests: self.requests.get(),
            answers: self.answers.get(),
            failures: self.failures.get(),
            retries: self.retries.get(),
            planned: self.planned.get(),
            sent: self.sent.get(),
            resent: self.resent.get(),
            accepted: self.accepted.get(),
            duplicate: self.duplicate.get(),
            rejected: self.rejected.get(),
            quarantined: self.quarantined.get(),
            lost: self.lost.get(),
        }
    }
}
