//! GELU: `x · Φ(x)` with `Φ(x) = (1 + erf(x / √2)) / 2` (Hendrycks & Gimpel 2016, section 2).
//!
//! Deviation: erf is approximated to 1.5e-7 (Abramowitz & Stegun 1964, 7.1.26), the rounding of f32.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use super::cuda;
use super::data::{slice, with_slices};
use super::simd::{Kernel, exp, vectorize};

/// Elements one rayon task works on.
const BLOCK: usize = 16 * 1024;

const NAME: &str = "gelu";

/// The fused operation.
pub(super) struct Gelu;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(NAME, storage, layout)?;
        let mut out = vec![0.0; x.len()];
        out.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK)).for_each(|(out, x)| vectorize(Forward { x, out }));
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, s: &CudaStorage, l: &Layout) -> Result<(CudaStorage, Shape)> {
        Ok((cuda::gelu(cuda::View::new(NAME, s, l)?)?, l.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            return Ok(Some(cuda::gelu_backward(NAME, x, grad)?));
        }
        let grad = grad.contiguous()?;
        let d_x = with_slices(NAME, [x, &grad], |[x, grad]| {
            let mut d_x = vec![0.0; x.len()];
            d_x.par_chunks_mut(BLOCK)
                .zip(x.par_chunks(BLOCK))
                .zip(grad.par_chunks(BLOCK))
                .for_each(|((d_x, x), grad)| vectorize(Backward { x, grad, d_x }));
            Ok(d_x)
        })?;
        Ok(Some(Tensor::from_vec(d_x, x.shape(), x.device())?))
    }
}

/// `Φ(x)` and `e^(−x²/2)`.
#[inline(always)]
fn distribution(x: f32) -> (f32, f32) {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let bell = exp(-z * z);
    let mut p = 1.061_405_4;
    p = p * t - 1.453_152_1;
    p = p * t + 1.421_413_8;
    p = p * t - 0.284_496_72;
    p = p * t + 0.254_829_6;
    let tail = 0.5 * p * t * bell; // Φ(−|x|)
    (if x < 0.0 { tail } else { 1.0 - tail }, bell)
}

struct Forward<'a> {
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (out, &x) in self.out.iter_mut().zip(self.x) {
            *out = x * distribution(x).0;
        }
    }
}

struct Backward<'a> {
    x: &'a [f32],
    grad: &'a [f32],
    d_x: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    /// `dx = g · (Φ(x) + x · e^(−x²/2) / √(2π))`.
    #[inline(always)]
    fn run(self) {
        const INVERSE_ROOT_TAU: f32 = 0.398_942_3;
        for ((d_x, &x), &grad) in self.d_x.iter_mut().zip(self.x).zip(self.grad) {
            let (phi, bell) = distribution(x);
            *d_x = grad * (phi + x * INVERSE_ROOT_TAU * bell);
        }
    }
}
