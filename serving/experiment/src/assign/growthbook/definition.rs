//! What GrowthBook's payload defines.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::super::{Condition, Range};
use super::bandit::BanditChoice;

/// A condition with the JSON it was read from.
#[derive(Debug, Clone, Default)]
pub struct Target {
    source: Value,
    condition: Condition,
}

impl Target {
    /// The parsed condition.
    #[must_use]
    pub fn condition(&self) -> &Condition {
        &self.condition
    }
}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = Value::deserialize(deserializer)?;
        Ok(Self { condition: Condition::read(&source), source })
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.source.serialize(serializer)
    }
}

/// A feature: the first rule that applies gives the value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Feature {
    /// When no rule applies.
    pub default_value: Value,
    /// In order.
    pub rules: Vec<Rule>,
}

/// A rule: a value by force, an experiment, or a gate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    /// Names the rule.
    pub id: Option<String>,
    /// The value, for whoever is included.
    #[serde(deserialize_with = "present")]
    pub force: Option<Value>,
    /// The part of the positions that is included in `force`.
    pub range: Option<Range>,
    /// The variations of a contextual bandit.
    pub contextual_variations: Option<Vec<Value>>,
    /// The bandit that gives their weights.
    pub contextual_bandit_ref: Option<String>,
    /// The key of the experiment; the feature's when absent.
    pub key: Option<String>,
    /// The variations of an experiment.
    pub variations: Option<Vec<Value>>,
    /// Everything else that an experiment has.
    #[serde(flatten)]
    pub settings: Settings,
}

/// An experiment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Experiment {
    /// Names the experiment; also the seed when there is none.
    pub key: String,
    /// At least two.
    pub variations: Vec<Value>,
    /// False: only forced variations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// The variation for everybody who is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force: Option<i64>,
    /// In a result: the leaf and weights of the bandit whose rule it was.
    #[serde(skip_serializing_if = "Option::is_none", skip_deserializing)]
    pub contextual_bandit: Option<BanditChoice>,
    /// Everything else.
    #[serde(flatten)]
    pub settings: Settings,
}

/// What rules and experiments share.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Settings {
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The phase, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Fraction of each variation's part that is included, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage: Option<f64>,
    /// Of the variations; equal when absent or when they do not add up to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<Vec<f64>>,
    /// Ranges of the variations, in place of weights and coverage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranges: Option<Vec<Range>>,
    /// Of the variations: key, name, whether it lets the next rule decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta: Option<Vec<VariationMeta>>,
    /// Who is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<Target>,
    /// Features that must have a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_conditions: Option<Vec<Prerequisite>>,
    /// Positions under other seeds that must be met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filters: Option<Vec<Filter>>,
    /// Id, start, end: the older form of one filter; ignored beside `filters`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<(String, f64, f64)>,
    /// The seed of the hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
    /// 1 (the default) or 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash_version: Option<u64>,
    /// What is hashed, `id` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash_attribute: Option<String>,
    /// What is hashed when that is missing and sticky buckets are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_attribute: Option<String>,
    /// Whether sticky buckets are neither read nor written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_sticky_bucketing: Option<bool>,
    /// Sticky buckets of other versions do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket_version: Option<u64>,
    /// Users with a sticky bucket below this version are excluded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_bucket_version: Option<u64>,
    /// Which pages are meant; with any, nobody is included here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_patterns: Option<Value>,
}

/// What is known of a variation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VariationMeta {
    /// Its key; its index when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether the next rule decides for those who are in it: a holdout's complement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passthrough: Option<bool>,
}

/// Positions under another seed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Filter {
    /// What is hashed, `id` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// The seed.
    pub seed: String,
    /// 2 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash_version: Option<u64>,
    /// One of them must have the position.
    pub ranges: Vec<Range>,
}

/// A feature that must have a value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Prerequisite {
    /// The feature.
    pub id: String,
    /// On `{"value": ...}`.
    pub condition: Target,
    /// Whether the feature is off where the condition does not hold; else only the rule is skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<bool>,
}

/// A key that is there, be its value null.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
