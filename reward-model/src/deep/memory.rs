//! What a network takes of its device's memory, and how much of its rows fits beside that.
//!
//! Of `P` numbers, `P_t` of them trained, a network keeps for as long as it lives, all in single precision,
//!
//! `4·P` weights `+ 8·P_t` moments of AdamW `+ 8·P_t + 12·M` gradients `+ 3·4·P_t` scorers `+ casts`
//!
//! - gradients: those of a part, their sum, and of the largest trained parameter (`M` numbers) what adding them makes.
//!   A checkpoint's copy of the moments has the same room: nothing is trained meanwhile.
//! - scorers: the one that serves, the one that is to take its place, and one that a request still holds.
//! - casts: on a GPU, which computes in bf16, the matrices of the layers that training goes through (one layer when
//!   activations are computed again), two bytes a number, and the largest matrix in passage.
//!
//! A pass over `n` rows of `t` tokens takes `n·t·linear + n·t²·square`. With the columns `D` of the states, `Q` of the
//! queries, `K` of the keys, `F` inside a block and `e` bytes per number, the tensors of a layer are
//!
//! `layer = 11·D + 2·F` of a BERT, `7·D + 2·Q + 2·K + 3·F` of a decoder (`+ Q + K` with norms of the heads), and
//! `4·r + 2·(Q + K)` more with adapters of rank `r`.
//!
//! - scoring: one layer at a time, `e·layer`, and the states in single precision, `16·D`;
//! - training: `e·layer` for every layer that gradients go through, or `e·D` and one layer when activations are computed
//!   again; the gradients in passage, `e·(4·F + 6·D + Q + 2·K)`; the states in single precision, `32·D`;
//! - attention: on the CPU blocks of 64 rows, `4·(4·d + 2·64)` bytes for heads of `d` columns, linear in the length; on a
//!   GPU `4·Q·e` and the scores of all heads, `square = 2·H·e`, when training twice that.
//!
//! The sum is an upper bound that is checked against real allocations on the CPU (`tests/memory.rs`).

use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::Device;
use plaudit_nn::{Error as NnError, Params, device};

use super::config::{NetworkConfig, TrainedPart};

/// Share of a card's free memory that a network takes where nothing is said, in percent.
const SHARE: u64 = 80;
/// Scorers that are held at once.
const SCORERS: u64 = 3;
/// Rows that are learned together and cannot be parted: those of a pair.
const LEARNED_TOGETHER: u64 = 2;
/// Packed matrices of products and small things: on the CPU, and on a GPU with the workspace of cuBLAS.
const WORKSPACE: [u64; 2] = [1 << 20, 256 << 20];
/// Bytes of a number in single precision.
const SINGLE: u64 = 4;

/// The shape of a network, as far as memory goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Geometry {
    pub(super) layers: usize,
    pub(super) hidden: usize,
    pub(super) q_width: usize,
    pub(super) kv_width: usize,
    pub(super) ffn: usize,
    pub(super) heads: usize,
    /// Whether the feed-forward network has a gate, as that of a decoder.
    pub(super) gated: bool,
    /// Whether heads have norms of their own.
    pub(super) head_norms: bool,
}

/// What a network takes of its device's memory, in bytes: an upper bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkMemory {
    /// The weights.
    pub weights: u64,
    /// Moments of the optimiser.
    pub optimizer: u64,
    /// Gradients while a batch is learned.
    pub gradients: u64,
    /// What frozen scorers do not share with the network.
    pub scorers: u64,
    /// Matrices in the precision of the GPU, and the workspace of products.
    pub workspace: u64,
    scoring: Pass,
    training: Option<Pass>,
}

/// What a pass takes: per token, and per pair of tokens of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pass {
    linear: u64,
    square: u64,
}

impl Pass {
    fn bytes(self, rows: u64, tokens: u64) -> u64 {
        rows * tokens * (self.linear + self.square * tokens)
    }
}

impl NetworkMemory {
    pub(super) fn new(
        geometry: &Geometry,
        all: &Params,
        trained: &Params,
        config: &NetworkConfig,
        device: &Device,
    ) -> Self {
        let largest = |params: &Params| params.iter().map(|(_, var)| var.elem_count() as u64).max().unwrap_or(0);
        let (own, taught) = (all.num_elements() as u64, trained.num_elements() as u64);
        let adapters = if config.train == TrainedPart::Lora { taught } else { 0 };
        let is_trained = !trained.is_empty();
        let tracked = geometry.tracked(config);
        let mut workspace = WORKSPACE[usize::from(!device.is_cpu())];
        if !device.is_cpu() {
            let at_once = if config.recompute { tracked.min(1) } else { tracked };
            workspace += 2 * geometry.matrices() * at_once + SINGLE * largest(all);
        }
        Self {
            weights: SINGLE * (own + adapters),
            optimizer: 2 * SINGLE * taught,
            gradients: 2 * SINGLE * taught + 3 * SINGLE * largest(trained),
            scorers: SCORERS * SINGLE * taught,
            workspace,
            scoring: geometry.scoring(config, device),
            training: is_trained.then(|| geometry.training(config, device)),
        }
    }

    /// What stays taken between passes.
    #[must_use]
    pub const fn resident(&self) -> u64 {
        self.weights + self.optimizer + self.gradients + self.scorers + self.workspace
    }

    /// What scoring `rows` rows padded to `tokens` tokens takes.
    #[must_use]
    pub fn scoring(&self, rows: usize, tokens: usize) -> u64 {
        self.scoring.bytes(rows as u64, tokens as u64)
    }

