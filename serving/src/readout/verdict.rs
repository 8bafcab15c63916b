//! From sums to intervals, guardrails and the verdict.

use std::collections::BTreeMap;

use plaudit_event::VariantId;
use plaudit_policy::tripwire::{Tripwires, UNSOLICITED_CLOSING};

use super::ReadoutConfig;
use super::answer::{Comparison, ExperimentReadout, SampleRatio, StopReason, VariantReadout, Verdict};
use super::fold::{ExperimentFold, VariantFold};
use plaudit_experiment::stats::{Estimate, Interval, RatioMoments, asymp_cs, contrast, lift, srm_chi2, tuned_rho};

/// Reads `fold` now.
pub(crate) fn read(fold: &ExperimentFold, config: &ReadoutConfig, running: bool) -> ExperimentReadout {
    let control_id = &fold.experiment.control;
    let variants = fold.variants.iter().map(|variant| describe(variant, fold.variants.len(), config));
    let probabilities: Vec<f64> = fold.variants.iter().map(|variant| variant.probability).collect();
    let chi2 = srm_chi2(fold.srm.counts(), &probabilities);
    let sample_ratio = SampleRatio {
        sequential_p: fold.srm.p(),
        chi2_p: chi2.map(|test| test.p),
        ok: fold.srm.p() >= config.srm_alpha,
    };
    let control = fold.variants.iter().find(|variant| variant.id == *control_id);
    let mut comparisons = Vec::new();
    if let Some(control) = control {
        let alpha = config.alpha / (fold.variants.len() - 1).max(1) as f64;
        for treatment in fold.variants.iter().filter(|variant| variant.id != *control_id) {
            let pair = Pair { control, treatment, alpha, config };
            comparisons.push(pair.compare(sample_ratio.ok));
        }
    }
    ExperimentReadout {
        experiment: fold.experiment.id.clone(),
        layer: fold.experiment.layer.clone(),
        running,
        control: control_id.clone(),
        variants: variants.collect(),
        verdict: match &fold.experiment.treatment {
            Some(treatment) => about(treatment, &comparisons),
            None => overall(&comparisons),
        },
        comparisons,
        sample_ratio,
        crossed_units: fold.crossed,
        skipped_exposures: fold.skipped,
    }
}

fn about(treatment: &VariantId, comparisons: &[Comparison]) -> Verdict {
    let own = comparisons.iter().find(|comparison| comparison.variant == *treatment);
    own.map_or(Verdict::Continue { missing: Vec::new() }, |comparison| comparison.verdict.clone())
}

fn overall(comparisons: &[Comparison]) -> Verdict {
    let mut reasons = Vec::new();
    let mut missing = Vec::new();
    let mut is_undecided = false;
    for comparison in comparisons {
        match &comparison.verdict {
            Verdict::Promote => return Verdict::Promote,
            Verdict::Stop { reasons: more } => reasons.extend(more.iter().copied()),
            Verdict::Continue { missing: more } => {
                is_undecided = true;
                missing.extend(more.iter().cloned());
            }
        }
    }
    if is_undecided || reasons.is_empty() {
        return Verdict::Continue { missing };
    }
    reasons.dedup();
    Verdict::Stop { reasons }
}

fn describe(variant: &VariantFold, num_variants: usize, config: &ReadoutConfig) -> VariantReadout {
    let horizon = config.horizon_units as f64 / num_variants.max(1) as f64;
    let mut tripwires = BTreeMap::new();
    for ((name, bound), moments) in Tripwires::names().into_iter().zip(Tripwires::bounds()).zip(&variant.tripwires) {
        if let Some(interval) = rate(moments, config.alpha, horizon, bound) {
            tripwires.insert(name, interval);
        }
    }
    VariantReadout {
        variant: variant.id.clone(),
        exposures: variant.exposures,
        units: variant.love.units(),
        loves: variant.love.numerator(),
        love: rate(&variant.love, config.alpha, horizon, 1.0),
        helpfulness: rate(&variant.help, config.alpha, horizon, 1.0),
        helpfulness_labels: variant.help.denominator() as u64,
        tripwires,
    }
}

/// The confidence sequence of one rate, tightest at `horizon` units, within \[0, `bound`\].
fn rate(moments: &RatioMoments, alpha: f64, horizon: f64, bound: f64) -> Option<Interval> {
    let estimate = moments.estimate()?;
    let deviation = estimate.variance.sqrt();
    let rho = (deviation > 0.0).then(|| tuned_rho(alpha, horizon) / deviation);
    let interval = asymp_cs(estimate.mean, estimate.variance, estimate.units, alpha, rho);
    Some(Interval { lower: interval.lower.max(0.0), upper: interval.upper.min(bound), ..interval })
}

