//! Effects of treatment against control, absolute or relative, at a fixed horizon or watched.
//!
//! These are the forms that A/B platforms use (GrowthBook's `gbstats`), with the delta method throughout.
//! The watched form is asymptotic: with a few percent of the units in treatment, or a skewed metric, its
//! error rate rises to 11 and 39 %; the defaults are exact.

use super::Estimate;
use super::confidence::tuned_rho;
use super::special::{root, student_sf, student_upper};

/// Which deviation counts as evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alternative {
    /// Either.
    TwoSided,
    /// Treatment is higher.
    Greater,
    /// Treatment is lower.
    Lesser,
}

/// An interval, one end of which may be infinite, with its p-value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Test {
    /// Lower end.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
    /// P-value of "no effect".
    pub p: f64,
}

/// An effect with its standard error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effect {
    /// The effect: a difference, or a share of the control's mean.
    pub value: f64,
    /// Its standard error, > 0.
    pub standard_error: f64,
    /// Degrees of freedom after Satterthwaite.
    pub df: f64,
    /// Units of both arms.
    pub units: u64,
}

impl Effect {
    /// Treatment − control. Nothing without variance or with fewer than two units in an arm.
    #[must_use]
    pub fn absolute(treatment: &Estimate, control: &Estimate) -> Option<Self> {
        let squared = treatment.squared_error() + control.squared_error();
        Self::new(treatment.mean - control.mean, squared, (treatment, control))
    }

    /// `(treatment − control) / |control|`, with variance `v_T/n_T/m_C² + v_C/n_C·m_T²/m_C⁴`.
    /// Nothing where [`Self::absolute`] has nothing, or when the control's mean is zero.
    #[must_use]
    pub fn relative(treatment: &Estimate, control: &Estimate) -> Option<Self> {
        let scale = control.mean.abs();
        let squared = treatment.squared_error() / control.mean.powi(2)
            + control.squared_error() * treatment.mean.powi(2) / control.mean.powi(4);
        Self::new((treatment.mean - control.mean) / scale, squared, (treatment, control))
    }

    pub(super) fn new(value: f64, squared: f64, (treatment, control): (&Estimate, &Estimate)) -> Option<Self> {
        let is_usable = squared.is_finite() && squared > 0.0 && value.is_finite();
        if !is_usable || treatment.units < 2 || control.units < 2 {
            return None;
        }
        let part = |estimate: &Estimate| estimate.squared_error().powi(2) / (estimate.units - 1) as f64;
        let total = treatment.squared_error() + control.squared_error();
        let df = total * total / (part(treatment) + part(control));
        Some(Self { value, standard_error: squared.sqrt(), df, units: treatment.units + control.units })
    }

    /// Student's t at a horizon fixed beforehand; level `alpha` in (0, 1).
    #[must_use]
    pub fn fixed(&self, alternative: Alternative, alpha: f64) -> Test {
        let t = self.value / self.standard_error;
        let p = match alternative {
            Alternative::TwoSided => (2.0 * student_sf(t.abs(), self.df)).min(1.0),
            Alternative::Greater => student_sf(t, self.df),
            Alternative::Lesser => student_sf(-t, self.df),
        };
        let tail = if alternative == Alternative::TwoSided { alpha / 2.0 } else { alpha };
        self.around(alternative, student_upper(tail, self.df) * self.standard_error, p)
    }

    /// The asymptotic confidence sequence, tightest at `horizon` units of both arms together, at level
    /// `alpha` in (0, ½).
    ///
    /// Two-sided: half-width `se·√N·√(2(Nρ²+1)/(Nρ)²·ln(√(Nρ²+1)/α))` with ρ of [`tuned_rho`], and
    /// `p = min(1, √(Nρ²+1)·exp(−ρ²N(d/se)²/(2(Nρ²+1))))`. One-sided: ρ at 2α and `ln(1+√(Nρ²+1)/(2α))`;
    /// its p-value is the level at which the sequence touches zero, between 1e-5 and 0.4999.
    #[must_use]
    pub fn sequential(&self, alternative: Alternative, alpha: f64, horizon: f64) -> Test {
        if alternative == Alternative::TwoSided {
            let n = self.units as f64;
            let inner = n * tuned_rho(alpha, horizon).powi(2) + 1.0;
            let z = self.value / self.standard_error;
            let p = inner.sqrt() * (-(inner - 1.0) * z * z / (2.0 * inner)).exp();
            let margin = self.standard_error * (2.0 * inner / (inner - 1.0) * (inner.sqrt() / alpha).ln()).sqrt();
            return self.around(alternative, margin, p.min(1.0));
        }
        let signed = if alternative == Alternative::Greater { self.value } else { -self.value };
        let p = if self.one_sided(1e-5, horizon) <= signed {
            1e-5
        } else {
            root(1e-5, 0.4999, |level| signed - self.one_sided(level, horizon))
        };
        self.around(alternative, self.one_sided(alpha, horizon), p)
    }

    fn one_sided(&self, alpha: f64, horizon: f64) -> f64 {
        let inner = self.units as f64 * tuned_rho(2.0 * alpha, horizon).powi(2) + 1.0;
        let logarithm = (inner.sqrt() / (2.0 * alpha)).ln_1p();
        self.standard_error * (2.0 * inner / (inner - 1.0) * logarithm).sqrt()
    }

    fn around(&self, alternative: Alternative, margin: f64, p: f64) -> Test {
        let (lower, upper) = (self.value - margin, self.value + margin);
        match alternative {
            Alternative::TwoSided => Test { lower, upper, p },
            Alternative::Greater => Test { lower, upper: f64::INFINITY, p },
            Alternative::Lesser => Test { lower: f64::NEG_INFINITY, upper, p },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_effect_without_variance_units_or_a_base() {
        let flat = Estimate { mean: 1.0, variance: 0.0, units: 9 };
        let zero = Estimate { mean: 0.0, variance: 1.0, units: 9 };
        let single = Estimate { mean: 1.0, variance: 1.0, units: 1 };
        assert_eq!(Effect::absolute(&flat, &flat), None);
        assert_eq!(Effect::relative(&flat, &zero), None);
        assert_eq!(Effect::absolute(&single, &zero), None);
        let effect = Effect::absolute(&flat, &zero).unwrap();
        let [two, greater] = [Alternative::TwoSided, Alternative::Greater].map(|side| effect.fixed(side, 0.05));
        assert!((two.p - 2.0 * greater.p).abs() < 1e-12 && greater.upper.is_infinite());
        assert!(effect.sequential(Alternative::TwoSided, 0.05, 100.0).lower < two.lower);
    }
}
