//! Time-uniform boundaries: `P(ever S_t ≥ u(V_t)) ≤ α` for a sum S of intrinsic time V.
//!
//! Howard, Ramdas, McAuliffe & Sekhon 2021, *Time-uniform, nonparametric, nonasymptotic confidence sequences*:
//! a mixture over bet sizes is a supermartingale `exp(log_mixture(s, v))`, and the boundary is where it
//! reaches 1/α. Every mixture is tuned to be tightest at intrinsic time `v_opt` for level `alpha_opt`.

use statrs::function::beta::beta_reg;
use statrs::function::gamma::{gamma_lr, gamma_ur, ln_gamma};

use super::special::{normal_cdf, root};

/// Which sums a mixture is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mixture {
    /// Sub-Gaussian, both sides (proposition 5).
    NormalTwoSided,
    /// Sub-Gaussian, one side (proposition 6).
    NormalOneSided,
    /// Sub-exponential of scale c > 0 (proposition 9), as for empirical Bernstein bounds.
    GammaExponential(f64),
    /// Sub-Poisson of scale c > 0 (proposition 10).
    GammaPoisson(f64),
    /// Sub-Bernoulli on \[−g, h\], one side (proposition 8).
    BetaBinomialOneSided(f64, f64),
    /// Sub-Bernoulli on \[−g, h\], both sides (proposition 7).
    BetaBinomialTwoSided(f64, f64),
}

/// A mixture with its tuning.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Boundary {
    mixture: Mixture,
    rho: f64,
}

impl Boundary {
    /// Tightest at intrinsic time `v_opt` > 0 for `alpha_opt` in (0, ½).
    #[must_use]
    pub fn new(mixture: Mixture, v_opt: f64, alpha_opt: f64) -> Self {
        let is_two_sided = matches!(mixture, Mixture::NormalTwoSided | Mixture::BetaBinomialTwoSided(..));
        let twice_log = -2.0 * (if is_two_sided { alpha_opt } else { 2.0 * alpha_opt }).ln();
        let best = v_opt / (twice_log + twice_log.ln_1p());
        let rho = match mixture {
            Mixture::BetaBinomialOneSided(g, h) | Mixture::BetaBinomialTwoSided(g, h) => {
                (best - g * h).max(1e-3 * g * h)
            }
            _ => best,
        };
        Self { mixture, rho }
    }

    /// Logarithm of the supermartingale at sum `s` and intrinsic time `v` ≥ 0.
    #[must_use]
    pub fn log_mixture(&self, s: f64, v: f64) -> f64 {
        let rho = self.rho;
        match self.mixture {
            Mixture::NormalTwoSided => 0.5 * (rho / (v + rho)).ln() + s * s / (2.0 * (v + rho)),
            Mixture::NormalOneSided => {
                let tail = normal_cdf(s / (v + rho).sqrt()).ln();
                0.5 * (4.0 * rho / (v + rho)).ln() + s * s / (2.0 * (v + rho)) + tail
            }
            Mixture::GammaExponential(c) => {
                let (prior, now) = (rho / (c * c), (v + rho) / (c * c));
                let reached = (c * s + v + rho) / (c * c);
                let constant = prior * prior.ln() - ln_gamma(prior) - gamma_lr(prior, prior).ln();
                constant + ln_gamma(now) + gamma_lr(now, reached).ln() - now * reached.ln() + reached - prior
            }
            Mixture::GammaPoisson(c) => {
                let (prior, now) = (rho / (c * c), (v + rho) / (c * c));
                let reached = s / c + now;
                let constant = prior * prior.ln() - ln_gamma(prior) - gamma_ur(prior, prior).ln();
                constant + ln_gamma(reached) + gamma_ur(reached, now).ln() - reached * now.ln() + v / (c * c)
            }
            Mixture::BetaBinomialOneSided(g, h) => self.log_beta_binomial((g, h), (s, v), h / (g + h)),
            Mixture::BetaBinomialTwoSided(g, h) => self.log_beta_binomial((g, h), (s, v), 1.0),
        }
    }

