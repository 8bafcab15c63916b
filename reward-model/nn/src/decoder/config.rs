//! Shape of a decoder, read and written as a `config.json` of the Llama family.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Error;
use crate::ops::Heads;

/// Shape of a Llama-family decoder. Field names in JSON are those of Hugging Face's `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Tokens of the vocabulary (V).
    pub vocab_size: usize,
    /// Columns of the residual stream (D).
    #[serde(rename = "hidden_size")]
    pub hidden: usize,
    /// Blocks of attention and feed-forward.
    #[serde(rename = "num_hidden_layers")]
    pub layers: usize,
    /// Query heads per block; divides `hidden` into heads of even size.
    #[serde(rename = "num_attention_heads")]
    pub heads: usize,
    /// Key and value heads per block; divides `heads`.
    #[serde(rename = "num_key_value_heads")]
    pub kv_heads: usize,
    /// Columns inside the feed-forward network.
    #[serde(rename = "intermediate_size")]
    pub ffn: usize,
    /// Base of the rotary frequencies.
    #[serde(default = "default_rope_theta")]
    pub rope_theta: f64,
    /// Longest sequence.
    #[serde(rename = "max_position_embeddings")]
    pub max_positions: usize,
    /// ε of RMSNorm.
    #[serde(rename = "rms_norm_eps")]
    pub norm_eps: f64,
    /// Whether the output projection is the embedding.
    #[serde(rename = "tie_word_embeddings", default)]
    pub tied: bool,
}

fn default_rope_theta() -> f64 {
    10_000.0
}

impl Config {
    /// The small shape that the demo trains and serves: 1.1 million parameters.
    #[must_use]
    pub fn tiny(vocab_size: usize) -> Self {
        Self {
            vocab_size,
            hidden: 128,
            layers: 5,
            heads: 4,
            kv_heads: 2,
            ffn: 384,
            rope_theta: default_rope_theta(),
            max_positions: 512,
            norm_eps: 1e-5,
            tied: true,
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
            ("num_key_value_heads", self.kv_heads),
            ("intermediate_size", self.ffn),
            ("max_position_embeddings", self.max_positions),
        ];
        for (field, count) in counts {
            if count == 0 {
                return Err(Error::invalid(field, "must be at least 1, got 0"));
            }
        }
        if !self.hidden.is_multiple_of(self.heads.saturating_mul(2)) {
            let reason = format!("must be a multiple of twice the {} heads, got {}", self.heads, self.hidden);
            return Err(Error::invalid("hidden_size", reason));
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            let reason = format!("must divide the {} heads, got {}", self.heads, self.kv_heads);
            return Err(Error::invalid("num_key_value_heads", reason));
        }
        if !(self.rope_theta.is_finite() && self.rope_theta > 1.0) {
            let reason = format!("must be above 1, got {}", self.rope_theta);
            return Err(Error::invalid("rope_theta", reason));
        }
        if !(self.norm_eps > 0.0 && self.norm_eps < 1.0) {
            let reason = format!("must be between 0 and 1, got {}", self.norm_eps);
            return Err(Error::invalid("rms_norm_eps", reason));
        }
        Ok(())
    }

    /// How columns split into heads.
    #[must_use]
    pub fn heads(&self) -> Heads {
        Heads { heads: self.heads, kv_heads: self.kv_heads, head_dim: self.hidden / self.heads }
    }

    /// Reads `config.json` text; `path` is named in errors.
    ///
    /// Keys that do not change what is computed are ignored. The base of the rotary frequencies is
    /// read from `rope_parameters` where newer writers put it. A model that needs a feature this
    /// decoder lacks (biases, another activation, scaled rotary frequencies) is refused.
    ///
    /// # Errors
    /// Fails when the text is no configuration, a field is outside its range, or a feature is missing.
    pub fn from_json(text: &str, path: &Path) -> Result<Self, Error> {
        let corrupt = |error: serde_json::Error| Error::corrupt(path, error.to_string());
        let mut value: Value = serde_json::from_str(text).map_err(corrupt)?;
        if !value.is_object() {
            return Err(Error::corrupt(path, "must be a JSON object"));
        }
        refuse_unsupported(&value, path)?;
        if let Some(theta) = theta_of_parameters(&value, path)? {
            value["rope_theta"] = theta;
        }
        if value.get("num_key_value_heads").is_none_or(Value::is_null) {
            // Checkpoints from before grouped-query attention.
            value["num_key_value_heads"] = value["num_attention_heads"].clone();
        }
        let config: Self = serde_json::from_value(value.clone()).map_err(corrupt)?;
        config.validate()?;
        let head_dim = config.heads().head_dim;
        let stated = value.get("head_dim").and_then(Value::as_u64);
        if stated.is_some_and(|stated| stated != head_dim as u64) {
            let reason = format!("`head_dim` must be hidden_size / num_attention_heads = {head_dim}");
            return Err(Error::corrupt(path, reason));
        }
        Ok(config)
    }

