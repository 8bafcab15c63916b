//! The encoder's network: what training changed of it, its optimiser, and what waits for its next round.

use std::collections::{BTreeMap, VecDeque};

use plaudit_nn::Params;
use plaudit_nn::checkpoint::Checkpoint;
use serde::{Deserialize, Serialize};

use super::tensors::{Reader, Writer};
use super::{NETWORK, NETWORK_OPTIMIZER, PENDING};
use crate::deep::Network;
use crate::deep::tuner::Tuner;
use crate::replay::Class;
use crate::trainer::pairs::memory::PairMemory;
use crate::trainer::{Pending, Task};
use crate::{Error, Trainer};

/// The part that is whole numbers and names.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct NetworkState {
    /// Hash of the files that the network was read from.
    fingerprint: String,
    /// Steps made.
    steps: u64,
}

impl NetworkState {
    /// None without a network.
    pub(super) fn of(trainer: &Trainer) -> Option<Self> {
        let fingerprint = trainer.encoder.network()?.fingerprint().to_owned();
        Some(Self { fingerprint, steps: trainer.tuner.as_ref().map_or(0, |tuner| tuner.optimizer.steps()) })
    }

    /// Why this is not of `network`, if it is not.
    pub(super) fn mismatch(state: Option<&Self>, network: Option<&Network>) -> Option<&'static str> {
        let (found, wanted) = (state.map(|state| state.fingerprint.as_str()), network.map(Network::fingerprint));
        (found != wanted).then_some("the files of the encoder's network are others than those it was trained on")
    }
}

/// The files of what is trained, none where nothing is.
pub(super) fn write(trainer: &Trainer) -> Result<Vec<(&'static str, Vec<u8>)>, Error> {
    let Some(tuner) = &trainer.tuner else { return Ok(Vec::new()) };
    Ok(vec![
        (NETWORK, tuner.params.to_bytes()?),
        (NETWORK_OPTIMIZER, tuner.optimizer.state()?.to_bytes()?),
        (PENDING, write_pending(&trainer.pending)?),
    ])
}

/// Puts what training changed in its place.
pub(super) fn read_weights(checkpoint: &Checkpoint, network: &Network) -> Result<(), Error> {
    if network.is_trained() {
        network.trained().copy_from(&Params::from_bytes(checkpoint.file(NETWORK)?, network.device())?)?;
    }
    Ok(())
}

/// Goes on where `checkpoint` was made.
pub(super) fn read(checkpoint: &Checkpoint, trainer: &mut Trainer, state: Option<&NetworkState>) -> Result<(), Error> {
    let (Some(network), Some(tuner)) = (trainer.encoder.network(), &mut trainer.tuner) else { return Ok(()) };
    read_weights(checkpoint, network)?;
    restore(checkpoint, network, tuner, state.map_or(0, |state| state.steps))?;
    trainer.pending = read_pending(&Reader::open(checkpoint, PENDING)?, network)?;
    Ok(())
}

fn restore(checkpoint: &Checkpoint, network: &Network, tuner: &mut Tuner, steps: u64) -> Result<(), Error> {
    let moments = Params::from_bytes(checkpoint.file(NETWORK_OPTIMIZER)?, network.device())?;
    Ok(tuner.optimizer.restore(&moments, steps)?)
}

fn write_pending(pending: &[Pending]) -> Result<Vec<u8>, Error> {
    let (mut rows, mut numbers, mut pairs) = (VecDeque::new(), Vec::new(), Vec::new());
    for item in pending {
        match &item.task {
            Task::Row { memory, shift, hold } => {
                rows.push_back(memory.clone());
                numbers.extend([*shift, *hold]);
            }
            Task::Pair(kept) => pairs.push(kept.clone()),
        }
    }
    let is_pair = |item: &Pending| u32::from(matches!(item.task, Task::Pair(_)));
    let mut to = Writer::default();
    to.u32s("head", pending.iter().map(|item| item.head))?;
    to.u32s("fresh", pending.iter().map(|item| u32::from(item.fresh)))?;
    to.u32s("is_pair", pending.iter().map(is_pair))?;
    to.f64s("numbers", numbers.into_iter())?;
    to.class("row", &Class::of(rows, BTreeMap::new()))?;
    to.pairs("pair", &PairMemory { items: pairs, seen: 0 })?;
    to.finish()
}

fn read_pending(from: &Reader, network: &Network) -> Result<Vec<Pending>, Error> {
    let shape = Some(network.shape());
    let mut rows = from.class("row", shape)?.items.into_iter();
    let mut pairs = from.pairs("pair", u64::MAX, shape)?.items.into_iter();
    let mut numbers = from.f64s("numbers")?.into_iter();
    let flags = from.u32s("fresh")?.into_iter().zip(from.u32s("is_pair")?);
    let mut pending = Vec::new();
    for (head, (fresh, is_pair)) in from.u32s("head")?.into_iter().zip(flags) {
        let task = if is_pair == 1 {
            pairs.next().map(Task::Pair)
        } else {
            rows.next().zip(numbers.next().zip(numbers.next())).map(|(memory, (shift, hold))| Task::Row {
                memory,
                shift,
                hold,
            })
        };
        let task = task.ok_or_else(|| from.damaged("a column has the wrong length"))?;
        pending.push(Pending { head, task, fresh: fresh == 1 });
    }
    Ok(pending)
}
