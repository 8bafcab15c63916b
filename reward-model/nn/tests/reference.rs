//! The decoder against an independent program in double precision, from a directory as Hugging Face
//! lays it out. `fixtures/llama_reference.py` made the expected numbers and says how.

use candle_core::{DType, Device, Tensor};
use plaudit_nn::Params;
use plaudit_nn::decoder::{CONFIG_FILE, Config, Decoder, WEIGHTS_FILE};
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    tokens: Vec<Vec<u32>>,
    tied: Vec<Vec<Vec<f32>>>,
    untied: Vec<Vec<Vec<f32>>>,
}

fn config(tied: bool) -> Config {
    Config {
        hidden: 16,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        ffn: 20,
        rope_theta: 10_000.0,
        max_positions: 16,
        norm_eps: 1e-5,
        tied,
        ..Config::tiny(13)
    }
}

/// The formula of the fixture: by number of the parameter and number of the element.
fn weights(config: &Config) -> Params {
    let mut params = Params::new();
    for (number, (name, shape)) in config.shapes().into_iter().enumerate() {
        let count: usize = shape.iter().product();
        let wave = |j: usize| (1.7 * number as f64 + 0.9 * j as f64 + 0.013 * (j * j) as f64).sin();
        let value = |j| if shape.len() == 1 { 1.0 + 0.3 * wave(j) } else { 0.35 * wave(j) };
        let values: Vec<f32> = (0..count).map(|j| value(j) as f32).collect();
        let tensor = Tensor::from_vec(values, shape.as_slice(), &Device::Cpu).expect("one value per element");
        params.insert(name, &tensor).expect("memory for a small tensor");
    }
    params
}

#[test]
fn logits_equal_those_of_an_independent_program() {
    let text = include_str!("fixtures/llama_reference.json");
    let reference: Reference = serde_json::from_str(text).unwrap();
    for (tied, expected) in [(true, &reference.tied), (false, &reference.untied)] {
        let config = config(tied);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(CONFIG_FILE), config.to_json()).unwrap();
        weights(&config).save(&dir.path().join(WEIGHTS_FILE)).unwrap();
        let decoder = Decoder::load(dir.path(), &Device::Cpu).unwrap();
        let tokens = Tensor::new(reference.tokens.clone(), &Device::Cpu).unwrap();
        let logits = decoder.forward(&tokens).unwrap();
        assert_eq!(logits.dtype(), DType::F32);
        let logits = logits.to_vec3::<f32>().unwrap();
        for (got, expected) in logits.iter().flatten().flatten().zip(expected.iter().flatten().flatten()) {
            assert!((got - expected).abs() < 2e-5, "tied {tied}: got {got}, expected {expected}");
        }
        assert_eq!(logits.iter().flatten().flatten().count(), 2 * 7 * 13);
    }
}
