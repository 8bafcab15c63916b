//! What a definition must keep to besides the rules of assignment.

use plaudit_event::{ExperimentId, LayerId, PolicyId, VariantId};
use plaudit_experiment::assign::{LayerConfig, VariantConfig};
use plaudit_experiment::metrics::{Kind, MetricConfig};
use plaudit_ingest::Problem;

use super::{Definition, ExperimentConfig, PolicyRef, UNIT};

/// Champion against candidate, half of everybody each.
///
/// # Panics
/// Never: the names are literals.
#[must_use]
pub fn default_definition() -> Definition {
    let variant = |id: &str, policy| VariantConfig {
        id: VariantId::new(id).expect("a literal that is an id"),
        weight: 0.5,
        policy,
        forced: Vec::new(),
    };
    let layer = LayerId::new("generation").expect("a literal that is an id");
    let experiment = ExperimentConfig {
        id: ExperimentId::new("candidate").expect("a literal that is an id"),
        layer: layer.clone(),
        description: String::new(),
        range: (0.0, 1.0),
        seed: None,
        targeting: None,
        active: true,
        killed: false,
        rolling: true,
        ramp: Vec::new(),
        allocation: None,
        control: None,
        variants: vec![variant("control", PolicyRef::Champion), variant("treatment", PolicyRef::Treatment)],
    };
    let layer = LayerConfig { id: layer, unit: UNIT.to_owned(), salt: None, holdout: 0.0, killed: false };
    Definition { layers: vec![layer], experiments: vec![experiment], ..Definition::default() }
}

/// The experiment that tests candidates one after the other, if any.
#[must_use]
pub fn rolling(definition: &Definition) -> Option<&ExperimentConfig> {
    definition.experiments.iter().find(|experiment| experiment.rolling)
}

/// Every fault of `definition`, with key paths below `prefix`.
#[must_use]
pub fn validate(prefix: &str, definition: &Definition) -> Vec<Problem> {
    let of_assignment = definition.validate(prefix).into_iter();
    let mut problems: Vec<Problem> =
        of_assignment.map(|problem| Problem { path: problem.path, message: problem.message }).collect();
    let mut add = |key: String, message: String| problems.push(Problem { path: join(prefix, &key), message });
    let mut rolling = Vec::new();
    for (index, experiment) in definition.experiments.iter().enumerate() {
        for (key, message) in of_experiment(experiment) {
            add(format!("experiments[{index}].{key}"), message);
        }
        if experiment.rolling {
            rolling.push(experiment.id.as_str());
        }
    }
    if rolling.len() > 1 {
        let message = format!("at most one experiment may be rolling, got `{}`", rolling.join("`, `"));
        add("experiments".to_owned(), message);
    }
    if let Some(first) = definition.experiments.first() {
        for (index, other) in definition.experiments.iter().enumerate().filter(|(_, other)| other.layer != first.layer)
        {
            let message = format!(
                "must be `{}`, the layer of the other experiments, because variants name policies and a request has one \
                 answer, got `{}`",
                first.layer, other.layer
            );
            add(format!("experiments[{index}].layer"), message);
        }
    }
    problems
}

/// The metrics that `definition` names and `known` does not have, or that say nothing of single units.
#[must_use]
pub fn metrics(prefix: &str, definition: &Definition, known: &[MetricConfig]) -> Vec<Problem> {
    let proportions = known.iter().filter(|metric| metric.kind == Kind::Proportion);
    let names: Vec<&str> = proportions.map(|metric| metric.name.as_str()).collect();
    let mut problems = Vec::new();
    for (index, experiment) in definition.experiments.iter().enumerate() {
        let Some(allocation) = &experiment.allocation else { continue };
        if !names.contains(&allocation.metric.as_str()) {
            let known = names.join("`, `");
            let message =
                format!("must be a proportion of `serving.results`, one of `{known}`, got `{}`", allocation.metric);
            problems.push(Problem { path: join(prefix, &format!("experiments[{index}].allocation.metric")), message });
        }
    }
    problems
}

/// A rolling experiment compares the candidate with the champion that it descends from.
fn of_experiment(experiment: &ExperimentConfig) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let of = |policy: &PolicyRef| experiment.variants.iter().filter(|variant| variant.policy == *policy).count();
    let num_treatments = of(&PolicyRef::Treatment);
    if experiment.rolling && num_treatments != 1 {
        let message =
            format!("must have exactly one variant with policy `treatment` when `rolling`, got {num_treatments}");
        found.push(("variants".to_owned(), message));
    }
    if experiment.rolling && num_treatments == 1 {
        found.extend(of_delivery(experiment));
    }
    if !experiment.rolling && num_treatments > 0 {
        let message = "must be true for an experiment with policy `treatment`, got false".to_owned();
        found.push(("rolling".to_owned(), message));
    }
    for (index, variant) in experiment.variants.iter().enumerate() {
        if let PolicyRef::Fixed(id) = &variant.policy
            && let Err(error) = PolicyId::new(id.clone())
        {
            found.push((format!("variants[{index}].policy"), error.to_string()));
        }
    }
    let control = experiment.control();
    let of_control = experiment.variants.iter().find(|variant| Some(&variant.id) == control);
    if let Some(variant) = of_control.filter(|variant| experiment.rolling && variant.policy != PolicyRef::Champion) {
        let policy = String::from(variant.policy.clone());
        let message =
            format!("must be a variant with policy `champion` when `rolling`, got `{}` with `{policy}`", variant.id);
        found.push(("control".to_owned(), message));
    }
    found
}

/// The steps of a candidate's delivery give both arms the same share.
fn of_delivery(experiment: &ExperimentConfig) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let weights: Vec<f64> = experiment.variants.iter().map(|variant| variant.weight).collect();
    if weights.len() != 2 || (weights[0] - weights[1]).abs() > 1e-9 {
        let got: Vec<String> = weights.iter().map(ToString::to_string).collect();
        let message = format!("must be two of equal weight when `rolling`, got weights {}", got.join(", "));
        found.push(("variants".to_owned(), message));
    }
    if !experiment.ramp.is_empty() {
        let message = "must be empty when `rolling`: `serving.delivery` has the steps".to_owned();
        found.push(("ramp".to_owned(), message));
    }
    found
}

fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}

#[cfg(test)]
mod tests;
