//! From a definition to a plan.

use plaudit_event::{ExperimentId, LayerId, Timestamp};
use serde::Serialize;
use serde_json::Value;

use super::{Experiment, Holdout, Layer, Phase, Plan, Variant};
use crate::assign::config::{Cohort, Definition, ExperimentConfig, LayerConfig, Problem, StepConfig};
use crate::assign::hash::{BUCKETS, Salt};
use crate::assign::range::bucket_ranges;
use crate::assign::{Condition, Groups};

/// A run of a rolling experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The experiment of the definition.
    pub template: ExperimentId,
    /// Names the run; it is what exposures carry, and it salts the hash, so that runs are independent.
    pub id: ExperimentId,
    /// The steps of this run, in the place of the definition's; those of the definition when empty.
    pub ramp: Vec<StepConfig>,
}

/// What a plan depends on besides the definition.
#[derive(Clone, Copy)]
pub struct Compile<'a, P> {
    /// The runs under way; a rolling experiment without one assigns nothing.
    pub runs: &'a [Run],
    /// The cohorts that have begun, of each experiment whose weights follow what was seen; one without enrols nobody.
    pub cohorts: &'a [(ExperimentId, Vec<Cohort>)],
    /// Whether somebody serves a variant. One that is not served enrols nobody, and an experiment without its control
    /// or without another variant enrols nobody at all.
    pub is_served: &'a dyn Fn(&P) -> bool,
}

impl<P> Default for Compile<'_, P> {
    fn default() -> Self {
        Self { runs: &[], cohorts: &[], is_served: &|_| true }
    }
}

impl<P: Clone + Serialize> Plan<P> {
    /// Compiles `definition`.
    ///
    /// # Errors
    /// Every fault of the definition.
    pub fn compile(definition: &Definition<P>, compile: &Compile<'_, P>) -> Result<Self, Vec<Problem>> {
        let problems = definition.validate("");
        if !problems.is_empty() {
            return Err(problems);
        }
        let groups = serde_json::to_value(&definition.groups).unwrap_or(Value::Null);
        let holdout = definition.holdout.as_ref().map(|holdout| Holdout {
            unit: holdout.unit.clone(),
            salt: Salt::new(&holdout.salt),
            end: first_bucket(holdout.fraction),
        });
        let layers = definition.layers.iter().map(|layer| compile_layer(layer, definition, compile));
        Ok(Self {
            hash: definition.canonical_hash(),
            killed: definition.killed,
            holdout,
            groups: Groups::read(&groups),
            layers: layers.collect(),
        })
    }
}

impl<P> Plan<P> {
    /// The canonical hash of the definition.
    #[must_use]
    pub fn definition_hash(&self) -> &str {
        &self.hash
    }

    /// The layers.
    pub fn layers(&self) -> impl Iterator<Item = &LayerId> {
        self.layers.iter().map(|layer| &layer.id)
    }

    /// The experiments of a layer, in the order of their ranges; none of an unknown layer.
    pub fn experiments(&self, layer: &LayerId) -> &[Experiment<P>] {
        let found = self.layers.iter().find(|candidate| candidate.id == *layer);
        found.map_or(&[], |layer| &layer.experiments)
    }
}

fn compile_layer<P: Clone>(config: &LayerConfig, definition: &Definition<P>, compile: &Compile<'_, P>) -> Layer<P> {
    let configs = definition.experiments.iter().filter(|experiment| experiment.layer == config.id);
    let mut configs: Vec<_> = configs.filter_map(|experiment| Some((experiment, name(experiment, compile)?))).collect();
    configs.sort_by(|(left, _), (right, _)| left.range.0.total_cmp(&right.range.0));
    let mut forced = Vec::new();
    for (index, (experiment, _)) in configs.iter().enumerate() {
        for (number, variant) in experiment.variants.iter().enumerate() {
            forced.extend(variant.forced.iter().map(|unit| (unit.clone(), index, number)));
        }
    }
    forced.sort_unstable();
    let experiments = configs.into_iter().map(|(experiment, name)| compile_experiment(experiment, name, compile));
    Layer {
        id: config.id.clone(),
        unit: config.unit.clone(),
        salt_text: config.salt(),
        salt: Salt::new(&config.salt()),
        killed: config.killed,
        holdout: first_bucket(1.0 - config.holdout),
        experiments: experiments.collect(),
        forced,
    }
}

/// Id and seed in force; none for a rolling experiment that is not under way.
fn name<P>(config: &ExperimentConfig<P>, compile: &Compile<'_, P>) -> Option<(ExperimentId, String)> {
    if !config.rolling {
        return Some((config.id.clone(), config.seed().to_owned()));
    }
    let run = compile.runs.iter().find(|run| run.template == config.id)?;
    let seed = config.seed.as_ref().map_or_else(|| run.id.to_string(), |seed| format!("{seed}:{}", run.id));
    Some((run.id.clone(), seed))
}

