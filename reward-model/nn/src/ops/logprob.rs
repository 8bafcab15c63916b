//! Log-probability of given tokens: log-softmax and gather in one pass over the vocabulary.
//!
//! `log π(y) = z_y/τ − logsumexp(z/τ)`. The backward pass needs the log-sum-exp again; it is
//! recovered as `z_y/τ − log π(y)`, so nothing of the size of the vocabulary is kept.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp2, Error, Layout, Result, Shape, Storage, Tensor};
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use super::cuda;
use super::data::{slice, slice_u32, with_slices};
use super::simd::{Kernel, exp, max, sum_exp, vectorize};

/// Rows one rayon task works on.
const BLOCK_ROWS: usize = 32;

const NAME: &str = "token-logprob";

/// The fused operation on (logits, tokens): (.., V) f32 and (..) u32 give (..).
pub(super) struct TokenLogprob {
    /// `1/τ`.
    pub(super) inverse_temperature: f32,
}

impl CustomOp2 for TokenLogprob {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let logits = slice(NAME, s1, l1)?;
        let tokens = slice_u32(NAME, s2, l2)?;
        let vocabulary = l1.dims().last().copied().unwrap_or(1);
        if let Some(token) = tokens.iter().find(|&&token| token as usize >= vocabulary) {
            let message = format!("{NAME}: token {token} outside a vocabulary of {vocabulary}");
            return Err(Error::Msg(message).bt());
        }
        let mut out = vec![0.0; tokens.len()];
        out.par_chunks_mut(BLOCK_ROWS)
            .zip(logits.par_chunks(BLOCK_ROWS * vocabulary))
            .zip(tokens.par_chunks(BLOCK_ROWS))
            .for_each(|((out, logits), tokens)| {
                vectorize(Forward { logits, tokens, vocabulary, scale: self.inverse_temperature, out });
            });
        Ok((CpuStorage::F32(out), l2.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, s1: &CudaStorage, l1: &Layout, s2: &CudaStorage, l2: &Layout) -> Result<(CudaStorage, Shape)> {
        let (logits, tokens) = (cuda::View::new(NAME, s1, l1)?, cuda::View::new(NAME, s2, l2)?);
        Ok((cuda::logprob(logits, tokens, self.inverse_temperature)?, l2.shape().clone()))
    }

    fn bwd(
        &self,
        logits: &Tensor,
        tokens: &Tensor,
        res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        #[cfg(feature = "cuda")]
        if logits.device().is_cuda() {
            let scale = self.inverse_temperature;
            return Ok((Some(cuda::logprob_backward(NAME, logits, tokens, res, grad, scale)?), None));
        }
        let vocabulary = logits.dims().last().copied().unwrap_or(1);
        let block = BLOCK_ROWS * vocabulary;
        let grad = grad.contiguous()?;
        let (storage, layout) = tokens.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else {
            return Err(Error::Msg(format!("{NAME} backward needs tensors on the cpu")).bt());
        };
        let tokens = slice_u32(NAME, storage, layout)?;
        let d_logits = with_slices(NAME, [logits, res, &grad], |[logits, logprobs, grad]| {
            let mut d_logits = vec![0.0; logits.len()];
            d_logits
                .par_chunks_mut(block)
                .zip(logits.par_chunks(block))
                .zip(tokens.par_chunks(BLOCK_ROWS))
                .zip(logprobs.par_chunks(BLOCK_ROWS))
                .zip(grad.par_chunks(BLOCK_ROWS))
                .for_each(|((((d_logits, logits), tokens), logprobs), grad)| {
                    vectorize(Backward {
                        logits,
                        tokens,
                        logprobs,
                        grad,
                        vocabulary,
                        scale: self.inverse_temperature,
                        d_logits,
                    });
                });
            Ok(d_logits)
        })?;
        let d_logits = Tensor::from_vec(d_logits, logits.shape(), logits.device())?;
        Ok((Some(d_logits), None))
    }
}

struct Forward<'a> {
    logits: &'a [f32],
    tokens: &'a [u32],
    vocabulary: usize,
    scale: f32,
    out: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let rows = self.logits.chunks_exact(self.vocabulary);
        for ((z, &token), out) in rows.zip(self.tokens).zip(self.out) {
            *out = row_logprob(z, token as usize, self.scale);
        }
    }
}

/// `log softmax(z · scale)[token]`.
#[inline(always)]
fn row_logprob(z: &[f32], token: usize, scale: f32) -> f32 {
    let top = max(z);
    (z[token] - top) * scale - sum_exp(z, top, scale).ln()
}

struct Backward<'a> {
    logits: &'a [f32],
    tokens: &'a [u32],
    logprobs: &'a [f32],
    grad: &'a [f32],
    vocabulary: usize,
    scale: f32,
    d_logits: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    /// `∂ log π(y) / ∂z_j = (1[j = y] − π(j)) / τ`. Rows with a zero gradient (masked positions)
    /// cost nothing.
    #[inline(always)]
    fn run(self) {
        let rows = self.logits.chunks_exact(self.vocabulary);
        let outputs = self.d_logits.chunks_exact_mut(self.vocabulary);
        let scalars = self.tokens.iter().zip(self.logprobs).zip(self.grad);
        for ((z, d_z), ((&token, &logprob), &grad)) in rows.zip(outputs).zip(scalars) {
            if grad == 0.0 {
                continue;
            }
            let token = token as usize;
            let log_sum_exp = z[token] * self.scale - logprob;
            let factor = grad * self.scale;
            for (d_z, &z) in d_z.iter_mut().zip(z) {
                *d_z = -factor * exp(z * self.scale - log_sum_exp);
            }
            d_z[token] += factor;
        }
    }
}
