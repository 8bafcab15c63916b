//! Sample-ratio mismatch: whether units arrived in the proportions that assignment promises.

use serde::{Deserialize, Serialize};
use statrs::distribution::{Binomial, ChiSquared, ContinuousCDF, Discrete, DiscreteCDF};
use statrs::function::gamma::ln_gamma;

/// Pearson's goodness-of-fit test. Valid once, at a moment fixed beforehand; what is watched is
/// [`SequentialSrm`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ChiSquare {
    /// The statistic.
    pub chi2: f64,
    /// Degrees of freedom.
    pub df: u32,
    /// Probability of a statistic at least as large under the promised proportions.
    pub p: f64,
}

/// Tests `counts` against `weights` (any positive scale, same length). A weight of zero is left out: a
/// paused variant promises nothing. Nothing with fewer than two variants left, or no unit.
#[must_use]
pub fn srm_chi2(counts: &[u64], weights: &[f64]) -> Option<ChiSquare> {
    let kept: Vec<(f64, f64)> = counts
        .iter()
        .zip(weights)
        .filter(|(_, weight)| **weight > 0.0)
        .map(|(count, weight)| (*count as f64, *weight))
        .collect();
    let total: f64 = kept.iter().map(|(count, _)| count).sum();
    let weight: f64 = kept.iter().map(|(_, weight)| weight).sum();
    if kept.len() < 2 || total <= 0.0 {
        return None;
    }
    let mut chi2 = 0.0;
    for (count, share) in &kept {
        let expected = total * share / weight;
        chi2 += (count - expected).powi(2) / expected;
    }
    let df = u32::try_from(kept.len() - 1).unwrap_or(u32::MAX);
    let distribution = ChiSquared::new(f64::from(df)).ok()?;
    Some(ChiSquare { chi2, df, p: distribution.sf(chi2) })
}

/// The exact two-sided p-value of two variants, at a moment fixed beforehand: the binomial probability of all splits
/// that are no more likely than this one (ties up to 1e-7 count). Weights of zero are left out as in [`srm_chi2`];
/// nothing unless two variants are left, or without a unit.
#[must_use]
pub fn srm_binomial(counts: &[u64], weights: &[f64]) -> Option<f64> {
    let kept: Vec<(u64, f64)> =
        counts.iter().copied().zip(weights.iter().copied()).filter(|(_, weight)| *weight > 0.0).collect();
    let [(first, of_first), (second, of_second)] = kept[..] else { return None };
    let units = first.checked_add(second).filter(|units| *units > 0)?;
    let share = of_first / (of_first + of_second);
    let law = Binomial::new(share, units).ok()?;
    let most = law.ln_pmf(first) + 1e-7;
    // Probabilities rise to the mode and fall after it: on the other side of it, the first that is unlikely enough.
    let mode = ((units as f64 + 1.0) * share).floor() as u64;
    let p = if first >= mode {
        let is_unlikely = |hits: u64| law.ln_pmf(hits) <= most;
        let below = partition(0, mode, is_unlikely);
        let lower = below.checked_sub(1).map_or(0.0, |hits| law.cdf(hits));
        lower + first.checked_sub(1).map_or(1.0, |hits| law.sf(hits))
    } else {
        let is_likely = |hits: u64| law.ln_pmf(hits) > most;
        let above = partition(mode, units + 1, is_likely);
        law.cdf(first) + above.checked_sub(1).map_or(1.0, |hits| law.sf(hits))
    };
    Some(p.min(1.0))
}

/// [`srm_chi2`], with the p-value of [`srm_binomial`] where one of two variants expects fewer than five units: there
/// the statistic is far from its limit.
#[must_use]
pub fn srm_once(counts: &[u64], weights: &[f64]) -> Option<ChiSquare> {
    let test = srm_chi2(counts, weights)?;
    let kept = || counts.iter().zip(weights).filter(|(_, weight)| **weight > 0.0);
    let units: u64 = kept().map(|(count, _)| count).sum();
    let total: f64 = kept().map(|(_, weight)| weight).sum();
    let expects_few = kept().any(|(_, weight)| units as f64 * weight / total < 5.0);
    let exact = srm_binomial(counts, weights).filter(|_| expects_few);
    Some(ChiSquare { p: exact.unwrap_or(test.p), ..test })
}

