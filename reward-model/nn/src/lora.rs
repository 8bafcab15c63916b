//! Low-rank adapters (Hu et al. 2021, arXiv 2106.09685, eq. 3): `y = x · Wᵀ + (α / r) · (x · Aᵀ) · Bᵀ`
//! with W frozen, A of shape (r, I) and B of shape (O, r).
//!
//! Attached to a model, only the adapters are trained: they are [`Params`] of their own, which is what
//! the optimiser gets. B starts at zero, so that an attached model computes what it computed before.
//! Deviation: no dropout. Files are those of the `peft` library.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use plaudit_event::Stream;
use serde::{Deserialize, Serialize};

use crate::weights::Weights;
use crate::{Error, Params, init};

/// Name of the file with the numbers of the adapters.
pub const CONFIG_FILE: &str = "adapter_config.json";
/// Name of the file with the adapters.
pub const WEIGHTS_FILE: &str = "adapter_model.safetensors";

/// What `peft` puts before the name of every module.
const PREFIX: &str = "base_model.model.";
const A: &str = ".lora_A.weight";
const B: &str = ".lora_B.weight";

/// Numbers of the adapters. Field names in JSON are those of `peft`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoraConfig {
    /// Rank r of the change, at least 1 and at most the smaller side of every adapted projection.
    #[serde(rename = "r")]
    pub rank: usize,
    /// α, above 0; the change is scaled with α / r.
    #[serde(rename = "lora_alpha")]
    pub alpha: f64,
    /// Last part of the names of the adapted projections, such as `q_proj` or `query`.
    #[serde(rename = "target_modules")]
    pub targets: Vec<String>,
}

impl LoraConfig {
    /// The query and value projections of a decoder, with α twice the rank.
    #[must_use]
    pub fn query_and_value(rank: usize) -> Self {
        Self { rank, alpha: 2.0 * rank as f64, targets: vec!["q_proj".to_owned(), "v_proj".to_owned()] }
    }

    fn validate(&self) -> Result<(), Error> {
        if self.rank == 0 {
            return Err(Error::invalid("r", "must be at least 1, got 0"));
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            let reason = format!("must be finite and above 0, got {}", self.alpha);
            return Err(Error::invalid("lora_alpha", reason));
        }
        if self.targets.is_empty() {
            return Err(Error::invalid("target_modules", "must name at least 1 projection, got none"));
        }
        Ok(())
    }
}

/// Adapters of a model. `clone` shares them.
#[derive(Debug, Clone)]
pub struct Lora {
    config: LoraConfig,
    params: Params,
}

impl Lora {
    /// Fresh adapters for the projections of `base` that `config` names: A uniform in ±1/√I (the Kaiming
    /// initialisation of the reference implementation), B zero.
    ///
    /// # Errors
    /// Fails when a number of `config` is outside its range or a target names no projection of `base`.
    pub fn init(base: &Params, config: &LoraConfig, stream: &mut Stream) -> Result<Self, Error> {
        config.validate()?;
        let mut params = Params::new();
        for (module, [outputs, inputs]) in targets(base, config)? {
            let bound = (inputs as f64).sqrt().recip();
            let a = init::uniform((config.rank, inputs), -bound, bound, stream, &Device::Cpu)?;
            let b = init::zeros((outputs, config.rank), &Device::Cpu)?;
            let device = base.get(&format!("{module}.weight"))?.device();
            params.insert(format!("{module}{A}"), &a.to_device(device)?)?;
            params.insert(format!("{module}{B}"), &b.to_device(device)?)?;
        }
        Ok(Self { config: config.clone(), params })
    }

    /// Adapters from parameters as [`Lora::params`] gives them.
    ///
    /// # Errors
    /// Fails when a number of `config` is outside its range, or an adapter is missing, unknown or of
    /// another shape than `base` and `config` ask for.
    pub fn from_params(base: &Params, config: LoraConfig, params: Params) -> Result<Self, Error> {
        config.validate()?;
        let modules = targets(base, &config)?;
        for (module, [outputs, inputs]) in &modules {
            params.get_shaped(&format!("{module}{A}"), &[config.rank, *inputs])?;
            params.get_shaped(&format!("{module}{B}"), &[*outputs, config.rank])?;
        }
        if params.len() != 2 * modules.len() {
            let reason = format!("select {} projections, the adapters hold {} matrices", modules.len(), params.len());
            return Err(Error::invalid("target_modules", reason));
        }
        Ok(Self { config, params })
    }

    /// Reads a directory of [`CONFIG_FILE`] and [`WEIGHTS_FILE`], for the model with the parameters `base`.
    ///
    /// # Errors
    /// Fails when a file is missing or corrupt, needs a feature that is missing here, or does not fit `base`.
    pub fn load(dir: &Path, base: &Params, device: &Device) -> Result<Self, Error> {
        let path = dir.join(CONFIG_FILE);
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
        let corrupt = |error: serde_json::Error| Error::corrupt(&path, error.to_string());
        let value: serde_json::Value = serde_json::from_str(&text).map_err(corrupt)?;
        for key in ["use_dora", "use_rslora", "fan_in_fan_out"] {
            if value.get(key).and_then(serde_json::Value::as_bool) == Some(true) {
                return Err(Error::corrupt(&path, format!("`{key}` is not supported")));
            }
        }
        let config: LoraConfig = serde_json::from_value(value).map_err(corrupt)?;
        let mut params = Params::new();
        for (name, var) in Params::load(&dir.join(WEIGHTS_FILE), device)?.iter() {
            let tensor = var.to_dtype(candle_core::DType::F32)?;
            params.insert(name.strip_prefix(PREFIX).unwrap_or(name), &tensor)?;
        }
        Self::from_params(base, config, params)
    }

