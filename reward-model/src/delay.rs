//! Losses for reactions that come late: an example without one may still get it.
//!
//! With `p = σ(z)`, `z` the logit of an example and `y` whether it has had its reaction by now (in \[0, 1\]):
//!
//! | loss | of | row |
//! |---|---|---|
//! | [`exponential`] | Chapelle, KDD 2014 | `y = 1: −(ln p + ln λ − λd)`, `y = 0: −ln(1 − p + p·e^{−λe})` |
//! | [`fake_negative_weighted`] | Ktena et al., RecSys 2019 | `−y(1 + p)·ln p − (1 − y)(1 − p)(1 + p)·ln(1 − p)` |
//! | [`elapsed_time_sampled`] | ES-DFM, Yang et al., AAAI 2021 | `−y(1 + p_dp)·ln p − (1 − y)(1 + p_dp)·p_tn·ln(1 − p)` |
//! | [`shift_weighted`] | FSIW, Yasui et al., WWW 2020 | `−y/p₁·ln p − (1 − y)·p₀·ln(1 − p)` |
//! | [`calibrate_fake_negatives`] | Ktena et al., RecSys 2019 | `p = b/(1 − b)` for `b` learned by plain cross-entropy |
//!
//! In those that weigh by a probability of their own row (`p`, `p_dp`, `p_tn`, `p₀`, `p₁`), that weight is a constant
//! of the row: no gradient goes through it. Deviation: the rate λ is given by its logarithm, as Chapelle has it, where
//! the implementation published with ES-DFM takes a softplus.
//!
//! Losses are in nats and slopes in nats per unit of logit. Logarithms are taken of logits, so that both stay finite
//! for every finite logit; what is not a number stays so.

use plaudit_nn::loss::{bce, sigmoid};
use serde::{Deserialize, Serialize};

/// Logarithms of rates beyond this are cut off.
const MAX_LOG_RATE: f64 = 30.0;

/// What keeps the inverse of a probability finite.
const LEAST_OBSERVED: f64 = 1e-8;

/// The loss of one row and its derivative by the row's logit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LossAndSlope {
    /// In nats, at least 0 but for [`exponential`], which has a density in it.
    pub loss: f64,
    /// The loss's derivative by the logit.
    pub slope: f64,
}

/// The same, and the derivative by the logarithm of the rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DelayedLoss {
    /// The loss, and its derivative by the logit.
    pub of_logit: LossAndSlope,
    /// The loss's derivative by ln λ.
    pub rate_slope: f64,
}

/// What is known of a reaction now. Times are at least 0, in the unit that the rate is in the inverse of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reaction {
    /// It came this long after the exposure.
    After(f64),
    /// It has not come in this long since the exposure.
    NotWithin(f64),
}

/// The delayed-feedback model with exponential delays: whether a reaction comes, `p = σ(logit)`, and when,
/// at the rate `λ = e^{log_rate}` (logarithms beyond ±30 are cut off).
#[must_use]
pub fn exponential(logit: f64, log_rate: f64, reaction: Reaction) -> DelayedLoss {
    let log_rate = log_rate.clamp(-MAX_LOG_RATE, MAX_LOG_RATE);
    let p = sigmoid(logit);
    match reaction {
        Reaction::After(delay) => {
            let expected = log_rate.exp() * delay;
            let of_logit = LossAndSlope { loss: bce(logit, 1.0) - log_rate + expected, slope: p - 1.0 };
            DelayedLoss { of_logit, rate_slope: expected - 1.0 }
        }
        Reaction::NotWithin(elapsed) => {
            let expected = log_rate.exp() * elapsed;
            // ln(1 − p), and ln p·e^{−λe}: either it never comes, or it is late.
            let (never, late) = (-bce(logit, 0.0), -bce(logit, 1.0) - expected);
            let either = log_add(never, late);
            let slope = -p * (-expected).exp_m1() * (never - either).exp();
            let of_logit = LossAndSlope { loss: -either, slope };
            DelayedLoss { of_logit, rate_slope: expected * (late - either).exp() }
        }
    }
}