/// A treatment against control.
struct Pair<'a> {
    control: &'a VariantFold,
    treatment: &'a VariantFold,
    alpha: f64,
    config: &'a ReadoutConfig,
}

impl Pair<'_> {
    fn compare(&self, is_ratio_ok: bool) -> Comparison {
        let both = |metric: fn(&VariantFold) -> &RatioMoments| -> Option<(Estimate, Estimate)> {
            Some((metric(self.treatment).estimate()?, metric(self.control).estimate()?))
        };
        let horizon = self.config.horizon_units as f64;
        let ratio = self.config.max_closing_ratio;
        let love = both(|variant| &variant.love);
        let help = both(|variant| &variant.help);
        let closing = both(VariantFold::unsolicited_closing);
        let floor = self.config.closing_floor;
        let mut comparison = Comparison {
            variant: self.treatment.id.clone(),
            lift: love.and_then(|(t, c)| lift(&t, &c, self.alpha, horizon)),
            difference: love.and_then(|(t, c)| contrast(&t, &c, 1.0, self.alpha, horizon)),
            helpfulness: help.and_then(|(t, c)| contrast(&t, &c, 1.0, self.alpha, horizon)),
            closing_ratio: closing
                .filter(|(_, c)| c.mean.max(floor) > 0.0)
                .map(|(t, c)| t.mean.max(floor) / c.mean.max(floor)),
            closing_excess: closing.and_then(|(t, c)| contrast(&t, &c, ratio, self.alpha, horizon)),
            verdict: Verdict::Promote,
        };
        comparison.verdict = self.judge(&comparison, is_ratio_ok);
        comparison
    }

    fn judge(&self, comparison: &Comparison, is_ratio_ok: bool) -> Verdict {
        let reasons = self.harms(comparison, is_ratio_ok);
        if !reasons.is_empty() {
            return Verdict::Stop { reasons };
        }
        let missing = self.missing(comparison);
        if missing.is_empty() {
            return Verdict::Promote;
        }
        if self.smallest() >= self.config.max_units {
            return Verdict::Stop { reasons: vec![StopReason::Inconclusive] };
        }
        Verdict::Continue { missing }
    }

    fn smallest(&self) -> u64 {
        self.control.love.units().min(self.treatment.love.units())
    }

    fn harms(&self, comparison: &Comparison, is_ratio_ok: bool) -> Vec<StopReason> {
        let mut reasons = Vec::new();
        if !is_ratio_ok {
            reasons.push(StopReason::SampleRatioMismatch);
        }
        // The intervals are asymptotic: they say nothing about a handful of units.
        if self.smallest() < self.config.min_units {
            return reasons;
        }
        if comparison.lift.is_some_and(|lift| lift.upper < 0.0) {
            reasons.push(StopReason::LoveWorse);
        }
        let margin = self.config.helpfulness_margin;
        if comparison.helpfulness.is_some_and(|difference| difference.upper < -margin) {
            reasons.push(StopReason::HelpfulnessWorse);
        }
        let is_over_floor = comparison.closing_ratio.is_some_and(|ratio| ratio > self.config.max_closing_ratio);
        if is_over_floor && comparison.closing_excess.is_some_and(|excess| excess.lower > 0.0) {
            reasons.push(StopReason::ClosingsRose);
        }
        reasons
    }

    fn missing(&self, comparison: &Comparison) -> Vec<String> {
        let mut missing = Vec::new();
        let config = self.config;
        if self.smallest() < config.min_units {
            missing.push(format!("{} units per variant, now {}", config.min_units, self.smallest()));
        }
        if comparison.lift.is_none_or(|lift| lift.lower <= 0.0) {
            missing.push("the love lift's interval does not lie above zero".to_owned());
        }
        match comparison.helpfulness {
            None => missing.push("helpfulness labels in both variants".to_owned()),
            Some(difference) => {
                if difference.value < -config.helpfulness_margin {
                    let margin = config.helpfulness_margin;
                    missing.push(format!("helpfulness is {:.4} lower, allowed are {margin}", -difference.value));
                }
                if difference.lower <= -config.helpfulness_harm {
                    let harm = config.helpfulness_harm;
                    missing.push(format!("a loss of helpfulness of {harm} is not excluded"));
                }
            }
        }
        if comparison.closing_ratio.is_none_or(|ratio| ratio > config.max_closing_ratio) {
            let ratio = comparison.closing_ratio.unwrap_or(f64::NAN);
            let allowed = config.max_closing_ratio;
            missing.push(format!("{UNSOLICITED_CLOSING} is {ratio:.2} times control, allowed are {allowed}"));
        }
        missing
    }
}
