//! How many signals one unit may send.

use plaudit_event::Timestamp;

use super::generations::Generations;
use crate::config::{RateCap, millis};
use crate::fingerprint::Fingerprint;

/// A bucket per unit that holds `signals` and fills up evenly, in `window` from empty to full.
///
/// It is kept as one number, the time at which it will be full again (the generic cell rate algorithm,
/// ITU-T I.371): a signal moves that on by `window / signals`, and is refused when it would then lie
/// further ahead than `window`. So a unit sends at most `signals` at once, and fewer than twice as many in
/// any `window`. Who has been forgotten starts with a full bucket.
pub(super) struct Rates {
    /// Microseconds that one signal costs.
    cost: i64,
    window: i64,
    full_at: Generations<i64>,
}

impl Rates {
    /// Nothing when there is no cap.
    pub(super) fn new(config: &RateCap) -> Option<Self> {
        let signals = i64::try_from(config.signals).unwrap_or(i64::MAX);
        if signals == 0 {
            return None;
        }
        let window = millis(config.window) * 1_000;
        Some(Self { cost: window / signals, window, full_at: Generations::new(config.max_units) })
    }

    /// Takes one signal of `key` that arrives `now`, if there is room for it.
    pub(super) fn admit(&mut self, key: Fingerprint, now: Timestamp) -> bool {
        let now = now.as_millis().saturating_mul(1_000);
        let full_at = self.full_at.get_or_insert_with(key, || now);
        let next = (*full_at).max(now).saturating_add(self.cost);
        let has_room = next.saturating_sub(now) <= self.window;
        if has_room {
            *full_at = next;
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(name: &str) -> Fingerprint {
        Fingerprint::of(name.as_bytes())
    }

    fn rates(signals: usize, max_units: usize) -> Rates {
        Rates::new(&RateCap { signals, window: Duration::from_secs(10), max_units }).unwrap()
    }

    fn admitted(rates: &mut Rates, name: &str, now: i64, tries: usize) -> usize {
        (0..tries).filter(|_| rates.admit(key(name), Timestamp::from_millis(now))).count()
    }

    #[test]
    fn as_many_as_allowed_pass_at_once_and_the_bucket_fills_evenly() {
        let mut rates = rates(5, 100);
        assert_eq!(admitted(&mut rates, "ada", 0, 9), 5);
        assert_eq!(admitted(&mut rates, "bob", 0, 9), 5, "each unit has its own");
        assert_eq!(admitted(&mut rates, "ada", 1_999, 9), 0);
        assert_eq!(admitted(&mut rates, "ada", 2_000, 9), 1);
        assert_eq!(admitted(&mut rates, "ada", 60_000, 9), 5, "never more than a full bucket");
        assert_eq!(admitted(&mut rates, "ada", 0, 9), 0, "a clock that goes back gives nothing");
    }

    #[test]
    fn fewer_than_twice_the_cap_pass_in_any_window() {
        let mut rates = rates(7, 100);
        let times: Vec<i64> = (0..60_000).step_by(10).filter(|now| admitted(&mut rates, "ada", *now, 1) == 1).collect();
        for (index, start) in times.iter().enumerate() {
            let within = times[index..].iter().filter(|time| **time < start + 10_000).count();
            assert!(within < 14, "{within} from {start}");
        }
        assert!(times.len() > 40, "and the rate is that of the cap: {}", times.len());
    }

    #[test]
    fn memory_is_bounded_and_who_is_forgotten_starts_afresh() {
        let mut rates = rates(1, 10);
        assert_eq!(admitted(&mut rates, "ada", 0, 2), 1);
        for number in 0..100 {
            admitted(&mut rates, &number.to_string(), 0, 1);
            assert!(rates.full_at.len() <= 10);
        }
        assert_eq!(admitted(&mut rates, "ada", 0, 2), 1);
        assert!(Rates::new(&RateCap::default()).is_none(), "off by default");
    }
}
