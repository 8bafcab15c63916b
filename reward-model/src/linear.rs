//! The linear path of one head: FTRL-proximal over hashed features.
//!
//! McMahan et al., *Ad Click Prediction: a View from the Trenches*, KDD 2013, algorithm 1, with gradient `g` of the
//! logistic loss: `σᵢ = (√(nᵢ + gᵢ²) − √nᵢ)/α`, `zᵢ += gᵢ − σᵢwᵢ`, `nᵢ += gᵢ²`, and `wᵢ = 0` while `|zᵢ| ≤ λ₁`,
//! else `−(zᵢ − sgn(zᵢ)λ₁) / ((β + √nᵢ)/α + λ₂)`. The intercept is not penalised.

use crate::config::LearnerConfig;
use crate::encode::Features;

/// Weights and the two sums they follow from.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    /// w, kept up to date so that scoring reads one array.
    pub(crate) weights: Vec<f32>,
    /// z.
    pub(crate) pulls: Vec<f32>,
    /// n.
    pub(crate) squares: Vec<f32>,
}

/// The numbers of [`LearnerConfig`] that are needed per coordinate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rates {
    alpha: f32,
    beta: f32,
    l1: f32,
    l2: f32,
}

impl Rates {
    /// Those of the bilinear term.
    pub(crate) fn of_factors(config: &LearnerConfig) -> Self {
        let (alpha, l2) = (config.factor_alpha as f32, config.factor_l2 as f32);
        Self { alpha, l2, l1: 0.0, beta: config.beta as f32 }
    }

    pub(crate) fn new(config: &LearnerConfig) -> Self {
        Self { alpha: config.alpha as f32, beta: config.beta as f32, l1: config.l1 as f32, l2: config.l2 as f32 }
    }

    /// The weight that follows from z and n of coordinate `index`.
    pub(crate) fn weight(&self, index: usize, z: f32, n: f32) -> f32 {
        let (l1, _) = self.penalties(index);
        if z.abs() <= l1 {
            return 0.0;
        }
        -(z - l1.copysign(z)) / self.stiffness(index, n)
    }

    /// How much a step from n to `grown` squared gradients moves the centre of the proximal term.
    pub(crate) fn sigma(self, n: f32, grown: f32) -> f32 {
        (grown.sqrt() - n.sqrt()) / self.alpha
    }

    /// The pull that gives coordinate `index` the same weight when its squares go from n to `changed`.
    pub(crate) fn rewarmed(&self, index: usize, z: f32, n: f32, changed: f32) -> f32 {
        let (l1, _) = self.penalties(index);
        if z.abs() <= l1 {
            return z;
        }
        let edge = l1.copysign(z);
        (z - edge) * (self.stiffness(index, changed) / self.stiffness(index, n)) + edge
    }

    /// What the pull beyond λ₁ is divided by to give the weight.
    fn stiffness(&self, index: usize, n: f32) -> f32 {
        (self.beta + n.sqrt()) / self.alpha + self.penalties(index).1
    }

    /// λ₁ and λ₂ of coordinate `index`: none for the intercept.
    fn penalties(&self, index: usize) -> (f32, f32) {
        if index == 0 { (0.0, 0.0) } else { (self.l1, self.l2) }
    }
}

impl Linear {
    pub(crate) fn new(buckets: usize) -> Self {
        Self { weights: vec![0.0; buckets], pulls: vec![0.0; buckets], squares: vec![0.0; buckets] }
    }

    /// One step against the gradient `slope · x`, with `slope` the derivative of the loss by the logit.
    pub(crate) fn update(&mut self, features: &Features, slope: f32, rates: Rates) {
        features.for_each(|index, value| self.step_one(index, slope * value, rates));
    }

    /// [`Linear::update`] on features as numbers and values.
    pub(crate) fn step(&mut self, features: impl Iterator<Item = (usize, f32)>, slope: f32, rates: Rates) {
        features.for_each(|(index, value)| self.step_one(index, slope * value, rates));
    }

    fn step_one(&mut self, index: usize, g: f32, rates: Rates) {
        let n = self.squares[index];
        let grown = n + g * g;
        let sigma = rates.sigma(n, grown);
        let z = self.pulls[index] + g - sigma * self.weights[index];
        self.pulls[index] = z;
        self.squares[index] = grown;
        self.weights[index] = rates.weight(index, z, grown);
    }
}

impl Linear {
    /// Multiplies the sums of squares with `factor` and moves the pulls so that the weights stay.
    pub(crate) fn rewarm(&mut self, factor: f32, rates: Rates) {
        let sums = self.pulls.iter_mut().zip(&mut self.squares);
        for (index, ((z, n), weight)) in sums.zip(&mut self.weights).enumerate() {
            *z = rates.rewarmed(index, *z, *n, *n * factor);
            *n *= factor;
            // Exactly what a checkpoint makes of the two sums.
            *weight = rates.weight(index, *z, *n);
        }
    }
}

