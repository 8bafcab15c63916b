//! A Bayesian summary of an effect: for reading, not for deciding when to stop.

use super::Effect;
use super::special::{normal_cdf, normal_pdf, normal_quantile};

/// A normal prior on an effect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EffectPrior {
    /// Its mean.
    pub mean: f64,
    /// Its standard deviation, > 0, in units of the effect.
    pub sd: f64,
}

/// The posterior of an effect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Posterior {
    /// Posterior mean.
    pub mean: f64,
    /// Posterior standard deviation.
    pub sd: f64,
    /// Probability that the effect is positive.
    pub chance_to_win: f64,
    /// Expected loss of staying with control: E max(effect, 0).
    pub risk_control: f64,
    /// Expected loss of going with treatment: E max(−effect, 0).
    pub risk_treatment: f64,
}

/// Normal–normal conjugacy: precision adds up; a flat prior when there is none.
/// `E max(X, 0) = μ·Φ(μ/σ) + σ·φ(μ/σ)` for the risks.
#[must_use]
pub fn posterior(effect: &Effect, prior: Option<EffectPrior>) -> Posterior {
    let precision = effect.standard_error.powi(-2);
    let (weight, pull) = prior.map_or((0.0, 0.0), |p| (p.sd.powi(-2), p.mean * p.sd.powi(-2)));
    let variance = (precision + weight).recip();
    let mean = (effect.value * precision + pull) * variance;
    let sd = variance.sqrt();
    let z = mean / sd;
    let density = sd * normal_pdf(z);
    Posterior {
        mean,
        sd,
        chance_to_win: normal_cdf(z),
        risk_control: (density + mean * normal_cdf(z)).max(0.0),
        risk_treatment: (density - mean * normal_cdf(-z)).max(0.0),
    }
}

impl Posterior {
    /// The central interval that holds the effect with probability 1 − `alpha`.
    #[must_use]
    pub fn interval(&self, alpha: f64) -> (f64, f64) {
        let margin = normal_quantile(1.0 - alpha / 2.0) * self.sd;
        (self.mean - margin, self.mean + margin)
    }
}
