//! Steps of the network: what rows teach waits until a round is due, and is then learned in batches.
//!
//! AdamW on the parameters that are trained, the gradient being the mean over a batch of rows, clipped by its norm. A
//! batch goes through the network in parts of about one length, whose gradients are added up. Deviation: the heads are
//! not AdamW's. They stay with FTRL, row after row, so that one rule serves both encoders.

use std::time::Instant;

use candle_core::Tensor;
use plaudit_nn::optim::{Accumulator, AdamW, AdamWConfig, Group, clip_grad_norm};
use plaudit_nn::schedule::Schedule;
use plaudit_nn::{Activations, Error as NnError, Params};

use super::body::Padded;
use super::{GPU_TOKENS, Network, split, to_rows};
use crate::{Error, metrics};

/// Tokens, padding among them, whose activations are kept at once on the CPU.
const CPU_TOKENS: usize = 2_048;
/// Longest gradient of a step.
const MOST_NORM: f64 = 1.0;
/// Decay of matrices per step and learning rate.
const WEIGHT_DECAY: f64 = 0.01;

/// Sequences of tokens that are learned together: a row, or both rows of a pair.
pub(crate) type Unit<'a> = Vec<&'a [u32]>;

/// The optimiser of a network.
pub(crate) struct Tuner {
    /// The variables of the network that are trained.
    pub(crate) params: Params,
    pub(crate) optimizer: AdamW,
    schedule: Schedule,
}

impl Tuner {
    pub(crate) fn new(network: &Network) -> Result<Self, Error> {
        let params = network.trained();
        let config =
            AdamWConfig { lr: network.config.learning_rate, weight_decay: WEIGHT_DECAY, ..AdamWConfig::default() };
        // Words that do not occur must not fade, and gains and offsets have no reason to.
        let exempt = ["embed", "norm", "Norm", "bias"];
        let group =
            |pattern: &str| Group { pattern: pattern.to_owned(), lr_scale: 1.0, weight_decay: 0.0, sparse: false };
        let optimizer = AdamW::new(&params, config, &exempt.map(group))?;
        Ok(Self { params, optimizer, schedule: Schedule::Constant { warmup: network.config.warmup_steps } })
    }

    /// One step on `units`. `teach` learns the heads from a unit, by its number and the vectors of its sequences, and
    /// gives the derivative of the loss by each of these.
    pub(crate) fn step(
        &mut self,
        network: &Network,
        units: &[Unit<'_>],
        mut teach: impl FnMut(usize, &[&[f32]]) -> Vec<Vec<f32>>,
    ) -> Result<(), Error> {
        let started = Instant::now();
        let longest = |unit: &usize| units[*unit].iter().map(|row| row.len()).max().unwrap_or(0);
        let mut order: Vec<usize> = (0..units.len()).collect();
        order.sort_by_key(longest);
        let most = if network.device.is_cpu() { CPU_TOKENS } else { GPU_TOKENS };
        let fits = |rows: usize, tokens: usize| rows * tokens <= most && network.budget.trains(rows, tokens);
        let size = |unit: &usize| (units[*unit].len(), longest(unit));
        let share = 1.0 / network.config.batch_rows as f64;
        let mut sum = Accumulator::new(&self.params);
        let mut tokens = 0;
        for part in split(&order, size, fits) {
            let rows = distinct(part.iter().flat_map(|unit| units[*unit].iter().copied()));
            tokens += rows.iter().map(|row| row.len() as u64).sum::<u64>();
            let activations = if network.config.recompute { Activations::Recompute } else { Activations::Keep };
            let padded = Padded::new(&rows, &network.device)?;
            let slopes = |vectors: &Tensor| slopes_of(vectors, &rows, part, units, &mut teach);
            let _turn = network.budget.turn();
            let gradients = network.body.backward(&padded, network.config.scale, activations, slopes)?;
            sum.add(&gradients, share)?;
        }
        let mut gradients = sum.take();
        let norm = clip_grad_norm(&mut gradients, &self.params, MOST_NORM)?;
        let factor = self.schedule.factor(self.optimizer.steps());
        self.optimizer.step(&gradients, factor)?;
        metrics::network_step(norm, self.optimizer.steps(), tokens, started.elapsed());
        Ok(())
    }
}

/// The derivatives by `vectors`, those of `rows`, after the units of `part` were learned in order.
fn slopes_of(
    vectors: &Tensor,
    rows: &[&[u32]],
    part: &[usize],
    units: &[Unit<'_>],
    teach: &mut impl FnMut(usize, &[&[f32]]) -> Vec<Vec<f32>>,
) -> Result<Tensor, NnError> {
    let known = to_rows(vectors)?;
    let width = vectors.dims2()?.1;
    let mut slopes = vec![0.0_f32; rows.len() * width];
    for unit in part {
        let places: Vec<usize> = units[*unit].iter().filter_map(|row| rows.iter().position(|r| r == row)).collect();
        let own: Vec<&[f32]> = places.iter().map(|at| known[*at].as_slice()).collect();
        for (at, slope) in places.iter().zip(teach(*unit, &own)) {
            let row = &mut slopes[at * width..][..width];
            row.iter_mut().zip(slope).for_each(|(sum, slope)| *sum += slope);
        }
    }
    let slopes = Tensor::from_vec(slopes, (rows.len(), width), vectors.device())?;
    Ok(slopes.to_dtype(vectors.dtype())?)
}

/// Every sequence once, in the order in which they come first.
fn distinct<'a>(rows: impl Iterator<Item = &'a [u32]>) -> Vec<&'a [u32]> {
    let mut distinct: Vec<&[u32]> = Vec::new();
    for row in rows {
        if !distinct.contains(&row) {
            distinct.push(row);
        }
    }
    distinct
}
