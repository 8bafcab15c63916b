//! What is told of an experiment.

mod text;

use serde::{Deserialize, Serialize};

use super::config::{Choice, Kind};
use crate::stats::{ChiSquare, Decision, Direction, Guardrail, Interval};

/// An effect with its interval; an end that is absent is endless.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EffectInterval {
    /// The effect; absent where an arm has none of the outcome.
    pub value: Option<f64>,
    /// Lower end.
    pub lower: Option<f64>,
    /// Upper end.
    pub upper: Option<f64>,
}

impl From<Interval> for EffectInterval {
    fn from(interval: Interval) -> Self {
        let finite = |value: f64| value.is_finite().then_some(value);
        Self { value: finite(interval.value), lower: finite(interval.lower), upper: finite(interval.upper) }
    }
}

/// What else the reader of a row must know.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum RowWarning {
    /// An arm has no unit with a value.
    NoData,
    /// An arm has a denominator of zero.
    DivisionByZero,
    /// No unit differs from another: nothing can be tested.
    NoVariance,
    /// Fewer units in an arm than asked for: no decision.
    TooFewUnits {
        /// Units of the smaller arm.
        units: u64,
        /// What is asked for.
        needed: u64,
    },
    /// The smallest interesting lift would be missed more often than one time in five at this size.
    LowPower {
        /// The smallest lift that would be found four times in five.
        detectable: f64,
    },
    /// Units that come from an earlier experiment of the layer show another effect than those that do not.
    CarryOver {
        /// P-value of equal effects, at one look.
        p: f64,
    },
    /// The numbers come from a sample of the units.
    Sampled {
        /// Share of the units.
        share: f64,
    },
    /// The covariate does not vary, so that nothing was taken away.
    FlatCovariate,
    /// Another method than the one asked for was used, because units are missing from the sample.
    FellBack {
        /// What was asked for.
        from: Choice,
    },
}

/// A metric of a treatment against the control.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The metric.
    pub metric: String,
    /// How units become a number.
    pub kind: Kind,
    /// The treatment.
    pub variant: String,
    /// Attribute and value, for a segment.
    pub segment: Option<(String, String)>,
    /// Whether the experiment is decided by it.
    pub is_goal: bool,
    /// Which direction is good.
    pub direction: Direction,
    /// How it was tested.
    pub method: Choice,
    /// Units with a value, of control and treatment.
    pub units: [u64; 2],
    /// The metric in control, phases weighted alike.
    pub control: Option<f64>,
    /// The metric in treatment.
    pub treatment: Option<f64>,
    /// Treatment − control.
    pub absolute: Option<EffectInterval>,
    /// (Treatment − control) / |control|.
    pub relative: Option<EffectInterval>,
    /// P-value of no effect; of this look, but valid at any time where `e` is there.
    pub p: Option<f64>,
    /// E-value of no effect, for methods that may be watched; for asymptotic ones at least 1.
    pub e: Option<f64>,
    /// Posterior probability that the effect is positive, for the Bayesian method.
    pub chance_to_win: Option<f64>,
    /// What the interval allows to say.
    pub decision: Decision,
    /// Whether it stands after the correction for all metrics (or all segments).
    pub is_discovery: bool,
    /// What the guardrail says, where there is one.
    pub guardrail: Option<Guardrail>,
    /// The lift that would be found four times in five at this size.
    pub detectable: Option<f64>,
    /// Days until the interval excludes zero, if all stays as it is.
    pub days_to_significance: Option<f64>,
    /// θ of the covariate.
    pub theta: Option<f64>,
    /// What else the reader must know.
    pub warnings: Vec<RowWarning>,
}

/// Units against the promised proportions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Srm {
    /// The phase; nothing for all of them together.
    pub phase: Option<u32>,
    /// Units by variant.
    pub counts: Vec<u64>,
    /// Promised probabilities; empty for all phases.
    pub weights: Vec<f64>,
    /// Pearson's test, valid at one look; nothing for all phases.
    pub chi2: Option<ChiSquare>,
    /// P-value that holds at any time.
    pub p: f64,
}

/// What the reader must know of the whole experiment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum ReportWarning {
    /// Units did not arrive in the promised proportions: no other number can be trusted.
    SampleRatioMismatch {
        /// The phase; nothing for all of them together.
        phase: Option<u32>,
        /// P-value that holds at any time.
        p: f64,
    },
    /// Units saw more than one variant; they are left out.
    MultipleExposure {
        /// How many.
        units: u64,
        /// Share of all units of the experiment.
        share: f64,
        /// Whether that is more than allowed: no other number can be trusted.
        is_alarm: bool,
    },
    /// Reactions older than what they react to; they are ignored.
    ClockWentBackwards {
        /// How many.
        events: u64,
    },
    /// Exposures with variants or probabilities that the experiment does not have; they are ignored.
    UnknownVariants {
        /// How many.
        events: u64,
    },
    /// Values that are not finite; they are ignored.
    NotNumbers {
        /// How many.
        events: u64,
    },
    /// Events of units that have too many; they are ignored.
    BeyondLimit {
        /// How many.
        events: u64,
    },
    /// No unit is in the experiment.
    NoUnits,
    /// The group-sequential looks do not increase within (0, 1]: such a metric has no interval.
    UnusableLooks,
}

/// What to do with a treatment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Advice {
    /// A goal is better, none is worse, and every guardrail is proven.
    Ship,
    /// A goal is worse, or a guardrail violated.
    Stop,
    /// Not enough is known.
    GoOn,
    /// The data are faulty.
    DoNotDecide,
}

/// The decision about a treatment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The treatment.
    pub variant: String,
    /// What to do.
    pub advice: Advice,
    /// Why, in plain words.
    pub sentence: String,
}

/// What is told of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Level of intervals and decisions.
    pub alpha: f64,
    /// Days since the first unit entered.
    pub days: f64,
    /// Names of the variants; the first is the control.
    pub variants: Vec<String>,
    /// Units by variant.
    pub units: Vec<u64>,
    /// One for each treatment.
    pub verdicts: Vec<Verdict>,
    /// One for each metric and treatment.
    pub rows: Vec<Row>,
    /// One for each segment's value, metric and treatment.
    pub segments: Vec<Row>,
    /// All phases together, then each.
    pub srm: Vec<Srm>,
    /// What the reader must know.
    pub warnings: Vec<ReportWarning>,
}
