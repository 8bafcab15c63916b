//! The default for bounded and continuous metrics: betting against "the effect is d".
//!
//! Each unit gives an augmented inverse-propensity score (Robins, Rotnitzky & Zhao 1994)
//!
//! ```text
//! z = m₁ − m₀ + A·(y − m₁)/π − (1−A)·(y − m₀)/(1−π)
//! ```
//!
//! with the logged probability π of treatment and arm means m predicted from earlier units only, so that
//! `E[z | past]` is the effect whatever m is. For y in \[0, 1\] a score lies within ±1/min(π, 1−π), and the
//! wealth `Π (1 + λ·(z − d))` of a gambler with predictable λ is a non-negative martingale if the effect is
//! d (Waudby-Smith & Ramdas 2023, section 4; Waudby-Smith, Wu, Ramdas, Karampatziakis & Mineiro 2024). The
//! wealth is averaged over six bet sizes in units of the running deviation, half on each side.
//!
//! No assumption of normality, of equal arms, of a constant base rate. What is not bounded by nature is
//! winsorised at bounds chosen before the data: the effect is then that of the winsorised metric.
//!
//! A unit enters once, when its value is final. Wealth is a product in order of arrival and λ depends on the
//! past, so a contribution cannot be replaced, unlike in [`super::SuccessArms`].

use serde::{Deserialize, Serialize};

use super::Interval;

/// Bet sizes, as a share of the inverse deviation of the scores.
const BETS: [f64; 6] = [0.003, 0.008, 0.02, 0.05, 0.12, 0.3];
/// The largest share of the wealth at stake on one unit.
const STAKE: f64 = 0.75;
/// Wealth is not counted beyond this: capping a martingale keeps it valid.
const MOST_WEALTH: f64 = 1e250;
/// Candidate effects on either side of zero, and the smallest of them, in units of the range.
const CANDIDATES: i32 = 120;
const SMALLEST: f64 = 1e-4;

/// Wealth against one candidate effect.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Bets {
    effect: f64,
    greater: [f64; BETS.len()],
    lesser: [f64; BETS.len()],
}

impl Bets {
    fn wealth(bets: &[f64; BETS.len()]) -> f64 {
        bets.iter().sum::<f64>() / BETS.len() as f64
    }
}

/// One unit of a bounded metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// The value; winsorised to the bounds.
    pub value: f64,
    /// Whether the unit was in treatment.
    pub in_treatment: bool,
    /// The logged probability of treatment, given treatment or control, in (0, 1).
    pub share: f64,
}

/// A unit or bound that was refused.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum BettingError {
    /// Bounds must be finite and apart.
    #[error("bounds must be finite and increasing, are {0} and {1}")]
    Bounds(f64, f64),
    /// Such a unit was not randomised.
    #[error("share must lie strictly between 0 and 1, is {0}")]
    Share(f64),
    /// No number.
    #[error("value is not a number")]
    Value,
}

/// Bets on the effect of treatment on a bounded metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BettingEffect {
    bounds: (f64, f64),
    units: [u64; 2],
    sums: [f64; 2],
    score: f64,
    score_squared: f64,
    candidates: Vec<Bets>,
}

impl BettingEffect {
    /// Bets against a ladder of effects, for intervals.
    ///
    /// # Errors
    /// Bounds that are not finite and increasing.
    pub fn new(bounds: (f64, f64)) -> Result<Self, BettingError> {
        let growth = SMALLEST.recip().powf(1.0 / f64::from(CANDIDATES - 1));
        let mut effects = vec![0.0];
        for step in 0..CANDIDATES {
            let effect = SMALLEST * growth.powi(step) * (bounds.1 - bounds.0);
            effects.extend([-effect, effect]);
        }
        Self::against(bounds, &effects)
    }

