//! The records of the state machine.

use plaudit_event::{ExperimentId, PolicyId, Timestamp, VariantId};
use plaudit_experiment::delivery::{Decision, Delivery, Pair, Progress};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Error;

/// The version written; also the newest one read.
pub const LIFECYCLE_VERSION: u32 = 1;

const KIND: &str = "policy";

/// Where a policy comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Made from text, before any reaction.
    Pretrained,
    /// Made by the learner from its parent.
    Learned,
    /// Brought by a person.
    Imported,
}

/// One transition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum LifecycleEvent {
    /// A checkpoint exists.
    Registered {
        /// The policy.
        policy_id: PolicyId,
        /// What it was made from.
        #[serde(default)]
        parent: Option<PolicyId>,
        /// How it came about.
        origin: Origin,
        /// Log position, configuration hash, seed and the like.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        lineage: Map<String, Value>,
    },
    /// It passed the gate.
    Gated {
        /// The policy.
        policy_id: PolicyId,
        /// What the gate measured.
        #[serde(default)]
        evidence: Value,
    },
    /// It will never serve.
    Refused {
        /// The policy.
        policy_id: PolicyId,
        /// Why; at least one.
        reasons: Vec<String>,
        /// What was measured.
        #[serde(default)]
        evidence: Value,
        /// Of its delivery, where that refused it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decision: Option<Box<Decision>>,
    },
    /// Its delivery begins, in a run of the rolling experiment of its own.
    ExperimentStarted {
        /// Names the run.
        experiment: ExperimentId,
        /// The rolling experiment of the configuration.
        template: ExperimentId,
        /// The champion it is compared with.
        control: PolicyId,
        /// The policy under test.
        treatment: PolicyId,
        /// The variant of the treatment; records of before this field have none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        variant: Option<VariantId>,
        /// Its delivery, past the gate, with the configuration that holds to its end; records of before this field have
        /// none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        delivery: Option<Box<Delivery>>,
    },
    /// Its delivery was evaluated, or a person let it go on; where it ends, another event says so.
    Delivery {
        /// The policy under test.
        policy_id: PolicyId,
        /// What was decided; with evidence where the state changed or a person is asked.
        decision: Box<Decision>,
        /// How far the delivery has come.
        progress: Box<Progress>,
        /// Sums of the shadow so far.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shadow: Option<Box<Pair>>,
    },
    /// It serves everybody.
    Promoted {
        /// The policy.
        policy_id: PolicyId,
        /// The run that showed it is better; nothing for the very first champion.
        #[serde(default)]
        experiment: Option<ExperimentId>,
        /// The readout at that moment.
        #[serde(default)]
        evidence: Value,
        /// Of its delivery; nothing where a person promoted it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decision: Option<Box<Decision>>,
    },
    /// It no longer serves.
    RolledBack {
        /// The policy that leaves.
        policy_id: PolicyId,
        /// The champion from now on.
        to: PolicyId,
        /// Why.
        reason: String,
        /// The readout of the run that ends with it, if any.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        evidence: Value,
        /// Of its delivery, where one was under way.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decision: Option<Box<Decision>>,
    },
}

impl LifecycleEvent {
    /// The policy that the event is about.
    #[must_use]
    pub const fn policy_id(&self) -> &PolicyId {
        match self {
            Self::Registered { policy_id, .. }
            | Self::Gated { policy_id, .. }
            | Self::Refused { policy_id, .. }
            | Self::Delivery { policy_id, .. }
            | Self::Promoted { policy_id, .. }
            | Self::RolledBack { policy_id, .. } => policy_id,
            Self::ExperimentStarted { treatment, .. } => treatment,
        }
    }

    /// Whether it is about `policy`: as the one that moves, or that serves from now on.
    #[must_use]
    pub fn is_about(&self, policy: &PolicyId) -> bool {
        self.policy_id() == policy || matches!(self, Self::RolledBack { to, .. } if to == policy)
    }

    /// What its delivery decided, if it is about that.
    #[must_use]
    pub fn decision(&self) -> Option<&Decision> {
        match self {
            Self::Delivery { decision, .. } => Some(decision),
            Self::Refused { decision, .. } | Self::Promoted { decision, .. } | Self::RolledBack { decision, .. } => {
                decision.as_deref()
            }
            Self::Registered { .. } | Self::Gated { .. } | Self::ExperimentStarted { .. } => None,
        }
    }

    /// The name on the wire.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Registered { .. } => "registered",
            Self::Gated { .. } => "gated",
            Self::Refused { .. } => "refused",
            Self::ExperimentStarted { .. } => "experiment_started",
            Self::Delivery { .. } => "delivery",
            Self::Promoted { .. } => "promoted",
            Self::RolledBack { .. } => "rolled_back",
        }
    }
}

/// A transition with its time: one record of the topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lifecycle {
    /// Format version, 1.
    pub v: u32,
    /// Always `policy`.
    pub kind: String,
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub event: LifecycleEvent,
}

impl Lifecycle {
    /// Wraps `event` in the current version.
    #[must_use]
    pub fn new(at: Timestamp, event: LifecycleEvent) -> Self {
        Self { v: LIFECYCLE_VERSION, kind: KIND.to_owned(), at, event }
    }

    /// Reads a record; nothing when it is of another kind.
    ///
    /// # Errors
    /// Fails on what is not JSON, on a newer version, and on a policy record of the wrong shape.
    pub fn decode(offset: u64, bytes: &[u8]) -> Result<Option<Self>, Error> {
        let damaged = |detail: String| Error::Lifecycle { offset, detail };
        let value: Value = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        if value.get("kind").and_then(Value::as_str) != Some(KIND) {
            return Ok(None);
        }
        if value.get("v").and_then(Value::as_u64) != Some(u64::from(LIFECYCLE_VERSION)) {
            let version = value.get("v").cloned().unwrap_or_default();
            return Err(damaged(format!("unsupported `v`: must be {LIFECYCLE_VERSION}, got {version}")));
        }
        let decoded = serde_json::from_value(value).map_err(|error| damaged(error.to_string()))?;
        Ok(Some(decoded))
    }

    /// Writes the record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a transition has only string keys and finite numbers")
    }
}
