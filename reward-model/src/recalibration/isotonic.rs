//! Isotonic regression by pooling adjacent violators.

use plaudit_nn::loss::sigmoid;
use serde::{Deserialize, Serialize};

use super::Rows;
use crate::quality::order;

/// A piecewise linear function that never decreases: constant where violators were pooled, linear in between, constant
/// beyond both ends (as scikit-learn has it).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Isotonic {
    /// Points `(p, probability)`, ascending in both.
    points: Vec<(f64, f64)>,
    /// Results keep this distance from 0 and 1.
    margin: f64,
}

/// Rows that share one value.
struct Pool {
    first: f64,
    last: f64,
    sum: f64,
    weight: f64,
}

impl Isotonic {
    /// Fits the labels of `rows` by `σ(logit)`, with the least weighted squares. Rows of weight 0 do not count; without
    /// any the function is its argument.
    #[must_use]
    pub fn fit(rows: &Rows) -> Self {
        let mut pools: Vec<Pool> = Vec::new();
        for at in order(&rows.logits) {
            let (p, weight) = (sigmoid(rows.logits[at]), rows.weights[at]);
            if weight <= 0.0 {
                continue;
            }
            let sum = weight * rows.labels[at];
            match pools.last_mut().filter(|pool| pool.last >= p) {
                Some(tied) => {
                    tied.sum += sum;
                    tied.weight += weight;
                }
                None => pools.push(Pool { first: p, last: p, sum, weight }),
            }
        }
        let mut kept: Vec<Pool> = Vec::with_capacity(pools.len());
        for mut pool in pools {
            // In this form equal means are pooled, too, without a division.
            while let Some(before) = kept.pop_if(|before| before.sum * pool.weight >= pool.sum * before.weight) {
                pool.first = before.first;
                pool.sum += before.sum;
                pool.weight += before.weight;
            }
            kept.push(pool);
        }
        let mut points = Vec::with_capacity(2 * kept.len());
        for pool in kept {
            let value = pool.sum / pool.weight;
            points.push((pool.first, value));
            if pool.last > pool.first {
                points.push((pool.last, value));
            }
        }
        Self { points, margin: 0.0 }
    }

    /// The same function with results at least `margin` (0 to ½) away from 0 and 1: labels that were all equal do not
    /// make the next one certain.
    #[must_use]
    pub fn within(self, margin: f64) -> Self {
        let margin = if margin > 0.0 { margin.min(0.5) } else { 0.0 };
        Self { margin, ..self }
    }

    /// The probability for `p`.
    #[must_use]
    pub fn apply(&self, p: f64) -> f64 {
        let above = self.points.partition_point(|(x, _)| *x < p);
        let value = match (above.checked_sub(1).and_then(|at| self.points.get(at)), self.points.get(above)) {
            (Some((x0, y0)), Some((x1, y1))) => y0 + (y1 - y0) * (p - x0) / (x1 - x0),
            (Some((_, y)), None) | (None, Some((_, y))) => *y,
            (None, None) => p,
        };
        value.max(self.margin).min(1.0 - self.margin)
    }
}
