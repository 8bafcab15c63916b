//! Shape of a decoder, read and written as a `config.json` of the Llama family.

mod json;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::ops::Heads;
pub use crate::ops::rotary::RopeScaling;

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
    /// Query heads per block; divides `hidden` into heads of even size unless `head_dim` is given.
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
    /// Elements of one head, even; `hidden / heads` when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
    /// What distinguishes the relatives of Llama. In JSON: `model_type`.
    #[serde(skip)]
    pub family: Family,
    /// Whether the four projections of attention have biases (Llama and Qwen3; those of Qwen2 are fixed).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub attention_bias: bool,
    /// How the rotary frequencies are stretched for longer sequences than were trained.
    #[serde(skip)]
    pub rope_scaling: Option<RopeScaling>,
}

/// A family of decoders that differ from Llama in attention only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Family {
    /// Touvron et al. 2023.
    #[default]
    Llama,
    /// Biases on q, k and v (Yang et al. 2024, arXiv 2407.10671).
    Qwen2,
    /// RMSNorm of each head of q and k before the positions (Yang et al. 2025, arXiv 2505.09388).
    Qwen3,
}

impl Family {
    const ALL: [Self; 3] = [Self::Llama, Self::Qwen2, Self::Qwen3];

    /// `model_type` and the entry of `architectures`.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Llama => ("llama", "LlamaForCausalLM"),
            Self::Qwen2 => ("qwen2", "Qwen2ForCausalLM"),
            Self::Qwen3 => ("qwen3", "Qwen3ForCausalLM"),
        }
    }
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
            head_dim: None,
            family: Family::Llama,
            attention_bias: false,
            rope_scaling: None,
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
        match self.head_dim {
            Some(head_dim) if head_dim == 0 || !head_dim.is_multiple_of(2) => {
                return Err(Error::invalid("head_dim", format!("must be even and at least 2, got {head_dim}")));
            }
            None if !self.hidden.is_multiple_of(self.heads.saturating_mul(2)) => {
                let reason = format!("must be a multiple of twice the {} heads, got {}", self.heads, self.hidden);
                return Err(Error::invalid("hidden_size", reason));
            }
            _ => {}
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
        if self.family == Family::Qwen2 && self.attention_bias {
            return Err(Error::invalid("attention_bias", "must be false for qwen2, whose biases are fixed, got true"));
        }
        self.rope_scaling.as_ref().map_or(Ok(()), RopeScaling::validate)
    }

    /// How columns split into heads.
    #[must_use]
    pub fn heads(&self) -> Heads {
        Heads {
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim.unwrap_or(self.hidden / self.heads),
        }
    }

    /// The projections of attention that have a bias, with its length.
    fn biases(&self) -> Vec<(&'static str, usize)> {
        let heads = self.heads();
        let mut biases = vec![(Q_PROJ, heads.q_width()), (K_PROJ, heads.kv_width()), (V_PROJ, heads.kv_width())];
        match (self.family, self.attention_bias) {
            (Family::Qwen2, _) => {}
            (_, true) => biases.push((O_PROJ, self.hidden)),
            (_, false) => biases.clear(),
        }
        biases
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
            for (part, width) in self.biases() {
                shapes.push((layer_bias(layer, part), vec![width]));
            }
            if self.family == Family::Qwen3 {
                shapes.push((layer_name(layer, Q_NORM), vec![heads.head_dim]));
                shapes.push((layer_name(layer, K_NORM), vec![heads.head_dim]));
            }
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
pub(crate) const Q_NORM: &str = "self_attn.q_norm";
pub(crate) const K_NORM: &str = "self_attn.k_norm";
pub(crate) const GATE_PROJ: &str = "mlp.gate_proj";
pub(crate) const UP_PROJ: &str = "mlp.up_proj";
pub(crate) const DOWN_PROJ: &str = "mlp.down_proj";

/// The checkpoint name of one weight of one layer.
pub(crate) fn layer_name(layer: usize, part: &str) -> String {
    format!("model.layers.{layer}.{part}.weight")
}

/// The checkpoint name of one bias of one layer.
pub(crate) fn layer_bias(layer: usize, part: &str) -> String {
    format!("model.layers.{layer}.{part}.bias")
}

/// The name of one module of one layer, without that of the parameter.
pub(super) fn module(layer: usize, part: &str) -> String {
    format!("model.layers.{layer}.{part}")
}
