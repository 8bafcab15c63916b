//! How a comparison is tested: one shape of evidence for every method.

use super::analyse::Reading;
use super::config::{Choice, Kind, Margin};
use super::estimate::{Comparison, Pair};
use crate::stats::special::normal_sf;
use crate::stats::{
    Alternative, BettingEffect, Effect, Estimate, Interval, Msprt, Proportions, Scored, SuccessArms, Successes, Test,
    Votes, counts_successes, lift, posterior, quantile_p,
};

/// What a method says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Evidence {
    /// The method that was used; not the one asked for where that cannot be.
    pub(super) method: Choice,
    /// The interval whose sign decides, on whatever scale.
    pub(super) decisive: Option<Interval>,
    pub(super) absolute: Option<Interval>,
    pub(super) relative: Option<Interval>,
    pub(super) p: Option<f64>,
    /// Where watching is allowed.
    pub(super) e: Option<f64>,
    pub(super) chance_to_win: Option<f64>,
}

impl Evidence {
    const fn none(method: Choice) -> Self {
        Self { method, decisive: None, absolute: None, relative: None, p: None, e: None, chance_to_win: None }
    }

    /// The interval that a guardrail with this margin looks at.
    pub(super) const fn guarded(&self, margin: Margin) -> (Option<Interval>, f64) {
        match margin {
            Margin::Absolute(margin) => (self.absolute, margin),
            Margin::Relative(margin) => (self.relative, margin),
        }
    }
}

/// The evidence of a comparison; `boundary` is that of the present look of a group-sequential test.
pub(super) fn evidence(
    comparison: Comparison<'_>,
    pair: Option<&Pair>,
    reading: &Reading,
    boundary: Option<f64>,
) -> Evidence {
    let asked = comparison.metric.choice(reading.method);
    let is_whole = comparison.kept() >= 1.0;
    let method = match asked {
        Choice::Betting | Choice::QuantileAb if !is_whole => Choice::Asymptotic,
        _ => asked,
    };
    if method == Choice::ExactArms {
        return exact_arms(comparison, pair, reading);
    }
    let Some(pair) = pair else { return Evidence::none(method) };
    match method {
        Choice::Betting => betting(comparison, pair, reading),
        Choice::Fixed => {
            fixed_shares(comparison, reading.alpha).unwrap_or_else(|| by_effect(method, pair, reading, boundary))
        }
        Choice::QuantileAb => quantile_ab(comparison, pair, reading),
        _ => by_effect(method, pair, reading, boundary),
    }
}

/// By the effect and its standard error.
fn by_effect(method: Choice, pair: &Pair, reading: &Reading, boundary: Option<f64>) -> Evidence {
    let mut evidence = Evidence::none(method);
    let effects = [Effect::absolute, Effect::relative].map(|of| of(&pair.treatment, &pair.control));
    let Some(absolute) = effects[0] else { return evidence };
    let base = pair.control.mean.abs();
    let read = |effect: &Effect, scale: f64| one(method, effect, (reading, scale, boundary));
    evidence.absolute = read(&absolute, base).map(|(interval, _)| interval);
    evidence.decisive = evidence.absolute;
    evidence.p = read(&absolute, base).and_then(|(_, p)| p);
    evidence.relative = effects[1].and_then(|effect| read(&effect, 1.0)).map(|(interval, _)| interval);
    match method {
        Choice::Asymptotic => {
            // The logarithm of a ratio of positive means is less skewed than the ratio.
            let by_log = lift(&pair.treatment, &pair.control, reading.alpha, reading.horizon);
            evidence.relative = by_log.or(evidence.relative);
            evidence.e = evidence.p.map(reciprocal);
        }
        Choice::Msprt => evidence.e = evidence.p.map(reciprocal),
        Choice::Bayes => evidence.chance_to_win = Some(posterior(&absolute, None).chance_to_win),
        _ => {}
    }
    evidence
}

