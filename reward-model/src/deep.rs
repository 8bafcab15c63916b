//! A pre-trained network as the encoder, beside the hashed features or alone.
//!
//! The vector that a network gives of a row (mean or `[CLS]` of a BERT, last token of a decoder) is scaled to one length
//! and appended to the hashed features as dense ones. So the heads are those of the `hash` encoder: the same learners,
//! average, ensemble, calibration, pairs. Where the network is trained as well, the derivative of a row's loss by its
//! logit, times the head's weights, is the derivative by the vector, and goes back into the network ([`tuner`]).

pub(crate) mod body;
mod config;
mod layout;
mod memory;
#[cfg(test)]
mod tests;
pub(crate) mod tuner;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Tensor};
use plaudit_event::Seed;
use plaudit_nn::bert::TOKENIZER_FILE;
use plaudit_nn::decoder::CONFIG_FILE;
use plaudit_nn::{Error as NnError, Params};

use crate::config::EncoderConfig;
use crate::{Error, Row};
use body::{Body, Padded};
pub use config::{NetworkConfig, TrainedPart};
use layout::Layout;
use memory::Budget;
pub use memory::NetworkMemory;

/// Vectors that a network without training remembers.
const MOST_REMEMBERED: usize = 1 << 15;
/// Tokens, padding among them, that go through a network at once on a GPU: more take memory and save no time.
const GPU_TOKENS: usize = 1 << 15;

/// What a network makes of one row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Deep {
    /// The number of the vector's first feature.
    pub(crate) from: u32,
    /// Whether the heads see the vector alone, without the hashed features.
    pub(crate) alone: bool,
    /// The row as the network reads it; empty where that is not needed again.
    pub(crate) tokens: Box<[u32]>,
    /// The vector; empty where it is computed again.
    pub(crate) vector: Box<[f32]>,
}

/// What all rows of one network have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// See [`Deep`].
    pub(crate) from: u32,
    /// See [`Deep`].
    pub(crate) alone: bool,
    /// Numbers of a vector.
    pub(crate) width: usize,
}

/// Vectors by tokens.
type Known = Mutex<HashMap<Box<[u32]>, Box<[f32]>>>;

/// A network that gives vectors.
#[derive(Debug)]
pub(crate) struct Network {
    body: Arc<Body>,
    layout: Arc<Layout>,
    config: NetworkConfig,
    buckets: u32,
    device: Device,
    budget: Arc<Budget>,
    /// SHA-256 of the files it was read from.
    fingerprint: Arc<str>,
    /// Vectors by tokens, where nothing changes them.
    known: Option<Arc<Known>>,
}

impl Network {
    /// Reads the directory of `config`; `seed` decides the initial adapters.
    pub(crate) fn load(config: &EncoderConfig, seed: Seed) -> Result<Self, Error> {
        let device = config.network.device.open()?;
        let network = &config.network;
        let allowed = Budget::allowed(network, &device)?;
        let layout = Layout::load(&network.path, config.kind, network.max_tokens)?;
        let body = Body::load(config.kind, network, &device, &mut seed.stream("reward/adapters"))?;
        if layout.vocab_size() > body.vocab_size() {
            let path = network.path.join(TOKENIZER_FILE);
            let reason = format!("has {} tokens, the network only {}", layout.vocab_size(), body.vocab_size());
            return Err(NnError::corrupt(&path, reason).into());
        }
        let needs = body.memory(network, &device);
        let budget = Budget::new(needs, allowed, network.max_tokens)?;
        let (resident, room) = (needs.resident(), budget.room());
        tracing::info!(%network.device, resident, room, "network loaded");
        Ok(Self {
            body: Arc::new(body),
            budget: Arc::new(budget),
            layout: Arc::new(layout),
            config: network.clone(),
            buckets: config.buckets,
            device,
            fingerprint: fingerprint(&network.path)?.into(),
            known: (network.train == TrainedPart::None).then(Arc::default),
        })
    }

