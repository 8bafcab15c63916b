//! Weights that follow what was seen, without moving anybody.

use plaudit_event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::adaptive::{Goal, Memory, Rule, Settings};

/// How an experiment enrols its units in cohorts, each with weights that follow from those before.
///
/// A cohort is a part of the reserved range of its own. Its units are split once, by the weights in force when it began,
/// and keep their variants; so nobody moves, and every unit has a known probability. The variants' weights are those of
/// the first cohort.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllocationConfig {
    /// The metric, a proportion, that says which variant is better.
    pub metric: String,
    /// How what was seen becomes weights.
    #[serde(default = "default_rule")]
    pub rule: Rule,
    /// Cohorts of the same size that all of the range is enrolled in, from 2 to [`MAX_STEPS`](super::MAX_STEPS).
    #[serde(default = "default_cohorts")]
    pub cohorts: u32,
    /// Seconds from one cohort to the next, at least 1.
    #[serde(default = "default_period")]
    pub period_seconds: u64,
    /// Least weight of a variant; above 0, and times the number of variants at most 1.
    #[serde(default = "default_floor")]
    pub floor: f64,
    /// Units of every variant before weights are anything but even, at least 2.
    #[serde(default = "default_min_units")]
    pub min_units: u32,
    /// For how many cohorts what was seen counts.
    #[serde(default)]
    pub memory: Memory,
    /// Probability that the variant that is declared best is not, above 0 and below ½.
    #[serde(default = "default_delta")]
    pub delta: f64,
}

/// The units that joined at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cohort {
    /// When.
    pub from: Timestamp,
    /// Fraction of the layer enrolled from then on, with the cohorts before.
    pub share: f64,
    /// Weight of each variant among the units of this cohort.
    pub weights: Vec<f64>,
}

impl AllocationConfig {
    /// The settings of the allocator for rates of which more is better, or less.
    #[must_use]
    pub fn settings(&self, goal: Goal) -> Settings {
        let (rule, floor, min_units, memory) = (self.rule, self.floor, self.min_units, self.memory);
        Settings { rule, floor, min_units, memory, goal, ..Settings::default() }
    }
}

const fn default_rule() -> Rule {
    Rule::TopTwo(0.5)
}

const fn default_cohorts() -> u32 {
    20
}

const fn default_period() -> u64 {
    24 * 3_600
}

const fn default_floor() -> f64 {
    0.05
}

const fn default_min_units() -> u32 {
    100
}

const fn default_delta() -> f64 {
    0.05
}