/// The first of `from..to` for which `holds` is false; it is true up to there.
fn partition(from: u64, to: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (from, to);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// The multinomial test of Lindon & Malek (2022), *Anytime-valid inference for multinomial count data*:
/// the Bayes factor of a Dirichlet(k·θ₀) alternative against θ₀, updated by one unit at a time,
///
/// ```text
/// O ← O · (k·θ₀ᵢ + Sᵢ) / (k + S) / θ₀ᵢ        p = min over time of 1/O
/// ```
///
/// which equals `B(k·θ₀ + S) / B(k·θ₀) / Π θ₀ᵢ^Sᵢ`. It may be looked at after every unit.
#[derive(Debug, Clone, PartialEq)]
pub struct SequentialSrm {
    probabilities: Vec<f64>,
    concentration: f64,
    counts: Vec<u64>,
    total: u64,
    log_odds: f64,
    p: f64,
}

impl SequentialSrm {
    /// Expects units in proportion to `weights` (all positive); `concentration` k > 0 is how close the
    /// alternative sits to them: 100 finds a leak of one percent in some 25,000 units.
    #[must_use]
    pub fn new(weights: &[f64], concentration: f64) -> Self {
        let total: f64 = weights.iter().sum();
        Self {
            probabilities: weights.iter().map(|weight| weight / total).collect(),
            concentration,
            counts: vec![0; weights.len()],
            total: 0,
            log_odds: 0.0,
            p: 1.0,
        }
    }

    /// One more unit of variant `index`. Unknown variants are ignored.
    pub fn observe(&mut self, index: usize) {
        let (Some(count), Some(probability)) = (self.counts.get_mut(index), self.probabilities.get(index)) else {
            return;
        };
        let prior = self.concentration * probability;
        let predicted = (prior + *count as f64) / (self.concentration + self.total as f64);
        self.log_odds += (predicted / probability).ln();
        *count += 1;
        self.total += 1;
        self.p = self.p.min((-self.log_odds).exp());
    }

    /// Units per variant.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The p-value that holds at every moment: alarm when it falls below the level.
    #[must_use]
    pub const fn p(&self) -> f64 {
        self.p
    }

    /// Natural logarithm of the present odds against the promised proportions.
    #[must_use]
    pub const fn log_odds(&self) -> f64 {
        self.log_odds
    }
}

/// The odds that [`SequentialSrm`] has after these `counts`, from the sums alone:
/// `lnΓ(k) − lnΓ(k+N) + Σ lnΓ(k·θᵢ+Sᵢ) − lnΓ(k·θᵢ) − Sᵢ·ln θᵢ`. `min(1, 1/O)` may be looked at at any time; odds of
/// separate phases multiply. Weights of zero are left out as in [`srm_chi2`]; nothing with fewer than two left.
#[must_use]
pub fn srm_log_odds(counts: &[u64], weights: &[f64], concentration: f64) -> Option<f64> {
    let kept = || counts.iter().zip(weights).filter(|(_, weight)| **weight > 0.0);
    let total: f64 = kept().map(|(_, weight)| weight).sum();
    let units: u64 = kept().map(|(count, _)| count).sum();
    if kept().count() < 2 || !(concentration > 0.0 && total.is_finite()) {
        return None;
    }
    let mut log_odds = ln_gamma(concentration) - ln_gamma(concentration + units as f64);
    for (count, weight) in kept() {
        let (s, theta) = (*count as f64, weight / total);
        log_odds += ln_gamma(concentration * theta + s) - ln_gamma(concentration * theta) - s * theta.ln();
    }
    Some(log_odds)
}

#[cfg(test)]
mod tests {
    use plaudit_event::Seed;
    use rand::Rng;
    use serde_json::Value;

    use super::*;

    fn cases(text: &str) -> Vec<Value> {
        let file: Value = serde_json::from_str(text).unwrap();
        file["cases"].as_array().unwrap().clone()
    }

    fn floats(value: &Value) -> Vec<f64> {
        value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
    }

    fn counts(value: &Value) -> Vec<u64> {
        value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap()).collect()
    }

    #[test]
    fn chi_square_agrees_with_scipy() {
        let cases = cases(include_str!("../../tests/oracles/srm_chi2.json"));
        assert_eq!(cases.len(), 10);
        for case in cases {
            let got = srm_chi2(&counts(&case["inp"]["counts"]), &floats(&case["inp"]["weights"])).unwrap();
            let want = |key: &str| case["out"][key].as_f64().unwrap();
            assert!((got.chi2 - want("chi2")).abs() <= 1e-8 * want("chi2").max(1e-3), "{case}");
            assert!((got.p - want("p")).abs() <= 1e-8 * want("p"), "{got:?} {case}");
        }
        assert_eq!(srm_chi2(&[5, 0], &[1.0, 0.0]), None);
    }

    #[test]
    fn the_binomial_p_sums_all_splits_that_are_no_more_likely() {
        for (units, share) in [(1_u64, 0.5), (9, 0.3), (10, 0.5), (40, 0.02), (25, 0.9)] {
            let law = Binomial::new(share, units).unwrap();
            for first in 0..=units {
                let likely = law.pmf(first) * (1.0 + 1e-7);
                let want: f64 = (0..=units).map(|hits| law.pmf(hits)).filter(|mass| *mass <= likely).sum();
                let got = srm_binomial(&[first, units - first], &[share, 1.0 - share]).unwrap();
                assert!((got / want.min(1.0) - 1.0).abs() < 1e-9, "{units} {share} {first}: {got} {want}");
            }
        }
        assert_eq!((srm_binomial(&[1, 2, 3], &[1.0; 3]), srm_binomial(&[0, 0], &[1.0; 2])), (None, None));
        assert_eq!(srm_binomial(&[3, 5], &[1.0, 0.0]), None);
        // One of 20 units where 0.2 are expected: Pearson says p = 0.07, the truth is 0.18.
        let [few, many] = [[19, 1], [1_900, 100]].map(|counts| srm_once(&counts, &[0.99, 0.01]).unwrap());
        assert!((few.p - (1.0 - 0.99_f64.powi(20))).abs() < 1e-9 && few.chi2 > 3.0, "{few:?}");
        assert_eq!(Some(many), srm_chi2(&[1_900, 100], &[0.99, 0.01]));
    }

    /// Feeds a batch in an order that keeps the variants mixed; the end of a batch does not depend on it.
    fn feed(srm: &mut SequentialSrm, batch: &[u64]) {
        for (index, count) in batch.iter().enumerate() {
            for _ in 0..*count {
                srm.observe(index);
            }
        }
    }

    #[test]
    fn sequential_odds_agree_with_savvi() {
        let cases = cases(include_str!("../../tests/oracles/srm_sequential.json"));
        assert_eq!(cases.len(), 8);
        for case in cases {
            let k = case["inp"]["concentration_k"].as_f64().unwrap();
            let mut srm = SequentialSrm::new(&floats(&case["inp"]["theta0"]), k);
            let batches = case["inp"]["count_batches"].as_array().unwrap();
            for (batch, want) in batches.iter().zip(floats(&case["out"]["log_odds"])) {
                feed(&mut srm, &counts(batch));
                assert!((srm.log_odds() - want).abs() <= 1e-9 * want.abs().max(1.0), "{} {want}", srm.log_odds());
                let at_once = srm_log_odds(srm.counts(), &floats(&case["inp"]["theta0"]), k).unwrap();
                assert!((at_once - want).abs() <= 1e-8 * want.abs().max(1.0), "{at_once} {want}");
            }
        }
    }

    fn final_p(run: u64, units: usize, leak: f64) -> f64 {
        let mut rng = Seed::new(run).stream("srm");
        let mut srm = SequentialSrm::new(&[0.5, 0.5], 100.0);
        for _ in 0..units {
            srm.observe(usize::from(rng.random_bool(0.5 + leak)));
        }
        srm.p()
    }

    #[test]
    fn a_leak_is_found_and_a_fair_split_raises_no_alarm() {
        let false_alarms = (0..300).filter(|run| final_p(*run, 5_000, 0.0) < 0.05).count();
        // Watched after every unit; 5 % of 300 is 15, plus three standard errors.
        assert!(false_alarms <= 26, "{false_alarms}");
        let found = (0..40).filter(|run| final_p(*run, 10_000, 0.03) < 0.05).count();
        assert!(found >= 38, "{found}");
    }
}
