//! Every fault of a definition at once.

mod allocation;
mod layers;
mod ramp;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::range::is_whole;
use super::super::{BUCKETS, Condition, Group, Groups};
use super::{Definition, ExperimentConfig, MAX_EXPERIMENTS, MAX_FORCED, MAX_LAYERS, MAX_VARIANTS};
use crate::interleave::{InterleavingConfig, MAX_INTERLEAVINGS};

/// Slack of a sum of fractions.
pub(super) const ROUNDING: f64 = 1e-9;

/// A key with a value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct Problem {
    /// The key, such as `experiments[2].variants[0].weight`.
    pub path: String,
    /// The allowed range and the value found.
    pub message: String,
}

impl<P> Definition<P> {
    /// Every fault, with key paths below `prefix`; empty when the definition can be compiled.
    #[must_use]
    pub fn validate(&self, prefix: &str) -> Vec<Problem> {
        let mut checker = Checker {
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}.") },
            ..Checker::default()
        };
        checker.count("layers", self.layers.len(), MAX_LAYERS);
        checker.count("experiments", self.experiments.len(), MAX_EXPERIMENTS);
        checker.units(self);
        checker.holdout(self);
        checker.groups(self);
        for (index, layer) in self.layers.iter().enumerate() {
            checker.layer(&format!("layers[{index}]"), layer, self);
        }
        for (index, experiment) in self.experiments.iter().enumerate() {
            checker.experiment(&format!("experiments[{index}]"), experiment, self);
        }
        checker.interleavings(&self.interleavings);
        checker.overlaps(self);
        checker.salts(self);
        checker.problems
    }
}

#[derive(Default)]
struct Checker {
    prefix: String,
    problems: Vec<Problem>,
    layers: BTreeSet<String>,
    experiments: BTreeSet<String>,
    groups: BTreeSet<String>,
    /// Where a unit is forced, by layer and unit.
    forced: BTreeMap<(String, String), String>,
}

impl Checker {
    fn add(&mut self, path: &str, message: impl Into<String>) {
        let path = format!("{}{path}", self.prefix);
        self.problems.push(Problem { path, message: message.into() });
    }

    fn count(&mut self, path: &str, got: usize, max: usize) {
        if got > max {
            self.add(path, format!("must have at most {max} entries, got {got}"));
        }
    }

    /// Whether `value` lies in 0..=1.
    fn fraction(&mut self, path: &str, value: f64) -> bool {
        let is_fraction = (0.0..=1.0).contains(&value);
        if !is_fraction {
            self.add(path, format!("must be between 0 and 1, got {value}"));
        }
        is_fraction
    }

    fn not_empty(&mut self, path: &str, text: &str) {
        if text.is_empty() {
            self.add(path, "must not be empty, got \"\"");
        }
    }

    fn interleavings(&mut self, interleavings: &[InterleavingConfig]) {
        self.count("interleavings", interleavings.len(), MAX_INTERLEAVINGS);
        for (index, interleaving) in interleavings.iter().enumerate() {
            let path = format!("interleavings[{index}]");
            if !self.experiments.insert(interleaving.id.to_string()) {
                self.add(&format!("{path}.id"), format!("duplicate experiment `{}`", interleaving.id));
            }
            for problem in interleaving.validate(&path) {
                self.add(&problem.path, problem.message);
            }
        }
    }

    fn units<P>(&mut self, definition: &Definition<P>) {
        let mut seen = BTreeSet::new();
        for (index, unit) in definition.units.iter().enumerate() {
            let path = format!("units[{index}]");
            self.not_empty(&path, unit);
            if !seen.insert(unit) {
                self.add(&path, format!("duplicate unit kind `{unit}`"));
            }
        }
    }

    fn unit<P>(&mut self, path: &str, unit: &str, definition: &Definition<P>) {
        if !definition.units.iter().any(|known| known == unit) {
            let known = definition.units.join("`, `");
            self.add(path, format!("must be one of `{known}`, got `{unit}`"));
        }
    }

    fn holdout<P>(&mut self, definition: &Definition<P>) {
        let Some(holdout) = &definition.holdout else { return };
        self.held_out("holdout.fraction", holdout.fraction);
        self.not_empty("holdout.salt", &holdout.salt);
        self.unit("holdout.unit", &holdout.unit, definition);
    }

    fn held_out(&mut self, path: &str, fraction: f64) {
        if !(0.0..1.0).contains(&fraction) {
            self.add(path, format!("must be from 0 up to but without 1, got {fraction}"));
        }
    }

