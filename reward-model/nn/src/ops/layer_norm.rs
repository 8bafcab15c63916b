//! LayerNorm: `y = (x − μ) · w / sqrt(σ² + ε) + b` with mean μ and variance σ² of the row
//! (Ba et al. 2016, eq. 4).

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use super::cuda;
use super::data::{slice, with_slices};
use super::simd::{Kernel, dot, sum, vectorize};

/// Rows one rayon task works on. Part of the result: the gradients of weight and bias are summed per
/// block and then over blocks, in order, so that they do not depend on the number of threads.
const BLOCK_ROWS: usize = 64;

const NAME: &str = "layer-norm";

/// The fused operation on (x, weight, bias): (.., D), (D) and (D).
pub(super) struct LayerNorm {
    pub(super) eps: f32,
}

#[cfg(feature = "cuda")]
impl LayerNorm {
    fn on_cuda(&self) -> cuda::Norm {
        cuda::Norm { op: NAME, eps: self.eps, centred: true }
    }
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = slice(NAME, s1, l1)?;
        let weight = slice(NAME, s2, l2)?;
        let bias = slice(NAME, s3, l3)?;
        let mut out = vec![0.0; x.len()];
        let block = BLOCK_ROWS * weight.len();
        out.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(out, x)| {
            vectorize(Forward { x, weight, bias, eps: self.eps, out });
        });
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        s1: &CudaStorage,
        l1: &Layout,
        s2: &CudaStorage,
        l2: &Layout,
        s3: &CudaStorage,
        l3: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (x, weight) = (cuda::View::new(NAME, s1, l1)?, cuda::View::new(NAME, s2, l2)?);
        Ok((cuda::norm(self.on_cuda(), x, weight, cuda::View::new(NAME, s3, l3)?)?, l1.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _bias: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            return Ok(cuda::norm_backward(self.on_cuda(), x, weight, grad)?.map(Some).into());
        }
        let grad = grad.contiguous()?;
        let width = weight.elem_count();
        let (d_x, d_affine) = with_slices(NAME, [x, weight, &grad], |[x, weight, grad]| {
            let block = BLOCK_ROWS * width;
            let mut d_x = vec![0.0; x.len()];
            let partial: Vec<Vec<f32>> = d_x
                .par_chunks_mut(block)
                .zip(x.par_chunks(block))
                .zip(grad.par_chunks(block))
                .map(|((d_x, x), grad)| {
                    let mut d_affine = vec![0.0; 2 * width];
                    vectorize(Backward { x, weight, grad, eps: self.eps, d_x, d_affine: &mut d_affine });
                    d_affine
                })
                .collect();
            let mut d_affine = vec![0.0; 2 * width];
            for block_sum in &partial {
                for (total, value) in d_affine.iter_mut().zip(block_sum) {
                    *total += value;
                }
            }
            Ok((d_x, d_affine))
        })?;
        let device = x.device();
        let (d_weight, d_bias) = d_affine.split_at(width);
        Ok((
            Some(Tensor::from_vec(d_x, x.shape(), device)?),
            Some(Tensor::from_slice(d_weight, weight.shape(), device)?),
            Some(Tensor::from_slice(d_bias, weight.shape(), device)?),
        ))
    }
}

/// `1 / sqrt(σ² + ε)` of a row; `centred` receives the row without its mean.
#[inline(always)]
fn centre(x: &[f32], eps: f32, centred: &mut [f32]) -> f32 {
    let mean = sum(x) / x.len() as f32;
    for (centred, &x) in centred.iter_mut().zip(x) {
        *centred = x - mean;
    }
    1.0 / (dot(centred, centred) / x.len() as f32 + eps).sqrt()
}

struct Forward<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    eps: f32,
    out: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let width = self.weight.len();
        let rows = self.x.chunks_exact(width);
        for (x, out) in rows.zip(self.out.chunks_exact_mut(width)) {
            let scale = centre(x, self.eps, out);
            for ((out, &weight), &bias) in out.iter_mut().zip(self.weight).zip(self.bias) {
                *out = *out * scale * weight + bias;
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
    d_affine: &'a mut [f32], // dw, then db
}

impl Kernel for Backward<'_> {
    type Output = ();

    /// With `x̂ = (x − μ)·r` and `r = 1/sqrt(σ² + ε)`:
    /// `dx = r · (g·w − mean(g·w) − x̂ · mean(g·w·x̂))`, `dw = Σ_rows g·x̂`, `db = Σ_rows g`.
    #[inline(always)]
    fn run(self) {
        let width = self.weight.len();
        let mut centred = vec![0.0_f32; width];
        let (d_weight, d_bias) = self.d_affine.split_at_mut(width);
        let rows = self.x.chunks_exact(width).zip(self.grad.chunks_exact(width));
        for ((x, grad), d_x) in rows.zip(self.d_x.chunks_exact_mut(width)) {
            let scale = centre(x, self.eps, &mut centred);
            for ((d_x, &grad), &weight) in d_x.iter_mut().zip(grad).zip(self.weight) {
                *d_x = grad * weight;
            }
            let mean = sum(d_x) / width as f32;
            let slope = dot(d_x, &centred) * scale * scale / width as f32;
            for (d_x, &centred) in d_x.iter_mut().zip(&centred) {
                *d_x = scale * (*d_x - mean - centred * slope);
            }
            for ((d_weight, &centred), &grad) in d_weight.iter_mut().zip(&centred).zip(grad) {
                *d_weight += grad * centred * scale;
            }
            for (d_bias, &grad) in d_bias.iter_mut().zip(grad) {
                *d_bias += grad;
            }
        }
    }
}
