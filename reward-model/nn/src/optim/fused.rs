//! The update of one parameter in place and without a temporary, `f32` only: in three passes over its memory on
//! the CPU, in one on a CUDA device.

use candle_core::{CpuStorage, InplaceOp2, InplaceOp3, Layout, Result, Tensor, bail};
#[cfg(feature = "cuda")]
use candle_core::{CudaStorage, Storage};

use super::{Slot, Update};
use crate::Error;
#[cfg(feature = "cuda")]
use crate::ops::adamw;

/// Updates `slot` along the contiguous `grad`.
pub(super) fn apply(slot: &Slot, grad: &Tensor, update: Update) -> std::result::Result<(), Error> {
    #[cfg(feature = "cuda")]
    if slot.var.device().is_cuda() {
        return Ok(slot.var.inplace_op3(&slot.first, &slot.second, &Step { grad, update })?);
    }
    let first = Moment { beta: update.beta1 as f32, squared: false };
    let second = Moment { beta: update.beta2 as f32, squared: true };
    slot.first.inplace_op2(grad, &first)?;
    slot.second.inplace_op2(grad, &second)?;
    slot.var.inplace_op3(&slot.first, &slot.second, &Change(update))?;
    Ok(())
}

/// `m ← β·m + (1 − β)·g`, or with `g²` when squared.
struct Moment {
    beta: f32,
    squared: bool,
}

impl InplaceOp2 for Moment {
    fn name(&self) -> &'static str {
        "adamw-moment"
    }

    fn cpu_fwd(
        &self,
        moment: &mut CpuStorage,
        moment_layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
    ) -> Result<()> {
        let moment = slice_mut(moment, moment_layout)?;
        let grad = slice(grad, grad_layout)?;
        let rest = 1.0 - self.beta;
        for (m, g) in moment.iter_mut().zip(grad) {
            let term = if self.squared { g * g } else { *g };
            *m = self.beta * *m + rest * term;
        }
        Ok(())
    }
}

/// `θ ← θ·decay − lr·m̂/(√v̂ + ε)`.
struct Change(Update);

impl InplaceOp3 for Change {
    fn name(&self) -> &'static str {
        "adamw-change"
    }

    fn cpu_fwd(
        &self,
        theta: &mut CpuStorage,
        theta_layout: &Layout,
        first: &CpuStorage,
        first_layout: &Layout,
        second: &CpuStorage,
        second_layout: &Layout,
    ) -> Result<()> {
        let theta = slice_mut(theta, theta_layout)?;
        let first = slice(first, first_layout)?;
        let second = slice(second, second_layout)?;
        let rate = (self.0.lr / self.0.bias1) as f32;
        let unbias = (1.0 / self.0.bias2) as f32;
        let (decay, eps) = (self.0.decay as f32, self.0.eps as f32);
        for ((x, m), v) in theta.iter_mut().zip(first).zip(second) {
            *x = *x * decay - rate * m / ((v * unbias).sqrt() + eps);
        }
        Ok(())
    }
}

/// The whole update at once. The moments are written too, although candle sees them as read: nothing else holds them.
#[cfg(feature = "cuda")]
struct Step<'a> {
    grad: &'a Tensor,
    update: Update,
}

#[cfg(feature = "cuda")]
impl InplaceOp3 for Step<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(
        &self,
        _: &mut CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<()> {
        bail!("adamw in one pass is for CUDA devices")
    }

    fn cuda_fwd(
        &self,
        theta: &mut CudaStorage,
        theta_layout: &Layout,
        first: &CudaStorage,
        first_layout: &Layout,
        second: &CudaStorage,
        second_layout: &Layout,
    ) -> Result<()> {
        let (grad, grad_layout) = self.grad.storage_and_layout();
        let Storage::Cuda(grad) = &*grad else { bail!("the gradient is not on the device of its parameter") };
        let Update { lr, decay, beta1, beta2, eps, bias1, bias2, .. } = self.update;
        let numbers = [beta1, beta2, lr / bias1, bias2.recip(), decay, eps].map(|number| number as f32);
        let operands = [(first, first_layout), (second, second_layout), (grad, grad_layout), (&*theta, theta_layout)];
        adamw(operands, numbers)
    }
}

fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (layout.contiguous_offsets(), storage) {
        (Some((from, to)), CpuStorage::F32(values)) => Ok(&values[from..to]),
        _ => bail!("the fused AdamW takes contiguous f32 tensors only"),
    }
}

fn slice_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (layout.contiguous_offsets(), storage) {
        (Some((from, to)), CpuStorage::F32(values)) => Ok(&mut values[from..to]),
        _ => bail!("the fused AdamW takes contiguous f32 tensors only"),
    }
}
