//! One map from raw to calibrated logits, which wanders at a given pace.
//!
//! A model that replays the past follows a new base rate slowly, one that replays often is too sure of itself, and one
//! that a policy is optimised against is too sure where it promises most. They show as an offset, a slope and a bend
//! between predicted and true logits, which are followed here on predictions that were made *before* the example was
//! trained on: `logit p' = z + m·φ(z)` with `φ = (1, z − c, s(z) − s(c))`, `s(z) = ln(1 + eᶻ)` and `c` the running
//! mean of `z`. In the probability `σ(z)` that is beta calibration (Kull, Silva Filho & Flach, AISTATS 2017, eq. 3).
//! `m` is a random walk whose posterior mean and covariance are updated by one extended Kalman step per example
//! (logistic observation, West, Harrison & Migon 1985): with `p = σ(z + m·φ)` and `v = p(1 − p)`,
//! `P ← P + Q`, `P ← P − v·Pφφᵀ P / (1 + v·φᵀPφ)`, `m ← m + Pφ·(y − p)`.
//!
//! A label may be corrected after it was observed. By the last formula an observation moves the mean in proportion to
//! its label, and what was observed since has carried that move from the `P` of then to the `P` of now: a change of
//! the label by Δ makes up for it with `m ← m + Pφ·Δ`, exactly so where the world does not move and the observation is
//! linear. How sure the map is does not depend on labels, so `P` stays. A label that appears late is observed like any
//! other. One that is taken back is left in the mean: there is no label to put in its place, and what it taught fades
//! with the walk.

use plaudit_nn::loss::{bce, sigmoid};

use crate::config::CalibrationConfig;

/// Weight of one example in the running mean of the logits once more than its inverse were seen.
const CENTRE_RATE: f64 = 1e-3;

/// Logits beyond this are cut off before they are calibrated.
const MAX_LOGIT: f64 = 15.0;

/// The map is never flatter than this, so that it never reverses an order.
const LEAST_SLOPE: f64 = 0.1;

/// Offset, slope and bend.
const TERMS: usize = 3;

/// How many numbers [`Walk::to_array`] gives.
pub(super) const STATE_NUMBERS: usize = 11;

type Vector = [f64; TERMS];

/// The running map from raw to calibrated logits.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Walk {
    mean: Vector,
    /// Covariance of the mean; symmetric.
    covariance: [Vector; TERMS],
    centre: f64,
    count: f64,
}

impl Walk {
    pub(super) fn new(config: &CalibrationConfig) -> Self {
        let mut covariance = [[0.0; TERMS]; TERMS];
        let priors = [config.offset_prior, config.slope_prior, config.bend_prior];
        for (at, prior) in priors.into_iter().enumerate() {
            covariance[at][at] = prior;
        }
        Self { mean: [0.0; TERMS], covariance, centre: 0.0, count: 0.0 }
    }

    /// The calibrated logit of the raw logit `z`; increasing in `z`.
    pub(super) fn apply(&self, z: f64) -> f64 {
        let z = z.clamp(-MAX_LOGIT, MAX_LOGIT);
        let [_, x, bent] = self.terms(z);
        let [offset, slope, bend] = self.mean;
        // The steepness is 1 + slope at the left end and 1 + slope + bend at the right one.
        let slope = slope.max(LEAST_SLOPE - 1.0);
        let bend = bend.max(LEAST_SLOPE - 1.0 - slope);
        z + offset + slope * x + bend * bent
    }

    /// Learns from a prediction and what came of it. Returns the log-likelihood that it had given the label before, times
    /// `weight`.
    pub(super) fn observe(&mut self, z: f64, label: f64, weight: f64, config: &CalibrationConfig) -> f64 {
        let z = z.clamp(-MAX_LOGIT, MAX_LOGIT);
        self.move_centre(z);
        let logit = self.apply(z);
        let p = sigmoid(logit);
        let drifts = [config.offset_drift, config.slope_drift, config.bend_drift];
        for (at, drift) in drifts.into_iter().enumerate() {
            self.covariance[at][at] += drift;
        }
        let terms = self.terms(z);
        let pull = self.pull(terms);
        let v = (p * (1.0 - p)).max(1e-6) * weight;
        let shrink = v / (1.0 + v * dot(terms, pull));
        for (row, a) in self.covariance.iter_mut().zip(pull) {
            for (entry, b) in row.iter_mut().zip(pull) {
                // In this order, so that rounding leaves the matrix symmetric.
                *entry -= shrink * (a * b);
            }
        }
        // Pφ after the update is Pφ before it, divided by 1 + v·φᵀPφ.
        self.add(pull, shrink / v * weight * (label - p));
        -weight * bce(logit, label)
    }

    /// Learns that the label of an earlier observation with trust `weight` is larger by `change` than what was
    /// observed; `z` is the logit of its row by now.
    pub(super) fn correct(&mut self, z: f64, change: f64, weight: f64) {
        let terms = self.terms(z.clamp(-MAX_LOGIT, MAX_LOGIT));
        self.add(self.pull(terms), weight * change);
    }

    /// φ.
    fn terms(&self, z: f64) -> Vector {
        [1.0, z - self.centre, softplus(z) - softplus(self.centre)]
    }

    /// Pφ.
    fn pull(&self, terms: Vector) -> Vector {
        self.covariance.map(|row| dot(row, terms))
    }

