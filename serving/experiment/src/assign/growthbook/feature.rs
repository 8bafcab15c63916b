//! A feature, rule by rule.

use serde::Serialize;
use serde_json::{Value, json};

use super::Evaluation;
use super::definition::{Experiment, Prerequisite, Rule};
use super::run::ExperimentResult;
use crate::assign::{hash, in_range};

/// Where a feature's value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// No such feature; the value is null.
    UnknownFeature,
    /// No rule applied.
    DefaultValue,
    /// A rule's `force`.
    Force,
    /// A rule's experiment.
    Experiment,
    /// A gate was closed; the value is null.
    Prerequisite,
    /// The feature depends on itself; the value is null.
    CyclicPrerequisite,
}

/// What a feature came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FeatureResult {
    /// The value.
    pub value: Value,
    /// Whether the value is true as JavaScript has it: anything but null, false, 0 and the empty text.
    pub on: bool,
    /// The opposite.
    pub off: bool,
    /// Where the value came from.
    pub source: Source,
    /// The rule, when one with an id applied; else empty.
    pub rule_id: String,
    /// The experiment as it was run, with the weights of the bandit's leaf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment: Option<Experiment>,
    /// What it came to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment_result: Option<ExperimentResult>,
}

impl FeatureResult {
    fn new(value: Value, source: Source, rule: Option<&Rule>) -> Self {
        let on = match &value {
            Value::Null => false,
            Value::Bool(value) => *value,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty(),
            Value::Array(_) | Value::Object(_) => true,
        };
        let rule_id = rule.and_then(|rule| rule.id.clone()).unwrap_or_default();
        Self { value, on, off: !on, source, rule_id, experiment: None, experiment_result: None }
    }
}

impl Evaluation<'_> {
    pub(super) fn feature(&mut self, key: &str) -> FeatureResult {
        if self.open.iter().any(|open| open == key) {
            return FeatureResult::new(Value::Null, Source::CyclicPrerequisite, None);
        }
        let context = self.context;
        let Some(feature) = context.features.get(key) else {
            return FeatureResult::new(Value::Null, Source::UnknownFeature, None);
        };
        self.open.push(key.to_owned());
        let mut result = None;
        for rule in &feature.rules {
            if let Some(value) = self.rule(key, rule) {
                result = Some(value);
                break;
            }
        }
        self.open.pop();
        result.unwrap_or_else(|| FeatureResult::new(feature.default_value.clone(), Source::DefaultValue, None))
    }

    pub(super) fn accepts(&self, parent: &Prerequisite, value: Value) -> bool {
        parent.condition.condition().holds(&json!({ "value": value }), &self.context.groups)
    }

    /// What a rule says; none to ask the next one.
    fn rule(&mut self, key: &str, rule: &Rule) -> Option<FeatureResult> {
        for parent in rule.settings.parent_conditions.iter().flatten() {
            let result = self.feature(&parent.id);
            if result.source == Source::CyclicPrerequisite {
                return Some(FeatureResult::new(Value::Null, Source::CyclicPrerequisite, None));
            }
            if !self.accepts(parent, result.value) {
                let is_gate = parent.gate.unwrap_or(false);
                return is_gate.then(|| FeatureResult::new(Value::Null, Source::Prerequisite, None));
            }
        }
        if rule.settings.filters.as_ref().is_some_and(|filters| !self.passes(filters)) {
            return None;
        }
        match &rule.force {
            Some(value) => {
                let is_forced = self.is_forced(key, rule);
                is_forced.then(|| FeatureResult::new(value.clone(), Source::Force, Some(rule)))
            }
            None => self.experiment(key, rule),
        }
    }

    /// Whether the user is meant by a rule that forces a value.
    fn is_forced(&self, key: &str, rule: &Rule) -> bool {
        let settings = &rule.settings;
        if !self.context.meets(settings.condition.as_ref()) {
            return false;
        }
        if rule.range.is_none() && settings.coverage.is_none() {
            return true;
        }
        let hashed = self.context.hashed(settings.hash_attribute.as_deref(), self.fallback(settings));
        let seed = settings.seed.as_deref().unwrap_or(key);
        let position = hashed.text().and_then(|text| hash(seed, &text, settings.hash_version.unwrap_or(1)));
        position.is_some_and(|position| match (rule.range, settings.coverage) {
            (Some(range), _) => in_range(position, range),
            (None, Some(coverage)) => position < coverage,
            (None, None) => true,
        })
    }

    fn experiment(&mut self, key: &str, rule: &Rule) -> Option<FeatureResult> {
        let variations = rule.variations.as_ref().or(rule.contextual_variations.as_ref())?;
        let mut experiment = Experiment {
            key: rule.key.clone().unwrap_or_else(|| key.to_owned()),
            variations: variations.clone(),
            settings: rule.settings.clone(),
            ..Experiment::default()
        };
        // They have been seen to above.
        experiment.settings.parent_conditions = None;
        let choice = self.context.leaf(rule, variations.len());
        if let Some(choice) = &choice {
            experiment.settings.weights = Some(choice.variation_weights.clone());
        }
        let mut result = self.run(&experiment, Some(key));
        if !result.in_experiment || result.passthrough {
            return None;
        }
        // A variation by force says nothing about the bandit.
        let choice = choice.filter(|_| result.hash_used);
        experiment.contextual_bandit.clone_from(&choice);
        result.bandit = choice;
        let mut value = FeatureResult::new(result.value.clone(), Source::Experiment, Some(rule));
        value.experiment = Some(experiment);
        value.experiment_result = Some(result);
        Some(value)
    }
}
