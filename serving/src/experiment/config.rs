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

    /// The experiment that tests candidates one after the other, if any.
    #[must_use]
    pub fn rolling(&self) -> Option<&ExperimentConfig> {
        self.experiments.iter().find(|experiment| experiment.is_rolling())
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
    checker.one_layer_decides(prefix, layers);
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

    /// A request has one answer, so one layer can choose whose.
    fn one_layer_decides(&mut self, prefix: &str, layers: &[LayerConfig]) {
        let mut deciding = layers.iter().enumerate().filter(|(_, layer)| !layer.experiments.is_empty());
        let Some((_, first)) = deciding.next() else { return };
        for (index, layer) in deciding {
            let message = format!(
                "must be empty, got {}: one layer may have experiments, because their variants name policies, and \
                 that is `{}`",
                layer.experiments.len(),
                first.id
            );
            self.add(&format!("{prefix}[{index}].experiments"), message);
        }
    }

    fn experiment(&mut self, path: &str, experiment: &ExperimentConfig) {
        if !self.experiments.insert(experiment.id.clone()) {
            self.add(&format!("{path}.id"), format!("duplicate experiment `{}`", experiment.id));
        }
        if experiment.is_rolling() {
            self.rolling(path, experiment);
        }
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

    /// A candidate is compared with the champion, whose place it takes when it is better.
    fn rolling(&mut self, path: &str, experiment: &ExperimentConfig) {
        self.num_rolling += 1;
        let treatments = experiment.variants.iter().filter(|variant| variant.policy == PolicyRef::Treatment);
        let num_treatments = treatments.count();
        if num_treatments > 1 {
            let message = format!("exactly one may use the policy `treatment`, got {num_treatments}");
            self.add(&format!("{path}.variants"), message);
        }
        let control = experiment.variants.iter().find(|variant| Some(&variant.id) == experiment.control());
        if let Some(control) = control.filter(|control| control.policy != PolicyRef::Champion) {
            let (id, policy) = (&control.id, String::from(control.policy.clone()));
            let message = format!(
                "must be a variant with the policy `champion` beside the policy `treatment`, got `{id}` with `{policy}`"
            );
            self.add(&format!("{path}.control"), message);
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
