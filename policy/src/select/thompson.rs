//! Thompson sampling over Beta posteriors, context-free.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use plaudit_event::{Context, Example, PolicyId, Stream};
use plaudit_experiment::adaptive::{Beta, beta_best};

use super::corrections::Folded;
use super::draw::drawn;
use super::posterior::{Count, Counts};
use super::{Config, with_floor};
use crate::{Candidate, Decision, Error, Policy};

/// Candidate sets whose probabilities are kept, over all decisions.
const MAX_CACHED: usize = 1024;

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
        let id = crate::config::id_of("select", &config.without_context())?;
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
        self.lock().counts.fold(example, &self.config)
    }

    /// The probability of each of `items` to be chosen for `decision`, in order; sums to 1.
    ///
    /// # Errors
    /// Fails when there is no item, too many, or one twice.
    pub fn propensities(&self, decision: &str, items: &[&str]) -> Result<Arc<[f64]>, Error> {
        check_items(items, &self.config)?;
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
        let propensities: Arc<[f64]> = with_floor(beta_best(&posteriors), &self.config).into();
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
        Ok(drawn(candidates, &propensities, rng))
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
}

/// Fails when there is no item, too many, or one twice.
pub(super) fn check_items(items: &[&str], config: &Config) -> Result<(), Error> {
    if items.is_empty() || items.len() > config.max_candidates {
        let allowed = format!("between 1 and {} candidates", config.max_candidates);
        return Err(Error::invalid("candidates", allowed, items.len()));
    }
    let mut seen = HashSet::new();
    match items.iter().find(|item| !seen.insert(**item)) {
        Some(twice) => Err(Error::invalid("candidates", "each item once", twice)),
        None => Ok(()),
    }
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
