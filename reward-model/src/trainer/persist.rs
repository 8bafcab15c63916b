//! A trainer as files and back, bit for bit.
//!
//! Numbers go into safetensors, never through decimal text. The table is stored sparsely: only coordinates that have
//! been touched.

mod quality;
mod tensors;

use std::collections::BTreeMap;

use plaudit_event::{ExposureId, Objective, Seed, Timestamp};
use plaudit_nn::checkpoint::{Checkpoint, Draft};
use serde::{Deserialize, Serialize};

use super::{Head, Taken, Trainer};
use crate::calibration::{Calibrator, STATE_NUMBERS};
use crate::encode::{ENCODER_VERSION, Encoder};
use crate::hash_model::{FrozenHead, HashModel};
use crate::learner::{Learner, Network};
use crate::replay::Replay;
use crate::{Config, Error};
use tensors::{Reader, Writer};

/// What [`Draft::kind`] says about a reward model.
pub(crate) const CHECKPOINT_KIND: &str = "reward";

const CONFIG: &str = "config.json";
const STATE: &str = "state.json";
const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const REPLAY: &str = "replay.safetensors";
const QUALITY: &str = "quality.safetensors";

/// The part of the state that is whole numbers and names.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    encoder_version: u32,
    examples: u64,
    last: Option<Taken>,
    closed_through: Option<Timestamp>,
    /// Position of the replay stream, a number beyond 64 bits.
    stream_position: String,
    unit_day: i64,
    heads: BTreeMap<Objective, HeadState>,
}

#[derive(Debug, Serialize, Deserialize)]
struct HeadState {
    learned: u64,
    positives_seen: u64,
    negatives_seen: u64,
    predicted: Vec<ExposureId>,
}

impl Trainer {
    /// The whole state as a checkpoint to be written. `log_position` is the offset of the first record that has not
    /// been taken; `parent` the checkpoint that training went on from.
    ///
    /// # Errors
    /// Fails when memory runs out.
    pub fn checkpoint(&self, log_position: u64, parent: Option<String>) -> Result<Draft, Error> {
        let (mut model, mut optimizer) = (Writer::default(), Writer::default());
        let (mut replay, mut quality) = (Writer::default(), Writer::default());
        let mut heads = BTreeMap::new();
        for (objective, head) in self.objectives.iter().zip(&self.heads) {
            write_model(&mut model, objective, head)?;
            write_optimizer(&mut optimizer, objective, &head.learner)?;
            replay.reservoir(&format!("{objective}.positives"), &head.replay.positives)?;
            replay.reservoir(&format!("{objective}.negatives"), &head.replay.negatives)?;
            quality::write_window(&mut quality, objective, &head.window)?;
            quality::write_drift(&mut quality, objective, &head.drift)?;
            let ids = head.window.places();
            let state = HeadState {
                learned: head.learner.examples,
                positives_seen: head.replay.positives.seen,
                negatives_seen: head.replay.negatives.seen,
                predicted: ids.map(|p| p.exposure_id.clone()).collect(),
            };
            heads.insert(objective.clone(), state);
        }
        replay.u64s("units.hash", self.units.counts.keys().copied())?;
        replay.u32s("units.count", self.units.counts.values().copied())?;
        let state = State {
            encoder_version: ENCODER_VERSION,
            examples: self.examples,
            last: self.last.clone(),
            closed_through: self.closed_through,
            stream_position: self.stream.get_word_pos().to_string(),
            unit_day: self.units.day,
            heads,
        };
        let files = [
            (CONFIG, json(&self.config.learning())),
            (STATE, json(&state)),
            (MODEL, model.finish()?),
            (OPTIMIZER, optimizer.finish()?),
            (REPLAY, replay.finish()?),
            (QUALITY, quality.finish()?),
        ];
        Ok(Draft {
            kind: CHECKPOINT_KIND.to_owned(),
            parent,
            log_position,
            config_hash: self.config.hash(),
            seed: self.seed.value(),
            files: files.map(|(name, bytes)| (name.to_owned(), bytes)).into(),
        })
    }

