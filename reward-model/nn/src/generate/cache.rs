//! Keys and values of one sequence, and attention over them.

use crate::ops::Heads;
use crate::ops::rotary::Rotary;
use crate::ops::simd::{Kernel, softmax, vectorize};

/// Positions that the score loop handles at a time; capacities are multiples of it.
const BLOCK: usize = 16;

/// The keys and values of one slot over all layers.
///
/// Keys are stored transposed, (head_dim, capacity) per head, so that the scores of neighbouring
/// positions are computed together without a horizontal sum; values as (capacity, head_dim).
#[derive(Debug, Default)]
pub(super) struct KvCache {
    keys: Vec<f32>,
    values: Vec<f32>,
    capacity: usize,
}

impl KvCache {
    /// Empties the cache and makes room for `positions` positions.
    pub(super) fn open(&mut self, layers: usize, heads: Heads, positions: usize) {
        self.capacity = positions.next_multiple_of(BLOCK);
        let len = layers * heads.kv_width() * self.capacity;
        for buffer in [&mut self.keys, &mut self.values] {
            buffer.clear();
            buffer.resize(len, 0.0);
        }
    }
}

/// Adds one position to the cache and attends from it over all positions up to it.
pub(super) struct Attend<'a> {
    pub(super) heads: Heads,
    pub(super) rotary: &'a Rotary,
    pub(super) cache: &'a mut KvCache,
    pub(super) layer: usize,
    pub(super) position: usize,
    /// Query, key and value of the position, one after the other; not turned yet.
    pub(super) qkv: &'a [f32],
    /// Written: (heads · head_dim).
    pub(super) out: &'a mut [f32],
    pub(super) scratch: &'a mut Scratch,
}

/// Buffers of [`Attend`], kept between calls.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    turned: Vec<f32>,
    scores: Vec<f32>,
}

impl Attend<'_> {
    pub(super) fn run(self) {
        vectorize(self);
    }
}

impl Kernel for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Heads { head_dim, .. } = self.heads;
        let (q, kv) = self.qkv.split_at(self.heads.q_width());
        let (k, v) = kv.split_at(self.heads.kv_width());
        let capacity = self.cache.capacity;
        let seen = self.position + 1;
        self.scratch.turned.resize(head_dim, 0.0);
        self.scratch.scores.resize(seen.next_multiple_of(BLOCK), 0.0);
        let scores = &mut self.scratch.scores[..];
        let turned = &mut self.scratch.turned[..];
        for kv_head in 0..self.heads.kv_heads {
            let columns = kv_head * head_dim..(kv_head + 1) * head_dim;
            let start = (self.layer * self.heads.kv_heads + kv_head) * head_dim * capacity;
            let keys = &mut self.cache.keys[start..][..head_dim * capacity];
            let values = &mut self.cache.values[start..][..head_dim * capacity];
            self.rotary.rotate(self.position, 1.0, &k[columns.clone()], turned);
            for (keys, &turned) in keys.chunks_exact_mut(capacity).zip(turned.iter()) {
                keys[self.position] = turned;
            }
            values[self.position * head_dim..][..head_dim].copy_from_slice(&v[columns]);
            let group = self.heads.group();
            for head in kv_head * group..(kv_head + 1) * group {
                let columns = head * head_dim..(head + 1) * head_dim;
                let scale = self.heads.scale();
                self.rotary.rotate(self.position, scale, &q[columns.clone()], turned);
                score(turned, keys, capacity, scores);
                // Later positions of the block hold zeros or an older sequence.
                scores[seen..].fill(f32::NEG_INFINITY);
                softmax(scores);
                mix(&scores[..seen], values, &mut self.out[columns]);
            }
        }
    }
}

/// `scores[t] = Σ_d q[d] · keys[d][t]`, in blocks of positions.
#[inline(always)]
fn score(q: &[f32], keys: &[f32], capacity: usize, scores: &mut [f32]) {
    let (blocks, _) = scores.as_chunks_mut::<BLOCK>();
    for (block, scores) in blocks.iter_mut().enumerate() {
        let mut sums = [0.0_f32; BLOCK];
        for (&q, row) in q.iter().zip(keys.chunks_exact(capacity)) {
            let (row, _) = row.as_chunks::<BLOCK>();
            let row = &row[block];
            for lane in 0..BLOCK {
                sums[lane] += q * row[lane];
            }
        }
        *scores = sums;
    }
}

/// `out[d] = Σ_t p[t] · values[t][d]`.
#[inline(always)]
fn mix(p: &[f32], values: &[f32], out: &mut [f32]) {
    let width = out.len();
    let (blocks, rest) = out.as_chunks_mut::<BLOCK>();
    let num_blocks = blocks.len();
    for (block, out) in blocks.iter_mut().enumerate() {
        let mut sums = [0.0_f32; BLOCK];
        for (&p, row) in p.iter().zip(values.chunks_exact(width)) {
            let (row, _) = row.as_chunks::<BLOCK>();
            let row = &row[block];
            for lane in 0..BLOCK {
                sums[lane] += p * row[lane];
            }
        }
        *out = sums;
    }
    rest.fill(0.0);
    for (&p, row) in p.iter().zip(values.chunks_exact(width)) {
        for (out, &value) in rest.iter_mut().zip(&row[num_blocks * BLOCK..]) {
            *out += p * value;
        }
    }
}
