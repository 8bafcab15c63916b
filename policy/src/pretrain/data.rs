//! Pairs as token sequences, and batches of similar length.

use plaudit_event::{Seed, Stream};
use plaudit_nn::tokenizer::Tokenizer;
use rand::seq::SliceRandom;

use super::Config;
use crate::Error;
use crate::batch::{Sequence, buckets};

/// Batches that are formed together: more give less padding, fewer a better mixture.
const WINDOW_BATCHES: usize = 32;

/// Sequences to train on and to measure on.
pub(super) struct Corpus {
    pub(super) train: Vec<Sequence>,
    pub(super) held_out: Vec<Sequence>,
}

impl Corpus {
    /// Encodes `pairs`; those that do not fit into the model are left out.
    pub(super) fn new(
        tokenizer: &Tokenizer,
        pairs: &[(String, String)],
        config: &Config,
        seed: Seed,
    ) -> Result<Self, Error> {
        let mut train = Vec::with_capacity(pairs.len());
        for (user, response) in pairs {
            let (tokens, prompt_len) = tokenizer.encode_pair(user, response);
            if tokens.len() <= config.max_positions {
                train.push(Sequence { tokens, prompt_len });
            }
        }
        if train.len() <= config.held_out {
            let allowed = format!("more than {} that fit into the model", config.held_out);
            return Err(Error::invalid("pairs", allowed, train.len()));
        }
        train.shuffle(&mut seed.stream("pretrain split"));
        let held_out = train.split_off(train.len() - config.held_out);
        Ok(Self { train, held_out })
    }
}

/// Endless batches; every pass over the corpus is shuffled anew.
pub(super) struct Batches {
    order: Vec<usize>,
    next: usize,
    ready: Vec<Vec<usize>>,
    tokens_per_batch: usize,
    rng: Stream,
}

impl Batches {
    pub(super) fn new(corpus: &Corpus, tokens_per_batch: usize, seed: Seed) -> Self {
        Self {
            order: (0..corpus.train.len()).collect(),
            next: corpus.train.len(),
            ready: Vec::new(),
            tokens_per_batch,
            rng: seed.stream("pretrain order"),
        }
    }

    /// Indices of the next batch.
    pub(super) fn next(&mut self, corpus: &Corpus) -> Vec<usize> {
        if self.ready.is_empty() {
            let window = self.window(corpus);
            let lengths: Vec<usize> = window.iter().map(|index| corpus.train[*index].tokens.len()).collect();
            for group in buckets(&lengths, self.tokens_per_batch) {
                self.ready.push(group.into_iter().map(|at| window[at]).collect());
            }
            self.ready.shuffle(&mut self.rng);
        }
        self.ready.pop().unwrap_or_default()
    }

    /// The next sequences of the pass, enough for a number of batches.
    fn window(&mut self, corpus: &Corpus) -> Vec<usize> {
        let enough = WINDOW_BATCHES * self.tokens_per_batch;
        let mut window = Vec::new();
        let mut tokens = 0;
        while tokens < enough {
            if self.next == self.order.len() {
                if !window.is_empty() {
                    break;
                }
                self.order.shuffle(&mut self.rng);
                self.next = 0;
            }
            let index = self.order[self.next];
            self.next += 1;
            tokens += corpus.train[index].tokens.len();
            window.push(index);
        }
        window
    }
}
