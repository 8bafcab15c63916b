//! Settings of a pre-trained network as the encoder.

use std::path::{Path, PathBuf};

use plaudit_nn::bert::{self, TOKENIZER_FILE};
use plaudit_nn::decoder::{self, CONFIG_FILE};
use plaudit_nn::device::Compute;
use plaudit_nn::{INDEX_FILE, WEIGHTS_FILE};
use serde::{Deserialize, Serialize};

use crate::config::EncoderKind;

/// A directory of `config.json`, `model.safetensors` (or several files with an index) and `tokenizer.json`, and how it is
/// trained on. Without effect on the `hash` encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// The directory, in the layout of Hugging Face.
    pub path: PathBuf,
    /// Where it is computed: `auto`, `cpu`, `cuda` or `cuda:N`; on a GPU in bf16 over single-precision weights. `auto` is a
    /// GPU where the build and the machine have one. Not part of a checkpoint's configuration hash.
    pub device: Compute,
    /// Most bytes of the device's memory that the network takes, with everything that training and scoring need beside it;
    /// rows go through it in as many parts as that asks for. 0 is 80 % of what a GPU has free when the network is loaded, and
    /// no bound on a CPU. Not part of a checkpoint's configuration hash.
    pub memory_bytes: u64,
    /// What of the network is trained.
    pub train: TrainedPart,
    /// How many layers, the last ones, under `train = "last"`; at least 1.
    pub last_layers: usize,
    /// Rank of the adapters under `train = "lora"`; at least 1. They are at the query and value projections.
    pub lora_rank: usize,
    /// Most tokens read of a row, 16 up to what the network was made for; of a longer row the response is kept first.
    pub max_tokens: usize,
    /// Learning rate of the network (AdamW), 0 to 1.
    pub learning_rate: f64,
    /// Steps over which the learning rate rises to that.
    pub warmup_steps: u64,
    /// Rows per step, at least 1.
    pub batch_rows: usize,
    /// Examples, or pairs, between two rounds of steps, at least 1: what they teach waits until then.
    pub step_every: u64,
    /// Euclidean length of the network's vector beside the hashed features, 1e-3 to 1e3: more makes it count more.
    pub scale: f64,
    /// Whether the hashed features are learned beside it; else the network is alone.
    pub with_hash: bool,
    /// Whether activations are computed again in the backward pass instead of being kept: less memory, more time.
    pub recompute: bool,
}

/// What of a network is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainedPart {
    /// All of it.
    All,
    /// The last layers; only of a `bert`.
    Last,
    /// Low-rank adapters (Hu et al. 2021, arXiv 2106.09685) of all layers.
    Lora,
    /// Nothing: the heads learn on what the network says of a row.
    None,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            device: Compute::default(),
            memory_bytes: 0,
            train: TrainedPart::Last,
            last_layers: 2,
            lora_rank: 8,
            max_tokens: 128,
            learning_rate: 5e-5,
            warmup_steps: 20,
            batch_rows: 32,
            step_every: 64,
            scale: 4.0,
            with_hash: true,
            recompute: false,
        }
    }
}

/// What the directory says of the network's shape.
struct Shape {
    layers: usize,
    max_positions: usize,
    /// The smaller side of the narrowest projection that gets an adapter.
    most_rank: usize,
}

impl NetworkConfig {
    /// Every problem as a key below `encoder.network` and a message, none for an encoder without a network.
    pub(crate) fn problems(&self, kind: EncoderKind) -> Vec<(&'static str, String)> {
        if kind == EncoderKind::Hash {
            return Vec::new();
        }
        let mut problems = self.out_of_range(kind);
        let shape = match self.shape(kind) {
            Ok(shape) => shape,
            Err(message) => {
                problems.push(("path", message));
                return problems;
            }
        };
        if self.train == TrainedPart::Last && self.last_layers > shape.layers {
            problems.push(("last_layers", format!("must be 1 to {}, got {}", shape.layers, self.last_layers)));
        }
        if self.train == TrainedPart::Lora && self.lora_rank > shape.most_rank {
            problems.push(("lora_rank", format!("must be 1 to {}, got {}", shape.most_rank, self.lora_rank)));
        }
        if self.max_tokens > shape.max_positions {
            problems.push(("max_tokens", format!("must be 16 to {}, got {}", shape.max_positions, self.max_tokens)));
        }
        problems
    }

    fn out_of_range(&self, kind: EncoderKind) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let counts = [
            ("last_layers", self.last_layers as u64, 1),
            ("lora_rank", self.lora_rank as u64, 1),
            ("max_tokens", self.max_tokens as u64, 16),
            ("batch_rows", self.batch_rows as u64, 1),
            ("step_every", self.step_every, 1),
        ];
        for (key, count, least) in counts {
            if count < least {
                problems.push((key, format!("must be at least {least}, got {count}")));
            }
        }
        if !(0.0..=1.0).contains(&self.learning_rate) {
            problems.push(("learning_rate", format!("must be 0 to 1, got {:?}", self.learning_rate)));
        }
        if !(1e-3..=1e3).contains(&self.scale) {
            problems.push(("scale", format!("must be 1e-3 to 1e3, got {:?}", self.scale)));
        }
        if kind == EncoderKind::Decoder && self.train == TrainedPart::Last {
            problems.push(("train", "must be \"all\", \"lora\" or \"none\" for a decoder, got \"last\"".to_owned()));
        }
        problems
    }

    /// The shape, or what is wrong with the directory.
    fn shape(&self, kind: EncoderKind) -> Result<Shape, String> {
        if self.path.as_os_str().is_empty() {
            return Err("must name a directory with config.json, model.safetensors and tokenizer.json".to_owned());
        }
        let is_missing = |name: &&str| !self.path.join(name).is_file();
        let has_weights = [WEIGHTS_FILE, INDEX_FILE].iter().any(|name| !is_missing(name));
        let needed = [Some(CONFIG_FILE), (!has_weights).then_some(WEIGHTS_FILE), Some(TOKENIZER_FILE)];
        let missing: Vec<&str> = needed.into_iter().flatten().filter(is_missing).collect();
        if !missing.is_empty() {
            return Err(format!("`{}` has no {}", self.path.display(), missing.join(", no ")));
        }
        plaudit_nn::weight_files(&self.path).map_err(|error| error.to_string())?;
        let path = self.path.join(CONFIG_FILE);
        let text = std::fs::read_to_string(&path).map_err(|error| format!("`{}`: {error}", path.display()))?;
        shape_of(kind, &text, &path).map_err(|error| error.to_string())
    }
}

fn shape_of(kind: EncoderKind, text: &str, path: &Path) -> Result<Shape, plaudit_nn::Error> {
    let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    if let Some(family) = value.get("model_type").and_then(serde_json::Value::as_str)
        && (kind == EncoderKind::Bert) != (family == "bert")
    {
        let wanted = if kind == EncoderKind::Bert { "bert" } else { "decoder" };
        return Err(plaudit_nn::Error::corrupt(path, format!("holds a {family}, which is no {wanted}")));
    }
    if kind == EncoderKind::Bert {
        let config = bert::Config::from_json(text, path)?;
        return Ok(Shape { layers: config.layers, max_positions: config.max_positions, most_rank: config.hidden });
    }
    let config = decoder::Config::from_json(text, path)?;
    let head_dim = config.head_dim.unwrap_or(config.hidden / config.heads);
    let most_rank = config.hidden.min(config.kv_heads * head_dim);
    Ok(Shape { layers: config.layers, max_positions: config.max_positions, most_rank })
}
