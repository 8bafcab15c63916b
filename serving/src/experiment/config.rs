//! What a person writes: layers, experiments, variants.

use std::collections::BTreeSet;

use plaudit_event::{ExperimentId, LayerId, PolicyId, VariantId};
use plaudit_ingest::Problem;
use serde::{Deserialize, Serialize};

/// Most layers of a configuration.
pub(crate) const MAX_LAYERS: usize = 64;
/// Most experiments of a layer.
pub(crate) const MAX_EXPERIMENTS: usize = 256;
/// Most variants of an experiment.
pub(crate) const MAX_VARIANTS: usize = 32;
/// Slack of a sum of fractions.
const ROUNDING: f64 = 1e-9;

/// Experiments that exclude each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerConfig {
    /// Names the layer.
    pub id: LayerId,
    /// Spreads the units; the id of the layer when absent. Changing it moves every unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// In the order in which they reserve the layer's positions; new ones are added at the end.
    #[serde(default)]
    pub experiments: Vec<ExperimentConfig>,
}

/// One experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentConfig {
    /// Names the experiment; for a rolling one, the stem of the names of its runs.
    pub id: ExperimentId,
    /// Fraction of the layer reserved for it.
    #[serde(default = "whole")]
    pub capacity: f64,
    /// Fraction of the layer enrolled now, at most `capacity`; may only grow.
    #[serde(default = "whole")]
    pub share: f64,
    /// The variant that the others are compared with; the first when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<VariantId>,
    /// At least two.
    pub variants: Vec<VariantConfig>,
}

/// One side of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariantConfig {
    /// Names the variant.
    pub id: VariantId,
    /// Relative weight, above 0.
    #[serde(default = "whole")]
    pub weight: f64,
    /// The policy that serves it.
    pub policy: PolicyRef,
}

/// A policy by its role or by its id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum PolicyRef {
    /// The policy that serves everybody outside experiments.
    Champion,
    /// The candidate under test; an experiment that names it is *rolling*: it runs once per candidate.
    Treatment,
    /// The champion before the present one.
    Previous,
    /// One fixed policy, by id.
    Fixed(String),
}

impl From<String> for PolicyRef {
    fn from(name: String) -> Self {
        match name.as_str() {
            "champion" => Self::Champion,
            "treatment" => Self::Treatment,
            "previous" => Self::Previous,
            _ => Self::Fixed(name),
        }
    }
}

impl From<PolicyRef> for String {
    fn from(reference: PolicyRef) -> Self {
        match reference {
            PolicyRef::Champion => "champion".to_owned(),
            PolicyRef::Treatment => "treatment".to_owned(),
            PolicyRef::Previous => "previous".to_owned(),
            PolicyRef::Fixed(id) => id,
        }
    }
}

const fn whole() -> f64 {
    1.0
}

impl LayerConfig {
    /// The salt in force.
    #[must_use]
    pub fn salt(&self) -> &str {
        self.salt.as_deref().unwrap_or(self.id.as_str())
    }
}

impl ExperimentConfig {
    /// Whether it tests candidates one after the other.
    #[must_use]
    pub fn is_rolling(&self) -> bool {
        let mut variants = self.variants.iter();
        variants.any(|variant| variant.policy == PolicyRef::Treatment)
    }

    /// The variant that the others are compared with.
    #[must_use]
    pub fn control(&self) -> Option<&VariantId> {
        let first = self.variants.first().map(|variant| &variant.id);
        self.control.as_ref().or(first)
    }
}

/// Every fault of `layers`, with key paths below `prefix`.
#[must_use]
pub fn validate(prefix: &str, layers: &[LayerConfig]) -> Vec<Problem> {
    let mut checker = Checker::default();
    checker.count(prefix, layers.len(), MAX_LAYERS);
    for (index, layer) in layers.iter().enumerate() {
        checker.layer(&format!("{prefix}[{index}]"), layer);
    }
    if checker.num_rolling > 1 {
        let message = "at most one experiment may use the policy `treatment`".to_owned();
        checker.add(prefix, message);
    }
    checker.problems
}

#[derive(Default)]
struct Checker {
    problems: Vec<Problem>,
    layers: BTreeSet<LayerId>,
    experiments: BTreeSet<ExperimentId>,
    num_rolling: usize,
}

impl Checker {
    fn add(&mut self, path: &str, message: String) {
        let path = path.to_owned();
        self.problems.push(Problem { path, message });
    }

    fn count(&mut self, path: &str, got: usize, max: usize) {
        if got > max {
            self.add(path, format!("must have at most {max} entries, got {got}"));
        }
    }

    fn fraction(&mut self, path: &str, value: f64) {
        if !(value.is_finite() && (0.0..=1.0).contains(&value)) {
            self.add(path, format!("must be between 0 and 1, got {value}"));
        }
    }