    /// A trainer that goes on where `checkpoint` was made.
    ///
    /// # Errors
    /// Fails when the checkpoint was trained under another configuration or seed, or when it is damaged.
    pub fn resume(checkpoint: &Checkpoint, config: Config, seed: Seed) -> Result<Self, Error> {
        let manifest = &checkpoint.manifest;
        let mismatch = |reason: &str| Error::Mismatch { id: manifest.id.clone(), reason: reason.to_owned() };
        if manifest.kind != CHECKPOINT_KIND {
            return Err(mismatch("it is not a reward model"));
        }
        if manifest.config_hash != config.hash() || manifest.seed != seed.value() {
            return Err(mismatch("it was trained under another configuration or seed"));
        }
        let state = read_state(checkpoint)?;
        let mut trainer = Self::new(config, seed)?;
        let position = state.stream_position.parse::<u128>();
        let position = position.map_err(|_| mismatch("the stream position is not a number"))?;
        trainer.stream.set_word_pos(position);
        trainer.examples = state.examples;
        trainer.last = state.last;
        trainer.closed_through = state.closed_through;
        trainer.units.day = state.unit_day;

        let model = Reader::open(checkpoint, MODEL)?;
        let optimizer = Reader::open(checkpoint, OPTIMIZER)?;
        let replay = Reader::open(checkpoint, REPLAY)?;
        let quality = Reader::open(checkpoint, QUALITY)?;
        let hashes = replay.u64s("units.hash")?;
        let counts = replay.u32s("units.count")?;
        trainer.units.counts = hashes.into_iter().zip(counts).collect();
        for (objective, head) in trainer.objectives.iter().zip(&mut trainer.heads) {
            let found = state.heads.get(objective);
            let found = found.ok_or_else(|| mismatch("a head is missing"))?;
            let frozen = read_model(&model, objective, head.learner.average.weights.len())?;
            head.calibrator = frozen.calibrator;
            head.learner.average = frozen.network;
            head.learner.examples = found.learned;
            read_optimizer(&optimizer, objective, &mut head.learner, trainer.rates)?;
            head.replay = Replay {
                positives: replay.reservoir(&format!("{objective}.positives"), found.positives_seen)?,
                negatives: replay.reservoir(&format!("{objective}.negatives"), found.negatives_seen)?,
            };
            head.window = quality::read_window(&quality, objective, &found.predicted)?;
            head.drift = quality::read_drift(&quality, objective)?
                .ok_or_else(|| mismatch("the state of a drift detector is damaged"))?;
        }
        Ok(trainer)
    }
}

impl HashModel {
    /// The scoring half of `checkpoint`.
    ///
    /// # Errors
    /// Fails when the checkpoint is not a reward model, is damaged, or was made by another version of the encoder.
    pub fn from_checkpoint(checkpoint: &Checkpoint) -> Result<Self, Error> {
        let mismatch = |reason: String| Error::Mismatch { id: checkpoint.manifest.id.clone(), reason };
        if checkpoint.manifest.kind != CHECKPOINT_KIND {
            return Err(mismatch("it is not a reward model".to_owned()));
        }
        let config: Config = parse(checkpoint, CONFIG)?;
        config.check()?;
        let state = read_state(checkpoint)?;
        let model = Reader::open(checkpoint, MODEL)?;
        let buckets = config.encoder.buckets as usize;
        let mut heads = Vec::with_capacity(config.objectives.len());
        for objective in &config.objectives {
            let seen = state.heads.get(objective);
            let known = seen.is_some_and(|s| s.positives_seen > 0 && s.negatives_seen > 0);
            let head = known.then(|| read_model(&model, objective, buckets));
            heads.push(head.transpose()?);
        }
        let encoder = Encoder::new(&config.encoder);
        Ok(Self::new(config.objectives.into(), encoder, heads, state.examples))
    }
}

