//! Grouped-query attention, causal with rotary positions inside or in both directions without.
//!
//! `out_h = softmax(R q_h · (R k_{h/group})ᵀ / sqrt(head_dim) + mask) · v_{h/group}`
//! (Vaswani et al. 2017, eq. 1; Ainslie et al. 2023 for the groups; R is the identity without positions).
//!
//! Only the output is kept between the passes: the backward pass computes the probabilities again,
//! in blocks of rows, so that memory stays linear in the length (the idea of Dao et al. 2022).
//! Causal rows see only earlier positions, hence sequences padded on the right need no mask: what the
//! padding computes never reaches a real position. In both directions the padding takes no part: its
//! rows are zero, and so are their gradients.

mod sequence;

use std::sync::Arc;

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp3, Error, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use super::cuda;
use super::data::{slice, with_slices};
use super::rotary::Rotary;
use sequence::Sequence;

const NAME: &str = "attention";

/// How the columns of q, k and v split into heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// Heads of q.
    pub heads: usize,
    /// Heads of k and v; divides `heads`.
    pub kv_heads: usize,
    /// Elements of one head; even where positions are rotary.
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
pub(super) struct Attention {
    pub(super) heads: Heads,
    pub(super) span: Span,
}

/// Which positions a position sees.
#[derive(Clone)]
pub(super) enum Span {
    /// Itself and those before it, by rotary positions.
    Causal(Arc<Rotary>),
    /// The first so many of its sequence; one number per sequence, each in 1..=T.
    Both(Arc<[usize]>),
}

impl CustomOp3 for Attention {
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
            .enumerate()
            .for_each(|(index, (((out, q), k), v))| self.sequence(index, len, [q, k, v]).forward(out));
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        s1: &CudaStorage,
        l1: &Layout,
        s2: &CudaStorage,
        l2: &Layout,
        s3: &CudaStorage,
        l3: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.check(l1.dims(), l2.dims(), l3.dims())?;
        let (batch, len, _) = l1.shape().dims3()?;
        let qkv = [cuda::View::new(NAME, s1, l1)?, cuda::View::new(NAME, s2, l2)?, cuda::View::new(NAME, s3, l3)?];
        Ok((cuda::attention(self.heads, &self.span, (batch, len), qkv)?, l1.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        #[cfg(feature = "cuda")]
        if q.device().is_cuda() {
            return Ok(cuda::attention_backward(self.heads, &self.span, [q, k, v], grad)?.map(Some).into());
        }
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
                .enumerate()
                .for_each(|(index, ((((((d_q, d_k), d_v), q), k), v), grad))| {
                    self.sequence(index, len, [q, k, v]).backward(grad, d_q, d_k, d_v);
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

impl Attention {
    fn check(&self, q: &[usize], k: &[usize], v: &[usize]) -> Result<()> {
        let (batch, len) = (q[0], q[1]);
        let q_expected = [batch, len, self.heads.q_width()];
        let kv_expected = [batch, len, self.heads.kv_width()];
        if q != q_expected || k != kv_expected || v != kv_expected {
            let message = format!("{NAME}: shapes {q:?}, {k:?}, {v:?} do not fit {:?}", self.heads);
            return Err(Error::Msg(message).bt());
        }
        match &self.span {
            Span::Causal(rotary) if len > rotary.positions() => {
                let most = rotary.positions();
                Err(Error::Msg(format!("{NAME}: {len} positions, at most {most}")).bt())
            }
            Span::Both(lengths) if lengths.len() != batch || lengths.iter().any(|&n| n == 0 || n > len) => {
                let message = format!("{NAME}: lengths {lengths:?} do not fit {batch} sequences of 1 to {len}");
                Err(Error::Msg(message).bt())
            }
            _ => Ok(()),
        }
    }

    fn sequence<'a>(&'a self, index: usize, len: usize, [q, k, v]: [&'a [f32]; 3]) -> Sequence<'a> {
        let (rotary, len) = match &self.span {
            Span::Causal(rotary) => (Some(&**rotary), len),
            Span::Both(lengths) => (None, lengths[index]),
        };
        Sequence { heads: self.heads, rotary, len, q, k, v }
    }
}
