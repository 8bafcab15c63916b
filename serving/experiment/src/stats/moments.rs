//! Streaming moments of a ratio metric whose units are randomised.

/// A mean over units with its per-unit variance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The metric.
    pub mean: f64,
    /// Variance of one unit's contribution: the squared standard error times `units`.
    pub variance: f64,
    /// Number of units.
    pub units: u64,
}

impl Estimate {
    /// The squared standard error of the mean.
    #[must_use]
    pub fn squared_error(&self) -> f64 {
        self.variance / self.units as f64
    }
}

/// Sums over units of a ratio metric Σ numerator / Σ denominator, such as love per exposure.
///
/// Only sums are kept, so a unit's contribution can be replaced at any time. For 0/1 reactions and counts all
/// sums are integers below 2⁵³, hence exact whatever the order of the replacements.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RatioMoments {
    units: u64,
    numerator: f64,
    denominator: f64,
    numerator_squared: f64,
    denominator_squared: f64,
    product: f64,
}

impl RatioMoments {
    /// Adds a unit with its numerator and denominator.
    pub fn add(&mut self, (numerator, denominator): (f64, f64)) {
        self.units += 1;
        self.shift((numerator, denominator), 1.0);
    }

    /// Replaces what a unit contributed.
    pub fn replace(&mut self, old: (f64, f64), new: (f64, f64)) {
        self.shift(old, -1.0);
        self.shift(new, 1.0);
    }

    fn shift(&mut self, (numerator, denominator): (f64, f64), sign: f64) {
        self.numerator += sign * numerator;
        self.denominator += sign * denominator;
        self.numerator_squared += sign * numerator * numerator;
        self.denominator_squared += sign * denominator * denominator;
        self.product += sign * numerator * denominator;
    }

    /// Number of units.
    #[must_use]
    pub const fn units(&self) -> u64 {
        self.units
    }

    /// Sum of the numerators.
    #[must_use]
    pub const fn numerator(&self) -> f64 {
        self.numerator
    }

    /// Sum of the denominators.
    #[must_use]
    pub const fn denominator(&self) -> f64 {
        self.denominator
    }

    /// The ratio with its variance by the delta method (Deng, Knoblich & Lu 2018, equation 3):
    /// with means m, d over units, `var(m/d) = var(m)/d² + var(d)·m²/d⁴ − 2·cov(m, d)·m/d³`.
    ///
    /// Nothing with fewer than two units or a denominator of zero.
    #[must_use]
    pub fn estimate(&self) -> Option<Estimate> {
        if self.units < 2 || self.denominator <= 0.0 {
            return None;
        }
        let n = self.units as f64;
        let (m, d) = (self.numerator / n, self.denominator / n);
        let unbiased = n / (n - 1.0);
        let var_m = (self.numerator_squared / n - m * m) * unbiased;
        let var_d = (self.denominator_squared / n - d * d) * unbiased;
        let cov = (self.product / n - m * d) * unbiased;
        let variance = var_m / d.powi(2) + var_d * m.powi(2) / d.powi(4) - 2.0 * cov * m / d.powi(3);
        Some(Estimate { mean: m / d, variance: variance.max(0.0), units: self.units })
    }

    /// From sums that a store has added up: `[Σ numerator, Σ numerator², Σ denominator, Σ denominator²,
    /// Σ numerator·denominator]`.
    #[must_use]
    pub const fn from_sums(units: u64, sums: [f64; 5]) -> Self {
        let [numerator, numerator_squared, denominator, denominator_squared, product] = sums;
        Self { units, numerator, denominator, numerator_squared, denominator_squared, product }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn replacements_equal_a_fresh_sum(
            units in prop::collection::vec(((0_u8..5, 1_u8..9), (0_u8..5, 1_u8..9)), 2..40)
        ) {
            let pair = |(a, b): (u8, u8)| (f64::from(a), f64::from(b));
            let mut replaced = RatioMoments::default();
            let mut fresh = RatioMoments::default();
            for (old, _) in &units {
                replaced.add(pair(*old));
            }
            for (old, new) in &units {
                replaced.replace(pair(*old), pair(*new));
                fresh.add(pair(*new));
            }
            prop_assert_eq!(replaced, fresh);
        }
    }

    #[test]
    fn too_little_data_gives_no_estimate() {
        let mut moments = RatioMoments::default();
        assert_eq!(moments.estimate(), None);
        moments.add((1.0, 2.0));
        assert_eq!(moments.estimate(), None);
        moments.add((0.0, 2.0));
        let estimate = moments.estimate().unwrap();
        assert!((estimate.mean - 0.25).abs() < 1e-15);
        // Denominators are constant, so this is the variance of (1/2, 0).
        assert!((estimate.variance - 0.125).abs() < 1e-15);
    }
}
