//! Whether a principle in words holds for a response: `score(x, y, principle)`.
//!
//! A principle is the set of its words; the head is linear in their products with the features of the response, so that
//! a principle that was never learned still scores through the words that it shares with others, and a new one needs no
//! training. What is learned are mentions: a response about which a unit gave a reason is an example for that principle,
//! and one against principles that the unit did not mention. Only reasons with a consensus are learned, see
//! [`consensus`].
//!
//! Deviation from RLBFF (arXiv 2509.21319): no language model reads principles out of comments; their clauses are taken
//! as they are, and alike by the cosine of their word sets instead of that of embeddings.

pub(crate) mod consensus;

use std::collections::HashSet;

use plaudit_event::Stream;
use plaudit_nn::loss::sigmoid;
use rand::seq::index;

use super::PrincipleScore;
use super::config::RemarkConfig;
use super::table::{Row, Sparse, Table};
use crate::encode::{Features, Group, content_words, mix, pair};
use crate::linear::product;
use crate::trainer::pairs::merged;
use consensus::{Consensus, Reason};

/// Most words of a principle.
pub(crate) const MOST_WORDS: usize = 12;
/// Most features of one group of the response that a word is crossed with.
const MOST_CROSSED: usize = 96;
/// Most that a row against principles weighs: it stands for those that were not drawn.
const MOST_WEIGHT: f32 = 16.0;

/// Words that turn the others around.
const NEGATIONS: [&str; 14] = [
    "not", "no", "never", "without", "cannot", "dont", "doesnt", "didnt", "isnt", "wasnt", "arent", "cant", "wont",
    "nothing",
];

/// A principle as the head sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principle {
    /// Hashes of its words, ascending, each once.
    pub(crate) words: Vec<u64>,
    pub(crate) is_negated: bool,
}

/// What one unit said about one response.
pub(crate) struct Said<'a> {
    pub(crate) exposure: u64,
    pub(crate) unit: u64,
    /// Whether it liked the response, if it said so.
    pub(crate) label: Option<bool>,
    pub(crate) reasons: &'a [String],
}

/// The head in training.
#[derive(Debug, Clone)]
pub(crate) struct Principles {
    pub(crate) table: Table,
    pub(crate) consensus: Consensus,
}

impl Principle {
    /// The principle that `text` says.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut words = content_words(text, MOST_WORDS);
        words.sort_unstable();
        let is_negated = NEGATIONS.iter().any(|word| content_words(word, 1).iter().all(|hash| words.contains(hash)));
        Self { words, is_negated }
    }

    /// Cosine of the word sets; 0 where one is the opposite of the other.
    pub(crate) fn similarity(&self, other: &Self) -> f64 {
        if self.is_negated != other.is_negated || self.words.is_empty() || other.words.is_empty() {
            return 0.0;
        }
        let common = self.words.iter().filter(|word| other.words.binary_search(word).is_ok()).count();
        common as f64 / ((self.words.len() * other.words.len()) as f64).sqrt()
    }

    /// Products of the words, and of the principle as a whole, with what the response is made of.
    fn cross(&self, response: &Features, buckets: usize) -> Sparse {
        let whole = self.words.iter().fold(u64::from(self.is_negated), |hash, word| pair(hash, *word));
        let keys: Vec<u64> = self.words.iter().copied().chain([whole]).collect();
        let mut parts = vec![(0, 1.0)];
        let place =
            |key: u64, salt: u64, feature: u64| 1 + (pair(key ^ mix(salt), feature) % (buckets as u64 - 1)) as usize;
        let scale = |size: usize, length: f32| length / (size.max(1) as f32).sqrt();
        parts.extend(keys.iter().map(|key| (place(*key, 1, 0), scale(keys.len(), 0.5))));
        let groups = [(Group::ResponseWords, 1.0), (Group::ResponsePairs, 0.5), (Group::ResponseEdges, 0.5)];
        for (group, length) in groups {
            let members = response.group(group);
            let members = &members[..members.len().min(MOST_CROSSED)];
            let value = scale(members.len() * keys.len(), length);
            for key in &keys {
                let salt = 2 + group as u64;
                parts.extend(members.iter().map(|member| (place(*key, salt, u64::from(*member)), value)));
            }
        }
        for (number, dense) in response.dense.iter().enumerate().skip(1) {
            let value = dense * scale(keys.len(), 0.7);
            parts.extend(keys.iter().map(|key| (place(*key, 64, number as u64), value)));
        }
        merged(parts)
    }

    /// What `weights` say; `known` are the words of learned principles.
    pub(crate) fn score(&self, weights: &[f32], response: &Features, known: &HashSet<u64>) -> PrincipleScore {
        let logit = product(weights, &self.cross(response, weights.len()));
        let familiar = self.words.iter().filter(|word| known.contains(word)).count();
        PrincipleScore {
            p: sigmoid(logit),
            logit,
            familiarity: familiar as f64 / self.words.len().max(1) as f64,
            praise: None,
        }
    }
}

