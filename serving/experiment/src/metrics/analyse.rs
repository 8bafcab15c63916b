//! The analysis: every metric of every treatment against the control.

mod checks;
mod verdict;

use plaudit_event::Timestamp;
use serde::{Deserialize, Serialize};

use super::aggregate::{Aggregates, FIRST_SEGMENT};
use super::config::{Choice, MetricConfig, MetricSet};
use super::estimate::{Comparison, Pair};
use super::fold::DAY_MS;
use super::method::{Evidence, equal_effects, evidence};
use super::report::{Report, ReportWarning, Row, RowWarning};
use crate::stats::special::normal_quantile;
use crate::stats::{
    Correction, Decision, Effect, Interval, Prior, Spending, adjust, days_to_significance, decide, e_bh,
    group_sequential, guardrail,
};

/// The power that detectable lifts are told at.
const POWER: f64 = 0.8;
/// Level of the warning of carry-over.
const CARRY_OVER: f64 = 0.01;

/// How an experiment is read. All of it is chosen before the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reading {
    /// Level of intervals and decisions, in (0, ½).
    pub alpha: f64,
    /// The method of the metrics that do not name one.
    pub method: Choice,
    /// Now.
    pub now: Timestamp,
    /// Units of both arms at which asymptotic sequences are tightest, > 0.
    pub horizon: f64,
    /// What the exact test of reactions is prepared for.
    pub prior: Prior,
    /// Standard deviation of the lifts that the mixture sequential test is prepared for, > 0.
    pub tau: f64,
    /// Information at the looks of group-sequential tests up to the present one, increasing within (0, 1].
    pub looks: Vec<f64>,
    /// Level of the alarm of a sample-ratio mismatch, in (0, 1).
    pub srm_alpha: f64,
    /// Share of the units that may see more than one variant.
    pub most_multiple: f64,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            alpha: 0.05,
            method: Choice::Default,
            now: Timestamp::from_millis(0),
            horizon: 10_000.0,
            prior: Prior::default(),
            tau: 0.1,
            looks: vec![1.0],
            srm_alpha: 0.01,
            most_multiple: 0.01,
        }
    }
}

/// The report of an experiment, for a validated set and the aggregates made with it. Whatever the data, nothing in
/// the report is NaN: what cannot be told is absent, with a warning that says why.
#[must_use]
pub fn analyse(set: &MetricSet, aggregates: &Aggregates, reading: &Reading) -> Report {
    let boundary = group_sequential(&reading.looks, reading.alpha / 2.0, Spending::OBrienFleming)
        .and_then(|boundaries| boundaries.last().copied());
    let days = aggregates.first.map_or(0.0, |first| reading.now.millis_since(first).max(0) as f64 / DAY_MS as f64);
    let analysis = Analysis { aggregates, reading, boundary, days };
    let treatments = 1..aggregates.variants.len();
    let mut rows = Vec::new();
    let mut segments = Vec::new();
    for variant in treatments.clone() {
        for (index, metric) in set.metrics.iter().enumerate().take(aggregates.metrics.len()) {
            rows.push(analysis.row(Comparison { metric, index, aggregates, cell: 0, variant }));
            for (cell, name) in segment_cells(set) {
                let mut row = analysis.row(Comparison { metric, index, aggregates, cell, variant });
                row.segment = Some(name);
                segments.push(row);
            }
        }
    }
    mark_discoveries(&mut rows, reading.alpha);
    mark_discoveries(&mut segments, reading.alpha);
    let srm = checks::srm(aggregates);
    let mut warnings = checks::warnings(aggregates, &srm, reading);
    let needs_looks = rows.iter().any(|row| row.method == Choice::GroupSequential);
    if needs_looks && boundary.is_none() {
        warnings.push(ReportWarning::UnusableLooks);
    }
    let verdicts = treatments.map(|variant| verdict::verdict(&aggregates.variants[variant], &rows, &warnings));
    Report {
        alpha: reading.alpha,
        days,
        variants: aggregates.variants.clone(),
        units: aggregates.units(),
        verdicts: verdicts.collect(),
        rows,
        segments,
        srm,
        warnings,
    }
}

/// The cells of the segments, with attribute and value.
fn segment_cells(set: &MetricSet) -> Vec<(usize, (String, String))> {
    let mut cells = Vec::new();
    for segment in &set.segments {
        for value in segment.values.iter().map(String::as_str).chain(["other"]) {
            cells.push((FIRST_SEGMENT + cells.len(), (segment.attribute.clone(), value.to_owned())));
        }
    }
    cells
}

struct Analysis<'a> {
    aggregates: &'a Aggregates,
    reading: &'a Reading,
    boundary: Option<f64>,
    days: f64,
}

