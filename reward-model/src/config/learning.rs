//! How the heads learn, and what they learn again.

use serde::{Deserialize, Serialize};

/// Numbers of the linear heads (FTRL-proximal, McMahan et al., KDD 2013, algorithm 1) and of the averaging of their
/// weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LearnerConfig {
    /// Learning rate α, 1e-6 to 1e6.
    pub alpha: f64,
    /// Smoothing β of the per-coordinate rate `α / (β + √n)`, 1e-6 to 1e6.
    pub beta: f64,
    /// L1 penalty λ₁, 0 to 1e6: coordinates with less evidence stay 0.
    pub l1: f64,
    /// L2 penalty λ₂, 0 to 1e6.
    pub l2: f64,
    /// Decay η of the weight average (Shamir & Zhang, ICML 2013), 0 to 1e6: larger forgets early weights faster.
    pub average_decay: f64,
    /// Longest memory of the weight average in examples, 32 to 1e9.
    pub average_horizon: f64,
    /// Numbers per word in the bilinear term that crosses request and response, 0 to 64; 0 is off.
    pub factors: usize,
    /// Learning rate α of that term, 1e-6 to 1e6.
    pub factor_alpha: f64,
    /// L2 penalty λ₂ of that term, 0 to 1e6: holds its numbers at their initial values.
    pub factor_l2: f64,
    /// What the sums of squared gradients are multiplied with when the error of predictions is seen to have grown, so
    /// that steps become large again: above 0 and at most 1, where 1 is off.
    pub rewarm: f64,
    /// Further models, each of which learns every example twice or not at all; how far their logits lie apart is the
    /// uncertainty of a score. 0 to 32; 0 is off, 1 tells nothing.
    pub ensemble: usize,
}

impl Default for LearnerConfig {
    fn default() -> Self {
        Self {
            alpha: 2.0,
            beta: 1.0,
            l1: 0.0,
            l2: 20.0,
            average_decay: 8.0,
            average_horizon: 2_000.0,
            factors: 8,
            factor_alpha: 0.5,
            factor_l2: 20.0,
            rewarm: 1.0,
            ensemble: 4,
        }
    }
}

/// Which past examples are kept and how they are learned again (*Continual learning survey*, arXiv 2302.00487).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayStrategy {
    /// Nothing is learned again.
    None,
    /// The newest examples of each class.
    Recent,
    /// A uniform sample of each class (Vitter 1985).
    Reservoir,
    /// A sample of each class that holds as many examples of every segment as there is room for (Chrysakis & Moens,
    /// ICML 2020, algorithm 1).
    Stratified,
    /// A uniform sample of each class, and with each example the logit of when it was new, which its logit is drawn
    /// back to (DER++, Buzzega et al., NeurIPS 2020, equation 6).
    Logits,
}

/// Replay of past examples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReplayConfig {
    /// What is kept, and how it is learned again.
    pub strategy: ReplayStrategy,
    /// How strongly a drawn row is held at its stored logit under the strategy `logits`: the weight α of half the
    /// squared distance, 0 to 10.
    pub logit_weight: f64,
    /// How many more rows the strategy `stratified` holds of segments that are easily confused with others, on top of
    /// the one part of every segment: this many parts at the worst confusion. 0 to 10, where 0 is off.
    pub confusable: f64,
    /// Most examples kept per objective and class, a uniform sample of all seen.
    pub capacity: usize,
    /// Past examples trained on after each new one, per objective.
    pub per_example: usize,
    /// Share of positives among all rows trained on, where they are rarer than that; predictions are corrected back
    /// to the true rate. Above 0 and at most 0.5.
    pub positive_share: f64,
}

impl Default for ReplayConfig {
    fn default() -> Self {
        Self {
            strategy: ReplayStrategy::Reservoir,
            logit_weight: 0.3,
            confusable: 0.0,
            capacity: 8_192,
            per_example: 2,
            positive_share: 0.1,
        }
    }
}

/// What examples are told apart by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SegmentConfig {
    /// `surface`, or the name of an attribute of exposures; examples without it are in the segment of no name.
    pub by: String,
    /// Most segments told apart, 1 to 1024; examples of further ones are in `other`.
    pub most: usize,
}

impl Default for SegmentConfig {
    fn default() -> Self {
        Self { by: "surface".to_owned(), most: 64 }
    }
}
