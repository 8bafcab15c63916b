//! Which arm is best, at any time and under any allocation.

use serde::{Deserialize, Serialize};

use super::error::{check, check_propensities};
use super::{Error, Goal};

/// Ratios of two arms' rates that are bet on: 1 + these.
const EDGES: [f64; 20] =
    [0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.065, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.32, 0.4, 0.5, 0.7, 1.0, 1.5, 3.0];

/// An e-process for every ordered pair of arms, from the logged probabilities alone.
///
/// Take arms i and j with probabilities `π_i`, `π_j` at the moment of assignment and `q = π_i/(π_i + π_j)`. If i is
/// no better than j *at that moment*, then a success of one of the two belongs to i with probability at most q,
/// whatever the rate is. So against the hypothesis "i is never better than j", for a ratio of rates θ > 1,
///
/// ```text
/// Π over units of i and j:  1 + y·(g − 1),   g = θ/(qθ + 1 − q) for a unit of i,  1/(qθ + 1 − q) for one of j
/// ```
///
/// is a supermartingale for rewards y in \[0, 1\], and so is its mean over a grid of θ (Ville 1939; for constant q
/// and y in {0, 1} Lindon & Malek 2022). Neither the base rate nor how the allocation came about enters.
///
/// An arm is declared the winner when its e-values against *all* others reach K/δ. Each of the at most K arms that
/// are not better than every other has a rival j for which the hypothesis is true, and passes it with probability
/// at most δ/K: a false winner has probability at most δ, with no correction for the K·(K−1) pairs.
///
/// Failures tell nothing here, so it is least sharp for rates near one; there count failures and minimise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WinnerTest {
    arms: usize,
    goal: Goal,
    delta: f64,
    /// For each ordered pair i·K + j one logarithm per edge.
    logs: Vec<[f64; EDGES.len()]>,
}

impl WinnerTest {
    /// A test over at least two arms that names a false winner with probability at most `delta` in (0, 1).
    ///
    /// # Errors
    /// When a setting is out of range.
    pub fn new(arms: usize, goal: Goal, delta: f64) -> Result<Self, Error> {
        check("arms", arms as f64, "at least 2", arms >= 2)?;
        check("delta", delta, "in (0, 1)", delta > 0.0 && delta < 1.0)?;
        Ok(Self { arms, goal, delta, logs: vec![[0.0; EDGES.len()]; arms * arms] })
    }

    /// Adds a unit that got `arm` when the probabilities were `propensities`, and earned `reward` in \[0, 1\]. One
    /// call per unit, not per exposure.
    ///
    /// # Errors
    /// When there is no such arm, or a number is out of range.
    pub fn observe(&mut self, arm: usize, reward: f64, propensities: &[f64]) -> Result<(), Error> {
        check("arm", arm as f64, "the index of an arm", arm < self.arms)?;
        check("reward", reward, "in [0, 1]", (0.0..=1.0).contains(&reward))?;
        check_propensities(propensities, self.arms)?;
        if reward == 0.0 {
            return Ok(());
        }
        for other in (0..self.arms).filter(|other| *other != arm) {
            let share = propensities[arm] / (propensities[arm] + propensities[other]);
            // A success speaks for its arm; where less is better, for the other.
            for (better, worse, share) in [(arm, other, share), (other, arm, 1.0 - share)] {
                let is_favoured = (better == arm) == (self.goal == Goal::Maximise);
                let q = if self.goal == Goal::Maximise { share } else { 1.0 - share };
                for (log, edge) in self.logs[better * self.arms + worse].iter_mut().zip(EDGES) {
                    let scale = 1.0 + q * edge;
                    let g = if is_favoured { (1.0 + edge) / scale } else { 1.0 / scale };
                    *log += (reward * (g - 1.0)).ln_1p();
                }
            }
        }
        Ok(())
    }

    /// ln of the evidence that `better` beats `worse` at some time; −∞ for arms that do not exist or are the same.
    #[must_use]
    pub fn ln_evidence(&self, better: usize, worse: usize) -> f64 {
        if better >= self.arms || worse >= self.arms || better == worse {
            return f64::NEG_INFINITY;
        }
        let logs = &self.logs[better * self.arms + worse];
        let most = logs.iter().copied().fold(f64::MIN, f64::max);
        let sum: f64 = logs.iter().map(|log| (log - most).exp()).sum();
        most + (sum / EDGES.len() as f64).ln()
    }

    /// What the evidence must reach: `ln(K/δ)`.
    #[must_use]
    pub fn ln_threshold(&self) -> f64 {
        (self.arms as f64 / self.delta).ln()
    }

    /// The arm that is better than all others, if it is known by now. May be asked at any time; the first answer
    /// counts, and later data cannot take it back.
    #[must_use]
    pub fn winner(&self) -> Option<usize> {
        let beats = |arm: usize, other: usize| other == arm || self.ln_evidence(arm, other) >= self.ln_threshold();
        (0..self.arms).find(|arm| (0..self.arms).all(|other| beats(*arm, other)))
    }
}
