//! Keeping probabilities honest while the world moves.
//!
//! A model that replays the past follows a new base rate slowly, and one that replays often is too sure of itself.
//! Both show as an offset and a slope between predicted and true logits, which are followed here on predictions that
//! were made *before* the example was trained on: `logit p' = z + b + a·(z − c)`, with `c` the running mean of `z`.
//! `(b, a)` is a random walk whose posterior mean and covariance are updated by one extended Kalman step per example
//! (logistic observation, West, Harrison & Migon 1985): with `φ = (1, z − c)`, `p = σ(z + φ·m)` and `v = p(1 − p)`,
//! `P ← P + Q`, `P ← P − v·Pφφᵀ P / (1 + v·φᵀPφ)`, `m ← m + Pφ·(y − p)`.

use plaudit_nn::loss::sigmoid;

use crate::config::CalibrationConfig;

/// Weight of one example in the running mean of the logits once more than its inverse were seen.
const CENTRE_RATE: f64 = 1e-3;

/// Logits beyond this are cut off before they are calibrated.
const MAX_LOGIT: f64 = 15.0;

/// How many numbers [`Calibrator::to_array`] gives.
pub(crate) const STATE_NUMBERS: usize = 7;

/// The running map from raw to calibrated logits.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Calibrator {
    offset: f64,
    slope: f64,
    /// Covariance of (offset, slope): two variances and the covariance.
    offset_var: f64,
    slope_var: f64,
    covariance: f64,
    centre: f64,
    count: f64,
}

impl Calibrator {
    pub(crate) fn new(config: &CalibrationConfig) -> Self {
        Self {
            offset: 0.0,
            slope: 0.0,
            offset_var: config.offset_prior,
            slope_var: config.slope_prior,
            covariance: 0.0,
            centre: 0.0,
            count: 0.0,
        }
    }

    /// The calibrated logit of the raw logit `z`; increasing in `z`.
    pub(crate) fn apply(&self, z: f64) -> f64 {
        let z = z.clamp(-MAX_LOGIT, MAX_LOGIT);
        // A slope of −1 or less would reverse the order of predictions.
        z + self.offset + self.slope.max(-0.9) * (z - self.centre)
    }

    /// Learns from a prediction and what came of it.
    pub(crate) fn observe(&mut self, z: f64, label: f64, weight: f64, config: &CalibrationConfig) {
        let z = z.clamp(-MAX_LOGIT, MAX_LOGIT);
        self.move_centre(z);
        let x = z - self.centre;
        let p = sigmoid(self.apply(z));
        self.offset_var += config.offset_drift;
        self.slope_var += config.slope_drift;
        // Pφ, for φ = (1, x).
        let by_offset = self.offset_var + self.covariance * x;
        let by_slope = self.covariance + self.slope_var * x;
        let v = (p * (1.0 - p)).max(1e-6) * weight;
        let shrink = v / (1.0 + v * (by_offset + by_slope * x));
        self.offset_var -= shrink * by_offset * by_offset;
        self.covariance -= shrink * by_offset * by_slope;
        self.slope_var -= shrink * by_slope * by_slope;
        // Pφ after the update is Pφ before it, divided by 1 + v·φᵀPφ.
        let gain = shrink / v * weight * (label - p);
        self.offset += by_offset * gain;
        self.slope += by_slope * gain;
    }

    /// Moves the centre without moving the map.
    fn move_centre(&mut self, z: f64) {
        self.count += 1.0;
        let rate = CENTRE_RATE.max(self.count.recip());
        let change = rate * (z - self.centre);
        self.centre += change;
        self.offset += self.slope * change;
        // The same change of variables for the covariance.
        self.offset_var += change * (2.0 * self.covariance + change * self.slope_var);
        self.covariance += change * self.slope_var;
    }

    pub(crate) fn to_array(&self) -> [f64; STATE_NUMBERS] {
        [self.offset, self.slope, self.offset_var, self.slope_var, self.covariance, self.centre, self.count]
    }

    pub(crate) fn from_array(numbers: [f64; STATE_NUMBERS]) -> Self {
        let [offset, slope, offset_var, slope_var, covariance, centre, count] = numbers;
        Self { offset, slope, offset_var, slope_var, covariance, centre, count }
    }
}

#[cfg(test)]
mod tests {
    use plaudit_event::Seed;
    use rand::Rng;

    use super::*;

    /// Feeds logits around −3 whose truth is `offset + factor · z`.
    fn feed(calibrator: &mut Calibrator, n: usize, factor: f64, offset: f64, seed: u64) {
        let config = CalibrationConfig::default();
        let mut stream = Seed::new(seed).stream("calibration");
        for _ in 0..n {
            let z = -3.0 + 4.0 * (stream.random::<f64>() - 0.5);
            let label = stream.random::<f64>() < sigmoid(factor * z + offset);
            calibrator.observe(z, f64::from(u8::from(label)), 1.0, &config);
        }
    }

    #[test]
    fn offset_and_slope_are_found_and_followed() {
        let mut calibrator = Calibrator::new(&CalibrationConfig::default());
        feed(&mut calibrator, 20_000, 0.6, -0.5, 1);
        for z in [-4.5, -3.0, -1.5] {
            let gap = calibrator.apply(z) - (0.6 * z - 0.5);
            // The walk keeps a posterior deviation of about 0.15 around the offset.
            assert!(gap.abs() < 0.4, "gap {gap} at {z}");
        }
        feed(&mut calibrator, 6_000, 0.6, 0.5, 2);
        let gap = calibrator.apply(-3.0) - (0.6 * -3.0 + 0.5);
        assert!(gap.abs() < 0.4, "gap {gap} after the move");
    }

    #[test]
    fn the_map_never_reverses_an_order_and_survives_extremes() {
        let mut calibrator = Calibrator::new(&CalibrationConfig::default());
        feed(&mut calibrator, 5_000, -1.0, -6.0, 3);
        assert!(calibrator.apply(-2.0) > calibrator.apply(-4.0));
        let config = CalibrationConfig::default();
        for z in [1e9, -1e9, 0.0] {
            calibrator.observe(z, 1.0, 1.0, &config);
            calibrator.observe(z, 0.0, 1.0, &config);
            assert!(calibrator.apply(z).is_finite());
        }
    }

    #[test]
    fn moving_the_centre_leaves_the_map_alone() {
        let mut calibrator = Calibrator::new(&CalibrationConfig::default());
        feed(&mut calibrator, 500, 0.5, 0.0, 4);
        let before = calibrator.apply(-1.0);
        calibrator.move_centre(5.0);
        assert!((calibrator.apply(-1.0) - before).abs() < 1e-12);
    }

    #[test]
    fn the_state_survives_as_numbers() {
        let mut calibrator = Calibrator::new(&CalibrationConfig::default());
        feed(&mut calibrator, 100, 0.5, 0.0, 5);
        assert_eq!(Calibrator::from_array(calibrator.to_array()), calibrator);
    }
}
