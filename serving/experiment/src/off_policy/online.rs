//! A gate that may be asked after every row, in constant memory.

use std::f64::consts::LN_2;

use serde::{Deserialize, Serialize};

use super::{Diagnostics, Limits, Verdict};
use crate::Error;
use crate::error::require;

/// Largest stake; see [`OnlineGate`].
const BOLDEST: f64 = 0.75;
/// Stakes, each half the one before; the least, 2·10⁻⁵, suits improvements of 10⁻⁵ at variances of ½.
const STAKES: usize = 16;
/// Groups of units. Units that share one count as one, so that diagnostics err towards refusing.
const GROUPS: usize = 4_096;

/// The rule of an [`OnlineGate`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OnlineRule {
    /// Chance of ever passing a policy that is not better; in (0, 1).
    pub alpha: f64,
    /// Improvement in units of reward that must be exceeded; in (−1, 1).
    pub margin: f64,
    /// When to refuse.
    pub limits: Limits,
}

impl Default for OnlineRule {
    fn default() -> Self {
        Self { alpha: 0.05, margin: 0.0, limits: Limits::default() }
    }
}

/// One decision of the policy that served, with the probability that the evaluated one would have given to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Logged {
    /// Any number that identifies the unit.
    pub unit: u64,
    /// `π_e/π_b` of the action taken; finite and ≥ 0.
    pub weight: f64,
    /// In \[0, 1\].
    pub reward: f64,
}

/// Whether a policy is better than the one that serves, watched while the log grows.
///
/// A row's improvement is `x = (w − 1)·r ≥ −1`; given everything before the decision its mean is the evaluated
/// policy's value there less the serving one's, because the action was drawn anew with the logged probability:
/// nothing is assumed about units. Both policies may change from row to row, as learning ones do, if the weight
/// depends on earlier rows only. A gambler who stakes a constant λ has `Π (1 + λ·(x_t − v))`, whose mean is at
/// most `Π (1 + λ·(μ_t − v)) ≤ exp(λ·Σ(μ_t − v))`. So wherever the mean of the μ so far is at most v, the capital
/// is below a nonnegative martingale that starts at 1, and by Ville's inequality (1939) the chance that it *ever*
/// exceeds 1/α there is at most α, however often one looks. The average over a fixed grid of stakes has the same
/// property and needs no tuning (a discrete mixture, as in Waudby-Smith & Ramdas 2024, section 5, with stakes that
/// do not depend on the data, for means that move).
///
/// With stakes `λ = s/(1 + s·v)` the capital at every v follows from the sums of `ln(1 + s·x)`; so rows need not be
/// kept, their order is of no account, and one can be taken back.
#[derive(Debug, Clone, PartialEq)]
pub struct OnlineGate {
    rule: OnlineRule,
    /// Per stake s the sum of `ln(1 + s·x)`.
    log_capital: [f64; STAKES],
    rows: usize,
    improvement: f64,
    reward: f64,
    squares: f64,
    max_weight: f64,
    /// Per group of units the sum of weights and the number of rows.
    groups: Vec<(f64, f64)>,
}

