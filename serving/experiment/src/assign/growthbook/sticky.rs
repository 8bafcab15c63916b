//! Sticky buckets: the variation that a user got once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::definition::{Experiment, Settings};
use super::{Evaluation, Hashed};

/// What one user got, by experiment and version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StickyDocument {
    /// What the user is known by.
    pub attribute_name: String,
    /// The user.
    pub attribute_value: String,
    /// Key of the variation by `<experiment>__<bucket version>`.
    pub assignments: BTreeMap<String, String>,
}

/// Documents by `<attribute>||<value>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StickyBuckets(pub BTreeMap<String, StickyDocument>);

/// What sticky buckets say.
pub(super) enum Sticky {
    Nothing,
    Variation(usize),
    /// The user has a bucket of a version that excludes.
    Blocked,
}

impl StickyBuckets {
    /// Adds a document.
    pub fn insert(&mut self, document: StickyDocument) {
        let key = format!("{}||{}", document.attribute_name, document.attribute_value);
        self.0.insert(key, document);
    }

    fn get(&self, hashed: &Hashed<'_>) -> Option<&StickyDocument> {
        self.0.get(&format!("{}||{}", hashed.attribute, hashed.text()?))
    }
}

impl Experiment {
    fn sticky_key(&self, version: u64) -> String {
        format!("{}__{version}", self.key)
    }

    /// The key of a variation.
    pub(super) fn variation_key(&self, index: usize) -> String {
        let meta = self.settings.meta.as_ref().and_then(|meta| meta.get(index));
        meta.and_then(|meta| meta.key.clone()).unwrap_or_else(|| index.to_string())
    }
}

impl Settings {
    fn is_sticky(&self) -> bool {
        !self.disable_sticky_bucketing.unwrap_or(false)
    }
}

impl Evaluation<'_> {
    /// The fallback attribute, where sticky buckets allow one.
    pub(super) fn fallback<'s>(&self, settings: &'s Settings) -> Option<&'s str> {
        let is_kept = self.sticky.is_some() && settings.is_sticky();
        settings.fallback_attribute.as_deref().filter(|_| is_kept)
    }

    pub(super) fn sticky(&self, experiment: &Experiment) -> Sticky {
        let Some(buckets) = self.sticky.as_deref().filter(|_| experiment.settings.is_sticky()) else {
            return Sticky::Nothing;
        };
        let settings = &experiment.settings;
        // The hash attribute's document wins over the fallback's.
        let own = self.context.hashed(settings.hash_attribute.as_deref(), None);
        let fallback = self.context.hashed(settings.fallback_attribute.as_deref(), None);
        let documents = [buckets.get(&own), buckets.get(&fallback)];
        let assigned = |key: &str| documents.iter().flatten().find_map(|document| document.assignments.get(key));
        let mut below = 0..settings.min_bucket_version.unwrap_or(0);
        if below.any(|version| assigned(&experiment.sticky_key(version)).is_some()) {
            return Sticky::Blocked;
        }
        let key = assigned(&experiment.sticky_key(settings.bucket_version.unwrap_or(0)));
        let mut indices = 0..experiment.variations.len();
        let index = key.and_then(|key| indices.find(|index| experiment.variation_key(*index) == *key));
        index.map_or(Sticky::Nothing, Sticky::Variation)
    }

    /// Keeps what the user got.
    pub(super) fn stick(&mut self, experiment: &Experiment, hashed: &Hashed<'_>, index: usize) {
        let Some(value) = hashed.text() else { return };
        let Some(buckets) = self.sticky.as_deref_mut().filter(|_| experiment.settings.is_sticky()) else { return };
        let document = buckets.0.entry(format!("{}||{value}", hashed.attribute)).or_insert_with(|| StickyDocument {
            attribute_name: hashed.attribute.to_owned(),
            attribute_value: value,
            assignments: BTreeMap::new(),
        });
        let key = experiment.sticky_key(experiment.settings.bucket_version.unwrap_or(0));
        document.assignments.insert(key, experiment.variation_key(index));
    }
}
