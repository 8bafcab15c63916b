//! Contextual bandits: weights that depend on the user.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::definition::Target;
use super::{Context, Rule};

/// A bandit: the first leaf whose condition holds gives the weights.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Bandit {
    /// Which revision of the weights this is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandit_version: Option<Value>,
    /// In order.
    pub contexts: Vec<Leaf>,
}

/// A part of the users with weights of its own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Leaf {
    /// Names the leaf.
    pub leaf_id: i64,
    /// Who belongs to it.
    pub condition: Target,
    /// Of the variations.
    pub weights: Vec<f64>,
}

/// The leaf and weights that a decision was made with, to be logged with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BanditChoice {
    /// The leaf; -1 when none held and the rule's own weights were used.
    pub leaf_id: i64,
    /// Of the variations.
    pub variation_weights: Vec<f64>,
    /// The revision of the weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandit_version: Option<Value>,
}

/// No leaf held.
const NO_LEAF: i64 = -1;

impl Context {
    /// The leaf of the user for a rule of a bandit; none when the rule names no bandit that is defined.
    pub(super) fn leaf(&self, rule: &Rule, num_variations: usize) -> Option<BanditChoice> {
        let bandit = self.bandits.get(rule.contextual_bandit_ref.as_deref()?)?;
        let holds = |leaf: &&Leaf| leaf.condition.condition().holds(&self.attributes, &self.groups);
        let (leaf_id, weights) = match bandit.contexts.iter().find(holds) {
            Some(leaf) => (leaf.leaf_id, leaf.weights.clone()),
            None => {
                let equal = || super::super::equal_weights(i64::try_from(num_variations).unwrap_or(0));
                (NO_LEAF, rule.settings.weights.clone().unwrap_or_else(equal))
            }
        };
        Some(BanditChoice { leaf_id, variation_weights: weights, bandit_version: bandit.bandit_version.clone() })
    }
}
