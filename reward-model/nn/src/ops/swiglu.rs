//! SwiGLU: `silu(gate) · up` (Shazeer 2020, "GLU variants improve transformer", eq. 6).

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use super::cuda;
use super::data::{slice, with_slices};
use super::simd::{Kernel, sigmoid, vectorize};

/// Elements one rayon task works on.
const BLOCK: usize = 16 * 1024;

/// The fused operation on (gate, up), both of one shape.
pub(super) struct SwiGlu;

const NAME: &str = "swiglu";

impl CustomOp2 for SwiGlu {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let gate = slice(NAME, s1, l1)?;
        let up = slice(NAME, s2, l2)?;
        let mut out = vec![0.0; gate.len()];
        forward(gate, up, &mut out);
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, s1: &CudaStorage, l1: &Layout, s2: &CudaStorage, l2: &Layout) -> Result<(CudaStorage, Shape)> {
        let (gate, up) = (cuda::View::new(NAME, s1, l1)?, cuda::View::new(NAME, s2, l2)?);
        Ok((cuda::swiglu(gate, up)?, l1.shape().clone()))
    }

    fn bwd(
        &self,
        gate: &Tensor,
        up: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        #[cfg(feature = "cuda")]
        if gate.device().is_cuda() {
            let [d_gate, d_up] = cuda::swiglu_backward(NAME, gate, up, grad)?;
            return Ok((Some(d_gate), Some(d_up)));
        }
        let grad = grad.contiguous()?;
        let (d_gate, d_up) = with_slices(NAME, [gate, up, &grad], |[gate, up, grad]| {
            let mut d_gate = vec![0.0; gate.len()];
            let mut d_up = vec![0.0; gate.len()];
            d_gate
                .par_chunks_mut(BLOCK)
                .zip(d_up.par_chunks_mut(BLOCK))
                .zip(gate.par_chunks(BLOCK))
                .zip(up.par_chunks(BLOCK))
                .zip(grad.par_chunks(BLOCK))
                .for_each(|((((d_gate, d_up), gate), up), grad)| {
                    vectorize(Backward { gate, up, grad, d_gate, d_up });
                });
            Ok((d_gate, d_up))
        })?;
        let shape = gate.shape();
        let device = gate.device();
        Ok((Some(Tensor::from_vec(d_gate, shape, device)?), Some(Tensor::from_vec(d_up, shape, device)?)))
    }
}

/// `out = silu(gate) · up`, over slices of one length.
pub(crate) fn forward(gate: &[f32], up: &[f32], out: &mut [f32]) {
    out.par_chunks_mut(BLOCK)
        .zip(gate.par_chunks(BLOCK))
        .zip(up.par_chunks(BLOCK))
        .for_each(|((out, gate), up)| vectorize(Forward { gate, up, out }));
}

/// One block of the forward pass.
pub(crate) struct Forward<'a> {
    /// Input of the gate.
    pub(crate) gate: &'a [f32],
    /// What the gate multiplies.
    pub(crate) up: &'a [f32],
    /// Written.
    pub(crate) out: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for ((out, &gate), &up) in self.out.iter_mut().zip(self.gate).zip(self.up) {
            *out = gate * sigmoid(gate) * up;
        }
    }
}

struct Backward<'a> {
    gate: &'a [f32],
    up: &'a [f32],
    grad: &'a [f32],
    d_gate: &'a mut [f32],
    d_up: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let inputs = self.gate.iter().zip(self.up).zip(self.grad);
        let outputs = self.d_gate.iter_mut().zip(self.d_up);
        for ((d_gate, d_up), ((&gate, &up), &grad)) in outputs.zip(inputs) {
            let sigma = sigmoid(gate);
            *d_gate = grad * up * sigma * (1.0 + gate * (1.0 - sigma));
            *d_up = grad * gate * sigma;
        }
    }
}
