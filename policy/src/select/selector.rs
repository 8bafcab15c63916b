//! Who chooses what: Thompson sampling, or the contextual policy where it has been shown to be better.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plaudit_event::{Example, PolicyId, Stream};
use serde_json::{Map, Value};

use super::contextual::{Chooser, Models, Status};
use super::corrections::Folded;
use super::draw::drawn;
use super::shown::features_of;
use super::thompson::check_items;
use super::{Config, Kind, Thompson};
use crate::config::id_of;
use crate::{Candidate, Decision, Error};

/// A choice, and whose it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Selected {
    /// What was decided.
    pub decision: Decision,
    /// The policy that drew.
    pub policy_id: PolicyId,
}

/// Selection for any number of decisions. Folding and choosing may run on different threads.
#[derive(Debug)]
pub struct Selector {
    config: Config,
    thompson: Thompson,
    /// Nothing where the configuration wants none.
    models: Option<Mutex<Models>>,
}

impl Selector {
    /// A selector that has seen nothing.
    ///
    /// # Errors
    /// Fails when `config` is invalid.
    pub fn new(config: Config) -> Result<Self, Error> {
        let thompson = Thompson::new(config.clone())?;
        let models = match config.kind {
            Kind::Beta => None,
            Kind::Contextual => Some(Mutex::new(Models::new(id_of("contextual", &config.of_contextual())?))),
        };
        Ok(Self { config, thompson, models })
    }

    /// Thompson sampling, which always learns.
    #[must_use]
    pub const fn thompson(&self) -> &Thompson {
        &self.thompson
    }

    /// Learns from `example`. A later revision replaces what an earlier one added; folding the same revision again
    /// changes nothing.
    ///
    /// # Errors
    /// Fails when the contextual policy cannot compute; Thompson sampling has learned then.
    pub fn fold(&self, example: &Example) -> Result<Folded, Error> {
        // The gate must hear what both would have done before either learns what came of it.
        let contextual = self
            .models()
            .map(|mut models| models.fold(example, &self.config, &|decision, items| self.beta(decision, items)));
        let folded = self.thompson.fold(example);
        crate::metrics::folded(folded);
        contextual.transpose()?;
        Ok(folded)
    }

    /// Chooses among `candidates` for the decision called `decision`, where `features` are those of the context.
    ///
    /// # Errors
    /// Fails when there is no candidate, too many, or one item twice, and when a feature is out of range, also where
    /// nobody goes by it yet: it is logged and learned from.
    pub fn choose(
        &self,
        decision: &str,
        features: &Map<String, Value>,
        candidates: &[Candidate],
        rng: &mut Stream,
    ) -> Result<Selected, Error> {
        let items: Vec<&str> = candidates.iter().map(|candidate| candidate.item_id.as_str()).collect();
        check_items(&items, &self.config)?;
        let known = features_of(features, candidates)?;
        if let Some(models) = self.models()
            && models.serves(decision, &self.config) == Chooser::Contextual
        {
            let propensities = models.propensities(decision, &known, &self.config)?;
            let policy_id = models.id().clone();
            return Ok(Selected { decision: drawn(candidates, &propensities, rng), policy_id });
        }
        let decision = self.thompson.choose(decision, candidates, rng)?;
        Ok(Selected { decision, policy_id: self.thompson.id().clone() })
    }

    /// Where every decision stands that the contextual policy has seen.
    #[must_use]
    pub fn status(&self) -> Vec<Status> {
        self.models().map(|models| models.status(self.thompson.id())).unwrap_or_default()
    }

    pub(super) fn beta(&self, decision: &str, items: &[String]) -> Option<Arc<[f64]>> {
        let items: Vec<&str> = items.iter().map(String::as_str).collect();
        self.thompson.propensities(decision, &items).ok()
    }

    pub(super) const fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn models(&self) -> Option<MutexGuard<'_, Models>> {
        // A panic between two sums leaves both finite, so the state stays usable.
        self.models.as_ref().map(|models| models.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
