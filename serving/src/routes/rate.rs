//! How many requests a second somebody may send.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use plaudit_event::Timestamp;

/// A limit of requests a second; those of a second may come at once. The generic cell rate algorithm (ITU-T I.371,
/// annex A, virtual scheduling) in one number.
pub(super) struct Rate {
    /// Time that a request uses up, in microseconds, > 0.
    interval: i64,
    /// How far requests may run ahead of the clock.
    ahead: i64,
    /// When the next request is due.
    due: AtomicI64,
}

impl Rate {
    /// At most `per_second` requests in a second; no limit for 0.
    pub(super) fn new(per_second: u32) -> Option<Self> {
        let interval = 1_000_000_i64.checked_div(i64::from(per_second))?.max(1);
        let ahead = interval * (i64::from(per_second) - 1);
        Some(Self { interval, ahead, due: AtomicI64::new(i64::MIN) })
    }

    /// Takes a request's place, or says how long to wait for one.
    pub(super) fn take(&self, now: Timestamp) -> Result<(), Duration> {
        let now = now.as_millis().saturating_mul(1_000);
        let mut wait = 0;
        let taken = self.due.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |due| {
            // What is further ahead than requests can bring it was left by a clock that has gone back since.
            let is_of_now = due > now && due - now <= self.ahead + self.interval;
            let start = if is_of_now { due } else { now };
            wait = start - now - self.ahead;
            (wait <= 0).then_some(start + self.interval)
        });
        taken.map(drop).map_err(|_| Duration::from_micros(wait.unsigned_abs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(rate: &Rate, tries: usize, now: i64) -> usize {
        (0..tries).filter(|_| rate.take(Timestamp::from_millis(now)).is_ok()).count()
    }

    #[test]
    fn a_second_has_so_many_places_and_they_come_back_one_by_one() {
        assert!(Rate::new(0).is_none());
        let rate = Rate::new(10).unwrap();
        assert_eq!(taken(&rate, 25, 5_000), 10);
        assert_eq!(rate.take(Timestamp::from_millis(5_000)), Err(Duration::from_millis(100)));
        assert_eq!(taken(&rate, 5, 5_099), 0);
        assert_eq!(taken(&rate, 5, 5_100), 1);
        assert_eq!(taken(&rate, 25, 5_600), 5);
        assert_eq!(taken(&rate, 25, 60_000), 10, "places are not saved up");
    }

    #[test]
    fn a_clock_that_goes_back_locks_nobody_out() {
        let rate = Rate::new(2).unwrap();
        assert_eq!(taken(&rate, 5, 3_600_000), 2);
        assert_eq!(taken(&rate, 5, 0), 2);
    }
}
