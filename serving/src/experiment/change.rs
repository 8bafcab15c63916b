//! An edit of the experiments, and its record.

use plaudit_event::Timestamp;
use plaudit_experiment::assign::{Edit, diff};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Definition;
use crate::Error;

/// The version written; also the newest one read.
const VERSION: u64 = 1;
pub(super) const KIND: &str = "experiments";

/// What somebody wants to be in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// All experiments, not only what is different.
    pub definition: Definition,
    /// Who asks.
    pub who: String,
    /// Why.
    pub reason: String,
    /// The hash of the definition that the edit was made on; anything when absent.
    pub expected: Option<String>,
    /// When it was asked for: what begins then is new, however long taking it up takes.
    pub made: Timestamp,
}

/// A definition that came into force: one record of topic `checkpoints`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DefinitionRecord {
    /// Format version, 1.
    pub v: u64,
    /// Always `experiments`.
    pub kind: String,
    /// When.
    pub at: Timestamp,
    /// Who made the edit.
    pub who: String,
    /// Why.
    pub reason: String,
    /// The hash of the definition in the configuration of that time: what the next start recognises an edit of it by.
    pub configured: String,
    /// All experiments.
    pub definition: Definition,
}

/// One entry of the audit trail.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Audit {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub who: String,
    /// Why.
    pub reason: String,
    /// Hash of the definition from then on.
    pub hash: String,
    /// What changed.
    pub edits: Vec<Edit>,
}

impl DefinitionRecord {
    pub(super) fn new(at: Timestamp, change: Change, configured: String) -> Self {
        let Change { definition, who, reason, .. } = change;
        Self { v: VERSION, kind: KIND.to_owned(), at, who, reason, configured, definition }
    }

    /// Reads a record of this kind.
    ///
    /// # Errors
    /// Fails on a newer version and on a record of the wrong shape.
    pub(super) fn decode(offset: u64, value: Value) -> Result<Self, Error> {
        let damaged = |detail: String| Error::Lifecycle { offset, detail };
        if value.get("v").and_then(Value::as_u64) != Some(VERSION) {
            let version = value.get("v").cloned().unwrap_or_default();
            return Err(damaged(format!("unsupported `v`: must be {VERSION}, got {version}")));
        }
        serde_json::from_value(value).map_err(|error| damaged(error.to_string()))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a definition has only string keys")
    }

    pub(super) fn audit(&self, before: &Definition) -> Audit {
        Audit {
            at: self.at,
            who: self.who.clone(),
            reason: self.reason.clone(),
            hash: self.definition.canonical_hash(),
            edits: diff(before, &self.definition),
        }
    }
}
