//! The unequal-variance t test at a horizon fixed beforehand.

use super::special::{student_sf, student_upper};

/// Mean, standard deviation and size of one arm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Mean of the units.
    pub mean: f64,
    /// Their standard deviation with n − 1 in the denominator, ≥ 0.
    pub sd: f64,
    /// Number of units, ≥ 2.
    pub units: u64,
}

/// A t test of treatment − control.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Welch {
    /// Treatment mean minus control mean.
    pub difference: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// Degrees of freedom after Satterthwaite.
    pub df: f64,
    /// The statistic.
    pub t: f64,
}

/// Welch's test: `se² = s₁²/n₁ + s₂²/n₂`, `df = se⁴ / (s₁⁴/(n₁²(n₁−1)) + s₂⁴/(n₂²(n₂−1)))` (Welch 1947,
/// equation 25; Satterthwaite 1946). Valid once, at a size chosen beforehand.
///
/// Nothing with fewer than two units in an arm, without any variance, or with a number that is not finite.
#[must_use]
pub fn welch(treatment: &Sample, control: &Sample) -> Option<Welch> {
    if treatment.units < 2 || control.units < 2 {
        return None;
    }
    let squared = |sample: &Sample| sample.sd * sample.sd / sample.units as f64;
    let (of_treatment, of_control) = (squared(treatment), squared(control));
    let total = of_treatment + of_control;
    let difference = treatment.mean - control.mean;
    if !(total.is_finite() && total > 0.0 && difference.is_finite()) {
        return None;
    }
    let below = |part: f64, units: u64| part * part / (units - 1) as f64;
    let df = total * total / (below(of_treatment, treatment.units) + below(of_control, control.units));
    let standard_error = total.sqrt();
    Some(Welch { difference, standard_error, df, t: difference / standard_error })
}

impl Welch {
    /// Two-sided p-value.
    #[must_use]
    pub fn p(&self) -> f64 {
        (2.0 * student_sf(self.t.abs(), self.df)).min(1.0)
    }

    /// P-value against "treatment is not better".
    #[must_use]
    pub fn p_greater(&self) -> f64 {
        student_sf(self.t, self.df)
    }

    /// P-value against "treatment is not worse".
    #[must_use]
    pub fn p_lesser(&self) -> f64 {
        student_sf(-self.t, self.df)
    }

    /// Two-sided interval of the difference at level `alpha` in (0, 1).
    #[must_use]
    pub fn interval(&self, alpha: f64) -> (f64, f64) {
        let margin = student_upper(alpha / 2.0, self.df) * self.standard_error;
        (self.difference - margin, self.difference + margin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_test_without_variance_or_units() {
        let flat = Sample { mean: 1.0, sd: 0.0, units: 10 };
        let single = Sample { mean: 1.0, sd: 1.0, units: 1 };
        let broken = Sample { mean: f64::NAN, sd: 1.0, units: 10 };
        let good = Sample { mean: 2.0, sd: 1.0, units: 10 };
        assert_eq!(welch(&flat, &flat), None);
        assert_eq!(welch(&single, &good), None);
        assert_eq!(welch(&broken, &good), None);
        let test = welch(&good, &flat).unwrap();
        assert!((test.df - 9.0).abs() < 1e-12 && test.p() < 0.02);
        assert!((test.p_greater() + test.p_lesser() - 1.0).abs() < 1e-9);
    }
}
