//! Causal grouped-query attention with rotary positions inside.
//!
//! `out_h = softmax(R q_h · (R k_{h/group})ᵀ / sqrt(head_dim) + causal mask) · v_{h/group}`
//! (Vaswani et al. 2017, eq. 1; Ainslie et al. 2023 for the groups).
//!
//! Only the output is kept between the passes: the backward pass computes the probabilities again,
//! in blocks of rows, so that memory stays linear in the length (the idea of Dao et al. 2022).
//! Rows see only earlier positions, hence sequences padded on the right need no mask: what the
//! padding computes never reaches a real position.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp3, Error, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::data::{slice, with_slices};
use super::gemm::{Mat, MatMut, matmul, matmul_add};
use super::rotary::Rotary;
use super::simd::{Kernel, dot, softmax, vectorize};

/// Rows of the score matrix held at a time.
const BLOCK: usize = 64;

const NAME: &str = "causal-attention";

/// How the columns of q, k and v split into heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// Heads of q.
    pub heads: usize,
    /// Heads of k and v; divides `heads`.
    pub kv_heads: usize,
    /// Elements of one head; even.
    pub head_dim: usize,
}

impl Heads {
    /// Columns of q and of the output.
    pub(crate) fn q_width(self) -> usize {
        self.heads * self.head_dim
    }

    /// Columns of k and of v.
    pub(crate) fn kv_width(self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Heads of q that share one head of k and v.
    pub(crate) fn group(self) -> usize {
        self.heads / self.kv_heads
    }

    /// What the scores are multiplied with.
    pub(crate) fn scale(self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }
}

/// The fused operation on (q, k, v): (B, T, heads · head_dim), twice (B, T, kv_heads · head_dim).
pub(super) struct CausalAttention {
    pub(super) heads: Heads,
    pub(super) rotary: Arc<Rotary>,
}

impl CustomOp3 for CausalAttention {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let q = slice(NAME, s1, l1)?;
        let k = slice(NAME, s2, l2)?;
        let v = slice(NAME, s3, l3)?;
        let (_, len, width) = l1.shape().dims3()?;
        self.check(l1.dims(), l2.dims(), l3.dims())?;
        let kv_width = self.heads.kv_width();
        let mut out = vec![0.0; q.len()];
        out.par_chunks_mut((len * width).max(1))
            .zip(q.par_chunks((len * width).max(1)))
            .zip(k.par_chunks((len * kv_width).max(1)))
            .zip(v.par_chunks((len * kv_width).max(1)))
            .for_each(|(((out, q), k), v)| self.sequence(len, q, k, v).forward(out));
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (_, len, width) = q.dims3()?;
        let kv_width = self.heads.kv_width();
        let grad = grad.contiguous()?;
        let (d_q, d_k, d_v) = with_slices(NAME, [q, k, v, &grad], |[q, k, v, grad]| {
            let mut d_q = vec![0.0; q.len()];
            let mut d_k = vec![0.0; k.len()];
            let mut d_v = vec![0.0; v.len()];
            d_q.par_chunks_mut((len * width).max(1))
                .zip(d_k.par_chunks_mut((len * kv_width).max(1)))
                .zip(d_v.par_chunks_mut((len * kv_width).max(1)))
                .zip(q.par_chunks((len * width).max(1)))
                .zip(k.par_chunks((len * kv_width).max(1)))
                .zip(v.par_chunks((len * kv_width).max(1)))
                .zip(grad.par_chunks((len * width).max(1)))
                .for_each(|((((((d_q, d_k), d_v), q), k), v), grad)| {
                    self.sequence(len, q, k, v).backward(grad, d_q, d_k, d_v);
                });
            Ok((d_q, d_k, d_v))
        })?;
        let device = q.device();
        Ok((
            Some(Tensor::from_vec(d_q, q.shape(), device)?),
            Some(Tensor::from_vec(d_k, k.shape(), device)?),
            Some(Tensor::from_vec(d_v, v.shape(), device)?),
        ))
    }
}

impl CausalAttention {
    fn check(&self, q: &[usize], k: &[usize], v: &[usize]) -> Result<()> {
        let (batch, len) = (q[0], q[1]);
        let q_expected = [batch, len, self.heads.q_width()];
        let kv_expected = [batch, len, self.heads.kv_width()];
        if q != q_expected || k != kv_expected || v != kv_expected {
            let message = format!("{NAME}: shapes {q:?}, {k:?}, {v:?} do not fit {:?}", self.heads);
            return Err(Error::Msg(message).bt());
        }
        if len > self.rotary.positions() {
            let most = self.rotary.positions();
            return Err(Error::Msg(format!("{NAME}: {len} positions, at most {most}")).bt());
        }
        Ok(())
    }

