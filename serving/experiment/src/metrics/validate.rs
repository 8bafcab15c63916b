//! Every fault of a set of metrics at once.

use std::collections::BTreeSet;

use plaudit_event::SignalKind;

use super::config::{
    Choice, Cuped, Kind, MAX_DAYS, MAX_METRICS, MAX_SEGMENT_VALUES, MAX_SEGMENTS, Margin, MetricConfig, MetricSet,
    PerUnit, Source, Take, Winsorise,
};
use crate::assign::Problem;

/// The names that sources and segments may use.
#[derive(Debug, Clone, Copy, Default)]
pub struct Vocabulary<'a> {
    /// Objectives that are labelled.
    pub objectives: &'a [String],
    /// Kinds of signals that are declared beside the built-in ones.
    pub signals: &'a [String],
    /// Attributes of exposures.
    pub attributes: &'a [String],
}

impl MetricSet {
    /// Every fault, with key paths below `prefix`; empty when the set can be used.
    #[must_use]
    pub fn validate(&self, prefix: &str, known: &Vocabulary<'_>) -> Vec<Problem> {
        let dot = if prefix.is_empty() { "" } else { "." };
        let mut problems = Problems { path: format!("{prefix}{dot}"), found: Vec::new() };
        if self.metrics.is_empty() || self.metrics.len() > MAX_METRICS {
            let count = self.metrics.len();
            problems.add("metrics", format!("must have 1 to {MAX_METRICS} entries, has {count}"));
        }
        if self.segments.len() > MAX_SEGMENTS {
            problems.add("segments", format!("must have at most {MAX_SEGMENTS} entries, has {}", self.segments.len()));
        }
        let mut names = BTreeSet::new();
        for (index, metric) in self.metrics.iter().enumerate() {
            let mut one = Problems { path: format!("{prefix}{dot}metrics[{index}]."), found: Vec::new() };
            if metric.name.is_empty() || metric.name.chars().any(char::is_control) {
                one.add("name", format!("must be a printable name, is {:?}", metric.name));
            }
            if !names.insert(metric.name.as_str()) {
                one.add("name", format!("must be unique, {:?} was there before", metric.name));
            }
            one.metric(metric, known);
            problems.found.append(&mut one.found);
        }
        let mut attributes = BTreeSet::new();
        for (index, segment) in self.segments.iter().enumerate() {
            let mut one = Problems { path: format!("{prefix}{dot}segments[{index}]."), found: Vec::new() };
            one.attribute("attribute", &segment.attribute, known);
            if !attributes.insert(segment.attribute.as_str()) {
                one.add("attribute", format!("must be unique, {:?} was there before", segment.attribute));
            }
            let distinct: BTreeSet<&String> = segment.values.iter().collect();
            let count = segment.values.len();
            if count == 0 || count > MAX_SEGMENT_VALUES || distinct.len() < count {
                one.add("values", format!("must be 1 to {MAX_SEGMENT_VALUES} different values, has {count}"));
            }
            problems.found.append(&mut one.found);
        }
        problems.found
    }
}

struct Problems {
    path: String,
    found: Vec<Problem>,
}

impl Problems {
    fn add(&mut self, key: &str, message: String) {
        self.found.push(Problem { path: format!("{}{key}", self.path), message });
    }

    fn metric(&mut self, metric: &MetricConfig, known: &Vocabulary<'_>) {
        self.source("source", &metric.source, known);
        self.shape(metric, known);
        self.numbers(metric);
        self.covariate(metric, known);
        self.method(metric);
        for attribute in metric.attributes.keys() {
            self.attribute("attributes", attribute, known);
        }
    }

    fn source(&mut self, key: &str, source: &Source, known: &Vocabulary<'_>) {
        match source {
            Source::Exposures | Source::ResponseWords => {}
            Source::Label(objective) => {
                if !known.objectives.contains(objective) {
                    let listed = known.objectives.join(", ");
                    self.add(key, format!("unknown objective {objective:?}; known are {listed}"));
                }
            }
            Source::Attribute(attribute) => self.attribute(key, attribute, known),
            Source::Signal(signal) => {
                if let SignalKind::Custom(kind) = &signal.kind
                    && !known.signals.contains(kind)
                {
                    let built_in = SignalKind::BUILT_IN.iter().map(SignalKind::as_str);
                    let listed: Vec<&str> = built_in.chain(known.signals.iter().map(String::as_str)).collect();
                    self.add(key, format!("unknown kind of signal {kind:?}; known are {}", listed.join(", ")));
                }
            }
        }
    }

    fn attribute(&mut self, key: &str, attribute: &str, known: &Vocabulary<'_>) {
        if !known.attributes.iter().any(|name| name == attribute) {
            let listed = known.attributes.join(", ");
            self.add(key, format!("unknown attribute {attribute:?}; known are {listed}"));
        }
    }

