//! Keeping probabilities honest while the world moves.
//!
//! A [`Walk`] is a map from raw to calibrated logits that follows the world at a given pace. How fast the world moves is
//! not known: a map that expects much wanders about the truth while nothing moves (at a drift of 10⁻⁵ per example and 6 %
//! positives by a tenth of the odds), one that expects little comes late. So several are kept side by side, and how well
//! each predicted the newest labels decides how much it counts (dynamic model averaging, Raftery, Kárný & Ettler,
//! *Technometrics* 2010, equations 15 and 16): `wₖ ∝ wₖ^λ·Pr(y | walk k)`, never below e⁻¹⁰ of the largest. The calibrated logit is the mean over them.
//!
//! On top of what they say of everybody, every segment of examples may have a map of its own. It starts as the one that
//! changes nothing and is held there by its prior variances until there is evidence: with an offset of prior variance τ²
//! a segment counts one half once it has had about 1/τ² rare labels, so that small segments stay with everybody.

mod walk;

use std::collections::BTreeMap;

use crate::config::CalibrationConfig;
use crate::segments::Segment;
use walk::Walk;

/// λ: how much of its weight a walk keeps from one example to the next.
const KEPT: f64 = 1.0 - 3e-5;
/// The logarithm of a weight falls no further below the largest, so that a walk which was useless comes back in time.
const LEAST_WEIGHT: f64 = -10.0;
/// The drift of one pace over that of the next slower one.
const PACE: f64 = 100.0;
/// Numbers of a walk, and the logarithm of its weight.
const NUMBERS: usize = walk::STATE_NUMBERS + 1;

/// The running map from raw to calibrated logits.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Calibrator {
    /// From the fastest on, each with the logarithm of its weight.
    paces: Vec<(Walk, f64)>,
    /// What is different in a segment: maps of the logit that the paces give.
    segments: BTreeMap<Segment, Walk>,
}

impl Calibrator {
    pub(crate) fn new(config: &CalibrationConfig) -> Self {
        let paces = (0..config.paces).map(|_| (Walk::new(config), 0.0)).collect();
        Self { paces, segments: BTreeMap::new() }
    }

    /// The calibrated logit of the raw logit `z`, for everybody; increasing in `z`.
    pub(crate) fn apply(&self, z: f64) -> f64 {
        let (mut sum, mut total) = (0.0, 0.0);
        for (walk, weight) in &self.paces {
            let weight = weight.exp();
            sum += weight * walk.apply(z);
            total += weight;
        }
        sum / total
    }

    /// The calibrated logit of the raw logit `z` in `segment`; increasing in `z`.
    pub(crate) fn apply_in(&self, z: f64, segment: Segment) -> f64 {
        let common = self.apply(z);
        self.segments.get(&segment).map_or(common, |own| own.apply(common))
    }

    /// Learns from a prediction in `segment` and what came of it.
    pub(crate) fn observe(&mut self, z: f64, segment: Segment, label: f64, weight: f64, config: &CalibrationConfig) {
        if config.segments {
            let common = self.apply(z);
            let own = own_config(config);
            self.segments.entry(segment).or_insert_with(|| Walk::new(&own)).observe(common, label, weight, &own);
        }
        let mut best = f64::NEG_INFINITY;
        let mut drift = config.offset_drift;
        for (walk, log_weight) in &mut self.paces {
            let pace = CalibrationConfig { offset_drift: drift, ..config.clone() };
            *log_weight = KEPT * *log_weight + walk.observe(z, label, weight, &pace);
            best = best.max(*log_weight);
            drift /= PACE;
        }
        self.paces.iter_mut().for_each(|(_, log_weight)| *log_weight = (*log_weight - best).max(LEAST_WEIGHT));
    }

    /// Learns that the label of an earlier observation in `segment` with trust `weight` is larger by `change` than what
    /// was observed; `z` is the logit of its row by now. How much each pace counts stays.
    pub(crate) fn correct(&mut self, z: f64, segment: Segment, change: f64, weight: f64) {
        let common = self.apply(z);
        if let Some(own) = self.segments.get_mut(&segment) {
            own.correct(common, change, weight);
        }
        self.paces.iter_mut().for_each(|(walk, _)| walk.correct(z, change, weight));
    }

    /// The paces as numbers.
    pub(crate) fn to_numbers(&self) -> impl Iterator<Item = f64> {
        self.paces.iter().flat_map(|(walk, weight)| walk.to_array().into_iter().chain([*weight]))
    }

    /// The segments, and their maps as numbers.
    pub(crate) fn segments(&self) -> (impl Iterator<Item = Segment>, impl Iterator<Item = f64>) {
        (self.segments.keys().copied(), self.segments.values().flat_map(Walk::to_array))
    }

