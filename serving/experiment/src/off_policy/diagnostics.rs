//! Whether a log can say anything about a policy at all.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Sample;

/// What the weights look like.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Diagnostics {
    /// Number of rows.
    pub rows: usize,
    /// Number of units.
    pub units: usize,
    /// `(Σw)²/Σw²` over rows (Kish 1965): how many rows served by the evaluated policy itself would tell as much.
    pub effective_rows: f64,
    /// The same over the units' sums of weights.
    pub effective_units: f64,
    /// The largest weight of a row.
    pub max_weight: f64,
    /// The share of all weight that it has.
    pub max_weight_share: f64,
    /// Mean weight; it should be 1, less `unsupported`.
    pub mean_weight: f64,
    /// Standard error of the mean weight, units as clusters.
    pub mean_weight_error: f64,
    /// Mean probability that the evaluated policy gives to actions which the serving policy never takes; nothing
    /// where no row says.
    pub unsupported: Option<f64>,
}

/// When to refuse.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Effective rows and effective units must both reach this.
    pub min_effective: f64,
    /// No row may have more than this share of all weight.
    pub max_weight_share: f64,
    /// The mean weight must be within so many standard errors of what it should be.
    pub mean_weight_sigmas: f64,
    /// No more evaluated probability than this may lie on actions that were never served.
    pub max_unsupported: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { min_effective: 100.0, max_weight_share: 0.1, mean_weight_sigmas: 4.0, max_unsupported: 0.01 }
    }
}

/// Why a log says nothing about a policy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "rule")]
pub enum Refusal {
    /// Too few rows or units carry the weight.
    EffectiveSampleSize {
        /// The smaller of effective rows and units.
        found: f64,
        /// What it must reach.
        limit: f64,
    },
    /// One row decides.
    MaxWeightShare {
        /// Its share.
        found: f64,
        /// The limit.
        limit: f64,
    },
    /// The logged propensities cannot be right.
    MeanWeight {
        /// The mean weight.
        found: f64,
        /// What it should be.
        expected: f64,
        /// Its standard error.
        error: f64,
    },
    /// The policy does what was never tried.
    Unsupported {
        /// Its probability for that.
        found: f64,
        /// The limit.
        limit: f64,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EffectiveSampleSize { found, limit } => {
                write!(f, "effective sample size {found:.1}, must be at least {limit}")
            }
            Self::MaxWeightShare { found, limit } => {
                write!(f, "one row has {:.1} % of all weight, at most {:.1} % is allowed", found * 100.0, limit * 100.0)
            }
            Self::MeanWeight { found, expected, error } => {
                write!(
                    f,
                    "mean weight {found:.4} ± {error:.4} must be {expected:.4}: the logged propensities are wrong"
                )
            }
            Self::Unsupported { found, limit } => write!(
                f,
                "{:.1} % of the policy's choices were never served, at most {:.1} % is allowed",
                found * 100.0,
                limit * 100.0
            ),
        }
    }
}

impl Sample {
    /// What the weights look like.
    #[must_use]
    pub fn diagnostics(&self) -> Diagnostics {
        let mut by_unit = vec![(0.0, 0.0); self.num_units];
        let (mut squares, mut max_weight) = (0.0, 0.0_f64);
        for (row, unit) in self.rows.iter().zip(&self.unit_of) {
            let weight = row.weight();
            by_unit[*unit].0 += weight;
            by_unit[*unit].1 += 1.0;
            squares += weight * weight;
            max_weight = max_weight.max(weight);
        }
        let rows = self.rows.len() as f64;
        let total: f64 = by_unit.iter().map(|(weight, _)| weight).sum();
        let unit_squares: f64 = by_unit.iter().map(|(weight, _)| weight * weight).sum();
        let mean_weight = total / rows;
        let deviations = by_unit.iter().map(|(weight, count)| (weight - mean_weight * count).powi(2));
        let of_total = |numerator: f64, denominator: f64| if total > 0.0 { numerator / denominator } else { 0.0 };
        let known: Vec<f64> = self.rows.iter().filter_map(|row| row.unsupported).collect();
        Diagnostics {
            rows: self.rows.len(),
            units: self.num_units,
            effective_rows: of_total(total * total, squares),
            effective_units: of_total(total * total, unit_squares),
            max_weight,
            max_weight_share: of_total(max_weight, total),
            mean_weight,
            mean_weight_error: deviations.sum::<f64>().sqrt() / rows,
            unsupported: (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64),
        }
    }
}

impl Diagnostics {
    /// Every reason to refuse, none if the log will do.
    #[must_use]
    pub fn refusals(&self, limits: &Limits) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        let effective = self.effective_rows.min(self.effective_units);
        if effective < limits.min_effective {
            refusals.push(Refusal::EffectiveSampleSize { found: effective, limit: limits.min_effective });
        }
        if self.max_weight_share > limits.max_weight_share {
            refusals.push(Refusal::MaxWeightShare { found: self.max_weight_share, limit: limits.max_weight_share });
        }
        let unsupported = self.unsupported.unwrap_or(0.0);
        let (found, expected, error) = (self.mean_weight, 1.0 - unsupported, self.mean_weight_error);
        // The constant is for weights that are all alike, whose error is zero or a rounding error.
        if (found - expected).abs() > limits.mean_weight_sigmas * error + 1e-9 {
            refusals.push(Refusal::MeanWeight { found, expected, error });
        }
        if unsupported > limits.max_unsupported {
            refusals.push(Refusal::Unsupported { found: unsupported, limit: limits.max_unsupported });
        }
        refusals
    }
}
