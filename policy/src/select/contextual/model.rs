//! The contextual model of one decision, and who serves it.

use std::collections::HashMap;
use std::sync::Arc;

use plaudit_event::{PolicyId, Timestamp};
use plaudit_experiment::adaptive::{self, key};
use plaudit_experiment::off_policy::{Logged, OnlineGate, OnlineRule, Verdict};

use super::super::{Config, Shown, floor_of};
use super::{Change, Chooser, New, Status, computing};
use crate::Error;

/// Changes of hands that are remembered.
const MAX_CHANGES: usize = 20;
/// Candidate sets whose probabilities under Thompson sampling are kept.
const MAX_CACHED: usize = 64;

/// Thompson sampling's probabilities for items of this decision.
type OfItems<'a> = &'a dyn Fn(&[String]) -> Option<Arc<[f64]>>;

/// A row that an example has put before the gate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// The number of changes before it.
    era: u32,
    row: Logged,
    /// Whether it counts: it has a label.
    is_in: bool,
}

#[derive(Debug)]
pub(super) struct Model {
    pub(super) bandit: adaptive::Contextual,
    pub(super) serves: Chooser,
    gate: Option<OnlineGate>,
    /// Number of changes ever.
    era: u32,
    changes: Vec<Change>,
    /// Thompson sampling's probabilities, by items, since the bandit's predictions changed last: to compute them
    /// for every example would make a start take minutes.
    cached: HashMap<Vec<String>, Arc<[f64]>>,
    cached_at: f64,
    pub(super) born: u64,
    pub(super) touched: u64,
}

impl Model {
    pub(super) fn new(config: &Config, born: u64) -> Result<Self, Error> {
        let gate = config.gate.enabled.then(|| gate_of(0, config)).transpose()?;
        Ok(Self {
            bandit: adaptive::Contextual::new(config.bandit()).map_err(computing)?,
            serves: if gate.is_some() { Chooser::Beta } else { Chooser::Contextual },
            gate,
            era: 0,
            changes: Vec::new(),
            cached: HashMap::new(),
            cached_at: 0.0,
            born,
            touched: born,
        })
    }

    /// Puts what `new` says about who serves before the gate, if it says anything: all candidates are known, and
    /// whoever serves now had decided.
    pub(super) fn ask(
        &mut self,
        new: &New,
        contextual: &PolicyId,
        config: &Config,
        beta: OfItems,
    ) -> Result<Option<Asked>, Error> {
        let is_contextual = new.example.policy_id == *contextual;
        if is_contextual != (self.serves == Chooser::Contextual) {
            return Ok(None);
        }
        let Some(shown) = Shown::of(new.example) else { return Ok(None) };
        let evaluated = match self.serves {
            Chooser::Beta => {
                let floor = floor_of(shown.items.len(), config);
                self.bandit.propensities(&shown.features, floor).map_err(computing)?[shown.chosen]
            }
            Chooser::Contextual => match self.beta_of(&shown.items, beta) {
                Some(propensities) => propensities[shown.chosen],
                None => return Ok(None),
            },
        };
        let unit = key("unit", Some(new.example.unit_id.as_str()));
        let row = Logged { unit, weight: evaluated / shown.propensities[shown.chosen], reward: new.outcome.0 };
        let Some(gate) = &mut self.gate else { return Ok(None) };
        gate.add(row).map_err(computing)?;
        Ok(Some(Asked { era: self.era, row, is_in: true }))
    }

    fn beta_of(&mut self, items: &[String], beta: OfItems) -> Option<Arc<[f64]>> {
        let changed_at = self.bandit.refresh_at();
        if changed_at > self.cached_at || self.cached.len() >= MAX_CACHED {
            self.cached.clear();
            self.cached_at = changed_at;
        }
        if let Some(known) = self.cached.get(items) {
            return Some(Arc::clone(known));
        }
        let propensities = beta(items)?;
        self.cached.insert(items.to_vec(), Arc::clone(&propensities));
        Some(propensities)
    }

    /// Replaces the reward of a row; one that a gate of the past has judged stays as it was.
    pub(super) fn correct(&mut self, asked: Asked, outcome: Option<(f64, f64)>) -> Result<Asked, Error> {
        let Some(gate) = self.gate.as_mut().filter(|_| asked.era == self.era) else { return Ok(asked) };
        if asked.is_in {
            gate.remove(asked.row).map_err(computing)?;
        }
        let Some((reward, _)) = outcome else { return Ok(Asked { is_in: false, ..asked }) };
        let row = Logged { reward, ..asked.row };
        gate.add(row).map_err(computing)?;
        Ok(Asked { row, is_in: true, ..asked })
    }

    /// Whoever was evaluated serves if the gate has passed.
    pub(super) fn change_hands(&mut self, ts: Timestamp, config: &Config) -> Result<(), Error> {
        let Some(gate) = self.gate.as_ref().filter(|gate| gate.has_passed()) else { return Ok(()) };
        let Some(Verdict::Passed { lower, diagnostics }) = gate.verdict() else { return Ok(()) };
        self.serves = self.serves.other();
        self.era += 1;
        if self.changes.len() == MAX_CHANGES {
            self.changes.remove(0);
        }
        self.changes.push(Change { to: self.serves, ts, lower, diagnostics });
        self.gate = Some(gate_of(self.era, config)?);
        tracing::info!(to = ?self.serves, lower, rows = diagnostics.rows, "a decision changed hands");
        Ok(())
    }

    pub(super) fn describe(&self, decision: &str, policy_id: PolicyId) -> Status {
        let gate = self.gate.as_ref();
        Status {
            decision: decision.to_owned(),
            serves: self.serves,
            policy_id,
            examples: self.bandit.observations(),
            dimensions: self.bandit.dimensions(),
            evaluated: gate.map(|_| self.serves.other()),
            served_reward: gate.and_then(OnlineGate::served),
            improvement: gate.and_then(OnlineGate::improvement),
            verdict: gate.and_then(OnlineGate::verdict),
            changes: self.changes.clone(),
        }
    }
}

fn gate_of(era: u32, config: &Config) -> Result<OnlineGate, Error> {
    let era = f64::from(era);
    let rule = OnlineRule {
        alpha: config.gate.alpha / ((era + 1.0) * (era + 2.0)),
        margin: config.gate.margin,
        limits: config.gate.limits(),
    };
    OnlineGate::new(rule).map_err(computing)
}