impl OnlineGate {
    /// A gate that has seen nothing.
    ///
    /// # Errors
    /// When a setting is out of range.
    pub fn new(rule: OnlineRule) -> Result<Self, Error> {
        require("alpha", rule.alpha, "in (0, 1)", rule.alpha > 0.0 && rule.alpha < 1.0)?;
        require("margin", rule.margin, "in (-1, 1)", rule.margin > -1.0 && rule.margin < 1.0)?;
        Ok(Self {
            rule,
            log_capital: [0.0; STAKES],
            rows: 0,
            improvement: 0.0,
            reward: 0.0,
            squares: 0.0,
            max_weight: 0.0,
            groups: vec![(0.0, 0.0); GROUPS],
        })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// When a number is out of range; the row is left out then.
    pub fn add(&mut self, row: Logged) -> Result<(), Error> {
        check(self.rows, row)?;
        self.rows += 1;
        self.max_weight = self.max_weight.max(row.weight);
        self.shift(row, 1.0);
        Ok(())
    }

    /// Takes a row back that was added. The largest weight stays what it was.
    ///
    /// # Errors
    /// When there is no row, or a number is out of range.
    pub fn remove(&mut self, row: Logged) -> Result<(), Error> {
        check(self.rows, row)?;
        self.rows = self.rows.checked_sub(1).ok_or(Error::Empty)?;
        self.shift(row, -1.0);
        Ok(())
    }

    fn shift(&mut self, row: Logged, sign: f64) {
        let improvement = (row.weight - 1.0) * row.reward;
        for (log, stake) in self.log_capital.iter_mut().zip(stakes()) {
            *log += sign * (stake * improvement).ln_1p();
        }
        self.improvement += sign * improvement;
        self.reward += sign * row.reward;
        self.squares += sign * row.weight * row.weight;
        let group = &mut self.groups[(row.unit % GROUPS as u64) as usize];
        group.0 += sign * row.weight;
        group.1 += sign;
    }

    /// Mean reward of the policy that served; nothing without rows.
    #[must_use]
    pub fn served(&self) -> Option<f64> {
        (self.rows > 0).then(|| self.reward / self.rows as f64)
    }

    /// Estimated mean improvement; nothing without rows.
    #[must_use]
    pub fn improvement(&self) -> Option<f64> {
        (self.rows > 0).then(|| self.improvement / self.rows as f64)
    }

    /// Logarithm of the capital against a mean improvement of at most `v`, v ≥ −1.
    fn log_capital_at(&self, v: f64) -> f64 {
        let rows = self.rows as f64;
        let logs: Vec<f64> =
            self.log_capital.iter().zip(stakes()).map(|(log, stake)| log - rows * (stake * v).ln_1p()).collect();
        let top = logs.iter().copied().fold(f64::MIN, f64::max);
        top + (logs.iter().map(|log| (log - top).exp()).sum::<f64>() / STAKES as f64).ln()
    }

    /// With probability `1 − alpha` below the mean improvement at all times together; −1 without rows.
    #[must_use]
    pub fn lower(&self) -> f64 {
        let (mut low, mut high) = (-1.0, self.improvement().unwrap_or(-1.0));
        for _ in 0..50 {
            let middle = f64::midpoint(low, high);
            // The capital falls as v rises.
            if self.log_capital_at(middle) >= -self.rule.alpha.ln() {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }

    /// What the weights look like; nothing without rows.
    #[must_use]
    pub fn diagnostics(&self) -> Option<Diagnostics> {
        let rows = self.served().map(|_| self.rows as f64)?;
        let total: f64 = self.groups.iter().map(|(weight, _)| weight).sum();
        let group_squares: f64 = self.groups.iter().map(|(weight, _)| weight * weight).sum();
        let mean_weight = total / rows;
        let deviations = self.groups.iter().map(|(weight, count)| (weight - mean_weight * count).powi(2));
        let of_total = |numerator: f64, denominator: f64| if total > 0.0 { numerator / denominator } else { 0.0 };
        Some(Diagnostics {
            rows: self.rows,
            units: self.groups.iter().filter(|(_, count)| *count > 0.5).count(),
            effective_rows: of_total(total * total, self.squares),
            effective_units: of_total(total * total, group_squares),
            max_weight: self.max_weight,
            max_weight_share: of_total(self.max_weight, total),
            mean_weight,
            mean_weight_error: deviations.sum::<f64>().sqrt() / rows,
            unsupported: None,
        })
    }

    /// What the rows so far say; nothing without rows. The first [`Verdict::Passed`] may be acted on.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        let diagnostics = self.diagnostics()?;
        let reasons = diagnostics.refusals(&self.rule.limits);
        let lower = self.lower();
        Some(if !reasons.is_empty() {
            Verdict::Refused { reasons, diagnostics }
        } else if lower > self.rule.margin {
            Verdict::Passed { lower, diagnostics }
        } else {
            Verdict::Undecided { lower, diagnostics }
        })
    }

    /// Whether the verdict is [`Verdict::Passed`]; cheap while it is not.
    #[must_use]
    pub fn has_passed(&self) -> bool {
        self.log_capital_at(self.rule.margin) >= -self.rule.alpha.ln()
            && matches!(self.verdict(), Some(Verdict::Passed { .. }))
    }
}

fn stakes() -> impl Iterator<Item = f64> {
    (0..STAKES).map(|index| BOLDEST * (-(index as f64) * LN_2).exp())
}

fn check(row: usize, logged: Logged) -> Result<(), Error> {
    let Logged { weight, reward, .. } = logged;
    let fail = |field, value, range| Err(Error::RowValue { row, field, value, range });
    if !weight.is_finite() || weight < 0.0 {
        return fail("weight", weight, "finite and >= 0");
    }
    if !(0.0..=1.0).contains(&reward) {
        return fail("reward", reward, "in [0, 1]");
    }
    Ok(())
}
