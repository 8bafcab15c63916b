//! Two proportions at a horizon fixed beforehand.

mod barnard;
mod score;

use statrs::distribution::{Beta, ContinuousCDF};
use statrs::function::gamma::ln_gamma;

use super::special::{normal_quantile, normal_two_sided, root};

/// Successes of an arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Successes {
    /// Units with the outcome.
    pub hits: u64,
    /// Units, ≥ 1 and ≥ hits.
    pub units: u64,
}

impl Successes {
    /// The share of hits.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.hits as f64 / self.units as f64
    }

    const fn is_valid(&self) -> bool {
        self.units > 0 && self.hits <= self.units
    }

    /// Wilson's (1927) interval of the rate. Nothing without units.
    #[must_use]
    pub fn wilson(&self, alpha: f64) -> Option<(f64, f64)> {
        if !self.is_valid() {
            return None;
        }
        let (n, p, z) = (self.units as f64, self.rate(), normal_quantile(1.0 - alpha / 2.0));
        let scale = 1.0 + z * z / n;
        let centre = (p + z * z / (2.0 * n)) / scale;
        let margin = z / scale * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        Some((centre - margin, centre + margin))
    }

    /// The interval of Agresti & Coull (1998): Wald's with z² pseudo-units, cut to \[0, 1\].
    #[must_use]
    pub fn agresti_coull(&self, alpha: f64) -> Option<(f64, f64)> {
        if !self.is_valid() {
            return None;
        }
        let z = normal_quantile(1.0 - alpha / 2.0);
        let n = self.units as f64 + z * z;
        let p = (self.hits as f64 + z * z / 2.0) / n;
        let margin = z * (p * (1.0 - p) / n).sqrt();
        Some(((p - margin).max(0.0), (p + margin).min(1.0)))
    }

    /// Jeffreys' interval: quantiles of Beta(hits + ½, misses + ½).
    #[must_use]
    pub fn jeffreys(&self, alpha: f64) -> Option<(f64, f64)> {
        let (hits, misses) = (self.hits as f64, self.units.checked_sub(self.hits)? as f64);
        let lower = beta_quantile(alpha / 2.0, hits + 0.5, misses + 0.5)?;
        Some((lower, beta_quantile(1.0 - alpha / 2.0, hits + 0.5, misses + 0.5)?))
    }

    /// The exact interval of Clopper & Pearson (1934).
    #[must_use]
    pub fn clopper_pearson(&self, alpha: f64) -> Option<(f64, f64)> {
        if !self.is_valid() {
            return None;
        }
        let (hits, misses) = (self.hits as f64, (self.units - self.hits) as f64);
        let lower = if self.hits == 0 { 0.0 } else { beta_quantile(alpha / 2.0, hits, misses + 1.0)? };
        let upper = if misses == 0.0 { 1.0 } else { beta_quantile(1.0 - alpha / 2.0, hits + 1.0, misses)? };
        Some((lower, upper))
    }
}

fn beta_quantile(probability: f64, a: f64, b: f64) -> Option<f64> {
    let beta = Beta::new(a, b).ok()?;
    Some(root(0.0, 1.0, |x| beta.cdf(x) - probability))
}

/// Treatment against control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proportions {
    treatment: Successes,
    control: Successes,
}

impl Proportions {
    /// Nothing when an arm has no units, or more hits than units.
    #[must_use]
    pub fn new(treatment: Successes, control: Successes) -> Option<Self> {
        (treatment.is_valid() && control.is_valid()).then_some(Self { treatment, control })
    }

    fn parts(&self) -> (f64, f64, f64, f64) {
        (self.treatment.rate(), self.treatment.units as f64, self.control.rate(), self.control.units as f64)
    }

    /// The pooled z statistic and its two-sided p-value. Nothing when no unit or each has the outcome.
    #[must_use]
    pub fn pooled_z(&self) -> Option<(f64, f64)> {
        let (p1, n1, p2, n2) = self.parts();
        let pooled = (self.treatment.hits + self.control.hits) as f64 / (n1 + n2);
        let squared = pooled * (1.0 - pooled) * (1.0 / n1 + 1.0 / n2);
        let z = (p1 - p2) / squared.sqrt();
        (squared > 0.0).then(|| (z, normal_two_sided(z)))
    }

    /// Wald's interval of the difference.
    #[must_use]
    pub fn wald(&self, alpha: f64) -> (f64, f64) {
        let (p1, n1, p2, n2) = self.parts();
        around(p1 - p2, (p1 * (1.0 - p1) / n1 + p2 * (1.0 - p2) / n2).sqrt(), alpha)
    }