/// Importance weighting for a stream in which every example enters at once as a negative, and again as a positive when
/// its reaction comes: fake negatives are `p` of all negatives per true row.
#[must_use]
pub fn fake_negative_weighted(logit: f64, label: f64) -> LossAndSlope {
    let p = sigmoid(logit);
    weighted(logit, label, 1.0 + p, (1.0 - p) * (1.0 + p))
}

/// Importance weighting for a stream in which an example enters when an attribution window closes, and again when its
/// reaction comes after that. `delayed` is the probability that it comes after (p_dp), `true_negative` that an example
/// without reaction when the window closes is one for good (p_tn).
#[must_use]
pub fn elapsed_time_sampled(logit: f64, label: f64, delayed: f64, true_negative: f64) -> LossAndSlope {
    weighted(logit, label, 1.0 + delayed, (1.0 + delayed) * true_negative)
}

/// Importance weighting by feedback shift: `observed` is the probability that a reaction which comes has come by now
/// (p₁; 10⁻⁸ is added to it, as in the implementation published with ES-DFM, so that no weight is infinite),
/// `true_negative` that an example without reaction by now is one for good (p₀).
#[must_use]
pub fn shift_weighted(logit: f64, label: f64, observed: f64, true_negative: f64) -> LossAndSlope {
    weighted(logit, label, (observed + LEAST_OBSERVED).recip(), true_negative)
}

/// Probability of a reaction where `biased` was learned, by plain cross-entropy, on a stream with all examples as
/// negatives and reactions once more as positives: `b/(1 − b)`, at most 1 (which is reached at one half).
#[must_use]
pub fn calibrate_fake_negatives(biased: f64) -> f64 {
    if biased >= 0.5 { 1.0 } else { biased / (1.0 - biased) }
}

/// Cross-entropy with a weight for either class.
fn weighted(logit: f64, label: f64, positive: f64, negative: f64) -> LossAndSlope {
    let p = sigmoid(logit);
    let (positive, negative) = (label * positive, (1.0 - label) * negative);
    LossAndSlope {
        loss: positive * bce(logit, 1.0) + negative * bce(logit, 0.0),
        slope: negative * p - positive * (1.0 - p),
    }
}

/// `ln(eᵃ + eᵇ)`.
fn log_add(a: f64, b: f64) -> f64 {
    let (high, low) = if a > b { (a, b) } else { (b, a) };
    high + (low - high).exp().ln_1p()
}

/// How many reactions had come when their window closed, and how many came after it. Of one objective.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Arrivals {
    early: u64,
    late: u64,
}

impl Arrivals {
    pub(crate) fn note_early(&mut self) {
        self.early += 1;
    }

    pub(crate) fn note_late(&mut self) {
        self.late += 1;
    }

    /// What an example counts whose probability is `p`, with its reaction or without one by now: the weights of
    /// [`elapsed_time_sampled`]. Deviation: the share `q` of reactions that come within the window is one number of the
    /// objective, measured, where ES-DFM has a second and a third model of the row, so `p_dp = p(1 − q)` and
    /// `p_tn = (1 − p)/(1 − pq)`. With `q = 0` these are the weights of [`fake_negative_weighted`]; with `q = 1`, as long
    /// as nothing came late, they are 1.
    pub(crate) fn weight(self, p: f64, is_positive: bool) -> f64 {
        let all = self.early + self.late;
        let early = if all == 0 { 1.0 } else { self.early as f64 / all as f64 };
        let delayed = p * (1.0 - early);
        // Above 0 as p is below 1 or q is; both at 1 leave no negative to be weighted.
        let true_negative = (1.0 - p) / (1.0 - p * early).max(f64::MIN_POSITIVE);
        (1.0 + delayed) * if is_positive { 1.0 } else { true_negative }
    }
}

#[cfg(test)]
mod tests;
