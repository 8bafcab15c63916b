//! One rule on the sums of all steps.

use super::evidence::{RuleEvidence, Verdict};
use super::{Arm, DeliveryConfig, Harm, Kind, Margin, Method, Observation, Pair, Phase, Rule, Shares, Source};
use crate::stats::{Interval, Prior, SuccessArms, Votes, sequence, tuned_rho};

/// Standard deviations of the effects that the exact test is strongest at, on the logarithm of the ratio: a third
/// more, and a multiple.
const EXPECTED: [f64; 2] = [0.25, 1.0];

/// A pair with the shares under which it was made.
struct Stratum<'a> {
    pair: &'a Pair,
    shares: Shares,
}

/// The rule on what was observed, at level `alpha`.
pub(super) fn judge(rule: &Rule, seen: &Observation, config: &DeliveryConfig, alpha: f64) -> RuleEvidence {
    let strata: Vec<Stratum<'_>> = match rule.source {
        Source::Shadow => seen.shadow.iter().map(|pair| Stratum { pair, shares: Shares::of(0.5) }).collect(),
        Source::Live => seen.phases.iter().filter_map(|phase| stratum(phase, config)).collect(),
    };
    let units = [total(&strata, rule, |pair| &pair.treatment), total(&strata, rule, |pair| &pair.control)];
    let sides: &[bool] = match rule.harm {
        Harm::Higher => &[true],
        Harm::Lower => &[false],
        Harm::Either => &[true, false],
    };
    let level = alpha / sides.len() as f64;
    let mut worst: Option<Reading> = None;
    for is_higher in sides {
        let test = Test { rule, is_higher: *is_higher, alpha: level, horizon: config.horizon_units as f64 };
        let reading = match rule.method {
            Method::Sums => test.sums(&strata),
            Method::Exact => test.exact(&strata),
        };
        let Some(reading) = reading else { continue };
        // The side with more evidence of harm is told.
        if worst.as_ref().is_none_or(|other| (reading.side, reading.log_e) > (other.side, other.log_e)) {
            worst = Some(reading);
        }
    }
    let mut evidence = RuleEvidence {
        rule: rule.name.clone(),
        kind: rule.kind,
        verdict: Verdict::Inconclusive,
        value: None,
        lower: None,
        upper: None,
        threshold: threshold(rule.margin, sides[0], rule),
        log_e: None,
        p: None,
        alpha,
        units,
        note: None,
    };
    let finite = |value: f64| value.is_finite().then_some(value);
    let smallest = units[0].min(units[1]);
    if let Some(reading) = &worst {
        evidence.value = finite(reading.effect.value);
        evidence.lower = finite(reading.effect.lower);
        evidence.upper = finite(reading.effect.upper);
        evidence.threshold = reading.threshold;
        evidence.log_e = finite(reading.log_e);
        evidence.p = finite((-reading.log_e).exp().min(1.0)).map(|p| (p * sides.len() as f64).min(1.0));
        evidence.note = reading.note.map(str::to_owned);
    }
    if smallest < rule.min_units {
        evidence.note = Some(format!("needs {} units per arm", rule.min_units));
        return evidence;
    }
    let side = worst.map_or(Side::Unknown, |reading| reading.side);
    evidence.verdict = match (rule.kind, side) {
        (Kind::Objective, Side::Harmless) | (Kind::Guardrail, Side::Harmless) => Verdict::Pass,
        (Kind::Tripwire, Side::Harmless | Side::Unknown) => Verdict::Pass,
        (Kind::Tripwire | Kind::Guardrail, Side::Harmful) => Verdict::Fail,
        _ => Verdict::Inconclusive,
    };
    evidence
}

fn stratum<'a>(phase: &'a Phase, config: &DeliveryConfig) -> Option<Stratum<'a>> {
    let step = config.step(phase.step)?;
    Some(Stratum { pair: &phase.arms, shares: Shares::of(step.share) })
}

fn total(strata: &[Stratum<'_>], rule: &Rule, arm: fn(&Pair) -> &Arm) -> u64 {
    let units = |stratum: &Stratum<'_>| arm(stratum.pair).metrics.get(&rule.metric).map_or(0, |sums| sums.units);
    strata.iter().map(units).sum()
}

/// Where the effect lies, by proof.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
enum Side {
    Harmless,
    Unknown,
    Harmful,
}

struct Reading {
    effect: Interval,
    threshold: f64,
    log_e: f64,
    side: Side,
    note: Option<&'static str>,
}

/// The signed bound of an effect: where harm begins, or for an objective where gain begins.
fn threshold(margin: Margin, is_higher: bool, rule: &Rule) -> f64 {
    let is_harm = rule.kind != Kind::Objective;
    let sign = if is_higher == is_harm { 1.0 } else { -1.0 };
    match margin {
        Margin::Level(level) => level,
        Margin::Absolute(margin) => sign * margin,
        Margin::Relative(margin) if rule.harm == Harm::Either && !is_higher => -margin / (1.0 + margin),
        Margin::Relative(margin) => sign * margin,
    }
}

struct Test<'a> {
    rule: &'a Rule,
    is_higher: bool,
    alpha: f64,
    horizon: f64,
}

