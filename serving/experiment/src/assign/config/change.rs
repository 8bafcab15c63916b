//! What may change while an experiment runs.

use std::collections::BTreeSet;

use plaudit_event::{ExperimentId, Timestamp};
use serde::Serialize;

use super::{Definition, ExperimentConfig, LayerConfig};
use crate::interleave::InterleavingConfig;

/// A change that must not be made while an experiment runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct Refusal {
    /// The key.
    pub path: String,
    /// What would happen, and what to do instead.
    pub reason: String,
}

/// Checks the edit from `old` to `new`, made at `now`, against the experiments of `old` that are `running` (for a
/// rolling one, its own id). Empty when all of it is allowed.
///
/// Allowed at any time: other descriptions, forced variants, more layers and experiments, pausing (`active`), killing,
/// later steps of a ramp as long as no share shrinks, a larger holdout of a layer. Refused is whatever would move units
/// that are enrolled, or change what they are evidence for.
#[must_use]
pub fn check_change<P: PartialEq>(
    old: &Definition<P>,
    new: &Definition<P>,
    running: &[ExperimentId],
    now: Timestamp,
) -> Vec<Refusal> {
    let mut check = Check { now, refusals: Vec::new() };
    for before in old.interleavings.iter().filter(|before| running.contains(&before.id)) {
        check.interleaving(before, new.interleaving(before.id.as_str()));
    }
    let experiments = running.iter().filter_map(|id| old.experiment(id));
    let experiments: Vec<&ExperimentConfig<P>> = experiments.collect();
    if experiments.is_empty() {
        return check.refusals;
    }
    if old.holdout != new.holdout {
        check.refuse(
            "holdout",
            "a running experiment would lose units to the holdout or gain them from it; stop it first",
        );
    }
    let layers: BTreeSet<_> = experiments.iter().map(|experiment| &experiment.layer).collect();
    for layer in old.layers.iter().filter(|layer| layers.contains(&layer.id)) {
        match new.layer(&layer.id) {
            Some(after) => check.layer(layer, after),
            None => check
                .refuse(format!("layers.{}", layer.id), "has a running experiment; stop it before removing the layer"),
        }
    }
    for before in experiments {
        check.groups(before, old, new);
        match new.experiment(&before.id) {
            Some(after) => check.experiment(before, after),
            None => check.refuse(format!("experiments.{}", before.id), "is running; kill it before removing it"),
        }
    }
    check.refusals
}

struct Check {
    now: Timestamp,
    refusals: Vec<Refusal>,
}

impl Check {
    fn refuse(&mut self, path: impl Into<String>, reason: impl Into<String>) {
        self.refusals.push(Refusal { path: path.into(), reason: reason.into() });
    }

    fn same<T: PartialEq>(&mut self, path: String, before: &T, after: &T, reason: &str) {
        if before != after {
            self.refuse(path, reason);
        }
    }

    fn layer(&mut self, before: &LayerConfig, after: &LayerConfig) {
        let path = |key: &str| format!("layers.{}.{key}", before.id);
        self.same(path("salt"), &before.salt(), &after.salt(), "would move every unit; make a new layer");
        self.same(path("unit"), &before.unit, &after.unit, "would randomise something else; make a new layer");
        if after.holdout < before.holdout {
            self.refuse(path("holdout"), "units that were held out would be enrolled; it may only grow");
        }
    }

    /// Targeting must keep its meaning, and the groups that it refers to are part of it.
    fn groups<P>(&mut self, experiment: &ExperimentConfig<P>, old: &Definition<P>, new: &Definition<P>) {
        let Some(targeting) = &experiment.targeting else { return };
        let condition = super::super::Condition::read(targeting);
        let mut open: Vec<String> = condition.group_ids();
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            if !seen.insert(id.clone()) {
                continue;
            }
            let before = old.groups.get(&id);
            if before != new.groups.get(&id) {
                let reason =
                    format!("would change whom the running experiment `{}` means; make a new group", experiment.id);
                self.refuse(format!("groups.{id}"), reason);
            }
            if let Some(condition) = before.and_then(|group| group.get("condition")) {
                open.extend(super::super::Condition::read(condition).group_ids());
            }
        }
    }

    fn interleaving(&mut self, before: &InterleavingConfig, after: Option<&InterleavingConfig>) {
        let path = format!("interleavings.{}", before.id);
        let Some(after) = after else {
            return self.refuse(path, "is running; kill it before removing it");
        };
        for key in before.fixed_differences(after) {
            self.refuse(
                format!("{path}.{key}"),
                "would change what the evidence is about; make a new interleaving under another name",
            );
        }
    }

    fn experiment<P: PartialEq>(&mut self, before: &ExperimentConfig<P>, after: &ExperimentConfig<P>) {
        let path = |key: &str| format!("experiments.{}.{key}", before.id);
        let moved = "would move units that are enrolled; make a new experiment";
        self.same(path("layer"), &before.layer, &after.layer, moved);
        self.same(path("range"), &before.range, &after.range, moved);
        self.same(path("seed"), &before.seed(), &after.seed(), moved);
        self.same(path("rolling"), &before.rolling, &after.rolling, moved);
        self.same(
            path("allocation"),
            &before.allocation,
            &after.allocation,
            "would change what the weights of its cohorts follow; make a new experiment",
        );
        self.same(
            path("targeting"),
            &before.targeting,
            &after.targeting,
            "would change who is meant; make a new experiment",
        );
        self.same(
            path("control"),
            &before.control(),
            &after.control(),
            "would change what the results compare; make a new experiment",
        );
        if before.killed && !after.killed {
            self.refuse(
                path("killed"),
                "a killed experiment stays killed: its units have seen what it did; make a new one",
            );
        }
        self.variants(before, after);
        self.ramp(before, after);
    }

    fn variants<P: PartialEq>(&mut self, before: &ExperimentConfig<P>, after: &ExperimentConfig<P>) {
        let path = format!("experiments.{}.variants", before.id);
        let ids =
            |experiment: &ExperimentConfig<P>| experiment.variants.iter().map(|v| v.id.clone()).collect::<Vec<_>>();
        if ids(before) != ids(after) {
            self.refuse(path, "must keep their number and order, which give each its range; make a new experiment");
            return;
        }
        for (old, new) in before.variants.iter().zip(&after.variants) {
            let path = |key: &str| format!("{path}.{}.{key}", old.id);
            self.same(
                path("weight"),
                &old.weight,
                &new.weight,
                "would move units from one variant to another; ramp instead",
            );
            self.same(
                path("policy"),
                &old.policy,
                &new.policy,
                "would mix two policies under one name; make a new experiment",
            );
        }
    }

    /// What has begun stays as it was; what is to come may change, but never shrinks.
    fn ramp<P>(&mut self, before: &ExperimentConfig<P>, after: &ExperimentConfig<P>) {
        let path = format!("experiments.{}.ramp", before.id);
        let now = self.now;
        let [begun, kept] = [before, after]
            .map(|experiment| experiment.steps().into_iter().filter(|step| step.from < now).collect::<Vec<_>>());
        if begun != kept {
            let reason =
                "must keep every step that has begun: exposures carry its number; add a step that begins now or later";
            self.refuse(path.clone(), reason);
        }
        let (share, next) = (before.share(now), after.share(now));
        if next < share {
            self.refuse(
                path,
                format!("must not shrink below the share in force {share}, got {next}; kill or pause instead"),
            );
        }
    }
}
