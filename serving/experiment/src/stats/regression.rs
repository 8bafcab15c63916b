//! Anytime-valid t tests of the coefficients of a linear regression.
//!
//! Lindon, Ham, Tingley & Bojinov 2024, *Anytime-valid linear models and regression adjusted causal inference in
//! randomized experiments*: with t the usual statistic at ν degrees of freedom, z² the squared ratio of the
//! residual deviation to the standard error, and `r = φ/(φ + z²)`,
//!
//! ```text
//! ln BF = ½ ln r + ½(ν+1)·( ln(1 + t²/ν) − ln(1 + r·t²/ν) )      p = 1/BF
//! ```

use serde::{Deserialize, Serialize};

/// Sums of an intercept-and-one-covariate regression; the covariate is usually the assignment, 0 or 1. A row
/// can be replaced by taking the old away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct LineSums {
    n: u64,
    x: f64,
    xx: f64,
    y: f64,
    yy: f64,
    xy: f64,
}

/// One coefficient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coefficient {
    /// Least-squares estimate.
    pub estimate: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// Logarithm of the Bayes factor against zero: an e-value that may be watched.
    pub log_e: f64,
    /// The anytime interval; infinite until there are enough rows.
    pub interval: (f64, f64),
}

impl LineSums {
    /// Adds a row.
    pub fn add(&mut self, y: f64, x: f64) {
        self.n += 1;
        self.shift((y, x), 1.0);
    }

    /// Replaces a row, `(y, x)` each.
    pub fn replace(&mut self, old: (f64, f64), new: (f64, f64)) {
        self.shift(old, -1.0);
        self.shift(new, 1.0);
    }

    fn shift(&mut self, (y, x): (f64, f64), sign: f64) {
        self.x += sign * x;
        self.xx += sign * x * x;
        self.y += sign * y;
        self.yy += sign * y * y;
        self.xy += sign * x * y;
    }

    /// `[intercept, slope]` at level `alpha` for prior precision `phi` > 0. Nothing with fewer than four rows,
    /// a covariate that does not vary, or residuals of zero.
    #[must_use]
    pub fn coefficients(&self, phi: f64, alpha: f64) -> Option<[Coefficient; 2]> {
        let n = self.n as f64;
        let spread = self.xx - self.x * self.x / n;
        if self.n < 4 || spread.is_nan() || spread <= 0.0 {
            return None;
        }
        let slope = (self.xy - self.x * self.y / n) / spread;
        let intercept = (self.y - slope * self.x) / n;
        let residual = self.yy - intercept * self.y - slope * self.xy;
        let sigma = (residual / (n - 2.0)).sqrt();
        if sigma.is_nan() || sigma <= 0.0 {
            return None;
        }
        // Diagonal of (XᵀX)⁻¹.
        let scales = [self.xx / (n * spread), 1.0 / spread];
        let estimates = [intercept, slope];
        Some([0, 1].map(|i| coefficient(estimates[i], (sigma, scales[i]), n - 3.0, (phi, alpha))))
    }
}

fn coefficient(estimate: f64, (sigma, scale): (f64, f64), nu: f64, (phi, alpha): (f64, f64)) -> Coefficient {
    let standard_error = sigma * scale.sqrt();
    let r = phi / (phi + 1.0 / scale);
    let t2 = (estimate / standard_error).powi(2);
    let log_e = 0.5 * r.ln() + 0.5 * (nu + 1.0) * ((t2 / nu).ln_1p() - (r * t2 / nu).ln_1p());
    let level = (r * alpha * alpha).powf(1.0 / (nu + 1.0));
    let radius = if level > r { standard_error * (nu * (1.0 - level) / (level - r)).sqrt() } else { f64::INFINITY };
    Coefficient { estimate, standard_error, log_e, interval: (estimate - radius, estimate + radius) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_covariate_that_does_not_vary_gives_nothing() {
        let mut sums = LineSums::default();
        for y in [1.0, 2.0, 4.0, 3.0] {
            sums.add(y, 1.0);
        }
        assert_eq!(sums.coefficients(1.0, 0.05), None);
        sums.replace((1.0, 1.0), (1.0, 0.0));
        assert!(sums.coefficients(1.0, 0.05).is_some());
    }
}
