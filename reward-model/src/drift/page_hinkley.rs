//! The Page-Hinkley test: how far a cumulated deviation from the mean has come from its extreme.
//!
//! Page, *Continuous Inspection Schemes* (Biometrika 1954), both directions, with a forgetting factor.

/// What a deviation must exceed to count.
const TOLERANCE: f64 = 0.005;
/// What is kept of the cumulated deviation with each value.
const KEPT: f64 = 0.9999;
/// Fewest values before a change is told.
const FEWEST: f64 = 30.0;

/// A running test on a stream of values.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct PageHinkley {
    count: f64,
    mean: f64,
    rise: f64,
    fall: f64,
    lowest_rise: f64,
    highest_fall: f64,
}

impl PageHinkley {
    /// Takes a value. Whether the mean has changed by more than `threshold`, cumulated; then the test starts again.
    pub(crate) fn update(&mut self, value: f64, threshold: f64) -> bool {
        if self.count == 0.0 {
            (self.lowest_rise, self.highest_fall) = (f64::INFINITY, f64::NEG_INFINITY);
        }
        self.count += 1.0;
        self.mean += (value - self.mean) / self.count;
        let deviation = value - self.mean;
        self.rise = KEPT * self.rise + deviation - TOLERANCE;
        self.fall = KEPT * self.fall + deviation + TOLERANCE;
        self.lowest_rise = self.lowest_rise.min(self.rise);
        self.highest_fall = self.highest_fall.max(self.fall);
        let furthest = (self.rise - self.lowest_rise).max(self.highest_fall - self.fall);
        let is_change = self.count >= FEWEST && furthest > threshold;
        if is_change {
            *self = Self::default();
        }
        is_change
    }

    pub(super) const fn to_array(self) -> [f64; 6] {
        [self.count, self.mean, self.rise, self.fall, self.lowest_rise, self.highest_fall]
    }

    pub(super) const fn of_array([count, mean, rise, fall, lowest_rise, highest_fall]: [f64; 6]) -> Self {
        Self { count, mean, rise, fall, lowest_rise, highest_fall }
    }
}
