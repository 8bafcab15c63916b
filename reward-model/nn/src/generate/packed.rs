//! The decoder on plain slices: one pass over the weights for the new positions of all slots.

use std::sync::Arc;

use candle_core::Tensor;

use super::Sequence;
use super::cache::{Attend, KvCache, Scratch};
use crate::Error;
use crate::decoder::{
    Config, DOWN_PROJ, Decoder, EMBEDDING, FFN_NORM, FINAL_NORM, GATE_PROJ, HEAD, INPUT_NORM, K_NORM, K_PROJ, O_PROJ,
    Q_NORM, Q_PROJ, UP_PROJ, V_PROJ, layer_bias, layer_name,
};
use crate::ops::gemm::{Mat, MatMut, matmul, matmul_add};
use crate::ops::rotary::Rotary;
use crate::ops::simd::vectorize;
use crate::ops::{Heads, rms_norm, swiglu};

/// Positions that go through the layers together. Longer prompts take several passes, so that the
/// buffers stay small and in the processor's cache.
const MAX_ROWS: usize = 256;

/// Weights in the layout of the products, with the buffers and the caches of all slots.
#[derive(Debug)]
pub(super) struct PackedDecoder {
    config: Config,
    heads: Heads,
    rotary: Arc<Rotary>,
    embedding: Vec<f32>, // (V, D)
    layers: Vec<Layer>,
    final_norm: Vec<f32>,
    head: Vec<f32>, // (D, V)
    caches: Vec<KvCache>,
    buffers: Buffers,
}

/// One layer. Projections are transposed to (in, out); those of one input are side by side.
#[derive(Debug)]
struct Layer {
    input_norm: Vec<f32>,
    qkv: Vec<f32>,                     // (D, q + k + v)
    qkv_bias: Vec<f32>,                // (q + k + v), or empty
    head_norms: Option<[Vec<f32>; 2]>, // of the heads of q and of k
    out: Vec<f32>,                     // (q, D)
    out_bias: Vec<f32>,                // (D), or empty
    ffn_norm: Vec<f32>,
    gate_up: Vec<f32>, // (D, 2 · ffn)
    down: Vec<f32>,    // (ffn, D)
}

#[derive(Debug, Default)]
struct Buffers {
    x: Vec<f32>,        // (rows, D)
    normed: Vec<f32>,   // (rows, D)
    qkv: Vec<f32>,      // (rows, q + k + v)
    attended: Vec<f32>, // (rows, q)
    gate_up: Vec<f32>,  // (rows, 2 · ffn)
    gated: Vec<f32>,    // (rows, ffn)
    last: Vec<f32>,     // (sequences, D)
    head: Vec<f32>,     // (head_dim)
    scratch: Scratch,
}

/// One position of one sequence.
#[derive(Clone, Copy)]
struct Row {
    slot: usize,
    token: u32,
    position: usize,
    /// The sequence of which this is the last position.
    last_of: Option<usize>,
}

impl PackedDecoder {
    pub(super) fn new(decoder: &Decoder, slots: usize) -> Result<Self, Error> {
        if decoder.lora().is_some() {
            return Self::new(&decoder.merged()?, slots);
        }
        let config = decoder.config().clone();
        let named = |name: &str| values(decoder.params().get(name)?);
        let embedding = named(EMBEDDING)?;
        let head = if config.tied { &embedding } else { &named(HEAD)? };
        let head = transpose(head, config.vocab_size, config.hidden);
        let mut layers = Vec::with_capacity(config.layers);
        for layer in 0..config.layers {
            layers.push(Layer::new(decoder, layer)?);
        }
        Ok(Self {
            heads: config.heads(),
            rotary: Arc::clone(decoder.rotary()),
            embedding,
            layers,
            final_norm: named(FINAL_NORM)?,
            head,
            caches: (0..slots).map(|_| KvCache::default()).collect(),
            buffers: Buffers::default(),
            config,
        })
    }

    /// Prepares a slot for a sequence of at most `positions` positions.
    pub(super) fn open(&mut self, slot: usize, positions: usize) {
        self.caches[slot].open(self.config.layers, self.heads, positions);
    }

