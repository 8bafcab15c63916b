//! Means of arms from data whose allocation followed the data, at a time fixed beforehand.

use serde::{Deserialize, Serialize};

use super::check_propensities;
use crate::Error;
use crate::error::require;

/// How scores are weighted over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// All alike: unbiased, but not near normal where an arm was starved.
    Even,
    /// By √π: the variance of every term is about the same, so the mean is near normal.
    #[default]
    Stabilised,
}

/// Adaptively weighted augmented inverse propensity scores (Hadad, Hirshberg, Zhan, Wager & Athey 2021).
///
/// For arm k unit t scores `m + 1{A = k}·(y − m)/π_k`, with m the arm's mean so far and π the logged probability.
/// The estimate is `Σ h·score / Σ h` with h = √π_k (their equation 18, with constant allocation), its squared
/// error `Σ h²·(score − estimate)² / (Σ h)²`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WeightedAipw {
    weighting: Weighting,
    arms: Vec<Sums>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Sums {
    units: f64,
    reward: f64,
    observed: u64,
    weight: f64,
    weighted: f64,
    /// Σ h², Σ h²·score, Σ h²·score².
    squares: [f64; 3],
}

impl WeightedAipw {
    /// Nothing seen yet of any arm.
    #[must_use]
    pub fn new(arms: usize, weighting: Weighting) -> Self {
        Self { weighting, arms: vec![Sums::default(); arms] }
    }

    /// Adds a unit that got `arm` when the probabilities were `propensities`, and earned `reward`. In the order of
    /// time: the mean so far may not know the future.
    ///
    /// # Errors
    /// When there is no such arm, the reward is not finite, or the probabilities are none.
    pub fn observe(&mut self, arm: usize, reward: f64, propensities: &[f64]) -> Result<(), Error> {
        require("arm", arm as f64, "the index of an arm", arm < self.arms.len())?;
        require("reward", reward, "finite", reward.is_finite())?;
        check_propensities(propensities, self.arms.len())?;
        for (index, (sums, propensity)) in self.arms.iter_mut().zip(propensities).enumerate() {
            let mean = if sums.units > 0.0 { sums.reward / sums.units } else { 0.0 };
            let score = if index == arm { mean + (reward - mean) / propensity } else { mean };
            let h = if self.weighting == Weighting::Even { 1.0 } else { propensity.sqrt() };
            sums.observed += 1;
            sums.weight += h;
            sums.weighted += h * score;
            sums.squares[0] += h * h;
            sums.squares[1] += h * h * score;
            sums.squares[2] += h * h * score * score;
            if index == arm {
                sums.units += 1.0;
                sums.reward += reward;
            }
        }
        Ok(())
    }

    /// The mean of `arm` and its standard error; nothing before the arm was seen, or for one that does not exist.
    #[must_use]
    pub fn estimate(&self, arm: usize) -> Option<(f64, f64)> {
        let sums = self.arms.get(arm).filter(|sums| sums.units > 0.0)?;
        let value = sums.weighted / sums.weight;
        let [h2, scores, squares] = sums.squares;
        let spread = (squares - 2.0 * value * scores + value * value * h2).max(0.0);
        Some((value, spread.sqrt() / sums.weight))
    }
}