    fn add(&mut self, direction: Vector, length: f64) {
        for (mean, along) in self.mean.iter_mut().zip(direction) {
            *mean += along * length;
        }
    }

    /// Moves the centre without moving the map.
    fn move_centre(&mut self, z: f64) {
        self.count += 1.0;
        let rate = CENTRE_RATE.max(self.count.recip());
        let next = self.centre + rate * (z - self.centre);
        // The terms lose these constants, so the offset gains what they were worth; φ' = φ − change.
        let change = [1.0, next - self.centre, softplus(next) - softplus(self.centre)];
        self.centre = next;
        self.mean[0] = dot(change, self.mean);
        // The same change of variables for the covariance: its first row, then its first column.
        let pull = self.pull(change);
        self.covariance[0] = pull;
        for (row, entry) in self.covariance.iter_mut().zip(pull) {
            row[0] = entry;
        }
        self.covariance[0][0] = dot(change, pull);
    }

    pub(super) fn to_array(&self) -> [f64; STATE_NUMBERS] {
        let [offset, slope, bend] = self.mean;
        let [[oo, os, ob], [_, ss, sb], [_, _, bb]] = self.covariance;
        [offset, slope, bend, oo, os, ob, ss, sb, bb, self.centre, self.count]
    }

    pub(super) fn from_array(numbers: [f64; STATE_NUMBERS]) -> Self {
        let [offset, slope, bend, oo, os, ob, ss, sb, bb, centre, count] = numbers;
        let covariance = [[oo, os, ob], [os, ss, sb], [ob, sb, bb]];
        Self { mean: [offset, slope, bend], covariance, centre, count }
    }
}

/// `ln(1 + eᶻ)`: the loss of the logit `z` when the label is 0.
fn softplus(z: f64) -> f64 {
    bce(z, 0.0)
}

fn dot(a: Vector, b: Vector) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use plaudit_event::Seed;
    use rand::Rng;

    use super::*;

    /// Feeds logits around −3 whose truth is `offset + factor · z`.
    fn feed(calibrator: &mut Walk, n: usize, factor: f64, offset: f64, seed: u64) {
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
        let mut calibrator = Walk::new(&CalibrationConfig::default());
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
    fn a_top_that_promises_too_much_is_bent_down() {
        let truth = |z: f64| z - 0.8 * (softplus(z) - softplus(-3.0));
        let gap_with = |config: CalibrationConfig| {
            let mut calibrator = Walk::new(&config);
            let mut stream = Seed::new(7).stream("calibration");
            for _ in 0..60_000 {
                let z = -5.0 + 6.0 * stream.random::<f64>();
                let label = stream.random::<f64>() < sigmoid(truth(z));
                calibrator.observe(z, f64::from(u8::from(label)), 1.0, &config);
            }
            let gaps = [-4.0, -2.0, 0.5].map(|z| (calibrator.apply(z) - truth(z)).abs());
            gaps.into_iter().fold(0.0, f64::max)
        };
        let still =
            CalibrationConfig { offset_drift: 0.0, slope_drift: 0.0, bend_drift: 0.0, ..CalibrationConfig::default() };
        let straight = gap_with(CalibrationConfig { bend_prior: 0.0, ..still.clone() });
        let bent = gap_with(still);
        assert!(bent < 0.1 && straight > 0.2, "{bent} with a bend, {straight} without");
    }

    #[test]
    fn the_map_never_reverses_an_order_and_survives_extremes() {
        let mut calibrator = Walk::new(&CalibrationConfig::default());
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
        let (mut calibrator, mut late) = (Walk::new(&config), std::collections::VecDeque::new());
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
        let config =
            CalibrationConfig { offset_drift: 0.0, slope_drift: 0.0, bend_drift: 0.0, ..CalibrationConfig::default() };
        let feed = |first: f64| {
            let mut calibrator = Walk::new(&config);
            for i in 0..2_000 {
                let label = if i == 1_000 { first } else { f64::from(u8::from(i % 7 == 0)) };
                calibrator.observe(-2.0 + f64::from(i % 5) / 4.0, label, 1.0, &config);
            }
            calibrator
        };
        let (mut corrected, right) = (feed(0.0), feed(1.0));
        let before = corrected.clone();
        let gap = |calibrator: &Walk| (calibrator.apply(-2.0) - right.apply(-2.0)).abs();
        let wrong = gap(&corrected);
        corrected.correct(-2.0, 1.0, 1.0);
        assert!(gap(&corrected) < 0.1 * wrong, "{wrong} before, {} after", gap(&corrected));
        corrected.mean = before.mean;
        assert_eq!(corrected, before, "only the mean moves");
    }

    #[test]
    fn moving_the_centre_leaves_the_map_alone() {
        let mut calibrator = Walk::new(&CalibrationConfig::default());
        feed(&mut calibrator, 500, 0.5, 0.0, 4);
        let before = calibrator.apply(-1.0);
        calibrator.move_centre(5.0);
        assert!((calibrator.apply(-1.0) - before).abs() < 1e-12);
    }

    #[test]
    fn the_state_survives_as_numbers() {
        let mut calibrator = Walk::new(&CalibrationConfig::default());
        feed(&mut calibrator, 3_000, 0.5, 0.0, 5);
        assert_eq!(Walk::from_array(calibrator.to_array()), calibrator, "half of the covariance says it all");
    }
}
