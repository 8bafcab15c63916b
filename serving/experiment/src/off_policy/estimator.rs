//! Estimators of a policy's value. `w = π_e/π_b` of the logged action, `q` its predicted reward, DM the mean
//! prediction under the evaluated policy.

use serde::{Deserialize, Serialize};

use super::ratios::Ratios;
use super::{Model, Row, Sample};
use crate::Error;
use crate::error::require;

/// How to estimate. Unless it says otherwise an estimator is unbiased given right propensities.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Estimator {
    /// Inverse propensity score: mean of `w·r` (Horvitz & Thompson 1952).
    Ips,
    /// Mean of `min(w, L)·r`; biased down for rewards ≥ 0, with less variance. L > 0.
    ClippedIps(f64),
    /// Self-normalised: `Σw·r / Σw` (Swaminathan & Joachims 2015); biased by O(1/n).
    Snips,
    /// Mean of `λ`-shrunk `w/(1 − λ + λ·w)·r` (Metelli, Russo & Restelli 2021); λ in \[0, 1\].
    SubGaussianIps(f64),
    /// Direct method: the mean prediction; as biased as the model.
    Dm,
    /// Doubly robust: DM + mean of `w·(r − q)` (Dudík, Langford & Li 2011).
    Dr,
    /// Doubly robust with `min(w, L)`; L > 0.
    ClippedDr(f64),
    /// Self-normalised doubly robust: `DM + Σw·(r − q)/Σw`.
    Sndr,
    /// Doubly robust where `w ≤ L`, else the model alone (Wang, Agarwal & Dudík 2017); L ≥ 0.
    SwitchDr(f64),
    /// Doubly robust with optimistic shrinkage `λw/(w² + λ)` (Su et al. 2020, equation 7); λ > 0.
    DrOs(f64),
    /// Doubly robust with the sub-Gaussian weights; λ in \[0, 1\].
    SubGaussianDr(f64),
    /// Mean reward of the rows whose action a deterministic policy takes too (Li et al. 2011); right only
    /// where the log's propensities are uniform.
    Replay,
}

impl Estimator {
    fn check(self) -> Result<(), Error> {
        match self {
            Self::ClippedIps(l) | Self::ClippedDr(l) | Self::DrOs(l) => require("limit", l, "> 0", l > 0.0),
            Self::SwitchDr(l) => require("limit", l, ">= 0", l >= 0.0),
            Self::SubGaussianIps(l) | Self::SubGaussianDr(l) => {
                require("lambda", l, "in [0, 1]", (0.0..=1.0).contains(&l))
            }
            Self::Ips | Self::Snips | Self::Dm | Self::Dr | Self::Sndr | Self::Replay => Ok(()),
        }
    }

    /// The weight this estimator gives to a row of importance weight `w`.
    fn weight(self, w: f64) -> f64 {
        match self {
            Self::Ips | Self::Snips | Self::Dr | Self::Sndr => w,
            Self::ClippedIps(limit) | Self::ClippedDr(limit) => w.min(limit),
            Self::SwitchDr(limit) => {
                if w <= limit {
                    w
                } else {
                    0.0
                }
            }
            Self::DrOs(lambda) => lambda * w / (w * w + lambda),
            // At λ = 1 a weight of zero stays zero, where the formula has 0/0.
            Self::SubGaussianIps(_) | Self::SubGaussianDr(_) if w == 0.0 => 0.0,
            Self::SubGaussianIps(lambda) | Self::SubGaussianDr(lambda) => w / (1.0 - lambda + lambda * w),
            Self::Dm | Self::Replay => 0.0,
        }
    }

    pub(super) const fn uses_model(self) -> bool {
        matches!(
            self,
            Self::Dm
                | Self::Dr
                | Self::ClippedDr(_)
                | Self::Sndr
                | Self::SwitchDr(_)
                | Self::DrOs(_)
                | Self::SubGaussianDr(_)
        )
    }

    fn model(self, index: usize, row: &Row) -> Result<Model, Error> {
        if self.uses_model() {
            row.model.ok_or(Error::NoModel { row: index })
        } else {
            Ok(Model { logged: 0.0, expected: 0.0 })
        }
    }
}

impl Sample {
    /// One score per row whose mean is the estimate.
    ///
    /// # Errors
    /// When a setting is out of range, a model is missing, or the estimator is self-normalised
    /// ([`Error::NoBound`]) and so no mean.
    pub fn scores(&self, estimator: Estimator) -> Result<Vec<f64>, Error> {
        estimator.check()?;
        if matches!(estimator, Estimator::Snips | Estimator::Sndr | Estimator::Replay) {
            return Err(Error::NoBound);
        }
        let mut scores = Vec::with_capacity(self.rows.len());
        for (index, row) in self.rows.iter().enumerate() {
            let model = estimator.model(index, row)?;
            scores.push(model.expected + estimator.weight(row.weight()) * (row.reward - model.logged));
        }
        Ok(scores)
    }

    /// Upper bound, with probability `1 − alpha`, of the bias that clipping weights at `limit` causes in the inverse
    /// propensity score (Su et al. 2020, page 17): `|mean (w − min(w, L))·r| + √(2·ln(2/α)·mean w²/n) +
    /// 2·max w·ln(2/α)/(3n)`.
    ///
    /// # Errors
    /// When a setting is out of range.
    pub fn clipping_bias(&self, limit: f64, alpha: f64) -> Result<f64, Error> {
        Estimator::ClippedIps(limit).check()?;
        require("alpha", alpha, "in (0, 1)", alpha > 0.0 && alpha < 1.0)?;
        let (mut bias, mut squares, mut largest) = (0.0, 0.0, 0.0_f64);
        for row in &self.rows {
            let w = row.weight();
            bias += (w - w.min(limit)) * row.reward;
            squares += w * w;
            largest = largest.max(w);
        }
        let (n, log) = (self.rows.len() as f64, (2.0 / alpha).ln());
        Ok((bias / n).abs() + (2.0 * log * squares / n / n).sqrt() + 2.0 * largest * log / (3.0 * n))
    }

    pub(super) fn ratios(&self, estimator: Estimator) -> Result<Ratios, Error> {
        estimator.check()?;
        let terms = if estimator == Estimator::Sndr { 2 } else { 1 };
        let mut ratios = Ratios::new(terms, self.num_units);
        for (index, row) in self.rows.iter().enumerate() {
            let (unit, w) = (self.unit_of[index], row.weight());
            let model = estimator.model(index, row)?;
            match estimator {
                Estimator::Snips => ratios.add(unit, 0, [w * row.reward, w]),
                Estimator::Sndr => {
                    ratios.add(unit, 0, [model.expected, 1.0]);
                    ratios.add(unit, 1, [w * (row.reward - model.logged), w]);
                }
                Estimator::Replay => {
                    let matches = f64::from(u8::from(row.evaluation >= 1.0));
                    ratios.add(unit, 0, [matches * row.reward, matches]);
                }
                _ => {
                    let correction = estimator.weight(w) * (row.reward - model.logged);
                    ratios.add(unit, 0, [model.expected + correction, 1.0]);
                }
            }
        }
        Ok(ratios)
    }
}