/// One look at shares of units within one phase: score intervals, which hold their level at rare rates where those by
/// the standard error do not. The p-value is that of pooled variance, and Barnard's where an arm expects fewer than
/// five units with or without the outcome. Nothing for other metrics, several phases, with a covariate, or where no unit or every unit has the outcome.
fn fixed_shares(comparison: Comparison<'_>, alpha: f64) -> Option<Evidence> {
    let metric = comparison.metric;
    let counts_units = matches!(metric.kind, Kind::Proportion | Kind::Retention) && metric.cuped.is_none();
    let mut strata = comparison.strata().map(|(_, sums)| sums).filter(|sums| sums.iter().all(|s| s.moments.units > 0));
    let (Some(sums), None, true) = (strata.next(), strata.next(), counts_units) else { return None };
    let [control, treatment] =
        sums.map(|sums| Successes { hits: sums.moments.sums[0].round() as u64, units: sums.moments.units });
    let test = Proportions::new(treatment, control)?;
    let (_, pooled) = test.pooled_z()?;
    let rate = (treatment.hits + control.hits) as f64 / (treatment.units + control.units) as f64;
    let rarest = treatment.units.min(control.units) as f64 * rate.min(1.0 - rate);
    let exact = if rarest < 5.0 { test.barnard() } else { None };
    let (lower, upper) = test.score_difference(alpha);
    let absolute = Interval { value: treatment.rate() - control.rate(), lower, upper };
    // Without a hit in control no lift can be told.
    let relative = test.score_ratio(alpha).filter(|(_, upper)| upper.is_finite()).map(|(lower, upper)| Interval {
        value: treatment.rate() / control.rate() - 1.0,
        lower: lower - 1.0,
        upper: upper - 1.0,
    });
    Some(Evidence {
        decisive: Some(absolute),
        absolute: Some(absolute),
        relative,
        p: exact.or(Some(pooled)),
        ..Evidence::none(Choice::Fixed)
    })
}

fn one(
    method: Choice,
    effect: &Effect,
    (reading, scale, boundary): (&Reading, f64, Option<f64>),
) -> Option<(Interval, Option<f64>)> {
    let alpha = reading.alpha;
    let of_test = |test: Test| (Interval { value: effect.value, lower: test.lower, upper: test.upper }, Some(test.p));
    match method {
        Choice::Fixed => Some(of_test(effect.fixed(Alternative::TwoSided, alpha))),
        Choice::Msprt => {
            let variance = effect.standard_error.powi(2);
            let tau_squared = (reading.tau * scale).powi(2);
            let test = Msprt { difference: effect.value, variance, tau_squared };
            Some((test.interval(alpha)?, test.p()))
        }
        Choice::GroupSequential => {
            let margin = boundary? * effect.standard_error;
            let interval = Interval { value: effect.value, lower: effect.value - margin, upper: effect.value + margin };
            // Scaled so that the boundary is at alpha.
            let z = (effect.value / effect.standard_error).abs();
            let p = (alpha * normal_sf(z) / normal_sf(boundary?)).min(1.0);
            Some((interval, Some(p)))
        }
        Choice::Bayes => {
            let (lower, upper) = posterior(effect, None).interval(alpha);
            Some((Interval { value: effect.value, lower, upper }, None))
        }
        _ => Some(of_test(effect.sequential(Alternative::TwoSided, alpha, reading.horizon))),
    }
}

/// Votes of the units with the rarer outcome.
fn exact_arms(comparison: Comparison<'_>, pair: Option<&Pair>, reading: &Reading) -> Evidence {
    let mut evidence = Evidence::none(Choice::ExactArms);
    let of_successes = counts_successes(comparison.metric.expected.unwrap_or(0.0));
    let count = |sums: &super::aggregate::Sums| {
        let hits = sums.moments.sums[0].round() as u64;
        if of_successes { hits } else { sums.moments.units.saturating_sub(hits) }
    };
    let votes: Vec<Votes> = comparison
        .strata()
        .map(|(share, [control, treatment])| Votes { share, treatment: count(treatment), control: count(control) })
        .collect();
    let Ok(arms) = SuccessArms::from_votes(&votes) else { return evidence };
    if comparison.units().contains(&0) {
        return evidence;
    }
    let log_e = arms.log_e(&reading.prior, 0.0);
    evidence.e = Some(log_e.exp().min(f64::MAX));
    evidence.p = Some((-log_e).exp().min(1.0));
    let counted = arms.lift(&reading.prior, reading.alpha);
    let rate = pair.map_or(0.0, |pair| pair.control.mean);
    let base = if of_successes { rate } else { 1.0 - rate };
    // Fewer failures are more successes.
    let flipped = Interval { value: -counted.value, lower: -counted.upper, upper: -counted.lower };
    let decisive = if of_successes { counted } else { flipped };
    evidence.decisive = Some(decisive);
    evidence.absolute = (base > 0.0).then(|| scaled(&decisive, base));
    evidence.relative = if of_successes {
        (arms.votes() > 0).then_some(counted)
    } else {
        evidence.absolute.filter(|_| rate > 0.0).map(|absolute| scaled(&absolute, rate.recip()))
    };
    evidence
}

