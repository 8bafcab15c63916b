//! Proper scores and tests of probabilities.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, Normal};

use super::order;

/// Brier score: `Σ(p − y)²/n`, from 0 to 1; 0 without predictions.
#[must_use]
pub fn brier(probabilities: &[f64], labels: &[f64]) -> f64 {
    let squares = probabilities.iter().zip(labels).map(|(p, y)| (p - y).powi(2));
    squares.sum::<f64>() / probabilities.len().max(1) as f64
}

/// Average precision: `Σ(Rₖ − Rₖ₋₁)·Pₖ` over the distinct scores from the highest on, with precision P and recall R of
/// all rows down to it. A label is positive from 0.5 on. `None` without positives, and unless every score is a number.
#[must_use]
pub fn average_precision(scores: &[f64], labels: &[f64]) -> Option<f64> {
    if scores.iter().any(|score| score.is_nan()) {
        return None;
    }
    let order = order(scores);
    let (mut seen, mut hits, mut area) = (0.0, 0.0, 0.0);
    let mut at = order.len();
    while at > 0 {
        let (tied, before) = (scores[order[at - 1]], hits);
        while at > 0 && scores[order[at - 1]] >= tied {
            seen += 1.0;
            hits += f64::from(u8::from(labels[order[at - 1]] >= 0.5));
            at -= 1;
        }
        area += (hits - before) * hits / seen;
    }
    (hits > 0.0).then(|| area / hits)
}

/// Spiegelhalter's test of calibration.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spiegelhalter {
    /// Standard normal when the probabilities are the true ones; above 0 when they are too sure.
    pub z: f64,
    /// Two-sided.
    pub p_value: f64,
}

/// Whether the Brier score is as the probabilities themselves promise (Spiegelhalter, *Statistics in Medicine* 1986):
/// `z = Σ(y − p)(1 − 2p) / √Σ(1 − 2p)²·p(1 − p)`. `None` where nothing promises an error: every `p` is 0, ½ or 1.
#[must_use]
pub fn spiegelhalter(probabilities: &[f64], labels: &[f64]) -> Option<Spiegelhalter> {
    let (mut excess, mut variance) = (0.0, 0.0);
    for (p, y) in probabilities.iter().zip(labels) {
        let lean = 1.0 - 2.0 * p;
        excess += (y - p) * lean;
        variance += lean * lean * p * (1.0 - p);
    }
    let z = excess / variance.sqrt();
    let normal = Normal::standard();
    (variance > 0.0 && z.is_finite()).then(|| Spiegelhalter { z, p_value: 2.0 * normal.sf(z.abs()) })
}