    /// The text of `config.json`; equal configurations give equal texts.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut value = serde_json::to_value(self).expect("numbers and flags always serialise");
        value["architectures"] = Value::from(vec!["LlamaForCausalLM"]);
        value["model_type"] = Value::from("llama");
        value["hidden_act"] = Value::from("silu");
        format!("{value:#}\n")
    }

    /// Every parameter with its shape, in the order in which initial values are drawn.
    #[must_use]
    pub fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let heads = self.heads();
        let mut shapes = vec![(EMBEDDING.to_owned(), vec![self.vocab_size, self.hidden])];
        for layer in 0..self.layers {
            let of_layer = [
                (INPUT_NORM, vec![self.hidden]),
                (Q_PROJ, vec![heads.q_width(), self.hidden]),
                (K_PROJ, vec![heads.kv_width(), self.hidden]),
                (V_PROJ, vec![heads.kv_width(), self.hidden]),
                (O_PROJ, vec![self.hidden, heads.q_width()]),
                (FFN_NORM, vec![self.hidden]),
                (GATE_PROJ, vec![self.ffn, self.hidden]),
                (UP_PROJ, vec![self.ffn, self.hidden]),
                (DOWN_PROJ, vec![self.hidden, self.ffn]),
            ];
            let named = of_layer.map(|(part, shape)| (layer_name(layer, part), shape));
            shapes.extend(named);
        }
        shapes.push((FINAL_NORM.to_owned(), vec![self.hidden]));
        if !self.tied {
            shapes.push((HEAD.to_owned(), vec![self.vocab_size, self.hidden]));
        }
        shapes
    }
}

pub(crate) const EMBEDDING: &str = "model.embed_tokens.weight";
pub(crate) const FINAL_NORM: &str = "model.norm.weight";
pub(crate) const HEAD: &str = "lm_head.weight";
pub(crate) const INPUT_NORM: &str = "input_layernorm";
pub(crate) const FFN_NORM: &str = "post_attention_layernorm";
pub(crate) const Q_PROJ: &str = "self_attn.q_proj";
pub(crate) const K_PROJ: &str = "self_attn.k_proj";
pub(crate) const V_PROJ: &str = "self_attn.v_proj";
pub(crate) const O_PROJ: &str = "self_attn.o_proj";
pub(crate) const GATE_PROJ: &str = "mlp.gate_proj";
pub(crate) const UP_PROJ: &str = "mlp.up_proj";
pub(crate) const DOWN_PROJ: &str = "mlp.down_proj";

/// The checkpoint name of one weight of one layer.
pub(crate) fn layer_name(layer: usize, part: &str) -> String {
    format!("model.layers.{layer}.{part}.weight")
}

fn refuse_unsupported(value: &Value, path: &Path) -> Result<(), Error> {
    let required = [("model_type", "llama"), ("hidden_act", "silu")];
    for (key, needed) in required {
        let found = value.get(key).and_then(Value::as_str).unwrap_or(needed);
        if found != needed {
            let reason = format!("`{key}` must be \"{needed}\", got \"{found}\"");
            return Err(Error::corrupt(path, reason));
        }
    }
    for key in ["attention_bias", "mlp_bias"] {
        if value.get(key).and_then(Value::as_bool) == Some(true) {
            return Err(Error::corrupt(path, format!("`{key}` is not supported")));
        }
    }
    if value.get("rope_scaling").is_some_and(|scaling| !scaling.is_null()) {
        return Err(Error::corrupt(path, "`rope_scaling` is not supported"));
    }
    Ok(())
}