/// The logit that `weights` give to `features`.
pub(crate) fn logit(weights: &[f32], features: &Features) -> f64 {
    let mut sum = 0.0_f32;
    features.for_each(|index, value| sum += weights[index] * value);
    f64::from(sum)
}

/// The logit that `weights` give to features as numbers and values.
pub(crate) fn product(weights: &[f32], features: &[(usize, f32)]) -> f64 {
    f64::from(features.iter().map(|(index, value)| weights[*index] * value).sum::<f32>())
}

#[cfg(test)]
mod tests {
    use plaudit_nn::loss::{bce, sigmoid};

    use super::*;
    use crate::encode::surface::DENSE;
    use crate::encode::{Encoder, GROUPS};
    use crate::{Config, Row};

    fn dense(values: [f32; 3]) -> Features {
        let mut dense = [0.0; DENSE];
        dense[..3].copy_from_slice(&values);
        Features { indices: Box::default(), ends: [0; GROUPS], dense, deep: None }
    }

    /// Expected weights after each of four rows:
    /// ```python
    /// import numpy as np
    /// alpha, beta, l1, l2 = .5, 1., .1, 2.   # no penalty on coordinate 0
    /// X = np.array([[1, .5, 0], [1, 0, 2], [1, -1, .5], [1, .5, 0]]); y = [1, 0, 1, 0]
    /// z, n, L1, L2 = np.zeros(3), np.zeros(3), np.array([0, l1, l1]), np.array([0, l2, l2])
    /// def w(): return np.where(np.abs(z) <= L1, 0, -(z - np.sign(z) * L1) / ((beta + np.sqrt(n)) / alpha + L2))
    /// for x, t in zip(X, y):
    ///     W = w(); g = (1 / (1 + np.exp(-(W @ x))) - t) * x
    ///     s = (np.sqrt(n + g * g) - np.sqrt(n)) / alpha; z += g - s * W; n += g * g
    ///     print(w())
    /// ```
    #[test]
    fn updates_match_the_reference() {
        let config = LearnerConfig { alpha: 0.5, beta: 1.0, l1: 0.1, l2: 2.0, ..LearnerConfig::default() };
        let rates = Rates::new(&config);
        let rows = [([1.0, 0.5, 0.0], 1.0), ([1.0, 0.0, 2.0], 0.0), ([1.0, -1.0, 0.5], 1.0), ([1.0, 0.5, 0.0], 0.0)];
        let expected = [
            [0.166_666_67, 0.033_333_33, 0.0],
            [0.010_782_07, 0.033_333_33, -0.159_438_21],
            [0.148_701_62, -0.029_708_53, -0.117_253_65],
            [0.018_647_19, -0.080_217_59, -0.117_253_65],
        ];
        let mut linear = Linear::new(1024);
        for ((x, label), after) in rows.into_iter().zip(expected) {
            let features = dense(x);
            let slope = sigmoid(logit(&linear.weights, &features)) - label;
            linear.update(&features, slope as f32, rates);
            for (got, wanted) in linear.weights.iter().zip(after) {
                assert!((got - wanted).abs() < 1e-6, "{:?} against {after:?}", &linear.weights[..3]);
            }
        }
    }

    #[test]
    fn the_gradient_agrees_with_finite_differences() {
        let encoder = Encoder::new(&Config::default().encoder);
        let context = plaudit_event::Context::of_user("what is a good name for a cat?");
        let row = Row { context: &context, response: "Mia is a lovely name. Or Felix! 😀" };
        let features = encoder.encode(&row);
        let mut weights = vec![0.0_f32; Config::default().encoder.buckets as usize];
        features.for_each(|index, _| weights[index] = ((index % 17) as f32 - 8.0) / 10.0);
        let loss = |weights: &[f32]| bce(logit(weights, &features) + 0.3, 1.0);
        let slope = sigmoid(logit(&weights, &features) + 0.3) - 1.0;
        let mut checked = 0;
        features.for_each(|index, value| {
            let step = 0.01_f32;
            let mut moved = weights.clone();
            moved[index] += step;
            let above = loss(&moved);
            moved[index] -= 2.0 * step;
            let numeric = (above - loss(&moved)) / (2.0 * f64::from(step));
            let analytic = slope * f64::from(value);
            assert!((numeric - analytic).abs() < 2e-4 + 0.01 * analytic.abs(), "{index}: {numeric} {analytic}");
            checked += 1;
        });
        assert!(checked > 60, "{checked} features");
    }
}
