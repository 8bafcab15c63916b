//! CRPG: the calibrated-regularised policy gradient of CGPO (arXiv 2409.20370, section 4.1.1).
//!
//! Deviations from the paper, most important first:
//! 1. `KL_max` of equation (11) is `kl_max_per_token` × the length of the response. The log-ratio is a sum
//!    over tokens, so a constant bound would forbid long responses and leave short ones free.
//! 2. The factor of equation (11) is cut at [`MAX_KL_FACTOR`] above. A response that has become much rarer
//!    than under the reference has a large negative log-ratio; uncut, a handful of such responses would
//!    outweigh the batch.
//! 3. Training ends early when the measured KL per token passes `kl_stop_per_token`: a second, explicit
//!    bound beside the factor.
//! 4. The reward is a weighted sum of calibrated logits of several objectives on every prompt, where the
//!    paper parts prompts into tasks with a reward model each; there is one task here.
//! 5. Gradients are clipped by their global norm.
//! 6. `centering = "prompt"` takes off the mean of the responses to the same prompt in equation (12); the default
//!    is the paper's mean of the batch.
//!
//! One step, with B prompts and K responses to each from the current policy π (n = B·K):
//! - reward `r(s, a) = Σ_o w_o · logit_o(s, a)` over the objectives of the reward model;
//! - calibrated against a baseline answer ā of the reference policy to the same prompt, equation (5):
//!   `R_calib = σ(r(s, a) − r(s, ā))`, in (0, 1) and comparable across prompts;
//! - hard constraints, equation (8): `R_cr = R_calib` if every judge accepts a, else 0;
//! - regularisation, equation (11): `R̃ = max(1 − log(π(a|s)/π_ref(a|s)) / KL_max, 0) · R_cr`;
//! - gradient, equation (12): `g = 1/n Σ ∇log π(a_i|s_i) · (R̃_i − mean R̃)`.
//!
//! Probabilities are those of the served sampling, temperature included: that is the policy whose
//! propensities are logged and whose divergence matters.

mod baseline;
mod config;
mod objective;
mod report;
mod reward;

use std::sync::Arc;

use candle_core::DType;
use plaudit_event::{Context, Seed};
use plaudit_nn::decoder::Decoder;
use plaudit_nn::generate::Generator;
use plaudit_nn::optim::{AdamW, AdamWConfig, clip_grad_norm};
use plaudit_nn::schedule::Schedule;
use plaudit_reward_model::RewardModel;

use crate::Error;
use crate::batch::Sequence;
use crate::generate::{GeneratePolicy, Lineage, Response};
use crate::judge::{Judges, Sample};
use crate::metrics::Stopwatch;
use crate::tripwire::{Measures, Tripwires};

pub use config::{Centering, Config};
pub use report::{Seconds, StepReport};
pub use reward::{Combined, MAX_KL_FACTOR, Score, advantages, calibrated, kl_factor};

use baseline::Baselines;

/// Sequences generated at the same time.
const SLOTS: usize = 32;

/// Improves a copy of one policy against one reward model. Synchronous; its thread is the caller's.
pub struct Learner {
    config: Config,
    decoder: Arc<Decoder>,
    reference: Arc<Decoder>,
    parent: GeneratePolicy,
    reward: Combined,
    judges: Judges,
    tripwires: Tripwires,
    baselines: Baselines,
    optimizer: AdamW,
    schedule: Schedule,
    seed: Seed,
    step: u64,
    kl_running: f64,
}

/// Weight of the past in the running KL: about the last five steps count.
const KL_MEMORY: f64 = 0.8;

/// What one step generated, with everything that is known about it; all vectors are parallel.
struct Rollouts {
    /// Index of the prompt.
    prompts: Vec<usize>,
    sequences: Vec<Sequence>,
    responses: Vec<Response>,
    scores: Vec<Score>,
    /// `R_calib`.
    calibrated: Vec<f64>,
    measures: Vec<Measures>,
    /// Per response, whether each judge rejects it.
    failures: Vec<Vec<bool>>,
}