impl Principles {
    pub(crate) fn new(buckets: usize) -> Self {
        Self { table: Table::new(buckets), consensus: Consensus::default() }
    }

    /// Counts the reasons, and learns those that have a consensus.
    pub(crate) fn take(&mut self, said: &Said<'_>, response: &Features, config: &RemarkConfig, stream: &mut Stream) {
        let buckets = self.table.linear.weights.len();
        let mentioned = self.consensus.hear(said, config);
        if mentioned.is_empty() {
            return;
        }
        let row = |principle: &Principle, label: f32, weight: f32| Row {
            exposure: said.exposure,
            unit: said.unit,
            features: principle.cross(response, buckets),
            label,
            weight,
        };
        for id in &mentioned {
            let Some(reason) = self.consensus.reasons.get_mut(id) else { continue };
            reason.wait(row(&reason.principle, 1.0, 1.0));
            if reason.has_consensus(config) {
                for row in std::mem::take(&mut reason.waiting) {
                    self.table.learn(row, config, stream);
                }
            }
        }
        let agreed = self.consensus.agreed(config);
        let others: Vec<&Reason> = agreed.filter(|(id, _)| !mentioned.contains(id)).map(|(_, reason)| reason).collect();
        let drawn = config.negatives.min(others.len());
        let weight = (others.len() as f32 / drawn.max(1) as f32).min(MOST_WEIGHT);
        let rows: Vec<Row> = index::sample(stream, others.len(), drawn)
            .into_iter()
            .map(|at| row(&others[at].principle, 0.0, weight))
            .collect();
        for row in rows {
            self.table.learn(row, config, stream);
        }
    }

    /// The words of principles with a consensus now.
    pub(crate) fn words(&self, config: &RemarkConfig) -> HashSet<u64> {
        self.consensus.agreed(config).flat_map(|(_, reason)| reason.principle.words.iter().copied()).collect()
    }

    /// An earlier revision of this exposure is no longer to be learned from.
    pub(crate) fn take_back(&mut self, exposure: u64) {
        self.table.pool.erase(|row| row.exposure == exposure);
        self.consensus.drop_rows(|row| row.exposure == exposure);
    }

    /// Forgets rows, texts and units of these exposures; how many rows there were.
    pub(crate) fn erase(&mut self, exposures: &HashSet<u64>) -> u64 {
        let is_gone = |row: &Row| exposures.contains(&row.exposure);
        let waiting = self.consensus.reasons.values().flat_map(|reason| &reason.waiting);
        let gone = self.table.pool.rows.iter().chain(waiting).filter(|row| is_gone(row));
        let units: HashSet<u64> = gone.map(|row| row.unit).collect();
        self.consensus.forget(&units, exposures);
        self.table.pool.erase(is_gone) + self.consensus.drop_rows(is_gone)
    }

    /// Forgets the rows and the voice of `unit`.
    pub(crate) fn forget_unit(&mut self, unit: u64) {
        self.table.pool.erase(|row| row.unit == unit);
        self.consensus.drop_rows(|row| row.unit == unit);
        self.consensus.forget(&HashSet::from([unit]), &HashSet::new());
    }
}