    fn sequence<'a>(&'a self, len: usize, q: &'a [f32], k: &'a [f32], v: &'a [f32]) -> Sequence<'a> {
        Sequence { heads: self.heads, rotary: &self.rotary, len, q, k, v }
    }
}

/// One sequence of the batch.
struct Sequence<'a> {
    heads: Heads,
    rotary: &'a Rotary,
    len: usize,
    q: &'a [f32], // (T, heads · head_dim)
    k: &'a [f32], // (T, kv_heads · head_dim)
    v: &'a [f32],
}

impl Sequence<'_> {
    fn forward(&self, out: &mut [f32]) {
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
                    let rows = end - start;
                    let probabilities = &mut scores[..rows * end];
                    self.probabilities(start, end, &q, &k, probabilities);
                    matmul(
                        MatMut::strided(&mut out[start * width + head * head_dim..], rows, head_dim, width),
                        Mat::new(probabilities, rows, end),
                        self.value(kv_head, end),
                    );
                }
            }
        }
    }

    /// With `P` the probabilities and `dP = dO·Vᵀ`: `dV = Pᵀ·dO`,
    /// `dS = P ∘ (dP − rowsum(P ∘ dP))`, `d(Rq) = dS·Rk / sqrt(head_dim)`, `d(Rk) = dSᵀ·Rq / sqrt(head_dim)`.
    fn backward(&self, grad: &[f32], d_q: &mut [f32], d_k: &mut [f32], d_v: &mut [f32]) {
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
                    let rows = end - start;
                    let p = &mut scores[..rows * end];
                    let d_s = &mut d_scores[..rows * end];
                    self.probabilities(start, end, &q, &k, p);
                    let d_out = Mat::strided(&grad[start * width + head * head_dim..], rows, head_dim, width);
                    matmul(MatMut::new(d_s, rows, end), d_out, self.value(kv_head, end).t());
                    let d_v_head = &mut d_v[kv_head * head_dim..];
                    matmul_add(MatMut::strided(d_v_head, end, head_dim, kv_width), Mat::new(p, rows, end).t(), d_out);
                    vectorize(SoftmaxBackward { p, d_s, cols: end });
                    let d_q_block = &mut d_q_turned[..rows * head_dim];
                    matmul(
                        MatMut::new(d_q_block, rows, head_dim),
                        Mat::new(d_s, rows, end),
                        Mat::new(&k, end, head_dim),
                    );
                    let target = &mut d_q[start * width + head * head_dim..];
                    self.turn_back(start, self.heads.scale(), d_q_block, target, width);
                    matmul_add(
                        MatMut::new(&mut d_k_turned, end, head_dim),
                        Mat::new(d_s, rows, end).t(),
                        Mat::new(&q[start * head_dim..], rows, head_dim),
                    );
                }
            }
            let target = &mut d_k[kv_head * head_dim..];
            self.turn_back(0, 1.0, &d_k_turned, target, kv_width);
        }
    }

    /// Rows `start..end` of the causal probabilities, (end − start, end), zero above the diagonal.
    fn probabilities(&self, start: usize, end: usize, q: &[f32], k: &[f32], out: &mut [f32]) {
        let Heads { head_dim, .. } = self.heads;
        matmul(
            MatMut::new(out, end - start, end),
            Mat::new(&q[start * head_dim..], end - start, head_dim),
            Mat::new(k, end, head_dim).t(),
        );
        vectorize(CausalSoftmax { scores: out, start, cols: end });
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
            self.rotary.rotate(position, scale, row, out);
        }
    }

    fn turn_back(&self, start: usize, scale: f32, rows: &[f32], out: &mut [f32], out_stride: usize) {
        let Heads { head_dim, .. } = self.heads;
        for (row, g) in rows.chunks_exact(head_dim).enumerate() {
            let out = &mut out[row * out_stride..][..head_dim];
            self.rotary.rotate_back(start + row, scale, g, out);
        }
    }
}

fn blocks(len: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..len).step_by(BLOCK).map(move |start| (start, (start + BLOCK).min(len)))
}

struct CausalSoftmax<'a> {
    scores: &'a mut [f32], // (rows, cols)
    start: usize,
    cols: usize,
}

impl Kernel for CausalSoftmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (row, scores) in self.scores.chunks_exact_mut(self.cols).enumerate() {
            let (seen, unseen) = scores.split_at_mut(self.start + row + 1);
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
