//! `y = x · Wᵀ` with the weight stored (out, in), as checkpoints store it.
//!
//! candle's own `matmul` on a transposed weight is correct too; as one operation the gradient of
//! the weight is produced in the weight's own layout, without a strided addition.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::data::{slice, with_slices};
use super::gemm::{Mat, MatMut, matmul};

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
        let mut out = vec![0.0; rows * outputs];
        matmul(MatMut::new(&mut out, rows, outputs), Mat::new(x, rows, inputs), Mat::new(weight, outputs, inputs).t());
        let mut dims = l1.dims().to_vec();
        dims.pop();
        dims.push(outputs);
        Ok((CpuStorage::F32(out), Shape::from(dims)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (outputs, inputs) = weight.dims2()?;
        let grad = grad.contiguous()?;
        let (d_x, d_weight) = with_slices(NAME, [x, weight, &grad], |[x, weight, grad]| {
            let rows = x.len() / inputs;
            let grad = Mat::new(grad, rows, outputs);
            let mut d_x = vec![0.0; x.len()];
            matmul(MatMut::new(&mut d_x, rows, inputs), grad, Mat::new(weight, outputs, inputs));
            let mut d_weight = vec![0.0; weight.len()];
            matmul(MatMut::new(&mut d_weight, outputs, inputs), grad.t(), Mat::new(x, rows, inputs));
            Ok((d_x, d_weight))
        })?;
        Ok((
            Some(Tensor::from_vec(d_x, x.shape(), x.device())?),
            Some(Tensor::from_vec(d_weight, weight.shape(), x.device())?),
        ))
    }
}
