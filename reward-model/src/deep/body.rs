//! The two families of networks behind one face: tokens in, one vector per row out, and back.

use std::path::Path;

use candle_core::backprop::GradStore;
use candle_core::{D, DType, Device, Tensor};
use plaudit_event::Stream;
use plaudit_nn::bert::{self, Bert, Trained, pool};
use plaudit_nn::decoder::{self, Decoder, Family};
use plaudit_nn::lora::{Lora, LoraConfig};
use plaudit_nn::{Activations, Error as NnError, Params, Precision};
use serde::Deserialize;

use super::config::{NetworkConfig, TrainedPart};
use super::memory::{Geometry, NetworkMemory};
use crate::Error;
use crate::config::EncoderKind;

/// Keeps the length of a vector of zeros from being divided by.
const TINY: f64 = 1e-12;

/// What sentence encoders say about pooling.
pub(super) const POOLING_FILE: &str = "1_Pooling/config.json";

/// A network.
#[derive(Debug)]
pub(super) enum Body {
    Bert { model: Bert, lora: Option<Lora>, cls: bool },
    Decoder { model: Decoder, lora: Option<Lora> },
}

/// Rows of tokens, padded to the longest.
pub(super) struct Padded {
    tokens: Tensor,
    lengths: Vec<usize>,
}

impl Padded {
    pub(super) fn new(rows: &[&[u32]], device: &Device) -> Result<Self, NnError> {
        let lengths: Vec<usize> = rows.iter().map(|row| row.len()).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let mut flat = Vec::with_capacity(rows.len() * longest);
        for row in rows {
            flat.extend_from_slice(row);
            flat.resize(flat.len() + longest - row.len(), 0);
        }
        Ok(Self { tokens: Tensor::from_vec(flat, (rows.len(), longest), device)?, lengths })
    }
}

/// What sentence-transformers writes about pooling; without the file the mean is taken.
#[derive(Deserialize)]
struct Pooling {
    #[serde(default)]
    pooling_mode_cls_token: bool,
}

impl Body {
    pub(super) fn load(
        kind: EncoderKind,
        config: &NetworkConfig,
        device: &Device,
        stream: &mut Stream,
    ) -> Result<Self, Error> {
        let precision = if device.is_cuda() { Precision::Bf16 } else { Precision::F32 };
        if kind == EncoderKind::Bert {
            let trained = match config.train {
                TrainedPart::All | TrainedPart::Lora => Trained::All,
                TrainedPart::Last => Trained::Last(config.last_layers),
                TrainedPart::None => Trained::Last(0),
            };
            let mut model = Bert::load(&config.path, device)?.with_precision(precision)?.with_trained(trained)?;
            let lora = adapters(model.params(), ["query", "value"], config, stream)?;
            if let Some(lora) = &lora {
                model = model.with_lora(lora)?;
            }
            return Ok(Self::Bert { model, lora, cls: pools_cls(&config.path)? });
        }
        let mut model = Decoder::load(&config.path, device)?.with_precision(precision)?;
        let lora = adapters(model.params(), ["q_proj", "v_proj"], config, stream)?;
        if let Some(lora) = &lora {
            model = model.with_lora(lora)?;
        }
        Ok(Self::Decoder { model, lora })
    }

    /// A copy of what training changes that shares the rest.
    pub(super) fn snapshot(&self) -> Result<Self, NnError> {
        Ok(match self {
            Self::Bert { model, cls, .. } => Self::Bert { model: model.snapshot()?, lora: None, cls: *cls },
            Self::Decoder { model, .. } => Self::Decoder { model: model.snapshot()?, lora: None },
        })
    }

