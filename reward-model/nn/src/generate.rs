//! Text generation with continuous batching.
//!
//! A [`Generator`] has a number of slots. A request occupies one from [`Generator::admit`] until it
//! finishes; every [`Generator::step`] advances all occupied slots by one token in one pass over the
//! weights, and requests join and leave between steps (Yu et al. 2022, "Orca", section 4.1). On the
//! CPU each slot keeps the keys and values of its sequence, so a step costs one position per slot.
//!
//! What a request yields depends on its prompt, temperature and seed only, not on its neighbours, up
//! to float rounding: matrix products of different heights may round differently.

mod cache;
mod packed;
mod recompute;
mod sample;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use plaudit_event::Seed;

use crate::Error;
use crate::decoder::Decoder;
use packed::PackedDecoder;
use recompute::Recompute;
use sample::Sampler;

/// What to generate.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Tokens to continue; at least one.
    pub prompt: Vec<u32>,
    /// Most tokens to generate; at least one.
    pub max_new_tokens: usize,
    /// Divides the logits before the softmax. At 0 the most probable token is taken each time.
    pub temperature: f32,
    /// The token that ends the text.
    pub stop: u32,
    /// Randomness of this request.
    pub seed: Seed,
}

/// Why a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The stop token was generated.
    Stop,
    /// `max_new_tokens` or the positions of the model are used up.
    Length,
}

/// One generated token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The id given to [`Generator::admit`].
    pub id: u64,
    /// The token; the stop token is reported too.
    pub token: u32,
    /// Log-probability under the distribution it was drawn from, temperature included. At
    /// temperature 0 that distribution is certain: the log-probability is 0. NaN when a logit of the
    /// model is not finite.
    pub logprob: f32,
    /// Set on the last token of a request.
    pub finished: Option<Finish>,
}

/// All of one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// Generated tokens, the stop token included.
    pub tokens: Vec<u32>,
    /// Log-probability of each token; see [`Step::logprob`].
    pub logprobs: Vec<f32>,
    /// Why it ended.
    pub finish: Finish,
}

/// Why a request was not admitted.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    /// Every slot is occupied; try again after a step.
    #[error("all {slots} slots are occupied")]
    Full {
        /// How many slots there are.
        slots: usize,
    },
    /// The request can never be admitted.
    #[error(transparent)]
    Invalid(#[from] Error),
}

/// Generates for several requests at once.
#[derive(Debug)]
pub struct Generator {
    backend: Backend,
    slots: Vec<Option<Slot>>,
    vocab_size: usize,
    max_positions: usize,
}

#[derive(Debug)]
enum Backend {
    Packed(Box<PackedDecoder>),
    Recompute(Recompute),
}

/// A request under way.
#[derive(Debug)]
struct Slot {
    id: u64,
    /// The prompt and what was generated.
    tokens: Vec<u32>,
    /// How many of `tokens` the backend has seen.
    seen: usize,
    generated: usize,
    max_new_tokens: usize,
    stop: u32,
    sampler: Sampler,
}

impl Generator {
    /// A generator with `slots` slots. On the CPU it copies the weights into its own layout: later
    /// changes of `decoder` do not reach it.
    ///
    /// # Errors
    /// Fails when `slots` is 0.
    pub fn new(decoder: Arc<Decoder>, slots: usize) -> Result<Self, Error> {
        let backend = if decoder.device().is_cpu() {
            Backend::Packed(Box::new(PackedDecoder::new(&decoder, slots)?))
        } else {
            Backend::Recompute(Recompute::new(Arc::clone(&decoder)))
        };
        Self::with_backend(&decoder, backend, slots)
    }

    fn with_backend(decoder: &Decoder, backend: Backend, slots: usize) -> Result<Self, Error> {
        if slots == 0 {
            return Err(Error::invalid("slots", "must be at least 1, got 0"));
        }
        Ok(Self {
            backend,
            slots: (0..slots).map(|_| None).collect(),
            vocab_size: decoder.config().vocab_size,
            max_positions: decoder.config().max_positions,
        })
    }

    /// Puts a request into a free slot; its first token comes with the next step.
    ///
    /// # Errors
    /// [`AdmitError::Full`] when no slot is free, [`AdmitError::Invalid`] when the request is outside
    /// the limits of the model or `id` is under way already.
    pub fn admit(&mut self, id: u64, request: Request) -> Result<(), AdmitError> {
        self.check(&request)?;
        if self.slots.iter().flatten().any(|slot| slot.id == id) {
            return Err(Error::invalid("id", format!("{id} is under way already")).into());
        }
        let Some(free) = self.slots.iter().position(Option::is_none) else {
            let slots = self.slots.len();
            return Err(AdmitError::Full { slots });
        };
        let positions = (request.prompt.len() + request.max_new_tokens).min(self.max_positions);
        if let Backend::Packed(packed) = &mut self.backend {
            packed.open(free, positions);
        }
        self.slots[free] = Some(Slot {
            id,
            seen: 0,
            generated: 0,
            max_new_tokens: request.max_new_tokens,
            stop: request.stop,
            sampler: Sampler::new(request.temperature, request.seed),
            tokens: request.prompt,
        });
        Ok(())
    }

