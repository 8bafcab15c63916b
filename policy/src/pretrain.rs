//! Making a small decoder from nothing: tokenizer and weights from (user, response) pairs.
//!
//! The loss is the cross-entropy of the response, end marker included, plus a little of the prompt: enough
//! to learn the language from both sides without spending the capacity on guessing what users ask. Batches
//! hold sequences of similar length. The learning rate follows half a cosine over the tokens seen, so that
//! the end is reached whatever the batches look like.
//!
//! With several threads each takes part of the rows of a batch on a pool of its own; gradients are summed in
//! the order of the threads, so the result depends on the number of threads but not on their timing.

mod data;
mod step;

use std::ops::ControlFlow;
use std::sync::Arc;

use candle_core::DType;
use plaudit_event::Seed;
use plaudit_ingest::Problem;
use plaudit_nn::checkpoint;
use plaudit_nn::decoder::{self, Decoder};
use plaudit_nn::optim::{AdamW, AdamWConfig, Group, clip_grad_norm};
use plaudit_nn::schedule::Schedule;
use plaudit_nn::tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::config::check;
use crate::generate::{GeneratePolicy, Lineage, Sampling};
use crate::metrics::Stopwatch;

use data::{Batches, Corpus};
use step::Workers;

/// How weights are kept on disk: half precision is exact enough to start from and half the size.
pub const DTYPE: DType = DType::F16;

/// Settings of the pretraining.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Tokens of the vocabulary, at most.
    pub vocab_size: usize,
    /// Columns of the residual stream.
    pub hidden: usize,
    /// Blocks.
    pub layers: usize,
    /// Query heads per block.
    pub heads: usize,
    /// Key and value heads per block.
    pub kv_heads: usize,
    /// Columns inside the feed-forward network.
    pub ffn: usize,
    /// Longest sequence; longer pairs are left out.
    pub max_positions: usize,
    /// Tokens to train on, counting each pass over the pairs anew.
    pub num_tokens: u64,
    /// Positions per step, padding included.
    pub tokens_per_batch: usize,
    /// Peak learning rate.
    pub lr: f64,
    /// Share of the tokens over which the learning rate rises.
    pub warmup: f64,
    /// Decoupled weight decay of matrices.
    pub weight_decay: f64,
    /// Largest global norm of the gradient.
    pub max_grad_norm: f64,
    /// Weight of a prompt token, where a response token has 1.
    pub prompt_weight: f64,
    /// Pairs kept out of training, to measure on.
    pub held_out: usize,
    /// Steps between two measurements on them.
    pub measure_every: u64,
    /// Threads to compute on.
    pub threads: usize,
    /// How the finished policy draws its tokens.
    pub sampling: Sampling,
}

impl Default for Config {
    fn default() -> Self {
        let shape = decoder::Config::tiny(1024);
        Self {
            vocab_size: shape.vocab_size,
            hidden: shape.hidden,
            layers: shape.layers,
            heads: shape.heads,
            kv_heads: shape.kv_heads,
            ffn: shape.ffn,
            max_positions: 256,
            num_tokens: 3_000_000,
            tokens_per_batch: 2_048,
            lr: 3e-3,
            warmup: 0.03,
            weight_decay: 0.05,
            max_grad_norm: 1.0,
            prompt_weight: 0.1,
            held_out: 256,
            measure_every: 200,
            threads: 2,
            sampling: Sampling::default(),
        }
    }
}

impl Config {
    /// Every value outside its range, with its key; empty when there is none.
    #[must_use]
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut at = check("pretrain", &mut problems);
        at.int("vocab_size", self.vocab_size, 300, 1_000_000);
        at.int("max_positions", self.max_positions, 16, 65_536);
        at.int("tokens_per_batch", self.tokens_per_batch, 16, 10_000_000);
        at.int("threads", self.threads, 1, 256);
        at.int("held_out", self.held_out, 1, 1_000_000);
        at.float("lr", self.lr, 1e-8, 1.0);
        at.float("warmup", self.warmup, 0.0, 1.0);
        at.float("weight_decay", self.weight_decay, 0.0, 10.0);
        at.float("max_grad_norm", self.max_grad_norm, 1e-6, 1e6);
        at.float("prompt_weight", self.prompt_weight, 0.0, 1.0);
        if self.num_tokens == 0 {
            at.add("num_tokens", "must be at least 1, got 0".to_owned());
        }
        self.sampling.validate(&mut at);
        if let Err(error) = self.shape(self.vocab_size).validate() {
            at.add("model", error.to_string());
        }
        problems
    }

    fn shape(&self, vocab_size: usize) -> decoder::Config {
        decoder::Config {
            vocab_size,
            hidden: self.hidden,
            layers: self.layers,
            heads: self.heads,
            kv_heads: self.kv_heads,
            ffn: self.ffn,
            max_positions: self.max_positions,
            ..decoder::Config::tiny(vocab_size)
        }
    }
}

