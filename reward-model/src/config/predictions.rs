//! What is done to labels and scores around the heads.

use serde::{Deserialize, Serialize};

/// The running recalibration, an offset and a slope that follow the newest examples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CalibrationConfig {
    /// Maps that are kept side by side, each with a hundredth of the offset's drift of the one before; those that predict
    /// better count more. 1 to 8.
    pub paces: usize,
    /// Variance by which the offset of the fastest map may wander per example, 0 to 1e6.
    pub offset_drift: f64,
    /// Give every segment a map of its own, on top of the one of all.
    pub segments: bool,
    /// Variance of a segment's offset before its first example, 0 to 1e6: the less, the longer it stays with all; it
    /// counts one half after about as many rare labels as the inverse.
    pub segment_prior: f64,
    /// Variance by which the slope may wander per example, 0 to 1e6.
    pub slope_drift: f64,
    /// Variance of the offset before the first example, 1e-6 to 1e6.
    pub offset_prior: f64,
    /// Variance of the slope before the first example, 0 to 1e6.
    pub slope_prior: f64,
    /// Variance by which the bend may wander per example.
    pub bend_drift: f64,
    /// Variance of the bend before the first example.
    pub bend_prior: f64,
}

impl Default for CalibrationConfig {
    fn default() -> Self {
        Self {
            paces: 3,
            segments: false,
            segment_prior: 0.05,
            offset_drift: 1e-5,
            slope_drift: 1e-9,
            offset_prior: 1.0,
            slope_prior: 0.05,
            bend_drift: 1e-9,
            bend_prior: 0.25,
        }
    }
}

/// Weights by the inverse of how probable a label is at all, for objectives that only some exposures are labelled with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PropensityConfig {
    /// Whether labels are weighted so.
    pub enabled: bool,
    /// Largest weight, and the inverse of the smallest, before they are divided by their mean; 1 to 1000.
    pub clip: f64,
    /// Most units whose share of reactions is remembered, at least 1.
    pub units: usize,
}

impl Default for PropensityConfig {
    fn default() -> Self {
        Self { enabled: false, clip: 10.0, units: 100_000 }
    }
}

/// What length may do to rewards. Probabilities keep what they say of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LengthConfig {
    /// Reward policies with the score without length (two heads in the style of ODIN, arXiv 2402.07319) in the place of
    /// the logit.
    pub debias: bool,
    /// Correlation between reward and number of words, in either direction, beyond which an alarm is told; 0 to 1, where
    /// 1 is never.
    pub alarm: f64,
}

impl Default for LengthConfig {
    fn default() -> Self {
        Self { debias: false, alarm: 0.5 }
    }
}

/// Weights for learning at the close of a window from reactions of which some come after it, as corrections.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DelayConfig {
    /// Whether new examples and late positives are weighted so (ES-DFM, Yang et al., AAAI 2021). Needed only where the
    /// window is shorter than reactions take.
    pub weighted: bool,
}