    /// Generates one token for every request under way; none when there is no request.
    ///
    /// # Errors
    /// Fails when a tensor operation fails; only a device other than the CPU can.
    pub fn step(&mut self) -> Result<Vec<Step>, Error> {
        let occupied = self.slots.iter().enumerate();
        let sequences: Vec<_> = occupied
            .filter_map(|(index, slot)| {
                let slot = slot.as_ref()?;
                Some(Sequence { slot: index, tokens: &slot.tokens, seen: slot.seen })
            })
            .collect();
        if sequences.is_empty() {
            return Ok(Vec::new());
        }
        let logits = match &mut self.backend {
            Backend::Packed(packed) => packed.next_logits(&sequences),
            Backend::Recompute(recompute) => recompute.next_logits(&sequences)?,
        };
        let mut steps = Vec::with_capacity(sequences.len());
        let mut rows = logits.chunks_exact(self.vocab_size);
        for entry in &mut self.slots {
            let Some(slot) = entry else { continue };
            let logits = rows.next().expect("one row of logits per occupied slot");
            let step = slot.advance(logits, self.max_positions);
            if step.finished.is_some() {
                *entry = None;
            }
            steps.push(step);
        }
        Ok(steps)
    }

    /// How many requests are under way.
    #[must_use]
    pub fn active(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    /// How many requests fit at once.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Ends a request without further tokens; `false` when it is not under way.
    pub fn cancel(&mut self, id: u64) -> bool {
        for entry in &mut self.slots {
            if entry.as_ref().is_some_and(|slot| slot.id == id) {
                *entry = None;
                return true;
            }
        }
        false
    }

    /// Generates for all requests and returns their outputs in the same order, admitting requests as
    /// slots free.
    ///
    /// # Errors
    /// Fails when a request is invalid, or when requests are under way already.
    pub fn run(&mut self, requests: Vec<Request>) -> Result<Vec<Output>, Error> {
        if self.active() > 0 {
            let reason = format!("must be idle, {} requests are under way", self.active());
            return Err(Error::invalid("generator", reason));
        }
        for request in &requests {
            self.check(request)?;
        }
        let mut outputs: Vec<Output> = requests.iter().map(Output::awaiting).collect();
        let mut waiting: VecDeque<(u64, Request)> = (0..).zip(requests).collect();
        while !waiting.is_empty() || self.active() > 0 {
            while self.active() < self.capacity()
                && let Some((id, request)) = waiting.pop_front()
            {
                match self.admit(id, request) {
                    Ok(()) => {}
                    Err(AdmitError::Invalid(error)) => return Err(error),
                    Err(AdmitError::Full { .. }) => unreachable!("a slot is free"),
                }
            }
            for step in self.step()? {
                let output = &mut outputs[step.id as usize];
                output.tokens.push(step.token);
                output.logprobs.push(step.logprob);
                output.finish = step.finished.unwrap_or(output.finish);
            }
        }
        Ok(outputs)
    }

    fn check(&self, request: &Request) -> Result<(), Error> {
        let len = request.prompt.len();
        if len == 0 || len >= self.max_positions {
            let reason = format!("must hold 1 to {} tokens, got {len}", self.max_positions - 1);
            return Err(Error::invalid("prompt", reason));
        }
        let outside = |&&token: &&u32| token as usize >= self.vocab_size;
        if let Some(token) = request.prompt.iter().find(outside) {
            let reason = format!("token {token} is outside a vocabulary of {}", self.vocab_size);
            return Err(Error::invalid("prompt", reason));
        }
        if request.max_new_tokens == 0 {
            return Err(Error::invalid("max_new_tokens", "must be at least 1, got 0"));
        }
        if !(request.temperature.is_finite() && request.temperature >= 0.0) {
            let reason = format!("must be at least 0, got {}", request.temperature);
            return Err(Error::invalid("temperature", reason));
        }
        Ok(())
    }
}

impl Output {
    fn awaiting(request: &Request) -> Self {
        Self {
            tokens: Vec::with_capacity(request.max_new_tokens.min(64)),
            logprobs: Vec::with_capacity(request.max_new_tokens.min(64)),
            finish: Finish::Length,
        }
    }
}

impl Slot {
    fn advance(&mut self, logits: &[f32], max_positions: usize) -> Step {
        let (token, logprob) = self.sampler.sample(logits);
        self.seen = self.tokens.len();
        self.tokens.push(token);
        self.generated += 1;
        let full = self.generated == self.max_new_tokens || self.tokens.len() >= max_positions;
        let finished = if token == self.stop {
            Some(Finish::Stop)
        } else if full {
            Some(Finish::Length)
        } else {
            None
        };
        Step { id: self.id, token, logprob, finished }
    }
}

/// What a backend needs to know of a request under way.
struct Sequence<'a> {
    slot: usize,
    tokens: &'a [u32],
    seen: usize,
}