/// The e-value of a p-value that is the reciprocal of one, at least 1.
fn reciprocal(p: f64) -> f64 {
    p.recip().min(f64::MAX)
}

fn scaled(interval: &Interval, factor: f64) -> Interval {
    Interval { value: interval.value * factor, lower: interval.lower * factor, upper: interval.upper * factor }
}

/// Units in order of entry, each with its final value.
fn betting(comparison: Comparison<'_>, pair: &Pair, reading: &Reading) -> Evidence {
    let mut evidence = Evidence::none(Choice::Betting);
    let Some([low, high]) = comparison.metric.bounds else { return evidence };
    let Ok(mut bets) = BettingEffect::new((low, high)) else { return evidence };
    let mut units = Vec::new();
    for (share, sums) in comparison.strata() {
        for (sums, in_treatment) in sums.into_iter().zip([false, true]) {
            let kept = sums.sample.iter().flat_map(super::sample::UnitSample::entries);
            units.extend(
                kept.map(|(hash, unit)| ((unit.first, hash), Scored { value: unit.value, in_treatment, share })),
            );
        }
    }
    // Units of one moment in an order that does not know their arms: a bet must not foresee the assignment.
    units.sort_by_key(|(order, _)| *order);
    for (_, unit) in units {
        // Values are finite and shares within (0, 1): the fold made sure of both.
        if bets.observe(unit).is_err() {
            return evidence;
        }
    }
    let absolute = bets.interval(reading.alpha);
    let e = bets.e_value(0.0);
    (evidence.absolute, evidence.decisive) = (Some(absolute), Some(absolute));
    evidence.relative = (pair.control.mean != 0.0).then(|| scaled(&absolute, pair.control.mean.abs().recip()));
    (evidence.e, evidence.p) = (Some(e), Some(e.recip().min(1.0)));
    evidence
}

/// The p-value of a common quantile in each phase, the least of them times their number, beside the interval
/// of the clustered quantile. Units with several values stand for their first.
fn quantile_ab(comparison: Comparison<'_>, pair: &Pair, reading: &Reading) -> Evidence {
    let mut evidence = Evidence { e: None, ..by_effect(Choice::Asymptotic, pair, reading, None) };
    evidence.method = Choice::QuantileAb;
    let nu = comparison.metric.quantile.unwrap_or(0.5);
    let mut least = 1.0_f64;
    let mut phases = 0.0;
    for (_, arms) in comparison.sampled() {
        let [control, treatment] = arms.map(|units| {
            let firsts = units.iter().filter_map(|unit| unit.events.first().copied());
            firsts.collect::<Vec<f64>>()
        });
        phases += 1.0;
        least = least.min(quantile_p([&control, &treatment], nu, reading.horizon / 2.0, reading.alpha));
    }
    evidence.p = Some((least * phases).min(1.0));
    evidence
}

/// P-value that two independent effects are equal.
pub(super) fn equal_effects(one: [&Estimate; 2], other: [&Estimate; 2]) -> Option<f64> {
    let [one, other] = [one, other].map(|[treatment, control]| Effect::absolute(treatment, control));
    let (one, other) = (one?, other?);
    let error = one.standard_error.hypot(other.standard_error);
    Some((2.0 * normal_sf(((one.value - other.value) / error).abs())).min(1.0))
}
