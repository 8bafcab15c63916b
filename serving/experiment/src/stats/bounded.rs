//! Confidence sequences of the mean of values in \[0, 1\] (Waudby-Smith & Ramdas 2023, *Estimating means of
//! bounded random variables by betting*).
//!
//! Each is one mean; the comparison of two arms is [`super::BettingEffect`].

use serde::{Deserialize, Serialize};

use super::boundaries::{Boundary, Mixture};

/// The predictable plug-in of equation 26 with one pseudo-observation of mean ½ and variance ¼:
/// `λ_t = √(2·ln(1/α) / (σ²_{t−1}·t·ln(1+t)))`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Plugin {
    n: u64,
    sum: f64,
    squares: f64,
}

impl Plugin {
    fn bet(&self, alpha: f64) -> f64 {
        let t = (self.n + 1) as f64;
        let variance = (0.25 + self.squares) / t;
        (-2.0 * alpha.ln() / (variance * t * t.ln_1p())).sqrt()
    }

    fn observe(&mut self, x: f64) {
        self.n += 1;
        self.sum += x;
        let mean = ((0.5 + self.sum) / (self.n + 1) as f64).min(1.0);
        self.squares += (x - mean).powi(2);
    }
}

/// The predictable-mixture empirical Bernstein sequence (theorem 2): closed form, sums only. λ depends on
/// the past, so a value cannot be replaced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EmpiricalBernstein {
    alpha: f64,
    lower: OneSided,
    upper: OneSided,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct OneSided {
    plugin: Plugin,
    bets: f64,
    weighted: f64,
    penalty: f64,
}

impl OneSided {
    fn observe(&mut self, x: f64, alpha: f64) {
        let bet = self.plugin.bet(alpha).min(0.5);
        let mean = if self.plugin.n == 0 { 0.0 } else { self.plugin.sum / self.plugin.n as f64 };
        self.bets += bet;
        self.weighted += bet * x;
        self.penalty += (x - mean).powi(2) * (-(-bet).ln_1p() - bet);
        self.plugin.observe(x);
    }

    fn bound(&self, alpha: f64) -> f64 {
        if self.bets > 0.0 { (self.weighted - self.penalty + alpha.ln()) / self.bets } else { 0.0 }
    }
}

impl EmpiricalBernstein {
    /// At level `alpha` in (0, 1).
    #[must_use]
    pub fn new(alpha: f64) -> Self {
        Self { alpha, lower: OneSided::default(), upper: OneSided::default() }
    }

    /// One more value; clamped to \[0, 1\], NaN ignored.
    pub fn observe(&mut self, x: f64) {
        if !x.is_nan() {
            self.lower.observe(x.clamp(0.0, 1.0), self.alpha / 2.0);
            self.upper.observe(1.0 - x.clamp(0.0, 1.0), self.alpha / 2.0);
        }
    }

    /// The interval now.
    #[must_use]
    pub fn interval(&self) -> (f64, f64) {
        let half = self.alpha / 2.0;
        (self.lower.bound(half).clamp(0.0, 1.0), (1.0 - self.upper.bound(half)).clamp(0.0, 1.0))
    }
}

/// Conjugate-mixture sequences of a mean in \[0, 1\] from sums: Hoeffding with `v_opt` observations in mind,
/// or empirical Bernstein with Σ (x − mean before)².
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ConjugateMixture {
    n: u64,
    sum: f64,
    lower_time: f64,
    upper_time: f64,
}

impl ConjugateMixture {
    /// One more value; clamped to \[0, 1\], NaN ignored.
    pub fn observe(&mut self, x: f64) {
        if x.is_nan() {
            return;
        }
        let x = x.clamp(0.0, 1.0);
        let mean = if self.n == 0 { 0.5 } else { self.sum / self.n as f64 };
        self.lower_time += (x - mean).powi(2);
        self.upper_time += (mean - x).powi(2);
        self.n += 1;
        self.sum += x;
    }

    /// Two-sided Hoeffding, tightest at `t_opt` observations. (0, 1) without any.
    #[must_use]
    pub fn hoeffding(&self, alpha: f64, t_opt: f64) -> (f64, f64) {
        let margin = |n: f64| Boundary::new(Mixture::NormalTwoSided, t_opt / 4.0, alpha).at(n / 4.0, alpha) / n;
        self.around(margin(self.n as f64), margin(self.n as f64))
    }

