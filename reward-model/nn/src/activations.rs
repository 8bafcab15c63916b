//! Backward passes that trade time for memory: only the inputs of the layers are kept, and what happens
//! inside a layer is computed again when its gradient is due (Chen et al. 2016, arXiv 1604.06174).
//!
//! candle has no hook for this, so that the graph is cut at every layer: with `g` the gradient of a
//! layer's output `y`, `Σ y ∘ g` has the gradients of the whole as its own.

use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};

use crate::Error;

/// What a backward pass finds of the forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activations {
    /// All of it: memory grows with length × layers × operations.
    #[default]
    Keep,
    /// The inputs of the layers; the rest is computed again, which costs one more forward pass.
    Recompute,
}

/// A model cut into layers.
pub(crate) struct Layered<E, L> {
    pub(crate) layers: usize,
    /// What the first layer takes in.
    pub(crate) embed: E,
    /// Output of the layer with this index.
    pub(crate) layer: L,
}

impl<E, L> Layered<E, L>
where
    E: Fn() -> Result<Tensor, Error>,
    L: Fn(usize, &Tensor) -> Result<Tensor, Error>,
{
    /// The value of `loss`, a scalar computed from the output of the last layer, and all gradients.
    pub(crate) fn backward(
        &self,
        activations: Activations,
        loss: impl FnOnce(&Tensor) -> Result<Tensor, Error>,
    ) -> Result<(Tensor, GradStore), Error> {
        match activations {
            Activations::Keep => {
                let mut x = (self.embed)()?;
                for layer in 0..self.layers {
                    x = (self.layer)(layer, &x)?;
                }
                let value = loss(&x)?;
                let grads = value.backward()?;
                Ok((value.detach(), grads))
            }
            Activations::Recompute => self.backward_by_layer(loss),
        }
    }

    fn backward_by_layer(
        &self,
        loss: impl FnOnce(&Tensor) -> Result<Tensor, Error>,
    ) -> Result<(Tensor, GradStore), Error> {
        let embedded = (self.embed)()?;
        let mut tracked = embedded.track_op();
        let mut inputs = vec![embedded.detach()];
        drop(embedded);
        // The first layer whose output depends on anything trained.
        let mut first_tracked = if tracked { 0 } else { self.layers };
        for layer in 0..self.layers {
            let out = (self.layer)(layer, &inputs[layer])?;
            if !tracked && out.track_op() {
                first_tracked = layer;
                tracked = true;
            }
            inputs.push(out.detach());
        }
        let embedding_tracked = tracked && first_tracked == 0;
        let top = Var::from_tensor(&inputs.pop().expect("there is at least the embedding"))?;
        let value = loss(&top)?;
        let mut grads = value.backward()?;
        let mut grad = grads.remove(&top);
        drop(top);
        for layer in (first_tracked..self.layers).rev() {
            let Some(of_output) = grad.take() else { break };
            let input = Var::from_tensor(&inputs.pop().expect("one input per layer"))?;
            let mut part = weighted((self.layer)(layer, &input)?, &of_output)?;
            grad = part.remove(&input);
            grads.extend(part)?;
        }
        if let (true, Some(of_output)) = (embedding_tracked, grad) {
            let embedded = (self.embed)()?;
            if embedded.track_op() {
                grads.extend(weighted(embedded, &of_output)?)?;
            }
        }
        Ok((value.detach(), grads))
    }
}

/// The gradients of `Σ y ∘ g`.
fn weighted(y: Tensor, g: &Tensor) -> Result<GradStore, Error> {
    let mut grads = (y * g)?.sum_all()?.backward()?;
    // Nobody asks for the gradient by `g`, which is `y` times something: it would keep the layer's whole graph.
    grads.remove(g);
    Ok(grads)
}
