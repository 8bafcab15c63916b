//! A choice that depends on the context, with exact propensities.

use serde::{Deserialize, Serialize};

use super::ridge::Ridge;
use super::{Fading, Features, HalfLife, inverse_gap, with_floor};
use crate::Error;
use crate::error::require;

/// θ is solved for again when this share of the observations is new, and at least every so many.
const REFRESH_SHARE: f64 = 0.01;
const REFRESH_AT_MOST: f64 = 1_000.0;

/// The settings of a [`Contextual`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContextualSettings {
    /// Most weights; further features share. 2 to 1,024: memory grows with its square.
    pub dimensions: usize,
    /// λ, in observations: how many speak against a weight before any was made. Finite and > 0.
    pub ridge: f64,
    /// How soon it stops exploring, the constant of γ. Finite and > 0.
    pub greed: f64,
    /// After how much an observation counts half.
    pub half_life: HalfLife,
}

impl Default for ContextualSettings {
    fn default() -> Self {
        Self { dimensions: 128, ridge: 1.0, greed: 30.0, half_life: HalfLife::default() }
    }
}

impl ContextualSettings {
    fn check(&self) -> Result<(), Error> {
        let Self { dimensions, ridge, greed, half_life } = self;
        require("dimensions", *dimensions as f64, "2 to 1,024", (2..=1_024).contains(dimensions))?;
        require("ridge", *ridge, "finite and > 0", ridge.is_finite() && *ridge > 0.0)?;
        require("greed", *greed, "finite and > 0", greed.is_finite() && *greed > 0.0)?;
        half_life.check()
    }
}

/// What one observation added, for taking it back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Learned {
    place: f64,
    reward: f64,
    weight: f64,
}

/// Ridge regression of the reward on context and candidate, and inverse gap weighting of its predictions:
/// SquareCB (Foster & Rakhlin 2020) with
///
/// `γ = greed·√(K·n / (d·σ²))`,
///
/// n the discounted number of observations, d the weights in use, σ² = r̄(1 − r̄) the variance of a reaction of
/// the base rate. Theory has σ² = 1; at love-like rates, where gaps are hundredths, that would explore for ever
/// (Foster & Krishnamurthy 2021 give the reason). With forgetting n stays bounded, and so does γ: what may
/// change is looked at for ever.
///
/// A linear model, because its sums are exact under corrections and forgetting: the state is a function of the
/// observations that count, whatever was corrected in between. Predictions change only when θ is solved for,
/// which is at fixed numbers of observations.
#[derive(Debug, Clone)]
pub struct Contextual {
    settings: ContextualSettings,
    ridge: Ridge,
    fading: Fading,
    /// Discounted weight, and weight times reward, in the scale of `fading`.
    sums: [f64; 2],
    observations: f64,
    refresh_at: f64,
    /// `γ/√K` since θ was solved for.
    gamma: f64,
}

impl Contextual {
    /// A policy that has seen nothing: even shares.
    ///
    /// # Errors
    /// When a setting is out of range.
    pub fn new(settings: ContextualSettings) -> Result<Self, Error> {
        settings.check()?;
        Ok(Self {
            settings,
            ridge: Ridge::new(settings.dimensions, settings.ridge),
            fading: Fading::new(settings.half_life),
            sums: [0.0; 2],
            observations: 0.0,
            refresh_at: 1.0,
            gamma: 0.0,
        })
    }

    /// The discounted number of observations.
    #[must_use]
    pub fn observations(&self) -> f64 {
        self.sums[0] / self.fading.unit()
    }

    /// Weights in use.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.ridge.used()
    }

    /// The number of observations, corrected ones once, at which predictions change next.
    #[must_use]
    pub const fn refresh_at(&self) -> f64 {
        self.refresh_at
    }

    /// The predicted reward of each candidate, within \[0, 1\].
    #[must_use]
    pub fn values(&self, candidates: &[Features]) -> Vec<f64> {
        candidates.iter().map(|features| self.ridge.predict(features).clamp(0.0, 1.0)).collect()
    }

    /// The probability of each candidate, at least `floor`; sums to 1.
    ///
    /// # Errors
    /// With no candidates, a feature that is not finite, or a floor that is negative or more than 1/K.
    pub fn propensities(&self, candidates: &[Features], floor: f64) -> Result<Vec<f64>, Error> {
        let predicted: Vec<f64> = candidates.iter().map(|features| self.ridge.predict(features)).collect();
        let gamma = self.gamma * (candidates.len() as f64).sqrt();
        with_floor(&inverse_gap(&predicted, gamma)?, floor)
    }

    /// Learns that `features`, shown at `at_ms`, earned `reward` in \[0, 1\]; `weight` ≥ 0 is how much to trust it.
    ///
    /// # Errors
    /// When a number is out of range; nothing is learned then.
    pub fn learn(&mut self, features: &Features, reward: f64, weight: f64, at_ms: i64) -> Result<Learned, Error> {
        check_observation(features, reward, weight)?;
        let (place, rescale) = self.fading.place(at_ms);
        if let Some(factor) = rescale {
            self.ridge.scale(factor);
            self.sums = self.sums.map(|sum| sum * factor);
        }
        let learned = Learned { place, reward, weight };
        self.add(features, learned, 1.0);
        self.observations += 1.0;
        if self.observations >= self.refresh_at {
            self.refresh();
        }
        Ok(learned)
    }

    /// Replaces what an observation of the same features had added; a weight of 0 takes it back. It keeps its age.
    ///
    /// # Errors
    /// When a number is out of range; nothing changes then.
    pub fn correct(
        &mut self,
        features: &Features,
        learned: Learned,
        (reward, weight): (f64, f64),
    ) -> Result<Learned, Error> {
        check_observation(features, reward, weight)?;
        self.add(features, learned, -1.0);
        let learned = Learned { reward, weight, ..learned };
        self.add(features, learned, 1.0);
        Ok(learned)
    }

    fn add(&mut self, features: &Features, learned: Learned, sign: f64) {
        let mass = sign * learned.weight * self.fading.weight(learned.place);
        self.ridge.add(features, mass, learned.reward);
        self.sums[0] += mass;
        self.sums[1] += mass * learned.reward;
    }

    fn refresh(&mut self) {
        let wait = (self.observations * REFRESH_SHARE).clamp(1.0, REFRESH_AT_MOST);
        self.refresh_at = self.observations + wait.floor();
        let unit = self.fading.unit();
        self.ridge.solve(unit);
        let [n, reward] = self.sums.map(|sum| (sum / unit).max(0.0));
        let rate = ((reward + 1.0) / (n + 2.0)).min(1.0);
        let variance = rate * (1.0 - rate);
        let d = self.ridge.used().max(1) as f64;
        self.gamma = self.settings.greed * (n / (d * variance)).sqrt();
    }
}

fn check_observation(features: &Features, reward: f64, weight: f64) -> Result<(), Error> {
    require("reward", reward, "in [0, 1]", (0.0..=1.0).contains(&reward))?;
    require("weight", weight, "finite and >= 0", weight.is_finite() && weight >= 0.0)?;
    features.entries().iter().try_for_each(|(_, value)| require("feature", *value, "finite", value.is_finite()))
}
