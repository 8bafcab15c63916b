//! Examples: attributed exposures, the rows everything learns from.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Assignment, Context, ExposureId, PolicyId, Propensity, Span, Surface, Timestamp, UnitId};

/// What is learned: `love`, `helpfulness`, `safety`, or a configured name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Objective(pub String);

impl Objective {
    /// The rare, unambiguous approval.
    pub const LOVE: &'static str = "love";
    /// Whether the answer served its purpose.
    pub const HELPFULNESS: &'static str = "helpfulness";
    /// Whether the answer did no harm.
    pub const SAFETY: &'static str = "safety";

    /// The objective called `name`.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }
}

impl std::borrow::Borrow<str> for Objective {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Objective {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The label of one objective.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Label {
    /// In \[0, 1\]; 0 or 1 for reactions.
    pub value: f32,
    /// Trust in the label, above 0.
    pub weight: f32,
}

/// Labels by objective; an absent objective was not observed and must not be trained on.
pub type Labels = BTreeMap<Objective, Label>;

/// What was said about parts of a response, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Remarks {
    /// Parts that were changed or deleted, within the response; what else there is of it was kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edited: Vec<Span>,
    /// Parts that were copied or marked as good, within the response.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub taken: Vec<Span>,
    /// What was written in comments and beside ratings and thumbs, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

impl Remarks {
    /// Whether nothing was said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.edited.is_empty() && self.taken.is_empty() && self.reasons.is_empty()
    }
}

/// Attribute of an exposure whose answer failed, wholly or half-way, after the unit was assigned: `true`.
pub const FAILED: &str = "failed";
/// Attribute of an exposure: milliseconds from the request to the last token.
pub const LATENCY_MS: &str = "latency_ms";

/// An exposure whose attribution window closed, with what it was worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Example {
    /// The exposure.
    pub exposure_id: ExposureId,
    /// 0 when the window closed; each correction by a late or retracting signal adds 1.
    pub revision: u32,
    /// Who was exposed.
    pub unit_id: UnitId,
    /// Where.
    pub surface: Surface,
    /// What the decision was made for.
    pub context: Context,
    /// What was chosen: the response, or the item's content.
    pub response: String,
    /// Name of the chosen item.
    pub item_id: String,
    /// Rank of the chosen item, from 0.
    pub position: u32,
    /// The policy that decided.
    pub policy_id: PolicyId,
    /// Probability of the choice under that policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propensity: Option<Propensity>,
    /// Variants of the unit when exposed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assignments: Vec<Assignment>,
    /// Free attributes of the exposure, for segments.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
    /// What it was worth, by objective.
    pub labels: Labels,
    /// The labels of the revision before, which `labels` replaces; empty for revision 0.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub replaced: Labels,
    /// What was said about parts of the response, and why.
    #[serde(default, skip_serializing_if = "Remarks::is_empty")]
    pub remarks: Remarks,
    /// When it was shown.
    pub exposure_ts: Timestamp,
    /// When this revision came about: the close of the window, or the arrival of the correction.
    pub ts: Timestamp,
}

impl Example {
    /// Whether the answer failed, wholly or half-way, after the unit was assigned.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.attributes.get(FAILED).is_some_and(|failed| *failed == true)
    }

    /// How long the answer took, in seconds, where serving measured it.
    #[must_use]
    pub fn latency_seconds(&self) -> Option<f64> {
        let millis = self.attributes.get(LATENCY_MS)?.as_f64()?;
        (millis.is_finite() && millis >= 0.0).then_some(millis / 1_000.0)
    }

    /// The label of `objective`, if observed.
    #[must_use]
    pub fn label(&self, objective: &str) -> Option<Label> {
        self.labels.get(objective).copied()
    }
}
