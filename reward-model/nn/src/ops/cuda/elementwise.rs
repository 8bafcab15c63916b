//! Activations, log-probabilities and the step of the optimiser.

use candle_core::cuda_backend::cudarc::driver::{LaunchConfig, PushKernelArg};
use candle_core::{CudaStorage, DType, Error, Layout, Result, Tensor};

use super::{Launch, MODULE, THREADS, View, on_tensors, ptx};

pub(in crate::ops) fn gelu(x: View<'_>) -> Result<CudaStorage> {
    Launch::each("gelu_forward", x.len, &[x.len]).make(&[x], x.len, x.dtype())
}

pub(in crate::ops) fn gelu_backward(op: &'static str, x: &Tensor, grad: &Tensor) -> Result<Tensor> {
    let shape = x.shape().clone();
    let [d_x] = on_tensors(op, [x, &grad.contiguous()?], |[x, grad]| {
        let d_x = Launch::each("gelu_backward", x.len, &[x.len]).make(&[x, grad], x.len, x.dtype())?;
        Ok([(d_x, shape)])
    })?;
    Ok(d_x)
}

pub(in crate::ops) fn swiglu(gate: View<'_>, up: View<'_>) -> Result<CudaStorage> {
    Launch::each("swiglu_forward", gate.len, &[gate.len]).make(&[gate, up], gate.len, gate.dtype())
}

/// Gradients of gate and up.
pub(in crate::ops) fn swiglu_backward(
    op: &'static str,
    gate: &Tensor,
    up: &Tensor,
    grad: &Tensor,
) -> Result<[Tensor; 2]> {
    let shape = gate.shape().clone();
    let mut both = vec![2];
    both.extend_from_slice(shape.dims());
    let [both] = on_tensors(op, [gate, up, &grad.contiguous()?], |[gate, up, grad]| {
        let (operands, len) = ([gate, up, grad], gate.len);
        let d_both = Launch::each("swiglu_backward", len, &[len]).make(&operands, 2 * len, gate.dtype())?;
        Ok([(d_both, both.into())])
    })?;
    Ok([both.get(0)?, both.get(1)?])
}

pub(in crate::ops) fn logprob(logits: View<'_>, tokens: View<'_>, scale: f32) -> Result<CudaStorage> {
    let rows = tokens.len;
    let width = logits.len / rows.max(1);
    Launch::rows("logprob_forward", rows, &[width], &[scale]).make(&[logits, tokens], rows, DType::F32)
}

pub(in crate::ops) fn logprob_backward(
    op: &'static str,
    logits: &Tensor,
    tokens: &Tensor,
    logprobs: &Tensor,
    grad: &Tensor,
    scale: f32,
) -> Result<Tensor> {
    let shape = logits.shape().clone();
    let [d_logits] = on_tensors(op, [logits, tokens, logprobs, &grad.contiguous()?], |operands| {
        let (logits, rows) = (operands[0], operands[1].len);
        let width = logits.len / rows.max(1);
        let d_logits =
            Launch::rows("logprob_backward", rows, &[width], &[scale]).make(&operands, logits.len, logits.dtype())?;
        Ok([(d_logits, shape)])
    })?;
    Ok(d_logits)
}

/// One step of AdamW: moments and parameter are written in place along the contiguous `grad`. `numbers` are
/// β₁, β₂, rate, the reciprocal of the bias of the second moment, decay and ε.
#[expect(unsafe_code, reason = "a kernel is foreign code; its arguments are checked against its signature")]
pub(crate) fn adamw(operands: [(&CudaStorage, &Layout); 4], numbers: [f32; 6]) -> Result<()> {
    let mut views = Vec::with_capacity(4);
    for (storage, layout) in operands {
        views.push(View::new("adamw", storage, layout)?);
    }
    let len = views[0].len;
    if views.iter().any(|view| view.dtype() != DType::F32 || view.len != len) {
        return Err(Error::Msg("adamw takes f32 operands of one length".to_owned()).bt());
    }
    let addresses: Vec<u64> = views.iter().map(|view| view.address()).collect::<Result<_>>()?;
    let function = operands[0].0.device.get_or_load_custom_func("adamw", MODULE, ptx()?)?;
    let count = i32::try_from(len).map_err(|_| Error::Msg(format!("adamw: {len} elements")).bt())?;
    let mut builder = function.builder();
    for address in &addresses {
        builder.arg(address);
    }
    builder.arg(&count);
    for number in &numbers {
        builder.arg(number);
    }
    let config = LaunchConfig {
        grid_dim: (len.div_ceil(THREADS as usize) as u32, 1, 1),
        block_dim: (THREADS, 1, 1),
        shared_mem_bytes: 0,
    };
    // SAFETY: the arguments are those of the kernel in its order, on operands of one length.
    unsafe { builder.launch(config) }.map_err(Error::wrap)?;
    Ok(())
}
