//! The operations of the models, with gradients.
//!
//! On the CPU and on CUDA devices each runs as one fused operation with its own backward pass; elsewhere as
//! the [`composed`] graph of candle operations. Both compute the same within float rounding, which the
//! tests assert. Shapes: B sequences, T positions, D columns, V tokens of the vocabulary.

mod attention;
pub mod composed;
#[cfg(feature = "cuda")]
mod cuda;
mod data;
mod gelu;
pub(crate) mod gemm;
mod layer_norm;
mod linear;
mod logprob;
pub(crate) mod rms_norm;
pub(crate) mod rotary;
pub(crate) mod simd;
pub(crate) mod swiglu;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use candle_core::{Result, Tensor};

pub use attention::Heads;
use attention::Span;
#[cfg(feature = "cuda")]
pub(crate) use cuda::adamw;
use rotary::Rotary;

/// Which implementation of the operations runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Implementation {
    /// Fused operations on the CPU and on CUDA devices, the composed graph on others.
    #[default]
    Fused,
    /// The composed graph everywhere: the reference.
    Composed,
}

impl Implementation {
    fn fused_on(self, tensor: &Tensor) -> bool {
        self == Self::Fused && (tensor.device().is_cpu() || tensor.device().is_cuda())
    }

    /// `x · Wᵀ`: (.., I) and (O, I) give (.., O).
    ///
    /// # Errors
    /// Fails when the shapes do not fit.
    pub fn linear(self, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        if !self.fused_on(x) || x.dims().last() != weight.dims().last() {
            return composed::linear(x, weight);
        }
        x.contiguous()?.apply_op2(&weight.contiguous()?, linear::Linear)
    }

    /// `x · Wᵀ + b`: (.., I), (O, I) and (O) give (.., O).
    ///
    /// # Errors
    /// Fails when the shapes do not fit.
    pub fn linear_bias(self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let fits = x.dims().last() == weight.dims().last() && weight.dims().first() == bias.dims().first();
        if !self.fused_on(x) || !fits {
            return composed::linear_bias(x, weight, bias);
        }
        x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, linear::LinearBias)
    }

    /// Rows of `table` by number: (V, D) f32 and (..) u32 give (.., D).
    ///
    /// # Errors
    /// Fails when a number is outside the table; on a CUDA device, which would have to be waited for, such a row is
    /// not a number instead.
    pub fn embed(self, table: &Tensor, tokens: &Tensor) -> Result<Tensor> {
        #[cfg(feature = "cuda")]
        if self == Self::Fused && table.device().is_cuda() {
            return table.contiguous()?.apply_op2(&tokens.contiguous()?, cuda::Embed);
        }
        let mut dims = tokens.dims().to_vec();
        dims.push(table.dim(candle_core::D::Minus1)?);
        table.index_select(&tokens.flatten_all()?, 0)?.reshape(dims)
    }

    /// `(x − mean) · w / sqrt(variance + ε) + b` per row: (.., D), (D) and (D) give (.., D).
    ///
    /// # Errors
    /// Fails when the shapes do not fit.
    pub fn layer_norm(self, x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
        let fits = x.dims().last() == weight.dims().last() && weight.dims() == bias.dims();
        if !self.fused_on(x) || !fits {
            return composed::layer_norm(x, weight, bias, eps);
        }
        let op = layer_norm::LayerNorm { eps: eps as f32 };
        x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)
    }

    /// `x · Φ(x)`, element by element, with the distribution function Φ of the standard normal.
    ///
    /// # Errors
    /// Fails when the device is out of memory.
    pub fn gelu(self, x: &Tensor) -> Result<Tensor> {
        if !self.fused_on(x) {
            return composed::gelu(x);
        }
        x.contiguous()?.apply_op1(gelu::Gelu)
    }

    /// `x · w / sqrt(mean(x²) + ε)` per row: (.., D) and (D) give (.., D).
    ///
    /// # Errors
    /// Fails when the shapes do not fit.
    pub fn rms_norm(self, x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
        if !self.fused_on(x) || x.dims().last() != weight.dims().last() {
            return composed::rms_norm(x, weight, eps);
        }
        let op = rms_norm::RmsNorm { eps: eps as f32 };
        x.contiguous()?.apply_op2(&weight.contiguous()?, op)
    }

    /// `silu(gate) · up`, element by element.
    ///
    /// # Errors
    /// Fails when the shapes differ.
    pub fn swiglu(self, gate: &Tensor, up: &Tensor) -> Result<Tensor> {
        if !self.fused_on(gate) || gate.shape() != up.shape() {
            return composed::swiglu(gate, up);
        }
        gate.contiguous()?.apply_op2(&up.contiguous()?, swiglu::SwiGlu)
    }

    /// Log-probability of `tokens` under `softmax(logits / temperature)`: (.., V) and (..) give (..).
    ///
    /// # Errors
    /// Fails when the shapes do not fit or a token is outside the vocabulary.
    pub fn token_logprobs(self, logits: &Tensor, tokens: &Tensor, temperature: f64) -> Result<Tensor> {
        let rank = logits.rank().saturating_sub(1);
        if !self.fused_on(logits) || logits.dims()[..rank] != *tokens.dims() {
            return composed::token_logprobs(logits, tokens, temperature);
        }
        let op = logprob::TokenLogprob { inverse_temperature: (1.0 / temperature) as f32 };
        logits.contiguous()?.apply_op2(&tokens.contiguous()?, op)
    }

    /// Causal attention with rotary positions of (B, T, heads · head_dim) queries over
    /// (B, T, kv_heads · head_dim) keys and values. Right-padded rows need no mask.
    pub(crate) fn attention(self, qkv: [&Tensor; 3], heads: Heads, rotary: &Arc<Rotary>) -> Result<Tensor> {
        let [q, k, v] = qkv;
        if !self.fused_on(q) {
            return composed::attention(q, k, v, heads, rotary);
        }
        let op = attention::Attention { heads, span: Span::Causal(Arc::clone(rotary)) };
        q.contiguous()?.apply_op3(&k.contiguous()?, &v.contiguous()?, op)
    }

    /// Attention in both directions over the first `lengths[b]` positions of sequence b; q, k and v are
    /// (B, T, heads · head_dim) with as many heads each. The rows of the padding are zero.
    pub(crate) fn attention_both(self, qkv: [&Tensor; 3], heads: Heads, lengths: &Arc<[usize]>) -> Result<Tensor> {
        let [q, k, v] = qkv;
        if !self.fused_on(q) {
            return composed::attention_both(q, k, v, heads, lengths);
        }
        let op = attention::Attention { heads, span: Span::Both(Arc::clone(lengths)) };
        q.contiguous()?.apply_op3(&k.contiguous()?, &v.contiguous()?, op)
    }
}

/// Mean negative log-probability over the positions that `mask` counts: `−Σ m·l / Σ m`, for
/// log-probabilities and a mask of one shape; a scalar. Zero where the mask counts nothing.
///
/// # Errors
/// Fails when the shapes differ.
pub fn masked_cross_entropy(logprobs: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let total = (logprobs * mask)?.sum_all()?;
    let count = mask.sum_all()?.to_scalar::<f32>()?;
    total * (-1.0 / f64::from(count.max(f32::MIN_POSITIVE)))
}
