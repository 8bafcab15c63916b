//! `y = x · Wᵀ` with the weight stored (out, in), as checkpoints store it.
//!
//! candle's own `matmul` on a transposed weight is correct too; as one operation the gradient of
//! the weight is produced in the weight's own layout, without a strided addition.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

#[cfg(feature = "cuda")]
use super::cuda;
use super::data::{slice, with_slices};
use super::gemm::{Mat, MatMut, matmul_add, matmul_new};
use super::simd::{Kernel, vectorize};

const NAME: &str = "linear";

/// The fused operation on (x, weight): (.., I) and (O, I) give (.., O).
pub(super) struct Linear;

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(NAME, s1, l1)?;
        let weight = slice(NAME, s2, l2)?;
        let (outputs, inputs) = l2.shape().dims2()?;
        let rows = x.len() / inputs;
        let out = matmul_new(Mat::new(x, rows, inputs), Mat::new(weight, outputs, inputs).t());
        Ok((CpuStorage::F32(out), output_shape(l1, outputs)))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, s1: &CudaStorage, l1: &Layout, s2: &CudaStorage, l2: &Layout) -> Result<(CudaStorage, Shape)> {
        let outputs = l2.shape().dims2()?.0;
        Ok((cuda::linear((s1, l1), (s2, l2), None)?, output_shape(l1, outputs)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        backward(x, weight, &grad.contiguous()?)
    }
}

/// The fused operation on (x, weight, bias): (.., I), (O, I) and (O) give (.., O).
pub(super) struct LinearBias;

impl CustomOp3 for LinearBias {
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
        let (outputs, inputs) = l2.shape().dims2()?;
        let rows = x.len() / inputs;
        let mut out = bias.repeat(rows);
        matmul_add(
            MatMut::new(&mut out, rows, outputs),
            Mat::new(x, rows, inputs),
            Mat::new(weight, outputs, inputs).t(),
        );
        Ok((CpuStorage::F32(out), output_shape(l1, outputs)))
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
        let outputs = l2.shape().dims2()?.0;
        let bias = cuda::View::new(NAME, s3, l3)?;
        Ok((cuda::linear((s1, l1), (s2, l2), Some(bias))?, output_shape(l1, outputs)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            let needed = [x.track_op(), weight.track_op(), bias.track_op()];
            return Ok(cuda::linear_backward(x, weight, grad, needed)?.into());
        }
        let grad = grad.contiguous()?;
        let (d_x, d_weight) = backward(x, weight, &grad)?;
        if !bias.track_op() {
            return Ok((d_x, d_weight, None));
        }
        let mut d_bias = vec![0.0; bias.elem_count()];
        with_slices(NAME, [&grad], |[grad]| {
            vectorize(AddRows { rows: grad, total: &mut d_bias });
            Ok(())
        })?;
        Ok((d_x, d_weight, Some(Tensor::from_vec(d_bias, bias.shape(), x.device())?)))
    }
}

fn output_shape(x: &Layout, outputs: usize) -> Shape {
    let mut dims = x.dims().to_vec();
    dims.pop();
    dims.push(outputs);
    Shape::from(dims)
}

/// `dx = g · W` and `dW = gᵀ · x`, each only where someone asks for it: frozen weights cost nothing.
fn backward(x: &Tensor, weight: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        let [d_x, d_weight, _] = cuda::linear_backward(x, weight, grad, [x.track_op(), weight.track_op(), false])?;
        return Ok((d_x, d_weight));
    }
    let (outputs, inputs) = weight.dims2()?;
    let (need_x, need_weight) = (x.track_op(), weight.track_op());
    let (d_x, d_weight) = with_slices(NAME, [x, weight, grad], |[x, weight, grad]| {
        let rows = x.len() / inputs;
        let grad = Mat::new(grad, rows, outputs);
        let d_x = need_x.then(|| matmul_new(grad, Mat::new(weight, outputs, inputs)));
        let d_weight = need_weight.then(|| matmul_new(grad.t(), Mat::new(x, rows, inputs)));
        Ok((d_x, d_weight))
    })?;
    let like = |values: Option<Vec<f32>>, of: &Tensor| {
        values.map(|values| Tensor::from_vec(values, of.shape(), of.device())).transpose()
    };
    Ok((like(d_x, x)?, like(d_weight, weight)?))
}

struct AddRows<'a> {
    rows: &'a [f32],
    total: &'a mut [f32],
}

impl Kernel for AddRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for row in self.rows.chunks_exact(self.total.len()) {
            for (total, &value) in self.total.iter_mut().zip(row) {
                *total += value;
            }
        }
    }
}
