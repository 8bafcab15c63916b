//! The generate policy: a decoder that writes the answer.
//!
//! A policy directory is a checkpoint of kind `generate`: `model.safetensors` and `config.json` in the
//! layout of the Llama family, `tokenizer.json`, `generation_config.json` with the sampling, and
//! `manifest.json`. Its id is made from the content, so equal bytes are the same policy and a policy can
//! never change under its id. Sampling belongs to the content, because it decides the propensities.

mod prompt;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device};
use plaudit_event::{Context, Impression, PolicyId, Propensity, Seed, Stream, TokenLogprob};
use plaudit_nn::checkpoint::{self, Draft, Manifest};
use plaudit_nn::decoder::{self, Decoder};
use plaudit_nn::generate::{Finish, Generator, Output, Request};
use plaudit_nn::tokenizer::Tokenizer;
use rand::RngCore;
use serde::{Deserialize, Serialize};

use crate::config::Check;
use crate::{Candidate, Decision, Error, Policy};
use prompt::Room;

/// Kind of checkpoint in the manifest.
pub const KIND: &str = "generate";

/// Prefix of policy ids.
pub const PREFIX: &str = "gen-";

/// Name of the tokenizer's file.
pub const TOKENIZER_FILE: &str = "tokenizer.json";

/// Name of the file with the sampling.
pub const SAMPLING_FILE: &str = "generation_config.json";

/// Item id of the one impression of a generated answer.
pub const RESPONSE_ITEM: &str = "response";

/// Sequences generated at the same time when many are asked for.
const SLOTS: usize = 32;

/// How the next token is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sampling {
    /// Divides the logits; above 0.
    pub temperature: f32,
    /// Longest response, in tokens.
    pub max_new_tokens: usize,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 1.0, max_new_tokens: 64 }
    }
}

impl Sampling {
    pub(crate) fn validate(&self, check: &mut Check<'_>) {
        check.float("temperature", f64::from(self.temperature), 0.05, 5.0);
        check.int("max_new_tokens", self.max_new_tokens, 1, 4_096);
    }
}

/// Where a policy came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lineage {
    /// The policy that training started from.
    pub parent: Option<PolicyId>,
    /// Offset in the log of the first record that has not been used.
    pub log_position: u64,
    /// Hash of the training's configuration.
    pub config_hash: String,
    /// Seed of the training.
    pub seed: u64,
}

/// One generated answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// The text, without markers.
    pub text: String,
    /// The tokens, the end marker included.
    pub tokens: Vec<u32>,
    /// Log-probability of each token under the sampling distribution.
    pub logprobs: Vec<f32>,
    /// Whether it ended by itself; false when it was cut at the length limit.
    pub finished: bool,
}

impl Response {
    /// Log-probability of the whole answer under the sampling distribution.
    #[must_use]
    pub fn logprob(&self) -> f64 {
        self.logprobs.iter().copied().map(f64::from).sum()
    }
}

/// A decoder with its tokenizer and sampling; immutable.
#[derive(Debug, Clone)]
pub struct GeneratePolicy {
    id: PolicyId,
    manifest: Manifest,
    decoder: Arc<Decoder>,
    tokenizer: Arc<Tokenizer>,
    longest_token: usize,
    sampling: Sampling,
}

