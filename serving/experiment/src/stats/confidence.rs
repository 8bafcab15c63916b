//! Confidence sequences: intervals that hold at every moment at once, so they may be watched.
//!
//! The boundary is the asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas
//! (2024), *Time-uniform central limit theory and asymptotic confidence sequences*, Theorem 2.2 (called
//! proposition 2.5 in the preprint): for n observations of variance v,
//!
//! ```text
//! mean ± √( (n·v·ρ² + 1) / (n²·ρ²) · ln( (n·v·ρ² + 1) / α² ) )
//! ```
//!
//! ρ > 0 says where the sequence is tightest; any fixed value is valid. The guarantee is asymptotic, so
//! callers must not look before a minimum number of units.

use serde::{Deserialize, Serialize};

use super::Estimate;

/// A value with its interval: at one moment or for ever, as whoever made it says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The point estimate.
    pub value: f64,
    /// Lower end.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
}

/// The default ρ of a single mean, `√(−2·ln α + ln(−2·ln α) + 1) / 10`: tightest near 100/v observations.
#[must_use]
pub fn default_rho(alpha: f64) -> f64 {
    let twice_log = -2.0 * alpha.ln();
    (twice_log + twice_log.ln() + 1.0).sqrt() / 10.0
}

/// The ρ that makes the sequence tightest after `count` observations of unit variance (equation 29 of
/// the paper): `√((−2·ln α + ln(−2·ln α + 1)) / count)`.
#[must_use]
pub fn tuned_rho(alpha: f64, count: f64) -> f64 {
    let twice_log = -2.0 * alpha.ln();
    ((twice_log + (twice_log + 1.0).ln()) / count).sqrt()
}

/// The confidence sequence of a mean of `count` ≥ 1 observations with sample `variance` ≥ 0, at level
/// `alpha` in (0, 1); `rho` > 0, or [`default_rho`].
#[must_use]
pub fn asymp_cs(mean: f64, variance: f64, count: u64, alpha: f64, rho: Option<f64>) -> Interval {
    let rho = rho.unwrap_or_else(|| default_rho(alpha));
    let n = count as f64;
    let intrinsic = n * variance * rho * rho + 1.0;
    let margin = (intrinsic / (n * n * rho * rho) * (intrinsic / (alpha * alpha)).ln()).sqrt();
    Interval { value: mean, lower: mean - margin, upper: mean + margin }
}

/// The confidence sequence of `treatment − factor · control`; with `factor` 1 the difference of the means.
///
/// All N units together are N observations with per-observation variance `N · se²`, and ρ is given for
/// observations of unit variance, tightest at `horizon` units in both arms together. This is the form
/// that A/B platforms use (GrowthBook's sequential test). Nothing when no variance was seen yet.
#[must_use]
pub fn contrast(treatment: &Estimate, control: &Estimate, factor: f64, alpha: f64, horizon: f64) -> Option<Interval> {
    let squared_error = treatment.squared_error() + factor * factor * control.squared_error();
    let value = treatment.mean - factor * control.mean;
    sequence(value, squared_error, treatment.units + control.units, alpha, horizon)
}

/// The confidence sequence of the relative lift `treatment / control − 1`.
///
/// Computed on the logarithm of the ratio and mapped back, because the ratio of two rates is skewed and
/// its logarithm is not. By the delta method `var(ln r) = se_T²/mean_T² + se_C²/mean_C²` (Katz, Baptista,
/// Azen & Pike 1978). Its sign agrees with the sign of the difference; the linear form
/// `var_T/n_T/mean_C² + var_C/n_C·mean_T²/mean_C⁴` needs 30 to 60 % more units to exclude zero at lifts of
/// 28 to 40 %. Nothing until both means are positive.
#[must_use]
pub fn lift(treatment: &Estimate, control: &Estimate, alpha: f64, horizon: f64) -> Option<Interval> {
    if treatment.mean <= 0.0 || control.mean <= 0.0 {
        return None;
    }
    let relative = |estimate: &Estimate| estimate.squared_error() / estimate.mean.powi(2);
    let squared_error = relative(treatment) + relative(control);
    let log_ratio = (treatment.mean / control.mean).ln();
    let logarithmic = sequence(log_ratio, squared_error, treatment.units + control.units, alpha, horizon)?;
    Some(Interval {
        value: logarithmic.value.exp_m1(),
        lower: logarithmic.lower.exp_m1(),
        upper: logarithmic.upper.exp_m1(),
    })
}

/// The sequence of any asymptotically normal value of `units` units. Nothing without variance.
pub(crate) fn sequence(value: f64, squared_error: f64, units: u64, alpha: f64, horizon: f64) -> Option<Interval> {
    let variance = squared_error * units as f64;
    if !(variance.is_finite() && variance > 0.0) {
        return None;
    }
    let rho = tuned_rho(alpha, horizon) / variance.sqrt();
    Some(asymp_cs(value, variance, units, alpha, Some(rho)))
}

#[cfg(test)]
mod tests;