/// How far the pretraining is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Progress {
    /// Steps made.
    pub step: u64,
    /// Tokens trained on.
    pub tokens: u64,
    /// Tokens to train on.
    pub num_tokens: u64,
    /// Tokens per second since the start.
    pub tokens_per_second: f64,
    /// Loss of this step, in nats per weighted token.
    pub loss: f64,
    /// Cross-entropy per response token of the pairs kept out, in nats, when measured at this step.
    pub held_out_loss: Option<f64>,
    /// Learning rate of this step.
    pub lr: f64,
}

/// Trains a policy on `pairs` of (user, response). `on_step` is called after every step and may end the
/// training early; the policy is then the one so far.
///
/// Equal arguments, the number of threads included, give an equal policy.
///
/// # Errors
/// Fails when the settings are invalid, when fewer than `held_out` + 1 pairs fit into the model, or when
/// training diverges.
pub fn run(
    pairs: &[(String, String)],
    config: &Config,
    seed: Seed,
    mut on_step: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<GeneratePolicy, Error> {
    let problems = config.validate();
    if !problems.is_empty() {
        return Err(Error::Config(problems));
    }
    let texts = pairs.iter().flat_map(|(user, response)| [user, response]);
    let tokenizer = Tokenizer::train(texts, config.vocab_size)?;
    let corpus = Corpus::new(&tokenizer, pairs, config, seed)?;
    let shape = config.shape(tokenizer.vocab_size());
    let decoder = Decoder::init(&shape, &mut seed.stream("pretrain init"))?;
    let mut trainer = Trainer::new(&decoder, config)?;
    let mut batches = Batches::new(&corpus, config.tokens_per_batch, seed);
    let mut watch = Stopwatch::start();
    let mut seconds = 0.0;
    while trainer.tokens < config.num_tokens {
        let batch = batches.next(&corpus);
        let mut progress = trainer.step(&corpus, &batch)?;
        let last = trainer.tokens >= config.num_tokens;
        if last || trainer.step % config.measure_every.max(1) == 0 {
            progress.held_out_loss = Some(trainer.workers.held_out_loss(&decoder, &corpus)?);
        }
        seconds += watch.lap();
        progress.tokens_per_second = trainer.tokens as f64 / seconds.max(1e-9);
        if on_step(&progress).is_break() {
            break;
        }
    }
    let lineage =
        Lineage { parent: None, log_position: 0, config_hash: checkpoint::config_hash(config), seed: seed.value() };
    GeneratePolicy::from_parts(decoder, Arc::new(tokenizer), config.sampling, &lineage, DTYPE)
}

/// The optimiser and where it stands.
struct Trainer<'a> {
    decoder: &'a Decoder,
    config: &'a Config,
    optimizer: AdamW,
    schedule: Schedule,
    workers: Workers,
    step: u64,
    tokens: u64,
}

impl<'a> Trainer<'a> {
    fn new(decoder: &'a Decoder, config: &'a Config) -> Result<Self, Error> {
        let optim =
            AdamWConfig { lr: config.lr, beta2: 0.99, weight_decay: config.weight_decay, ..AdamWConfig::default() };
        // Gains of norms are scales, not weights: decaying them only fights the data.
        let norms = Group { pattern: "norm".to_owned(), lr_scale: 1.0, weight_decay: 0.0, sparse: false };
        Ok(Self {
            optimizer: AdamW::new(decoder.params(), optim, &[norms])?,
            schedule: Schedule::Cosine {
                warmup: (config.warmup * config.num_tokens as f64) as u64,
                total: config.num_tokens,
                floor: 0.02,
            },
            workers: Workers::new(config.threads)?,
            step: 0,
            tokens: 0,
            decoder,
            config,
        })
    }

    fn step(&mut self, corpus: &Corpus, batch: &[usize]) -> Result<Progress, Error> {
        let weight = self.config.prompt_weight as f32;
        let (loss, mut grads) = self.workers.gradients(self.decoder, corpus, batch, weight)?;
        let params = self.decoder.params();
        let norm = clip_grad_norm(&mut grads, params, self.config.max_grad_norm)?;
        if !norm.is_finite() || !loss.is_finite() {
            return Err(Error::Diverged { what: "the loss", step: self.step });
        }
        let factor = self.schedule.factor(self.tokens);
        self.optimizer.step(&grads, factor)?;
        self.step += 1;
        let sequences = batch.iter().map(|index| &corpus.train[*index]);
        self.tokens += sequences.map(|s| s.tokens.len() as u64).sum::<u64>();
        Ok(Progress {
            step: self.step,
            tokens: self.tokens,
            num_tokens: self.config.num_tokens,
            tokens_per_second: 0.0,
            loss,
            held_out_loss: None,
            lr: self.config.lr * factor,
        })
    }
}

#[cfg(test)]
mod tests;
