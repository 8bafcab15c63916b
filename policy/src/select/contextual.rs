//! Selection by context, one model per decision, and the gate that lets it serve.
//!
//! As long as Thompson sampling serves a decision, the contextual policy learns from its examples, and each example
//! says, *before* it is learned from, what the contextual policy would have done. The improvement over what was
//! served is watched by an [`OnlineGate`]; when it passes, the contextual policy serves. From then on the same is
//! asked the other way round, with Thompson sampling as it has learned meanwhile. Change number k may be wrong with
//! probability α/((k+1)(k+2)), which sums to α over all changes there will ever be.
//!
//! What that rests on: that logged propensities are right, that a reaction depends on its own exposure only, and that
//! examples come about in the order in which they were shown.

mod model;

use std::collections::BTreeMap;
use std::sync::Arc;

use plaudit_event::{Example, PolicyId, Timestamp};
use plaudit_experiment::adaptive::{self, Learned};
use plaudit_experiment::off_policy::{Diagnostics, Verdict};
use serde::Serialize;

use model::{Asked, Model};

use super::corrections::{Corrections, Folded};
use super::posterior::evict;
use super::{Config, Shown, decision_of, floor_of};
use crate::Error;

/// Who chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Chooser {
    /// Thompson sampling without context.
    Beta,
    /// The contextual policy.
    Contextual,
}

impl Chooser {
    const fn other(self) -> Self {
        match self {
            Self::Beta => Self::Contextual,
            Self::Contextual => Self::Beta,
        }
    }
}

/// A decision that changed hands, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Who serves since then.
    pub to: Chooser,
    /// When the deciding example came about.
    pub ts: Timestamp,
    /// Lower bound of the improvement, above the margin.
    pub lower: f64,
    /// What it rests on.
    pub diagnostics: Diagnostics,
}

/// Where a decision stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// The decision.
    pub decision: String,
    /// Who serves it.
    pub serves: Chooser,
    /// The policy id on its exposures.
    pub policy_id: PolicyId,
    /// Examples that the contextual policy has learned from, old ones counting less.
    pub examples: f64,
    /// Its weights in use.
    pub dimensions: usize,
    /// Who is evaluated against who serves; nothing where the gate is off.
    pub evaluated: Option<Chooser>,
    /// Mean reward of who serves, over the rows of the gate.
    pub served_reward: Option<f64>,
    /// Estimated improvement of who is evaluated.
    pub improvement: Option<f64>,
    /// What the rows say; nothing without rows.
    pub verdict: Option<Verdict>,
    /// The changes of hands, oldest first; the newest 20.
    pub changes: Vec<Change>,
}

/// What an exposure has added.
#[derive(Debug)]
struct Added {
    decision: Arc<str>,
    born: u64,
    fingerprint: u64,
    learned: Learned,
    asked: Option<Asked>,
}

/// All models. A pure function of the sequence of examples folded.
#[derive(Debug)]
pub(super) struct Models {
    id: PolicyId,
    models: BTreeMap<Arc<str>, Model>,
    added: Corrections<Added>,
    folded: u64,
}

/// Thompson sampling's probabilities for a decision and its items.
pub(super) type BetaOf<'a> = &'a dyn Fn(&str, &[String]) -> Option<Arc<[f64]>>;

impl Models {
    pub(super) fn new(id: PolicyId) -> Self {
        Self { id, models: BTreeMap::new(), added: Corrections::default(), folded: 0 }
    }

    pub(super) const fn id(&self) -> &PolicyId {
        &self.id
    }

    /// Who serves `decision`.
    pub(super) fn serves(&self, decision: &str, config: &Config) -> Chooser {
        let start = if config.gate.enabled { Chooser::Beta } else { Chooser::Contextual };
        self.models.get(decision).map_or(start, |model| model.serves)
    }

    /// The contextual policy's probabilities; even ones where nothing is known.
    pub(super) fn propensities(
        &self,
        decision: &str,
        candidates: &[adaptive::Features],
        config: &Config,
    ) -> Result<Vec<f64>, Error> {
        let floor = floor_of(candidates.len(), config);
        match self.models.get(decision) {
            Some(model) => model.bandit.propensities(candidates, floor).map_err(computing),
            None => Ok(vec![1.0 / candidates.len() as f64; candidates.len()]),
        }
    }

