//! A Llama-family decoder: RMSNorm, causal grouped-query attention with rotary positions, SwiGLU.
//!
//! Parameters carry the names and layouts of Hugging Face checkpoints, so that a directory of
//! `config.json` and `model.safetensors` is the format on disk. Arithmetic is f32; files may hold
//! f16 or bf16.

mod config;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::{D, DType, Device, Tensor};
use plaudit_event::Stream;

use crate::ops::Implementation;
use crate::ops::rotary::Rotary;
use crate::{Error, Params, init};

pub use config::Config;
pub(crate) use config::{
    DOWN_PROJ, EMBEDDING, FFN_NORM, FINAL_NORM, GATE_PROJ, HEAD, INPUT_NORM, K_PROJ, O_PROJ, Q_PROJ, UP_PROJ, V_PROJ,
    layer_name,
};

/// Name of the file with the shape of the model.
pub const CONFIG_FILE: &str = "config.json";
/// Name of the file with the parameters.
pub const WEIGHTS_FILE: &str = "model.safetensors";

/// Standard deviation of initial weights.
const INIT_STD: f64 = 0.02;

/// A decoder with its parameters.
#[derive(Debug)]
pub struct Decoder {
    config: Config,
    params: Params,
    rotary: Arc<Rotary>,
    implementation: Implementation,
}

/// Whether operations are recorded for a backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gradients {
    Tracked,
    Off,
}

impl Decoder {
    /// A decoder with fresh parameters on the CPU.
    ///
    /// Weights are normal with standard deviation 0.02; those that write to the residual stream are
    /// divided by `sqrt(2 · layers)` so that its variance does not grow with depth (Radford et al.
    /// 2019, section 2.3). Gains of the norms are one.
    ///
    /// # Errors
    /// Fails when `config` is invalid.
    pub fn init(config: &Config, stream: &mut Stream) -> Result<Self, Error> {
        config.validate()?;
        let residual_std = INIT_STD / (2.0 * config.layers as f64).sqrt();
        let mut params = Params::new();
        for (name, shape) in config.shapes() {
            let tensor = if shape.len() == 1 {
                init::ones(shape, &Device::Cpu)?
            } else if name.contains(O_PROJ) || name.contains(DOWN_PROJ) {
                init::normal(shape, residual_std, stream, &Device::Cpu)?
            } else {
                init::normal(shape, INIT_STD, stream, &Device::Cpu)?
            };
            params.insert(name, &tensor)?;
        }
        Self::from_params(config.clone(), params)
    }

    /// A decoder over given parameters, which are converted to f32 where they are not.
    ///
    /// # Errors
    /// Fails when `config` is invalid, or when a parameter is missing, unknown or has another shape
    /// than `config` asks for.
    pub fn from_params(config: Config, params: Params) -> Result<Self, Error> {
        config.validate()?;
        let shapes: BTreeMap<String, Vec<usize>> = config.shapes().into_iter().collect();
        for (name, shape) in &shapes {
            params.get_shaped(name, shape)?;
        }
        let params = select(params, &config, &shapes)?;
        let heads = config.heads();
        let rotary = Rotary::new(config.rope_theta, heads.head_dim, config.max_positions);
        Ok(Self { config, params, rotary: Arc::new(rotary), implementation: Implementation::default() })
    }

    /// Reads a directory of [`CONFIG_FILE`] and [`WEIGHTS_FILE`].
    ///
    /// # Errors
    /// Fails when a file is missing or corrupt, or the two do not fit each other.
    pub fn load(dir: &Path, device: &Device) -> Result<Self, Error> {
        let path = dir.join(CONFIG_FILE);
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
        let config = Config::from_json(&text, &path)?;
        let params = Params::load(&dir.join(WEIGHTS_FILE), device)?;
        Self::from_params(config, params)
    }

