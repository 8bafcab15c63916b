//! Experiments as this server runs them: what variants stand for, and what follows from that.
//!
//! Layers, ramps, holdouts, targeting and the hash are [`plaudit_experiment::assign`]. Here a variant names the policy
//! that answers. That adds rules: a request has one answer, so the experiments are in one layer; an experiment with the
//! policy `treatment` is *rolling*, it runs once per candidate under an id of its own; and a variant whose policy
//! nobody serves, such as `previous` before the first promotion, enrols nobody.
//!
//! Which definition is in force is on record ([`Definitions`]): an edit is checked against what is running, is durable
//! before it takes effect, and says who made it, why, and what it changed.

mod allocation;
mod change;
mod definitions;
mod file;
mod rules;

use plaudit_event::{Assignment, Draw, ExperimentId, LayerId, VariantId};
use plaudit_experiment::assign::{self, Decision};
use plaudit_experiment::interleave::InterleavingConfig;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::error::known_list;

pub use allocation::{Allocations, CohortRecord, folded};
pub use change::{Audit, Change, DefinitionRecord};
pub use definitions::{Definitions, InForce};
pub use file::{Stamp, parse, read_texts};
pub use rules::{default_definition, metrics, rolling, validate};

/// All experiments of a server.
pub type Definition = assign::Definition<PolicyRef>;
/// One of them.
pub type ExperimentConfig = assign::ExperimentConfig<PolicyRef>;
/// What assignment runs on.
pub type Plan = assign::Plan<PolicyRef>;

/// The kind of unit that exposures name in `unit_id`.
pub const UNIT: &str = "user";
/// The kind of unit that exposures name in `session_id`.
pub const SESSION: &str = "session";

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

/// The interleaving experiment called `name`.
///
/// # Errors
/// When there is none of that name, or it is an experiment of another kind.
pub fn interleaving<'d>(definition: &'d Definition, name: &str) -> Result<&'d InterleavingConfig, Error> {
    if let Some(found) = definition.interleaving(name) {
        return Ok(found);
    }
    let known: Vec<String> = definition.interleavings.iter().map(|one| one.id.to_string()).collect();
    if definition.experiments.iter().any(|experiment| experiment.id.as_str() == name) {
        let reason = format!("must be an interleaving, of which there is {}, got `{name}`", known_list(&known));
        return Err(Error::invalid("experiment", reason));
    }
    Err(Error::NotFound { what: "experiment", name: name.to_owned(), known })
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
    /// Whether its weights follow what was seen: then the probabilities are those of the first cohort, and sums over all
    /// cohorts compare nothing.
    pub is_in_cohorts: bool,
}

/// The experiments of `plan` that enrol units, each with the variants that somebody serves. A run of a rolling experiment
/// that is paused is among them: its units come back.
#[must_use]
pub fn running(plan: &Plan) -> Vec<RunningExperiment> {
    let layers = plan.layers().map(|layer| (layer, plan.experiments(layer)));
    let all = layers.flat_map(|(layer, experiments)| experiments.iter().map(move |experiment| (layer, experiment)));
    let is_run = |experiment: &assign::Experiment<PolicyRef>| experiment.id() != experiment.template();
    all.filter(|(_, experiment)| experiment.can_enrol() || (is_run(experiment) && experiment.is_paused()))
        .filter_map(|(layer, experiment)| describe(layer, experiment))
        .collect()
}

fn describe(layer: &LayerId, experiment: &assign::Experiment<PolicyRef>) -> Option<RunningExperiment> {
    // The weights of all steps are the same but for what is lost to whole buckets, and that is least in the last.
    let phases = experiment.phases();
    let weights = if experiment.is_in_cohorts() { phases.first()? } else { phases.last()? }.weights();
    let variants = experiment.variants();
    let enrolling = variants.iter().zip(weights).filter(|(_, weight)| **weight > 0.0);
    let treatment = variants.iter().find(|variant| variant.policy == PolicyRef::Treatment);
    Some(RunningExperiment {
        id: experiment.id().clone(),
        layer: layer.clone(),
        variants: enrolling.map(|(variant, weight)| (variant.id.clone(), *weight)).collect(),
        control: variants[experiment.control()].id.clone(),
        treatment: treatment.map(|variant| variant.id.clone()),
        is_in_cohorts: experiment.is_in_cohorts(),
    })
}

/// What an exposure says of `decision`, made under `plan`; nothing where no variant was drawn. A forced variant is
/// logged without a draw, so that nothing counts it.
#[must_use]
pub fn assignment(plan: &Plan, decision: &Decision<'_, PolicyRef>) -> Option<Assignment> {
    let (experiment, variant) = (decision.experiment()?, decision.variant()?);
    let (bucket, phase, propensity) = (decision.bucket()?, decision.phase()?, decision.propensity()?);
    let draw = Draw {
        definition: plan.definition_hash().to_owned(),
        seed: experiment.seed().to_owned(),
        bucket,
        phase: u32::try_from(phase).unwrap_or(u32::MAX),
        weights: decision.weights().to_vec(),
        propensity,
    };
    Some(Assignment {
        layer: decision.layer().clone(),
        experiment: experiment.id().clone(),
        variant: variant.id.clone(),
        draw: Some(Box::new(draw)),
    })
}
