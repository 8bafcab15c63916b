//! What a person writes: metrics and segments.

use std::collections::BTreeMap;

use plaudit_event::{SignalKind, Surface};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::stats::Direction;

/// Most metrics of a set.
pub const MAX_METRICS: usize = 64;
/// Most segments of a set.
pub const MAX_SEGMENTS: usize = 16;
/// Most listed values of a segment.
pub const MAX_SEGMENT_VALUES: usize = 32;
/// Most days of a window, a period before or a return.
pub const MAX_DAYS: u32 = 400;

/// All metrics of an experiment, and the segments they are split by.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricSet {
    /// In the order of the report.
    pub metrics: Vec<MetricConfig>,
    /// In the order of the report.
    pub segments: Vec<SegmentConfig>,
}

/// A split of the units by what was known at their first exposure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentConfig {
    /// The attribute of the exposure.
    pub attribute: String,
    /// The values that get a row each; all others are `other`.
    pub values: Vec<String>,
}

/// How units become a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Share of the units with at least one.
    Proportion,
    /// Mean over the units of what each adds up to (or averages, see [`MetricConfig::per_unit`]).
    Mean,
    /// Σ numerator / Σ denominator over the units, with the variance over units (delta method).
    Ratio,
    /// Quantile of the single values, with the variance over units.
    Quantile,
    /// Share of the units that are seen again within [`MetricConfig::days`] after their first exposure.
    Retention,
}

/// Where the values come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// One for each exposure.
    Exposures,
    /// Length of the response in words, for each exposure.
    ResponseWords,
    /// The label of an objective, for each attributed exposure that has it.
    Label(String),
    /// Reactions of one kind.
    Signal(SignalSource),
    /// A number among the attributes of the exposure, such as `latency_ms` or `cost`.
    Attribute(String),
}

/// Reactions of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignalSource {
    /// The kind.
    pub kind: SignalKind,
    /// What is taken of them.
    #[serde(default)]
    pub take: Take,
}

/// What is taken of reactions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Take {
    /// One for each.
    #[default]
    Count,
    /// Their `value`; nothing where there is none.
    Sum,
    /// One for each exposure that has at least one.
    Presence,
}

/// How the values of a unit become the value of the unit, for means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PerUnit {
    /// Their sum; 0 without any.
    #[default]
    Total,
    /// Their mean; a unit without any has no value and is left out.
    Average,
}

/// Extreme values are moved to a limit. Bounds are fixed beforehand; percentiles come from the data of both
/// arms together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Winsorise {
    /// Values of a unit above this are set to it.
    Bound(f64),
    /// Values of a unit above this quantile of all units' values are set to it; in (0, 1).
    Percentile(f64),
}

/// What is known of a unit before, to take variance away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cuped {
    /// The same metric in so many days before the first exposure.
    Days(u32),
    /// A number among the attributes of the first exposure, 0 where it is absent.
    Attribute(String),
}

/// How much worse a guardrail may be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Margin {
    /// In the unit of the metric, ≥ 0.
    Absolute(f64),
    /// As a share of the control, ≥ 0.
    Relative(f64),
}

/// How a metric is tested.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// By kind: exact arms for proportions and retention, betting for means with bounds and a window,
    /// asymptotic sequences for the rest.
    #[default]
    Default,
    /// Arms of successes against logged probabilities: exact.
    ExactArms,
    /// Bets on scores: exact for bounded values that are final.
    Betting,
    /// Asymptotic confidence sequence.
    Asymptotic,
    /// Mixture sequential probability ratio test.
    Msprt,
    /// A few planned looks that spend alpha.
    GroupSequential,
    /// One look at a horizon fixed beforehand.
    Fixed,
    /// A posterior; no error rate is controlled.
    Bayes,
    /// The sequential test of a common quantile; one value per unit.
    QuantileAb,
}

