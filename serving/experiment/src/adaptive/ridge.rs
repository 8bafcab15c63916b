//! Ridge regression over named features, from sums that can be added to, taken from and faded.

use std::collections::HashMap;

use super::Features;

/// `θ = (λI + Σ w·x·xᵀ)⁻¹ Σ w·r·x`, the mean of a Gaussian posterior.
///
/// Each new feature gets a dimension of its own while there are any; later ones share, with a sign from their
/// hash, so that memory is bounded (Weinberger, Dasgupta, Langford, Smola & Attenberg 2009).
#[derive(Debug, Clone)]
pub(super) struct Ridge {
    dimensions: usize,
    penalty: f64,
    slots: HashMap<u64, usize>,
    /// `Σ w·x·xᵀ`, the lower triangle by rows.
    gram: Vec<f64>,
    /// `Σ w·r·x`.
    moment: Vec<f64>,
    theta: Vec<f64>,
}

impl Ridge {
    pub(super) fn new(dimensions: usize, penalty: f64) -> Self {
        let gram = vec![0.0; dimensions * (dimensions + 1) / 2];
        let zeros = vec![0.0; dimensions];
        Self { dimensions, penalty, slots: HashMap::new(), gram, moment: zeros.clone(), theta: zeros }
    }

    /// Dimensions in use.
    pub(super) fn used(&self) -> usize {
        self.slots.len()
    }

    /// Adds `weight` of an observation; negative weights take it back.
    pub(super) fn add(&mut self, features: &Features, weight: f64, reward: f64) {
        for (key, _) in features.entries() {
            let free = self.slots.len();
            if free < self.dimensions {
                self.slots.entry(*key).or_insert(free);
            }
        }
        let x = self.dense(features);
        for (row, (i, a)) in x.iter().enumerate() {
            self.moment[*i] += weight * reward * a;
            for (j, b) in &x[..=row] {
                self.gram[i * (i + 1) / 2 + j] += weight * a * b;
            }
        }
    }

    /// Multiplies all sums.
    pub(super) fn scale(&mut self, factor: f64) {
        self.gram.iter_mut().chain(&mut self.moment).for_each(|sum| *sum *= factor);
    }

    /// Solves for θ, the sums divided by `unit`.
    pub(super) fn solve(&mut self, unit: f64) {
        let n = self.used();
        let at = |i: usize, j: usize| i * (i + 1) / 2 + j;
        let mut factor: Vec<f64> = self.gram[..n * (n + 1) / 2].iter().map(|sum| sum / unit).collect();
        let mut theta: Vec<f64> = self.moment[..n].iter().map(|sum| sum / unit).collect();
        for i in 0..n {
            for j in 0..=i {
                let (row, other) = (&factor[at(i, 0)..at(i, j)], &factor[at(j, 0)..at(j, j)]);
                let rest = factor[at(i, j)] - row.iter().zip(other).map(|(a, b)| a * b).sum::<f64>();
                // Corrections leave rounding errors, never more than the penalty makes up for.
                factor[at(i, j)] =
                    if i == j { (rest + self.penalty).max(0.5 * self.penalty).sqrt() } else { rest / factor[at(j, j)] };
            }
            let row = &factor[at(i, 0)..at(i, i)];
            let known: f64 = row.iter().zip(&theta).map(|(a, b)| a * b).sum();
            theta[i] = (theta[i] - known) / factor[at(i, i)];
        }
        for i in (0..n).rev() {
            theta[i] /= factor[at(i, i)];
            for j in 0..i {
                theta[j] -= factor[at(i, j)] * theta[i];
            }
        }
        self.theta[..n].copy_from_slice(&theta);
    }

    /// `xᵀθ` with the θ solved for last.
    pub(super) fn predict(&self, features: &Features) -> f64 {
        self.dense(features).iter().map(|(slot, value)| self.theta[*slot] * value).sum()
    }

    /// The vector by dimension, in order, each once. A feature never seen has none while there are free ones.
    fn dense(&self, features: &Features) -> Vec<(usize, f64)> {
        let mut x: Vec<(usize, f64)> = Vec::with_capacity(features.entries().len());
        for (key, value) in features.entries() {
            match self.slots.get(key) {
                Some(slot) => x.push((*slot, *value)),
                None if self.slots.len() < self.dimensions => {}
                None => {
                    let sign = if key >> 63 == 0 { 1.0 } else { -1.0 };
                    x.push(((key % self.dimensions as u64) as usize, sign * value));
                }
            }
        }
        x.sort_unstable_by_key(|(slot, _)| *slot);
        x.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
        x
    }
}
