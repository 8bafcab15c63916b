//! What people say about parts of a response, and why: two heads beside those of the objectives.
//!
//! - [`spans`]: how good a sentence is, learned from what was copied or marked (kept) and what was edited (not kept), as
//!   in *Fine-Grained Human Feedback Gives Better Rewards for Language Model Training* (arXiv 2306.01693), which places
//!   a reward at the end of each segment of a response.
//! - [`principles`]: whether a principle in words, such as `too long`, holds for a response, learned from the reasons
//!   in comments on which several units agree (*RLBFF: Binary Flexible Feedback*: a head conditioned on the principle).
//!
//! Both are logistic heads over sparse features of their own [`Encoder`], with a memory that is learned again. They have
//! no part in the objectives, and an example without remarks costs them nothing.

pub(crate) mod config;
pub(crate) mod principles;
mod sentences;
pub(crate) mod spans;
pub(crate) mod table;

use std::collections::HashSet;
use std::sync::Arc;

use plaudit_event::{Example, Seed, Stream};
use serde::Serialize;

use crate::encode::{Encoder, hash_text};
use crate::{Config, Row};
use principles::consensus::LearnedPrinciple;
use principles::{Principle, Principles};
use spans::{SpanScore, score_spans};
use table::Table;

/// Both heads in training.
#[derive(Debug, Clone)]
pub(crate) struct Remarks {
    encoder: Encoder,
    pub(crate) spans: Table,
    pub(crate) principles: Principles,
    pub(crate) stream: Stream,
}

/// Both heads, frozen.
#[derive(Debug, Clone)]
pub(crate) struct FrozenRemarks {
    encoder: Encoder,
    spans: Option<Vec<f32>>,
    principles: Option<Vec<f32>>,
    /// Words of the principles that were learned.
    words: HashSet<u64>,
    /// These principles, with the share of praise.
    learned: Vec<(Principle, Option<f64>)>,
    similarity: f64,
}

/// How a principle fits a response.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PrincipleScore {
    /// Probability that someone who comments says this about the response.
    pub p: f64,
    /// Its logit.
    pub logit: f64,
    /// Share of the principle's words that occur in learned principles: at 0 nothing is known about it.
    pub familiarity: f64,
    /// Of those who gave the learned principle that is most like it, the share that liked the response: whether it is
    /// praise or blame. Nothing where none is alike.
    pub praise: Option<f64>,
}

impl Remarks {
    pub(crate) fn new(config: &Config, seed: Seed) -> Self {
        let buckets = config.encoder.buckets as usize;
        Self {
            encoder: Encoder::new(&config.encoder),
            spans: Table::new(buckets),
            principles: Principles::new(buckets),
            stream: seed.stream("reward/remarks"),
        }
    }

    /// Learns the remarks of `example` by `unit`; those of an earlier revision give way in the memory.
    pub(crate) fn take(&mut self, example: &Example, unit: u64, config: &Config) {
        let exposure = hash_text(example.exposure_id.as_str());
        if example.revision > 0 {
            self.spans.pool.erase(|row| row.exposure == exposure);
            self.principles.take_back(exposure);
        }
        let row = Row { context: &example.context, response: &example.response };
        for lesson in spans::lessons(&self.encoder, &row, &example.remarks) {
            self.spans.learn(lesson.by(exposure, unit), &config.remarks, &mut self.stream);
        }
        if !example.remarks.reasons.is_empty() {
            let features = self.encoder.encode(&row);
            let label = example.label(&config.remarks.objective.0).map(|label| label.value >= 0.5);
            let said = principles::Said { exposure, unit, label, reasons: &example.remarks.reasons };
            self.principles.take(&said, &features, &config.remarks, &mut self.stream);
        }
    }

    /// Forgets what is remembered of these exposures; how many rows there were.
    pub(crate) fn erase(&mut self, exposures: &HashSet<u64>) -> u64 {
        self.spans.pool.erase(|row| exposures.contains(&row.exposure)) + self.principles.erase(exposures)
    }

    /// Forgets the rows of `unit`.
    pub(crate) fn forget_unit(&mut self, unit: u64) {
        self.spans.pool.erase(|row| row.unit == unit);
        self.principles.forget_unit(unit);
    }

    /// The principles that were learned, those that most units gave first.
    pub(crate) fn learned(&self, config: &Config) -> Vec<LearnedPrinciple> {
        let agreed = self.principles.consensus.agreed(&config.remarks);
        let mut learned: Vec<LearnedPrinciple> = agreed.map(|(_, reason)| reason.learned()).collect();
        learned.sort_by_key(|principle| std::cmp::Reverse(principle.units));
        learned
    }

    pub(crate) fn frozen(&self, config: &Config) -> Arc<FrozenRemarks> {
        let agreed = self.principles.consensus.agreed(&config.remarks);
        let learned = agreed.map(|(_, reason)| (reason.principle.clone(), reason.learned().praise)).collect();
        let weights = (self.spans.frozen(), self.principles.table.frozen());
        FrozenRemarks::new(config, weights, self.principles.words(&config.remarks), learned)
    }
}

impl FrozenRemarks {
    /// Of weights read from a checkpoint.
    pub(crate) fn new(
        config: &Config,
        (spans, principles): (Option<Vec<f32>>, Option<Vec<f32>>),
        words: HashSet<u64>,
        learned: Vec<(Principle, Option<f64>)>,
    ) -> Arc<Self> {
        let (encoder, similarity) = (Encoder::new(&config.encoder), config.remarks.similarity);
        Arc::new(Self { encoder, spans, principles, words, learned, similarity })
    }

    /// The sentences of the response with their scores; nothing while no kept and no edited part was seen.
    pub(crate) fn spans(&self, row: &Row<'_>) -> Option<Vec<SpanScore>> {
        Some(score_spans(&self.encoder, self.spans.as_ref()?, row))
    }

    /// The share of praise of the learned principle most like `principle`.
    fn praise(&self, principle: &Principle) -> Option<f64> {
        let alike = self.learned.iter().map(|(learned, praise)| (learned.similarity(principle), praise));
        let alike = alike.filter(|(similarity, _)| *similarity >= self.similarity);
        alike.max_by(|a, b| a.0.total_cmp(&b.0)).and_then(|(_, praise)| *praise)
    }

    /// One score per principle; nothing while none was learned.
    pub(crate) fn principles(&self, row: &Row<'_>, principles: &[Principle]) -> Option<Vec<PrincipleScore>> {
        let weights = self.principles.as_ref()?;
        let features = self.encoder.encode(row);
        let score = |principle: &Principle| PrincipleScore {
            praise: self.praise(principle),
            ..principle.score(weights, &features, &self.words)
        };
        Some(principles.iter().map(score).collect())
    }
}
