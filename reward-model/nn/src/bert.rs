//! An encoder of the BERT family (Devlin et al. 2018; MiniLM: Wang et al. 2020): learned positions,
//! attention in both directions, layer norm after each residual, GELU.
//!
//! Read from a Hugging Face directory of `config.json`, `model.safetensors` and `tokenizer.json`.
//! Deviations: no dropout; every token is of segment 0; the pooler is ignored, [`pool`] has what
//! sentence encoders use. Arithmetic is f32; files may hold f16 or bf16.

mod config;
pub mod pool;
#[cfg(test)]
mod tests;
mod tokenizer;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor};
use plaudit_event::Stream;

use crate::activations::Layered;
use crate::decoder::{CONFIG_FILE, WEIGHTS_FILE};
use crate::lora::Lora;
use crate::ops::Implementation;
use crate::weights::{Precision, Weights};
use crate::{Activations, Error, Params, init};

pub use config::Config;
use config::{LAYER_PARTS, NORM_BIAS, NORM_WEIGHT, POSITIONS, TYPES, WORDS};
pub use tokenizer::{Batch, TOKENIZER_FILE, Tokenizer};

/// Standard deviation of initial weights.
const INIT_STD: f64 = 0.02;

/// Which layers a backward pass reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trained {
    /// All of them and the embeddings.
    #[default]
    All,
    /// The last so many; the layers below and the embeddings are frozen, and no backward pass goes
    /// through them. With 0 the whole encoder is frozen.
    Last(usize),
}

/// An encoder with its parameters.
#[derive(Debug)]
pub struct Bert {
    config: Config,
    params: Params,
    implementation: Implementation,
    trained: Trained,
    lora: Option<Lora>,
    precision: Precision,
}

impl Bert {
    /// An encoder with fresh parameters on the CPU: weights normal with standard deviation 0.02, gains
    /// of the norms one, biases zero.
    ///
    /// # Errors
    /// Fails when `config` is invalid.
    pub fn init(config: &Config, stream: &mut Stream) -> Result<Self, Error> {
        config.validate()?;
        let mut params = Params::new();
        for (name, shape) in config.shapes() {
            let tensor = if shape.len() == 2 {
                init::normal(shape, INIT_STD, stream, &Device::Cpu)?
            } else if name.ends_with("weight") {
                init::ones(shape, &Device::Cpu)?
            } else {
                init::zeros(shape, &Device::Cpu)?
            };
            params.insert(name, &tensor)?;
        }
        Self::from_params(config.clone(), params)
    }

    /// An encoder over given parameters, which are converted to f32 where they are not. Names may start
    /// with `bert.`; the pooler and the heads of pre-training are dropped.
    ///
    /// # Errors
    /// Fails when `config` is invalid, or when a parameter is missing, unknown or has another shape
    /// than `config` asks for.
    pub fn from_params(config: Config, params: Params) -> Result<Self, Error> {
        config.validate()?;
        let shapes: BTreeMap<String, Vec<usize>> = config.shapes().into_iter().collect();
        let mut selected = Params::new();
        for (name, var) in params.iter() {
            let Some(plain) = config::plain_name(name) else { continue };
            if !shapes.contains_key(&plain) {
                let reason = format!("has no place for parameter `{name}` of shape {:?}", var.dims());
                return Err(Error::invalid("config", reason));
            }
            if var.dtype() == DType::F32 {
                selected.share(plain, var);
            } else {
                selected.insert(plain, &var.to_dtype(DType::F32)?)?;
            }
        }
        for (name, shape) in &shapes {
            selected.get_shaped(name, shape)?;
        }
        Ok(Self {
            config,
            params: selected,
            implementation: Implementation::default(),
            trained: Trained::default(),
            lora: None,
            precision: Precision::default(),
        })
    }

    /// Reads a directory of `config.json` and `model.safetensors`, or of several files with an
    /// [index](crate::INDEX_FILE).
    ///
    /// # Errors
    /// Fails when a file is missing or corrupt, or the two do not fit each other.
    pub fn load(dir: &Path, device: &Device) -> Result<Self, Error> {
        let path = dir.join(CONFIG_FILE);
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
        let config = Config::from_json(&text, &path)?;
        Self::from_params(config, Params::load_dir(dir, device)?)
    }

