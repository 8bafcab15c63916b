//! Less variance from what is known of a unit before the experiment (CUPED).
//!
//! Deng, Xu, Kohavi & Walker 2013, equation 4: `Y − θ·X` has the same difference between arms in
//! expectation, because X precedes the assignment, and the variance `v_Y + θ²v_X − 2θ·cov(X, Y)`, least at
//! `θ = cov(X, Y) / v_X`. θ is estimated over both arms together.

use serde::{Deserialize, Serialize};

use super::{Effect, Estimate};

/// Sums over the units of an arm of a value after and a covariate before. A unit's contribution can be
/// replaced by adding the new and subtracting the old.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct CovariateMoments {
    /// Number of units.
    pub units: u64,
    /// Σ after.
    pub post: f64,
    /// Σ after².
    pub post_squared: f64,
    /// Σ before.
    pub pre: f64,
    /// Σ before².
    pub pre_squared: f64,
    /// Σ after·before.
    pub product: f64,
}

impl CovariateMoments {
    /// Adds a unit.
    pub fn add(&mut self, post: f64, pre: f64) {
        self.units += 1;
        self.shift((post, pre), 1.0);
    }

    /// Replaces what a unit contributed, `(post, pre)` each.
    pub fn replace(&mut self, old: (f64, f64), new: (f64, f64)) {
        self.shift(old, -1.0);
        self.shift(new, 1.0);
    }

    fn shift(&mut self, (post, pre): (f64, f64), sign: f64) {
        self.post += sign * post;
        self.post_squared += sign * post * post;
        self.pre += sign * pre;
        self.pre_squared += sign * pre * pre;
        self.product += sign * post * pre;
    }

    fn merged(&self, other: &Self) -> Self {
        Self {
            units: self.units + other.units,
            post: self.post + other.post,
            post_squared: self.post_squared + other.post_squared,
            pre: self.pre + other.pre,
            pre_squared: self.pre_squared + other.pre_squared,
            product: self.product + other.product,
        }
    }

    /// Mean after, before adjustment. Nothing without units.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.units > 0).then(|| self.post / self.units as f64)
    }

    fn covariance(&self, product: f64, left: f64, right: f64) -> f64 {
        let n = self.units as f64;
        (product - left * right / n) / (n - 1.0)
    }

    /// Squared standard error of `post_weight · mean after + pre_weight · mean before`.
    fn squared_error(&self, post_weight: f64, pre_weight: f64) -> f64 {
        let post = self.covariance(self.post_squared, self.post, self.post);
        let pre = self.covariance(self.pre_squared, self.pre, self.pre);
        let both = self.covariance(self.product, self.post, self.pre);
        let variance = post_weight.powi(2) * post + pre_weight.powi(2) * pre + 2.0 * post_weight * pre_weight * both;
        variance.max(0.0) / self.units as f64
    }

    fn adjusted(&self, theta: f64) -> Estimate {
        let n = self.units as f64;
        let variance = self.squared_error(1.0, -theta) * n;
        Estimate { mean: (self.post - theta * self.pre) / n, variance, units: self.units }
    }
}

/// Estimates of both arms after adjustment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adjusted {
    /// How much of the covariate was taken away; 0 when it does not vary.
    pub theta: f64,
    /// Treatment.
    pub treatment: Estimate,
    /// Control.
    pub control: Estimate,
    /// Mean of the control before adjustment, what a relative effect is relative to.
    baseline: f64,
    /// Squared standard error of the relative effect.
    relative_squared: f64,
}

impl Adjusted {
    /// Treatment − control. Nothing without variance.
    #[must_use]
    pub fn absolute(&self) -> Option<Effect> {
        Effect::absolute(&self.treatment, &self.control)
    }

    /// `(treatment − control) / |control before adjustment|`: an adjusted mean has no meaningful zero.
    /// The delta method includes that the baseline varies with the control's adjusted mean.
    #[must_use]
    pub fn relative(&self) -> Option<Effect> {
        let value = (self.treatment.mean - self.control.mean) / self.baseline.abs();
        Effect::new(value, self.relative_squared, (&self.treatment, &self.control))
    }
}

/// Adjusts a mean by its covariate. Nothing with fewer than two units in an arm.
#[must_use]
pub fn cuped(treatment: &CovariateMoments, control: &CovariateMoments) -> Option<Adjusted> {
    if treatment.units < 2 || control.units < 2 {
        return None;
    }
    let joint = treatment.merged(control);
    let pre = joint.covariance(joint.pre_squared, joint.pre, joint.pre);
    let theta = if pre > 0.0 { joint.covariance(joint.product, joint.post, joint.pre) / pre } else { 0.0 };
    let (of_treatment, baseline) = (treatment.mean()?, control.mean()?);
    let relative_squared = treatment.squared_error(1.0 / baseline, -theta / baseline)
        + control.squared_error(-of_treatment / baseline.powi(2), theta / baseline);
    Some(Adjusted {
        theta,
        treatment: treatment.adjusted(theta),
        control: control.adjusted(theta),
        baseline,
        relative_squared,
    })
}

/// The four values of a unit of a ratio metric: `[numerator, denominator]` after, then before.
pub type RatioUnit = [f64; 4];

/// Sums over the units of an arm of a ratio metric and the same ratio before the experiment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RatioCovariateMoments {
    /// Number of units.
    pub units: u64,
    /// Σ of each of the four values.
    pub sums: [f64; 4],
    /// Σ of each product of two, symmetric.
    pub products: [[f64; 4]; 4],
}

