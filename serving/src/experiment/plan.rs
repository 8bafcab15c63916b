//! What assignment runs on: the configuration, compiled.

use plaudit_event::{Assignment, ExperimentId, LayerId, UnitId, VariantId};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::{ExperimentConfig, LayerConfig, PolicyRef};

/// Positions of a layer: 2³².
const POSITIONS: f64 = 4_294_967_296.0;

/// The run of the rolling experiment that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The experiment of the configuration.
    pub template: ExperimentId,
    /// Names this run; it is what exposures carry.
    pub id: ExperimentId,
}

/// A variant as compiled: what an exposure carries, and who serves it.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    /// Layer, experiment and variant.
    pub assignment: Assignment,
    /// Who serves it.
    pub policy: PolicyRef,
}

/// An experiment that enrols units now.
#[derive(Debug, Clone, PartialEq)]
pub struct RunningExperiment {
    /// What exposures carry.
    pub id: ExperimentId,
    /// Its layer.
    pub layer: LayerId,
    /// Its variants with the probability of each among the enrolled, in order.
    pub variants: Vec<(VariantId, f64)>,
    /// The variant that the others are compared with.
    pub control: VariantId,
    /// The variant of the candidate under test, in a run of a rolling experiment.
    pub treatment: Option<VariantId>,
}

/// Compiled layers. Immutable: a change makes a new plan.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    layers: Vec<Layer>,
}

#[derive(Debug, Clone, PartialEq)]
struct Layer {
    id: LayerId,
    seed: u64,
    experiments: Vec<Experiment>,
}

#[derive(Debug, Clone, PartialEq)]
struct Experiment {
    /// First position enrolled.
    start: u64,
    /// First position no longer enrolled.
    end: u64,
    seed: u64,
    control: VariantId,
    /// End of each arm's range, increasing to 2³².
    arms: Vec<(u64, Arm)>,
}

impl Plan {
    /// Compiles valid `layers`. A rolling experiment enrols only while `run` names it.
    #[must_use]
    pub fn compile(layers: &[LayerConfig], run: Option<&Run>) -> Self {
        let layers = layers.iter().map(|layer| Layer::compile(layer, run));
        Self { layers: layers.collect() }
    }

    /// The variant of `unit` in `layer`; nothing when the layer is unknown or the unit is not enrolled.
    #[must_use]
    pub fn assign(&self, unit: &UnitId, layer: &LayerId) -> Option<&Assignment> {
        self.arm(unit, layer).map(|arm| &arm.assignment)
    }

    /// As [`Plan::assign`], with the policy that serves the variant.
    #[must_use]
    pub fn arm(&self, unit: &UnitId, layer: &LayerId) -> Option<&Arm> {
        let found = self.layers.iter().find(|candidate| candidate.id == *layer)?;
        found.arm(unit)
    }

    /// The arms of `unit`, one per layer that enrolled it, in the order of the layers.
    pub fn arms(&self, unit: &UnitId) -> impl Iterator<Item = &Arm> {
        self.layers.iter().filter_map(|layer| layer.arm(unit))
    }

    /// The experiments that enrol units now. A variant that `is_served` by nobody enrols none: it is left
    /// out, and with it an experiment that then has nothing to compare.
    #[must_use]
    pub fn running(&self, is_served: impl Fn(&PolicyRef) -> bool) -> Vec<RunningExperiment> {
        let mut running = Vec::new();
        for layer in &self.layers {
            for experiment in &layer.experiments {
                running.extend(experiment.describe(&layer.id, &is_served));
            }
        }
        running
    }
}

impl Layer {
    fn compile(config: &LayerConfig, run: Option<&Run>) -> Self {
        let seed = xxh3_64(config.salt().as_bytes());
        let mut experiments = Vec::new();
        let mut offset = 0.0;
        for experiment in &config.experiments {
            let active_run = run.filter(|run| run.template == experiment.id);
            let id = match active_run {
                Some(run) => Some(&run.id),
                None => (!experiment.is_rolling()).then_some(&experiment.id),
            };
            if let Some(id) = id.filter(|_| experiment.share > 0.0) {
                let salted = xxh3_64_with_seed(id.as_str().as_bytes(), seed);
                experiments.push(Experiment::compile(&config.id, id, experiment, offset, salted));
            }
            offset += experiment.capacity;
        }
        Self { id: config.id.clone(), seed, experiments }
    }

    fn arm(&self, unit: &UnitId) -> Option<&Arm> {
        let bytes = unit.as_str().as_bytes();
        let position = xxh3_64_with_seed(bytes, self.seed) >> 32;
        let mut experiments = self.experiments.iter();
        let experiment = experiments.find(|e| e.start <= position && position < e.end)?;
        let draw = xxh3_64_with_seed(bytes, experiment.seed) >> 32;
        let mut arms = experiment.arms.iter();
        arms.find(|(end, _)| draw < *end).map(|(_, arm)| arm)
    }
}

impl Experiment {
    fn compile(layer: &LayerId, id: &ExperimentId, config: &ExperimentConfig, offset: f64, seed: u64) -> Self {
        let total: f64 = config.variants.iter().map(|variant| variant.weight).sum();
        let mut arms = Vec::new();
        let mut cumulative = 0.0;
        for variant in &config.variants {
            cumulative += variant.weight;
            let assignment = Assignment { layer: layer.clone(), experiment: id.clone(), variant: variant.id.clone() };
            let arm = Arm { assignment, policy: variant.policy.clone() };
            arms.push((position(cumulative / total), arm));
        }
        // The last range reaches the end whatever the rounding of the sum.
        if let Some(last) = arms.last_mut() {
            last.0 = position(1.0);
        }
        let control = config.control().expect("a valid experiment has variants").clone();
        Self { start: position(offset), end: position(offset + config.share), seed, control, arms }
    }

    fn describe(&self, layer: &LayerId, is_served: impl Fn(&PolicyRef) -> bool) -> Option<RunningExperiment> {
        let mut variants = Vec::new();
        let (mut start, mut total, mut treatment) = (0, 0, None);
        for (end, arm) in &self.arms {
            let width = end - start;
            start = *end;
            if !is_served(&arm.policy) {
                continue;
            }
            total += width;
            variants.push((arm.assignment.variant.clone(), width as f64));
            if arm.policy == PolicyRef::Treatment {
                treatment = Some(arm.assignment.variant.clone());
            }
        }
        let has_control = variants.iter().any(|(variant, _)| *variant == self.control);
        if variants.len() < 2 || !has_control {
            return None;
        }
        for (_, width) in &mut variants {
            *width /= total as f64;
        }
        let id = self.arms[0].1.assignment.experiment.clone();
        Some(RunningExperiment { id, layer: layer.clone(), variants, control: self.control.clone(), treatment })
    }
}

/// The position at `fraction` of a layer. The same fraction always gives the same position, so growing
/// ranges never overlap.
fn position(fraction: f64) -> u64 {
    (fraction.clamp(0.0, 1.0) * POSITIONS).round() as u64
}

#[cfg(test)]
mod tests;
