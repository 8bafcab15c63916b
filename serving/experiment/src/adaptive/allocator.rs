//! From what was seen to the probabilities of the next epoch.

use serde::{Deserialize, Serialize};

use super::arms::History;
use super::{ArmSums, Goal, Memory, Posterior, probability_best, top_two, track_and_stop, with_floor};
use crate::Error;
use crate::error::require;

/// How observations become weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The same for all.
    Uniform,
    /// The probability of being best: least regret.
    Thompson,
    /// [`top_two`] with this β in (0, 1): sooner certain which arm is best. With two arms always even at ½.
    TopTwo(f64),
    /// [`track_and_stop`].
    TrackAndStop,
}

/// What rewards are taken to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Belief {
    /// Rates in \[0, 1\], from a uniform prior.
    #[default]
    Beta,
    /// Any mean, by its standard error.
    Gaussian,
}

/// The settings of an [`Allocator`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How observations become weights.
    pub rule: Rule,
    /// What rewards are taken to be.
    pub belief: Belief,
    /// Whether more is better.
    pub goal: Goal,
    /// Least probability of an arm; > 0, and times the number of arms at most 1.
    pub floor: f64,
    /// Units that every arm needs before the weights are anything but even.
    pub min_units: u32,
    /// How long observations count.
    pub memory: Memory,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rule: Rule::TopTwo(0.5),
            belief: Belief::Beta,
            goal: Goal::Maximise,
            floor: 0.01,
            min_units: 100,
            memory: Memory::Forever,
        }
    }
}

/// An arm with the probability that it had; both belong in the exposure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Index of the arm.
    pub arm: usize,
    /// Its probability.
    pub propensity: f64,
}

/// Weights that follow the data, epoch by epoch. Within an epoch they are constant. Serialised
/// and read back it goes on as if nothing had happened, as exactly as the format keeps numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Allocator {
    settings: Settings,
    history: History,
    weights: Vec<f64>,
    epoch: u64,
}

impl Allocator {
    /// Even weights over at least two arms.
    ///
    /// # Errors
    /// When a setting is out of range.
    pub fn new(arms: usize, settings: Settings) -> Result<Self, Error> {
        require("arms", arms as f64, "at least 2", arms >= 2)?;
        let ok = settings.floor > 0.0 && settings.floor * arms as f64 <= 1.0 + 1e-12;
        require("floor", settings.floor, "> 0 and at most 1 / arms", ok)?;
        require("min_units", f64::from(settings.min_units), "at least 2", settings.min_units >= 2)?;
        if let Rule::TopTwo(beta) = settings.rule {
            require("beta", beta, "in (0, 1)", beta > 0.0 && beta < 1.0)?;
        }
        let history = History::new(arms, settings.memory)?;
        Ok(Self { settings, history, weights: vec![1.0 / arms as f64; arms], epoch: 0 })
    }

    /// The probabilities of this epoch, to be logged whole with every exposure.
    #[must_use]
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Number of closed epochs.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The arm for a uniform number in [0, 1); anything else is taken as the nearest end.
    #[must_use]
    pub fn choose(&self, uniform: f64) -> Choice {
        let mut left = uniform;
        for (arm, propensity) in self.weights.iter().copied().enumerate() {
            if left < propensity || arm + 1 == self.weights.len() {
                return Choice { arm, propensity };
            }
            left -= propensity;
        }
        // There are at least two arms, so the loop returned.
        Choice { arm: 0, propensity: self.weights[0] }
    }

    /// Adds units of an arm that were seen in this epoch.
    ///
    /// # Errors
    /// When there is no such arm, or the sums cannot be: for [`Belief::Beta`] rewards must be in \[0, 1\].
    pub fn observe(&mut self, arm: usize, sums: &ArmSums) -> Result<(), Error> {
        require("arm", arm as f64, "the index of an arm", arm < self.weights.len())?;
        sums.check()?;
        if self.settings.belief == Belief::Beta {
            require("sum", sums.sum, "between 0 and units", (0.0..=sums.units).contains(&sums.sum))?;
        }
        self.history.add(arm, sums);
        Ok(())
    }

    /// Closes the epoch and computes the weights of the next. Where they cannot be told yet (an arm short of
    /// units, or of variance) they are even.
    pub fn advance(&mut self) -> &[f64] {
        let sums = self.history.sums();
        self.history.close();
        self.epoch += 1;
        let arms = sums.len();
        let enough = sums.iter().all(|sums| sums.units >= f64::from(self.settings.min_units));
        let weights = if enough { self.raw_weights(&sums) } else { None };
        let even = || vec![1.0 / arms as f64; arms];
        self.weights = weights.and_then(|weights| with_floor(&weights, self.settings.floor).ok()).unwrap_or_else(even);
        &self.weights
    }

    fn raw_weights(&self, sums: &[ArmSums]) -> Option<Vec<f64>> {
        let goal = self.settings.goal;
        let best = || probability_best(&self.posteriors(sums)?, goal).ok();
        match self.settings.rule {
            Rule::Uniform => None,
            Rule::Thompson => best(),
            Rule::TopTwo(beta) => top_two(&best()?, beta).ok(),
            Rule::TrackAndStop => {
                let means: Option<Vec<f64>> = sums.iter().map(ArmSums::mean).collect();
                let variances: Option<Vec<f64>> = sums.iter().map(ArmSums::variance).collect();
                Some(track_and_stop(&means?, &variances?, 0.0, goal).ok()??.weights)
            }
        }
    }

    fn posteriors(&self, sums: &[ArmSums]) -> Option<Vec<Posterior>> {
        let posterior = |sums: &ArmSums| match self.settings.belief {
            Belief::Beta => Some(Posterior::Beta { a: 1.0 + sums.sum, b: 1.0 + (sums.units - sums.sum).max(0.0) }),
            Belief::Gaussian => {
                let sd = (sums.variance()? / sums.units).sqrt();
                (sd > 0.0).then_some(Posterior::Gaussian { mean: sums.mean()?, sd })
            }
        };
        sums.iter().map(posterior).collect()
    }
}
