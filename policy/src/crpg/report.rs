//! What one step of the learner says about itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Learner, Rollouts, Update};
use crate::stats::{mean, share};

/// Where the time of one step went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// Generating responses and baseline answers.
    pub generate: f64,
    /// Scoring and judging them.
    pub reward: f64,
    /// Forward, reference, backward and optimiser.
    pub update: f64,
}

/// One step of the learner. Means are over the responses of the step, which the policy gave before its update.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Steps made, this one included.
    pub step: u64,
    /// Responses.
    pub num_samples: usize,
    /// Mean `R̃`.
    pub reward: f64,
    /// Mean `R_calib`, before judges and regularisation; 0.5 is the reference.
    pub calibrated: f64,
    /// Mean probability per objective.
    pub objectives: BTreeMap<String, f64>,
    /// Share of responses that every judge accepts.
    pub judge_pass_rate: f64,
    /// Share of responses that each judge accepts.
    pub judges: BTreeMap<String, f64>,
    /// Mean KL divergence from the reference per response, in nats.
    pub kl_sequence: f64,
    /// The same per token.
    pub kl_token: f64,
    /// Running mean of `kl_token`, which the KL stop looks at.
    pub kl_running: f64,
    /// Share of responses that close the conversation.
    pub closing_rate: f64,
    /// Share of responses that close it unasked.
    pub unsolicited_closing_rate: f64,
    /// Mean number of words.
    pub words: f64,
    /// Mean number of tokens.
    pub tokens: f64,
    /// Norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Learning rate of this step.
    pub lr: f64,
    /// Where the time went.
    pub seconds: Seconds,
}

impl Learner {
    pub(super) fn report(
        &self,
        rollouts: &Rollouts,
        update: &Update,
        (kl_token, seconds): (f64, Seconds),
    ) -> StepReport {
        let count = rollouts.sequences.len();
        let passes = rollouts.failures.iter().map(|failed| !failed.contains(&true));
        let measures = &rollouts.measures;
        let mut objectives = BTreeMap::new();
        for score in &rollouts.scores {
            for (objective, probability) in &score.probabilities {
                let sum = objectives.entry(objective.to_string()).or_insert(0.0);
                *sum += probability / count as f64;
            }
        }
        let names = self.judges.names().into_iter().enumerate();
        let judges = names.map(|(judge, name)| {
            let accepted = rollouts.failures.iter().map(|failed| !failed[judge]);
            (name.to_owned(), share(accepted))
        });
        StepReport {
            step: self.step,
            num_samples: count,
            reward: mean(update.rewards.iter().copied()),
            calibrated: mean(rollouts.calibrated.iter().copied()),
            objectives,
            judge_pass_rate: share(passes),
            judges: judges.collect(),
            kl_sequence: mean(update.log_ratios.iter().copied()),
            kl_token,
            kl_running: self.kl_running,
            closing_rate: share(measures.iter().map(|m| m.closing)),
            unsolicited_closing_rate: share(measures.iter().map(|m| m.unsolicited_closing)),
            words: mean(measures.iter().map(|m| f64::from(m.words))),
            tokens: mean(rollouts.sequences.iter().map(|s| s.response_len() as f64)),
            grad_norm: update.grad_norm,
            lr: update.lr,
            seconds,
        }
    }
}
