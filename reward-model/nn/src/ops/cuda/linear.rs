//! Products with a weight stored (out, in).

use candle_core::backend::BackendStorage;
use candle_core::{CudaStorage, Layout, Result, Tensor};

use super::{Launch, View, on_tensors, sum_rows};

/// `x · Wᵀ`, plus the bias if any: rows of `x` of the weight's inputs.
pub(in crate::ops) fn linear(
    x: (&CudaStorage, &Layout),
    weight: (&CudaStorage, &Layout),
    bias: Option<View<'_>>,
) -> Result<CudaStorage> {
    let (outputs, inputs) = weight.1.shape().dims2()?;
    let rows = x.1.shape().elem_count() / inputs.max(1);
    let x_rows = Layout::contiguous_with_offset((rows, inputs), x.1.start_offset());
    let out = x.0.matmul(weight.0, (1, rows, outputs, inputs), &x_rows, &weight.1.transpose(0, 1)?)?;
    if let Some(bias) = bias {
        let len = rows * outputs;
        Launch::each("add_bias", len, &[len, outputs]).write(&[bias], View::whole(&out, len))?;
    }
    Ok(out)
}

/// `dx = g · W`, `dW = gᵀ · x` and the sum of `g` over the rows, each only where it is `needed`.
pub(in crate::ops) fn linear_backward(
    x: &Tensor,
    weight: &Tensor,
    grad: &Tensor,
    needed: [bool; 3],
) -> Result<[Option<Tensor>; 3]> {
    let (outputs, inputs) = weight.dims2()?;
    let bias_type = weight.dtype();
    let (weight, grad) = (weight.detach(), grad.detach().reshape(((), outputs))?.contiguous()?);
    let rows = grad.dim(0)?;
    let d_x = needed[0].then(|| grad.matmul(&weight)?.reshape(x.shape())).transpose()?;
    let flat = x.detach().reshape((rows, inputs))?;
    let d_weight = needed[1].then(|| grad.t()?.matmul(&flat)).transpose()?;
    let d_bias = needed[2].then(|| {
        let [sums] = on_tensors("linear", [&grad], |[grad]| Ok([(sum_rows(grad, outputs)?, outputs.into())]))?;
        sums.to_dtype(bias_type)
    });
    let d_bias = d_bias.transpose()?;
    Ok([d_x, d_weight, d_bias])
}