/// What one update did.
struct Update {
    /// `R̃` of each response.
    rewards: Vec<f64>,
    /// `log π(a|s)/π_ref(a|s)` of each response, before the update.
    log_ratios: Vec<f64>,
    grad_norm: f64,
    lr: f64,
}

impl Learner {
    /// A learner whose reference, and starting point, is `parent`.
    ///
    /// # Errors
    /// Fails when `config` is invalid, or when `reward` has none of the weighted objectives.
    pub fn new(
        config: Config,
        parent: &GeneratePolicy,
        reward: Arc<dyn RewardModel>,
        judges: Judges,
        seed: Seed,
    ) -> Result<Self, Error> {
        let mut problems = Vec::new();
        config.validate("learner", &mut problems);
        if !problems.is_empty() {
            return Err(Error::Config(problems));
        }
        let decoder = parent.decoder().try_clone()?;
        let optim = AdamWConfig { lr: config.lr, weight_decay: 0.0, ..AdamWConfig::default() };
        Ok(Self {
            optimizer: AdamW::new(decoder.params(), optim, &[])?,
            schedule: Schedule::Constant { warmup: config.warmup as u64 },
            reward: Combined::new(reward, &config.weights)?,
            baselines: Baselines::new(parent, config.max_baselines, seed)?,
            decoder: Arc::new(decoder),
            reference: Arc::clone(parent.decoder()),
            parent: parent.clone(),
            judges,
            tripwires: Tripwires::new(),
            seed,
            step: 0,
            kl_running: 0.0,
            config,
        })
    }

    /// One update on fresh responses to `contexts`, which should be `prompts_per_step` many.
    ///
    /// # Errors
    /// Fails when `contexts` is empty, when a model fails, or when training diverged; the candidate must
    /// then be thrown away.
    pub fn step(&mut self, contexts: &[Context]) -> Result<StepReport, Error> {
        if contexts.is_empty() {
            return Err(Error::invalid("contexts", "at least one", 0));
        }
        let mut watch = Stopwatch::start();
        let generated = self.generate(contexts)?;
        let answers = self.baselines.answer(contexts)?;
        let generate = watch.lap();
        let base = self.baselines.rewards(contexts, answers, &self.reward)?;
        let rollouts = self.rate(contexts, generated, &base)?;
        let reward = watch.lap();
        let update = self.update(&rollouts)?;
        let seconds = Seconds { generate, reward, update: watch.lap() };
        let kl_token = update.kl_token(&rollouts.sequences);
        self.kl_running =
            if self.step == 0 { kl_token } else { KL_MEMORY * self.kl_running + (1.0 - KL_MEMORY) * kl_token };
        self.step += 1;
        let report = self.report(&rollouts, &update, (kl_token, seconds));
        crate::metrics::stepped(&report);
        Ok(report)
    }

    /// Whether the running KL per token has passed its bound, so that training should end.
    #[must_use]
    pub fn kl_exceeded(&self) -> bool {
        self.kl_running > self.config.kl_stop_per_token
    }

    /// The candidate as it is now, as a policy of its own.
    ///
    /// # Errors
    /// Fails when the device is out of memory.
    pub fn candidate(&self, lineage: &Lineage) -> Result<GeneratePolicy, Error> {
        let decoder = self.decoder.try_clone()?;
        let tokenizer = Arc::clone(self.parent.tokenizer());
        let sampling = self.parent.sampling();
        GeneratePolicy::from_parts(decoder, tokenizer, sampling, lineage, DType::F32)
    }

    /// K fresh responses to each prompt, by the candidate as it is now.
    fn generate(&self, contexts: &[Context]) -> Result<Vec<(Sequence, Response)>, Error> {
        let own = self.seed.derive("step", self.step);
        let mut requests = Vec::new();
        for (context, prompt) in contexts.iter().zip(0_u64..) {
            for sample in 0..self.config.samples_per_prompt as u64 {
                let seed = own.derive("prompt", prompt).derive("sample", sample);
                requests.push(self.parent.request(context, seed));
            }
        }
        let prompts: Vec<Vec<u32>> = requests.iter().map(|r| r.prompt.clone()).collect();
        let mut generator = Generator::new(Arc::clone(&self.decoder), SLOTS)?;
        let outputs = generator.run(requests)?;
        let pairs = prompts.into_iter().zip(outputs).map(|(prompt, output)| {
            let prompt_len = prompt.len();
            let mut tokens = prompt;
            tokens.extend(&output.tokens);
            let sequence = Sequence { tokens, prompt_len };
            (sequence, self.parent.response(output))
        });
        Ok(pairs.collect())
    }