    /// Columns of the vector of a row.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Bert { model, .. } => model.config().hidden,
            Self::Decoder { model, .. } => model.config().hidden,
        }
    }

    pub(super) fn vocab_size(&self) -> usize {
        match self {
            Self::Bert { model, .. } => model.config().vocab_size,
            Self::Decoder { model, .. } => model.config().vocab_size,
        }
    }

    /// The parameters that `part` trains; the variables themselves.
    pub(super) fn trained(&self, part: TrainedPart) -> Params {
        let (params, lora, prefixes) = match self {
            Self::Bert { model, lora, .. } => (model.params(), lora, model.trained_prefixes()),
            Self::Decoder { model, lora } => (model.params(), lora, vec![String::new()]),
        };
        let mut trained = Params::new();
        let (from, prefixes) = match (lora, part) {
            (_, TrainedPart::None) => return trained,
            (Some(lora), _) => (lora.params(), vec![String::new()]),
            (None, _) => (params, prefixes),
        };
        for (name, var) in from.iter().filter(|(name, _)| prefixes.iter().any(|prefix| name.starts_with(prefix))) {
            trained.share(name, var);
        }
        trained
    }

    /// What it takes of the memory of `device`, as `config` trains it.
    pub(super) fn memory(&self, config: &NetworkConfig, device: &Device) -> NetworkMemory {
        let (all, geometry) = match self {
            Self::Bert { model, .. } => (model.params(), of_bert(model.config())),
            Self::Decoder { model, .. } => (model.params(), of_decoder(model.config())),
        };
        NetworkMemory::new(&geometry, all, &self.trained(config.train), config, device)
    }

    /// The vectors of `rows`, of length `scale`: (B, D).
    pub(super) fn forward(&self, rows: &Padded, scale: f64) -> Result<Tensor, NnError> {
        match self {
            Self::Bert { model, cls, .. } => {
                let hidden = model.hidden_detached(&rows.tokens, &rows.lengths)?;
                scaled(&pooled(&hidden, &rows.lengths, *cls)?, scale)
            }
            Self::Decoder { model, .. } => scaled(&model.hidden_detached(&rows.tokens, &rows.lengths)?, scale),
        }
    }

    /// Gradients of a loss whose derivatives by the vectors of `rows` are what `slopes` makes of these.
    pub(super) fn backward(
        &self,
        rows: &Padded,
        scale: f64,
        activations: Activations,
        slopes: impl FnOnce(&Tensor) -> Result<Tensor, NnError>,
    ) -> Result<GradStore, NnError> {
        let carrier = |pooled: Tensor| -> Result<Tensor, NnError> {
            let vectors = scaled(&pooled, scale)?;
            let slopes = slopes(&vectors.detach())?;
            Ok((vectors * slopes)?.sum_all()?)
        };
        let (_, gradients) = match self {
            Self::Bert { model, cls, .. } => model.backward(&rows.tokens, &rows.lengths, activations, |hidden| {
                carrier(pooled(hidden, &rows.lengths, *cls)?)
            })?,
            Self::Decoder { model, .. } => {
                model.backward(&rows.tokens, activations, |hidden| carrier(pool::last(hidden, &rows.lengths)?))?
            }
        };
        Ok(gradients)
    }
}

fn of_bert(config: &bert::Config) -> Geometry {
    Geometry {
        layers: config.layers,
        hidden: config.hidden,
        q_width: config.hidden,
        kv_width: config.hidden,
        ffn: config.ffn,
        heads: config.heads,
        gated: false,
        head_norms: false,
    }
}

fn of_decoder(config: &decoder::Config) -> Geometry {
    let heads = config.heads();
    Geometry {
        layers: config.layers,
        hidden: config.hidden,
        q_width: heads.heads * heads.head_dim,
        kv_width: heads.kv_heads * heads.head_dim,
        ffn: config.ffn,
        heads: heads.heads,
        gated: true,
        head_norms: config.family == Family::Qwen3,
    }
}

fn adapters(
    params: &Params,
    targets: [&str; 2],
    config: &NetworkConfig,
    stream: &mut Stream,
) -> Result<Option<Lora>, NnError> {
    if config.train != TrainedPart::Lora {
        return Ok(None);
    }
    let targets = targets.map(str::to_owned).into();
    let numbers = LoraConfig { targets, ..LoraConfig::query_and_value(config.lora_rank) };
    Lora::init(params, &numbers, stream).map(Some)
}

fn pooled(hidden: &Tensor, lengths: &[usize], cls: bool) -> Result<Tensor, NnError> {
    let hidden = hidden.to_dtype(DType::F32)?;
    if cls { pool::cls(&hidden) } else { pool::mean(&hidden, lengths) }
}

/// Every row with the Euclidean length `scale`.
fn scaled(rows: &Tensor, scale: f64) -> Result<Tensor, NnError> {
    let rows = rows.to_dtype(DType::F32)?;
    let lengths = (rows.sqr()?.sum_keepdim(D::Minus1)? + TINY)?.sqrt()?;
    Ok((rows.broadcast_div(&lengths)? * scale)?)
}

fn pools_cls(dir: &Path) -> Result<bool, NnError> {
    let path = dir.join(POOLING_FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(NnError::Io { path, source: error }),
    };
    let pooling: Pooling = serde_json::from_str(&text).map_err(|error| NnError::corrupt(&path, error.to_string()))?;
    Ok(pooling.pooling_mode_cls_token)
}
