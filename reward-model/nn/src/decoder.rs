//! A Llama-family decoder: RMSNorm, causal grouped-query attention with rotary positions, SwiGLU; also
//! Qwen2 and Qwen3, which differ in attention ([`Family`]).
//!
//! Parameters carry the names and layouts of Hugging Face checkpoints, so that a directory of
//! `config.json` and `model.safetensors` is the format on disk. Arithmetic is f32; files may hold
//! f16 or bf16.

mod config;
mod forward;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device};
use plaudit_event::Stream;

use crate::lora::Lora;
use crate::ops::Implementation;
use crate::ops::rotary::Rotary;
use crate::{Error, Params, Precision, init};

pub use config::{Config, Family, RopeScaling};
pub(crate) use config::{
    DOWN_PROJ, EMBEDDING, FFN_NORM, FINAL_NORM, GATE_PROJ, HEAD, INPUT_NORM, K_NORM, K_PROJ, O_PROJ, Q_NORM, Q_PROJ,
    UP_PROJ, V_PROJ, layer_bias, layer_name,
};

/// Name of the file with the shape of the model.
pub const CONFIG_FILE: &str = "config.json";
pub use crate::params::WEIGHTS_FILE;

/// Standard deviation of initial weights.
const INIT_STD: f64 = 0.02;

/// A decoder with its parameters.
#[derive(Debug)]
pub struct Decoder {
    config: Config,
    params: Params,
    rotary: Arc<Rotary>,
    implementation: Implementation,
    lora: Option<Lora>,
    precision: Precision,
}

impl Decoder {
    /// A decoder with fresh parameters on the CPU.
    ///
    /// Weights are normal with standard deviation 0.02; those that write to the residual stream are
    /// divided by `sqrt(2 · layers)` so that its variance does not grow with depth (Radford et al.
    /// 2019, section 2.3). Gains of the norms are one,
    /// biases zero.
    ///
    /// # Errors
    /// Fails when `config` is invalid.
    pub fn init(config: &Config, stream: &mut Stream) -> Result<Self, Error> {
        config.validate()?;
        let residual_std = INIT_STD / (2.0 * config.layers as f64).sqrt();
        let mut params = Params::new();
        for (name, shape) in config.shapes() {
            let tensor = if name.ends_with("bias") {
                init::zeros(shape, &Device::Cpu)?
            } else if shape.len() == 1 {
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
        let rotary = Rotary::new(config.rope_theta, heads.head_dim, config.max_positions, config.rope_scaling);
        Ok(Self {
            config,
            params,
            rotary: Arc::new(rotary),
            implementation: Implementation::default(),
            lora: None,
            precision: Precision::default(),
        })
    }

    /// Reads a directory of [`CONFIG_FILE`] and [`WEIGHTS_FILE`], or of several files with an
    /// [index](crate::INDEX_FILE).
    ///
    /// # Errors
    /// Fails when a file is missing or corrupt, or the two do not fit each other.
    pub fn load(dir: &Path, device: &Device) -> Result<Self, Error> {
        let path = dir.join(CONFIG_FILE);
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
        let config = Config::from_json(&text, &path)?;
        let params = Params::load_dir(dir, device)?;
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

    /// A copy that shares no parameter with `self`, adapters included.
    ///
    /// # Errors
    /// Fails when the device is out of memory.
    pub fn try_clone(&self) -> Result<Self, Error> {
        Ok(Self {
            lora: self.lora.as_ref().map(Lora::try_clone).transpose()?,
            ..self.with_params(self.params.try_clone()?)
        })
    }

    /// A copy for as long as `self` is trained: with adapters only they are copied.
    ///
    /// # Errors
    /// Fails when the device is out of memory.
    pub fn snapshot(&self) -> Result<Self, Error> {
        let lora = self.lora.as_ref().map(Lora::try_clone).transpose()?;
        let params = if lora.is_some() { self.params.clone() } else { self.params.try_clone()? };
        Ok(Self { lora, ..self.with_params(params) })
    }

    /// The same decoder with adapters, which it shares with `lora`: from now on only they are trained.
    /// Files hold the decoder without them.
    ///
    /// # Errors
    /// Fails when the adapters do not fit.
    pub fn with_lora(mut self, lora: &Lora) -> Result<Self, Error> {
        self.lora = Some(Lora::from_params(&self.params, lora.config().clone(), lora.params().clone())?);
        Ok(self)
    }

    /// A copy with the adapters added to the weights; without adapters just a copy.
    ///
    /// # Errors
    /// Fails when the device is out of memory.
    pub fn merged(&self) -> Result<Self, Error> {
        let params = match &self.lora {
            Some(lora) => lora.merged(&self.params)?,
            None => self.params.try_clone()?,
        };
        Ok(self.with_params(params))
    }

    /// The adapters, if any.
    #[must_use]
    pub fn lora(&self) -> Option<&Lora> {
        self.lora.as_ref()
    }

    fn with_params(&self, params: Params) -> Self {
        Self {
            config: self.config.clone(),
            params,
            rotary: Arc::clone(&self.rotary),
            implementation: self.implementation,
            lora: None,
            precision: self.precision,
        }
    }

    /// The same decoder, computed in another precision; logits are f32 either way.
    ///
    /// # Errors
    /// Fails for bf16 where the parameters are not on a CUDA device.
    pub fn with_precision(mut self, precision: Precision) -> Result<Self, Error> {
        precision.check(&self.device())?;
        self.precision = precision;
        Ok(self)
    }

    /// A copy on `device`, adapters included.
    ///
    /// # Errors
    /// Fails when the device is out of memory.
    pub fn to_device(&self, device: &Device) -> Result<Self, Error> {
        self.precision.check(device)?;
        let lora = self.lora.as_ref().map(|lora| lora.to_device(device)).transpose()?;
        Ok(Self { lora, ..self.with_params(self.params.to_device(device)?) })
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

    /// The parameters, without those of adapters; writing to them changes the decoder.
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
        self.params.device()
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