impl GeneratePolicy {
    /// Reads the policy directory `dir` onto the CPU and verifies every byte of it.
    ///
    /// # Errors
    /// Fails, naming the file, when one is missing or altered, or when the parts do not fit each other.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let checkpoint = checkpoint::load(dir)?;
        let manifest = checkpoint.manifest.clone();
        if manifest.kind != KIND {
            let reason = format!("kind must be `{KIND}`, got `{}`", manifest.kind);
            return Err(Error::directory(dir, reason));
        }
        let id =
            PolicyId::new(manifest.id.as_str()).map_err(|error| Error::directory(dir, format!("bad id: {error}")))?;
        let shape = String::from_utf8_lossy(checkpoint.file(decoder::CONFIG_FILE)?);
        let config = decoder::Config::from_json(&shape, &dir.join(decoder::CONFIG_FILE))?;
        let weights = checkpoint.file(decoder::WEIGHTS_FILE)?;
        let params = plaudit_nn::Params::from_bytes(weights, &Device::Cpu)?;
        let sampling = serde_json::from_slice(checkpoint.file(SAMPLING_FILE)?)
            .map_err(|error| Error::directory(dir, format!("`{SAMPLING_FILE}`: {error}")))?;
        let tokenizer = Arc::new(Tokenizer::from_bytes(checkpoint.file(TOKENIZER_FILE)?)?);
        let policy = Self {
            id,
            manifest,
            decoder: Arc::new(Decoder::from_params(config, params)?),
            longest_token: prompt::longest_token(&tokenizer),
            tokenizer,
            sampling,
        };
        policy.check_parts().map_err(|reason| Error::directory(dir, reason))?;
        Ok(policy)
    }

    /// A policy made of parts in memory. Its id is the one that [`GeneratePolicy::save`] gives it.
    ///
    /// # Errors
    /// Fails when the parts do not fit each other.
    pub fn from_parts(
        decoder: Decoder,
        tokenizer: Arc<Tokenizer>,
        sampling: Sampling,
        lineage: &Lineage,
        dtype: DType,
    ) -> Result<Self, Error> {
        let manifest = draft(&decoder, &tokenizer, sampling, lineage, dtype)?.manifest(PREFIX);
        let id =
            PolicyId::new(manifest.id.as_str()).map_err(|error| Error::invalid("policy id", "a valid id", error))?;
        let longest_token = prompt::longest_token(&tokenizer);
        let policy = Self { id, manifest, decoder: Arc::new(decoder), tokenizer, longest_token, sampling };
        match policy.check_parts() {
            Ok(()) => Ok(policy),
            Err(reason) => Err(Error::invalid("policy", "made of fitting parts", reason)),
        }
    }

    fn check_parts(&self) -> Result<(), String> {
        let (known, embedded) = (self.tokenizer.vocab_size(), self.decoder.config().vocab_size);
        if known > embedded {
            return Err(format!("the tokenizer has {known} tokens, the model only {embedded}"));
        }
        let mut problems = Vec::new();
        self.sampling.validate(&mut crate::config::check(SAMPLING_FILE, &mut problems));
        match problems.first() {
            Some(problem) => Err(problem.to_string()),
            None => Ok(()),
        }
    }

    /// The id, made from the content.
    #[must_use]
    pub const fn id(&self) -> &PolicyId {
        &self.id
    }

    /// What the directory says about itself.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The decoder.
    #[must_use]
    pub const fn decoder(&self) -> &Arc<Decoder> {
        &self.decoder
    }

    /// The tokenizer.
    #[must_use]
    pub const fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.tokenizer
    }

    /// How tokens are drawn.
    #[must_use]
    pub const fn sampling(&self) -> Sampling {
        self.sampling
    }

    /// The prompt of `context` in tokens. Of a conversation that leaves no room for a response, the oldest
    /// messages go first; of one that is still too long, the start of its last message. The work is bounded by
    /// the positions of the model, not by the length of the conversation.
    #[must_use]
    pub fn prompt(&self, context: &Context) -> Vec<u32> {
        let room = self.decoder.config().max_positions;
        let tokens = room.saturating_sub(self.sampling.max_new_tokens).max(2);
        let room = Room { tokens, bytes_per_token: self.longest_token };
        prompt::encode(context, room, |messages| self.tokenizer.encode_chat(messages))
    }

    /// What to ask of a [`Generator`] for `context`.
    #[must_use]
    pub fn request(&self, context: &Context, seed: Seed) -> Request {
        Request {
            prompt: self.prompt(context),
            max_new_tokens: self.sampling.max_new_tokens,
            temperature: self.sampling.temperature,
            stop: self.tokenizer.end_id(),
            seed,
        }
    }

    /// Turns what a [`Generator`] gave into an answer.
    #[must_use]
    pub fn response(&self, output: Output) -> Response {
        response(&self.tokenizer, output)
    }

    /// Answers each of `contexts` `k` times. Equal arguments give equal answers; the answers to one context
    /// do not depend on the others.
    ///
    /// # Errors
    /// Fails when the model does.
    pub fn samples(&self, contexts: &[Context], k: usize, seed: Seed) -> Result<Vec<Vec<Response>>, Error> {
        let mut generator = Generator::new(Arc::clone(&self.decoder), SLOTS)?;
        let mut requests = Vec::with_capacity(contexts.len() * k);
        for (context, index) in contexts.iter().zip(0_u64..) {
            let own = seed.derive("context", index);
            for sample in 0..k as u64 {
                requests.push(self.request(context, own.derive("sample", sample)));
            }
        }
        let mut outputs = generator.run(requests)?.into_iter();
        let mut all = Vec::with_capacity(contexts.len());
        for _ in contexts {
            let answers = outputs.by_ref().take(k).map(|output| self.response(output));
            all.push(answers.collect());
        }
        Ok(all)
    }

    /// Writes the policy below `root`, in a directory named by its id, and returns that directory.
    /// When it returns, the policy survives a crash.
    ///
    /// # Errors
    /// Fails when a file cannot be written.
    pub fn save(&self, root: &Path, dtype: DType) -> Result<PathBuf, Error> {
        let lineage = self.lineage();
        let draft = draft(&self.decoder, &self.tokenizer, self.sampling, &lineage, dtype)?;
        let manifest = checkpoint::write(root, PREFIX, &draft)?;
        Ok(root.join(manifest.id))
    }

    /// Where the policy came from.
    #[must_use]
    pub fn lineage(&self) -> Lineage {
        let parent = self.manifest.parent.as_deref();
        Lineage {
            parent: parent.and_then(|id| PolicyId::new(id).ok()),
            log_position: self.manifest.log_position,
            config_hash: self.manifest.config_hash.clone(),
            seed: self.manifest.seed,
        }
    }
}

