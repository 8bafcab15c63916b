//! What another policy would have earned on decisions that were logged: rows for off-policy estimators.

use std::collections::HashMap;

use plaudit_event::{Example, ExposureId};
use plaudit_experiment::adaptive::key;
use plaudit_experiment::off_policy::{Candidates, Row, Sample};
use serde::Serialize;

use super::contextual::computing;
use super::corrections::Folded;
use super::{Config, Kind, Selector, Shown, decision_of};
use crate::Error;

/// The policy that is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The contextual policy, learning as it goes.
    Contextual,
    /// Thompson sampling, learning as it goes.
    Beta,
    /// Every candidate as often as any other.
    Even,
}

/// A log as rows, and what is not among them.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// One row per labelled decision whose candidates are known, in the order of the examples.
    pub sample: Sample,
    /// Labelled examples of the decision without candidates and propensities that fit together.
    pub without_candidates: usize,
}

/// Replays the examples of `decision` in their order, corrections included. What `target` would have done with an
/// example, and the reward model's predictions (the contextual policy's), are computed before it is learned from;
/// no example is used twice.
///
/// # Errors
/// Fails when `config` is invalid, and when no example of the decision can be used.
pub fn replay<'a>(
    examples: impl IntoIterator<Item = &'a Example>,
    decision: &str,
    target: Target,
    config: &Config,
) -> Result<Replayed, Error> {
    let selector = Selector::new(Config { kind: Kind::Contextual, ..config.clone() })?;
    let mut rows: Vec<Option<Row>> = Vec::new();
    let mut places: HashMap<&ExposureId, usize> = HashMap::new();
    let mut without_candidates = 0;
    for example in examples.into_iter().filter(|example| decision_of(example) == Some(decision)) {
        let label = example.label(&config.objective).map(|label| f64::from(label.value).clamp(0.0, 1.0));
        let asked = label.and_then(|_| Shown::of(example)).map(|shown| ask(&selector, decision, target, &shown));
        let asked = asked.transpose()?;
        match (selector.fold(example)?, label, asked) {
            (Folded::Counted, Some(reward), Some(row)) => {
                places.insert(&example.exposure_id, rows.len());
                let unit = key("unit", Some(example.unit_id.as_str()));
                rows.push(Some(Row { unit, reward, ..row }));
            }
            (Folded::Counted, ..) => without_candidates += 1,
            (Folded::Corrected, label, _) => {
                if let Some(row) = places.get(&example.exposure_id).and_then(|place| rows.get_mut(*place)) {
                    *row = row.and_then(|row| Some(Row { reward: label?, ..row }));
                }
            }
            (Folded::Stale | Folded::NotOurs | Folded::Forgotten, ..) => {}
        }
    }
    let rows: Vec<Row> = rows.into_iter().flatten().collect();
    if rows.is_empty() {
        let allowed = format!(
            "that of examples with the label `{}` and all candidates with their propensities",
            config.objective
        );
        return Err(Error::invalid("decision", allowed, format!("`{decision}`")));
    }
    let sample = Sample::new(rows).map_err(computing)?;
    Ok(Replayed { sample, without_candidates })
}

/// The row of a decision, its unit and reward left open.
fn ask(selector: &Selector, decision: &str, target: Target, shown: &Shown) -> Result<Row, Error> {
    let models = selector.models().ok_or_else(|| computing("there is no contextual policy"))?;
    let values = models.values(decision, &shown.features);
    let evaluation = match target {
        Target::Contextual => models.propensities(decision, &shown.features, selector.config())?,
        Target::Beta => {
            let known = selector.beta(decision, &shown.items);
            known.ok_or_else(|| computing("Thompson sampling takes no such candidates"))?.to_vec()
        }
        Target::Even => vec![1.0 / shown.items.len() as f64; shown.items.len()],
    };
    let of = Candidates {
        behavior: &shown.propensities,
        evaluation: &evaluation,
        values: Some(&values),
        action: shown.chosen,
    };
    Row::from_candidates(0, 0, 0.0, &of).map_err(computing)
}
