//! What a person writes: holdouts, layers, experiments.

mod allocation;
mod canonical;
mod change;
mod diff;
mod time;
mod validate;

use std::collections::BTreeMap;

use plaudit_event::{ExperimentId, LayerId, Timestamp, VariantId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use allocation::{AllocationConfig, Cohort};
pub use change::{Refusal, check_change};
pub use diff::{Edit, diff};
pub use validate::Problem;

use super::range::Range;
use crate::interleave::InterleavingConfig;

/// Most layers of a definition.
pub const MAX_LAYERS: usize = 64;
/// Most experiments of a definition.
pub const MAX_EXPERIMENTS: usize = 1_024;
/// Most variants of an experiment.
pub const MAX_VARIANTS: usize = 32;
/// Most steps of a ramp.
pub const MAX_STEPS: usize = 64;
/// Most units with a forced variant, in one variant.
pub const MAX_FORCED: usize = 1_000;

/// All experiments. `P` is what a variant stands for; nothing here looks at it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition<P> {
    /// Whether nothing is assigned anywhere, not even by force.
    #[serde(default)]
    pub killed: bool,
    /// The kinds of units that requests name.
    #[serde(default = "default_units")]
    pub units: Vec<String>,
    /// Units outside every experiment, for the lift of all of them together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holdout: Option<HoldoutConfig>,
    /// Saved groups that targeting refers to: a list of values, or an object with a `type`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, Value>,
    /// In any order.
    #[serde(default = "Vec::new")]
    pub layers: Vec<LayerConfig>,
    /// In any order.
    #[serde(default = "Vec::new")]
    pub experiments: Vec<ExperimentConfig<P>>,
    /// Comparisons of rankings within one list, beside the layers.
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub interleavings: Vec<InterleavingConfig>,
}

/// Units outside every experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldoutConfig {
    /// Fraction of the units, from 0 up to but without 1.
    pub fraction: f64,
    /// Spreads the units.
    #[serde(default = "default_holdout_salt")]
    pub salt: String,
    /// The kind of unit that is held out.
    pub unit: String,
}

/// Experiments that exclude each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerConfig {
    /// Names the layer.
    pub id: LayerId,
    /// The kind of unit that is randomised.
    pub unit: String,
    /// Spreads the units; `__` and the id when absent. Changing it moves every unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// Fraction of the layer, at its end, that no experiment may enrol; from 0 up to but without 1.
    #[serde(default)]
    pub holdout: f64,
    /// Whether nothing is assigned in the layer, not even by force.
    #[serde(default)]
    pub killed: bool,
}

/// One experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentConfig<P> {
    /// Names the experiment; for a rolling one, the stem of the names of its runs.
    pub id: ExperimentId,
    /// The layer.
    pub layer: LayerId,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The part of the layer reserved for it, as \[start, end) within 0 to 1.
    #[serde(default = "whole")]
    pub range: Range,
    /// Picks the variant; the id when absent. Changing it moves every unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
    /// Who is meant, in the language of [`Condition`](super::Condition).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targeting: Option<Value>,
    /// Whether it enrols; forced variants work all the same.
    #[serde(default = "yes")]
    pub active: bool,
    /// Whether it assigns nothing, not even by force. For good.
    #[serde(default)]
    pub killed: bool,
    /// Whether it enrols only while a run of it is under way, see [`Run`](super::Run).
    #[serde(default)]
    pub rolling: bool,
    /// The fraction of the layer enrolled, from when; all of `range` at any time when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ramp: Vec<StepConfig>,
    /// How weights follow what was seen; those of the variants stay when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation: Option<AllocationConfig>,
    /// The variant that the others are compared with; the first when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<VariantId>,
    /// At least two.
    pub variants: Vec<VariantConfig<P>>,
}

/// A step of a ramp.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepConfig {
    /// When it begins: RFC 3339, or milliseconds since the Unix epoch.
    #[serde(deserialize_with = "time::read")]
    pub from: Timestamp,
    /// Fraction of the layer enrolled from then on; never below that of the step before.
    pub share: f64,
}

/// One side of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariantConfig<P> {
    /// Names the variant.
    pub id: VariantId,
    /// Its part of the enrolled, above 0; those of an experiment add up to 1.
    pub weight: f64,
    /// What it stands for.
    pub policy: P,
    /// Units that get it whatever the hash says: for quality assurance. Such exposures are no evidence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forced: Vec<String>,
}

fn default_units() -> Vec<String> {
    ["user", "session", "conversation"].map(str::to_owned).to_vec()
}

fn default_holdout_salt() -> String {
    "__holdout".to_owned()
}

const fn whole() -> Range {
    (0.0, 1.0)
}

const fn yes() -> bool {
    true
}

impl<P> Default for Definition<P> {
    fn default() -> Self {
        Self {
            killed: false,
            units: default_units(),
            holdout: None,
            groups: BTreeMap::new(),
            layers: Vec::new(),
            experiments: Vec::new(),
            interleavings: Vec::new(),
        }
    }
}

impl<P> Definition<P> {
    /// The layer `id`.
    #[must_use]
    pub fn layer(&self, id: &LayerId) -> Option<&LayerConfig> {
        self.layers.iter().find(|layer| layer.id == *id)
    }

    /// The experiment `id`.
    #[must_use]
    pub fn experiment(&self, id: &ExperimentId) -> Option<&ExperimentConfig<P>> {
        self.experiments.iter().find(|experiment| experiment.id == *id)
    }

    /// The interleaving experiment called `id`.
    #[must_use]
    pub fn interleaving(&self, id: &str) -> Option<&InterleavingConfig> {
        self.interleavings.iter().find(|interleaving| interleaving.id.as_str() == id)
    }
}

impl LayerConfig {
    /// The salt in force.
    #[must_use]
    pub fn salt(&self) -> String {
        self.salt.clone().unwrap_or_else(|| format!("__{}", self.id))
    }
}

impl<P> ExperimentConfig<P> {
    /// The seed in force outside runs.
    #[must_use]
    pub fn seed(&self) -> &str {
        self.seed.as_deref().unwrap_or(self.id.as_str())
    }

    /// The fraction of the layer reserved for it.
    #[must_use]
    pub fn capacity(&self) -> f64 {
        self.range.1 - self.range.0
    }

    /// The steps in force: one of everything, since ever, when no ramp is given.
    #[must_use]
    pub fn steps(&self) -> Vec<StepConfig> {
        if self.ramp.is_empty() {
            return vec![StepConfig { from: Timestamp::from_millis(i64::MIN), share: self.capacity() }];
        }
        self.ramp.clone()
    }

    /// The fraction of the layer enrolled at `now`; 0 before the first step.
    #[must_use]
    pub fn share(&self, now: Timestamp) -> f64 {
        let steps = self.steps();
        steps.iter().rev().find(|step| step.from <= now).map_or(0.0, |step| step.share)
    }

    /// The variant that the others are compared with.
    #[must_use]
    pub fn control(&self) -> Option<&VariantId> {
        self.control.as_ref().or(self.variants.first().map(|variant| &variant.id))
    }
}

#[cfg(test)]
mod tests;
