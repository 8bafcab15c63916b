//! What a decision leaves in its exposure, and so in its example, for learning from it and for evaluating others.
//!
//! Attributes of the exposure: `decision`, its name; `features` of the context; `candidates`, each with its
//! `item_id`, its `propensity` and its own `features`. Products that decide elsewhere may log the same.

use plaudit_event::Example;
use plaudit_experiment::adaptive::{Features, key};
use serde_json::{Map, Value, json};

use super::features::check_features;
use super::{CANDIDATES_ATTRIBUTE, DECISION_ATTRIBUTE, FEATURES_ATTRIBUTE, decision_of};
use crate::{Candidate, Error};

/// The features of every candidate, checked; they are all that a contextual policy knows.
///
/// # Errors
/// Fails with the path of the feature, its value and what is allowed.
pub(super) fn features_of(context: &Map<String, Value>, candidates: &[Candidate]) -> Result<Vec<Features>, Error> {
    let about = check_features("features", context)?;
    let of = |(index, candidate): (usize, &Candidate)| {
        let own = check_features(&format!("candidates[{index}].features"), &candidate.features)?;
        Ok(crossed(&about, &candidate.item_id, own))
    };
    candidates.iter().enumerate().map(of).collect()
}

fn crossed(about: &[(u64, f64)], item_id: &str, mut own: Vec<(u64, f64)>) -> Features {
    // No name of a feature is empty, so an item is never mistaken for one.
    own.push((key("", Some(item_id)), 1.0));
    Features::crossed(about, &own)
}

/// The attributes to log.
#[must_use]
pub fn attributes(
    decision: &str,
    features: Map<String, Value>,
    candidates: &[Candidate],
    propensities: &[f64],
) -> Map<String, Value> {
    let candidates = candidates.iter().zip(propensities).map(|(candidate, propensity)| {
        let mut logged = json!({"item_id": candidate.item_id, "propensity": propensity});
        if !candidate.features.is_empty() {
            logged["features"] = Value::Object(candidate.features.clone());
        }
        logged
    });
    let candidates = Value::Array(candidates.collect());
    let mut attributes = Map::new();
    attributes.insert(DECISION_ATTRIBUTE.to_owned(), Value::from(decision));
    if !features.is_empty() {
        attributes.insert(FEATURES_ATTRIBUTE.to_owned(), Value::Object(features));
    }
    attributes.insert(CANDIDATES_ATTRIBUTE.to_owned(), candidates);
    attributes
}

/// A decision as it was logged.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// The items, each once.
    pub items: Vec<String>,
    /// The probability of each; they sum to 1.
    pub propensities: Vec<f64>,
    /// What was known about each.
    pub features: Vec<Features>,
    /// Index of the one that was shown.
    pub chosen: usize,
}

impl Shown {
    /// What `example` says about all its candidates; nothing where it does not, or not soundly.
    #[must_use]
    pub fn of(example: &Example) -> Option<Self> {
        decision_of(example)?;
        let about = context_of(example)?;
        let logged = example.attributes.get(CANDIDATES_ATTRIBUTE)?.as_array()?;
        let mut shown = Self { items: Vec::new(), propensities: Vec::new(), features: Vec::new(), chosen: 0 };
        for candidate in logged {
            let item = candidate.get("item_id")?.as_str()?;
            let propensity = candidate.get("propensity")?.as_f64().filter(|p| (0.0..=1.0).contains(p))?;
            let none = Map::new();
            let own = candidate.get("features").map_or(Some(&none), Value::as_object)?;
            shown.features.push(crossed(&about, item, check_features("features", own).ok()?));
            shown.items.push(item.to_owned());
            shown.propensities.push(propensity);
        }
        let sum: f64 = shown.propensities.iter().sum();
        let mut names: Vec<&str> = shown.items.iter().map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        shown.chosen = shown.items.iter().position(|item| *item == example.item_id)?;
        let is_sound =
            (sum - 1.0).abs() <= 1e-6 && names.len() == shown.items.len() && shown.propensities[shown.chosen] > 0.0;
        is_sound.then_some(shown)
    }

    /// The features of what `example` showed, also where its other candidates are not known.
    pub(super) fn chosen_features(example: &Example) -> Option<Features> {
        if let Some(mut shown) = Self::of(example) {
            return Some(shown.features.swap_remove(shown.chosen));
        }
        let about = context_of(example)?;
        Some(crossed(&about, &example.item_id, Vec::new()))
    }
}

/// The features of the context: none where the attribute is absent, nothing where it is not sound.
fn context_of(example: &Example) -> Option<Vec<(u64, f64)>> {
    match example.attributes.get(FEATURES_ATTRIBUTE) {
        None => Some(Vec::new()),
        Some(features) => check_features(FEATURES_ATTRIBUTE, features.as_object()?).ok(),
    }
}
