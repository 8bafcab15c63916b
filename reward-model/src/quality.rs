//! How good probabilities are.

mod curves;
mod scores;

use serde::Serialize;

pub use curves::{Reliability, RocPoint, ece_equal_mass, mce, reliability, roc};
pub use scores::{Spiegelhalter, average_precision, brier, spiegelhalter};

/// Number of equally wide bins of the expected calibration error.
pub const ECE_BINS: usize = 10;

/// Quality of predicted probabilities against labels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quality {
    /// How many predictions.
    pub n: usize,
    /// Share of positive labels.
    pub base_rate: f64,
    /// Area under the ROC curve; absent while only one class has been seen, and when a probability is not a number.
    pub auroc: Option<f64>,
    /// Mean negative log-likelihood, in nats.
    pub log_loss: f64,
    /// The log-loss of always predicting the base rate of these very labels: the best constant in hindsight.
    pub prior_log_loss: f64,
    /// Expected calibration error over ten equally wide bins.
    pub ece: f64,
    /// Brier score: the mean squared error of the probabilities.
    pub brier: f64,
    /// Pearson correlation of the probability with the number of words; absent when either is constant.
    pub length_correlation: Option<f64>,
}

impl Quality {
    /// Measures `probabilities` against `labels`; `words` is the length of each response. All three are of one
    /// length; `None` when that is 0.
    #[must_use]
    pub fn measure(probabilities: &[f64], labels: &[f64], words: &[f64]) -> Option<Self> {
        if probabilities.is_empty() {
            return None;
        }
        Some(Self {
            n: probabilities.len(),
            base_rate: mean(labels),
            auroc: auroc(probabilities, labels),
            log_loss: log_loss(probabilities, labels),
            prior_log_loss: entropy(mean(labels)),
            ece: ece(probabilities, labels),
            brier: brier(probabilities, labels),
            length_correlation: pearson(probabilities, words),
        })
    }
}

/// Area under the ROC curve: the probability that a random positive scores above a random negative, ties counting
/// half. A label is positive from 0.5 on. `None` unless both classes occur and every score is a number.
#[must_use]
pub fn auroc(scores: &[f64], labels: &[f64]) -> Option<f64> {
    let weights = vec![1; scores.len()];
    auroc_weighted(&order(scores), scores, labels, &weights)
}

/// The area that `scores` have on average over labels drawn with the probabilities `truth`: [`auroc`] without the luck of
/// the draw. `None` unless both classes are possible and every score is a number.
#[must_use]
pub fn expected_auroc(scores: &[f64], truth: &[f64]) -> Option<f64> {
    area(&order(scores), scores, |row| (truth[row], 1.0 - truth[row]))
}

/// The positions of `scores` in ascending order, what is not a number at the ends.
pub(crate) fn order(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    order
}

/// [`auroc`] with row `i` counted `counts[i]` times, given the [`order`] of the scores.
pub(crate) fn auroc_weighted(order: &[usize], scores: &[f64], labels: &[f64], counts: &[u32]) -> Option<f64> {
    let mass = |row: usize| {
        let count = f64::from(counts[row]);
        if labels[row] >= 0.5 { (count, 0.0) } else { (0.0, count) }
    };
    area(order, scores, mass)
}

/// The area when a row is so much of a positive and so much of a negative as `mass` says.
fn area(order: &[usize], scores: &[f64], mass: impl Fn(usize) -> (f64, f64)) -> Option<f64> {
    let ends = [order.first()?, order.last()?];
    if ends.iter().any(|row| scores[**row].is_nan()) {
        return None;
    }
    let (mut below, mut positives, mut wins) = (0.0, 0.0, 0.0);
    let mut at = 0;
    while at < order.len() {
        let tied = scores[order[at]];
        let (mut tied_positives, mut tied_negatives) = (0.0, 0.0);
        while at < order.len() && scores[order[at]] <= tied {
            let (positive, negative) = mass(order[at]);
            tied_positives += positive;
            tied_negatives += negative;
            at += 1;
        }
        wins += tied_positives * (below + 0.5 * tied_negatives);
        positives += tied_positives;
        below += tied_negatives;
    }
    let pairs = positives * below;
    (pairs > 0.0).then(|| wins / pairs)
}

/// Mean negative log-likelihood; probabilities are kept one part in 10¹² away from 0 and 1.
#[must_use]
pub fn log_loss(probabilities: &[f64], labels: &[f64]) -> f64 {
    let losses = probabilities.iter().zip(labels).map(|(p, y)| nll(*p, *y));
    losses.sum::<f64>() / probabilities.len().max(1) as f64
}

/// Negative log-likelihood of one prediction.
pub(crate) fn nll(p: f64, y: f64) -> f64 {
    let p = p.clamp(1e-12, 1.0 - 1e-12);
    -(y * p.ln() + (1.0 - y) * (-p).ln_1p())
}

/// Expected calibration error: `Σ |B|/n · |mean p − mean y|` over ten equally wide bins (Guo et al., ICML 2017, eq. 5).
#[must_use]
pub fn ece(probabilities: &[f64], labels: &[f64]) -> f64 {
    let mut gaps = [0.0; ECE_BINS];
    for (p, y) in probabilities.iter().zip(labels) {
        gaps[ece_bin(*p)] += p - y;
    }
    let sum: f64 = gaps.iter().map(|gap| gap.abs()).sum();
    sum / probabilities.len().max(1) as f64
}

/// The bin of probability `p`.
pub(crate) fn ece_bin(p: f64) -> usize {
    ((p * ECE_BINS as f64) as usize).min(ECE_BINS - 1)
}

/// Log-loss of the constant prediction `rate` when it is the true rate.
pub(crate) fn entropy(rate: f64) -> f64 {
    nll(rate, rate)
}

/// Pearson's correlation coefficient; `None` when either side is constant.
#[must_use]
pub fn pearson(a: &[f64], b: &[f64]) -> Option<f64> {
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        let (dx, dy) = (x - mean_a, y - mean_b);
        ab += dx * dy;
        aa += dx * dx;
        bb += dy * dy;
    }
    let scale = (aa * bb).sqrt();
    (scale > 0.0).then(|| ab / scale)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests;