    /// The files that [`Lora::load`] reads. Equal adapters give equal bytes.
    ///
    /// # Errors
    /// Fails when the device is out of memory.
    pub fn files(&self) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        let mut value = serde_json::to_value(&self.config).expect("numbers and names always serialise");
        value["peft_type"] = "LORA".into();
        let mut named = Params::new();
        for (name, var) in self.params.iter() {
            named.insert(format!("{PREFIX}{name}"), var)?;
        }
        Ok(BTreeMap::from([
            (CONFIG_FILE.to_owned(), format!("{value:#}\n").into_bytes()),
            (WEIGHTS_FILE.to_owned(), named.to_bytes()?),
        ]))
    }

    /// Writes [`Lora::files`] to `dir`, which must exist. Not atomic: what must survive a crash belongs
    /// into a checkpoint.
    ///
    /// # Errors
    /// Fails when a file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<(), Error> {
        for (name, bytes) in self.files()? {
            let path = dir.join(name);
            std::fs::write(&path, bytes).map_err(Error::io(&path))?;
        }
        Ok(())
    }

    /// Numbers of the adapters.
    #[must_use]
    pub fn config(&self) -> &LoraConfig {
        &self.config
    }

    /// The adapters, `MODULE.lora_A.weight` and `MODULE.lora_B.weight`; what an optimiser trains.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// A copy of `base` with the changes added: `W + (α / r) · B · A`.
    ///
    /// # Errors
    /// Fails when `base` lacks an adapted projection or it has another shape.
    pub fn merged(&self, base: &Params) -> Result<Params, Error> {
        let mut merged = base.try_clone()?;
        for (name, a) in self.params.iter() {
            let Some(module) = name.strip_suffix(A) else { continue };
            let b = self.params.get(&format!("{module}{B}"))?;
            let change = (b.matmul(a)? * self.scale())?;
            let name = format!("{module}.weight");
            let weight = base.get_shaped(&name, change.dims())?;
            merged.insert(name, &(weight.as_tensor() + change)?)?;
        }
        Ok(merged)
    }

    /// A copy that shares nothing with `self`.
    ///
    /// # Errors
    /// Fails when the device is out of memory.
    pub fn try_clone(&self) -> Result<Self, Error> {
        Ok(Self { config: self.config.clone(), params: self.params.try_clone()? })
    }

    /// A copy on `device`.
    ///
    /// # Errors
    /// Fails when the device is out of memory.
    pub fn to_device(&self, device: &Device) -> Result<Self, Error> {
        Ok(Self { config: self.config.clone(), params: self.params.to_device(device)? })
    }

    fn scale(&self) -> f64 {
        self.config.alpha / self.config.rank as f64
    }

    /// The adapter of the projection called `module`.
    pub(crate) fn adapter(&self, module: &str) -> Option<Adapter<'_>> {
        let a = self.params.get(&format!("{module}{A}")).ok()?;
        let b = self.params.get(&format!("{module}{B}")).ok()?;
        Some(Adapter { a, b, scale: self.scale() })
    }
}

/// The two matrices of one projection.
pub(crate) struct Adapter<'a> {
    a: &'a Tensor, // (r, I)
    b: &'a Tensor, // (O, r)
    scale: f64,
}

impl Adapter<'_> {
    /// `out + scale · (x · Aᵀ) · Bᵀ`: (.., I) and (.., O) give (.., O).
    pub(crate) fn add_to(&self, out: Tensor, x: &Tensor, weights: Weights<'_>) -> Result<Tensor, Error> {
        let side = |side: &Tensor| weights.precision.cast(&if weights.tracked { side.clone() } else { side.detach() });
        let (a, b) = (side(self.a)?, side(self.b)?);
        // Scaled where the tensor is narrow.
        let narrow = (weights.ops.linear(x, &a)? * self.scale)?;
        Ok((out + weights.ops.linear(&narrow, &b)?)?)
    }
}

/// The projections that `config` names, in the order of their names, with outputs and inputs.
fn targets(base: &Params, config: &LoraConfig) -> Result<Vec<(String, [usize; 2])>, Error> {
    let mut found = Vec::new();
    for target in &config.targets {
        let before = found.len();
        for (name, var) in base.iter() {
            let Some(module) = name.strip_suffix(".weight") else { continue };
            let is_target = module == target || module.ends_with(&format!(".{target}"));
            if let (true, &[outputs, inputs]) = (is_target, var.dims()) {
                if config.rank > outputs.min(inputs) {
                    let most = outputs.min(inputs);
                    let reason = format!("must be at most {most} for `{module}`, got {}", config.rank);
                    return Err(Error::invalid("r", reason));
                }
                found.push((module.to_owned(), [outputs, inputs]));
            }
        }
        if found.len() == before {
            let reason = format!("must name projections of the model, got `{target}`");
            return Err(Error::invalid("target_modules", reason));
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}