/// One metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricConfig {
    /// Unique.
    pub name: String,
    /// How units become a number.
    pub kind: Kind,
    /// What is counted; the numerator of a ratio.
    pub source: Source,
    /// What a ratio is relative to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denominator: Option<Source>,
    /// How a mean sees a unit.
    #[serde(default)]
    pub per_unit: PerUnit,
    /// The quantile, in (0, 1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantile: Option<f64>,
    /// First and last day of a return; day 0 is the 24 hours that begin with the first exposure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<[u32; 2]>,
    /// Only what happens in so many days from the first exposure counts, and a unit enters when they are over:
    /// its value is then final. Without, a unit enters at once and its value grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_days: Option<u32>,
    /// Only exposures on this surface, and reactions to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surface: Option<Surface>,
    /// Only exposures with these attributes, and reactions to them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Value>,
    /// Which direction is good.
    pub direction: Direction,
    /// Whether the experiment is decided by it.
    #[serde(default)]
    pub goal: bool,
    /// How much worse it may be; then it is a guardrail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guardrail: Option<Margin>,
    /// How extreme values are moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub winsorise: Option<Winsorise>,
    /// What variance is taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cuped: Option<Cuped>,
    /// The least and greatest value of a unit, known beforehand, for betting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounds: Option<[f64; 2]>,
    /// The rate a proportion is expected to have, in (0, 1), known beforehand: above one half the units
    /// without are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<f64>,
    /// No decision with fewer units in an arm.
    #[serde(default = "default_minimum_units")]
    pub minimum_units: u64,
    /// The smallest lift worth finding, > 0, for the warning of low power.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smallest_interesting: Option<f64>,
    /// How it is tested.
    #[serde(default)]
    pub method: Choice,
}

const fn default_minimum_units() -> u64 {
    100
}

impl MetricConfig {
    /// A metric with the defaults of a file.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: Kind, source: Source, direction: Direction) -> Self {
        Self {
            name: name.into(),
            kind,
            source,
            denominator: None,
            per_unit: PerUnit::default(),
            quantile: None,
            days: None,
            window_days: None,
            surface: None,
            attributes: BTreeMap::new(),
            direction,
            goal: false,
            guardrail: None,
            winsorise: None,
            cuped: None,
            bounds: None,
            expected: None,
            minimum_units: default_minimum_units(),
            smallest_interesting: None,
            method: Choice::default(),
        }
    }

    /// Whether a unit has it or not.
    #[must_use]
    pub const fn is_binary(&self) -> bool {
        matches!(self.kind, Kind::Proportion | Kind::Retention)
    }

    /// Days from the first exposure until the value of a unit is final; nothing where it may always grow.
    #[must_use]
    pub fn final_after_days(&self) -> Option<u32> {
        match (self.kind, self.days) {
            (Kind::Retention, Some([_, last])) => Some(last + 1),
            _ => self.window_days,
        }
    }

    /// The method that is meant: never [`Choice::Default`].
    /// A method that does not fit the kind gives way to the asymptotic sequence.
    #[must_use]
    pub fn choice(&self, preferred: Choice) -> Choice {
        let asked = if self.method == Choice::Default { preferred } else { self.method };
        let is_final = self.final_after_days().is_some();
        match (asked, self.kind) {
            (Choice::Default, Kind::Proportion | Kind::Retention) if self.cuped.is_none() => Choice::ExactArms,
            (Choice::Default, Kind::Mean) if self.bounds.is_some() && is_final && self.cuped.is_none() => {
                Choice::Betting
            }
            (Choice::Default, _) => Choice::Asymptotic,
            (Choice::ExactArms, _) if !self.is_binary() => Choice::Asymptotic,
            (Choice::Betting, kind) if kind != Kind::Mean || self.bounds.is_none() || !is_final => Choice::Asymptotic,
            (Choice::QuantileAb, kind) if kind != Kind::Quantile => Choice::Asymptotic,
            _ => asked,
        }
    }
}
