//! What a store answers about experiments, lineage and conflicts.

use std::collections::BTreeMap;

use plaudit_event::{Objective, PolicyId, Timestamp, UnitId, VariantId};

use super::Place;
use crate::log::Topic;

/// The labels of one objective, of examples at their latest revision.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LabelSum {
    /// How many examples have one.
    pub labels: u64,
    /// Sum of the values, each in \[0, 1\].
    pub value: f64,
    /// Sum of the weights.
    pub weight: f64,
}

/// What happened to one unit in one variant of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitMetrics {
    /// The variant.
    pub variant: VariantId,
    /// The unit.
    pub unit_id: UnitId,
    /// How many exposures were shown to it.
    pub exposures: u64,
    /// How many of them have become examples.
    pub examples: u64,
    /// Their labels.
    pub labels: BTreeMap<Objective, LabelSum>,
}

/// One minute of one variant of an experiment, by the time of the exposures.
#[derive(Debug, Clone, PartialEq)]
pub struct VariantMinute {
    /// The start of the minute.
    pub minute: Timestamp,
    /// The variant.
    pub variant: VariantId,
    /// How many exposures were shown.
    pub exposures: u64,
    /// How many of them have become examples.
    pub examples: u64,
    /// Their labels.
    pub labels: BTreeMap<Objective, LabelSum>,
}

/// What one policy has contributed to a stretch of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// The policy.
    pub policy_id: PolicyId,
    /// How many exposures, or examples, it decided.
    pub rows: u64,
    /// When the first of these exposures was shown.
    pub first: Timestamp,
    /// When the last one was.
    pub last: Timestamp,
}

/// One id that says different things. That can only come past intake, which refuses the second one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// `exposures` or `signals`.
    pub topic: Topic,
    /// The id.
    pub id: String,
    /// Where each of the contents comes from first, in order. On ClickHouse the first one counts; on SQLite the
    /// one that was applied first, which is the same unless shards were copied in another order.
    pub places: Vec<Place>,
}