fn compile_experiment<P: Clone>(
    config: &ExperimentConfig<P>,
    (id, seed): (ExperimentId, String),
    compile: &Compile<'_, P>,
) -> Experiment<P> {
    let variants: Vec<Variant<P>> = config
        .variants
        .iter()
        .map(|variant| Variant {
            id: variant.id.clone(),
            policy: variant.policy.clone(),
            is_served: (compile.is_served)(&variant.policy),
        })
        .collect();
    let control = config.variants.iter().position(|variant| Some(&variant.id) == config.control()).unwrap_or(0);
    let num_served = variants.iter().filter(|variant| variant.is_served).count();
    let can_compare = num_served >= 2 && variants[control].is_served;
    let is_served: Vec<bool> = variants.iter().map(|variant| variant.is_served && can_compare).collect();
    let phases = match &config.allocation {
        Some(_) => of_cohorts(config, compile),
        None => of_steps(config, &id, compile),
    };
    let phases = phases.into_iter().map(|(from, share, buckets)| {
        let weights = probabilities(&buckets, &is_served);
        Phase { from, share, buckets, weights }
    });
    Experiment {
        id,
        template: config.id.clone(),
        seed: Salt::new(&seed),
        seed_text: seed,
        range: (first_bucket(config.range.0), first_bucket(config.range.1)),
        active: config.active,
        killed: config.killed,
        targeting: config.targeting.as_ref().map(Condition::read),
        control,
        phases: phases.collect(),
        in_cohorts: config.allocation.is_some(),
        variants,
    }
}

/// When a phase begins, its share, and the buckets of each variant.
type Step = (Timestamp, f64, Vec<(u32, u32)>);

fn of_steps<P>(config: &ExperimentConfig<P>, id: &ExperimentId, compile: &Compile<'_, P>) -> Vec<Step> {
    let weights: Vec<f64> = config.variants.iter().map(|variant| variant.weight).collect();
    let of_run = compile.runs.iter().find(|run| config.rolling && run.id == *id).map(|run| run.ramp.clone());
    let steps = of_run.filter(|ramp| !ramp.is_empty()).unwrap_or_else(|| config.steps());
    let step = |step: StepConfig| (step.from, step.share, realise(step.share / config.capacity(), &weights));
    steps.into_iter().map(step).collect()
}

fn of_cohorts<P>(config: &ExperimentConfig<P>, compile: &Compile<'_, P>) -> Vec<Step> {
    let found = compile.cohorts.iter().find(|(id, _)| *id == config.id);
    let mut start = 0.0;
    let cohorts = found.map_or(&[][..], |(_, cohorts)| cohorts).iter().map(|cohort| {
        let end = cohort.share / config.capacity();
        let buckets = split((start, end), &cohort.weights);
        start = end;
        (cohort.from, cohort.share, buckets)
    });
    cohorts.collect()
}

/// The buckets between two positions, split without a gap.
fn split((start, end): (f64, f64), weights: &[f64]) -> Vec<(u32, u32)> {
    let total: f64 = weights.iter().sum();
    let mut sum = 0.0;
    let ends = weights.iter().enumerate().map(|(index, weight)| {
        sum += weight;
        // The last ends where the next cohort begins, whatever rounding says.
        first_bucket(if index + 1 == weights.len() { end } else { start + (end - start) * sum / total })
    });
    let ends: Vec<u32> = ends.collect();
    let starts = std::iter::once(first_bucket(start)).chain(ends.iter().copied());
    starts.zip(ends.iter().copied()).collect()
}

/// The buckets of each variant: [`bucket_ranges`], in whole buckets.
pub(in crate::assign) fn realise(coverage: f64, weights: &[f64]) -> Vec<(u32, u32)> {
    let ranges = bucket_ranges(weights.len(), coverage, Some(weights));
    ranges.into_iter().map(|(start, end)| (first_bucket(start), first_bucket(end))).collect()
}

/// The first bucket at or after `position`, by the same comparison that a bucket's position would meet.
fn first_bucket(position: f64) -> u32 {
    let total = f64::from(BUCKETS);
    let mut bucket = (position * total).round().clamp(0.0, total) as u32;
    while bucket > 0 && f64::from(bucket - 1) / total >= position {
        bucket -= 1;
    }
    while bucket < BUCKETS && f64::from(bucket) / total < position {
        bucket += 1;
    }
    bucket
}

/// What each variant has of the enrolled.
fn probabilities(buckets: &[(u32, u32)], is_served: &[bool]) -> Vec<f64> {
    let width = |((start, end), is_served): (&(u32, u32), &bool)| if *is_served { end - start } else { 0 };
    let widths: Vec<u32> = buckets.iter().zip(is_served).map(width).collect();
    let total: u32 = widths.iter().sum();
    widths.into_iter().map(|width| if total == 0 { 0.0 } else { f64::from(width) / f64::from(total) }).collect()
}
