//! The fused operations on CUDA devices: own kernels, compiled by NVRTC when the first of them runs.
//!
//! Each has its reference on the CPU, the operation of the same name beside this module; matrix products are
//! cuBLAS's. f32 and bf16; sums within a row are f32. All run on the device's one stream, in order.

mod attention;
mod elementwise;
mod embed;
mod linear;
mod norm;

use std::sync::OnceLock;

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::CudaDevice;
use candle_core::cuda_backend::cudarc::driver::{DevicePtr, LaunchConfig, PushKernelArg};
use candle_core::op::BackpropOp;
use candle_core::{CudaStorage, DType, Error, Layout, Result, Shape, Storage, Tensor};
use cudarc::nvrtc::compile_ptx;

pub(super) use attention::{attention, attention_backward};
pub(crate) use elementwise::adamw;
pub(super) use elementwise::{gelu, gelu_backward, logprob, logprob_backward, swiglu, swiglu_backward};
pub(super) use embed::Embed;
pub(super) use linear::{linear, linear_backward};
pub(super) use norm::{Norm, norm, norm_backward};

/// Threads of a block.
const THREADS: u32 = 128;
const WARP: u32 = 32;
const MODULE: &str = "plaudit";
const SOURCE: &str = include_str!("cuda/kernels.cu");

/// The contiguous elements of an operand.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    storage: &'a CudaStorage,
    start: usize,
    len: usize,
}

impl<'a> View<'a> {
    pub(super) fn new(op: &'static str, storage: &'a CudaStorage, layout: &Layout) -> Result<Self> {
        let (start, end) = layout.contiguous_offsets().ok_or_else(|| Error::RequiresContiguous { op }.bt())?;
        Ok(Self { storage, start, len: end - start })
    }

    fn whole(storage: &'a CudaStorage, len: usize) -> Self {
        Self { storage, start: 0, len }
    }

    fn dtype(self) -> DType {
        self.storage.dtype()
    }

    /// Where the elements are on the device.
    fn address(self) -> Result<u64> {
        let stream = self.storage.device.cuda_stream();
        // One stream runs everything, so that its order is all the synchronisation needed.
        macro_rules! address {
            ($kind:ty) => {{
                let slice = self.storage.as_cuda_slice::<$kind>()?;
                let (address, _order) = slice.device_ptr(&stream);
                address + (self.start * size_of::<$kind>()) as u64
            }};
        }
        Ok(match self.dtype() {
            DType::F32 => address!(f32),
            DType::BF16 => address!(half::bf16),
            DType::U32 => address!(u32),
            other => return Err(Error::Msg(format!("the kernels take f32, bf16 and u32, got {other:?}")).bt()),
        })
    }
}

/// A kernel with everything but its operands.
struct Launch<'a> {
    name: &'static str,
    blocks: (u32, u32),
    integers: &'a [usize],
    numbers: &'a [f32],
}

impl<'a> Launch<'a> {
    /// One thread per element.
    fn each(name: &'static str, count: usize, integers: &'a [usize]) -> Self {
        Self { name, blocks: (count.div_ceil(THREADS as usize) as u32, 1), integers, numbers: &[] }
    }

    /// One warp per row.
    fn warps(name: &'static str, rows: usize, integers: &'a [usize], numbers: &'a [f32]) -> Self {
        let blocks = rows.div_ceil((THREADS / WARP) as usize) as u32;
        Self { name, blocks: (blocks, 1), integers, numbers }
    }

    /// One block per row.
    fn rows(name: &'static str, rows: usize, integers: &'a [usize], numbers: &'a [f32]) -> Self {
        Self { name, blocks: (rows as u32, 1), integers, numbers }
    }