impl Analysis<'_> {
    fn row(&self, comparison: Comparison<'_>) -> Row {
        let metric = comparison.metric;
        let pair = comparison.pair();
        let evidence = evidence(comparison, pair.as_ref(), self.reading, self.boundary);
        let units = comparison.units();
        let least = units[0].min(units[1]);
        let interval = evidence.decisive;
        let is_large = least >= metric.minimum_units;
        let decision = match &interval {
            Some(interval) if is_large => decide(interval, metric.direction, None),
            _ => Decision::Undecided,
        };
        let guarded = metric.guardrail.map(|margin| match evidence.guarded(margin) {
            (Some(interval), margin) if is_large => guardrail(&interval, metric.direction, margin),
            _ => crate::stats::Guardrail::Undecided,
        });
        let detectable = evidence.relative.as_ref().and_then(|relative| detectable(relative, pair.as_ref()?));
        Row {
            metric: metric.name.clone(),
            kind: metric.kind,
            variant: self.aggregates.variants[comparison.variant].clone(),
            segment: None,
            is_goal: metric.goal,
            direction: metric.direction,
            method: evidence.method,
            units,
            control: pair.map(|pair| pair.control.mean).filter(|mean| mean.is_finite()),
            treatment: pair.map(|pair| pair.treatment.mean).filter(|mean| mean.is_finite()),
            absolute: evidence.absolute.map(Into::into),
            relative: evidence.relative.map(Into::into),
            p: evidence.p,
            e: evidence.e,
            chance_to_win: evidence.chance_to_win,
            decision,
            is_discovery: false,
            guardrail: guarded,
            detectable,
            days_to_significance: interval.and_then(|interval| days_to_significance(&interval, self.days)),
            theta: pair.and_then(|pair| pair.theta).filter(|theta| theta.is_finite()),
            warnings: self.row_warnings(comparison, pair.as_ref(), (&evidence, detectable)),
        }
    }

    fn row_warnings(
        &self,
        comparison: Comparison<'_>,
        pair: Option<&Pair>,
        (evidence, detectable): (&Evidence, Option<f64>),
    ) -> Vec<RowWarning> {
        let metric = comparison.metric;
        let units = comparison.units();
        let least = units[0].min(units[1]);
        let mut warnings = Vec::new();
        if least == 0 {
            warnings.push(RowWarning::NoData);
        } else if comparison.divides_by_zero() {
            warnings.push(RowWarning::DivisionByZero);
        } else if pair.is_some_and(|pair| pair.control.variance + pair.treatment.variance <= 0.0) {
            warnings.push(RowWarning::NoVariance);
        }
        if least > 0 && least < metric.minimum_units {
            warnings.push(RowWarning::TooFewUnits { units: least, needed: metric.minimum_units });
        }
        if let (Some(detectable), Some(wanted)) = (detectable, metric.smallest_interesting)
            && detectable > wanted
        {
            warnings.push(RowWarning::LowPower { detectable });
        }
        if let Some(p) = carry_over(comparison).filter(|p| *p < CARRY_OVER) {
            warnings.push(RowWarning::CarryOver { p });
        }
        if let Some(pair) = pair.filter(|pair| pair.sampled < 1.0) {
            warnings.push(RowWarning::Sampled { share: pair.sampled });
        }
        if pair.is_some_and(|pair| pair.theta == Some(0.0)) {
            warnings.push(RowWarning::FlatCovariate);
        }
        let asked = metric.choice(self.reading.method);
        if asked != evidence.method {
            warnings.push(RowWarning::FellBack { from: asked });
        }
        warnings
    }
}

/// P-value that units from an earlier experiment of the layer show the effect of those that are new to it.
fn carry_over(comparison: Comparison<'_>) -> Option<f64> {
    let [new, carried] = [1, 2].map(|cell| Comparison { cell, ..comparison });
    let is_small = |one: Comparison<'_>| one.units().into_iter().any(|units| units < one.metric.minimum_units);
    if comparison.cell != 0 || is_small(new) || is_small(carried) {
        return None;
    }
    let (new, carried) = (new.pair()?, carried.pair()?);
    equal_effects([&new.treatment, &new.control], [&carried.treatment, &carried.control])
}

/// The lift found with a probability of [`POWER`] by an interval of this width: half of the width and
/// `z_power` standard errors.
fn detectable(relative: &Interval, pair: &Pair) -> Option<f64> {
    let effect = Effect::relative(&pair.treatment, &pair.control)?;
    let half = (relative.upper - relative.lower) / 2.0;
    let lift = half + normal_quantile(POWER) * effect.standard_error;
    lift.is_finite().then_some(lift)
}

/// Marks what stands after the correction: by e-values where all may be watched, else by Benjamini–Hochberg.
/// Guardrails that are not goals are no hypotheses of a better variant and stay out.
fn mark_discoveries(rows: &mut [Row], alpha: f64) {
    let tested: Vec<usize> = (0..rows.len())
        .filter(|index| rows[*index].p.is_some() && (rows[*index].guardrail.is_none() || rows[*index].is_goal))
        .collect();
    let e: Option<Vec<f64>> = tested.iter().map(|index| rows[*index].e).collect();
    let found = match e {
        Some(e) => e_bh(&e, alpha),
        None => {
            let p: Vec<f64> = tested.iter().map(|index| rows[*index].p.unwrap_or(1.0)).collect();
            adjust(&p, Correction::BenjaminiHochberg).into_iter().map(|p| p <= alpha).collect()
        }
    };
    for (index, is_found) in tested.into_iter().zip(found) {
        let is_decided = matches!(rows[index].decision, Decision::Better | Decision::Worse);
        rows[index].is_discovery = is_found && is_decided;
    }
}

/// The set with limits of percentiles fixed at what the aggregates say, for a second pass over more units than the
/// sample keeps.
#[must_use]
pub fn with_limits(set: &MetricSet, aggregates: &Aggregates) -> MetricSet {
    let mut fixed = set.clone();
    for (index, metric) in set.metrics.iter().enumerate() {
        let Some(super::config::Winsorise::Percentile(percentile)) = metric.winsorise else { continue };
        let limits = (1..aggregates.variants.len())
            .filter_map(|variant| Comparison { metric, index, aggregates, cell: 0, variant }.percentile(percentile));
        if let Some(limit) = limits.max_by(f64::total_cmp) {
            fix(&mut fixed.metrics[index], limit);
        }
    }
    fixed
}

const fn fix(metric: &mut MetricConfig, limit: f64) {
    metric.winsorise = Some(super::config::Winsorise::Bound(limit));
}