    /// Takes in the unseen positions of each sequence and returns the logits after the last, (N, V).
    pub(super) fn next_logits(&mut self, sequences: &[Sequence<'_>]) -> Vec<f32> {
        let rows = unseen_rows(sequences);
        self.buffers.last.resize(sequences.len() * self.config.hidden, 0.0);
        for rows in rows.chunks(MAX_ROWS) {
            self.pass(rows);
        }
        let (hidden, vocab_size) = (self.config.hidden, self.config.vocab_size);
        let normed = resized(&mut self.buffers.normed, self.buffers.last.len());
        self.config.normalise(&self.buffers.last, &self.final_norm, normed);
        let mut logits = vec![0.0; sequences.len() * vocab_size];
        matmul(
            MatMut::new(&mut logits, sequences.len(), vocab_size),
            Mat::new(normed, sequences.len(), hidden),
            Mat::new(&self.head, hidden, vocab_size),
        );
        logits
    }

    /// Runs `rows` through all layers, in order: a row attends to every earlier row of its slot.
    fn pass(&mut self, rows: &[Row]) {
        let hidden = self.config.hidden;
        let x = resized(&mut self.buffers.x, rows.len() * hidden);
        for (x, row) in x.chunks_exact_mut(hidden).zip(rows) {
            let start = row.token as usize * hidden;
            x.copy_from_slice(&self.embedding[start..start + hidden]);
        }
        for layer in 0..self.layers.len() {
            self.attention(layer, rows);
            self.feed_forward(layer, rows.len());
        }
        let Buffers { x, last, .. } = &mut self.buffers;
        for (x, row) in x.chunks_exact(hidden).zip(rows) {
            if let Some(sequence) = row.last_of {
                last[sequence * hidden..(sequence + 1) * hidden].copy_from_slice(x);
            }
        }
    }

    fn attention(&mut self, index: usize, rows: &[Row]) {
        let hidden = self.config.hidden;
        let (q_width, kv_width) = (self.heads.q_width(), self.heads.kv_width());
        let width = q_width + 2 * kv_width;
        let layer = &self.layers[index];
        let buffers = &mut self.buffers;
        let x = &mut buffers.x[..rows.len() * hidden];
        let normed = resized(&mut buffers.normed, rows.len() * hidden);
        self.config.normalise(x, &layer.input_norm, normed);
        let qkv = resized(&mut buffers.qkv, rows.len() * width);
        matmul(
            MatMut::new(qkv, rows.len(), width),
            Mat::new(normed, rows.len(), hidden),
            Mat::new(&layer.qkv, hidden, width),
        );
        add_bias(qkv, &layer.qkv_bias);
        if let Some([q_norm, k_norm]) = &layer.head_norms {
            for row in qkv.chunks_exact_mut(width) {
                self.config.normalise_heads(&mut row[..q_width], q_norm, &mut buffers.head);
                self.config.normalise_heads(&mut row[q_width..q_width + kv_width], k_norm, &mut buffers.head);
            }
        }
        let attended = resized(&mut buffers.attended, rows.len() * q_width);
        let outputs = attended.chunks_exact_mut(q_width);
        for ((row, qkv), out) in rows.iter().zip(qkv.chunks_exact(width)).zip(outputs) {
            Attend {
                heads: self.heads,
                rotary: &self.rotary,
                cache: &mut self.caches[row.slot],
                layer: index,
                position: row.position,
                qkv,
                out,
                scratch: &mut buffers.scratch,
            }
            .run();
        }
        matmul_add(
            MatMut::new(x, rows.len(), hidden),
            Mat::new(attended, rows.len(), q_width),
            Mat::new(&layer.out, q_width, hidden),
        );
        add_bias(x, &layer.out_bias);
    }

    fn feed_forward(&mut self, index: usize, num_rows: usize) {
        let (hidden, ffn) = (self.config.hidden, self.config.ffn);
        let layer = &self.layers[index];
        let buffers = &mut self.buffers;
        let x = &mut buffers.x[..num_rows * hidden];
        let normed = resized(&mut buffers.normed, num_rows * hidden);
        self.config.normalise(x, &layer.ffn_norm, normed);
        let gate_up = resized(&mut buffers.gate_up, num_rows * 2 * ffn);
        matmul(
            MatMut::new(gate_up, num_rows, 2 * ffn),
            Mat::new(normed, num_rows, hidden),
            Mat::new(&layer.gate_up, hidden, 2 * ffn),
        );
        let gated = resized(&mut buffers.gated, num_rows * ffn);
        for (out, gate_up) in gated.chunks_exact_mut(ffn).zip(gate_up.chunks_exact(2 * ffn)) {
            let (gate, up) = gate_up.split_at(ffn);
            vectorize(swiglu::Forward { gate, up, out });
        }
        matmul_add(
            MatMut::new(x, num_rows, hidden),
            Mat::new(gated, num_rows, ffn),
            Mat::new(&layer.down, ffn, hidden),
        );
    }
}

impl Layer {
    fn new(decoder: &Decoder, layer: usize) -> Result<Self, Error> {
        let named = |part| values(decoder.params().get(&layer_name(layer, part))?);
        let config = decoder.config();
        let heads = config.heads();
        let (hidden, ffn) = (config.hidden, config.ffn);
        let qkv = [named(Q_PROJ)?, named(K_PROJ)?, named(V_PROJ)?].concat();
        let gate_up = [named(GATE_PROJ)?, named(UP_PROJ)?].concat();
        let qkv_width = heads.q_width() + 2 * heads.kv_width();
        let bias = |part| {
            let name = layer_bias(layer, part);
            if decoder.params().contains(&name) { values(decoder.params().get(&name)?) } else { Ok(Vec::new()) }
        };
        let has_head_norms = decoder.params().contains(&layer_name(layer, Q_NORM));
        Ok(Self {
            input_norm: named(INPUT_NORM)?,
            qkv: transpose(&qkv, qkv_width, hidden),
            qkv_bias: [bias(Q_PROJ)?, bias(K_PROJ)?, bias(V_PROJ)?].concat(),
            head_norms: if has_head_norms { Some([named(Q_NORM)?, named(K_NORM)?]) } else { None },
            out_bias: bias(O_PROJ)?,
            out: transpose(&named(O_PROJ)?, hidden, heads.q_width()),
            ffn_norm: named(FFN_NORM)?,
            gate_up: transpose(&gate_up, 2 * ffn, hidden),
            down: transpose(&named(DOWN_PROJ)?, hidden, ffn),
        })
    }
}

impl Config {
    fn normalise(&self, x: &[f32], weight: &[f32], out: &mut [f32]) {
        vectorize(rms_norm::Forward { x, weight, eps: self.norm_eps as f32, out });
    }