    fn log_beta_binomial(&self, (g, h): (f64, f64), (s, v): (f64, f64), x: f64) -> f64 {
        let (r, range) = (self.rho, g + h);
        let down = (v - g * s) / (g * range);
        let up = (v + h * s) / (h * range);
        let (of_g, of_h) = (r / (g * range), r / (h * range));
        let moved = log_incomplete_beta(of_g + down, of_h + up, x) - log_incomplete_beta(of_g, of_h, x);
        v / (g * h) * range.ln() - up * g.ln() - down * h.ln() + moved
    }

    /// The boundary at intrinsic time `v` ≥ 0 and level `alpha` in (0, 1).
    #[must_use]
    pub fn at(&self, v: f64, alpha: f64) -> f64 {
        let threshold = -alpha.ln();
        if self.mixture == Mixture::NormalTwoSided {
            return ((v + self.rho) * ((v / self.rho).ln_1p() + 2.0 * threshold)).sqrt();
        }
        let mut high = v.max(1.0);
        if let Mixture::BetaBinomialOneSided(g, _) | Mixture::BetaBinomialTwoSided(g, _) = self.mixture {
            // The sum cannot be larger.
            high = v / g;
            if self.log_mixture(high, v) < threshold {
                return high;
            }
        } else {
            while self.log_mixture(high, v) < threshold && high < 1e100 {
                high *= 2.0;
            }
        }
        root(0.0, high, |s| self.log_mixture(s, v) - threshold)
    }
}

fn log_incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    let whole = ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b);
    if x >= 1.0 { whole } else { beta_reg(a, b, x).ln() + whole }
}

/// The stitched boundary of theorem 1 with `h(k) ∝ k^s`, s = 1.4, η = 2: of the order `√(v ln ln v)`, for
/// sub-gamma sums of scale `c` ≥ 0, from intrinsic time `v_min` > 0 on.
#[must_use]
pub fn poly_stitching(v: f64, alpha: f64, v_min: f64, c: f64) -> f64 {
    const S: f64 = 1.4;
    const ETA: f64 = 2.0;
    // ζ(1.4)
    const ZETA: f64 = 3.105_547_257_971_5;
    let time = v.max(v_min);
    let k1 = (ETA.powf(0.25) + ETA.powf(-0.25)) / std::f64::consts::SQRT_2;
    let k2 = f64::midpoint(ETA.sqrt(), 1.0);
    let level = S * (ETA * time / v_min).ln().ln() + (ZETA / ETA.ln().powf(S)).ln() - alpha.ln();
    let linear = k2 * c * level;
    (k1 * k1 * time * level + linear * linear).sqrt() + linear
}

/// The anytime confidence sequence of one rate: rates whose two-sided beta-binomial mixture stays below
/// 1/α; tightest near `t_opt` trials. (0, 1) without trials.
#[must_use]
pub fn bernoulli_sequence(successes: u64, trials: u64, alpha: f64, t_opt: f64) -> (f64, f64) {
    if trials == 0 {
        return (0.0, 1.0);
    }
    let n = trials as f64;
    let rate = (successes as f64 / n).min(1.0);
    let excess = |p: f64| {
        let boundary = Boundary::new(Mixture::BetaBinomialTwoSided(p, 1.0 - p), p * (1.0 - p) * t_opt, 0.05);
        boundary.log_mixture((rate - p) * n, p * (1.0 - p) * n) + alpha.ln()
    };
    let lower = if rate > 0.0 { root(0.0, rate, |p| if p <= 0.0 { -1.0 } else { -excess(p) }) } else { 0.0 };
    let upper = if rate < 1.0 { root(rate, 1.0, |p| if p >= 1.0 { 1.0 } else { excess(p) }) } else { 1.0 };
    (lower, upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_trials_say_nothing_and_boundaries_grow() {
        assert_eq!(bernoulli_sequence(0, 0, 0.05, 100.0), (0.0, 1.0));
        for mixture in
            [Mixture::NormalOneSided, Mixture::GammaExponential(1.0), Mixture::BetaBinomialOneSided(0.3, 0.7)]
        {
            let boundary = Boundary::new(mixture, 50.0, 0.05);
            assert!(boundary.at(100.0, 0.05) > boundary.at(50.0, 0.05), "{mixture:?}");
            assert!(boundary.at(50.0, 0.01) > boundary.at(50.0, 0.05), "{mixture:?}");
        }
    }
}