impl Test<'_> {
    /// Whether the candidate's mean is so low that it does not matter.
    fn is_below_floor(&self, mean: f64) -> bool {
        let tolerated = match self.rule.margin {
            Margin::Relative(margin) => (1.0 + margin) * self.rule.floor,
            Margin::Absolute(_) | Margin::Level(_) => self.rule.floor,
        };
        self.is_higher && self.rule.floor > 0.0 && mean <= tolerated
    }

    /// The excess `h = sign·(t − factor·c − constant)` over the threshold, above zero where harm is too large.
    fn sums(&self, strata: &[Stratum<'_>]) -> Option<Reading> {
        let threshold = threshold(self.rule.margin, self.is_higher, self.rule);
        let (factor, constant) = match self.rule.margin {
            Margin::Relative(_) => (1.0 + threshold, 0.0),
            Margin::Absolute(_) => (1.0, threshold),
            Margin::Level(_) => (0.0, threshold),
        };
        let sign = if self.is_higher { 1.0 } else { -1.0 };
        let (mut weight, mut excess, mut squared, mut means, mut units) = (0.0, 0.0, 0.0, [0.0; 2], 0);
        for stratum in strata {
            let arm = |arm: &Arm| arm.metrics.get(&self.rule.metric)?.estimate();
            let (Some(t), Some(c)) = (arm(&stratum.pair.treatment), arm(&stratum.pair.control)) else { continue };
            let (of_t, of_c) = (t.units as f64, c.units as f64);
            let part = of_t * of_c / (of_t + of_c);
            weight += part;
            excess += part * sign * (t.mean - factor * c.mean - constant);
            squared += part * part * (t.squared_error() + factor * factor * c.squared_error());
            means = [means[0] + part * t.mean, means[1] + part * c.mean];
            units += t.units + c.units;
        }
        if weight <= 0.0 {
            return None;
        }
        let (excess, squared) = (excess / weight, squared / (weight * weight));
        let [treatment, control] = means.map(|mean| mean / weight);
        let scale = if matches!(self.rule.margin, Margin::Relative(_)) { control.abs() } else { 1.0 };
        let interval = sequence(excess, squared, units, self.alpha, self.horizon);
        let (lower, upper) = interval.map_or((excess, excess), |interval| (interval.lower, interval.upper));
        // No variance at all: the arms are constant. Equal constants prove nothing, different ones do.
        let is_known = interval.is_some() || excess > 0.0;
        let side = if is_known && lower > 0.0 {
            if self.is_below_floor(treatment) { Side::Unknown } else { Side::Harmful }
        } else if interval.is_some() && upper < 0.0 {
            Side::Harmless
        } else {
            Side::Unknown
        };
        let shown = |excess: f64| sign * excess / scale + threshold;
        let (one, other) = (shown(lower), shown(upper));
        let effect = Interval { value: shown(excess), lower: one.min(other), upper: one.max(other) };
        let log_e = if excess > 0.0 { log_evidence(excess, squared, units, (self.alpha, self.horizon)) } else { 0.0 };
        let note = (interval.is_none()).then_some("no variance");
        Some(Reading { effect, threshold, log_e, side, note })
    }

    /// The arms of the units that had the outcome, against the ratio of rates at the threshold.
    fn exact(&self, strata: &[Stratum<'_>]) -> Option<Reading> {
        let threshold = threshold(self.rule.margin, self.is_higher, self.rule);
        let mut votes = Vec::with_capacity(strata.len());
        let (mut reacted, mut units) = (0, 0);
        for stratum in strata {
            let sums = |arm: &Arm| arm.metrics.get(&self.rule.metric).copied();
            let (Some(t), Some(c)) = (sums(&stratum.pair.treatment), sums(&stratum.pair.control)) else { continue };
            let share = stratum.shares.treatment / (stratum.shares.treatment + stratum.shares.control);
            votes.push(Votes { share, treatment: t.reacted, control: c.reacted });
            reacted += t.reacted;
            units += t.units;
        }
        let arms = SuccessArms::from_votes(&votes).ok()?;
        if arms.votes() == 0 {
            return None;
        }
        let delta = threshold.ln_1p();
        let ratio = arms.log_ratio();
        let log_e = arms.log_e(&Prior::Normal { sds: EXPECTED.to_vec() }, delta);
        let is_proven = log_e >= -self.alpha.ln();
        let is_beyond = if self.is_higher { ratio > delta } else { ratio < delta };
        let is_small = self.is_below_floor(reacted as f64 / units.max(1) as f64);
        let side = match (is_proven, is_beyond) {
            (true, true) if !is_small => Side::Harmful,
            (true, false) => Side::Harmless,
            _ => Side::Unknown,
        };
        let effect = Interval { value: ratio.exp_m1(), lower: f64::NAN, upper: f64::NAN };
        Some(Reading { effect, threshold, log_e: if is_beyond { log_e } else { 0.0 }, side, note: None })
    }
}

/// Logarithm of 1/level at which the asymptotic sequence touches zero:
/// `½·(value²·n·ρ²/(v·(nρ²+1)) − ln(nρ²+1))` with ρ for unit variance and v the variance of one observation.
fn log_evidence(value: f64, squared: f64, units: u64, (alpha, horizon): (f64, f64)) -> f64 {
    let time = units as f64 * tuned_rho(alpha, horizon).powi(2);
    0.5 * (value * value / squared * time / (time + 1.0) - time.ln_1p())
}
