//! The update of one parameter in three passes over its memory and without a temporary; CPU and `f32` only.

use candle_core::{CpuStorage, InplaceOp2, InplaceOp3, Layout, Result, Tensor, bail};

use super::{Slot, Update};
use crate::Error;

/// Updates `slot` along the contiguous `grad`.
pub(super) fn apply(slot: &Slot, grad: &Tensor, update: Update) -> std::result::Result<(), Error> {
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