    /// The predicted rewards; the prior's where nothing is known.
    pub(super) fn values(&self, decision: &str, candidates: &[adaptive::Features]) -> Vec<f64> {
        let model = self.models.get(decision);
        model.map_or_else(|| vec![0.0; candidates.len()], |model| model.bandit.values(candidates))
    }

    /// Learns from `example`, after asking the gate what it says about who serves.
    pub(super) fn fold(&mut self, example: &Example, config: &Config, beta: BetaOf) -> Result<Folded, Error> {
        let (Some(decision), Some(features)) = (decision_of(example), Shown::chosen_features(example)) else {
            return Ok(Folded::NotOurs);
        };
        let label = example.label(&config.objective);
        let earlier = match self.added.take(example, label) {
            Ok(earlier) => earlier,
            Err(folded) => return Ok(folded),
        };
        let outcome = label.map(|label| (f64::from(label.value).clamp(0.0, 1.0), f64::from(label.weight)));
        self.folded += 1;
        let (added, folded) = match earlier {
            Some(earlier) => match self.correct(&features, earlier, outcome)? {
                Some(added) => (added, Folded::Corrected),
                None => return Ok(Folded::Forgotten),
            },
            // `take` lets no first revision without a label pass.
            None => {
                let new = New { example, features: &features, outcome: outcome.unwrap_or_default() };
                (self.learn(decision, &new, config, beta)?, Folded::Counted)
            }
        };
        self.added.put(example, added, folded, config.max_corrections);
        Ok(folded)
    }

    fn learn(&mut self, decision: &str, new: &New, config: &Config, beta: BetaOf) -> Result<Added, Error> {
        let (now, id) = (self.folded, &self.id);
        let decision: Arc<str> = decision.into();
        if !self.models.contains_key(&decision) {
            self.models.insert(Arc::clone(&decision), Model::new(config, now)?);
        }
        let model = self.models.get_mut(&decision).ok_or_else(|| computing("the model is gone"))?;
        model.touched = now;
        let asked =
            if config.gate.enabled { model.ask(new, id, config, &|items| beta(&decision, items))? } else { None };
        let (reward, trust) = new.outcome;
        let at_ms = new.example.exposure_ts.as_millis();
        let learned = model.bandit.learn(new.features, reward, trust, at_ms).map_err(computing)?;
        let born = model.born;
        model.change_hands(new.example.ts, config)?;
        if self.models.len() > config.contextual.max_decisions {
            evict(&mut self.models, |model| model.touched);
        }
        Ok(Added { decision, born, fingerprint: new.features.fingerprint(), learned, asked })
    }

    /// Nothing where the model was dropped meanwhile, or the correction is about something else.
    fn correct(
        &mut self,
        features: &adaptive::Features,
        added: Added,
        outcome: Option<(f64, f64)>,
    ) -> Result<Option<Added>, Error> {
        let model = self.models.get_mut(&added.decision).filter(|model| model.born == added.born);
        let Some(model) = model.filter(|_| added.fingerprint == features.fingerprint()) else { return Ok(None) };
        let learned = model.bandit.correct(features, added.learned, outcome.unwrap_or_default()).map_err(computing)?;
        let asked = added.asked.map(|asked| model.correct(asked, outcome)).transpose()?;
        Ok(Some(Added { learned, asked, ..added }))
    }

    /// Where every decision stands.
    pub(super) fn status(&self, beta: &PolicyId) -> Vec<Status> {
        let describe = |(decision, model): (&Arc<str>, &Model)| {
            let policy_id = if model.serves == Chooser::Beta { beta } else { &self.id };
            model.describe(decision, policy_id.clone())
        };
        self.models.iter().map(describe).collect()
    }
}

/// An example that is folded for the first time.
pub(super) struct New<'a> {
    example: &'a Example,
    features: &'a adaptive::Features,
    /// The reward, and how much to trust it.
    outcome: (f64, f64),
}

/// A computation that must not fail has.
pub(super) fn computing(error: impl std::fmt::Display) -> Error {
    Error::Selection(error.to_string())
}
