//! Quantiles of events, such as the ninth decile of latency, where units with many events are randomised.

use super::special::normal_quantile;
use super::{Estimate, RatioMoments};

/// What is needed of one arm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClusteredQuantile {
    /// Number of events, ≥ 2.
    pub events: u64,
    /// Number of events from which the ends were read: smaller than `events` when they were sampled.
    pub sampled: u64,
    /// The probability of the quantile, in (0, 1).
    pub nu: f64,
    /// The quantile.
    pub quantile: f64,
    /// Quantiles at the lower and upper end of the interval of `nu` for independent events at `alpha`.
    pub ends: (f64, f64),
    /// Per unit: events not above the quantile, and events.
    pub below: RatioMoments,
}

impl ClusteredQuantile {
    /// Mean (the quantile) and variance per event, so that `variance / events` is the squared standard error.
    ///
    /// The density is read from the width of the interval (Deng, Knoblich & Lu 2018, section 4.3):
    /// `v = (n*/n)(n−1)((q_U − q_L)/(2z))²`, times the variance of the share below over units against that
    /// of independent events, `ν(1−ν)/n`. Nothing with fewer than two events or units.
    #[must_use]
    pub fn estimate(&self, alpha: f64) -> Option<Estimate> {
        let independent = self.independent_variance(alpha)?;
        let of_share = self.below.estimate()?.squared_error();
        let variance = independent * of_share / (self.nu * (1.0 - self.nu) / self.events as f64);
        Some(Estimate { mean: self.quantile, variance, units: self.events })
    }

    /// Variance per event as if events were independent.
    #[must_use]
    pub fn independent_variance(&self, alpha: f64) -> Option<f64> {
        let is_valid = self.events >= 2 && self.sampled >= 1 && self.nu > 0.0 && self.nu < 1.0;
        if !is_valid {
            return None;
        }
        let n = self.events as f64;
        let width = (self.ends.1 - self.ends.0) / (2.0 * normal_quantile(1.0 - alpha / 2.0));
        Some(self.sampled as f64 / n * (n - 1.0) * width * width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_events_give_nothing() {
        let mut arm = ClusteredQuantile {
            events: 1,
            sampled: 1,
            nu: 0.9,
            quantile: 2.0,
            ends: (1.0, 3.0),
            below: RatioMoments::default(),
        };
        assert_eq!(arm.independent_variance(0.05), None);
        arm.events = 10;
        assert!(arm.independent_variance(0.05).is_some());
        assert_eq!(arm.estimate(0.05), None);
    }
}
