//! Which arm is best, at any time and under any allocation.

use serde::{Deserialize, Serialize};

use super::Goal;
use super::check_propensities;
use crate::Error;
use crate::error::require;

/// Ratios of two arms' rates that are bet on: 1 + these.
const EDGES: [f64; 11] = [0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.28, 0.4, 0.6, 1.0, 2.0];
/// First guess of the mean reward, and how many units it counts as; a wrong one costs a little power at the start.
const GUESS: (f64, f64) = (0.05, 20.0);
/// The guess follows about so many of the latest units.
const FOLLOWED: f64 = 2_000.0;
/// No failure is bet on at longer odds than this.
const LONGEST_ODDS: f64 = 0.05;

/// An e-process for every ordered pair of arms, from the logged probabilities alone.
///
/// Take arms i and j with probabilities `π_i`, `π_j` at the moment of assignment and `q = π_i/(π_i + π_j)`. If i is
/// no better than j *at that moment*, then a success of one of the two belongs to i with probability at most q and
/// a failure with probability at least q, whatever the rate is. So against the hypothesis "i is never better than
/// j", for a ratio of rates θ > 1 and a guess p of the rate made from earlier units, with `φ = (1 − θp)/(1 − p)`,
///
/// ```text
/// Π over units of i and j:  y·g(θ) + (1 − y)·g(φ),   g(x) = x/(qx + 1 − q) for a unit of i,  1/(qx + 1 − q) for one of j
/// ```
///
/// is a supermartingale for rewards y in \[0, 1\]: the mean of g over the two arms is 1 for any x, and the rest is a
/// positive number times the difference of their means. So is the mean of these over a grid of θ. By Ville's
/// inequality it reaches 1/α with probability at most α (Lindon & Malek 2022 have successes at constant q). Neither
/// the base rate nor how the allocation came about enters, and a bad p costs power only.
///
/// An arm is declared the winner when its e-values against *all* others reach K/δ. Each of the at most K arms that
/// are not better than every other has a rival j for which the hypothesis is true, and passes it with probability
/// at most δ/K: a false winner has probability at most δ, with no correction for the K·(K−1) pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WinnerTest {
    arms: usize,
    goal: Goal,
    delta: f64,
    /// The guess of the mean reward, and the units it rests on.
    guess: (f64, f64),
    /// For each ordered pair i·K + j one logarithm per edge.
    logs: Vec<[f64; EDGES.len()]>,
}

impl WinnerTest {
    /// A test over at least two arms that names a false winner with probability at most `delta` in (0, 1).
    ///
    /// # Errors
    /// When a setting is out of range.
    pub fn new(arms: usize, goal: Goal, delta: f64) -> Result<Self, Error> {
        require("arms", arms as f64, "at least 2", arms >= 2)?;
        require("delta", delta, "in (0, 1)", delta > 0.0 && delta < 1.0)?;
        Ok(Self { arms, goal, delta, guess: GUESS, logs: vec![[0.0; EDGES.len()]; arms * arms] })
    }

    /// Adds a unit that got `arm` when the probabilities were `propensities`, and earned `reward` in \[0, 1\]. One
    /// call per unit, not per exposure.
    ///
    /// # Errors
    /// When there is no such arm, or a number is out of range.
    pub fn observe(&mut self, arm: usize, reward: f64, propensities: &[f64]) -> Result<(), Error> {
        require("arm", arm as f64, "the index of an arm", arm < self.arms)?;
        require("reward", reward, "in [0, 1]", (0.0..=1.0).contains(&reward))?;
        check_propensities(propensities, self.arms)?;
        self.bet(arm, (reward, 1.0), propensities);
        self.learn(reward, 1.0);
        Ok(())
    }

    /// Adds units that were split by the same probabilities, all of them: of each arm how many there are and how many
    /// succeeded. The same as one by one in any order, but that the guess is that of the units before them.
    ///
    /// # Errors
    /// When a number is out of range.
    pub fn observe_all(&mut self, arms: &[ArmCount], propensities: &[f64]) -> Result<(), Error> {
        if arms.len() != self.arms {
            return Err(Error::Length { field: "counts", found: arms.len(), expected: self.arms });
        }
        check_propensities(propensities, self.arms)?;
        for count in arms {
            require("successes", count.successes as f64, "at most units", count.successes <= count.units)?;
        }
        for (arm, count) in arms.iter().enumerate() {
            self.bet(arm, (1.0, count.successes as f64), propensities);
            self.bet(arm, (0.0, (count.units - count.successes) as f64), propensities);
        }
        let units: u64 = arms.iter().map(|count| count.units).sum();
        let successes: u64 = arms.iter().map(|count| count.successes).sum();
        if units > 0 {
            self.learn(successes as f64 / units as f64, units as f64);
        }
        Ok(())
    }

    /// Bets on units of `arm` with the same reward, so many of them.
    fn bet(&mut self, arm: usize, (reward, times): (f64, f64), propensities: &[f64]) {
        for other in (0..self.arms).filter(|other| *other != arm) {
            for (better, worse) in [(arm, other), (other, arm)] {
                let high = if self.goal == Goal::Maximise { better } else { worse };
                let bet = Bet {
                    share: propensities[high] / (propensities[arm] + propensities[other]),
                    is_high: high == arm,
                    guess: self.guess.0,
                };
                for (log, edge) in self.logs[better * self.arms + worse].iter_mut().zip(EDGES) {
                    *log += times * bet.factor(reward, edge).ln();
                }
            }
        }
    }

    /// Moves the guess to the mean of more units.
    fn learn(&mut self, mean: f64, times: f64) {
        let (before, units) = self.guess;
        let units = (units + times).min(FOLLOWED.max(times));
        self.guess = (before + (mean - before) * times / units, units.min(FOLLOWED));
    }

    /// Multiplies the evidence by that of another test.
    #[cfg(test)]
    pub(super) fn add_evidence_of(&mut self, other: &Self) {
        for (logs, more) in self.logs.iter_mut().zip(&other.logs) {
            logs.iter_mut().zip(more).for_each(|(log, more)| *log += more);
        }
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

/// Units of an arm, and how many of them succeeded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmCount {
    /// Units.
    pub units: u64,
    /// Successes, at most `units`.
    pub successes: u64,
}

/// A bet that the rate of one arm of a pair is the higher one.
struct Bet {
    /// Probability that a unit of the pair is of that arm.
    share: f64,
    /// Whether this unit is.
    is_high: bool,
    /// The rate of the lower one.
    guess: f64,
}

impl Bet {
    fn factor(&self, reward: f64, edge: f64) -> f64 {
        let ratio = 1.0 + edge;
        let of_failures = ((1.0 - ratio * self.guess) / (1.0 - self.guess).max(f64::EPSILON)).max(LONGEST_ODDS);
        let belongs = |x: f64| (if self.is_high { x } else { 1.0 }) / (self.share * x + 1.0 - self.share);
        reward * belongs(ratio) + (1.0 - reward) * belongs(of_failures)
    }
}
