//! Who reacts at all: correction of learning for labels that are missing not at random.
//!
//! Where only some exposures get a label (thumbs, ratings), what is learned is the taste of those who react. A second
//! small model follows how probable any label is, `π = Pr(labelled | context, response, unit)`: linear in the features of
//! the text, and in how often the unit reacted before. A labelled example then counts `π̄/π`, cut to \[1/c, c\] and
//! divided by its own running mean (inverse propensity, clipped and self-normalised: Schnabel et al., ICML 2016, section 3;
//! Swaminathan & Joachims, NeurIPS 2015). So a unit that reacts to everything counts less per example, and one that
//! seldom reacts stands for those like it that did not.
//!
//! What this cannot know: whether the same unit reacts to the same text sooner when it loves it. That would need a
//! reaction that is asked for at random.

use std::collections::BTreeMap;

use plaudit_nn::loss::{logit, sigmoid};

use crate::config::PropensityConfig;
use crate::encode::Features;
use crate::linear::{self, Linear, Rates};

/// Exposures that a unit's share of reactions is drawn to everybody's by.
const PRIOR_EXPOSURES: f64 = 2.0;
/// Propensities are kept this far from 0 and 1.
const LEAST: f64 = 1e-3;
/// Weight of one example in the running means once more than its inverse were seen.
const MEAN_RATE: f64 = 1e-3;
/// Features of a unit: intercept, its share, whether it is new.
const UNIT_FEATURES: usize = 3;

/// Exposures of a unit, and how many of them got a label.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) exposures: u32,
    pub(crate) labelled: u32,
}

/// The model of who reacts, of one objective.
#[derive(Debug, Clone)]
pub(crate) struct Propensity {
    pub(crate) text: Linear,
    pub(crate) unit: Linear,
    /// By hash of the unit's id.
    pub(crate) units: BTreeMap<u64, Shown>,
    /// Exposures, labelled ones, and the mean of the weights before they are divided by it.
    pub(crate) totals: [f64; 3],
}

/// An exposure as this model sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) unit: u64,
    pub(crate) features: &'a Features,
}

impl Propensity {
    /// A model that has seen nothing; without tables where it is not asked for.
    pub(crate) fn new(config: &PropensityConfig, buckets: usize) -> Self {
        let (buckets, own) = if config.enabled { (buckets, UNIT_FEATURES) } else { (0, 0) };
        Self { text: Linear::new(buckets), unit: Linear::new(own), units: BTreeMap::new(), totals: [0.0, 0.0, 1.0] }
    }

    /// What a label of `seen` counts.
    pub(crate) fn weight(&self, seen: Seen<'_>, config: &PropensityConfig) -> f64 {
        self.raw_weight(seen, config) / self.totals[2]
    }

    /// Learns whether a new exposure got a label; returns what the label counts.
    pub(crate) fn observe(
        &mut self,
        seen: Seen<'_>,
        is_labelled: bool,
        config: &PropensityConfig,
        rates: Rates,
    ) -> f64 {
        let weight = self.raw_weight(seen, config);
        self.learn(seen, is_labelled, rates);
        self.totals[0] += 1.0;
        if is_labelled {
            self.totals[1] += 1.0;
            let rate = MEAN_RATE.max(self.totals[1].recip());
            self.totals[2] += rate * (weight - self.totals[2]);
        }
        self.count(seen.unit, u32::from(is_labelled), config);
        weight / self.totals[2]
    }

    /// Learns that an exposure which had no label when it was new has one now.
    pub(crate) fn labelled_late(&mut self, seen: Seen<'_>, rates: Rates) {
        self.learn(seen, true, rates);
        self.totals[1] += 1.0;
        if let Some(unit) = self.units.get_mut(&seen.unit) {
            unit.labelled = (unit.labelled + 1).min(unit.exposures);
        }
    }

    /// Forgets the counts of `unit`.
    pub(crate) fn forget(&mut self, unit: u64) {
        self.units.remove(&unit);
    }

    /// `π̄/π`, cut.
    fn raw_weight(&self, seen: Seen<'_>, config: &PropensityConfig) -> f64 {
        let p = sigmoid(self.logit(seen)).clamp(LEAST, 1.0);
        (self.share() / p).clamp(config.clip.recip(), config.clip)
    }

    fn logit(&self, seen: Seen<'_>) -> f64 {
        let own = self.of_unit(seen.unit);
        linear::logit(&self.text.weights, seen.features) + linear::product(&self.unit.weights, &own)
    }

    fn learn(&mut self, seen: Seen<'_>, is_labelled: bool, rates: Rates) {
        let slope = (sigmoid(self.logit(seen)) - f64::from(u8::from(is_labelled))) as f32;
        let own = self.of_unit(seen.unit);
        self.text.update(seen.features, slope, rates);
        self.unit.step(own.into_iter(), slope, rates);
    }

    /// Share of exposures with a label.
    fn share(&self) -> f64 {
        ((self.totals[1] + 1.0) / (self.totals[0] + 2.0)).clamp(LEAST, 1.0 - LEAST)
    }

    fn of_unit(&self, unit: u64) -> [(usize, f32); UNIT_FEATURES] {
        let shown = self.units.get(&unit).copied().unwrap_or_default();
        let (exposures, labelled) = (f64::from(shown.exposures), f64::from(shown.labelled));
        let everybody = self.share();
        let share = (labelled + PRIOR_EXPOSURES * everybody) / (exposures + PRIOR_EXPOSURES);
        let odds = logit(share.clamp(LEAST, 1.0 - LEAST));
        [(0, 1.0), (1, odds as f32), (2, f32::from(u8::from(shown.exposures == 0)))]
    }

    /// Counts an exposure of `unit`; when there is no room for it, half of all units leave, those seen least.
    fn count(&mut self, unit: u64, labelled: u32, config: &PropensityConfig) {
        if self.units.len() >= config.units && !self.units.contains_key(&unit) {
            let mut counts: Vec<u32> = self.units.values().map(|shown| shown.exposures).collect();
            counts.sort_unstable();
            let median = counts.get(counts.len() / 2).copied().unwrap_or(0);
            self.units.retain(|_, shown| shown.exposures > median);
        }
        let shown = self.units.entry(unit).or_default();
        shown.exposures = shown.exposures.saturating_add(1);
        shown.labelled = shown.labelled.saturating_add(labelled);
    }
}