/// `rope_theta` of `rope_parameters`, which replaces the key beside it.
fn theta_of_parameters(value: &Value, path: &Path) -> Result<Option<Value>, Error> {
    let Some(found) = value.get("rope_parameters").filter(|found| !found.is_null()) else {
        return Ok(None);
    };
    let Some(parameters) = found.as_object() else {
        return Err(Error::corrupt(path, format!("`rope_parameters` must be an object, got {found}")));
    };
    for (key, parameter) in parameters {
        let is_known = key == "rope_theta" || (key == "rope_type" && parameter == "default");
        if !is_known {
            return Err(Error::corrupt(path, format!("`rope_parameters` with `{key}` {parameter} is not supported")));
        }
    }
    Ok(parameters.get("rope_theta").cloned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_configuration_reads_what_it_wrote() {
        let config = Config::tiny(1024);
        let text = config.to_json();
        assert!(text.contains("\"hidden_size\": 128"), "{text}");
        assert_eq!(Config::from_json(&text, Path::new("config.json")).unwrap(), config);
    }

    #[test]
    fn a_foreign_llama_configuration_fits() {
        let text = r#"{"architectures": ["LlamaForCausalLM"], "attention_bias": false,
            "bos_token_id": 1, "hidden_act": "silu", "hidden_size": 64, "initializer_range": 0.02,
            "intermediate_size": 172, "max_position_embeddings": 512, "model_type": "llama",
            "num_attention_heads": 8, "num_hidden_layers": 5, "rms_norm_eps": 1e-05,
            "rope_scaling": null, "torch_dtype": "float32", "vocab_size": 512}"#;
        let config = Config::from_json(text, Path::new("config.json")).unwrap();
        assert_eq!(config.kv_heads, 8);
        assert_eq!(config.rope_theta, 10_000.0);
        assert!(!config.tied);
    }

    #[test]
    fn the_rotary_base_is_found_where_newer_writers_put_it() {
        let mut value: Value = serde_json::from_str(&Config::tiny(64).to_json()).unwrap();
        value["rope_parameters"] = json!({"rope_theta": 500_000.0, "rope_type": "default"});
        let read = |value: &Value| Config::from_json(&value.to_string(), Path::new("config.json")).unwrap().rope_theta;
        assert_eq!(read(&value), 500_000.0);
        value["rope_parameters"] = Value::Null;
        assert_eq!(read(&value), 10_000.0);
    }

    #[test]
    fn text_that_is_no_object_is_refused() {
        for text in ["[]", "1", "\"x\"", "null", "true", "{"] {
            let error = Config::from_json(text, Path::new("config.json")).unwrap_err();
            assert!(matches!(error, Error::Corrupt { .. }), "{text}: {error}");
        }
    }

    #[test]
    fn what_the_decoder_lacks_is_refused() {
        let cases = [
            ("model_type", Value::from("gpt2"), "`model_type` must be"),
            ("hidden_act", Value::from("gelu"), "`hidden_act` must be"),
            ("attention_bias", Value::from(true), "`attention_bias`"),
            ("rope_scaling", json!({"factor": 2.0}), "`rope_scaling`"),
            ("rope_parameters", json!({"rope_type": "llama3", "factor": 8.0}), "`rope_type` \"llama3\""),
            ("rope_parameters", json!({"rope_type": "default", "partial_rotary_factor": 0.5}), "partial_rotary"),
            ("rope_parameters", json!(7), "must be an object, got 7"),
            ("rope_parameters", json!({"rope_theta": "high"}), "invalid type"),
            ("num_attention_heads", Value::from(u64::MAX), "`hidden_size` must be a multiple"),
            ("head_dim", Value::from(64), "`head_dim` must be"),
            ("hidden_size", Value::from(130), "`hidden_size` must be a multiple"),
            ("num_key_value_heads", Value::from(3), "`num_key_value_heads` must divide"),
            ("vocab_size", Value::from(0), "`vocab_size` must be at least 1"),
        ];
        for (key, replacement, expected) in cases {
            let mut value: Value = serde_json::from_str(&Config::tiny(64).to_json()).unwrap();
            value[key] = replacement;
            let error = Config::from_json(&value.to_string(), Path::new("config.json")).unwrap_err();
            assert!(error.to_string().contains(expected), "{key}: {error}");
        }
    }
}
