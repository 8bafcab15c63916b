//! Selection: which of several candidates to show, learned from reactions, with exact propensities.
//!
//! Each (decision, item) has a rate with a Beta posterior. Thompson sampling shows an item as often as
//! it is the best under the posterior. The usual way draws one rate per item and takes the largest; the
//! probability of that draw is then unknown and has to be estimated. Here it is the other way round:
//! `P(item is best)` is computed by quadrature, a uniform floor is mixed in, and the item is drawn *from
//! that vector*, so that the logged propensity is exact and offline evaluation needs no approximation.
//!
//! With K candidates, floor `f` and `w = P(best)`: `p = f + (1 − K·f)·w`.
//!
//! State is a pure function of the examples folded, in order: after a restart, fold the log again.

mod best;
mod posterior;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use plaudit_event::{Context, Example, Impression, PolicyId, Propensity, Stream};
use plaudit_ingest::Problem;
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::config::check;
use crate::{Candidate, Decision, Error, Policy};

pub use best::{Beta, probability_best};
pub use posterior::{Count, Folded};

use posterior::Counts;

/// The exposure attribute that names the decision.
pub const DECISION_ATTRIBUTE: &str = "decision";

/// Candidate sets whose probabilities are kept, over all decisions.
const MAX_CACHED: usize = 1024;

/// The floor takes at most this share of all decisions, however many candidates there are.
const MAX_FLOOR_SHARE: f64 = 0.5;

/// Settings of [`Thompson`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The objective whose label is the success.
    pub objective: String,
    /// Pseudo-count of successes before any example.
    pub prior_positive: f64,
    /// Pseudo-count of failures before any example.
    pub prior_negative: f64,
    /// Probability that every candidate keeps, however bad it looks; lowered when the candidates are so
    /// many that their floors would take more than half of all decisions.
    pub explore_floor: f64,
    /// Most candidates of one decision.
    pub max_candidates: usize,
    /// Most decisions remembered; the one folded longest ago goes first.
    pub max_decisions: usize,
    /// Most items remembered per decision; the one folded longest ago goes first.
    pub max_items: usize,
    /// Most exposures whose label can still be corrected.
    pub max_corrections: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            objective: "click".to_owned(),
            prior_positive: 1.0,
            prior_negative: 1.0,
            explore_floor: 0.01,
            max_candidates: 100,
            max_decisions: 1_000,
            max_items: 1_000,
            max_corrections: 200_000,
        }
    }
}

impl Config {
    /// Every value outside its range; `path` is the key of this section.
    pub(crate) fn validate(&self, path: &str, problems: &mut Vec<Problem>) {
        let mut at = check(path, problems);
        at.not_empty("objective", &self.objective);
        at.float("prior_positive", self.prior_positive, 0.1, 1e6);
        at.float("prior_negative", self.prior_negative, 0.1, 1e6);
        at.float("explore_floor", self.explore_floor, 0.0, 0.5);
        at.int("max_candidates", self.max_candidates, 1, 1_000);
        at.int("max_decisions", self.max_decisions, 1, 1_000_000);
        at.int("max_items", self.max_items, 1, 1_000_000);
        at.int("max_corrections", self.max_corrections, 1, 100_000_000);
    }
}

/// Thompson sampling over Beta posteriors, for any number of decisions.
///
/// Folding and choosing may run on different threads.
#[derive(Debug)]
pub struct Thompson {
    id: PolicyId,
    config: Config,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    counts: Counts,
    cache: HashMap<CacheKey, Cached>,
}

type CacheKey = (String, Vec<String>);

#[derive(Debug)]
struct Cached {
    version: u64,
    propensities: Arc<[f64]>,
}

impl Thompson {
    /// A policy that has seen nothing. Its id names the settings; what it has learned changes with every
    /// example, which is why each decision carries its propensity.
    ///
    /// # Errors
    /// Fails when `config` is invalid.
    pub fn new(config: Config) -> Result<Self, Error> {
        let mut problems = Vec::new();
        config.validate("select", &mut problems);
        if !problems.is_empty() {
            return Err(Error::Config(problems));
        }
        let id = crate::config::id_of("select", &config)?;
        Ok(Self { id, config, state: Mutex::default() })
    }

    /// The id recorded on exposures.
    #[must_use]
    pub const fn id(&self) -> &PolicyId {
        &self.id
    }

    /// Learns from `example`. A later revision replaces what an earlier one added; folding the same
    /// revision again changes nothing.
    pub fn fold(&self, example: &Example) -> Folded {
        let folded = self.lock().counts.fold(example, &self.config);
        crate::metrics::folded(folded);
        folded
    }