    /// What [`Calibrator::to_numbers`] and [`Calibrator::segments`] gave; nothing when they did not.
    pub(crate) fn of_numbers(paces: &[f64], segments: &[Segment], own: &[f64]) -> Option<Self> {
        let walk = |numbers: &[f64]| Some(Walk::from_array(numbers.try_into().ok()?));
        let pace = |numbers: &[f64]| {
            let (weight, numbers) = numbers.split_last()?;
            Some((walk(numbers)?, *weight))
        };
        let paces: Vec<(Walk, f64)> = paces.chunks(NUMBERS).map(pace).collect::<Option<_>>()?;
        let maps: Vec<Walk> = own.chunks(walk::STATE_NUMBERS).map(walk).collect::<Option<_>>()?;
        let fits = !paces.is_empty() && maps.len() == segments.len();
        fits.then(|| Self { paces, segments: segments.iter().copied().zip(maps).collect() })
    }
}

/// How the map of a segment learns: without a bend, and slower than everybody's.
fn own_config(config: &CalibrationConfig) -> CalibrationConfig {
    CalibrationConfig {
        offset_prior: config.segment_prior,
        offset_drift: 0.0,
        slope_prior: config.segment_prior / 10.0,
        slope_drift: 0.0,
        bend_prior: 0.0,
        bend_drift: 0.0,
        ..config.clone()
    }
}

#[cfg(test)]
mod tests {
    use plaudit_event::Seed;
    use plaudit_nn::loss::sigmoid;
    use rand::Rng;

    use super::*;

    const EVERYBODY: Segment = 0;

    /// Feeds `n` logits around −3, of `parts` in turn: segments, and by how much the truth is larger there.
    fn feed(calibrator: &mut Calibrator, config: &CalibrationConfig, n: usize, parts: &[(Segment, f64)]) {
        let mut stream = Seed::new(n as u64).stream("calibration");
        for (segment, offset) in parts.iter().cycle().take(n) {
            let z = -3.0 + 2.0 * (stream.random::<f64>() - 0.5);
            let label = stream.random::<f64>() < sigmoid(z + offset);
            calibrator.observe(z, *segment, f64::from(u8::from(label)), 1.0, config);
        }
    }

    /// Mean squared gap from a truth that stands still, and the gap 2,000 examples after a jump.
    fn gaps(config: &CalibrationConfig) -> (f64, f64) {
        let mut calibrator = Calibrator::new(config);
        let (mut sum, mut count) = (0.0, 0.0);
        for round in 0..60 {
            feed(&mut calibrator, config, 1_000 + round, &[(EVERYBODY, 0.0)]);
            if round >= 20 {
                sum += (calibrator.apply(-3.0) + 3.0).powi(2);
                count += 1.0;
            }
        }
        feed(&mut calibrator, config, 2_000, &[(EVERYBODY, 1.2)]);
        (sum / count, (calibrator.apply(-3.0) + 1.8).abs())
    }

    #[test]
    fn several_paces_are_still_while_the_world_is_and_follow_when_it_jumps() {
        let with =
            |offset_drift, paces| gaps(&CalibrationConfig { offset_drift, paces, ..CalibrationConfig::default() });
        let (fast, slow, both) = (with(1e-4, 1), with(1e-8, 1), with(1e-4, 3));
        println!("noise and lag: fast {fast:?}, slow {slow:?}, several {both:?}");
        assert!(both.0 < fast.0 / 2.0, "stands still: {both:?} against {fast:?}");
        assert!(both.1 < slow.1 / 2.0, "follows: {both:?} against {slow:?}");
    }

    #[test]
    fn a_large_segment_has_its_own_map_and_a_small_one_that_of_everybody() {
        let config = CalibrationConfig { segments: true, ..CalibrationConfig::default() };
        let mut calibrator = Calibrator::new(&config);
        feed(&mut calibrator, &config, 80_000, &[(1, -0.4), (2, 0.4)]);
        feed(&mut calibrator, &config, 20, &[(3, 2.0)]);
        let gap = |segment, offset: f64| calibrator.apply_in(-3.0, segment) - (-3.0 + offset);
        assert!(gap(1, -0.4).abs() < 0.15 && gap(2, 0.4).abs() < 0.15, "{} {}", gap(1, -0.4), gap(2, 0.4));
        let moved = calibrator.apply_in(-3.0, 3) - calibrator.apply(-3.0);
        assert!(moved.abs() < 0.5, "20 examples move a segment by {moved}, not by 2");
        assert_eq!(calibrator.apply_in(-3.0, 9), calibrator.apply(-3.0), "an unknown segment is everybody's");
    }

    #[test]
    fn the_state_survives_as_numbers() {
        let config = CalibrationConfig { segments: true, ..CalibrationConfig::default() };
        let mut calibrator = Calibrator::new(&config);
        feed(&mut calibrator, &config, 500, &[(4, 0.3)]);
        feed(&mut calibrator, &config, 300, &[(7, 0.0)]);
        let paces: Vec<f64> = calibrator.to_numbers().collect();
        let (segments, own) = calibrator.segments();
        let (segments, own): (Vec<Segment>, Vec<f64>) = (segments.collect(), own.collect());
        assert_eq!(Calibrator::of_numbers(&paces, &segments, &own), Some(calibrator));
        assert_eq!(Calibrator::of_numbers(&paces[1..], &segments, &own), None);
        assert_eq!(Calibrator::of_numbers(&paces, &segments[1..], &own), None);
    }
}
