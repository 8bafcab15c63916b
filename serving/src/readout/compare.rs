//! From sums to intervals.

use std::collections::BTreeMap;

use plaudit_policy::tripwire::Tripwires;

use super::ReadoutConfig;
use super::answer::{Comparison, ExperimentReadout, SampleRatio, VariantReadout};
use super::fold::{ExperimentFold, VariantFold};
use plaudit_experiment::stats::{Estimate, Interval, RatioMoments, asymp_cs, contrast, lift, srm_chi2, tuned_rho};

/// Reads `fold` now.
pub(crate) fn read(fold: &ExperimentFold, config: &ReadoutConfig, running: bool) -> ExperimentReadout {
    let control_id = &fold.experiment.control;
    let variants = fold.variants.iter().map(|variant| describe(variant, fold.variants.len(), config));
    let probabilities: Vec<f64> = fold.variants.iter().map(|variant| variant.probability).collect();
    let chi2 = srm_chi2(fold.srm.counts(), &probabilities);
    let is_one_split = !fold.experiment.is_in_cohorts;
    let sample_ratio = is_one_split.then(|| SampleRatio {
        sequential_p: fold.srm.p(),
        chi2_p: chi2.map(|test| test.p),
        ok: fold.srm.p() >= config.srm_alpha,
    });
    let control = fold.variants.iter().find(|variant| variant.id == *control_id);
    let mut comparisons = Vec::new();
    if let Some(control) = control.filter(|_| is_one_split) {
        let alpha = config.alpha / (fold.variants.len() - 1).max(1) as f64;
        for treatment in fold.variants.iter().filter(|variant| variant.id != *control_id) {
            comparisons.push(compare(control, treatment, (alpha, config.horizon_units as f64)));
        }
    }
    ExperimentReadout {
        experiment: fold.experiment.id.clone(),
        layer: fold.experiment.layer.clone(),
        running,
        control: control_id.clone(),
        variants: variants.collect(),
        comparisons,
        sample_ratio,
        crossed_units: fold.crossed,
        skipped_exposures: fold.skipped,
    }
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

/// `treatment` against `control`.
fn compare(control: &VariantFold, treatment: &VariantFold, (alpha, horizon): (f64, f64)) -> Comparison {
    let both = |metric: fn(&VariantFold) -> &RatioMoments| -> Option<(Estimate, Estimate)> {
        Some((metric(treatment).estimate()?, metric(control).estimate()?))
    };
    let difference = |(t, c): (Estimate, Estimate)| contrast(&t, &c, 1.0, alpha, horizon);
    let love = both(|variant| &variant.love);
    Comparison {
        variant: treatment.id.clone(),
        lift: love.and_then(|(t, c)| lift(&t, &c, alpha, horizon)),
        difference: love.and_then(difference),
        helpfulness: both(|variant| &variant.help).and_then(difference),
        closings: both(VariantFold::unsolicited_closing).and_then(difference),
    }
}
