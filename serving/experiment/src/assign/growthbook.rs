//! Definitions of GrowthBook, evaluated as their published SDK specification (0.12) says.
//!
//! For those who bring their definitions along: features with rules, experiments with coverage, namespaces, filters,
//! prerequisites, sticky buckets, saved groups and contextual bandits. The product's own definitions are
//! [`Definition`](super::Definition) and [`Plan`](super::Plan), which use the same hash, ranges and conditions.
//!
//! Left out, since a server that answers requests has no page and no edge cache: URL targeting and redirects (an
//! experiment with `urlPatterns` includes nobody), encrypted payloads, and payload reduction.

mod bandit;
mod definition;
mod feature;
mod query;
mod run;
mod sticky;

use std::collections::BTreeMap;

use serde_json::Value;

use super::Groups;
use super::condition::{REMOTE_GROUPS, js_text};

pub use bandit::{Bandit, BanditChoice, Leaf};
pub use definition::{Experiment, Feature, Filter, Prerequisite, Rule, Target, VariationMeta};
pub use feature::{FeatureResult, Source};
pub use query::query_override;
pub use run::ExperimentResult;
pub use sticky::{StickyBuckets, StickyDocument};

/// What features and experiments are evaluated in: one user, and the definitions.
#[derive(Debug, Clone)]
pub struct Context {
    /// The user.
    pub attributes: Value,
    /// Features by key.
    pub features: BTreeMap<String, Feature>,
    /// Variation by experiment key, before everything but a variation forced by the URL.
    pub forced_variations: BTreeMap<String, i64>,
    /// The page's address, where a query parameter can force a variation.
    pub url: String,
    /// Whether experiments run at all.
    pub enabled: bool,
    /// Whether nobody is bucketed at random.
    pub qa_mode: bool,
    /// Saved groups.
    pub groups: Groups,
    /// Contextual bandits by id.
    pub bandits: BTreeMap<String, Bandit>,
}

impl Context {
    /// Reads a context as the specification's cases write it.
    ///
    /// # Errors
    /// Fails on a part of the wrong type, such as weights that are no numbers.
    pub fn read(value: &Value) -> Result<Self, serde_json::Error> {
        let part = |key: &str| value.get(key).cloned().filter(|value| !value.is_null());
        let map = |key: &str| part(key).unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        let flag = |key: &str, otherwise: bool| part(key).and_then(|value| value.as_bool()).unwrap_or(otherwise);
        let mut attributes = map("attributes");
        if let (Some(ids), Some(fields)) = (part("remoteGroupIds"), attributes.as_object_mut()) {
            fields.insert(REMOTE_GROUPS.to_owned(), ids);
        }
        Ok(Self {
            attributes,
            features: serde_json::from_value(map("features"))?,
            forced_variations: serde_json::from_value(map("forcedVariations"))?,
            url: part("url").and_then(|url| url.as_str().map(str::to_owned)).unwrap_or_default(),
            enabled: flag("enabled", true),
            qa_mode: flag("qaMode", false),
            groups: Groups::read(&map("savedGroups")),
            bandits: serde_json::from_value(map("contextualBandits"))?,
        })
    }

    /// Runs `experiment` for the user; `sticky` buckets are read, and written when a variation is assigned.
    pub fn run(&self, experiment: &Experiment, sticky: Option<&mut StickyBuckets>) -> ExperimentResult {
        Evaluation { context: self, sticky, open: Vec::new() }.run(experiment, None)
    }

    /// Evaluates the feature `key` for the user; `sticky` as in [`Context::run`].
    pub fn feature(&self, key: &str, sticky: Option<&mut StickyBuckets>) -> FeatureResult {
        Evaluation { context: self, sticky, open: Vec::new() }.feature(key)
    }
}

/// One evaluation under way.
struct Evaluation<'a> {
    context: &'a Context,
    sticky: Option<&'a mut StickyBuckets>,
    /// The features being evaluated, outermost first.
    open: Vec<String>,
}

/// Whom a hash is taken of: the attribute, and its value if it has one that can be hashed.
struct Hashed<'a> {
    attribute: &'a str,
    value: Option<&'a Value>,
}

impl Hashed<'_> {
    /// The value as text.
    fn text(&self) -> Option<String> {
        self.value.map(text)
    }
}

/// A text or number as text.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => js_text(other.as_f64().unwrap_or(f64::NAN)).as_str().to_owned(),
    }
}

impl Context {
    /// The attribute to hash: `attribute` (by default `id`), or the fallback when it has no value that can be hashed.
    fn hashed<'n>(&'n self, attribute: Option<&'n str>, fallback: Option<&'n str>) -> Hashed<'n> {
        let attribute = attribute.filter(|name| !name.is_empty()).unwrap_or("id");
        let value = self.hashable(attribute);
        if value.is_none()
            && let Some(fallback) = fallback.filter(|name| !name.is_empty())
            && let Some(value) = self.hashable(fallback)
        {
            return Hashed { attribute: fallback, value: Some(value) };
        }
        Hashed { attribute, value }
    }

    /// The value of an attribute that can be hashed: a text that is not empty, or a number other than 0.
    fn hashable(&self, attribute: &str) -> Option<&Value> {
        self.attributes.get(attribute).filter(|value| match value {
            Value::String(text) => !text.is_empty(),
            Value::Number(number) => number.as_f64() != Some(0.0),
            _ => false,
        })
    }

    fn meets(&self, target: Option<&Target>) -> bool {
        target.is_none_or(|target| target.condition().holds(&self.attributes, &self.groups))
    }
}

#[cfg(test)]
mod tests;
