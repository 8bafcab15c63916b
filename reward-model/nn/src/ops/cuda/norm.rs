//! LayerNorm and RMSNorm. Gain and bias are f32 whatever the rows are.

use candle_core::{CudaStorage, DType, Result, Tensor};

use super::{Launch, THREADS, View, on_tensors, sum_rows};

/// Rows whose gradients of gain and bias one block adds up; the blocks are added in order, so that the
/// result does not depend on timing.
const BLOCK_ROWS: usize = 32;

/// Which norm.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Norm {
    pub(in crate::ops) op: &'static str,
    pub(in crate::ops) eps: f32,
    /// LayerNorm, with a bias; RMSNorm otherwise.
    pub(in crate::ops) centred: bool,
}

/// The norm of the rows of `x` with the gain and the bias; RMSNorm has none and gets the gain again.
pub(in crate::ops) fn norm(norm: Norm, x: View<'_>, weight: View<'_>, bias: View<'_>) -> Result<CudaStorage> {
    let width = weight.len;
    let integers = [width, usize::from(norm.centred)];
    Launch::rows("norm_forward", x.len / width, &integers, &[norm.eps]).make(&[x, weight, bias], x.len, x.dtype())
}

/// Gradients of `x`, of the gain and of the bias.
pub(in crate::ops) fn norm_backward(norm: Norm, x: &Tensor, weight: &Tensor, grad: &Tensor) -> Result<[Tensor; 3]> {
    let grad = grad.contiguous()?;
    let width = weight.elem_count();
    let rows = x.elem_count() / width;
    let integers = [width, usize::from(norm.centred)];
    let chunks = rows.div_ceil(BLOCK_ROWS);
    let [d_x, sums] = on_tensors(norm.op, [x, weight, &grad], |[x_rows, weight, grad]| {
        let d_x = Launch::rows("norm_backward", rows, &integers, &[norm.eps]).make(
            &[x_rows, weight, grad],
            x_rows.len,
            x_rows.dtype(),
        )?;
        let stats = Launch::rows("norm_stats", rows, &integers, &[norm.eps]).make(&[x_rows], 2 * rows, DType::F32)?;
        let columns = width.div_ceil(THREADS as usize) as u32;
        let launch = Launch {
            name: "norm_params",
            blocks: (columns, chunks as u32),
            integers: &[rows, width, BLOCK_ROWS],
            numbers: &[],
        };
        let stats = View::whole(&stats, 2 * rows);
        let partial = launch.make(&[x_rows, grad, stats], 2 * chunks * width, DType::F32)?;
        let sums = sum_rows(View::whole(&partial, 2 * chunks * width), 2 * width)?;
        Ok([(d_x, x.shape().clone()), (sums, (2 * width).into())])
    })?;
    Ok([d_x, sums.narrow(0, 0, width)?, sums.narrow(0, width, width)?])
}