    /// What learning `rows` rows padded to `tokens` tokens takes; 0 where the network is not trained.
    #[must_use]
    pub fn training(&self, rows: usize, tokens: usize) -> u64 {
        self.training.map_or(0, |pass| pass.bytes(rows as u64, tokens as u64))
    }

    /// The least that a network with rows of up to `tokens` tokens can do with.
    fn least(&self, tokens: usize) -> u64 {
        let pass = match self.training {
            Some(pass) => pass.bytes(LEARNED_TOGETHER, tokens as u64).max(self.scoring(1, tokens)),
            None => self.scoring(1, tokens),
        };
        self.resident() + pass
    }
}

impl Geometry {
    /// Layers that gradients go through.
    fn tracked(&self, config: &NetworkConfig) -> u64 {
        let layers = match config.train {
            TrainedPart::All | TrainedPart::Lora => self.layers,
            TrainedPart::Last => config.last_layers.min(self.layers),
            TrainedPart::None => 0,
        };
        layers as u64
    }

    /// Numbers in the matrices of a layer.
    fn matrices(&self) -> u64 {
        let [hidden, q, kv, ffn] = self.widths();
        2 * hidden * q + 2 * hidden * kv + if self.gated { 3 } else { 2 } * hidden * ffn
    }

    fn widths(&self) -> [u64; 4] {
        [self.hidden, self.q_width, self.kv_width, self.ffn].map(|width| width as u64)
    }

    /// Numbers per token in the tensors of a layer.
    fn layer(&self, config: &NetworkConfig) -> u64 {
        let [hidden, q, kv, ffn] = self.widths();
        let mut count = if self.gated { 7 * hidden + 2 * q + 2 * kv + 3 * ffn } else { 11 * hidden + 2 * ffn };
        if self.head_norms {
            count += q + kv;
        }
        if config.train == TrainedPart::Lora {
            count += 4 * config.lora_rank as u64 + 2 * (q + kv);
        }
        count
    }

    /// What attention takes beside its inputs and its output; `passes` is 1 forward and 2 backward.
    fn attention(&self, device: &Device, passes: u64) -> Pass {
        let q = self.q_width as u64;
        if device.is_cpu() {
            let columns = q / self.heads.max(1) as u64;
            return Pass { linear: SINGLE * (4 * columns + 2 * 64), square: 0 };
        }
        let number = number(device);
        Pass { linear: 4 * q * number * passes, square: 2 * self.heads as u64 * number * passes }
    }

    fn scoring(&self, config: &NetworkConfig, device: &Device) -> Pass {
        let attention = self.attention(device, 1);
        let linear = number(device) * self.layer(config) + 4 * SINGLE * self.hidden as u64;
        Pass { linear: linear + attention.linear, ..attention }
    }

    fn training(&self, config: &NetworkConfig, device: &Device) -> Pass {
        let [hidden, q, kv, ffn] = self.widths();
        let (layer, tracked) = (self.layer(config), self.tracked(config));
        let kept = if config.recompute { self.layers as u64 * hidden + layer } else { tracked.max(1) * layer };
        let in_passage = 4 * ffn + 6 * hidden + q + 2 * kv;
        let attention = self.attention(device, 2);
        let linear = number(device) * (kept + in_passage) + 8 * SINGLE * hidden;
        Pass { linear: linear + attention.linear, ..attention }
    }
}

/// Bytes of a number in activations.
fn number(device: &Device) -> u64 {
    if device.is_cpu() { SINGLE } else { 2 }
}

/// The memory that a network may take, shared by those who score and the one that trains.
#[derive(Debug)]
pub(super) struct Budget {
    pub(super) needs: NetworkMemory,
    /// What passes may take; `None` where nothing bounds them.
    room: Option<u64>,
    /// Held during a pass: only one at a time has the room.
    turn: Mutex<()>,
}

impl Budget {
    /// The bytes that `config` allows on `device`, before anything is loaded; `None` without a bound.
    pub(super) fn allowed(config: &NetworkConfig, device: &Device) -> Result<Option<u64>, NnError> {
        if config.memory_bytes > 0 {
            return Ok(Some(config.memory_bytes));
        }
        Ok(device::memory(device)?.map(|(free, _)| free as u64 / 100 * SHARE))
    }

    /// # Errors
    /// Fails, naming what is needed, when the longest row does not fit in `allowed` bytes.
    pub(super) fn new(needs: NetworkMemory, allowed: Option<u64>, max_tokens: usize) -> Result<Self, NnError> {
        let least = needs.least(max_tokens);
        if let Some(given) = allowed.filter(|given| *given < least) {
            let reason = format!(
                "must be at least {least} for rows of {max_tokens} tokens ({} of them before any row), got {given}; less is needed \
                 with a smaller max_tokens, with recompute, or when less is trained",
                needs.resident()
            );
            return Err(NnError::invalid("reward_model.encoder.network.memory_bytes", reason));
        }
        let room = allowed.map(|allowed| allowed - needs.resident());
        Ok(Self { needs, room, turn: Mutex::default() })
    }

    /// Whether `rows` rows padded to `tokens` tokens can be scored at once.
    pub(super) fn scores(&self, rows: usize, tokens: usize) -> bool {
        self.room.is_none_or(|room| self.needs.scoring(rows, tokens) <= room)
    }

    /// Whether `rows` rows padded to `tokens` tokens can be learned at once.
    pub(super) fn trains(&self, rows: usize, tokens: usize) -> bool {
        self.room.is_none_or(|room| self.needs.training(rows, tokens) <= room)
    }

    /// What passes may take; `None` where nothing bounds them.
    pub(super) fn room(&self) -> Option<u64> {
        self.room
    }

    /// Waits until no other pass has the room; where nothing bounds passes, nobody waits.
    pub(super) fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        self.room.map(|_| self.turn.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