    fn layer(&mut self, path: &str, layer: &LayerConfig) {
        if !self.layers.insert(layer.id.clone()) {
            self.add(&format!("{path}.id"), format!("duplicate layer `{}`", layer.id));
        }
        self.count(&format!("{path}.experiments"), layer.experiments.len(), MAX_EXPERIMENTS);
        let mut reserved = 0.0;
        for (index, experiment) in layer.experiments.iter().enumerate() {
            self.experiment(&format!("{path}.experiments[{index}]"), experiment);
            reserved += experiment.capacity;
        }
        if reserved > 1.0 + ROUNDING {
            let message = format!("capacities must add up to at most 1, got {reserved}");
            self.add(&format!("{path}.experiments"), message);
        }
    }

    fn experiment(&mut self, path: &str, experiment: &ExperimentConfig) {
        if !self.experiments.insert(experiment.id.clone()) {
            self.add(&format!("{path}.id"), format!("duplicate experiment `{}`", experiment.id));
        }
        self.num_rolling += usize::from(experiment.is_rolling());
        self.fraction(&format!("{path}.capacity"), experiment.capacity);
        self.fraction(&format!("{path}.share"), experiment.share);
        if experiment.share > experiment.capacity + ROUNDING {
            let message = format!("must be at most `capacity` {}, got {}", experiment.capacity, experiment.share);
            self.add(&format!("{path}.share"), message);
        }
        let num_variants = experiment.variants.len();
        if !(2..=MAX_VARIANTS).contains(&num_variants) {
            let message = format!("must have 2 to {MAX_VARIANTS} entries, got {num_variants}");
            self.add(&format!("{path}.variants"), message);
        }
        let mut ids = BTreeSet::new();
        for (index, variant) in experiment.variants.iter().enumerate() {
            self.variant(&format!("{path}.variants[{index}]"), variant);
            if !ids.insert(&variant.id) {
                let message = format!("duplicate variant `{}`", variant.id);
                self.add(&format!("{path}.variants[{index}].id"), message);
            }
        }
        if let Some(control) = experiment.control.as_ref().filter(|control| !ids.contains(control)) {
            self.add(&format!("{path}.control"), format!("no variant is called `{control}`"));
        }
    }

    fn variant(&mut self, path: &str, variant: &VariantConfig) {
        let weight = variant.weight;
        if !(weight.is_finite() && weight > 0.0 && weight <= 1e6) {
            let message = format!("must be above 0 and at most 1000000, got {weight}");
            self.add(&format!("{path}.weight"), message);
        }
        if let PolicyRef::Fixed(id) = &variant.policy
            && let Err(error) = PolicyId::new(id.clone())
        {
            self.add(&format!("{path}.policy"), error.to_string());
        }
    }
}

/// Every edit from `old` to `new` that would move a unit out of the variant it has: a changed salt,
/// order, capacity, variant set or weight, or a smaller share, of an experiment that enrols somebody.
#[must_use]
pub fn check_change(prefix: &str, old: &[LayerConfig], new: &[LayerConfig]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, after) in new.iter().enumerate() {
        let Some(before) = old.iter().find(|layer| layer.id == after.id) else {
            continue;
        };
        let path = format!("{prefix}[{index}]");
        let is_enrolling = before.experiments.iter().any(|experiment| experiment.share > 0.0);
        if is_enrolling && before.salt() != after.salt() {
            problems.push(moved(&format!("{path}.salt"), "the salt"));
        }
        for (position, experiment) in before.experiments.iter().enumerate() {
            if experiment.share > 0.0 {
                let path = format!("{path}.experiments[{position}]");
                problems.extend(moves(&path, experiment, after.experiments.get(position)));
            }
        }
        problems.extend(reserved_before(&path, before, after));
    }
    problems
}

fn moved(path: &str, what: &str) -> Problem {
    let message = format!("changing {what} would move units that are already assigned");
    Problem { path: path.to_owned(), message }
}

fn moves(path: &str, old: &ExperimentConfig, new: Option<&ExperimentConfig>) -> Vec<Problem> {
    let Some(new) = new.filter(|new| new.id == old.id) else {
        return vec![moved(path, "the order of experiments, or removing one,")];
    };
    let mut problems = Vec::new();
    if new.share < old.share {
        let message = format!("must not shrink below {}, got {}", old.share, new.share);
        problems.push(Problem { path: format!("{path}.share"), message });
    }
    let weights = |experiment: &ExperimentConfig| -> Vec<(VariantId, u64)> {
        let pairs = experiment.variants.iter();
        pairs.map(|variant| (variant.id.clone(), variant.weight.to_bits())).collect()
    };
    if weights(old) != weights(new) {
        problems.push(moved(&format!("{path}.variants"), "variants or weights"));
    }
    problems
}

/// A capacity may only change where no enrolled experiment lies behind it.
fn reserved_before(path: &str, old: &LayerConfig, new: &LayerConfig) -> Vec<Problem> {
    let last_enrolled = old.experiments.iter().rposition(|experiment| experiment.share > 0.0);
    let mut problems = Vec::new();
    for position in 0..last_enrolled.unwrap_or(0) {
        let before = old.experiments.get(position).map(|experiment| experiment.capacity);
        let after = new.experiments.get(position).map(|experiment| experiment.capacity);
        if after.is_some() && before != after {
            let path = format!("{path}.experiments[{position}].capacity");
            problems.push(moved(&path, "a capacity"));
        }
    }
    problems
}