impl Policy for GeneratePolicy {
    fn id(&self) -> &PolicyId {
        &self.id
    }

    /// Writes one answer. `candidates` must be empty: the decoder's candidates are all texts.
    fn act(&self, context: &Context, candidates: &[Candidate], rng: &mut Stream) -> Result<Decision, Error> {
        if !candidates.is_empty() {
            return Err(Error::invalid("candidates", "none, answers are generated", candidates.len()));
        }
        let request = self.request(context, Seed::new(rng.next_u64()));
        let mut generator = Generator::new(Arc::clone(&self.decoder), 1)?;
        let outputs = generator.run(vec![request])?;
        let output = outputs.into_iter().next().ok_or(Error::Worker("generator"))?;
        Ok(decision(self.response(output)))
    }
}

/// The decision that shows `response`.
#[must_use]
pub fn decision(response: Response) -> Decision {
    let total = response.logprob();
    let tokens = response.tokens.into_iter().zip(response.logprobs);
    Decision {
        slate: vec![Impression { item_id: RESPONSE_ITEM.to_owned(), position: 0, content: response.text, score: None }],
        chosen: 0,
        // Long answers have a probability below the smallest number; then only the tokens tell.
        propensity: Propensity::new(total.exp().min(1.0)).ok(),
        token_logprobs: Some(tokens.map(|(t, p)| TokenLogprob(t, p)).collect()),
        propensities: Vec::new(),
    }
}

pub(crate) fn response(tokenizer: &Tokenizer, output: Output) -> Response {
    Response {
        text: tokenizer.decode(&output.tokens).trim().to_owned(),
        tokens: output.tokens,
        logprobs: output.logprobs,
        finished: output.finish == Finish::Stop,
    }
}

fn draft(
    decoder: &Decoder,
    tokenizer: &Tokenizer,
    sampling: Sampling,
    lineage: &Lineage,
    dtype: DType,
) -> Result<Draft, Error> {
    let mut files = decoder.files(dtype)?;
    files.insert(TOKENIZER_FILE.to_owned(), tokenizer.to_bytes()?);
    let text = serde_json::to_vec_pretty(&sampling).expect("two numbers have a JSON form");
    files.insert(SAMPLING_FILE.to_owned(), text);
    Ok(Draft {
        kind: KIND.to_owned(),
        parent: lineage.parent.as_ref().map(ToString::to_string),
        log_position: lineage.log_position,
        config_hash: lineage.config_hash.clone(),
        seed: lineage.seed,
        files,
    })
}

#[cfg(test)]
mod tests;
