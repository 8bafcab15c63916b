//! Settings of selection.

use plaudit_experiment::adaptive::{ContextualSettings, HalfLife};
use plaudit_experiment::off_policy::Limits;
use plaudit_ingest::Problem;
use serde::{Deserialize, Serialize};

use crate::config::check;

const MILLIS_PER_HOUR: f64 = 3_600_000.0;

/// Settings of selection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who chooses.
    pub kind: Kind,
    /// The objective whose label is the success.
    pub objective: String,
    /// Pseudo-count of successes before any example.
    pub prior_positive: f64,
    /// Pseudo-count of failures before any example.
    pub prior_negative: f64,
    /// Probability that every candidate keeps, however bad it looks; lowered when the candidates are so
    /// many that their floors would take more than half of all decisions.
    pub explore_floor: f64,
    /// After so many examples of its decision an example counts half; 0 for never. With both half-lives the shares
    /// multiply.
    pub half_life_examples: f64,
    /// After so many hours an example counts half; 0 for never.
    pub half_life_hours: f64,
    /// Most candidates of one decision.
    pub max_candidates: usize,
    /// Most decisions remembered; the one folded longest ago goes first.
    pub max_decisions: usize,
    /// Most items remembered per decision; the one folded longest ago goes first.
    pub max_items: usize,
    /// Most exposures whose label can still be corrected.
    pub max_corrections: usize,
    /// The contextual policy.
    pub contextual: ContextualConfig,
    /// What the contextual policy must show before it serves a decision.
    pub gate: GateConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            kind: Kind::Beta,
            objective: "click".to_owned(),
            prior_positive: 1.0,
            prior_negative: 1.0,
            explore_floor: 0.01,
            half_life_examples: 20_000.0,
            half_life_hours: 0.0,
            max_candidates: 100,
            max_decisions: 1_000,
            max_items: 1_000,
            max_corrections: 200_000,
            contextual: ContextualConfig::default(),
            gate: GateConfig::default(),
        }
    }
}

impl Config {
    /// Every value outside its range; `path` is the key of this section.
    pub(crate) fn validate(&self, path: &str, problems: &mut Vec<Problem>) {
        let mut at = check(path, problems);
        at.not_empty("objective", &self.objective);
        at.float("prior_positive", self.prior_positive, 0.1, 1e6);
        at.float("prior_negative", self.prior_negative, 0.1, 1e6);
        at.float("explore_floor", self.explore_floor, 0.0, 0.5);
        at.float("half_life_examples", self.half_life_examples, 0.0, 1e12);
        at.float("half_life_hours", self.half_life_hours, 0.0, 1e6);
        at.int("max_candidates", self.max_candidates, 1, 1_000);
        at.int("max_decisions", self.max_decisions, 1, 1_000_000);
        at.int("max_items", self.max_items, 1, 1_000_000);
        at.int("max_corrections", self.max_corrections, 1, 100_000_000);
        self.contextual.validate(&format!("{path}.contextual"), problems);
        self.gate.validate(&format!("{path}.gate"), problems);
    }

    /// How fast examples fade.
    pub(super) fn half_life(&self) -> HalfLife {
        HalfLife { observations: self.half_life_examples, millis: self.half_life_hours * MILLIS_PER_HOUR }
    }

    /// What the contextual policy of one decision is made with.
    pub(super) fn bandit(&self) -> ContextualSettings {
        let ContextualConfig { dimensions, ridge, greed, .. } = self.contextual;
        ContextualSettings { dimensions, ridge, greed, half_life: self.half_life() }
    }

    /// The settings that Thompson sampling goes by, and its id with them.
    pub(super) fn without_context(&self) -> Self {
        let (contextual, gate) = (ContextualConfig::default(), GateConfig::default());
        Self { kind: Kind::Beta, contextual, gate, ..self.clone() }
    }

    /// The settings that the contextual policy goes by, and its id with them.
    pub(super) fn of_contextual(&self) -> Self {
        let Self { prior_positive, prior_negative, .. } = Self::default();
        let gate = GateConfig::default();
        Self { kind: Kind::Contextual, prior_positive, prior_negative, gate, ..self.clone() }
    }
}

/// Who chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Thompson sampling over Beta posteriors, whoever asks.
    #[default]
    Beta,
    /// The same until a contextual policy is shown to be better, decision by decision.
    Contextual,
}

/// Settings of the contextual policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContextualConfig {
    /// Most weights of a decision; further features share. Memory and time grow with its square and cube.
    pub dimensions: usize,
    /// How many examples speak against a weight before there was one.
    pub ridge: f64,
    /// How soon it stops exploring.
    pub greed: f64,
    /// Most decisions remembered; the one folded longest ago goes first.
    pub max_decisions: usize,
}

impl Default for ContextualConfig {
    fn default() -> Self {
        Self { dimensions: 128, ridge: 1.0, greed: 30.0, max_decisions: 100 }
    }
}

impl ContextualConfig {
    fn validate(&self, path: &str, problems: &mut Vec<Problem>) {
        let mut at = check(path, problems);
        at.int("dimensions", self.dimensions, 2, 1_024);
        at.float("ridge", self.ridge, 1e-3, 1e6);
        at.float("greed", self.greed, 1e-3, 1e6);
        at.int("max_decisions", self.max_decisions, 1, 10_000);
    }
}

/// Settings of the gate between Thompson sampling and the contextual policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GateConfig {
    /// Off: the contextual policy serves from the start, and stays.
    pub enabled: bool,
    /// Chance that a decision is ever handed to who is not better.
    pub alpha: f64,
    /// Improvement that must be exceeded, in units of reward.
    pub margin: f64,
    /// Effective rows and effective units that there must be.
    pub min_effective: f64,
    /// Largest share of all weight that one row may have.
    pub max_weight_share: f64,
}

impl Default for GateConfig {
    fn default() -> Self {
        let Limits { min_effective, max_weight_share, .. } = Limits::default();
        Self { enabled: true, alpha: 0.05, margin: 0.0, min_effective, max_weight_share }
    }
}

impl GateConfig {
    fn validate(&self, path: &str, problems: &mut Vec<Problem>) {
        let mut at = check(path, problems);
        at.float("alpha", self.alpha, 1e-6, 0.5);
        at.float("margin", self.margin, -0.5, 0.5);
        at.float("min_effective", self.min_effective, 1.0, 1e9);
        at.float("max_weight_share", self.max_weight_share, 1e-6, 1.0);
    }

    /// When to refuse.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let Self { min_effective, max_weight_share, .. } = *self;
        Limits { min_effective, max_weight_share, ..Limits::default() }
    }
}
