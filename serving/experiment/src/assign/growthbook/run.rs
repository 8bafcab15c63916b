//! An experiment, in the specification's order.

use serde::Serialize;
use serde_json::Value;

use super::Evaluation;
use super::bandit::BanditChoice;
use super::definition::{Experiment, Filter, Settings};
use super::feature::Source;
use super::query::query_override;
use super::sticky::Sticky;
use crate::assign::{bucket_ranges, choose_variation, hash, in_namespace, in_range};

/// What an experiment came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExperimentResult {
    /// The variation's key.
    pub key: String,
    /// The variation's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The feature whose rule ran it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature_id: Option<String>,
    /// Whether the user is in it.
    pub in_experiment: bool,
    /// Whether the hash decided; false when forced.
    pub hash_used: bool,
    /// Index of the variation; 0 outside the experiment.
    pub variation_id: usize,
    /// Its value.
    pub value: Value,
    /// What was hashed.
    pub hash_attribute: String,
    /// The value hashed; empty when there was none.
    pub hash_value: Value,
    /// The position, when the hash was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<f64>,
    /// Whether an earlier bucket decided.
    pub sticky_bucket_used: bool,
    /// Whether the next rule decides.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub passthrough: bool,
    /// The weights of a contextual bandit that the decision was made with.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub bandit: Option<BanditChoice>,
}

/// How a result came about.
#[derive(Default)]
struct How {
    is_hashed: bool,
    is_sticky: bool,
    bucket: Option<f64>,
}

impl Evaluation<'_> {
    /// Runs `experiment`, as a rule of `feature` if any.
    pub(super) fn run(&mut self, experiment: &Experiment, feature: Option<&str>) -> ExperimentResult {
        let context = self.context;
        let count = experiment.variations.len();
        let none = || (None, How::default());
        let (index, how) = if count < 2 || !context.enabled {
            none()
        } else if let Some(index) = query_override(&experiment.key, &context.url, count) {
            (Some(index), How::default())
        } else if let Some(index) = context.forced_variations.get(&experiment.key) {
            (usize::try_from(*index).ok(), How::default())
        } else if experiment.active == Some(false) || experiment.settings.url_patterns.is_some() {
            none()
        } else {
            self.bucketed(experiment)
        };
        self.result(experiment, feature, index, &how)
    }

    /// Targeting, bucket and variation, for whom nothing is forced.
    fn bucketed(&mut self, experiment: &Experiment) -> (Option<usize>, How) {
        let settings = &experiment.settings;
        let none = || (None, How::default());
        let context = self.context;
        let hashed = context.hashed(settings.hash_attribute.as_deref(), self.fallback(settings));
        let Some(text) = hashed.text() else { return none() };
        let sticky = self.sticky(experiment);
        if !matches!(sticky, Sticky::Variation(_)) && !self.is_meant(settings, &text) {
            return none();
        }
        let seed = settings.seed.as_deref().filter(|seed| !seed.is_empty()).unwrap_or(&experiment.key);
        let Some(bucket) = hash(seed, &text, settings.hash_version.unwrap_or(1)) else { return none() };
        let index = match sticky {
            Sticky::Variation(index) => Some(index),
            Sticky::Blocked => return none(),
            Sticky::Nothing => choose(experiment, bucket),
        };
        let Some(index) = index else { return none() };
        if let Some(force) = experiment.force {
            return (usize::try_from(force).ok(), How::default());
        }
        if context.qa_mode {
            return none();
        }
        self.stick(experiment, &hashed, index);
        let is_sticky = matches!(sticky, Sticky::Variation(_));
        (Some(index), How { is_hashed: true, is_sticky, bucket: Some(bucket) })
    }

    /// Filters or namespace, condition, prerequisites.
    fn is_meant(&mut self, settings: &Settings, value: &str) -> bool {
        let context = self.context;
        let passes = match (&settings.filters, &settings.namespace) {
            (Some(filters), _) => self.passes(filters),
            (None, Some((id, start, end))) => in_namespace(value, id, (*start, *end)),
            (None, None) => true,
        };
        passes && context.meets(settings.condition.as_ref()) && self.has_prerequisites(settings)
    }

    fn has_prerequisites(&mut self, settings: &Settings) -> bool {
        settings.parent_conditions.iter().flatten().all(|parent| {
            let result = self.feature(&parent.id);
            result.source != Source::CyclicPrerequisite && self.accepts(parent, result.value)
        })
    }

    /// Whether every filter has the user's position in one of its ranges.
    pub(super) fn passes(&self, filters: &[Filter]) -> bool {
        filters.iter().all(|filter| {
            let hashed = self.context.hashed(filter.attribute.as_deref(), None);
            let position = hashed.text().and_then(|text| hash(&filter.seed, &text, filter.hash_version.unwrap_or(2)));
            position.is_some_and(|position| filter.ranges.iter().any(|range| in_range(position, *range)))
        })
    }

    fn result(
        &self,
        experiment: &Experiment,
        feature: Option<&str>,
        index: Option<usize>,
        how: &How,
    ) -> ExperimentResult {
        let settings = &experiment.settings;
        let hashed = self.context.hashed(settings.hash_attribute.as_deref(), self.fallback(settings));
        let index = index.filter(|index| *index < experiment.variations.len());
        let shown = index.unwrap_or(0);
        let meta = settings.meta.as_ref().and_then(|meta| meta.get(shown));
        ExperimentResult {
            key: experiment.variation_key(shown),
            name: meta.and_then(|meta| meta.name.clone()),
            feature_id: feature.map(str::to_owned),
            in_experiment: index.is_some(),
            hash_used: how.is_hashed,
            variation_id: shown,
            value: experiment.variations.get(shown).cloned().unwrap_or(Value::Null),
            hash_attribute: hashed.attribute.to_owned(),
            hash_value: hashed.value.cloned().unwrap_or_else(|| Value::String(String::new())),
            bucket: how.bucket,
            sticky_bucket_used: how.is_sticky,
            passthrough: meta.and_then(|meta| meta.passthrough).unwrap_or(false),
            bandit: None,
        }
    }
}

fn choose(experiment: &Experiment, bucket: f64) -> Option<usize> {
    let settings = &experiment.settings;
    let count = experiment.variations.len();
    let computed;
    let ranges = match &settings.ranges {
        Some(ranges) => ranges,
        None => {
            computed = bucket_ranges(count, settings.coverage.unwrap_or(1.0), settings.weights.as_deref());
            &computed
        }
    };
    choose_variation(bucket, ranges)
}