    /// Empirical Bernstein, tightest at intrinsic time `v_opt`, `alpha`/2 a side.
    #[must_use]
    pub fn empirical_bernstein(&self, alpha: f64, v_opt: f64) -> (f64, f64) {
        let half = alpha / 2.0;
        let boundary = Boundary::new(Mixture::GammaExponential(1.0), v_opt, half);
        let n = self.n as f64;
        self.around(boundary.at(self.lower_time, half) / n, boundary.at(self.upper_time, half) / n)
    }

    fn around(&self, below: f64, above: f64) -> (f64, f64) {
        if self.n == 0 {
            return (0.0, 1.0);
        }
        let mean = self.sum / self.n as f64;
        ((mean - below).max(0.0), (mean + above).min(1.0))
    }
}

/// The hedged capital process (theorem 3) on a grid of means: half the wealth bets upwards, half downwards,
/// at most half of it at stake. Tighter than the closed forms. The running intersection holds as well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HedgedBetting {
    alpha: f64,
    plugin: Plugin,
    up: Vec<f64>,
    down: Vec<f64>,
    interval: (f64, f64),
}

impl HedgedBetting {
    /// At level `alpha` in (0, 1), on `breaks` ≥ 1 steps of the mean.
    #[must_use]
    pub fn new(alpha: f64, breaks: usize) -> Self {
        let start = vec![1.0; breaks.max(1) + 1];
        Self { alpha, plugin: Plugin::default(), up: start.clone(), down: start, interval: (0.0, 1.0) }
    }

    /// One more value; clamped to \[0, 1\], NaN ignored.
    pub fn observe(&mut self, x: f64) {
        const STAKE: f64 = 0.5;
        const MOST: f64 = 1e250;
        if x.is_nan() {
            return;
        }
        let x = x.clamp(0.0, 1.0);
        let bet = self.plugin.bet(self.alpha / 2.0);
        let steps = (self.up.len() - 1) as f64;
        for (index, (up, down)) in self.up.iter_mut().zip(&mut self.down).enumerate() {
            let m = index as f64 / steps;
            let most = |bound: f64| if bound > 0.0 { STAKE / bound } else { f64::MAX };
            *up = (*up * (1.0 + bet.min(most(m)) * (x - m))).min(MOST);
            *down = (*down * (1.0 - bet.min(most(1.0 - m)) * (x - m))).min(MOST);
        }
        self.plugin.observe(x);
        let kept = |(up, down): (&f64, &f64)| 0.5 * up.max(*down) <= 1.0 / self.alpha;
        let first = self.up.iter().zip(&self.down).position(kept);
        let last = self.up.iter().zip(&self.down).rposition(kept);
        if let (Some(first), Some(last)) = (first, last) {
            self.interval.0 = ((first as f64 - 1.0) / steps).max(0.0);
            self.interval.1 = ((last as f64 + 1.0) / steps).min(1.0);
        }
    }

    /// The interval now, rounded outwards by one step.
    #[must_use]
    pub const fn interval(&self) -> (f64, f64) {
        self.interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_values_everything_is_possible_and_bad_values_are_contained() {
        let mut bernstein = EmpiricalBernstein::new(0.05);
        let mut hedged = HedgedBetting::new(0.05, 100);
        let mut mixture = ConjugateMixture::default();
        assert_eq!((bernstein.interval(), hedged.interval()), ((0.0, 1.0), (0.0, 1.0)));
        assert_eq!(mixture.hoeffding(0.05, 10.0), (0.0, 1.0));
        for x in [f64::NAN, f64::INFINITY, -3.0, 1.0, 0.0].repeat(100) {
            bernstein.observe(x);
            hedged.observe(x);
            mixture.observe(x);
        }
        for (lower, upper) in [bernstein.interval(), hedged.interval(), mixture.empirical_bernstein(0.05, 10.0)] {
            assert!(0.3 < lower && lower < 0.5 && 0.5 < upper && upper < 0.7, "{lower} {upper}");
        }
    }
}
