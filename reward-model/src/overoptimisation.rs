//! What optimising against a reward model does to the reward that it stands for.
//!
//! Gao, Schulman & Hilton, *Scaling Laws for Reward Model Overoptimization* (arXiv 2210.10760): with
//! `d = √KL(π ‖ π₀)`, in √nats, the true reward first rises and then falls, `R(d) = d·(α − β·d)` for best-of-n and
//! `R(d) = d·(α − β·ln d)` for reinforcement learning. α is what the first step gains, β how soon the
//! proxy stops telling the truth.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::error::argument;

/// How a policy is optimised against a reward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimisation {
    /// The best of n drawn responses.
    BestOfN,
    /// Reinforcement learning with a penalty on the KL divergence.
    Reinforcement,
}

/// True reward by distance from the initial policy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RewardCurve {
    optimisation: Optimisation,
    alpha: f64,
    beta: f64,
}

impl RewardCurve {
    /// The curve with these coefficients.
    ///
    /// # Errors
    /// Fails unless `alpha` and `beta` are finite and above 0.
    pub fn new(optimisation: Optimisation, alpha: f64, beta: f64) -> Result<Self, Error> {
        for (name, value) in [("alpha", alpha), ("beta", beta)] {
            if !value.is_finite() || value <= 0.0 {
                return Err(argument(name, "finite and above 0", value));
            }
        }
        Ok(Self { optimisation, alpha, beta })
    }

    /// The true reward at distance `d` (√nats, at least 0), relative to the initial policy.
    #[must_use]
    pub fn reward(&self, d: f64) -> f64 {
        match self.optimisation {
            Optimisation::BestOfN => d * (self.alpha - self.beta * d),
            // The limit of d·ln d; the formula would give 0 times infinity.
            Optimisation::Reinforcement if d == 0.0 => 0.0,
            Optimisation::Reinforcement => d * (self.alpha - self.beta * d.ln()),
        }
    }

    /// What one more step gains at distance `d`, `dR/dd`: below 0, optimising further does harm.
    #[must_use]
    pub fn slope(&self, d: f64) -> f64 {
        match self.optimisation {
            Optimisation::BestOfN => self.alpha - 2.0 * self.beta * d,
            Optimisation::Reinforcement => self.alpha - self.beta * (d.ln() + 1.0),
        }
    }

    /// The distance of the highest true reward: `α/(2β)` for best-of-n, `exp(α/β − 1)` for reinforcement learning
    /// (infinite where that is beyond all numbers).
    #[must_use]
    pub fn peak(&self) -> f64 {
        match self.optimisation {
            Optimisation::BestOfN => self.alpha / (2.0 * self.beta),
            Optimisation::Reinforcement => (self.alpha / self.beta - 1.0).exp(),
        }
    }

    /// The KL divergence of the highest true reward, in nats: what a policy should not go beyond.
    #[must_use]
    pub fn peak_kl(&self) -> f64 {
        self.peak().powi(2)
    }

    /// The highest true reward.
    #[must_use]
    pub fn peak_reward(&self) -> f64 {
        match self.optimisation {
            Optimisation::BestOfN => self.reward(self.peak()),
            Optimisation::Reinforcement => self.beta * self.peak(),
        }
    }
}

/// KL divergence of best-of-`n` from the policy that is drawn from, in nats: `ln n − (n − 1)/n` (Stiennon et al., arXiv
/// 2009.01325, appendix G.3); an upper bound when responses repeat. 0 for `n` up to 1.
#[must_use]
pub fn best_of_n_kl(n: u32) -> f64 {
    let n = f64::from(n.max(1));
    n.ln() - (n - 1.0) / n
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, expected: &serde_json::Value, what: &str) {
        let expected = expected.as_f64().unwrap();
        assert!((got - expected).abs() <= 1e-12 * expected.abs().max(1.0), "{what}: {got} is not {expected}");
    }

    /// Closed forms, evaluated in Python; see the `formula` field of the file.
    #[test]
    fn curves_match_all_reference_cases() {
        let text = include_str!("../tests/fixtures/overoptimisation.json");
        let file: serde_json::Value = serde_json::from_str(text).unwrap();
        let cases = file["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 10);
        for case in cases {
            let (inp, out) = (&case["inp"], &case["out"]);
            if let Some(n) = inp["best_of_n"].as_u64() {
                close(best_of_n_kl(n as u32), &out["kl"], "kl");
                continue;
            }
            let (alpha, beta) = (inp["alpha"].as_f64().unwrap(), inp["beta"].as_f64().unwrap());
            let best = RewardCurve::new(Optimisation::BestOfN, alpha, beta).unwrap();
            let learned = RewardCurve::new(Optimisation::Reinforcement, alpha, beta).unwrap();
            for (at, d) in inp["d"].as_array().unwrap().iter().enumerate() {
                let d = d.as_f64().unwrap();
                close(best.reward(d), &out["R_bon"][at], "R_bon");
                close(learned.reward(d), &out["R_rl"][at], "R_rl");
            }
            close(best.peak(), &out["d_peak_bon"], "d_peak_bon");
            close(learned.peak(), &out["d_peak_rl"], "d_peak_rl");
            close(best.peak_kl(), &out["kl_peak_bon"], "kl_peak_bon");
            close(best.peak_reward(), &out["R_peak_bon"], "R_peak_bon");
            close(learned.peak_reward(), &out["R_peak_rl"], "R_peak_rl");
        }
    }

    #[test]
    fn the_peak_is_where_nothing_is_gained() {
        for optimisation in [Optimisation::BestOfN, Optimisation::Reinforcement] {
            let curve = RewardCurve::new(optimisation, 0.8, 0.25).unwrap();
            let peak = curve.peak();
            assert!(curve.slope(peak).abs() < 1e-12);
            assert!((curve.reward(peak) - curve.peak_reward()).abs() < 1e-12);
            assert!(curve.slope(0.9 * peak) > 0.0 && curve.slope(1.1 * peak) < 0.0);
            assert_eq!(curve.reward(0.0), 0.0);
        }
    }

    #[test]
    fn impossible_coefficients_are_refused() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = RewardCurve::new(Optimisation::BestOfN, 1.0, bad).unwrap_err().to_string();
            assert_eq!(error, format!("`beta` must be finite and above 0, got {bad}"));
        }
        assert_eq!(best_of_n_kl(0), 0.0);
    }
}
