//! How a forward pass sees the parameters of a model.

use candle_core::Tensor;

use crate::lora::Lora;
use crate::ops::Implementation;
use crate::{Error, Params};

/// Parameters with what decides how they take part in the graph.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a> {
    pub(crate) params: &'a Params,
    /// Adapters of the projections. With them the parameters themselves are frozen.
    pub(crate) lora: Option<&'a Lora>,
    pub(crate) ops: Implementation,
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
        let weight = self.get(&format!("{module}.weight"))?;
        let bias = format!("{module}.bias");
        let out = if self.params.contains(&bias) {
            self.ops.linear_bias(x, &weight, &self.get(&bias)?)?
        } else {
            self.ops.linear(x, &weight)?
        };
        match self.lora.and_then(|lora| lora.adapter(module)) {
            Some(adapter) => adapter.add_to(out, x, *self),
            None => Ok(out),
        }
    }
}
