//! A trainer as files and back, bit for bit.
//!
//! Numbers go into safetensors, never through decimal text. The table is stored sparsely: only coordinates that have
//! been touched.

mod guard;
mod network;
mod propensity;
mod quality;
mod remarks;
mod tensors;
mod weights;

use std::collections::BTreeMap;

use plaudit_event::{ExposureId, Objective, Seed, Timestamp};
use plaudit_nn::checkpoint::{Checkpoint, Draft};
use serde::{Deserialize, Serialize};

use super::{Taken, Trainer};
use crate::deep;
use crate::delay::Arrivals;
use crate::encode::{ENCODER_VERSION, Encoder};
use crate::hash_model::HashModel;
use crate::prototypes::Prototypes;
use crate::replay::{Boosts, Replay};
use crate::segments::Segments;
use crate::{Config, Error};
use network::NetworkState;
use tensors::{Reader, Writer};
use weights::{
    member_name, named, read_calibrator, read_factors, read_length, read_model, read_optimizer, read_weights,
    write_calibrator, write_factors, write_optimizer, write_weights,
};

/// What [`Draft::kind`] says about a reward model.
pub(crate) const CHECKPOINT_KIND: &str = "reward";

const CONFIG: &str = "config.json";
const STATE: &str = "state.json";
const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const REPLAY: &str = "replay.safetensors";
const GUARD: &str = "guard.safetensors";
const GOLDEN: &str = "golden.json";
const PROTOTYPES: &str = "prototypes.json";
const NETWORK: &str = "network.safetensors";
const NETWORK_OPTIMIZER: &str = "network_optimizer.safetensors";
const PENDING: &str = "pending.safetensors";
const PROPENSITY: &str = "propensity.safetensors";
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
    /// The same of the stream that draws pairs.
    #[serde(default)]
    pair_stream_position: String,
    unit_day: i64,
    /// Names of the segments, by number.
    segments: Vec<String>,
    heads: BTreeMap<Objective, HeadState>,
    /// The encoder's network, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    network: Option<NetworkState>,
}

