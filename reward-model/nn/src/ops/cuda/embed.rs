//! Rows of an embedding table. candle's own gradient adds row after row; here all are added at once.

use candle_core::{CpuStorage, CudaStorage, CustomOp2, DType, Layout, Result, Shape, Tensor, bail};

use super::{Launch, View, on_tensors, zeros};

const NAME: &str = "embed";

/// The operation on (table, tokens): (V, D) f32 and (..) u32 give (.., D).
pub(in crate::ops) struct Embed;

impl CustomOp2 for Embed {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("{NAME} is for CUDA devices")
    }

    fn cuda_fwd(&self, s1: &CudaStorage, l1: &Layout, s2: &CudaStorage, l2: &Layout) -> Result<(CudaStorage, Shape)> {
        let (table, tokens) = (View::new(NAME, s1, l1)?, View::new(NAME, s2, l2)?);
        let (rows, width) = l1.shape().dims2()?;
        let mut dims = l2.dims().to_vec();
        dims.push(width);
        let integers = [width, rows];
        let launch = Launch::rows("embed", tokens.len, &integers, &[]);
        Ok((launch.make(&[table, tokens], tokens.len * width, DType::F32)?, dims.into()))
    }

    fn bwd(
        &self,
        table: &Tensor,
        tokens: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (shape, (rows, width)) = (table.shape().clone(), table.dims2()?);
        let [d_table] = on_tensors(NAME, [&grad.contiguous()?, tokens], |[grad, tokens]| {
            let d_table = zeros(&grad, shape.elem_count())?;
            let integers = [width, rows];
            let launch = Launch::rows("embed_backward", tokens.len, &integers, &[]);
            launch.write(&[grad, tokens], View::whole(&d_table, shape.elem_count()))?;
            Ok([(d_table, shape)])
        })?;
        Ok((Some(d_table), None))
    }
}