    /// The files of a directory that [`Decoder::load`] reads, with the numbers stored as `dtype`
    /// (f32, or f16 for half the size). Equal decoders give equal bytes.
    ///
    /// # Errors
    /// Fails when the conversion is not supported.
    pub fn files(&self, dtype: DType) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        let weights = self.params.to_dtype(dtype)?.to_bytes()?;
        Ok(BTreeMap::from([
            (CONFIG_FILE.to_owned(), self.config.to_json().into_bytes()),
            (WEIGHTS_FILE.to_owned(), weights),
        ]))
    }

    /// Writes [`Decoder::files`] to `dir`, which must exist. Not atomic: what must survive a crash
    /// belongs into a checkpoint.
    ///
    /// # Errors
    /// Fails when a file cannot be written.
    pub fn save(&self, dir: &Path, dtype: DType) -> Result<(), Error> {
        for (name, bytes) in self.files(dtype)? {
            let path = dir.join(name);
            std::fs::write(&path, bytes).map_err(Error::io(&path))?;
        }
        Ok(())
    }

    /// A copy that shares no parameter with `self`.
    ///
    /// # Errors
    /// Fails when the device is out of memory.
    pub fn try_clone(&self) -> Result<Self, Error> {
        Ok(Self {
            config: self.config.clone(),
            params: self.params.try_clone()?,
            rotary: Arc::clone(&self.rotary),
            implementation: self.implementation,
        })
    }

    /// The same decoder, sharing its parameters, on another implementation of the operations.
    #[must_use]
    pub fn with_implementation(mut self, implementation: Implementation) -> Self {
        self.implementation = implementation;
        self
    }

    /// Shape of the model.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The parameters; writing to them changes the decoder.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }

    pub(crate) fn rotary(&self) -> &Arc<Rotary> {
        &self.rotary
    }

    /// Where the parameters live.
    #[must_use]
    pub fn device(&self) -> Device {
        self.params.iter().next().map_or(Device::Cpu, |(_, var)| var.device().clone())
    }

    /// Logits of the next token at every position: (B, T) u32, padded on the right with any token,
    /// gives (B, T, V). Differentiable.
    ///
    /// # Errors
    /// Fails when T is 0 or above `max_positions`, or a token is outside the vocabulary.
    pub fn forward(&self, tokens: &Tensor) -> Result<Tensor, Error> {
        self.logits(tokens, Gradients::Tracked)
    }

    /// [`Decoder::forward`] without a graph for the backward pass, which saves its memory.
    ///
    /// # Errors
    /// As [`Decoder::forward`].
    pub fn forward_detached(&self, tokens: &Tensor) -> Result<Tensor, Error> {
        self.logits(tokens, Gradients::Off)
    }

    /// `log π(tokens[t+1] | tokens[..=t])` under `softmax(logits / temperature)`: (B, T) gives
    /// (B, T−1). Positions in the padding hold numbers without meaning: mask them. Differentiable.
    ///
    /// # Errors
    /// As [`Decoder::forward`], and when T is 1 or `temperature` is not above 0.
    pub fn token_logprobs(&self, tokens: &Tensor, temperature: f64) -> Result<Tensor, Error> {
        self.logprobs(tokens, temperature, Gradients::Tracked)
    }

    /// [`Decoder::token_logprobs`] without a graph for the backward pass.
    ///
    /// # Errors
    /// As [`Decoder::token_logprobs`].
    pub fn token_logprobs_detached(&self, tokens: &Tensor, temperature: f64) -> Result<Tensor, Error> {
        self.logprobs(tokens, temperature, Gradients::Off)
    }

    fn logprobs(&self, tokens: &Tensor, temperature: f64, gradients: Gradients) -> Result<Tensor, Error> {
        if !(temperature.is_finite() && temperature > 0.0) {
            let reason = format!("must be above 0, got {temperature}");
            return Err(Error::invalid("temperature", reason));
        }
        let (_, len) = tokens.dims2()?;
        if len < 2 {
            return Err(Error::invalid("tokens", "must hold at least 2 positions"));
        }
        // The last position predicts nothing. It gets an arbitrary target and is cut off after the
        // reduction over the vocabulary, where cutting is cheap.
        let targets = Tensor::cat(&[tokens.narrow(1, 1, len - 1)?, tokens.narrow(1, 0, 1)?], 1)?;
        let logits = self.logits(tokens, gradients)?;
        let logprobs = self.implementation.token_logprobs(&logits, &targets, temperature)?;
        Ok(logprobs.narrow(D::Minus1, 0, len - 1)?)
    }

    fn logits(&self, tokens: &Tensor, gradients: Gradients) -> Result<Tensor, Error> {
        let (batch, len) = tokens.dims2()?;
        if len == 0 || len > self.config.max_positions {
            let most = self.config.max_positions;
            let reason = format!("must hold 1 to {most} positions, got {len}");
            return Err(Error::invalid("tokens", reason));
        }
        let ops = self.implementation;
        let eps = self.config.norm_eps;
        let embedding = self.weight(EMBEDDING, gradients)?;
        let mut x = embedding.index_select(&tokens.flatten_all()?, 0)?.reshape((batch, len, self.config.hidden))?;
        for layer in 0..self.config.layers {
            let weight = |part| self.weight(&layer_name(layer, part), gradients);
            let normed = ops.rms_norm(&x, &weight(INPUT_NORM)?, eps)?;
            let q = ops.linear(&normed, &weight(Q_PROJ)?)?;
            let k = ops.linear(&normed, &weight(K_PROJ)?)?;
            let v = ops.linear(&normed, &weight(V_PROJ)?)?;
            let attended = ops.attention([&q, &k, &v], self.config.heads(), &self.rotary)?;
            x = (x + ops.linear(&attended, &weight(O_PROJ)?)?)?;
            let normed = ops.rms_norm(&x, &weight(FFN_NORM)?, eps)?;
            let gate = ops.linear(&normed, &weight(GATE_PROJ)?)?;
            let up = ops.linear(&normed, &weight(UP_PROJ)?)?;
            x = (x + ops.linear(&ops.swiglu(&gate, &up)?, &weight(DOWN_PROJ)?)?)?;
        }
        let normed = ops.rms_norm(&x, &self.weight(FINAL_NORM, gradients)?, eps)?;
        let head = if self.config.tied { embedding } else { self.weight(HEAD, gradients)? };
        Ok(ops.linear(&normed, &head)?)
    }

    fn weight(&self, name: &str, gradients: Gradients) -> Result<Tensor, Error> {
        let weight = self.params.get(name)?.as_tensor();
        Ok(match gradients {
            Gradients::Tracked => weight.clone(),
            Gradients::Off => weight.detach(),
        })
    }
}

/// Drops what checkpoints store redundantly, refuses what is unknown, converts to f32.
fn select(params: Params, config: &Config, shapes: &BTreeMap<String, Vec<usize>>) -> Result<Params, Error> {
    let redundant = |name: &str| (config.tied && name == HEAD) || name.ends_with("rotary_emb.inv_freq");
    for (name, var) in params.iter() {
        if !shapes.contains_key(name) && !redundant(name) {
            let reason = format!("has no place for parameter `{name}` of shape {:?}", var.dims());
            return Err(Error::invalid("config", reason));
        }
    }
    let is_f32 = |(_, var): (&str, &candle_core::Var)| var.dtype() == DType::F32;
    if params.len() == shapes.len() && params.iter().all(is_f32) {
        return Ok(params);
    }
    let mut selected = Params::new();
    for name in shapes.keys() {
        let tensor = params.get(name)?.to_dtype(DType::F32)?;
        selected.insert(name.clone(), &tensor)?;
    }
    Ok(selected)
}
