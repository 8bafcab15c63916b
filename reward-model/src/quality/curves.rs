//! Curves of probabilities against labels, and what sums them up.

use serde::Serialize;

use super::{ECE_BINS, ece_bin, order};

/// 97.5 % quantile of the standard normal distribution.
const Z_95: f64 = 1.959_963_984_540_054;

/// One bin of a reliability curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Reliability {
    /// Predictions in the bin, at least 1.
    pub count: usize,
    /// Mean probability.
    pub mean_p: f64,
    /// Mean label.
    pub mean_y: f64,
    /// Lower end of the 95 % interval of the mean label (Wilson, JASA 1927).
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// The reliability curve over ten equally wide bins, without those that are empty. Rows that are not numbers are left
/// out.
#[must_use]
pub fn reliability(probabilities: &[f64], labels: &[f64]) -> Vec<Reliability> {
    let mut bins = [(0_usize, 0.0, 0.0); ECE_BINS];
    for (p, y) in probabilities.iter().zip(labels).filter(|(p, y)| p.is_finite() && y.is_finite()) {
        let bin = &mut bins[ece_bin(*p)];
        *bin = (bin.0 + 1, bin.1 + p, bin.2 + y);
    }
    let filled = bins.into_iter().filter(|bin| bin.0 > 0);
    let point = |(count, p, y): (usize, f64, f64)| {
        let n = count as f64;
        let (low, high) = wilson(y / n, n);
        Reliability { count, mean_p: p / n, mean_y: y / n, low, high }
    };
    filled.map(point).collect()
}

/// The 95 % score interval of a rate seen in `n` trials.
fn wilson(rate: f64, n: f64) -> (f64, f64) {
    let z2 = Z_95 * Z_95;
    let centre = (rate + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z_95 / (1.0 + z2 / n) * (rate * (1.0 - rate) / n + z2 / (4.0 * n * n)).max(0.0).sqrt();
    ((centre - half).clamp(0.0, rate.max(0.0)), (centre + half).clamp(rate.min(1.0), 1.0))
}

/// Maximum calibration error: `max |mean p − mean y|` over ten equally wide bins (Guo et al., ICML 2017); 0
/// without predictions.
#[must_use]
pub fn mce(probabilities: &[f64], labels: &[f64]) -> f64 {
    let bins = reliability(probabilities, labels).into_iter();
    bins.map(|bin| (bin.mean_p - bin.mean_y).abs()).fold(0.0, f64::max)
}

/// Expected calibration error over `bins` bins of equally many predictions, in the order of their probabilities (Nixon
/// et al., arXiv 1904.01685); the first bins have one more where the number does not divide. `None` without
/// predictions, without bins, and unless every probability is a number.
#[must_use]
pub fn ece_equal_mass(probabilities: &[f64], labels: &[f64], bins: usize) -> Option<f64> {
    let n = probabilities.len();
    if n == 0 || bins == 0 || probabilities.iter().any(|p| p.is_nan()) {
        return None;
    }
    let order = order(probabilities);
    let mut rest = &order[..];
    let mut sum = 0.0;
    for bin in 0..bins.min(n) {
        let (rows, after) = rest.split_at(n / bins.min(n) + usize::from(bin < n % bins.min(n)));
        rest = after;
        let gap: f64 = rows.iter().map(|row| probabilities[*row] - labels[*row]).sum();
        sum += gap.abs();
    }
    Some(sum / n as f64)
}

/// One point of a ROC curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RocPoint {
    /// Rows that score this or more are taken for positive; infinite at the first point.
    pub threshold: f64,
    /// Share of the negatives taken for positive.
    pub false_positive_rate: f64,
    /// Share of the positives taken for positive.
    pub true_positive_rate: f64,
}

/// The ROC curve from (0, 0) to (1, 1), one point per distinct score. Empty unless both classes occur and every score
/// is a number.
#[must_use]
pub fn roc(scores: &[f64], labels: &[f64]) -> Vec<RocPoint> {
    let positives = labels.iter().filter(|y| **y >= 0.5).count() as f64;
    let negatives = labels.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 || scores.iter().any(|score| score.is_nan()) {
        return Vec::new();
    }
    let order = order(scores);
    let mut points = vec![RocPoint { threshold: f64::INFINITY, false_positive_rate: 0.0, true_positive_rate: 0.0 }];
    let (mut hits, mut alarms) = (0.0, 0.0);
    let mut at = order.len();
    while at > 0 {
        let threshold = scores[order[at - 1]];
        while at > 0 && scores[order[at - 1]] >= threshold {
            at -= 1;
            if labels[order[at]] >= 0.5 {
                hits += 1.0;
            } else {
                alarms += 1.0;
            }
        }
        let (false_positive_rate, true_positive_rate) = (alarms / negatives, hits / positives);
        points.push(RocPoint { threshold, false_positive_rate, true_positive_rate });
    }
    points
}
