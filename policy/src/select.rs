//! Selection: which of several candidates to show, learned from reactions, with exact propensities.
//!
//! [`Thompson`]: each (decision, item) has a rate with a Beta posterior. Thompson sampling shows an item as often as
//! it is the best under the posterior. The usual way draws one rate per item and takes the largest; the
//! probability of that draw is then unknown and has to be estimated. Here it is the other way round:
//! `P(item is best)` is computed by quadrature, a uniform floor is mixed in, and the item is drawn *from
//! that vector*, so that the logged propensity is exact and offline evaluation needs no approximation.
//!
//! With K candidates, floor `f` and `w = P(best)`: `p = f + (1 − K·f)·w`.
//!
//! The contextual policy goes by features of the context and of the candidates: ridge regression and inverse gap
//! weighting ([`plaudit_experiment::adaptive::Contextual`]), whose probabilities are exact by construction. It serves
//! a decision only once the log has shown that it is better there; [`Selector`] keeps both.
//!
//! State is a pure function of the examples folded, in order: after a restart, fold the log again.

mod config;
mod contextual;
mod corrections;
mod draw;
mod features;
mod posterior;
mod replay;
mod selector;
mod shown;
mod thompson;

use plaudit_event::Example;

pub use config::{Config, ContextualConfig, GateConfig, Kind};
pub use contextual::{Change, Chooser, Status};
pub use corrections::Folded;
pub use features::{MAX_FEATURE_BYTES, MAX_FEATURE_VALUE, MAX_FEATURES, check_features};
pub use posterior::Count;
pub use replay::{Replayed, Target, replay};
pub use selector::{Selected, Selector};
pub use shown::{Shown, attributes};
pub use thompson::{SelectPolicy, Thompson};

/// The exposure attribute that names the decision.
pub const DECISION_ATTRIBUTE: &str = "decision";
/// The exposure attribute with the features of the context.
pub const FEATURES_ATTRIBUTE: &str = "features";
/// The exposure attribute with all candidates, their propensities and their features.
pub const CANDIDATES_ATTRIBUTE: &str = "candidates";

/// The floor takes at most this share of all decisions, however many candidates there are.
const MAX_FLOOR_SHARE: f64 = 0.5;

/// The decision that `example` is of, if it is of one.
fn decision_of(example: &Example) -> Option<&str> {
    example.attributes.get(DECISION_ATTRIBUTE)?.as_str()
}

/// The least probability of each of `count` candidates.
fn floor_of(count: usize, config: &Config) -> f64 {
    config.explore_floor.min(MAX_FLOOR_SHARE / count as f64)
}

/// `p = f + (1 − K·f)·w`.
fn with_floor(best: Vec<f64>, config: &Config) -> Vec<f64> {
    let floor = floor_of(best.len(), config);
    let scale = 1.0 - best.len() as f64 * floor;
    best.into_iter().map(|w| floor + scale * w).collect()
}

#[cfg(test)]
mod tests;