    /// Scores, calibrates, measures and judges what was generated.
    fn rate(
        &self,
        contexts: &[Context],
        generated: Vec<(Sequence, Response)>,
        base: &[f64],
    ) -> Result<Rollouts, Error> {
        let k = self.config.samples_per_prompt;
        let prompts: Vec<usize> = (0..generated.len()).map(|index| index / k).collect();
        let (sequences, responses): (Vec<_>, Vec<_>) = generated.into_iter().unzip();
        let pairs: Vec<(&Context, &str)> = prompts
            .iter()
            .zip(&responses)
            .map(|(prompt, response): (_, &Response)| (&contexts[*prompt], response.text.as_str()))
            .collect();
        let scores = self.reward.score(&pairs)?;
        let mut rollouts = Rollouts {
            calibrated: Vec::with_capacity(scores.len()),
            measures: Vec::with_capacity(scores.len()),
            failures: Vec::with_capacity(scores.len()),
            prompts,
            sequences,
            responses,
            scores,
        };
        for (index, response) in rollouts.responses.iter().enumerate() {
            let prompt = rollouts.prompts[index];
            let request = contexts[prompt].last_request();
            let sample = Sample::new(&self.tripwires, request, &response.text, response.finished);
            rollouts.measures.push(sample.measures);
            rollouts.failures.push(self.judges.failures(&sample));
            let reward = rollouts.scores[index].reward;
            rollouts.calibrated.push(calibrated(reward, base[prompt]));
        }
        Ok(rollouts)
    }

    /// Equations (8), (11) and (12), and one step of the optimiser.
    fn update(&mut self, rollouts: &Rollouts) -> Result<Update, Error> {
        let temperature = f64::from(self.parent.sampling().temperature);
        let sequences = &rollouts.sequences;
        let reference = objective::logprobs(&self.reference, sequences, temperature)?;
        let log_ratios: Vec<f64> = rollouts
            .responses
            .iter()
            .zip(&reference)
            .map(|(response, reference)| response.logprob() - reference)
            .collect();
        let mut rewards = Vec::with_capacity(sequences.len());
        for (index, sequence) in sequences.iter().enumerate() {
            let feasible = !rollouts.failures[index].contains(&true);
            let kl_max = self.config.kl_max_per_token * sequence.response_len() as f64;
            let factor = kl_factor(log_ratios[index], kl_max);
            rewards.push(if feasible { factor * rollouts.calibrated[index] } else { 0.0 });
        }
        let advantages = advantages(&rewards, self.config.group(rewards.len()));
        let decoder = &self.decoder;
        let (_, mut grads) = objective::gradients(decoder, sequences, &advantages, temperature)?;
        let params = decoder.params();
        let grad_norm = clip_grad_norm(&mut grads, params, self.config.max_grad_norm)?;
        if !grad_norm.is_finite() {
            return Err(Error::Diverged { what: "the gradient", step: self.step });
        }
        let factor = self.schedule.factor(self.step);
        self.optimizer.step(&grads, factor)?;
        Ok(Update { rewards, log_ratios, grad_norm, lr: self.config.lr * factor })
    }
}

impl Update {
    /// Mean log-ratio per token: an unbiased estimate of the KL divergence from the reference.
    fn kl_token(&self, sequences: &[Sequence]) -> f64 {
        let tokens: usize = sequences.iter().map(Sequence::response_len).sum();
        self.log_ratios.iter().sum::<f64>() / tokens.max(1) as f64
    }
}

#[cfg(test)]
mod tests;