fn read_state(checkpoint: &Checkpoint) -> Result<State, Error> {
    let state: State = parse(checkpoint, STATE)?;
    if state.encoder_version != ENCODER_VERSION {
        let found = state.encoder_version;
        return Err(Error::Mismatch {
            id: checkpoint.manifest.id.clone(),
            reason: format!("encoder version must be {ENCODER_VERSION}, got {found}"),
        });
    }
    Ok(state)
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec_pretty(value).expect("only string keys and finite numbers")
}

fn parse<T: serde::de::DeserializeOwned>(checkpoint: &Checkpoint, name: &str) -> Result<T, Error> {
    serde_json::from_slice(checkpoint.file(name)?).map_err(|error| Error::Mismatch {
        id: checkpoint.manifest.id.clone(),
        reason: format!("`{name}` cannot be read: {error}"),
    })
}

fn write_model(to: &mut Writer, objective: &Objective, head: &Head) -> Result<(), Error> {
    let weights = &head.learner.average.weights;
    let kept = |(index, weight): (usize, &f32)| (*weight != 0.0).then_some(index as u32);
    let indices: Vec<u32> = weights.iter().enumerate().filter_map(kept).collect();
    let values = indices.iter().map(|index| weights[*index as usize]);
    to.f32s(&format!("{objective}.weight"), values)?;
    to.u32s(&format!("{objective}.index"), indices.iter().copied())?;
    to.f64s(&format!("{objective}.calibration"), head.calibrator.to_array().into_iter())
}

fn read_model(from: &Reader, objective: &Objective, buckets: usize) -> Result<FrozenHead, Error> {
    let mut weights = vec![0.0; buckets];
    let values = from.f32s(&format!("{objective}.weight"))?;
    let indices = from.u32s(&format!("{objective}.index"))?;
    for (index, value) in indices.into_iter().zip(values) {
        *from.slot(&mut weights, index)? = value;
    }
    let numbers = from.f64s(&format!("{objective}.calibration"))?;
    let numbers: [f64; STATE_NUMBERS] = from.exact(numbers)?;
    Ok(FrozenHead { network: Network { weights }, calibrator: Calibrator::from_array(numbers) })
}

fn write_optimizer(to: &mut Writer, objective: &Objective, learner: &Learner) -> Result<(), Error> {
    let linear = &learner.linear;
    // A gradient so small that its square vanishes still moves the pull.
    let kept = |index: &u32| {
        let at = *index as usize;
        linear.squares[at] != 0.0 || linear.pulls[at] != 0.0
    };
    let all = 0..linear.squares.len() as u32;
    let touched: Vec<u32> = all.filter(kept).collect();
    let pulls = touched.iter().map(|index| linear.pulls[*index as usize]);
    let squares = touched.iter().map(|index| linear.squares[*index as usize]);
    to.f32s(&format!("{objective}.pull"), pulls)?;
    to.f32s(&format!("{objective}.square"), squares)?;
    to.u32s(&format!("{objective}.index"), touched.iter().copied())
}

fn read_optimizer(
    from: &Reader,
    objective: &Objective,
    learner: &mut Learner,
    rates: crate::linear::Rates,
) -> Result<(), Error> {
    let linear = &mut learner.linear;
    let pulls = from.f32s(&format!("{objective}.pull"))?;
    let squares = from.f32s(&format!("{objective}.square"))?;
    let indices = from.u32s(&format!("{objective}.index"))?;
    for ((index, z), n) in indices.into_iter().zip(pulls).zip(squares) {
        *from.slot(&mut linear.pulls, index)? = z;
        *from.slot(&mut linear.squares, index)? = n;
        // The weight follows from the two sums, so that it is not stored.
        *from.slot(&mut linear.weights, index)? = rates.weight(index as usize, z, n);
    }
    Ok(())
}
