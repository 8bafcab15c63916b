//! What is watched, and how much harm is tolerated.

use serde::{Deserialize, Serialize};

/// What a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Evaluated first; passes unless harm beyond the margin is proven.
    Tripwire,
    /// Passes only when harm beyond the margin is excluded.
    Guardrail,
    /// Passes only when the candidate is better by more than the margin; never fails.
    Objective,
}

/// Which data a rule reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Answers that were shown.
    #[default]
    Live,
    /// Answers that were scored and not shown.
    Shadow,
}

/// Which deviation from control is harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Harm {
    /// More of it, as for latency.
    Higher,
    /// Less of it, as for helpfulness.
    Lower,
    /// Both, as for length; with relative margin m, outside `1/(1+m) … 1+m`.
    Either,
}

/// How much harm is tolerated.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Margin {
    /// A difference from control, in units of the metric, ≥ 0.
    Absolute(f64),
    /// A share of the control's mean, ≥ 0; below 1 where lower is harm. For metrics that are never negative.
    Relative(f64),
    /// A level of the candidate itself, whatever control does.
    Level(f64),
}

/// How a rule is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Asymptotic confidence sequence of a mean or ratio over units.
    #[default]
    Sums,
    /// Which arm the units that had the outcome at least once were in: exact, for rates below one half.
    Exact,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Names the rule in `requires` and in the evidence; unique, not `srm`.
    pub name: String,
    /// Key of the sums that it reads.
    pub metric: String,
    /// What it is for.
    pub kind: Kind,
    /// Which data it reads.
    #[serde(default)]
    pub source: Source,
    /// Which deviation is harm.
    pub harm: Harm,
    /// How much is tolerated; for an objective, how much better it must be.
    pub margin: Margin,
    /// How it is tested.
    #[serde(default)]
    pub method: Method,
    /// Where higher is harm: no failure while the candidate's mean is within the margin of this, ≥ 0; rates so
    /// low do not matter.
    #[serde(default)]
    pub floor: f64,
    /// No verdict before both arms have this many units, ≥ 2; the sums need hundreds, and thousands when skewed.
    pub min_units: u64,
    /// Failing evaluations in a step that are let pass, 0 to 1000.
    #[serde(default)]
    pub failure_limit: u32,
    /// Its part of the error budget, relative to the others, > 0.
    #[serde(default = "one")]
    pub weight: f64,
}

const fn one() -> f64 {
    1.0
}

impl Rule {
    /// A live rule on a metric of the same name, of weight 1, by sums, from 1,000 units per arm on.
    #[must_use]
    pub fn new(name: &str, kind: Kind, harm: Harm, margin: Margin) -> Self {
        Self {
            name: name.to_owned(),
            metric: name.to_owned(),
            kind,
            source: Source::Live,
            harm,
            margin,
            method: Method::Sums,
            floor: 0.0,
            min_units: 1_000,
            failure_limit: 0,
            weight: 1.0,
        }
    }
}
