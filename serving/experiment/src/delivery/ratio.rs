//! The sample ratio over all steps.
//!
//! Fails by the Dirichlet–multinomial e-process (Lindon & Malek 2022), multiplied over steps. Passes only when
//! deviations of either arm beyond the tolerated one are excluded: a leak too slow to be proven yet does not get
//! on by waiting.

use statrs::function::gamma::ln_gamma;

use super::evidence::{RuleEvidence, Verdict};
use super::{DeliveryConfig, Kind, Observation, Shares};
use crate::stats::{Interval, sequence};

/// Name of the rule.
pub(super) const SRM: &str = "srm";

/// Arrivals of one step: counts and what was promised, candidate and control first.
struct Counts {
    counts: Vec<u64>,
    shares: Vec<f64>,
}

/// The rule on what was observed, at level `alpha`.
pub(super) fn judge(seen: &Observation, config: &DeliveryConfig, alpha: f64) -> RuleEvidence {
    let steps: Vec<Counts> = seen.phases.iter().filter_map(|phase| counts(phase, config)).collect();
    let tolerated = config.sample_ratio.deviation;
    let log_e: f64 = steps.iter().map(|step| log_odds(step, tolerated)).sum();
    let units = [0, 1].map(|arm| steps.iter().map(|step| step.counts[arm]).sum());
    // The arm that deviates most is told.
    let readings = [0, 1].map(|arm| deviation(&steps, arm, alpha / 2.0, config.horizon_units as f64));
    let size = |reading: &Option<Interval>| reading.map_or(0.0, |interval| interval.value.abs());
    let worst = if size(&readings[1]) > size(&readings[0]) { readings[1] } else { readings[0] };
    let is_within = |reading: &Option<Interval>| {
        reading.is_some_and(|interval| interval.lower > -tolerated && interval.upper < tolerated)
    };
    let verdict = if log_e >= -alpha.ln() {
        Verdict::Fail
    } else if readings.iter().all(is_within) {
        Verdict::Pass
    } else {
        Verdict::Inconclusive
    };
    RuleEvidence {
        rule: SRM.to_owned(),
        kind: Kind::Tripwire,
        verdict,
        value: worst.map(|interval| interval.value),
        lower: worst.map(|interval| interval.lower),
        upper: worst.map(|interval| interval.upper),
        threshold: tolerated,
        log_e: Some(log_e),
        p: Some((-log_e).exp().min(1.0)),
        alpha,
        units,
        note: None,
    }
}

/// Nothing where nobody arrived: a step without arrivals promises nothing.
fn counts(phase: &super::Phase, config: &DeliveryConfig) -> Option<Counts> {
    let Shares { treatment, control, rest } = Shares::of(config.step(phase.step)?.share);
    let arrivals = phase.arrivals;
    let (mut counts, mut shares) = (vec![arrivals.treatment, arrivals.control], vec![treatment, control]);
    if let Some(others) = arrivals.rest.filter(|_| rest > 0.0) {
        counts.push(others);
        shares.push(rest);
    }
    let sum: f64 = shares.iter().sum();
    let shares: Vec<f64> = shares.into_iter().map(|share| share / sum).collect();
    let is_usable = counts.iter().any(|count| *count > 0) && shares.iter().all(|share| *share > 0.0);
    is_usable.then_some(Counts { counts, shares })
}

/// `ln B(kθ + S) − ln B(kθ) − Σ Sᵢ ln θᵢ`, with k such that the smallest arm deviates by about `deviation`.
fn log_odds(step: &Counts, deviation: f64) -> f64 {
    let least = step.shares.iter().copied().fold(1.0, f64::min);
    let k = 1.0 / (least * deviation * deviation);
    let total: u64 = step.counts.iter().sum();
    let mut log_odds = ln_gamma(k) - ln_gamma(k + total as f64);
    for (count, share) in step.counts.iter().zip(&step.shares) {
        let (prior, count) = (k * share, *count as f64);
        log_odds += ln_gamma(prior + count) - ln_gamma(prior) - count * share.ln();
    }
    log_odds
}

/// The relative deviation of an arm from what was promised, with its sequence. Nothing without units.
fn deviation(steps: &[Counts], arm: usize, alpha: f64, horizon: f64) -> Option<Interval> {
    let (mut expected, mut excess, mut variance, mut units) = (0.0, 0.0, 0.0, 0);
    for step in steps {
        let total: u64 = step.counts.iter().sum();
        let promised = total as f64 * step.shares[arm];
        expected += promised;
        excess += step.counts[arm] as f64 - promised;
        variance += promised * (1.0 - step.shares[arm]);
        units += step.counts[0] + step.counts[1];
    }
    if expected <= 0.0 {
        return None;
    }
    sequence(excess / expected, variance / (expected * expected), units.max(1), alpha, horizon)
}
