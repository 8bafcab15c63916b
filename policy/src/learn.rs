//! From a champion to a gated candidate.
//!
//! Synchronous and deterministic: the caller decides on which thread it runs (`plaudit_nn::runtime` pins one),
//! which reward model it uses and when it starts. Training reads prompts only; what users did with the answers
//! reaches it through the reward model alone.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::DType;
use plaudit_event::{Context, PolicyId, Seed};
use plaudit_nn::checkpoint;
use plaudit_reward_model::RewardModel;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::crpg::{Learner, StepReport};
use crate::gate::{self, Evaluator, Verdict};
use crate::generate::{GeneratePolicy, Lineage};
use crate::judge::Judges;
use crate::{Config, Error};

/// What a candidate is trained from.
pub struct Training<'a> {
    /// The policy to improve; also the reference.
    pub parent: &'a GeneratePolicy,
    /// The reward model, frozen for the whole training.
    pub reward: Arc<dyn RewardModel>,
    /// Prompts to learn on, such as recent ones of users.
    pub prompts: &'a [Context],
    /// Settings: `learner` and `judges` count.
    pub config: &'a Config,
    /// Offset in the log of the first record that the reward model has not seen.
    pub log_position: u64,
    /// Randomness.
    pub seed: Seed,
}

/// Why training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// All steps were made.
    Steps,
    /// The divergence from the parent passed its bound.
    Kl,
    /// The caller asked for it.
    Asked,
}

/// A trained candidate.
#[derive(Debug, Clone)]
pub struct CandidateReport {
    /// Its id.
    pub policy_id: PolicyId,
    /// Its directory.
    pub dir: PathBuf,
    /// The policy as saved.
    pub policy: GeneratePolicy,
    /// Why training ended.
    pub stopped: Stopped,
    /// Every step.
    pub steps: Vec<StepReport>,
}

/// Trains a candidate and saves it below `root`. `on_step` is called after every step and may end the training;
/// what was learned until then is saved.
///
/// # Errors
/// Fails when the settings are invalid, there is no prompt, a model fails, or the candidate cannot be saved.
pub fn train_candidate(
    training: &Training<'_>,
    root: &Path,
    mut on_step: impl FnMut(&StepReport) -> ControlFlow<()>,
) -> Result<CandidateReport, Error> {
    let config = training.config;
    let mut learner = Learner::new(
        config.learner.clone(),
        training.parent,
        Arc::clone(&training.reward),
        Judges::new(&config.judges),
        training.seed,
    )?;
    let mut prompts = Shuffled::new(training.prompts, training.seed)?;
    let mut steps = Vec::with_capacity(config.learner.steps);
    let mut stopped = Stopped::Steps;
    for _ in 0..config.learner.steps {
        let report = learner.step(&prompts.take(config.learner.prompts_per_step))?;
        let asked = on_step(&report).is_break();
        steps.push(report);
        if asked {
            stopped = Stopped::Asked;
            break;
        }
        if learner.kl_exceeded() {
            stopped = Stopped::Kl;
            break;
        }
    }
    let lineage = Lineage {
        parent: Some(training.parent.id().clone()),
        log_position: training.log_position,
        config_hash: checkpoint::config_hash(&(&config.learner, &config.judges)),
        seed: training.seed.value(),
    };
    let policy = learner.candidate(&lineage)?;
    let dir = policy.save(root, DType::F32)?;
    tracing::info!(
        policy_id = %policy.id(),
        parent = %training.parent.id(),
        steps = steps.len(),
        ?stopped,
        "candidate trained"
    );
    Ok(CandidateReport { policy_id: policy.id().clone(), dir, policy, stopped, steps })
}

/// Lets `candidate` and `champion` answer the same prompts, and decides. Of `prompts` the first `num_prompts` of
/// the gate's settings are used; they should not be the ones that were learned on.
///
/// # Errors
/// Fails when there is no prompt or a model fails.
pub fn gate_candidate(
    candidate: &GeneratePolicy,
    champion: &GeneratePolicy,
    reward: Arc<dyn RewardModel>,
    prompts: &[Context],
    config: &Config,
    seed: Seed,
) -> Result<Verdict, Error> {
    let evaluator = Evaluator::new(reward, Judges::new(&config.judges))?;
    let used = &prompts[..prompts.len().min(config.gate.num_prompts)];
    let k = config.gate.samples_per_prompt;
    // Equal seeds: where the policies agree they give the same answer, which narrows the bounds.
    let samples = seed.derive("gate samples", 0);
    let new = evaluator.evaluate(candidate, used, k, samples)?;
    let old = evaluator.evaluate(champion, used, k, samples)?;
    let verdict = gate::decide(&config.gate, &new, &old, evaluator.has_judges(), seed)?;
    tracing::info!(
        policy_id = %candidate.id(),
        champion = %champion.id(),
        outcome = ?verdict.outcome,
        num_reasons = verdict.reasons.len(),
        "candidate gated"
    );
    Ok(verdict)
}

/// Hands out prompts in random order, each once before any comes again.
struct Shuffled<'a> {
    prompts: &'a [Context],
    order: Vec<usize>,
    next: usize,
    rng: plaudit_event::Stream,
}

impl<'a> Shuffled<'a> {
    fn new(prompts: &'a [Context], seed: Seed) -> Result<Self, Error> {
        if prompts.is_empty() {
            return Err(Error::invalid("prompts", "at least one", 0));
        }
        Ok(Self { prompts, order: (0..prompts.len()).collect(), next: prompts.len(), rng: seed.stream("prompts") })
    }

    fn take(&mut self, count: usize) -> Vec<Context> {
        let mut taken = Vec::with_capacity(count);
        while taken.len() < count {
            if self.next == self.order.len() {
                self.order.shuffle(&mut self.rng);
                self.next = 0;
            }
            taken.push(self.prompts[self.order[self.next]].clone());
            self.next += 1;
        }
        taken
    }
}

#[cfg(test)]
mod tests;