    /// Bets against the effects given, in units of the metric: zero, or minus a margin. Cheaper than a ladder.
    ///
    /// # Errors
    /// Bounds that are not finite and increasing.
    pub fn against(bounds: (f64, f64), effects: &[f64]) -> Result<Self, BettingError> {
        let range = bounds.1 - bounds.0;
        if !(range.is_finite() && range > 0.0) {
            return Err(BettingError::Bounds(bounds.0, bounds.1));
        }
        let mut scaled: Vec<f64> = effects.iter().map(|effect| (effect / range).clamp(-1.0, 1.0)).collect();
        scaled.sort_by(f64::total_cmp);
        let start = [1.0; BETS.len()];
        let candidates = scaled.into_iter().map(|effect| Bets { effect, greater: start, lesser: start }).collect();
        Ok(Self { bounds, units: [0; 2], sums: [0.0; 2], score: 0.0, score_squared: 0.0, candidates })
    }

    /// Plays one unit.
    ///
    /// # Errors
    /// A share that is not strictly between 0 and 1, or a value that is NaN; the state is then unchanged.
    pub fn observe(&mut self, unit: Scored) -> Result<(), BettingError> {
        if !(unit.share > 0.0 && unit.share < 1.0) {
            return Err(BettingError::Share(unit.share));
        }
        if unit.value.is_nan() {
            return Err(BettingError::Value);
        }
        let (low, high) = self.bounds;
        let y = (unit.value.clamp(low, high) - low) / (high - low);
        let arm = usize::from(unit.in_treatment);
        let [control, treatment] = [0, 1].map(|arm| (self.sums[arm] + 0.5) / (self.units[arm] + 1) as f64);
        let residual =
            if unit.in_treatment { (y - treatment) / unit.share } else { -(y - control) / (1.0 - unit.share) };
        let score = treatment - control + residual;
        let bound = unit.share.min(1.0 - unit.share).recip();
        let n = (self.units[0] + self.units[1]) as f64;
        let mean = self.score / (n + 1.0);
        // One pseudo-score of the deviation that a variable within the bounds of y has at most.
        let prior = 0.25 / (unit.share * (1.0 - unit.share));
        let deviation = ((prior + self.score_squared) / (n + 1.0) - mean * mean).max(1e-12).sqrt();
        let most = STAKE / (bound + 1.0);
        let lambdas = BETS.map(|bet| (bet / deviation).min(most));
        for bets in &mut self.candidates {
            let gain = score - bets.effect;
            for (index, lambda) in lambdas.iter().enumerate() {
                bets.greater[index] = (bets.greater[index] * (1.0 + lambda * gain)).min(MOST_WEALTH);
                bets.lesser[index] = (bets.lesser[index] * (1.0 - lambda * gain)).min(MOST_WEALTH);
            }
        }
        self.units[arm] += 1;
        self.sums[arm] += y;
        self.score += score;
        self.score_squared += score * score;
        Ok(())
    }

    /// Units of `[control, treatment]`.
    #[must_use]
    pub const fn units(&self) -> [u64; 2] {
        self.units
    }

    /// The e-value against the candidate effect nearest to `effect`: the mean of both sides.
    #[must_use]
    pub fn e_value(&self, effect: f64) -> f64 {
        let scaled = effect / (self.bounds.1 - self.bounds.0);
        let distance = |bets: &Bets| (bets.effect - scaled).abs();
        let nearest = self.candidates.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)));
        nearest.map_or(1.0, |bets| 0.5 * (Bets::wealth(&bets.greater) + Bets::wealth(&bets.lesser)))
    }

    /// The anytime confidence sequence at level `alpha`, rounded outwards to the candidates; α/2 a side.
    /// Without units the whole range.
    #[must_use]
    pub fn interval(&self, alpha: f64) -> Interval {
        let range = self.bounds.1 - self.bounds.0;
        let (mut lower, mut upper) = (-1.0, 1.0);
        for bets in &self.candidates {
            if Bets::wealth(&bets.greater) >= 2.0 / alpha {
                lower = f64::max(lower, bets.effect);
            }
            if Bets::wealth(&bets.lesser) >= 2.0 / alpha {
                upper = f64::min(upper, bets.effect);
            }
        }
        let n = self.units[0] + self.units[1];
        let value = if n == 0 { 0.0 } else { self.score / n as f64 };
        Interval { value: value * range, lower: lower * range, upper: upper * range }
    }
}