    /// Normalises each head of `row` in place.
    fn normalise_heads(&self, row: &mut [f32], weight: &[f32], buffer: &mut Vec<f32>) {
        let buffer = resized(buffer, weight.len());
        for head in row.chunks_exact_mut(weight.len()) {
            buffer.copy_from_slice(head);
            self.normalise(buffer, weight, head);
        }
    }
}

fn unseen_rows(sequences: &[Sequence<'_>]) -> Vec<Row> {
    let mut rows = Vec::with_capacity(sequences.len());
    for (index, sequence) in sequences.iter().enumerate() {
        let last = sequence.tokens.len() - 1;
        for position in sequence.seen..=last {
            rows.push(Row {
                slot: sequence.slot,
                token: sequence.tokens[position],
                position,
                last_of: (position == last).then_some(index),
            });
        }
    }
    rows
}

/// Adds `bias` to every row of its length; an empty one is none.
fn add_bias(rows: &mut [f32], bias: &[f32]) {
    if bias.is_empty() {
        return;
    }
    for row in rows.chunks_exact_mut(bias.len()) {
        for (value, bias) in row.iter_mut().zip(bias) {
            *value += bias;
        }
    }
}

/// The first `len` elements of a buffer that grows as needed; what they hold is arbitrary.
fn resized(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}

fn values(tensor: &Tensor) -> Result<Vec<f32>, Error> {
    Ok(tensor.flatten_all()?.to_vec1::<f32>()?)
}

/// (rows, cols) to (cols, rows).
fn transpose(data: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    let mut out = vec![0.0; data.len()];
    for (row, values) in data.chunks_exact(cols).enumerate() {
        for (col, &value) in values.iter().enumerate() {
            out[col * rows + row] = value;
        }
    }
    out
}
