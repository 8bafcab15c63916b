//! AdamW with a state that can be saved, and clipping by the global norm.

mod accumulate;
mod fused;

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor, Var};
use serde::{Deserialize, Serialize};

use crate::{Error, Params};

pub use accumulate::Accumulator;

/// Numbers of AdamW (Loshchilov & Hutter, arXiv 1711.05101, algorithm 2).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWConfig {
    /// Learning rate α, at least 0.
    pub lr: f64,
    /// Decay of the first moment, in \[0, 1).
    pub beta1: f64,
    /// Decay of the second moment, in \[0, 1).
    pub beta2: f64,
    /// Added to the root of the second moment, above 0 also in single precision: it keeps 0/0 from elements whose
    /// gradient was never anything but 0.
    pub eps: f64,
    /// Decoupled weight decay λ, at least 0.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 }
    }
}

/// Other numbers for the parameters whose name contains `pattern`; the first group that fits counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Part of the name.
    pub pattern: String,
    /// Multiplies the learning rate, at least 0.
    pub lr_scale: f64,
    /// Replaces the weight decay, at least 0.
    pub weight_decay: f64,
    /// Leaves elements with a gradient of exactly 0 alone, moments included. For embedding tables, where a step
    /// touches few rows and the others must neither drift nor decay.
    #[serde(default)]
    pub sparse: bool,
}

/// One step's numbers for one parameter.
#[derive(Debug, Clone, Copy)]
struct Update {
    lr: f64,
    decay: f64,
    beta1: f64,
    beta2: f64,
    eps: f64,
    /// `1 − β₁ᵗ` and `1 − β₂ᵗ`.
    bias1: f64,
    bias2: f64,
    sparse: bool,
}

struct Slot {
    var: Var,
    first: Tensor,
    second: Tensor,
    lr_scale: f64,
    weight_decay: f64,
    sparse: bool,
}

/// `θ ← θ·(1 − ηλ) − η·m̂/(√v̂ + ε)` with bias-corrected moments m̂ and v̂.
///
/// On the CPU and on CUDA devices a parameter is updated in place; elsewhere by tensor operations.
pub struct AdamW {
    config: AdamWConfig,
    slots: BTreeMap<String, Slot>,
    step: u64,
}

impl AdamW {
    /// An optimiser of all of `params`, with moments of 0.
    ///
    /// # Errors
    /// Fails when a number of `config` or of a group is outside its range or the device is out of memory.
    pub fn new(params: &Params, config: AdamWConfig, groups: &[Group]) -> Result<Self, Error> {
        check(&config, groups)?;
        let mut slots = BTreeMap::new();
        for (name, var) in params.iter() {
            let group = groups.iter().find(|group| name.contains(&group.pattern));
            let slot = Slot {
                var: var.clone(),
                first: var.zeros_like()?,
                second: var.zeros_like()?,
                lr_scale: group.map_or(1.0, |group| group.lr_scale),
                weight_decay: group.map_or(config.weight_decay, |group| group.weight_decay),
                sparse: group.is_some_and(|group| group.sparse),
            };
            slots.insert(name.to_owned(), slot);
        }
        Ok(Self { config, slots, step: 0 })
    }

    /// How many steps were made.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.step
    }

    /// One step along `grads` with learning rate `lr × factor`; parameters without a gradient stay as they are.
    ///
    /// # Errors
    /// Fails when a gradient has another shape or type than its parameter.
    pub fn step(&mut self, grads: &GradStore, factor: f64) -> Result<(), Error> {
        self.step += 1;
        let t = self.step as f64;
        let AdamWConfig { beta1, beta2, eps, .. } = self.config;
        for slot in self.slots.values_mut() {
            let Some(grad) = grads.get(&slot.var) else {
                continue;
            };
            let lr = self.config.lr * factor * slot.lr_scale;
            let update = Update {
                lr,
                decay: 1.0 - lr * slot.weight_decay,
                beta1,
                beta2,
                eps,
                bias1: 1.0 - beta1.powf(t),
                bias2: 1.0 - beta2.powf(t),
                sparse: slot.sparse,
            };
            let grad = grad.contiguous()?;
            let device = slot.var.device();
            let has_fused = (device.is_cpu() || device.is_cuda()) && slot.var.dtype() == DType::F32;
            // Sparse updates need the gradient next to the moments; tensor operations do that.
            let dense = !slot.sparse && slot.var.is_contiguous();
            if has_fused && dense {
                fused::apply(slot, &grad, update)?;
            } else {
                composed(slot, &grad, update)?;
            }
        }
        Ok(())
    }

    /// The moments as named tensors, `m.NAME` and `v.NAME`, together with [`AdamW::steps`] the whole state.
    ///
    /// # Errors
    /// Fails when the device is out of memory.
    pub fn state(&self) -> Result<Params, Error> {
        let mut state = Params::new();
        for (name, slot) in &self.slots {
            state.insert(format!("m.{name}"), &slot.first)?;
            state.insert(format!("v.{name}"), &slot.second)?;
        }
        Ok(state)
    }

    /// Takes over a state that [`AdamW::state`] gave.
    ///
    /// # Errors
    /// Fails when a moment is missing or has another shape than its parameter; nothing has changed then.
    pub fn restore(&mut self, state: &Params, steps: u64) -> Result<(), Error> {
        let mut moments = Vec::with_capacity(self.slots.len());
        for (name, slot) in &self.slots {
            let first = state.get_shaped(&format!("m.{name}"), slot.var.dims())?;
            let second = state.get_shaped(&format!("v.{name}"), slot.var.dims())?;
            moments.push((first.copy()?, second.copy()?));
        }
        for (slot, (first, second)) in self.slots.values_mut().zip(moments) {
            slot.first = first;
            slot.second = second;
        }
        self.step = steps;
        Ok(())
    }
}

