//! Rows and pairs that wait until the network is trained.
//!
//! A network changes only where the number of examples (or of pairs) is a multiple of `step_every`, so that the result
//! does not depend on how the stream was cut. Until then what is to be learned is kept here, and heads and network learn
//! it together: each row on the vector that the network gives of it then.

use std::sync::Arc;

use super::Trainer;
use super::head::{Head, Pass};
use super::pairs::Both;
use super::pairs::memory::Kept;
use crate::Error;
use crate::config::Config;
use crate::deep::tuner::{Tuner, Unit};
use crate::deep::{Deep, Network};
use crate::encode::Features;
use crate::linear::Rates;
use crate::replay::Memory;

/// A row or a pair to be learned.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    /// The number of its head.
    pub(crate) head: u32,
    pub(crate) task: Task,
    /// Whether it is new, not rehearsed.
    pub(crate) fresh: bool,
}

/// What is learned, without vectors of the network.
#[derive(Debug, Clone)]
pub(crate) enum Task {
    /// See [`Pass`].
    Row {
        memory: Memory,
        shift: f64,
        hold: f64,
    },
    Pair(Kept),
}

impl Pending {
    fn deep(&self) -> impl Iterator<Item = Arc<Deep>> {
        let rows: [Option<&Features>; 2] = match &self.task {
            Task::Row { memory, .. } => [Some(&memory.features), None],
            Task::Pair(kept) => [Some(&kept.both.chosen), Some(&kept.both.rejected)],
        };
        rows.into_iter().flatten().filter_map(|features| features.deep.clone())
    }

    /// Whether it is a row of `exposure`.
    pub(super) fn is_of(&self, exposure: u64) -> bool {
        matches!(&self.task, Task::Row { memory, .. } if memory.exposure == exposure)
    }

    /// Whether it is a row of `unit`.
    pub(super) fn is_from(&self, unit: u64) -> bool {
        matches!(&self.task, Task::Row { memory, .. } if memory.unit == unit)
    }
}

impl Trainer {
    /// Learns what waits for the network's next round of steps. Streams need no such call; after an offline pass it
    /// brings what the last examples teach into the model.
    ///
    /// # Errors
    /// Fails when the network cannot be computed.
    pub fn settle(&mut self) -> Result<(), Error> {
        let pending = std::mem::take(&mut self.pending);
        let (Some(tuner), Some(network)) = (&mut self.tuner, self.encoder.network()) else { return Ok(()) };
        for batch in pending.chunks(self.config.encoder.network.batch_rows) {
            let heads = &mut self.heads;
            teach(batch, heads, tuner, network, (&self.config, self.rates))?;
        }
        Ok(())
    }

    /// [`Trainer::settle`] where `count` says that a round is due.
    pub(super) fn settle_if_due(&mut self, count: u64) -> Result<(), Error> {
        let is_due = count.is_multiple_of(self.config.encoder.network.step_every);
        if is_due { self.settle() } else { Ok(()) }
    }
}

/// One step of the network on `batch`, and of the heads on each of its rows.
fn teach(
    batch: &[Pending],
    heads: &mut [Head],
    tuner: &mut Tuner,
    network: &Network,
    (config, rates): (&Config, Rates),
) -> Result<(), Error> {
    let deep: Vec<Vec<Arc<Deep>>> = batch.iter().map(|item| item.deep().collect()).collect();
    let units: Vec<Unit<'_>> = deep.iter().map(|rows| rows.iter().map(|row| &*row.tokens).collect()).collect();
    let learner = &config.learner;
    tuner.step(network, &units, |at, vectors| {
        let item = &batch[at];
        let head = &mut heads[item.head as usize];
        let weights = head.learner.linear.weights[config.encoder.buckets as usize..].to_vec();
        let along = |slope: f64| weights.iter().map(|weight| slope as f32 * weight).collect::<Vec<f32>>();
        let slopes = match (&item.task, vectors) {
            (Task::Row { memory, shift, hold }, [vector]) => {
                let features = Arc::new(memory.features.with_vector(vector));
                let pass = Pass { rates, factor_rates: Rates::of_factors(learner), shift: *shift, hold: *hold };
                vec![along(head.learn(&Memory { features, ..memory.clone() }, pass))]
            }
            (Task::Pair(kept), [chosen, rejected]) => {
                let Both { chosen: ours, rejected: theirs } = &*kept.both;
                let both = Both { chosen: ours.with_vector(chosen), rejected: theirs.with_vector(rejected) };
                let slope = head.step_pair(&both, f64::from(kept.weight), learner, rates);
                vec![along(slope), along(-slope)]
            }
            _ => Vec::new(),
        };
        if item.fresh {
            head.finish_example(learner);
        }
        slopes
    })
}