#[cfg(test)]
mod tests {
    use plaudit_event::Seed;
    use rand::Rng;

    use super::*;

    fn alarms(runs: u64, share: f64, lift: f64) -> (u64, u64) {
        let (mut rejected, mut missed) = (0, 0);
        for run in 0..runs {
            let mut rng = Seed::new(run).stream("betting");
            let mut bets = BettingEffect::against((0.0, 2.0), &[0.0, lift]).unwrap();
            let mut is_ever = [false; 2];
            for _ in 0..3000 {
                let in_treatment = rng.random_bool(share);
                let value = rng.random_range(0.0..1.0_f64).powi(3) + if in_treatment { lift } else { 0.0 };
                bets.observe(Scored { value, in_treatment, share }).unwrap();
                is_ever[0] |= bets.e_value(0.0) >= 20.0;
                is_ever[1] |= bets.e_value(lift) >= 20.0;
            }
            rejected += u64::from(is_ever[0]);
            missed += u64::from(is_ever[1]);
        }
        (rejected, missed)
    }

    #[test]
    fn the_truth_is_rarely_rejected_and_a_wrong_null_is() {
        for share in [0.05, 0.5] {
            let (rejected, missed) = alarms(120, share, 0.0);
            assert!(rejected <= 13 && missed == rejected, "{share} {rejected}");
        }
        let (rejected, missed) = alarms(60, 0.5, 0.1);
        assert!(rejected >= 55 && missed <= 8, "{rejected} {missed}");
    }

    #[test]
    fn the_interval_holds_the_effect_and_survives_a_round_trip() {
        let mut bets = BettingEffect::new((0.0, 1.0)).unwrap();
        assert_eq!(bets.interval(0.05), Interval { value: 0.0, lower: -1.0, upper: 1.0 });
        let mut rng = Seed::new(3).stream("interval");
        for unit in 0..20_000_u32 {
            let share = if unit < 5000 { 0.2 } else { 0.5 };
            let in_treatment = rng.random_bool(share);
            let value = f64::from(u8::from(rng.random_bool(if in_treatment { 0.4 } else { 0.3 })));
            bets.observe(Scored { value, in_treatment, share }).unwrap();
        }
        let interval = bets.interval(0.05);
        assert!(interval.lower > 0.05 && interval.upper < 0.15, "{interval:?}");
        assert!(interval.lower < 0.1 && interval.upper > 0.1, "{interval:?}");
        let text = serde_json::to_string(&bets).unwrap();
        let back: BettingEffect = serde_json::from_str(&text).unwrap();
        assert_eq!(back.interval(0.05), interval);
    }

    #[test]
    fn bad_input_is_refused_and_leaves_no_trace() {
        assert!(BettingEffect::new((1.0, 1.0)).is_err());
        assert!(BettingEffect::new((0.0, f64::INFINITY)).is_err());
        let mut bets = BettingEffect::against((0.0, 1.0), &[0.0]).unwrap();
        let unit = Scored { value: 0.5, in_treatment: true, share: 0.5 };
        let before = bets.clone();
        assert_eq!(bets.observe(Scored { share: 1.0, ..unit }), Err(BettingError::Share(1.0)));
        assert_eq!(bets.observe(Scored { value: f64::NAN, ..unit }), Err(BettingError::Value));
        assert_eq!(bets, before);
        bets.observe(Scored { value: f64::INFINITY, ..unit }).unwrap();
        assert_eq!(bets.units(), [0, 1]);
    }
}
