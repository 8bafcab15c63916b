//! Attention within one sequence, in blocks of rows.

use super::Heads;
use crate::ops::gemm::{Mat, MatMut, matmul, matmul_add};
use crate::ops::rotary::Rotary;
use crate::ops::simd::{Kernel, dot, softmax, vectorize};

/// Rows of the score matrix held at a time.
const BLOCK: usize = 64;

/// One sequence of the batch, without its padding.
pub(super) struct Sequence<'a> {
    pub(super) heads: Heads,
    /// Positions, and with them causal attention; without, every row sees every other.
    pub(super) rotary: Option<&'a Rotary>,
    /// Rows that take part, at least one; those after them stay as they are.
    pub(super) len: usize,
    pub(super) q: &'a [f32], // (T, heads · head_dim)
    pub(super) k: &'a [f32], // (T, kv_heads · head_dim)
    pub(super) v: &'a [f32],
}

impl Sequence<'_> {
    /// Writes (T, heads · head_dim).
    pub(super) fn forward(&self, out: &mut [f32]) {
        let Heads { head_dim, .. } = self.heads;
        let width = self.heads.q_width();
        let mut k = vec![0.0; self.len * head_dim];
        let mut q = vec![0.0; self.len * head_dim];
        let mut scores = vec![0.0; BLOCK.min(self.len) * self.len];
        for kv_head in 0..self.heads.kv_heads {
            self.turned_k(kv_head, &mut k);
            for head in self.group_of(kv_head) {
                self.turned_q(head, &mut q);
                for (start, end) in blocks(self.len) {
                    let (rows, seen) = (end - start, self.seen(end));
                    let probabilities = &mut scores[..rows * seen];
                    self.probabilities(start, end, &q, &k, probabilities);
                    matmul(
                        MatMut::strided(&mut out[start * width + head * head_dim..], rows, head_dim, width),
                        Mat::new(probabilities, rows, seen),
                        self.value(kv_head, seen),
                    );
                }
            }
        }
    }

    /// With `P` the probabilities and `dP = dO·Vᵀ`: `dV = Pᵀ·dO`,
    /// `dS = P ∘ (dP − rowsum(P ∘ dP))`, `d(Rq) = dS·Rk / sqrt(head_dim)`, `d(Rk) = dSᵀ·Rq / sqrt(head_dim)`.
    pub(super) fn backward(&self, grad: &[f32], d_q: &mut [f32], d_k: &mut [f32], d_v: &mut [f32]) {
        let Heads { head_dim, .. } = self.heads;
        let (width, kv_width) = (self.heads.q_width(), self.heads.kv_width());
        let block = BLOCK.min(self.len);
        let mut k = vec![0.0; self.len * head_dim];
        let mut q = vec![0.0; self.len * head_dim];
        let mut d_k_turned = vec![0.0; self.len * head_dim];
        let mut d_q_turned = vec![0.0; block * head_dim];
        let mut scores = vec![0.0; block * self.len];
        let mut d_scores = vec![0.0; block * self.len];
        for kv_head in 0..self.heads.kv_heads {
            self.turned_k(kv_head, &mut k);
            d_k_turned.fill(0.0);
            for head in self.group_of(kv_head) {
                self.turned_q(head, &mut q);
                for (start, end) in blocks(self.len) {
                    let (rows, seen) = (end - start, self.seen(end));
                    let p = &mut scores[..rows * seen];
                    let d_s = &mut d_scores[..rows * seen];
                    self.probabilities(start, end, &q, &k, p);
                    let d_out = Mat::strided(&grad[start * width + head * head_dim..], rows, head_dim, width);
                    matmul(MatMut::new(d_s, rows, seen), d_out, self.value(kv_head, seen).t());
                    let d_v_head = &mut d_v[kv_head * head_dim..];
                    matmul_add(MatMut::strided(d_v_head, seen, head_dim, kv_width), Mat::new(p, rows, seen).t(), d_out);
                    vectorize(SoftmaxBackward { p, d_s, cols: seen });
                    let d_q_block = &mut d_q_turned[..rows * head_dim];
                    matmul(
                        MatMut::new(d_q_block, rows, head_dim),
                        Mat::new(d_s, rows, seen),
                        Mat::new(&k, seen, head_dim),
                    );
                    let target = &mut d_q[start * width + head * head_dim..];
                    self.turn_back(start, self.heads.scale(), d_q_block, target, width);
                    matmul_add(
                        MatMut::new(&mut d_k_turned, seen, head_dim),
                        Mat::new(d_s, rows, seen).t(),
                        Mat::new(&q[start * head_dim..], rows, head_dim),
                    );
                }
            }
            let target = &mut d_k[kv_head * head_dim..];
            self.turn_back(0, 1.0, &d_k_turned, target, kv_width);
        }
    }

    /// Columns that rows up to `end` see.
    fn seen(&self, end: usize) -> usize {
        if self.rotary.is_some() { end } else { self.len }
    }

    /// Rows `start..end` of the probabilities, (end − start, seen), zero above the diagonal if causal.
    fn probabilities(&self, start: usize, end: usize, q: &[f32], k: &[f32], out: &mut [f32]) {
        let Heads { head_dim, .. } = self.heads;
        let seen = self.seen(end);
        matmul(
            MatMut::new(out, end - start, seen),
            Mat::new(&q[start * head_dim..], end - start, head_dim),
            Mat::new(k, seen, head_dim).t(),
        );
        let first = if self.rotary.is_some() { start + 1 } else { seen };
        vectorize(RowSoftmax { scores: out, first, cols: seen });
    }

    fn group_of(&self, kv_head: usize) -> std::ops::Range<usize> {
        let group = self.heads.group();
        kv_head * group..(kv_head + 1) * group
    }

    fn value(&self, kv_head: usize, rows: usize) -> Mat<'_> {
        let Heads { head_dim, .. } = self.heads;
        let v = &self.v[kv_head * head_dim..];
        Mat::strided(v, rows, head_dim, self.heads.kv_width())
    }

    /// All turned rows of one head of k, dense.
    fn turned_k(&self, kv_head: usize, out: &mut [f32]) {
        let rows = &self.k[kv_head * self.heads.head_dim..];
        self.turn(1.0, rows, self.heads.kv_width(), out);
    }

    /// All turned rows of one head of q, dense, with the scale of the scores applied.
    fn turned_q(&self, head: usize, out: &mut [f32]) {
        let rows = &self.q[head * self.heads.head_dim..];
        self.turn(self.heads.scale(), rows, self.heads.q_width(), out);
    }

    fn turn(&self, scale: f32, rows: &[f32], stride: usize, out: &mut [f32]) {
        let Heads { head_dim, .. } = self.heads;
        for (position, out) in out.chunks_exact_mut(head_dim).enumerate() {
            let row = &rows[position * stride..][..head_dim];
            match self.rotary {
                Some(rotary) => rotary.rotate(position, scale, row, out),
                None => scaled(scale, row, out),
            }
        }
    }

    fn turn_back(&self, start: usize, scale: f32, rows: &[f32], out: &mut [f32], out_stride: usize) {
        let Heads { head_dim, .. } = self.heads;
        for (row, g) in rows.chunks_exact(head_dim).enumerate() {
            let out = &mut out[row * out_stride..][..head_dim];
            match self.rotary {
                Some(rotary) => rotary.rotate_back(start + row, scale, g, out),
                None => scaled(scale, g, out),
            }
        }
    }
}

fn blocks(len: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..len).step_by(BLOCK).map(move |start| (start, (start + BLOCK).min(len)))
}

fn scaled(scale: f32, x: &[f32], out: &mut [f32]) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = scale * x;
    }
}

struct RowSoftmax<'a> {
    scores: &'a mut [f32], // (rows, cols)
    /// How many columns the first row sees; each row sees one more, at most all.
    first: usize,
    cols: usize,
}

impl Kernel for RowSoftmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (row, scores) in self.scores.chunks_exact_mut(self.cols).enumerate() {
            let (seen, unseen) = scores.split_at_mut((self.first + row).min(self.cols));
            softmax(seen);
            unseen.fill(0.0);
        }
    }
}

struct SoftmaxBackward<'a> {
    p: &'a [f32],       // (rows, cols)
    d_s: &'a mut [f32], // in: dP, out: dS
    cols: usize,
}

impl Kernel for SoftmaxBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let rows = self.p.chunks_exact(self.cols);
        for (p, d_s) in rows.zip(self.d_s.chunks_exact_mut(self.cols)) {
            let mean = dot(p, d_s);
            for (d_s, &p) in d_s.iter_mut().zip(p) {
                *d_s = p * (*d_s - mean);
            }
        }
    }
}
