//! From sums to intervals, guardrails and the verdict.

use std::collections::BTreeMap;

use plaudit_event::{ExperimentId, LayerId, VariantId};
use plaudit_policy::tripwire::Tripwires;
use serde::Serialize;

use super::ReadoutConfig;
use super::fold::{ExperimentFold, VariantFold};
use crate::stats::{Estimate, Interval, RatioMoments, asymp_cs, contrast, lift, srm_chi2, tuned_rho};

/// Why an experiment must stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// Units did not arrive in the promised proportions.
    SampleRatioMismatch,
    /// The objective is worse than control.
    LoveWorse,
    /// Helpfulness is worse than control by more than the margin.
    HelpfulnessWorse,
    /// Closings exceed their ratio to control.
    ClosingsRose,
    /// The largest size was reached without a decision.
    Inconclusive,
}

impl StopReason {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SampleRatioMismatch => "sample_ratio_mismatch",
            Self::LoveWorse => "love_worse",
            Self::HelpfulnessWorse => "helpfulness_worse",
            Self::ClosingsRose => "closings_rose",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Verdict {
    /// Not decided yet.
    Continue {
        /// What a promotion still needs.
        missing: Vec<String>,
    },
    /// The treatment is better and harmless.
    Promote,
    /// The treatment must leave.
    Stop {
        /// Why; at least one.
        reasons: Vec<StopReason>,
    },
}

/// One variant.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VariantReadout {
    /// The variant.
    pub variant: VariantId,
    /// Exposures whose window has closed.
    pub exposures: u64,
    /// Units with at least one of them.
    pub units: u64,
    /// The deciding objective: sum of its labels.
    pub loves: f64,
    /// Its rate.
    pub love: Option<Interval>,
    /// Mean helpfulness among the labelled.
    pub helpfulness: Option<Interval>,
    /// Number of helpfulness labels.
    pub helpfulness_labels: u64,
    /// Mean of each tripwire measure.
    pub tripwires: BTreeMap<&'static str, f64>,
}

/// A treatment against control.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The treatment variant.
    pub variant: VariantId,
    /// Relative lift of the objective.
    pub lift: Option<Interval>,
    /// Difference of the objective's rates.
    pub difference: Option<Interval>,
    /// Difference of mean helpfulness.
    pub helpfulness: Option<Interval>,
    /// Closing rate over that of control, both at least the floor.
    pub closing_ratio: Option<f64>,
    /// Closing rate minus the allowed multiple of control's.
    pub closing_excess: Option<Interval>,
    /// What to do.
    pub verdict: Verdict,
}

/// The sample-ratio check.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SampleRatio {
    /// The p-value that may be watched; decisions use it.
    pub sequential_p: f64,
    /// Pearson's p-value: valid only for a single look.
    pub chi2_p: Option<f64>,
    /// Whether the proportions are credible.
    pub ok: bool,
}

/// Everything about one experiment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExperimentReadout {
    /// The experiment, or the run of a rolling one.
    pub experiment: ExperimentId,
    /// Its layer.
    pub layer: LayerId,
    /// Whether it enrols units now.
    pub running: bool,
    /// The variant that the others are compared with.
    pub control: VariantId,
    /// Per variant, in the order of the configuration.
    pub variants: Vec<VariantReadout>,
    /// Per treatment variant.
    pub comparisons: Vec<Comparison>,
    /// The sample-ratio check.
    pub sample_ratio: SampleRatio,
    /// Units that were seen in two variants; their later exposures are left out.
    pub crossed_units: u64,
    /// Exposures left out because too many units are followed.
    pub skipped_exposures: u64,
    /// Promote when one treatment may be promoted, stop when all must leave.
    pub verdict: Verdict,
}

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
        verdict: overall(&comparisons),
        comparisons,
        sample_ratio,
        crossed_units: fold.crossed,
        skipped_exposures: fold.skipped,
    }
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
    let exposures = variant.exposures.max(1) as f64;
    let means = variant.tripwires.iter().map(|sum| sum / exposures);
    VariantReadout {
        variant: variant.id.clone(),
        exposures: variant.exposures,
        units: variant.love.units(),
        loves: variant.love.numerator(),
        love: rate(&variant.love, config.alpha, horizon),
        helpfulness: rate(&variant.help, config.alpha, horizon),
        helpfulness_labels: variant.help.denominator() as u64,
        tripwires: Tripwires::names().into_iter().zip(means).collect(),
    }
}

/// The confidence sequence of one rate, tightest at `horizon` units, within \[0, 1\].
fn rate(moments: &RatioMoments, alpha: f64, horizon: f64) -> Option<Interval> {
    let estimate = moments.estimate()?;
    let deviation = estimate.variance.sqrt();
    let rho = (deviation > 0.0).then(|| tuned_rho(alpha, horizon) / deviation);
    let interval = asymp_cs(estimate.mean, estimate.variance, estimate.units, alpha, rho);
    Some(Interval { lower: interval.lower.max(0.0), upper: interval.upper.min(1.0), ..interval })
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
        let closing = both(|variant| &variant.closing);
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
            missing.push(format!("closings are {ratio:.2} times control, allowed are {}", config.max_closing_ratio));
        }
        missing
    }
}