/// Scales all gradients of `params` so that their common Euclidean norm is at most `max_norm`, and returns the
/// norm before. A norm that is not finite scales them to 0, so that one bad batch cannot destroy the weights.
///
/// # Errors
/// Fails when a gradient cannot be read.
pub fn clip_grad_norm(grads: &mut GradStore, params: &Params, max_norm: f64) -> Result<f64, Error> {
    let mut squares = Vec::new();
    for (_, var) in params.iter() {
        if let Some(grad) = grads.get(var) {
            squares.push(grad.to_dtype(DType::F32)?.sqr()?.sum_all()?);
        }
    }
    if squares.is_empty() {
        return Ok(0.0);
    }
    // Read at once: every read waits for the device.
    let squares = Tensor::stack(&squares, 0)?.to_vec1::<f32>()?;
    let norm = squares.into_iter().map(f64::from).sum::<f64>().sqrt();
    if norm <= max_norm {
        return Ok(norm);
    }
    for (_, var) in params.iter() {
        if let Some(grad) = grads.remove(var) {
            let scaled = if norm.is_finite() { (grad * (max_norm / norm))? } else { grad.zeros_like()? };
            grads.insert(var, scaled);
        }
    }
    Ok(norm)
}

fn check(config: &AdamWConfig, groups: &[Group]) -> Result<(), Error> {
    let at_least_zero = |field, value: f64, of: &str| {
        if value.is_finite() && value >= 0.0 {
            Ok(())
        } else {
            let reason = format!("{of}must be finite and at least 0, got {value}");
            Err(Error::invalid(field, reason))
        }
    };
    at_least_zero("lr", config.lr, "")?;
    at_least_zero("weight_decay", config.weight_decay, "")?;
    for group in groups {
        let of = format!("of group `{}` ", group.pattern);
        at_least_zero("lr_scale", group.lr_scale, &of)?;
        at_least_zero("weight_decay", group.weight_decay, &of)?;
    }
    let smallest = f64::from(f32::MIN_POSITIVE);
    if !(config.eps.is_finite() && config.eps >= smallest) {
        let reason = format!("must be finite and at least {smallest:e}, got {}", config.eps);
        return Err(Error::invalid("eps", reason));
    }
    for (field, value) in [("beta1", config.beta1), ("beta2", config.beta2)] {
        if !(0.0..1.0).contains(&value) {
            let reason = format!("must be at least 0 and below 1, got {value}");
            return Err(Error::invalid(field, reason));
        }
    }
    Ok(())
}

fn composed(slot: &mut Slot, grad: &Tensor, update: Update) -> Result<(), Error> {
    let Update { beta1, beta2, .. } = update;
    let theta = slot.var.as_tensor();
    let first = ((&slot.first * beta1)? + (grad * (1.0 - beta1))?)?;
    let second = ((&slot.second * beta2)? + (grad.sqr()? * (1.0 - beta2))?)?;
    let root = ((&second / update.bias2)?.sqrt()? + update.eps)?;
    let change = ((&first * (update.lr / update.bias1))? / root)?;
    let next = ((theta * update.decay)? - change)?;
    if update.sparse {
        let touched = grad.ne(0.0)?;
        slot.first = touched.where_cond(&first, &slot.first)?;
        slot.second = touched.where_cond(&second, &slot.second)?;
        slot.var.set(&touched.where_cond(&next, theta)?)?;
    } else {
        slot.first = first.detach();
        slot.second = second.detach();
        slot.var.set(&next)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
