//! What is kept of a decision, and the check that it can be had again.

use plaudit_event::{ExperimentId, LayerId, Timestamp, VariantId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Decision, Plan, Reason, Request};

/// A decision as it is logged: all that replaying it takes, besides the definition and the attributes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logged {
    /// Canonical hash of the definition.
    pub definition: String,
    /// The layer.
    pub layer: LayerId,
    /// Its salt.
    pub salt: String,
    /// The kind of unit.
    pub unit_kind: String,
    /// The unit; empty when the request named none.
    pub unit: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
    /// The experiment, or the run of a rolling one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<ExperimentId>,
    /// Its seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
    /// Index of the step of the ramp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<usize>,
    /// The probability of each variant among the enrolled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<f64>,
    /// The variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<VariantId>,
    /// The probability that the unit had of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propensity: Option<f64>,
    /// The bucket under the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<u32>,
}

/// How a logged decision differs from the replayed one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: logged {logged}, replayed {replayed}")]
pub struct Mismatch {
    /// The field of [`Logged`].
    pub field: &'static str,
    /// What was logged.
    pub logged: String,
    /// What the plan decides.
    pub replayed: String,
}

impl<P> Plan<P> {
    /// What is to be kept of `decision`, made on `request`.
    #[must_use]
    pub fn log(&self, decision: &Decision<'_, P>, request: Request<'_>) -> Logged {
        let experiment = decision.experiment();
        Logged {
            definition: self.hash.clone(),
            layer: decision.layer().clone(),
            salt: decision.salt().to_owned(),
            unit_kind: decision.unit().to_owned(),
            unit: request.unit_of(decision.unit()).to_owned(),
            at: request.now,
            reason: decision.reason,
            experiment: experiment.map(|experiment| experiment.id.clone()),
            seed: experiment.map(|experiment| experiment.seed_text.clone()),
            phase: decision.phase(),
            weights: decision.weights().to_vec(),
            variant: decision.variant().map(|variant| variant.id.clone()),
            propensity: decision.propensity(),
            bucket: decision.bucket(),
        }
    }

    /// Decides `logged` again and compares every field. The plan must be compiled from the definition, runs and served
    /// variants of the time; `attributes` are those of the request, and `units` the units of other kinds that it named
    /// (a holdout by another kind of unit asks for them).
    ///
    /// # Errors
    /// Every field that differs.
    pub fn replay(&self, logged: &Logged, units: &[(&str, &str)], attributes: &Value) -> Result<(), Vec<Mismatch>> {
        let mut named = vec![(logged.unit_kind.as_str(), logged.unit.as_str())];
        named.extend(units.iter().filter(|(kind, _)| *kind != logged.unit_kind));
        let request = Request { units: &named, attributes, now: logged.at };
        let Some(decision) = self.assign_in(&logged.layer, request) else {
            let missing =
                Mismatch { field: "layer", logged: logged.layer.to_string(), replayed: "no such layer".to_owned() };
            return Err(vec![missing]);
        };
        let replayed = self.log(&decision, request);
        let [before, after] = [logged, &replayed].map(|log| serde_json::to_value(log).unwrap_or(Value::Null));
        let mut mismatches = Vec::new();
        for field in FIELDS {
            if before.get(field) != after.get(field) {
                let text = |value: &Value| value.get(field).map_or_else(|| "nothing".to_owned(), Value::to_string);
                mismatches.push(Mismatch { field, logged: text(&before), replayed: text(&after) });
            }
        }
        if mismatches.is_empty() { Ok(()) } else { Err(mismatches) }
    }
}

/// The fields that are compared.
const FIELDS: [&str; 12] = [
    "definition",
    "salt",
    "unit_kind",
    "unit",
    "reason",
    "experiment",
    "seed",
    "phase",
    "weights",
    "variant",
    "propensity",
    "bucket",
];

impl<'a> Request<'a> {
    fn unit_of(&self, kind: &str) -> &'a str {
        self.units.iter().find(|(name, _)| *name == kind).map_or("", |(_, id)| *id)
    }
}
