//! Which arm is best, by exact quadrature: Monte Carlo would make the weights noisy and not repeatable.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};
use statrs::function::beta::{beta_reg, ln_beta};

use super::{Beta, beta_best};
use crate::Error;
use crate::error::require;

/// Whether more is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// As for love.
    #[default]
    Maximise,
    /// As for latency.
    Minimise,
}

/// What is believed about the mean of an arm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Posterior {
    /// Of a rate; both parameters finite and > 0.
    Beta {
        /// Successes, with the prior's.
        a: f64,
        /// Failures, with the prior's.
        b: f64,
    },
    /// Of any mean.
    Gaussian {
        /// Finite.
        mean: f64,
        /// Standard deviation, finite and > 0.
        sd: f64,
    },
}

/// Nodes and weights on \[−1, 1\], the positive half (Abramowitz & Stegun, table 25.4, n = 16).
const GAUSS_LEGENDRE: [(f64, f64); 8] = [
    (0.095_012_509_837_637_44, 0.189_450_610_455_068_5),
    (0.281_603_550_779_258_9, 0.182_603_415_044_923_6),
    (0.458_016_777_657_227_4, 0.169_156_519_395_002_54),
    (0.617_876_244_402_643_7, 0.149_595_988_816_576_73),
    (0.755_404_408_355_003, 0.124_628_971_255_533_87),
    (0.865_631_202_387_831_7, 0.095_158_511_682_492_78),
    (0.944_575_023_073_232_6, 0.062_253_523_938_647_89),
    (0.989_400_934_991_649_9, 0.027_152_459_411_754_095),
];
/// Where panels end, in standard deviations from each arm's mode; then doubling until nothing is left.
const PANELS: [f64; 5] = [0.5, 1.5, 3.0, 5.0, 8.0];
/// A density below e⁻⁴⁵ of its peak is nothing.
const NEGLIGIBLE: f64 = -45.0;

/// All in the variable t: the mean itself for a Gaussian, its logit for a Beta, where both are smooth and fall
/// off at least exponentially.
impl Posterior {
    fn check(self) -> Result<(), Error> {
        match self {
            Self::Beta { a, b } => {
                require("beta.a", a, "finite and > 0", a.is_finite() && a > 0.0)?;
                require("beta.b", b, "finite and > 0", b.is_finite() && b > 0.0)
            }
            Self::Gaussian { mean, sd } => {
                require("gaussian.mean", mean, "finite", mean.is_finite())?;
                require("gaussian.sd", sd, "finite and > 0", sd.is_finite() && sd > 0.0)
            }
        }
    }

    /// The expected value.
    #[must_use]
    pub fn mean(self) -> f64 {
        match self {
            Self::Beta { a, b } => a / (a + b),
            Self::Gaussian { mean, .. } => mean,
        }
    }

    /// The rate of which more is better; nothing for other means.
    fn beta(self, goal: Goal) -> Option<Beta> {
        match (self, goal) {
            (Self::Beta { a, b }, Goal::Maximise) => Some(Beta { a, b }),
            (Self::Beta { a, b }, Goal::Minimise) => Some(Beta { a: b, b: a }),
            (Self::Gaussian { .. }, _) => None,
        }
    }

    fn mode_and_width(self) -> (f64, f64) {
        match self {
            Self::Beta { a, b } => ((a / b).ln(), ((a + b) / (a * b)).sqrt()),
            Self::Gaussian { mean, sd } => (mean, sd),
        }
    }

    fn ln_density(self, t: f64) -> f64 {
        match self {
            // ln x = −ln(1 + e⁻ᵗ) and ln(1 − x) = −ln(1 + eᵗ), exact in both tails.
            Self::Beta { a, b } => -a * softplus(-t) - b * softplus(t) - ln_beta(a, b),
            Self::Gaussian { mean, sd } => {
                -0.5 * ((t - mean) / sd).powi(2) - (sd * (2.0 * std::f64::consts::PI).sqrt()).ln()
            }
        }
    }

    fn value(self, t: f64) -> f64 {
        match self {
            Self::Beta { .. } => (-softplus(-t)).exp(),
            Self::Gaussian { .. } => t,
        }
    }

    /// Probability of being beaten by a mean at t.
    fn beaten(self, t: f64, goal: Goal) -> f64 {
        match (self, goal) {
            (Self::Beta { a, b }, Goal::Maximise) => beta_reg(a, b, (-softplus(-t)).exp()),
            (Self::Beta { a, b }, Goal::Minimise) => beta_reg(b, a, (-softplus(t)).exp()),
            (Self::Gaussian { mean, sd }, Goal::Maximise) => Normal::standard().cdf((t - mean) / sd),
            (Self::Gaussian { mean, sd }, Goal::Minimise) => Normal::standard().sf((t - mean) / sd),
        }
    }

    fn ends(self, ends: &mut Vec<f64>) {
        let (mode, width) = self.mode_and_width();
        let peak = self.ln_density(mode);
        ends.push(mode);
        for side in [-1.0, 1.0] {
            ends.extend(PANELS.map(|steps| mode + side * steps * width));
            let mut steps = PANELS[PANELS.len() - 1];
            while self.ln_density(mode + side * steps * width) - peak > NEGLIGIBLE {
                steps *= 2.0;
                ends.push(mode + side * steps * width);
            }
        }
    }
}

fn softplus(t: f64) -> f64 {
    t.max(0.0) + (-t.abs()).exp().ln_1p()
}