    /// What each kind needs, and what it has no use for.
    fn shape(&mut self, metric: &MetricConfig, known: &Vocabulary<'_>) {
        let is = |kind: Kind| metric.kind == kind;
        match (&metric.denominator, is(Kind::Ratio)) {
            (None, true) => self.add("denominator", "a ratio needs one".to_owned()),
            (Some(_), false) => self.add("denominator", "is for ratios only".to_owned()),
            (Some(source), true) => self.source("denominator", source, known),
            (None, false) => {}
        }
        match (metric.quantile, is(Kind::Quantile)) {
            (None, true) => self.add("quantile", "a quantile needs one in (0, 1)".to_owned()),
            (Some(_), false) => self.add("quantile", "is for quantiles only".to_owned()),
            (Some(q), true) if !(q > 0.0 && q < 1.0) => self.add("quantile", format!("must be in (0, 1), is {q}")),
            _ => {}
        }
        match (metric.days, is(Kind::Retention)) {
            (None, true) => self.add("days", "retention needs a first and a last day".to_owned()),
            (Some(_), false) => self.add("days", "is for retention only".to_owned()),
            (Some([first, last]), true) if first == 0 || first > last || last > MAX_DAYS => {
                let range = format!("must be 1 ≤ first ≤ last ≤ {MAX_DAYS}, is [{first}, {last}]");
                self.add("days", range);
            }
            _ => {}
        }
        if metric.per_unit == PerUnit::Average && !is(Kind::Mean) {
            self.add("per_unit", "average is for means only".to_owned());
        }
        let is_presence = matches!(&metric.source, Source::Signal(signal) if signal.take == Take::Sum);
        if is_presence && metric.is_binary() {
            self.add("source", "a sum cannot be had or not: take count or presence".to_owned());
        }
        if metric.expected.is_some() && !metric.is_binary() {
            self.add("expected", "is for proportions and retention only".to_owned());
        }
    }

    fn numbers(&mut self, metric: &MetricConfig) {
        if let Some(days) = metric.window_days
            && !(1..=MAX_DAYS).contains(&days)
        {
            self.add("window_days", format!("must be 1 to {MAX_DAYS}, is {days}"));
        }
        if let Some([low, high]) = metric.bounds
            && !(low.is_finite() && high.is_finite() && low < high)
        {
            self.add("bounds", format!("must be finite and increasing, are [{low}, {high}]"));
        }
        if let Some(rate) = metric.expected
            && !(rate > 0.0 && rate < 1.0)
        {
            self.add("expected", format!("must be in (0, 1), is {rate}"));
        }
        if let Some(lift) = metric.smallest_interesting
            && !(lift > 0.0 && lift.is_finite())
        {
            self.add("smallest_interesting", format!("must be above 0 and finite, is {lift}"));
        }
        if metric.minimum_units < 2 {
            self.add("minimum_units", format!("must be at least 2, is {}", metric.minimum_units));
        }
        if let Some(Margin::Absolute(margin) | Margin::Relative(margin)) = metric.guardrail
            && !(margin >= 0.0 && margin.is_finite())
        {
            self.add("guardrail", format!("must be at least 0 and finite, is {margin}"));
        }
        let is_summed = matches!(metric.kind, Kind::Mean | Kind::Ratio);
        match metric.winsorise {
            Some(Winsorise::Percentile(p)) if !(p > 0.0 && p < 1.0) => {
                self.add("winsorise.percentile", format!("must be in (0, 1), is {p}"));
            }
            Some(Winsorise::Bound(bound)) if !bound.is_finite() => {
                self.add("winsorise.bound", format!("must be finite, is {bound}"));
            }
            Some(_) if !is_summed => self.add("winsorise", "is for means and ratios only".to_owned()),
            _ => {}
        }
    }

    fn covariate(&mut self, metric: &MetricConfig, known: &Vocabulary<'_>) {
        match &metric.cuped {
            None => return,
            Some(Cuped::Days(days)) if !(1..=MAX_DAYS).contains(days) => {
                self.add("cuped.days", format!("must be 1 to {MAX_DAYS}, is {days}"));
            }
            Some(Cuped::Days(_)) => {}
            Some(Cuped::Attribute(attribute)) => {
                self.attribute("cuped.attribute", attribute, known);
                if metric.kind == Kind::Ratio {
                    self.add("cuped.attribute", "a ratio takes the same ratio before: use days".to_owned());
                }
            }
        }
        if matches!(metric.kind, Kind::Retention) && matches!(metric.cuped, Some(Cuped::Days(_))) {
            self.add("cuped.days", "nobody returns before the first exposure: use an attribute".to_owned());
        }
        if metric.kind == Kind::Quantile {
            self.add("cuped", "quantiles are not adjusted".to_owned());
        }
        if matches!(metric.method, Choice::ExactArms | Choice::Betting) {
            self.add("cuped", "exact methods are not adjusted: use asymptotic, msprt or fixed".to_owned());
        }
    }

    fn method(&mut self, metric: &MetricConfig) {
        let is_final = metric.final_after_days().is_some();
        match metric.method {
            Choice::ExactArms if !metric.is_binary() => {
                self.add("method", "exact_arms is for proportions and retention only".to_owned());
            }
            Choice::Betting => {
                if metric.kind != Kind::Mean {
                    self.add("method", "betting is for means only".to_owned());
                }
                if metric.bounds.is_none() {
                    self.add("bounds", "betting needs the least and greatest value of a unit".to_owned());
                }
                if !is_final {
                    self.add("window_days", "betting needs final values".to_owned());
                }
            }
            Choice::QuantileAb if metric.kind != Kind::Quantile => {
                self.add("method", "quantile_ab is for quantiles only".to_owned());
            }
            _ => {}
        }
        if metric.expected.is_some_and(|rate| rate > 0.5) && !is_final {
            self.add("window_days", "counting units without needs to know when they are final".to_owned());
        }
        if matches!(metric.winsorise, Some(Winsorise::Percentile(_))) && metric.kind == Kind::Ratio {
            self.add("winsorise.percentile", "a ratio takes a bound on the numerator of a unit".to_owned());
        }
    }
}
