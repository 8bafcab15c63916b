//! What must stay as it is while an experiment runs.

use plaudit_event::ExperimentId;
use plaudit_ingest::Problem;

use super::{ExperimentConfig, LayerConfig};

/// Slack of a sum of fractions.
const ROUNDING: f64 = 1e-9;

/// Every edit that would change the experiment `id` of the layer `old` under the units that it has enrolled:
/// another layer, salt or place in it, a smaller share, other variants, weights, policies or control. A larger
/// share is none. Key paths are below `prefix`, where `new` stands.
#[must_use]
pub fn check_change(prefix: &str, old: &LayerConfig, id: &ExperimentId, new: &[LayerConfig]) -> Vec<Problem> {
    let Some((before, old_start)) = place(old, id) else { return Vec::new() };
    let Some(index) = new.iter().position(|layer| layer.id == old.id) else {
        return vec![problem(prefix, format!("must have the layer `{}`", old.id))];
    };
    let (path, layer) = (format!("{prefix}[{index}]"), &new[index]);
    let Some((after, new_start)) = place(layer, id) else {
        return vec![problem(&format!("{path}.experiments"), format!("must have the experiment `{id}`"))];
    };
    let mut problems = Vec::new();
    if old.salt() != layer.salt() {
        let message = format!("must stay `{}`, got `{}`", old.salt(), layer.salt());
        problems.push(problem(&format!("{path}.salt"), message));
    }
    if (old_start - new_start).abs() > ROUNDING {
        let message = format!("must reserve {old_start} of the layer before `{id}`, got {new_start}");
        problems.push(problem(&format!("{path}.experiments"), message));
    }
    let position = layer.experiments.iter().position(|experiment| experiment.id == *id).unwrap_or(0);
    problems.extend(inside(&format!("{path}.experiments[{position}]"), before, after));
    problems
}

/// The experiment with the fraction of the layer before it.
fn place<'a>(layer: &'a LayerConfig, id: &ExperimentId) -> Option<(&'a ExperimentConfig, f64)> {
    let position = layer.experiments.iter().position(|experiment| experiment.id == *id)?;
    let before = layer.experiments[..position].iter();
    Some((&layer.experiments[position], before.map(|experiment| experiment.capacity).sum()))
}

fn inside(path: &str, old: &ExperimentConfig, new: &ExperimentConfig) -> Vec<Problem> {
    let mut problems = Vec::new();
    if new.share < old.share {
        let message = format!("must not shrink below {}, got {}", old.share, new.share);
        problems.push(problem(&format!("{path}.share"), message));
    }
    if old.control() != new.control() {
        let [old, new] = [old, new].map(|experiment| experiment.control().map_or("none", |id| id.as_str()));
        problems.push(problem(&format!("{path}.control"), format!("must stay `{old}`, got `{new}`")));
    }
    if old.variants != new.variants {
        let [old, new] = [old, new].map(describe);
        problems.push(problem(&format!("{path}.variants"), format!("must stay {old}, got {new}")));
    }
    problems
}

/// The variants with weight and policy.
fn describe(experiment: &ExperimentConfig) -> String {
    let variants = experiment.variants.iter();
    let texts = variants.map(|v| format!("`{}` ({}, {})", v.id, v.weight, String::from(v.policy.clone())));
    texts.collect::<Vec<_>>().join(", ")
}

fn problem(path: &str, message: String) -> Problem {
    Problem { path: path.to_owned(), message }
}

#[cfg(test)]
mod tests;
