//! Whether the offline score deserves trust: its correlation with what experiments found.

use plaudit_reward_model::quality::pearson;
use serde::{Deserialize, Serialize};

use super::{Config, Outcome, Verdict};

/// The 97.5 % quantile of the standard normal distribution.
const Z_95: f64 = 1.959_963_984_540_054;
/// Candidates with both figures before the offline score counts as proven.
pub const PROVEN_CANDIDATES: usize = 10;
/// What the lower end of the interval of the correlation must reach then.
pub const PROVEN_LOW: f64 = 0.7;

/// Pearson's correlation with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Correlation {
    /// Pairs.
    pub n: usize,
    /// The correlation; nothing with fewer than two pairs or without variation.
    pub r: Option<f64>,
    /// Lower end; nothing with fewer than four pairs.
    pub low: Option<f64>,
    /// Upper end; nothing with fewer than four pairs.
    pub high: Option<f64>,
}

impl Correlation {
    /// Of the pairs of `first` and `second`; the interval is `tanh(artanh r ± 1.96/√(n−3))` (Fisher 1915).
    #[must_use]
    pub fn of(first: &[f64], second: &[f64]) -> Self {
        let n = first.len().min(second.len());
        let r = if n < 2 { None } else { pearson(&first[..n], &second[..n]).filter(|r| r.is_finite()) };
        Self::with(n, r)
    }

    fn with(n: usize, r: Option<f64>) -> Self {
        let Some(value) = r.filter(|_| n >= 4) else { return Self { n, r, low: None, high: None } };
        let (z, width) = (value.clamp(-1.0, 1.0).atanh(), Z_95 / (n as f64 - 3.0).sqrt());
        Self { n, r, low: Some((z - width).tanh()), high: Some((z + width).tanh()) }
    }

    /// Whether there are enough pairs and they agree well enough for the offline score to decide.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.n >= PROVEN_CANDIDATES && self.low.is_some_and(|low| low >= PROVEN_LOW)
    }
}

/// What was known about the offline score when it was used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EvaluatorProof {
    /// Earlier candidates with both figures.
    pub n: usize,
    /// Correlation of their offline and online differences.
    pub r: Option<f64>,
    /// Lower end of its 95 % interval.
    pub low: Option<f64>,
    /// Whether that was enough.
    pub proven: bool,
    /// Whether the offline love could refuse the candidate: it was proven, or the operator asked for no proof.
    pub enforced: bool,
}

impl Verdict {
    /// The verdict with what `backtest` says about the offline score. Where the settings require a proof that is not
    /// there yet, the offline love refuses nobody: it is on record, and the experiment decides. Without that no candidate
    /// would ever be measured, and nothing proven.
    #[must_use]
    pub fn with_backtest(mut self, config: &Config, backtest: &Correlation) -> Self {
        let Correlation { n, r, low, .. } = *backtest;
        let proven = backtest.is_proven();
        let enforced = proven || !config.require_backtest;
        self.evidence.evaluator = Some(EvaluatorProof { n, r, low, proven, enforced });
        if !enforced {
            self.reasons.retain(|reason| reason.rule != "love");
            self.outcome = if self.reasons.is_empty() { Outcome::Pass } else { Outcome::Refuse };
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with Python 3: `math.tanh(math.atanh(.95) ± 1.959964 / math.sqrt(7))`, the size of RLUF's figure 3.
    #[test]
    fn intervals_are_fishers() {
        let known = Correlation::with(10, Some(0.95));
        assert!((known.low.unwrap() - 0.797).abs() < 1e-3 && (known.high.unwrap() - 0.988).abs() < 1e-3);
        assert!(known.is_proven() && !Correlation::with(9, Some(0.99)).is_proven());
        assert!(!Correlation::with(10, Some(0.9)).is_proven());
    }

    #[test]
    fn few_or_equal_pairs_prove_nothing() {
        assert_eq!(Correlation::of(&[], &[]), Correlation { n: 0, r: None, low: None, high: None });
        let three = Correlation::of(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.5]);
        assert!(three.r.unwrap() > 0.9 && three.low.is_none());
        assert_eq!(Correlation::of(&[1.0; 5], &[1.0, 2.0, 3.0, 4.0, 5.0]).r, None);
        let exact: Vec<f64> = (0..12).map(f64::from).collect();
        assert!(Correlation::of(&exact, &exact).is_proven());
    }
}
