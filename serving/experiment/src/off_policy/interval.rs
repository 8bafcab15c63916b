//! Intervals for reports.

use plaudit_event::Seed;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

use super::ratios::Ratios;
use super::{Estimator, Sample};
use crate::Error;
use crate::error::require;
use crate::stats::Interval;

/// An estimate with its standard error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The policy's value.
    pub value: f64,
    /// Standard error by the delta method, units as clusters, without a small-sample factor.
    pub standard_error: f64,
    /// Number of units.
    pub units: usize,
}

impl Evaluation {
    /// `value ± z·standard error` at level `alpha` in (0, 1).
    ///
    /// # Errors
    /// When `alpha` is out of range.
    pub fn interval(&self, alpha: f64) -> Result<Interval, Error> {
        require("alpha", alpha, "in (0, 1)", alpha > 0.0 && alpha < 1.0)?;
        let margin = -Normal::standard().inverse_cdf(alpha / 2.0) * self.standard_error;
        Ok(Interval { value: self.value, lower: self.value - margin, upper: self.value + margin })
    }
}

/// How to resample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Resampling {
    /// Of all draws.
    pub seed: Seed,
    /// Number of draws, 100 to 100,000.
    pub draws: u32,
    /// Level in (0, 1).
    pub alpha: f64,
}

impl Resampling {
    fn check(self) -> Result<(), Error> {
        require("alpha", self.alpha, "in (0, 1)", self.alpha > 0.0 && self.alpha < 1.0)?;
        require("draws", f64::from(self.draws), "100 to 100,000", (100..=100_000).contains(&self.draws))
    }

    /// The bootstrap-t interval (Efron & Tibshirani 1993, section 12.5) over units. Studentising corrects the
    /// skewness of rare rewards, which the plain percentile interval ignores: that one misses on one side.
    pub(super) fn interval(self, ratios: &Ratios) -> Result<Interval, Error> {
        self.check()?;
        let evaluation = evaluate(ratios)?;
        let draws = ratios.studentised_draws(self.seed, self.draws).ok_or(Error::NoWeight)?;
        let value = evaluation.value;
        if draws.is_empty() {
            return Ok(Interval { value, lower: value, upper: value });
        }
        let (low, high) = (quantile(&draws, self.alpha / 2.0), quantile(&draws, 1.0 - self.alpha / 2.0));
        // The studentised interval never excludes its own estimate, also where nearly all draws lie on one side.
        let error = evaluation.standard_error;
        Ok(Interval { value, lower: value - high.max(0.0) * error, upper: value - low.min(0.0) * error })
    }
}

/// The value with its error; fails where a denominator is zero.
pub(super) fn evaluate(ratios: &Ratios) -> Result<Evaluation, Error> {
    let (Some(value), Some(standard_error)) = (ratios.value(), ratios.standard_error()) else {
        return Err(Error::NoWeight);
    };
    Ok(Evaluation { value, standard_error, units: ratios.num_units() })
}

fn quantile(sorted: &[f64], probability: f64) -> f64 {
    let position = probability * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * position.fract()
}

impl Sample {
    /// The value of the evaluated policy, with its standard error.
    ///
    /// # Errors
    /// When a setting is out of range, the model is missing, or no row has weight.
    pub fn evaluate(&self, estimator: Estimator) -> Result<Evaluation, Error> {
        evaluate(&self.ratios(estimator)?)
    }

    /// The interval by resampling units.
    ///
    /// # Errors
    /// As [`Sample::evaluate`].
    pub fn bootstrap(&self, estimator: Estimator, resampling: Resampling) -> Result<Interval, Error> {
        resampling.interval(&self.ratios(estimator)?)
    }
}
