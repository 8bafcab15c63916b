//! Layers, and what the experiments of one layer share.

use std::collections::BTreeMap;

use super::super::{Definition, ExperimentConfig, LayerConfig};
use super::{Checker, ROUNDING};

impl Checker {
    pub(super) fn layer<P>(&mut self, path: &str, layer: &LayerConfig, definition: &Definition<P>) {
        if !self.layers.insert(layer.id.to_string()) {
            self.add(&format!("{path}.id"), format!("duplicate layer `{}`", layer.id));
        }
        self.unit(&format!("{path}.unit"), &layer.unit, definition);
        self.not_empty(&format!("{path}.salt"), &layer.salt());
        self.held_out(&format!("{path}.holdout"), layer.holdout);
        let experiments = definition.experiments.iter().filter(|experiment| experiment.layer == layer.id);
        let reserved: f64 = experiments.map(ExperimentConfig::capacity).sum();
        if reserved + layer.holdout > 1.0 + ROUNDING {
            let message = format!(
                "the ranges of its experiments and its holdout must add up to at most 1, got {reserved} + {}",
                layer.holdout
            );
            self.add(path, message);
        }
    }

    /// Experiments of one layer that reserve the same positions, or those of its holdout.
    pub(super) fn overlaps<P>(&mut self, definition: &Definition<P>) {
        for layer in &definition.layers {
            let experiments = definition.experiments.iter().enumerate();
            let mut experiments: Vec<_> = experiments.filter(|(_, experiment)| experiment.layer == layer.id).collect();
            experiments.sort_by(|(_, left), (_, right)| left.range.0.total_cmp(&right.range.0));
            let mut last: Option<&ExperimentConfig<P>> = None;
            for (index, experiment) in experiments {
                let (start, end) = experiment.range;
                let path = format!("experiments[{index}].range");
                if let Some(last) = last.filter(|last| start < last.range.1 - ROUNDING) {
                    let (id, range) = (&last.id, last.range);
                    let message = format!(
                        "must not overlap [{}, {}] of `{id}` in the same layer, got [{start}, {end}]",
                        range.0, range.1
                    );
                    self.add(&path, message);
                }
                if end > 1.0 - layer.holdout + ROUNDING {
                    let message = format!("must end before the layer's holdout at {}, got {end}", 1.0 - layer.holdout);
                    self.add(&path, message);
                }
                if last.is_none_or(|last| last.range.1 < end) {
                    last = Some(experiment);
                }
            }
        }
    }

    /// Two hashes with one seed are one hash: what should be independent would be the same.
    pub(super) fn salts<P>(&mut self, definition: &Definition<P>) {
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        let mut salts = Vec::new();
        if let Some(holdout) = &definition.holdout {
            salts.push(("holdout.salt".to_owned(), holdout.salt.clone()));
        }
        for (index, layer) in definition.layers.iter().enumerate() {
            salts.push((format!("layers[{index}].salt"), layer.salt()));
        }
        for (index, experiment) in definition.experiments.iter().enumerate() {
            self.not_empty(&format!("experiments[{index}].seed"), experiment.seed());
            salts.push((format!("experiments[{index}].seed"), experiment.seed().to_owned()));
        }
        for (path, salt) in salts {
            // An empty one has been reported, and a duplicate id brings its default along.
            if salt.is_empty() {
                continue;
            }
            if let Some(earlier) = seen.insert(salt.clone(), path.clone()) {
                self.add(&path, format!("must differ from `{earlier}`, or both pick the same units; got `{salt}`"));
            }
        }
    }
}
