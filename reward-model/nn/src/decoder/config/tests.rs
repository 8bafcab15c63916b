use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::Error;

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
        ("mlp_bias", Value::from(true), "`mlp_bias`"),
        ("use_sliding_window", Value::from(true), "`use_sliding_window`"),
        ("layer_types", json!(["full_attention", "sliding_attention"]), "got \"sliding_attention\""),
        ("rope_scaling", json!({"factor": 2.0}), "`rope_scaling` with `factor` 2.0"),
        ("rope_scaling", json!({"type": "dynamic", "factor": 2.0}), "`rope_type` \"dynamic\""),
        ("rope_scaling", json!({"type": "linear", "factor": 0.5}), "`factor` must be"),
        ("rope_parameters", json!({"rope_type": "llama3", "factor": 8.0}), "missing field `low_freq_factor`"),
        ("rope_parameters", json!({"rope_type": "yarn", "factor": 8.0}), "`rope_type` \"yarn\""),
        ("rope_parameters", json!({"rope_type": "default", "partial_rotary_factor": 0.5}), "partial_rotary"),
        ("rope_parameters", json!(7), "must be an object, got 7"),
        ("rope_parameters", json!({"rope_theta": "high"}), "invalid type"),
        ("num_attention_heads", Value::from(u64::MAX), "`hidden_size` must be a multiple"),
        ("head_dim", Value::from(63), "`head_dim` must be even"),
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

#[test]
fn every_family_reads_what_it_wrote() {
    let llama3 = RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192.0,
    };
    for family in Family::ALL {
        for rope_scaling in [None, Some(RopeScaling::Linear { factor: 2.0 }), Some(llama3)] {
            let config = Config { family, rope_scaling, head_dim: Some(48), ..Config::tiny(64) };
            assert_eq!(Config::from_json(&config.to_json(), Path::new("config.json")).unwrap(), config);
        }
    }
}
