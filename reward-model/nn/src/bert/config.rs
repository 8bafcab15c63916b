//! Shape of an encoder, read and written as a `config.json` of the BERT family.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Error;
use crate::ops::Heads;

/// Shape of a BERT-family encoder. Field names in JSON are those of Hugging Face's `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Tokens of the vocabulary (V).
    pub vocab_size: usize,
    /// Columns of the hidden states (D).
    #[serde(rename = "hidden_size")]
    pub hidden: usize,
    /// Blocks of attention and feed-forward.
    #[serde(rename = "num_hidden_layers")]
    pub layers: usize,
    /// Heads per block; divides `hidden`.
    #[serde(rename = "num_attention_heads")]
    pub heads: usize,
    /// Columns inside the feed-forward network.
    #[serde(rename = "intermediate_size")]
    pub ffn: usize,
    /// Longest sequence.
    #[serde(rename = "max_position_embeddings")]
    pub max_positions: usize,
    /// Segments that have an embedding; only the first is used.
    #[serde(rename = "type_vocab_size")]
    pub types: usize,
    /// ε of the layer norm.
    #[serde(rename = "layer_norm_eps")]
    pub norm_eps: f64,
}

pub(super) const WORDS: &str = "embeddings.word_embeddings.weight";
pub(super) const POSITIONS: &str = "embeddings.position_embeddings.weight";
pub(super) const TYPES: &str = "embeddings.token_type_embeddings.weight";
pub(super) const NORM_WEIGHT: &str = "embeddings.LayerNorm.weight";
pub(super) const NORM_BIAS: &str = "embeddings.LayerNorm.bias";

/// The modules of a layer in the order of computation: query, key, value, output, its norm, up, down, its norm.
pub(super) const LAYER_PARTS: [&str; 8] = [
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "attention.output.LayerNorm",
    "intermediate.dense",
    "output.dense",
    "output.LayerNorm",
];

/// What the names of all parameters of a layer start with.
pub(super) fn layer_prefix(layer: usize) -> String {
    format!("encoder.layer.{layer}.")
}

/// The name without prefix, in the spelling of today; none for what an encoder does not use.
pub(super) fn plain_name(name: &str) -> Option<String> {
    let name = name.strip_prefix("bert.").unwrap_or(name);
    let unused = ["pooler.", "cls.", "classifier.", "embeddings.position_ids", "embeddings.token_type_ids"];
    if unused.iter().any(|start| name.starts_with(start)) {
        return None;
    }
    Some(name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias"))
}

impl Config {
    /// The shape of all-MiniLM-L6-v2: 22.6 million parameters, more than half of them embeddings.
    #[must_use]
    pub fn minilm() -> Self {
        Self {
            vocab_size: 30_522,
            hidden: 384,
            layers: 6,
            heads: 12,
            ffn: 1536,
            max_positions: 512,
            types: 2,
            norm_eps: 1e-12,
        }
    }

    /// Checks every field against its range.
    ///
    /// # Errors
    /// Fails naming the first field outside its range.
    pub fn validate(&self) -> Result<(), Error> {
        let counts = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden),
            ("num_hidden_layers", self.layers),
            ("num_attention_heads", self.heads),
            ("intermediate_size", self.ffn),
            ("max_position_embeddings", self.max_positions),
            ("type_vocab_size", self.types),
        ];
        for (field, count) in counts {
            if count == 0 {
                return Err(Error::invalid(field, "must be at least 1, got 0"));
            }
        }
        if !self.hidden.is_multiple_of(self.heads) {
            let reason = format!("must be a multiple of the {} heads, got {}", self.heads, self.hidden);
            return Err(Error::invalid("hidden_size", reason));
        }
        if !(self.norm_eps > 0.0 && self.norm_eps < 1.0) {
            let reason = format!("must be between 0 and 1, got {}", self.norm_eps);
            return Err(Error::invalid("layer_norm_eps", reason));
        }
        Ok(())
    }

    /// How columns split into heads.
    pub(super) fn heads(&self) -> Heads {
        Heads { heads: self.heads, kv_heads: self.heads, head_dim: self.hidden / self.heads }
    }

    /// Reads `config.json` text; `path` is named in errors. Keys that do not change what is computed are
    /// ignored; a model that needs a feature this encoder lacks is refused.
    ///
    /// # Errors
    /// Fails when the text is no configuration, a field is outside its range, or a feature is missing.
    pub fn from_json(text: &str, path: &Path) -> Result<Self, Error> {
        let corrupt = |error: serde_json::Error| Error::corrupt(path, error.to_string());
        let value: Value = serde_json::from_str(text).map_err(corrupt)?;
        let required = [("model_type", "bert"), ("hidden_act", "gelu"), ("position_embedding_type", "absolute")];
        for (key, needed) in required {
            let found = value.get(key).filter(|found| !found.is_null());
            if found.is_some_and(|found| found != needed) {
                let reason = format!("`{key}` must be \"{needed}\", got {}", value[key]);
                return Err(Error::corrupt(path, reason));
            }
        }
        if value.get("is_decoder").and_then(Value::as_bool) == Some(true) {
            return Err(Error::corrupt(path, "`is_decoder` is not supported"));
        }
        let config: Self = serde_json::from_value(value).map_err(corrupt)?;
        config.validate()?;
        Ok(config)
    }

    /// The text of `config.json`; equal configurations give equal texts.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut value = serde_json::to_value(self).expect("numbers always serialise");
        value["architectures"] = Value::from(vec!["BertModel"]);
        value["model_type"] = Value::from("bert");
        value["hidden_act"] = Value::from("gelu");
        format!("{value:#}\n")
    }

    /// Every parameter with its shape, in the order in which initial values are drawn.
    #[must_use]
    pub fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let (hidden, ffn) = (self.hidden, self.ffn);
        let mut shapes = vec![
            (WORDS.to_owned(), vec![self.vocab_size, hidden]),
            (POSITIONS.to_owned(), vec![self.max_positions, hidden]),
            (TYPES.to_owned(), vec![self.types, hidden]),
            (NORM_WEIGHT.to_owned(), vec![hidden]),
            (NORM_BIAS.to_owned(), vec![hidden]),
        ];
        for layer in 0..self.layers {
            for part in LAYER_PARTS {
                let (outputs, inputs) = match part {
                    "intermediate.dense" => (ffn, hidden),
                    "output.dense" => (hidden, ffn),
                    _ => (hidden, hidden),
                };
                let is_norm = part.ends_with("LayerNorm");
                let weight = if is_norm { vec![outputs] } else { vec![outputs, inputs] };
                shapes.push((format!("{}{part}.weight", layer_prefix(layer)), weight));
                shapes.push((format!("{}{part}.bias", layer_prefix(layer)), vec![outputs]));
            }
        }
        shapes
    }
}
