//! Settings of the learner, and their ranges.

use std::collections::BTreeMap;

use plaudit_event::Objective;
use plaudit_ingest::Problem;
use serde::{Deserialize, Serialize};

use crate::config::check;

/// Which mean is taken off the rewards in equation (12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Centering {
    /// The mean of the batch: the paper's.
    Batch,
    /// The mean of the responses to the same prompt. They share the baseline answer, whose luck then cancels.
    Prompt,
}

/// Settings of the learner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Steps of one candidate, at most. Also the bound on staleness: all of them use the rewards and the
    /// reference of the moment when training began.
    pub steps: usize,
    /// Prompts per step (B).
    pub prompts_per_step: usize,
    /// Responses per prompt (K).
    pub samples_per_prompt: usize,
    /// Learning rate of AdamW.
    pub lr: f64,
    /// Steps over which the learning rate rises.
    pub warmup: usize,
    /// Largest global norm of the gradient.
    pub max_grad_norm: f64,
    /// Weight of each objective's logit in the reward; objectives that the reward model lacks are skipped.
    pub weights: BTreeMap<Objective, f64>,
    /// Which mean is taken off the rewards; with one response per prompt always the batch's.
    pub centering: Centering,
    /// `KL_max` per token of the response, in nats.
    pub kl_max_per_token: f64,
    /// Training ends when the running KL per token passes this, in nats.
    pub kl_stop_per_token: f64,
    /// Most prompts whose baseline answer is remembered.
    pub max_baselines: usize,
}

impl Default for Config {
    fn default() -> Self {
        let weights = [(Objective::LOVE, 1.0), (Objective::HELPFULNESS, 0.6), (Objective::SAFETY, 0.3)];
        Self {
            steps: 80,
            prompts_per_step: 16,
            samples_per_prompt: 4,
            lr: 3e-4,
            warmup: 5,
            max_grad_norm: 1.0,
            weights: weights.map(|(name, w)| (Objective::new(name), w)).into(),
            centering: Centering::Batch,
            kl_max_per_token: 0.5,
            kl_stop_per_token: 0.25,
            max_baselines: 20_000,
        }
    }
}

impl Config {
    /// How many neighbouring responses share a mean, of `count` that lie prompt by prompt.
    pub(super) fn group(&self, count: usize) -> usize {
        match self.centering {
            Centering::Prompt if self.samples_per_prompt > 1 => self.samples_per_prompt,
            Centering::Prompt | Centering::Batch => count,
        }
    }

    /// Every value outside its range; `path` is the key of this section.
    pub(crate) fn validate(&self, path: &str, problems: &mut Vec<Problem>) {
        let mut at = check(path, problems);
        at.int("steps", self.steps, 1, 100_000);
        at.int("prompts_per_step", self.prompts_per_step, 1, 4_096);
        at.int("samples_per_prompt", self.samples_per_prompt, 1, 256);
        at.float("lr", self.lr, 1e-8, 1.0);
        at.int("warmup", self.warmup, 0, 100_000);
        at.float("max_grad_norm", self.max_grad_norm, 1e-6, 1e6);
        at.float("kl_max_per_token", self.kl_max_per_token, 1e-4, 100.0);
        at.float("kl_stop_per_token", self.kl_stop_per_token, 1e-4, 100.0);
        at.int("max_baselines", self.max_baselines, 1, 10_000_000);
        for (objective, weight) in &self.weights {
            at.float(&format!("weights.{objective}"), *weight, 0.0, 100.0);
        }
        if !self.weights.values().any(|weight| *weight > 0.0) {
            at.add("weights", "must have at least one above 0".to_owned());
        }
    }
}