fn check_all(arms: &[Posterior]) -> Result<(), Error> {
    require("arms", arms.len() as f64, "at least 1", !arms.is_empty())?;
    let betas = arms.iter().filter(|arm| matches!(arm, Posterior::Beta { .. })).count();
    require("beta arms", betas as f64, "none or all", betas == 0 || betas == arms.len())?;
    arms.iter().try_for_each(|arm| arm.check())
}

/// For each arm `∫ f(x)·p_i(x)·Π_{j≠i} P[j is beaten by x] dx`, for f = 1 and f = x − `centre`.
pub(super) fn integrals(arms: &[Posterior], goal: Goal, centre: f64) -> Vec<[f64; 2]> {
    let mut ends = Vec::new();
    arms.iter().for_each(|arm| arm.ends(&mut ends));
    ends.sort_by(f64::total_cmp);
    ends.dedup();
    let mut sums = vec![[0.0; 2]; arms.len()];
    for panel in ends.windows(2) {
        let (middle, half) = (f64::midpoint(panel[0], panel[1]), (panel[1] - panel[0]) / 2.0);
        for (node, weight) in GAUSS_LEGENDRE {
            for t in [middle - half * node, middle + half * node] {
                let beaten: Vec<f64> = arms.iter().map(|arm| arm.beaten(t, goal)).collect();
                for (index, (arm, sum)) in arms.iter().zip(&mut sums).enumerate() {
                    let others = beaten.iter().enumerate().filter(|(other, _)| *other != index);
                    let product: f64 = others.map(|(_, probability)| probability).product();
                    let mass = half * weight * arm.ln_density(t).exp() * product;
                    sum[0] += mass;
                    sum[1] += mass * (arm.value(t) - centre);
                }
            }
        }
    }
    sums
}

/// For each arm the probability that its mean is the best: `∫ p_i(x)·Π_{j≠i} P_j(x) dx`, for [`Goal::Minimise`]
/// with the upper tails. Sums to one. Accurate to 10⁻⁸.
///
/// # Errors
/// With no arms, kinds mixed, or a parameter out of range.
pub fn probability_best(arms: &[Posterior], goal: Goal) -> Result<Vec<f64>, Error> {
    check_all(arms)?;
    let betas: Option<Vec<Beta>> = arms.iter().map(|arm| arm.beta(goal)).collect();
    if let Some(betas) = betas {
        return Ok(beta_best(&betas));
    }
    let mut probabilities: Vec<f64> = integrals(arms, goal, 0.0).into_iter().map(|[mass, _]| mass).collect();
    let sum: f64 = probabilities.iter().sum();
    probabilities.iter_mut().for_each(|probability| *probability /= sum);
    Ok(probabilities)
}

/// For each arm by how much its mean is expected to fall short of the best mean.
///
/// # Errors
/// As [`probability_best`].
pub fn expected_loss(arms: &[Posterior], goal: Goal) -> Result<Vec<f64>, Error> {
    check_all(arms)?;
    let centre = arms[0].mean();
    let best: f64 = integrals(arms, goal, centre).iter().map(|[_, shifted]| shifted).sum();
    let sign = if goal == Goal::Maximise { 1.0 } else { -1.0 };
    Ok(arms.iter().map(|arm| (sign * (best - (arm.mean() - centre))).max(0.0)).collect())
}

/// Weights of top-two Thompson sampling (Russo 2020): the best arm is drawn, and with probability `1 − beta`
/// replaced by the best of the others: `ψ_i = a_i·(β + (1−β)·Σ_{j≠i} a_j/(1−a_j))`.
///
/// `best` are probabilities of being best that sum to one. With one arm certain, its share is β and the others
/// share the rest evenly, as nothing tells them apart.
///
/// # Errors
/// When `beta` is not in \[0, 1\], or there is no arm.
pub fn top_two(best: &[f64], beta: f64) -> Result<Vec<f64>, Error> {
    require("beta", beta, "in [0, 1]", (0.0..=1.0).contains(&beta))?;
    require("arms", best.len() as f64, "at least 1", !best.is_empty())?;
    if best.len() == 1 {
        return Ok(vec![1.0]);
    }
    // 1 − a is the sum of the others: exact where a is nearly one.
    let rest = |arm: usize| best.iter().enumerate().filter(|(other, _)| *other != arm).map(|(_, a)| a).sum::<f64>();
    let rests: Vec<f64> = (0..best.len()).map(rest).collect();
    if let Some(certain) = rests.iter().position(|rest| *rest <= 0.0) {
        let even = (1.0 - beta) / (best.len() - 1) as f64;
        return Ok((0..best.len()).map(|arm| if arm == certain { beta } else { even }).collect());
    }
    let weight = |arm: usize| {
        let others = best.iter().zip(&rests).enumerate().filter(|(other, _)| *other != arm);
        best[arm] * beta + (1.0 - beta) * others.map(|(_, (a, rest))| a * (best[arm] / rest)).sum::<f64>()
    };
    Ok((0..best.len()).map(weight).collect())
}

/// `p = f + (1 − K·f)·w`: every arm keeps at least the floor `f`.
///
/// # Errors
/// When `floor · arms` exceeds 1, or the floor is negative.
pub fn with_floor(weights: &[f64], floor: f64) -> Result<Vec<f64>, Error> {
    let arms = weights.len() as f64;
    require("floor", floor, ">= 0 and at most 1 / arms", floor >= 0.0 && floor * arms <= 1.0 + 1e-12)?;
    Ok(weights.iter().map(|weight| floor + (1.0 - arms * floor) * weight).collect())
}
