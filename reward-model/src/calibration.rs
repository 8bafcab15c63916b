//! Keeping probabilities honest while the world moves.
//!
//! A model that replays the past follows a new base rate slowly, and one that replays often is too sure of itself.
//! Both show as an offset and a slope between predicted and true logits, which are followed here on predictions that
//! were made *before* the example was trained on: `logit p' = z + b + a·(z − c)`, with `c` the running mean of `z`.
//! `(b, a)` is a random walk whose posterior mean and covariance are updated by one extended Kalman step per example
//! (logistic observation, West, Harrison & Migon 1985): with `φ = (1, z − c)`, `p = σ(z + φ·m)` and `v = p(1 − p)`,
//! `P ← P + Q`, `P ← P − v·Pφφᵀ P / (1 + v·φᵀPφ)`, `m ← m + Pφ·(y − p)`.
//!
//! A label may be corrected after it was observed. By the last formula an observation moves the mean in proportion to
//! its label, and what was observed since has carried that move from the `P` of then to the `P` of now: a change of
//! the label by Δ makes up for it with `m ← m + Pφ·Δ`, exactly so where the world does not move and the observation is
//! linear. How sure the map is does not depend on labels, so `P` stays. A label that appears late is observed like any
//! other. One that is taken back is left in the mean: there is no label to put in its place, and what it taught fades
//! with the walk.

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

    /// Learns that the label of an earlier observation with trust `weight` is larger by `change` than what was
    /// observed; `z` is the logit of its row by now.
    pub(crate) fn correct(&mut self, z: f64, change: f64, weight: f64) {
        let x = z.clamp(-MAX_LOGIT, MAX_LOGIT) - self.centre;
        let gain = weight * change;
        self.offset += (self.offset_var + self.covariance * x) * gain;
        self.slope += (self.covariance + self.slope_var * x) * gain;
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

    /// Every label is 0 when its window closes; a third becomes 1 two hundred examples later.
    #[test]
    fn corrected_labels_count_as_if_they_had_been_observed() {
        let config = CalibrationConfig::default();
        let mut stream = Seed::new(6).stream("calibration");
        let (mut calibrator, mut late) = (Calibrator::new(&config), std::collections::VecDeque::new());
        let mut sum = 0.0;
        for i in 0..20_000 {
            let z = -3.0 + 4.0 * (stream.random::<f64>() - 0.5);
            calibrator.observe(z, 0.0, 1.0, &config);
            late.push_back((z, stream.random::<f64>() < 1.0 / 3.0));
            if late.len() > 200
                && let Some((z, true)) = late.pop_front()
            {
                calibrator.correct(z, 1.0, 1.0);
            }
            if i >= 10_000 {
                sum += sigmoid(calibrator.apply(z));
            }
        }
        let mean = sum / 10_000.0;
        assert!((mean - 1.0 / 3.0).abs() < 0.02, "{mean} is predicted on average");
    }

    /// Where the world does not move, the mean ends where it would have without the detour; the observation is logistic,
    /// so that the two differ in the second order.
    #[test]
    fn a_correction_makes_up_for_the_label_it_replaces() {
        let config = CalibrationConfig { offset_drift: 0.0, slope_drift: 0.0, ..CalibrationConfig::default() };
        let feed = |first: f64| {
            let mut calibrator = Calibrator::new(&config);
            for i in 0..2_000 {
                let label = if i == 1_000 { first } else { f64::from(u8::from(i % 7 == 0)) };
                calibrator.observe(-2.0 + f64::from(i % 5) / 4.0, label, 1.0, &config);
            }
            calibrator
        };
        let (mut corrected, right) = (feed(0.0), feed(1.0));
        let before = corrected.to_array();
        let gap = |calibrator: &Calibrator| (calibrator.apply(-2.0) - right.apply(-2.0)).abs();
        let wrong = gap(&corrected);
        corrected.correct(-2.0, 1.0, 1.0);
        assert!(gap(&corrected) < 0.1 * wrong, "{wrong} before, {} after", gap(&corrected));
        assert_eq!(corrected.to_array()[2..], before[2..], "only the mean moves");
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