impl RatioCovariateMoments {
    /// Adds a unit.
    pub fn add(&mut self, unit: RatioUnit) {
        self.units += 1;
        self.shift(unit, 1.0);
    }

    /// Replaces what a unit contributed.
    pub fn replace(&mut self, old: RatioUnit, new: RatioUnit) {
        self.shift(old, -1.0);
        self.shift(new, 1.0);
    }

    fn shift(&mut self, unit: RatioUnit, sign: f64) {
        for (row, left) in unit.iter().enumerate() {
            self.sums[row] += sign * left;
            for (column, right) in unit.iter().enumerate() {
                self.products[row][column] += sign * left * right;
            }
        }
    }

    /// The ratio after, before adjustment. Nothing without a denominator.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        (self.sums[1] > 0.0).then(|| self.sums[0] / self.sums[1])
    }

    /// Σ over i, j of `left_i · covariance_ij · right_j`.
    fn form(&self, left: RatioUnit, right: RatioUnit) -> f64 {
        let n = self.units as f64;
        let mut total = 0.0;
        for (row, of_row) in left.iter().enumerate() {
            for (column, of_column) in right.iter().enumerate() {
                let covariance = (self.products[row][column] - self.sums[row] * self.sums[column] / n) / (n - 1.0);
                total += of_row * covariance * of_column;
            }
        }
        total
    }

    /// Gradient of `weight · ratio after − theta · ratio before`.
    fn gradient(&self, weight: f64, theta: f64) -> RatioUnit {
        let (post, pre) = self.gradients();
        std::array::from_fn(|i| weight * post[i] - if theta == 0.0 { 0.0 } else { theta * pre[i] })
    }

    /// Gradients of the ratio after and the ratio before at the means.
    fn gradients(&self) -> (RatioUnit, RatioUnit) {
        let n = self.units as f64;
        let [m, d, m0, d0] = self.sums.map(|sum| sum / n);
        ([1.0 / d, -m / (d * d), 0.0, 0.0], [0.0, 0.0, 1.0 / d0, -m0 / (d0 * d0)])
    }
}

/// Adjusts a ratio by the same ratio before: the delta method in four dimensions with gradient
/// `[1/d, −m/d², −θ/d₀, θ·m₀/d₀²]` and `θ = Σ cov / Σ v₀` over the arms' ratios.
/// Nothing with fewer than two units or without a denominator in an arm; θ is 0 when there is nothing before.
#[must_use]
pub fn cuped_ratio(treatment: &RatioCovariateMoments, control: &RatioCovariateMoments) -> Option<Adjusted> {
    let arms = [treatment, control];
    if arms.iter().any(|arm| arm.units < 2 || arm.sums[1] <= 0.0) {
        return None;
    }
    let has_history = arms.iter().all(|arm| arm.sums[3] > 0.0);
    let mut shared = 0.0;
    let mut before = 0.0;
    if has_history {
        for arm in arms {
            let (post, pre) = arm.gradients();
            shared += arm.form(post, pre);
            before += arm.form(pre, pre);
        }
    }
    let theta = if before > 0.0 { shared / before } else { 0.0 };
    let estimates = arms.map(|arm| {
        let [numerator, denominator, numerator_before, denominator_before] = arm.sums;
        let shift = if theta == 0.0 { 0.0 } else { theta * numerator_before / denominator_before };
        let gradient = arm.gradient(1.0, theta);
        let variance = arm.form(gradient, gradient).max(0.0);
        Estimate { mean: numerator / denominator - shift, variance, units: arm.units }
    });
    let [of_treatment, of_control] = estimates;
    let baseline = control.ratio()?;
    let scale = baseline.abs();
    let raised = (scale + of_treatment.mean - of_control.mean) / scale;
    let gradients = [treatment.gradient(1.0, theta), control.gradient(raised, theta)];
    let mut relative_squared = 0.0;
    for (arm, gradient) in arms.into_iter().zip(gradients) {
        relative_squared += arm.form(gradient, gradient).max(0.0) / (arm.units as f64 * scale * scale);
    }
    Some(Adjusted { theta, treatment: of_treatment, control: of_control, baseline, relative_squared })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_covariate_that_does_not_vary_changes_nothing() {
        let mut arm = CovariateMoments::default();
        assert_eq!(cuped(&arm, &arm), None);
        for post in [1.0, 2.0, 4.0] {
            arm.add(post, 7.0);
        }
        let adjusted = cuped(&arm, &arm).unwrap();
        assert!(adjusted.theta == 0.0 && (adjusted.control.mean - 7.0 / 3.0).abs() < 1e-12);
        let mut replaced = arm;
        replaced.replace((4.0, 7.0), (2.0, 5.0));
        let mut fresh = CovariateMoments::default();
        for (post, pre) in [(1.0, 7.0), (2.0, 7.0), (2.0, 5.0)] {
            fresh.add(post, pre);
        }
        assert_eq!(replaced, fresh);
        assert!(cuped(&replaced, &fresh).unwrap().theta.is_finite());
    }

    #[test]
    fn a_ratio_without_history_stays_as_it_is() {
        let mut arm = RatioCovariateMoments::default();
        assert_eq!(cuped_ratio(&arm, &arm), None);
        arm.add([1.0, 2.0, 0.0, 0.0]);
        arm.add([0.0, 3.0, 0.0, 0.0]);
        let adjusted = cuped_ratio(&arm, &arm).unwrap();
        assert_eq!(adjusted.theta, 0.0);
        assert!((adjusted.treatment.mean - 0.2).abs() < 1e-12 && adjusted.treatment.variance > 0.0);
    }
}