    fn groups<P>(&mut self, definition: &Definition<P>) {
        for (id, value) in &definition.groups {
            self.groups.insert(id.clone());
            let path = format!("groups.{id}");
            if !Group::read(value).is_understood() {
                self.add(
                    &path,
                    format!("must be a list, or an object with `type` list, condition or remote, got {value}"),
                );
            }
            if let Some(condition) = value.get("condition") {
                self.condition(&format!("{path}.condition"), condition, None);
            }
        }
        let groups =
            serde_json::to_value(&definition.groups).map_or_else(|_| Groups::default(), |value| Groups::read(&value));
        let ids: Vec<String> = groups.ids().filter(|id| groups.is_circular(id)).map(str::to_owned).collect();
        for id in ids {
            self.add(&format!("groups.{id}"), "must not refer to itself, not even by way of others");
        }
    }

    /// Checks a condition; with `definition` also whether its groups exist.
    fn condition(&mut self, path: &str, value: &Value, known: Option<&BTreeSet<String>>) {
        let condition = match Condition::parse(value) {
            Ok(condition) => condition,
            Err(errors) => {
                for error in errors {
                    self.add(&format!("{path}.{}", error.path), error.message);
                }
                return;
            }
        };
        if let Some(why) = condition.contradiction() {
            self.add(path, format!("nobody can meet it: {why}"));
        }
        for id in condition.group_ids() {
            if known.is_some_and(|known| !known.contains(&id)) {
                self.add(path, format!("refers to the group `{id}`, which `groups` does not have"));
            }
        }
    }

    fn experiment<P>(&mut self, path: &str, experiment: &ExperimentConfig<P>, definition: &Definition<P>) {
        if !self.experiments.insert(experiment.id.to_string()) {
            self.add(&format!("{path}.id"), format!("duplicate experiment `{}`", experiment.id));
        }
        if definition.layer(&experiment.layer).is_none() {
            let known: Vec<&str> = definition.layers.iter().map(|layer| layer.id.as_str()).collect();
            let message = format!("must be one of `{}`, got `{}`", known.join("`, `"), experiment.layer);
            self.add(&format!("{path}.layer"), message);
        }
        if let Some(targeting) = &experiment.targeting {
            let groups = self.groups.clone();
            self.condition(&format!("{path}.targeting"), targeting, Some(&groups));
        }
        let has_range = self.range(&format!("{path}.range"), experiment.range);
        let has_weights = self.variants(path, experiment);
        self.ramp(path, experiment, has_range && has_weights);
        self.allocation(path, experiment, has_weights);
    }

    fn range(&mut self, path: &str, (start, end): (f64, f64)) -> bool {
        let is_range = (0.0..=1.0).contains(&start)
            && (0.0..=1.0).contains(&end)
            && end - start >= 1.0 / f64::from(BUCKETS) - ROUNDING;
        if !is_range {
            let message = format!(
                "must be [start, end) within 0 to 1, at least {} long, got [{start}, {end}]",
                1.0 / f64::from(BUCKETS)
            );
            self.add(path, message);
        }
        is_range
    }

    fn variants<P>(&mut self, path: &str, experiment: &ExperimentConfig<P>) -> bool {
        let variants = &experiment.variants;
        let count = variants.len();
        let before = self.problems.len();
        if !(2..=MAX_VARIANTS).contains(&count) {
            self.add(&format!("{path}.variants"), format!("must have 2 to {MAX_VARIANTS} entries, got {count}"));
        }
        let mut ids = BTreeSet::new();
        for (index, variant) in variants.iter().enumerate() {
            let path = format!("{path}.variants[{index}]");
            if !ids.insert(&variant.id) {
                self.add(&format!("{path}.id"), format!("duplicate variant `{}`", variant.id));
            }
            if !(variant.weight > 0.0 && variant.weight <= 1.0) {
                self.add(&format!("{path}.weight"), format!("must be above 0 and at most 1, got {}", variant.weight));
            }
            self.forced(&format!("{path}.forced"), &variant.forced, experiment);
        }
        let weights: Vec<f64> = variants.iter().map(|variant| variant.weight).collect();
        if !is_whole(&weights) {
            let sum: f64 = weights.iter().sum();
            self.add(&format!("{path}.variants"), format!("weights must add up to 1 (0.99 to 1.01), got {sum}"));
        }
        if let Some(control) = experiment.control.as_ref().filter(|control| !ids.contains(control)) {
            self.add(&format!("{path}.control"), format!("no variant is called `{control}`"));
        }
        self.problems.len() == before
    }

    fn forced<P>(&mut self, path: &str, units: &[String], experiment: &ExperimentConfig<P>) {
        self.count(path, units.len(), MAX_FORCED);
        for unit in units {
            self.not_empty(path, unit);
            let key = (experiment.layer.to_string(), unit.clone());
            if let Some(earlier) = self.forced.insert(key, path.to_owned()) {
                self.add(path, format!("`{unit}` is forced in `{earlier}` already, in the same layer"));
            }
        }
    }
}