    /// The files of a directory that [`Bert::load`] reads, with the numbers stored as `dtype`; the
    /// tokenizer is not among them. Equal encoders give equal bytes.
    ///
    /// # Errors
    /// Fails when the conversion is not supported.
    pub fn files(&self, dtype: DType) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        Ok(BTreeMap::from([
            (CONFIG_FILE.to_owned(), self.config.to_json().into_bytes()),
            (WEIGHTS_FILE.to_owned(), self.params.to_dtype(dtype)?.to_bytes()?),
        ]))
    }

    /// A copy that shares no parameter with `self`, adapters included.
    ///
    /// # Errors
    /// Fails when the device is out of memory.
    pub fn try_clone(&self) -> Result<Self, Error> {
        let lora = self.lora.as_ref().map(Lora::try_clone).transpose()?;
        Ok(Self { config: self.config.clone(), params: self.params.try_clone()?, lora, ..*self })
    }

    /// A copy for as long as `self` is trained: what training changes is copied, the rest is shared.
    ///
    /// # Errors
    /// Fails when the device is out of memory.
    pub fn snapshot(&self) -> Result<Self, Error> {
        let prefixes = if self.lora.is_some() { Vec::new() } else { self.trained_prefixes() };
        let params = self.params.copy_where(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))?;
        let lora = self.lora.as_ref().map(Lora::try_clone).transpose()?;
        Ok(Self { config: self.config.clone(), params, lora, ..*self })
    }

    /// The same encoder, sharing its parameters, on another implementation of the operations.
    #[must_use]
    pub fn with_implementation(self, implementation: Implementation) -> Self {
        Self { implementation, ..self }
    }

    /// The same encoder, computed in another precision.
    ///
    /// # Errors
    /// Fails for bf16 where the parameters are not on a CUDA device.
    pub fn with_precision(self, precision: Precision) -> Result<Self, Error> {
        precision.check(&self.device())?;
        Ok(Self { precision, ..self })
    }

    /// A copy on `device`, adapters included.
    ///
    /// # Errors
    /// Fails when the device is out of memory.
    pub fn to_device(&self, device: &Device) -> Result<Self, Error> {
        self.precision.check(device)?;
        let lora = self.lora.as_ref().map(|lora| lora.to_device(device)).transpose()?;
        Ok(Self { config: self.config.clone(), params: self.params.to_device(device)?, lora, ..*self })
    }

    /// Where the parameters live.
    #[must_use]
    pub fn device(&self) -> Device {
        self.params.device()
    }

    /// The same encoder with other layers trained.
    ///
    /// # Errors
    /// Fails when there are fewer layers.
    pub fn with_trained(self, trained: Trained) -> Result<Self, Error> {
        if let Trained::Last(count) = trained
            && count > self.config.layers
        {
            let reason = format!("must be at most {} layers, got {count}", self.config.layers);
            return Err(Error::invalid("trained", reason));
        }
        Ok(Self { trained, ..self })
    }

    /// The same encoder with adapters: from now on only they are trained, in the layers that
    /// [`Bert::with_trained`] chose.
    ///
    /// # Errors
    /// Fails when the adapters do not fit.
    pub fn with_lora(self, lora: &Lora) -> Result<Self, Error> {
        let lora = Lora::from_params(&self.params, lora.config().clone(), lora.params().clone())?;
        Ok(Self { lora: Some(lora), ..self })
    }

    /// A copy with the adapters added to the weights; without adapters just a copy.
    ///
    /// # Errors
    /// Fails when the device is out of memory.
    pub fn merged(&self) -> Result<Self, Error> {
        let Some(lora) = &self.lora else { return self.try_clone() };
        let params = lora.merged(&self.params)?;
        Ok(Self { config: self.config.clone(), params, lora: None, ..*self })
    }

    /// Shape of the model.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The parameters, without those of adapters; writing to them changes the encoder.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Names of the parameters that [`Bert::with_trained`] leaves trained start with one of these.
    #[must_use]
    pub fn trained_prefixes(&self) -> Vec<String> {
        let layer = |index| config::layer_prefix(index);
        match self.trained {
            Trained::All => vec![String::new()],
            Trained::Last(count) => (self.config.layers - count..self.config.layers).map(layer).collect(),
        }
    }

    /// Hidden states of every token: (B, T) u32 with the first `lengths[b]` tokens of each row real gives
    /// (B, T, D). What stands in the padding changes nothing; its rows hold numbers without meaning.
    /// Differentiable.
    ///
    /// # Errors
    /// Fails when T is 0 or above `max_positions`, a length is not in 1..=T, or a token is outside the
    /// vocabulary.
    pub fn hidden(&self, tokens: &Tensor, lengths: &[usize]) -> Result<Tensor, Error> {
        self.states(tokens, lengths, true)
    }

    /// [`Bert::hidden`] without a graph for the backward pass, which saves its memory.
    ///
    /// # Errors
    /// As [`Bert::hidden`].
    pub fn hidden_detached(&self, tokens: &Tensor, lengths: &[usize]) -> Result<Tensor, Error> {
        self.states(tokens, lengths, false)
    }

    /// Value and gradients of `loss`, a scalar computed from the hidden states (B, T, D), with the
    /// activations kept or recomputed. Gradients of other variables that `loss` uses are among them.
    ///
    /// # Errors
    /// As [`Bert::hidden`], and when `loss` fails.
    pub fn backward(
        &self,
        tokens: &Tensor,
        lengths: &[usize],
        activations: Activations,
        loss: impl FnOnce(&Tensor) -> Result<Tensor, Error>,
    ) -> Result<(Tensor, GradStore), Error> {
        let lengths = self.check(tokens, lengths)?;
        let layered = Layered {
            layers: self.config.layers,
            embed: || self.embed(tokens, self.weights(self.trained == Trained::All)),
            layer: |index, x: &Tensor| self.layer(index, x, &lengths, self.weights(self.is_trained(index))),
        };
        layered.backward(activations, |x| loss(&x.to_dtype(DType::F32)?))
    }

    fn states(&self, tokens: &Tensor, lengths: &[usize], tracked: bool) -> Result<Tensor, Error> {
        let lengths = self.check(tokens, lengths)?;
        let mut x = self.embed(tokens, self.weights(tracked && self.trained == Trained::All))?;
        for index in 0..self.config.layers {
            let weights = self.weights(tracked && self.is_trained(index));
            x = self.layer(index, &x, &lengths, weights)?;
        }
        Ok(x.to_dtype(DType::F32)?)
    }

    fn is_trained(&self, index: usize) -> bool {
        match self.trained {
            Trained::All => true,
            Trained::Last(count) => index + count >= self.config.layers,
        }
    }

    fn weights(&self, tracked: bool) -> Weights<'_> {
        Weights {
            params: &self.params,
            lora: self.lora.as_ref(),
            ops: self.implementation,
            precision: self.precision,
            tracked,
        }
    }

    fn check(&self, tokens: &Tensor, lengths: &[usize]) -> Result<Arc<[usize]>, Error> {
        let (batch, len) = tokens.dims2()?;
        if len == 0 || len > self.config.max_positions {
            let most = self.config.max_positions;
            let reason = format!("must hold 1 to {most} positions, got {len}");
            return Err(Error::invalid("tokens", reason));
        }
        pool::check_lengths(lengths, batch, len)?;
        Ok(lengths.into())
    }

    fn embed(&self, tokens: &Tensor, weights: Weights<'_>) -> Result<Tensor, Error> {
        let len = tokens.dim(1)?;
        let words = weights.ops.embed(&weights.get(WORDS)?, tokens)?;
        let positions = weights.get(POSITIONS)?.narrow(0, 0, len)?;
        let places = positions.broadcast_add(&weights.get(TYPES)?.narrow(0, 0, 1)?)?;
        self.norm(&self.precision.cast(&words.broadcast_add(&places)?)?, NORM_WEIGHT, NORM_BIAS, weights)
    }

    fn layer(&self, index: usize, x: &Tensor, lengths: &Arc<[usize]>, weights: Weights<'_>) -> Result<Tensor, Error> {
        let [query, key, value, attended, attended_norm, up, down, down_norm] =
            LAYER_PARTS.map(|part| format!("{}{part}", config::layer_prefix(index)));
        let q = weights.project(&query, x)?;
        let k = weights.project(&key, x)?;
        let v = weights.project(&value, x)?;
        let out = weights.ops.attention_both([&q, &k, &v], self.config.heads(), lengths)?;
        let x = (x + weights.project(&attended, &out)?)?;
        let x = self.norm(&x, &format!("{attended_norm}.weight"), &format!("{attended_norm}.bias"), weights)?;
        let inner = weights.ops.gelu(&weights.project(&up, &x)?)?;
        let x = (&x + weights.project(&down, &inner)?)?;
        self.norm(&x, &format!("{down_norm}.weight"), &format!("{down_norm}.bias"), weights)
    }

    fn norm(&self, x: &Tensor, weight: &str, bias: &str, weights: Weights<'_>) -> Result<Tensor, Error> {
        let (weight, bias) = (weights.get(weight)?, weights.get(bias)?);
        Ok(weights.ops.layer_norm(x, &weight, &bias, self.config.norm_eps)?)
    }
}
