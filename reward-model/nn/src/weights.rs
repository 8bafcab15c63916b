//! How a forward pass sees the parameters of a model.

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::lora::Lora;
use crate::ops::Implementation;
use crate::{Error, Params};

/// What projections and activations are computed in. Parameters, norms, sums within a row, pooled states and losses
/// are f32 either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// bfloat16, on CUDA devices: half the memory, on tensor cores.
    Bf16,
}

impl Precision {
    /// # Errors
    /// Fails for bf16 on a device that is not CUDA.
    pub(crate) fn check(self, device: &Device) -> Result<(), Error> {
        if self == Self::Bf16 && !device.is_cuda() {
            return Err(Error::invalid("precision", "must be f32 on the CPU, got bf16"));
        }
        Ok(())
    }

    fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
        }
    }

    /// `x` in this precision.
    pub(crate) fn cast(self, x: &Tensor) -> Result<Tensor, Error> {
        Ok(x.to_dtype(self.dtype())?)
    }
}

/// Parameters with what decides how they take part in the graph.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a> {
    pub(crate) params: &'a Params,
    /// Adapters of the projections. With them the parameters themselves are frozen.
    pub(crate) lora: Option<&'a Lora>,
    pub(crate) ops: Implementation,
    pub(crate) precision: Precision,
    /// Whether operations are recorded for a backward pass.
    pub(crate) tracked: bool,
}

impl Weights<'_> {
    /// The parameter called `name`, detached where it is not trained.
    pub(crate) fn get(&self, name: &str) -> Result<Tensor, Error> {
        let weight = self.params.get(name)?.as_tensor();
        let trained = self.tracked && self.lora.is_none();
        Ok(if trained { weight.clone() } else { weight.detach() })
    }

    /// `x · Wᵀ`, plus the bias and the adapter where `module` has them: (.., I) gives (.., O).
    pub(crate) fn project(&self, module: &str, x: &Tensor) -> Result<Tensor, Error> {
        let weight = self.precision.cast(&self.get(&format!("{module}.weight"))?)?;
        let bias = format!("{module}.bias");
        let out = if self.params.contains(&bias) {
            self.ops.linear_bias(x, &weight, &self.precision.cast(&self.get(&bias)?)?)?
        } else {
            self.ops.linear(x, &weight)?
        };
        match self.lora.and_then(|lora| lora.adapter(module)) {
            Some(adapter) => adapter.add_to(out, x, *self),
            None => Ok(out),
        }
    }
}
