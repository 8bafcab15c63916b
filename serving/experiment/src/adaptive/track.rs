//! Track-and-stop for Gaussian rewards of known variance (Garivier & Kaufmann 2016).

use super::Goal;
use crate::Error;
use crate::error::require;

/// Shares that identify the best arm soonest.
#[derive(Debug, Clone, PartialEq)]
pub struct Allocation {
    /// One share per arm; they sum to one.
    pub weights: Vec<f64>,
    /// Observations needed per unit of evidence: the optimum of `max_i 2·(v_L/w_L + v_i/w_i)/gap_i²`.
    pub characteristic_time: f64,
}

/// The leader, the best mean (the first of equals), and by how much each arm is worse.
fn gaps(means: &[f64], goal: Goal) -> (usize, Vec<f64>) {
    let sign = if goal == Goal::Maximise { 1.0 } else { -1.0 };
    let mut leader = 0;
    for arm in 1..means.len() {
        if sign * means[arm] > sign * means[leader] {
            leader = arm;
        }
    }
    (leader, means.iter().map(|mean| sign * (means[leader] - mean)).collect())
}

fn check_arms(means: &[f64], variances: &[f64], epsilon: f64) -> Result<(), Error> {
    require("arms", means.len() as f64, "at least 2", means.len() >= 2)?;
    if variances.len() != means.len() {
        return Err(Error::Length { field: "variances", found: variances.len(), expected: means.len() });
    }
    require("epsilon", epsilon, "finite and >= 0", epsilon.is_finite() && epsilon >= 0.0)?;
    for (mean, variance) in means.iter().zip(variances) {
        require("mean", *mean, "finite", mean.is_finite())?;
        require("variance", *variance, "finite and > 0", variance.is_finite() && *variance > 0.0)?;
    }
    Ok(())
}

/// The shares that minimise `max_{i≠L} 2·(v_L/w_L + v_i/w_i)/(gap_i + epsilon)²`; nothing when an arm equals the
/// leader and `epsilon` is zero: no amount of data would tell them apart.
///
/// In numbers of observations `n = T·w` this is: least Σn with `v_L/n_L + v_i/n_i ≤ gap_i²/2 = c_i` for all i. With
/// `y = v_L/n_L` the sum is `v_L/y + Σ v_i/(c_i − y)`, convex on (0, min c), so its derivative has one root.
///
/// # Errors
/// With fewer than two arms, lists of different lengths, or a value out of range.
pub fn track_and_stop(means: &[f64], variances: &[f64], epsilon: f64, goal: Goal) -> Result<Option<Allocation>, Error> {
    check_arms(means, variances, epsilon)?;
    let (leader, gaps) = gaps(means, goal);
    let others: Vec<usize> = (0..means.len()).filter(|arm| *arm != leader).collect();
    let room = |arm: usize| (gaps[arm] + epsilon).powi(2) / 2.0;
    let tightest = others.iter().map(|arm| room(*arm)).fold(f64::INFINITY, f64::min);
    if tightest <= 0.0 {
        return Ok(None);
    }
    let slope = |y: f64| {
        let costs = others.iter().map(|arm| variances[*arm] / (room(*arm) - y).powi(2));
        costs.sum::<f64>() - variances[leader] / y.powi(2)
    };
    let (mut low, mut high) = (0.0, tightest);
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if slope(middle) < 0.0 { low = middle } else { high = middle }
    }
    let y = f64::midpoint(low, high);
    let count = |arm: usize| if arm == leader { variances[arm] / y } else { variances[arm] / (room(arm) - y) };
    let counts: Vec<f64> = (0..means.len()).map(count).collect();
    let total: f64 = counts.iter().sum();
    // Where one share is next to nothing, y cannot be told from the end of its range.
    if !total.is_finite() {
        return Ok(None);
    }
    let weights = counts.iter().map(|count| count / total).collect();
    Ok(Some(Allocation { weights, characteristic_time: total }))
}

/// The generalised likelihood ratio rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Glr {
    /// The arm with the best mean.
    pub leader: usize,
    /// The least evidence against an arm: `min_i (m_L − m_i + ε)²/(2·(v_L/n_L + v_i/n_i))`.
    pub statistic: f64,
    /// `ln((1 + ln t)/δ)`.
    pub threshold: f64,
}

impl Glr {
    /// Whether the rule would declare the leader the winner.
    #[must_use]
    pub fn stops(&self) -> bool {
        self.statistic > self.threshold
    }
}

/// The stopping rule of track-and-stop on per-arm means, `delta` in (0, 1).
///
/// Its guarantee is for rewards whose means never change. Where the base rate moves, it declares false winners:
/// it is here to be compared with, and [`super::WinnerTest`] decides.
///
/// # Errors
/// As [`track_and_stop`], and without an observation of every arm.
pub fn glr_stop(counts: &[u64], means: &[f64], variances: &[f64], epsilon: f64, delta: f64) -> Result<Glr, Error> {
    check_arms(means, variances, epsilon)?;
    if counts.len() != means.len() {
        return Err(Error::Length { field: "counts", found: counts.len(), expected: means.len() });
    }
    require("delta", delta, "in (0, 1)", delta > 0.0 && delta < 1.0)?;
    let least = counts.iter().min().map_or(0.0, |count| *count as f64);
    require("count", least, "at least 1", least >= 1.0)?;
    let (leader, gaps) = gaps(means, Goal::Maximise);
    let error = |arm: usize| variances[arm] / counts[arm] as f64;
    let against = |arm: usize| (gaps[arm] + epsilon).powi(2) / (2.0 * (error(leader) + error(arm)));
    let statistic = (0..means.len()).filter(|arm| *arm != leader).map(against).fold(f64::INFINITY, f64::min);
    let total: u64 = counts.iter().sum();
    let threshold = ((1.0 + (total as f64).ln()) / delta).ln();
    Ok(Glr { leader, statistic, threshold })
}