    /// The probability of each of `items` to be chosen for `decision`, in order; sums to 1.
    ///
    /// # Errors
    /// Fails when there is no item, too many, or one twice.
    pub fn propensities(&self, decision: &str, items: &[&str]) -> Result<Arc<[f64]>, Error> {
        self.check_items(items)?;
        let mut state = self.lock();
        let version = state.counts.version(decision);
        let key = (decision.to_owned(), items.iter().map(ToString::to_string).collect());
        if let Some(cached) = state.cache.get(&key)
            && cached.version == version
        {
            return Ok(cached.propensities.clone());
        }
        let posteriors: Vec<Beta> =
            items.iter().map(|item| state.counts.posterior(decision, item, &self.config)).collect();
        let propensities: Arc<[f64]> = self.with_floor(probability_best(&posteriors)).into();
        if state.cache.len() >= MAX_CACHED {
            state.cache.clear();
        }
        let cached = Cached { version, propensities: propensities.clone() };
        state.cache.insert(key, cached);
        Ok(propensities)
    }

    /// Chooses among `candidates` for the decision called `decision`.
    ///
    /// # Errors
    /// Fails when there is no candidate, too many, or one item twice.
    pub fn choose(&self, decision: &str, candidates: &[Candidate], rng: &mut Stream) -> Result<Decision, Error> {
        let items: Vec<&str> = candidates.iter().map(|c| c.item_id.as_str()).collect();
        let propensities = self.propensities(decision, &items)?;
        let chosen = draw(&propensities, rng);
        let slate = candidates
            .iter()
            .zip(0_u32..)
            .zip(propensities.iter())
            .map(|((candidate, position), propensity)| Impression {
                item_id: candidate.item_id.clone(),
                position,
                content: candidate.content.clone(),
                score: Some(*propensity),
            })
            .collect();
        Ok(Decision {
            slate,
            chosen: u32::try_from(chosen).unwrap_or(u32::MAX),
            propensity: Propensity::new(propensities[chosen].min(1.0)).ok(),
            token_logprobs: None,
            propensities: propensities.to_vec(),
        })
    }

    /// What is known about the items of `decision`.
    #[must_use]
    pub fn counts(&self, decision: &str) -> Vec<(String, Count)> {
        self.lock().counts.items(decision)
    }

    /// Names of all decisions with at least one example.
    #[must_use]
    pub fn decisions(&self) -> Vec<String> {
        self.lock().counts.decisions()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // A panic between two counts leaves both valid, so the state stays usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_items(&self, items: &[&str]) -> Result<(), Error> {
        if items.is_empty() || items.len() > self.config.max_candidates {
            let allowed = format!("between 1 and {} candidates", self.config.max_candidates);
            return Err(Error::invalid("candidates", allowed, items.len()));
        }
        let mut seen = std::collections::HashSet::new();
        match items.iter().find(|item| !seen.insert(**item)) {
            Some(twice) => Err(Error::invalid("candidates", "each item once", twice)),
            None => Ok(()),
        }
    }

    /// `p = f + (1 − K·f)·w`.
    fn with_floor(&self, best: Vec<f64>) -> Vec<f64> {
        let count = best.len() as f64;
        let floor = self.config.explore_floor.min(MAX_FLOOR_SHARE / count);
        let scale = 1.0 - count * floor;
        best.into_iter().map(|w| floor + scale * w).collect()
    }
}

/// Draws an index with the given probabilities; never one of probability 0.
fn draw(probabilities: &[f64], rng: &mut Stream) -> usize {
    let total: f64 = probabilities.iter().sum();
    let mut rest = rng.random::<f64>() * total;
    let mut last = 0;
    for (index, p) in probabilities.iter().enumerate() {
        if *p <= 0.0 {
            continue;
        }
        last = index;
        if rest < *p {
            return index;
        }
        rest -= p;
    }
    last
}

/// [`Thompson`] for one decision, as a [`Policy`].
#[derive(Debug, Clone)]
pub struct SelectPolicy {
    decision: String,
    thompson: Arc<Thompson>,
}

impl SelectPolicy {
    /// Decides `decision` with what `thompson` knows.
    #[must_use]
    pub fn new(decision: impl Into<String>, thompson: Arc<Thompson>) -> Self {
        Self { decision: decision.into(), thompson }
    }
}

impl Policy for SelectPolicy {
    fn id(&self) -> &PolicyId {
        self.thompson.id()
    }

    fn act(&self, _context: &Context, candidates: &[Candidate], rng: &mut Stream) -> Result<Decision, Error> {
        self.thompson.choose(&self.decision, candidates, rng)
    }
}

#[cfg(test)]
mod tests;