    /// Runs on `inputs` and writes a new storage of `len` elements.
    fn make(&self, inputs: &[View<'_>], len: usize, dtype: DType) -> Result<CudaStorage> {
        let out = allocate(&inputs[0].storage.device, len, dtype)?;
        self.write(inputs, View::whole(&out, len))?;
        Ok(out)
    }

    /// Runs on `inputs` and writes the elements of `out`, which nothing else reads meanwhile.
    #[expect(unsafe_code, reason = "a kernel is foreign code; its arguments are checked against its signature")]
    fn write(&self, inputs: &[View<'_>], out: View<'_>) -> Result<()> {
        if out.len == 0 {
            return Ok(());
        }
        let device = &out.storage.device;
        let kind = inputs[0].dtype();
        let name = match kind {
            DType::BF16 => format!("{}_bf16", self.name),
            _ => format!("{}_f32", self.name),
        };
        let function = device.get_or_load_custom_func(&name, MODULE, ptx()?)?;
        let addresses: Vec<u64> = inputs.iter().chain([&out]).map(|view| view.address()).collect::<Result<_>>()?;
        let integers: Vec<i32> = self
            .integers
            .iter()
            .map(|&value| i32::try_from(value).map_err(|_| Error::Msg(format!("{name}: {value} elements")).bt()))
            .collect::<Result<_>>()?;
        let mut builder = function.builder();
        for address in &addresses {
            builder.arg(address);
        }
        for integer in &integers {
            builder.arg(integer);
        }
        for number in self.numbers {
            builder.arg(number);
        }
        let config = LaunchConfig {
            grid_dim: (self.blocks.0, self.blocks.1, 1),
            block_dim: (THREADS, 1, 1),
            shared_mem_bytes: 0,
        };
        // SAFETY: the arguments are those of the kernel in its order, the addresses are of live operands of
        // this device, and the kernels stay within the lengths they are told.
        unsafe { builder.launch(config) }.map_err(Error::wrap)?;
        Ok(())
    }
}

/// Sums of the columns of `x`, in blocks of rows that are added up in order, so that the result does not depend on
/// timing: (rows · width) elements give `width` f32 ones.
fn sum_rows(x: View<'_>, width: usize) -> Result<CudaStorage> {
    const BLOCK_ROWS: usize = 64;
    let stage = |x: View<'_>| {
        let rows = x.len / width;
        let blocks = rows.div_ceil(BLOCK_ROWS);
        let columns = width.div_ceil(THREADS as usize) as u32;
        let launch = Launch {
            name: "sum_rows",
            blocks: (columns, blocks as u32),
            integers: &[rows, width, BLOCK_ROWS],
            numbers: &[],
        };
        Ok::<_, Error>((launch.make(&[x], blocks * width, DType::F32)?, blocks))
    };
    let (mut sums, mut rows) = stage(x)?;
    while rows > 1 {
        (sums, rows) = stage(View::whole(&sums, rows * width))?;
    }
    Ok(sums)
}

/// The kernels for the driver, compiled once per process.
fn ptx() -> Result<&'static str> {
    static PTX: OnceLock<std::result::Result<String, String>> = OnceLock::new();
    let compiled = PTX.get_or_init(|| match compile_ptx(SOURCE) {
        Ok(ptx) => Ok(ptx.to_src()),
        Err(error) => Err(format!("NVRTC cannot compile the kernels: {error:?}")),
    });
    compiled.as_deref().map_err(|message| Error::Msg(message.clone()).bt())
}

#[expect(unsafe_code, reason = "memory of the device is not initialised; whoever asks for it writes all of it")]
fn allocate(device: &CudaDevice, len: usize, dtype: DType) -> Result<CudaStorage> {
    // SAFETY: see above.
    unsafe {
        Ok(match dtype {
            DType::BF16 => CudaStorage::wrap_cuda_slice(device.alloc::<half::bf16>(len)?, device.clone()),
            _ => CudaStorage::wrap_cuda_slice(device.alloc::<f32>(len)?, device.clone()),
        })
    }
}

/// f32 zeros on the device of `like`.
fn zeros(like: &View<'_>, len: usize) -> Result<CudaStorage> {
    let device = &like.storage.device;
    Ok(CudaStorage::wrap_cuda_slice(device.alloc_zeros::<f32>(len)?, device.clone()))
}

/// Calls `work` with the elements of contiguous tensors on one CUDA device, and makes its results tensors.
fn on_tensors<const N: usize, const M: usize>(
    op: &'static str,
    tensors: [&Tensor; N],
    work: impl FnOnce([View<'_>; N]) -> Result<[(CudaStorage, Shape); M]>,
) -> Result<[Tensor; M]> {
    let guards = tensors.map(Tensor::storage_and_layout);
    let mut views = Vec::with_capacity(N);
    for (storage, layout) in &guards {
        let Storage::Cuda(storage) = &**storage else {
            return Err(Error::Msg(format!("{op} needs all its tensors on the one device")).bt());
        };
        views.push(View::new(op, storage, layout)?);
    }
    let views: [View<'_>; N] = views.try_into().map_err(|_| Error::Msg(op.to_owned()).bt())?;
    let results = work(views)?;
    Ok(results.map(|(storage, shape)| Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn nvrtc_compiles_every_kernel() {
        let ptx = super::ptx().unwrap();
        for name in ["norm_forward_f32", "softmax_backward_bf16", "merge_heads_bf16", "logprob_forward_f32", "adamw"] {
            assert!(ptx.contains(&format!(".entry {name}")), "{name} is missing");
        }
    }
}