    /// Whether training changes it.
    pub(crate) fn is_trained(&self) -> bool {
        self.config.train != TrainedPart::None
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// What it takes of the memory of its device.
    pub(crate) fn memory(&self) -> NetworkMemory {
        self.budget.needs
    }

    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub(crate) fn shape(&self) -> Shape {
        Shape { from: self.buckets, alone: !self.config.with_hash, width: self.body.width() }
    }

    /// The same network as of now, for as long as training goes on.
    pub(crate) fn frozen(&self) -> Result<Self, Error> {
        let (body, known) = if self.is_trained() {
            (Arc::new(self.body.snapshot()?), Some(Arc::default()))
        } else {
            (Arc::clone(&self.body), self.known.clone())
        };
        Ok(Self {
            body,
            known,
            layout: Arc::clone(&self.layout),
            config: self.config.clone(),
            device: self.device.clone(),
            budget: Arc::clone(&self.budget),
            fingerprint: Arc::clone(&self.fingerprint),
            buckets: self.buckets,
        })
    }

    /// The parameters that are trained.
    pub(crate) fn trained(&self) -> Params {
        self.body.trained(self.config.train)
    }

    /// What the network makes of `rows`.
    pub(crate) fn read(&self, rows: &[Row<'_>]) -> Result<Vec<Deep>, Error> {
        let tokens = rows.iter().map(|row| self.layout.tokens(row)).collect::<Result<Vec<_>, _>>()?;
        let sequences: Vec<&[u32]> = tokens.iter().map(Vec::as_slice).collect();
        let vectors = self.vectors(&sequences)?;
        let is_kept = self.is_trained();
        let Shape { from, alone, .. } = self.shape();
        let deep = |(tokens, vector): (Vec<u32>, Vec<f32>)| Deep {
            from,
            alone,
            tokens: if is_kept { tokens.into() } else { Box::default() },
            vector: vector.into(),
        };
        Ok(tokens.into_iter().zip(vectors).map(deep).collect())
    }

    /// The vectors of `sequences`. On the CPU each goes through the network alone, so that its vector depends on nothing
    /// else.
    fn vectors(&self, sequences: &[&[u32]]) -> Result<Vec<Vec<f32>>, Error> {
        let mut vectors = vec![Vec::new(); sequences.len()];
        let mut open = Vec::new();
        for (at, sequence) in sequences.iter().enumerate() {
            match self.recall(sequence) {
                Some(vector) => vectors[at] = vector,
                None => open.push(at),
            }
        }
        // By length, so that there is little padding.
        open.sort_by_key(|at| sequences[*at].len());
        let most = if self.device.is_cpu() { 0 } else { GPU_TOKENS };
        let fits = |rows: usize, tokens: usize| rows * tokens <= most && self.budget.scores(rows, tokens);
        for part in split(&open, |at| (1, sequences[*at].len()), fits) {
            let _turn = self.budget.turn();
            let rows: Vec<&[u32]> = part.iter().map(|at| sequences[*at]).collect();
            let found = self.body.forward(&Padded::new(&rows, &self.device)?, self.config.scale)?;
            for (at, vector) in part.iter().zip(to_rows(&found)?) {
                self.remember(sequences[*at], &vector);
                vectors[*at] = vector;
            }
        }
        Ok(vectors)
    }

    fn recall(&self, sequence: &[u32]) -> Option<Vec<f32>> {
        let known = self.known.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(sequence).map(|vector| vector.to_vec())
    }

    fn remember(&self, sequence: &[u32], vector: &[f32]) {
        let Some(known) = &self.known else { return };
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_REMEMBERED {
            known.clear();
        }
        known.insert(sequence.into(), vector.into());
    }
}

/// `items` in order, in parts that `fits`, or of one item. `size` gives the rows of an item and its longest length; `fits`
/// gets those of a part.
fn split<T>(items: &[T], size: impl Fn(&T) -> (usize, usize), fits: impl Fn(usize, usize) -> bool) -> Vec<&[T]> {
    let mut parts = Vec::new();
    let (mut from, mut rows, mut longest) = (0, 0, 0);
    for (at, item) in items.iter().enumerate() {
        let (own, length) = size(item);
        if at > from && !fits(rows + own, longest.max(length)) {
            parts.push(&items[from..at]);
            (from, rows, longest) = (at, 0, 0);
        }
        (rows, longest) = (rows + own, longest.max(length));
    }
    if from < items.len() {
        parts.push(&items[from..]);
    }
    parts
}

fn to_rows(vectors: &Tensor) -> Result<Vec<Vec<f32>>, NnError> {
    Ok(vectors.to_dtype(DType::F32)?.to_vec2()?)
}

/// Hash of the files in `dir` that decide what a network computes.
fn fingerprint(dir: &Path) -> Result<String, Error> {
    let mut paths = vec![dir.join(CONFIG_FILE)];
    paths.extend(plaudit_nn::weight_files(dir)?);
    paths.push(dir.join(TOKENIZER_FILE));
    paths.extend(Some(dir.join(body::POOLING_FILE)).filter(|path| path.is_file()));
    let mut hashes = Vec::new();
    for path in paths {
        let bytes = std::fs::read(&path).map_err(NnError::io(&path))?;
        hashes.push(plaudit_nn::checkpoint::sha256(&bytes));
    }
    Ok(plaudit_nn::checkpoint::config_hash(&hashes))
}
