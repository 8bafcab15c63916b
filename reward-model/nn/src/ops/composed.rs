//! The same operations put together from candle's differentiable ones.
//!
//! They define what the fused operations compute, serve devices that the fused operations do not
//! support, and are what the tests compare with. Only operations with a gradient are used: candle's
//! own fused softmax, RMSNorm and rotary embedding cut the graph without an error.

use candle_core::{D, DType, Result, Tensor};

use super::attention::Heads;
use super::rotary::Rotary;

/// See [`super::Implementation::linear`].
pub fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (outputs, inputs) = weight.dims2()?;
    let mut dims = x.dims().to_vec();
    dims.pop();
    dims.push(outputs);
    x.reshape(((), inputs))?.matmul(&weight.t()?)?.reshape(dims)
}

/// See [`super::Implementation::linear_bias`].
pub fn linear_bias(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    linear(x, weight)?.broadcast_add(bias)
}

/// See [`super::Implementation::layer_norm`].
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normalised = centred.broadcast_div(&(variance + eps)?.sqrt()?)?;
    normalised.broadcast_mul(weight)?.broadcast_add(bias)
}

/// See [`super::Implementation::gelu`].
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    x.gelu_erf()
}

/// See [`super::Implementation::rms_norm`].
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let mean_square = x.sqr()?.mean_keepdim(D::Minus1)?;
    let normalised = x.broadcast_div(&(mean_square + eps)?.sqrt()?)?;
    normalised.broadcast_mul(weight)
}

/// See [`super::Implementation::swiglu`].
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    gate.silu()? * up
}

/// See [`super::Implementation::token_logprobs`].
pub fn token_logprobs(logits: &Tensor, tokens: &Tensor, temperature: f64) -> Result<Tensor> {
    let scaled = (logits / temperature)?;
    let logprobs = candle_nn::ops::log_softmax(&scaled, D::Minus1)?;
    let index = tokens.contiguous()?.unsqueeze(D::Minus1)?;
    logprobs.contiguous()?.gather(&index, D::Minus1)?.squeeze(D::Minus1)
}

/// See `Implementation::attention`.
pub(super) fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: Heads, rotary: &Rotary) -> Result<Tensor> {
    let (batch, len, width) = q.dims3()?;
    let (cos, sin) = rotary.tensors(len, q.device())?;
    let split = |x: &Tensor, heads_of_x: usize| {
        let shape = (batch, len, heads_of_x, heads.head_dim);
        x.reshape(shape)?.transpose(1, 2)?.contiguous()
    };
    let q = rotate(&split(q, heads.heads)?, &cos, &sin)?;
    let k = repeat(&rotate(&split(k, heads.kv_heads)?, &cos, &sin)?, heads)?;
    let v = repeat(&split(v, heads.kv_heads)?, heads)?;
    let scale = f64::from(heads.scale());
    let scores = (q.matmul(&k.t()?.contiguous()?)? * scale)?;
    let scores = scores.broadcast_add(&causal_mask(len, q.device())?)?;
    let probabilities = candle_nn::ops::softmax(&scores, D::Minus1)?;
    let out = probabilities.matmul(&v)?; // (B, heads, T, head_dim)
    out.transpose(1, 2)?.reshape((batch, len, width))
}

/// See `Implementation::attention_both`.
pub(super) fn attention_both(q: &Tensor, k: &Tensor, v: &Tensor, heads: Heads, lengths: &[usize]) -> Result<Tensor> {
    let (batch, len, width) = q.dims3()?;
    let device = q.device();
    let split = |x: &Tensor| {
        let shape = (batch, len, heads.heads, heads.head_dim);
        x.reshape(shape)?.transpose(1, 2)?.contiguous()
    };
    let (q, k, v) = (split(q)?, split(k)?, split(v)?);
    let row = |real: f32, padding: f32| {
        let value = move |n: usize, col: usize| if col < n { real } else { padding };
        lengths.iter().flat_map(move |&n| (0..len).map(move |col| value(n, col))).collect::<Vec<f32>>()
    };
    let mask = Tensor::from_vec(row(0.0, -1e9), (batch, 1, 1, len), device)?;
    let scores = (q.matmul(&k.t()?.contiguous()?)? * f64::from(heads.scale()))?.broadcast_add(&mask)?;
    let probabilities = candle_nn::ops::softmax(&scores, D::Minus1)?;
    let out = probabilities.matmul(&v)?.transpose(1, 2)?.reshape((batch, len, width))?;
    out.broadcast_mul(&Tensor::from_vec(row(1.0, 0.0), (batch, len, 1), device)?)
}

/// Turns (B, H, T, head_dim) by tables of (T, head_dim / 2).
fn rotate(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let half = x.dim(D::Minus1)? / 2;
    let x1 = x.narrow(D::Minus1, 0, half)?;
    let x2 = x.narrow(D::Minus1, half, half)?;
    let first = (x1.broadcast_mul(cos)? - x2.broadcast_mul(sin)?)?;
    let second = (x2.broadcast_mul(cos)? + x1.broadcast_mul(sin)?)?;
    Tensor::cat(&[first, second], D::Minus1)
}

/// Repeats every head of (B, kv_heads, T, head_dim) for the group of query heads that shares it.
fn repeat(x: &Tensor, heads: Heads) -> Result<Tensor> {
    let (batch, kv_heads, len, head_dim) = x.dims4()?;
    let group = heads.group();
    x.unsqueeze(2)?.broadcast_as((batch, kv_heads, group, len, head_dim))?.reshape((
        batch,
        kv_heads * group,
        len,
        head_dim,
    ))
}

/// Zero where column ≤ row, a large negative number elsewhere: (T, T).
fn causal_mask(len: usize, device: &candle_core::Device) -> Result<Tensor> {
    let mask = (0..len).flat_map(|row| (0..len).map(move |col| if col <= row { 0.0_f32 } else { -1e9 })).collect();
    Tensor::from_vec(mask, (len, len), device)?.to_dtype(DType::F32)
}
