//! Between tensors and slices.

use candle_core::{CpuStorage, Error, Layout, Result, Storage, Tensor};

/// The elements of a contiguous f32 operand of a custom operation.
pub(crate) fn slice<'a>(op: &'static str, storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let (start, end) = contiguous(op, layout)?;
    Ok(&storage.as_slice::<f32>()?[start..end])
}

/// The elements of a contiguous u32 operand of a custom operation.
pub(crate) fn slice_u32<'a>(op: &'static str, storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [u32]> {
    let (start, end) = contiguous(op, layout)?;
    Ok(&storage.as_slice::<u32>()?[start..end])
}

fn contiguous(op: &'static str, layout: &Layout) -> Result<(usize, usize)> {
    layout.contiguous_offsets().ok_or_else(|| Error::RequiresContiguous { op }.bt())
}

/// Calls `f` with the elements of contiguous f32 tensors that live on the CPU.
pub(crate) fn with_slices<const N: usize, R>(
    op: &'static str,
    tensors: [&Tensor; N],
    f: impl FnOnce([&[f32]; N]) -> Result<R>,
) -> Result<R> {
    let guards = tensors.map(Tensor::storage_and_layout);
    let mut slices = [[].as_slice(); N];
    for (target, (storage, layout)) in slices.iter_mut().zip(&guards) {
        let Storage::Cpu(cpu) = &**storage else {
            return Err(Error::Msg(format!("{op} backward needs tensors on the cpu")).bt());
        };
        *target = slice(op, cpu, layout)?;
    }
    f(slices)
}