    /// The interval of Agresti & Caffo (2000): Wald's with one more hit and miss an arm, cut to \[−1, 1\].
    #[must_use]
    pub fn agresti_caffo(&self, alpha: f64) -> (f64, f64) {
        let more = |arm: Successes| Successes { hits: arm.hits + 1, units: arm.units + 2 };
        let (low, high) = Self { treatment: more(self.treatment), control: more(self.control) }.wald(alpha);
        (low.max(-1.0), high.min(1.0))
    }

    /// Newcombe's (1998, method 10) interval of the difference, from the arms' Wilson intervals.
    #[must_use]
    pub fn newcombe(&self, alpha: f64) -> Option<(f64, f64)> {
        let (p1, _, p2, _) = self.parts();
        let ((l1, u1), (l2, u2)) = (self.treatment.wilson(alpha)?, self.control.wilson(alpha)?);
        let low = ((p1 - l1).powi(2) + (u2 - p2).powi(2)).sqrt();
        let high = ((u1 - p1).powi(2) + (p2 - l2).powi(2)).sqrt();
        Some((p1 - p2 - low, p1 - p2 + high))
    }

    /// The interval of the ratio on its logarithm (Katz et al. 1978). Nothing when an arm has no hit.
    #[must_use]
    pub fn log_ratio(&self, alpha: f64) -> Option<(f64, f64)> {
        let (p1, n1, p2, n2) = self.parts();
        if self.treatment.hits == 0 || self.control.hits == 0 {
            return None;
        }
        let error = ((1.0 - p1) / (n1 * p1) + (1.0 - p2) / (n2 * p2)).sqrt();
        let (low, high) = around((p1 / p2).ln(), error, alpha);
        Some((low.exp(), high.exp()))
    }

    /// [`Self::log_ratio`] with half a hit and half a unit more in each arm (Walter 1975): defined without hits too.
    #[must_use]
    pub fn log_ratio_adjusted(&self, alpha: f64) -> (f64, f64) {
        let more = |arm: Successes| (arm.hits as f64 + 0.5, arm.units as f64 + 0.5);
        let ((x1, n1), (x2, n2)) = (more(self.treatment), more(self.control));
        let error = (x1.recip() - n1.recip() + x2.recip() - n2.recip()).sqrt();
        let (low, high) = around((x1 * n2 / (n1 * x2)).ln(), error, alpha);
        (low.exp(), high.exp())
    }

    /// Fisher's exact two-sided p-value: all tables with these margins that are no more likely.
    #[must_use]
    pub fn fisher(&self) -> f64 {
        let (n1, n2) = (self.treatment.units, self.control.units);
        let hits = self.treatment.hits + self.control.hits;
        let log_mass = |k: u64| log_choose(n1, k) + log_choose(n2, hits - k) - log_choose(n1 + n2, hits);
        // The library that this agrees with counts ties up to 1e-14; lgamma is that good only to 1e-7 here.
        let observed = log_mass(self.treatment.hits) + 1e-7;
        let all = hits.saturating_sub(n2)..=hits.min(n1);
        all.map(log_mass).filter(|mass| *mass <= observed).map(f64::exp).sum::<f64>().min(1.0)
    }
}

fn around(centre: f64, error: f64, alpha: f64) -> (f64, f64) {
    let margin = normal_quantile(1.0 - alpha / 2.0) * error;
    (centre - margin, centre + margin)
}

fn log_choose(n: u64, k: u64) -> f64 {
    let log_factorial = |n: u64| ln_gamma(n as f64 + 1.0);
    log_factorial(n) - log_factorial(k) - log_factorial(n - k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_arms_and_extreme_rates_are_defined() {
        let arm = |hits, units| Successes { hits, units };
        assert_eq!(Proportions::new(arm(1, 0), arm(0, 1)), None);
        assert_eq!(Proportions::new(arm(3, 2), arm(0, 1)), None);
        assert_eq!((arm(0, 0).wilson(0.05), arm(2, 1).jeffreys(0.05)), (None, None));
        let none = Proportions::new(arm(0, 10), arm(0, 20)).unwrap();
        assert_eq!((none.pooled_z(), none.log_ratio(0.05)), (None, None));
        let (low, high) = none.log_ratio_adjusted(0.05);
        assert!(low > 0.0 && low < 2.0 && 2.0 < high && high.is_finite());
        assert!((none.fisher() - 1.0).abs() < 1e-9);
        assert_eq!(arm(0, 10).clopper_pearson(0.05).unwrap().0, 0.0);
        assert_eq!(arm(10, 10).clopper_pearson(0.05).unwrap().1, 1.0);
    }
}
