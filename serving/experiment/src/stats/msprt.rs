//! The mixture sequential probability ratio test of two means, and its always-valid p-value.

use super::Interval;

/// `Λ = √(V/(V+τ²))·exp(d²τ²/(2V(V+τ²)))` with V the variance of the difference d (Johari, Koomen, Pekelis &
/// Walsh 2022, equation 12). Valid at any time when V is known; asymptotic when it is estimated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Msprt {
    /// Treatment − control.
    pub difference: f64,
    /// Variance of the difference, > 0.
    pub variance: f64,
    /// Variance τ² > 0 of the effects the test is prepared for.
    pub tau_squared: f64,
}

impl Msprt {
    /// Logarithm of the likelihood ratio. Nothing when a variance is not positive and finite.
    #[must_use]
    pub fn log_ratio(&self) -> Option<f64> {
        let (v, tau) = (self.variance, self.tau_squared);
        let is_usable = v.is_finite() && v > 0.0 && tau.is_finite() && tau > 0.0 && self.difference.is_finite();
        is_usable.then(|| 0.5 * (v / (v + tau)).ln() + self.difference.powi(2) * tau / (2.0 * v * (v + tau)))
    }

    /// `min(1, 1/Λ)`; the p-value that holds at any time is its minimum over time.
    #[must_use]
    pub fn p(&self) -> Option<f64> {
        Some((-self.log_ratio()?).exp().min(1.0))
    }

    /// The confidence sequence: half-width `√(V(V+τ²)/τ²·(2·ln(1/α) + ln((V+τ²)/V)))`.
    #[must_use]
    pub fn interval(&self, alpha: f64) -> Option<Interval> {
        self.log_ratio()?;
        let (v, tau) = (self.variance, self.tau_squared);
        let margin = (v * (v + tau) / tau * (-2.0 * alpha.ln() + ((v + tau) / v).ln())).sqrt();
        Some(Interval { value: self.difference, lower: self.difference - margin, upper: self.difference + margin })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_test_without_variance() {
        for (variance, tau_squared) in [(0.0, 1.0), (1.0, 0.0), (f64::NAN, 1.0)] {
            let test = Msprt { difference: 1.0, variance, tau_squared };
            assert_eq!((test.p(), test.interval(0.05)), (None, None));
        }
    }
}
