//! What the fold knows about policies and runs.

use std::sync::Arc;

use plaudit_event::{ExperimentId, PolicyId, Timestamp, VariantId};
use plaudit_experiment::assign::StepConfig;
use plaudit_experiment::delivery::{Delivery, Pair, State};
use serde::Serialize;
use serde_json::Value;

use super::event::Origin;

/// Where a policy stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Exists, untested.
    Registered,
    /// Passed the gate.
    Gated,
    /// Failed the gate or in the shadow: never served.
    Refused,
    /// Its answers are scored and not shown.
    Shadow,
    /// Serves the first, small share of the units.
    Canary,
    /// Serves a growing share of the units.
    Ramp,
    /// Serves everybody outside experiments.
    Champion,
    /// Was champion.
    Retired,
    /// Was taken out.
    RolledBack,
}

/// What is known about one policy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyRecord {
    /// The policy.
    pub policy_id: PolicyId,
    /// What it was made from.
    pub parent: Option<PolicyId>,
    /// How it came about.
    pub origin: Origin,
    /// Where it stands.
    pub stage: Stage,
    /// Since when.
    pub since: Timestamp,
    /// Why, where there is a reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// What the last transition was based on.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub evidence: Value,
    /// How many erasures took out something that it was trained on.
    #[serde(skip_serializing_if = "is_none")]
    pub erasures: u64,
}

const fn is_none(count: &u64) -> bool {
    *count == 0
}

impl Stage {
    /// The stage of a candidate whose delivery is in `state` and goes on.
    pub(super) const fn of(state: &State) -> Option<Self> {
        match state {
            State::Trained => Some(Self::Registered),
            State::Gated => Some(Self::Gated),
            State::Shadow => Some(Self::Shadow),
            State::Canary => Some(Self::Canary),
            State::Ramp { .. } => Some(Self::Ramp),
            State::Promoted | State::RolledBack { .. } | State::Refused { .. } => None,
        }
    }
}

/// The candidate whose delivery is under way, in a run of the rolling experiment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Treatment {
    /// Names the run.
    pub experiment: ExperimentId,
    /// The rolling experiment of the configuration.
    pub template: ExperimentId,
    /// The policy under test.
    pub policy_id: PolicyId,
    /// Since when.
    pub since: Timestamp,
    /// The variant of the policy under test, where that is on record.
    #[serde(skip)]
    pub variant: Option<VariantId>,
    /// Its delivery; nothing in runs that an older version started.
    #[serde(skip)]
    pub delivery: Option<Arc<Delivery>>,
    /// The steps that it served, with the part of the experiment's units that is enrolled from then on.
    #[serde(skip)]
    pub steps: Vec<StepConfig>,
    /// Sums of its shadow, as of the last evaluation.
    #[serde(skip)]
    pub shadow: Option<Arc<Pair>>,
}

impl Treatment {
    /// Where its delivery stands.
    #[must_use]
    pub fn state(&self) -> Option<&State> {
        self.delivery.as_deref().map(Delivery::state)
    }

    /// Whether it serves a part of the units.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.state().is_none_or(|state| state.live_step().is_some())
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// The treatment became the champion.
    Promoted,
    /// The treatment was taken out.
    RolledBack,
    /// The treatment was refused before it served.
    Refused,
    /// The champion that it was compared with was taken out.
    ControlLeft,
}

/// An experiment that is over.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EndedRun {
    /// Names the run.
    pub experiment: ExperimentId,
    /// The policy that was under test.
    pub policy_id: PolicyId,
    /// When it ended.
    pub at: Timestamp,
    /// How it ended.
    pub outcome: RunOutcome,
    /// Why, where a reason was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The readout at the end, where it is on record.
    #[serde(skip)]
    pub evidence: Value,
}