#[derive(Debug, Serialize, Deserialize)]
struct HeadState {
    learned: u64,
    averaged: u64,
    positives_seen: u64,
    negatives_seen: u64,
    /// Absent in checkpoints from before there were pairs.
    #[serde(default)]
    pairs: u64,
    /// Absent in checkpoints from before delays were weighted.
    #[serde(default)]
    arrivals: Arrivals,
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
        let mut shown = Writer::default();
        let mut heads = BTreeMap::new();
        for (objective, head) in self.objectives.iter().zip(&self.heads) {
            for (name, learner) in named(objective, &head.learner, &head.members) {
                write_weights(&mut model, &name, &learner.average.weights)?;
                write_optimizer(&mut optimizer, &name, learner)?;
            }
            write_factors(&mut model, objective, &head.factors)?;
            propensity::write(&mut shown, objective, &head.propensity)?;
            write_calibrator(&mut model, objective, &head.calibrator)?;
            model.f64s(&format!("{objective}.length"), head.length.to_array().into_iter())?;
            replay.class(&format!("{objective}.positives"), &head.replay.positives)?;
            replay.class(&format!("{objective}.negatives"), &head.replay.negatives)?;
            replay.pairs(&format!("{objective}.pairs"), &head.pairs)?;
            quality::write_window(&mut quality, objective, &head.window)?;
            quality::write_drift(&mut quality, objective, &head.drift)?;
            let ids = head.window.places();
            let state = HeadState {
                learned: head.learner.examples,
                averaged: head.learner.averaged,
                positives_seen: head.replay.positives.seen(),
                negatives_seen: head.replay.negatives.seen(),
                pairs: head.pairs.seen,
                arrivals: head.arrivals,
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
            pair_stream_position: self.pair_stream.get_word_pos().to_string(),
            unit_day: self.units.day,
            segments: self.segments.names().to_vec(),
            heads,
            network: NetworkState::of(self),
        };
        let [numbers, reasons] = remarks::write(&self.remarks)?;
        let mut files = vec![
            numbers,
            reasons,
            (CONFIG, json(&self.config.learning())),
            (STATE, json(&state)),
            (MODEL, model.finish()?),
            (OPTIMIZER, optimizer.finish()?),
            (REPLAY, replay.finish()?),
            (QUALITY, quality.finish()?),
            (PROPENSITY, shown.finish()?),
            (GUARD, guard::write(&self.guard)?),
            (PROTOTYPES, prototypes(self)),
            (GOLDEN, serde_json::to_vec(&self.golden).expect("only finite numbers")),
        ];
        files.extend(network::write(self)?);
        Ok(Draft {
            kind: CHECKPOINT_KIND.to_owned(),
            parent,
            log_position,
            config_hash: self.config.hash(),
            seed: self.seed.value(),
            files: files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect(),
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
        if let Some(reason) = NetworkState::mismatch(state.network.as_ref(), trainer.encoder.network()) {
            return Err(mismatch(reason));
        }
        network::read(checkpoint, &mut trainer, state.network.as_ref())?;
        let position = |text: &str| text.parse().map_err(|_| mismatch("the stream position is not a number"));
        trainer.stream.set_word_pos(position(&state.stream_position)?);
        trainer.pair_stream.set_word_pos(position(&state.pair_stream_position)?);
        trainer.examples = state.examples;
        trainer.last = state.last;
        trainer.closed_through = state.closed_through;
        trainer.units.day = state.unit_day;
        trainer.segments = Segments::with_names(&trainer.config.segments, state.segments);

        let model = Reader::open(checkpoint, MODEL)?;
        let optimizer = Reader::open(checkpoint, OPTIMIZER)?;
        let replay = Reader::open(checkpoint, REPLAY)?;
        let quality = Reader::open(checkpoint, QUALITY)?;
        trainer.remarks = remarks::read(checkpoint, trainer.remarks, &trainer.config)?
            .ok_or_else(|| mismatch("the state of the remarks is damaged"))?;
        let shown = Reader::open(checkpoint, PROPENSITY)?;
        trainer.guard = guard::read(&Reader::open(checkpoint, GUARD)?)?
            .ok_or_else(|| mismatch("the counts of the guard are damaged"))?;
        trainer.golden = parse(checkpoint, GOLDEN)?;
        let (prototypes, boosts): (Prototypes, Boosts) = parse(checkpoint, PROTOTYPES)?;
        trainer.prototypes = prototypes;
        let hashes = replay.u64s("units.hash")?;
        let counts = replay.u32s("units.count")?;
        trainer.units.counts = hashes.into_iter().zip(counts).collect();
        let shape = trainer.encoder.network().map(deep::Network::shape);
        for (objective, head) in trainer.objectives.iter().zip(&mut trainer.heads) {
            let found = state.heads.get(objective);
            let found = found.ok_or_else(|| mismatch("a head is missing"))?;
            head.calibrator = read_calibrator(&model, objective)?;
            head.length = read_length(&model, objective)?;
            head.factors = read_factors(&model, objective, &trainer.config)?;
            let members = head.members.iter_mut().enumerate();
            let members = members.map(|(number, member)| (member_name(objective, number), member));
            for (name, learner) in std::iter::once((objective.0.clone(), &mut head.learner)).chain(members) {
                learner.average = read_weights(&model, &name, learner.average.weights.len())?;
                (learner.examples, learner.averaged) = (found.learned, found.averaged);
                read_optimizer(&optimizer, &name, learner, trainer.rates)?;
            }
            head.arrivals = found.arrivals;
            head.pairs = replay.pairs(&format!("{objective}.pairs"), found.pairs, shape)?;
            propensity::read(&shown, objective, &mut head.propensity, trainer.rates)?;
            head.replay = Replay {
                positives: replay.class(&format!("{objective}.positives"), shape)?,
                negatives: replay.class(&format!("{objective}.negatives"), shape)?,
                boosts: boosts.clone(),
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
        let encoder = Encoder::load(&config.encoder, Seed::new(checkpoint.manifest.seed))?;
        if let Some(reason) = NetworkState::mismatch(state.network.as_ref(), encoder.network()) {
            return Err(mismatch(reason.to_owned()));
        }
        if let Some(network) = encoder.network() {
            network::read_weights(checkpoint, network)?;
        }
        let model = Reader::open(checkpoint, MODEL)?;
        let mut heads = Vec::with_capacity(config.objectives.len());
        for objective in &config.objectives {
            let seen = state.heads.get(objective);
            let known = seen.is_some_and(|s| s.pairs > 0 || (s.positives_seen > 0 && s.negatives_seen > 0));
            let head = known.then(|| read_model(&model, objective, &config, encoder.width()));
            heads.push(head.transpose()?);
        }
        let remarks = remarks::read_frozen(checkpoint, &config)?;
        Ok(Self::new(config.objectives.into(), encoder, heads, state.examples).with_remarks(remarks))
    }
}

/// What segments look like, and how much of the memory each gets since it was looked at last.
fn prototypes(trainer: &Trainer) -> Vec<u8> {
    let boosts = trainer.heads.first().map(|head| &head.replay.boosts);
    serde_json::to_vec(&(&trainer.prototypes, boosts.cloned().unwrap_or_default())).expect("only finite numbers")
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
