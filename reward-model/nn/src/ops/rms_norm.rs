//! RMSNorm: `y = x · w / sqrt(mean(x²) + ε)` (Zhang & Sennrich 2019, eq. 4).

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use super::cuda;
use super::data::{slice, with_slices};
use super::simd::{Kernel, dot, vectorize};

/// Rows one rayon task works on. Part of the result: the gradient of the weight is summed per
/// block and then over blocks, in order, so that it does not depend on the number of threads.
const BLOCK_ROWS: usize = 64;

const NAME: &str = "rms-norm";

/// The fused operation on (x, weight): (.., D) and (D).
pub(super) struct RmsNorm {
    pub(super) eps: f32,
}

#[cfg(feature = "cuda")]
impl RmsNorm {
    fn on_cuda(&self) -> cuda::Norm {
        cuda::Norm { op: NAME, eps: self.eps, centred: false }
    }
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(NAME, s1, l1)?;
        let weight = slice(NAME, s2, l2)?;
        let mut out = vec![0.0; x.len()];
        forward(x, weight, self.eps, &mut out);
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, s1: &CudaStorage, l1: &Layout, s2: &CudaStorage, l2: &Layout) -> Result<(CudaStorage, Shape)> {
        let (x, weight) = (cuda::View::new(NAME, s1, l1)?, cuda::View::new(NAME, s2, l2)?);
        Ok((cuda::norm(self.on_cuda(), x, weight, weight)?, l1.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            let [d_x, d_weight, _] = cuda::norm_backward(self.on_cuda(), x, weight, grad)?;
            return Ok((Some(d_x), Some(d_weight)));
        }
        let grad = grad.contiguous()?;
        let (d_x, d_weight) = with_slices(NAME, [x, weight, &grad], |[x, weight, grad]| {
            let block = BLOCK_ROWS * weight.len();
            let mut d_x = vec![0.0; x.len()];
            let partial: Vec<Vec<f32>> = d_x
                .par_chunks_mut(block)
                .zip(x.par_chunks(block))
                .zip(grad.par_chunks(block))
                .map(|((d_x, x), grad)| {
                    let mut d_weight = vec![0.0; weight.len()];
                    vectorize(Backward { x, weight, grad, eps: self.eps, d_x, d_weight: &mut d_weight });
                    d_weight
                })
                .collect();
            let mut d_weight = vec![0.0; weight.len()];
            for block_sum in &partial {
                for (total, value) in d_weight.iter_mut().zip(block_sum) {
                    *total += value;
                }
            }
            Ok((d_x, d_weight))
        })?;
        Ok((
            Some(Tensor::from_vec(d_x, x.shape(), x.device())?),
            Some(Tensor::from_vec(d_weight, weight.shape(), x.device())?),
        ))
    }
}

/// Normalises every row of `x` (rows of `weight.len()`) into `out`.
pub(crate) fn forward(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let block = BLOCK_ROWS * weight.len();
    out.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(out, x)| {
        vectorize(Forward { x, weight, eps, out });
    });
}

/// One block of rows of the forward pass.
pub(crate) struct Forward<'a> {
    /// Rows of `weight.len()` elements.
    pub(crate) x: &'a [f32],
    /// Gain per column.
    pub(crate) weight: &'a [f32],
    /// Added to the mean square.
    pub(crate) eps: f32,
    /// Written; as long as `x`.
    pub(crate) out: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let width = self.weight.len();
        let rows = self.x.chunks_exact(width);
        for (x, out) in rows.zip(self.out.chunks_exact_mut(width)) {
            let scale = 1.0 / (dot(x, x) / width as f32 + self.eps).sqrt();
            for ((out, &x), &weight) in out.iter_mut().zip(x).zip(self.weight) {
                *out = x * scale * weight;
            }
        }
    }
}

struct Backward<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    grad: &'a [f32],
    eps: f32,
    d_x: &'a mut [f32],
    d_weight: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    /// With `x̂ = x·r` and `r = 1/sqrt(mean(x²) + ε)`:
    /// `dx = r · (g·w − x̂ · mean(g·w·x̂))`, `dw = Σ_rows g·x̂`.
    #[inline(always)]
    fn run(self) {
        let width = self.weight.len();
        let mut weighted = vec![0.0_f32; width];
        let rows = self.x.chunks_exact(width).zip(self.grad.chunks_exact(width));
        for ((x, grad), d_x) in rows.zip(self.d_x.chunks_exact_mut(width)) {
            let scale = 1.0 / (dot(x, x) / width as f32 + self.eps).sqrt();
            for ((gw, &grad), &weight) in weighted.iter_mut().zip(grad).zip(self.weight) {
                *gw = grad * weight;
            }
            let mean = dot(&weighted, x) * scale / width as f32;
            for ((d_x, &x), &gw) in d_x.iter_mut().zip(x).zip(&weighted) {
                *d_x = scale * (gw - x * scale * mean);
            }
            for ((d_weight, &x), &grad) in self.d_weight.iter_mut().zip(x).zip(grad) {
                *d_weight += grad * x * scale;
            }
        }
    }
}
