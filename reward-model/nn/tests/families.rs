//! Llama with scaled positions, Qwen2 and Qwen3 against `transformers`, from directories as Hugging Face
//! lays them out. `fixtures/decoder_reference.py` made them and the expected numbers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use plaudit_event::Seed;
use plaudit_nn::Params;
use plaudit_nn::decoder::{Decoder, WEIGHTS_FILE};
use plaudit_nn::generate::{Generator, Request};
use serde::Deserialize;

const FAMILIES: [&str; 4] = ["llama3", "llama_linear", "qwen2", "qwen3"];

#[derive(Deserialize)]
struct Expected {
    tokens: Vec<Vec<u32>>,
    logits: Vec<Vec<Vec<f32>>>,
}

fn dir(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/{family}_reference"))
}

fn load(family: &str) -> Decoder {
    Decoder::load(&dir(family), &Device::Cpu).expect("the fixture is a decoder")
}

#[test]
fn logits_equal_those_of_transformers() {
    for family in FAMILIES {
        let text = std::fs::read_to_string(dir(family).join("expected.json")).unwrap();
        let expected: Expected = serde_json::from_str(&text).unwrap();
        let tokens = Tensor::new(expected.tokens, &Device::Cpu).unwrap();
        let logits = load(family).forward(&tokens).unwrap().to_vec3::<f32>().unwrap();
        let pairs = logits.iter().flatten().flatten().zip(expected.logits.iter().flatten().flatten());
        let largest = pairs.fold(0.0_f32, |most, (a, b)| (a - b).abs().max(most));
        assert!(largest < 1e-4, "{family}: {largest:e}");
        assert_eq!(logits.iter().flatten().flatten().count(), 2 * 20 * 29);
    }
}

#[test]
fn every_parameter_of_every_family_gets_a_gradient() {
    for family in FAMILIES {
        let decoder = load(family);
        let tokens = Tensor::new(&[[1_u32, 4, 9, 28, 3, 7]], &Device::Cpu).unwrap();
        let grads = decoder.token_logprobs(&tokens, 1.0).unwrap().sum_all().unwrap().backward().unwrap();
        for (name, var) in decoder.params().iter() {
            let grad = grads.get(var).unwrap_or_else(|| panic!("{family}: {name} has no gradient"));
            // A bias of the keys moves all scores of a row alike: its gradient is zero but for rounding,
            // were it not for the positions.
            assert!(grad.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap() > 0.0, "{family}: {name}");
        }
    }
}

#[test]
fn what_is_generated_has_the_log_probabilities_of_the_whole_forward_pass() {
    for family in FAMILIES {
        let decoder = Arc::new(load(family));
        let prompt = vec![1_u32, 5, 17, 2];
        let request = Request {
            prompt: prompt.clone(),
            max_new_tokens: 40,
            temperature: 1.0,
            stop: u32::MAX,
            seed: Seed::new(5),
        };
        let output = Generator::new(Arc::clone(&decoder), 2).unwrap().run(vec![request]).unwrap().remove(0);
        let tokens = Tensor::new([prompt, output.tokens].concat(), &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let logprobs = decoder.token_logprobs_detached(&tokens, 1.0).unwrap().get(0).unwrap();
        let logprobs = logprobs.to_vec1::<f32>().unwrap();
        assert_eq!(output.logprobs.len(), 40);
        for (a, b) in output.logprobs.iter().zip(&logprobs[3..]) {
            assert!((a - b).abs() < 1e-4, "{family}: {a} and {b}");
        }
    }
}

#[test]
fn every_family_is_saved_as_it_was_read() {
    for family in FAMILIES {
        let decoder = load(family);
        let copy = tempfile::tempdir().unwrap();
        decoder.save(copy.path(), DType::F16).unwrap();
        let again = Decoder::load(copy.path(), &Device::Cpu).unwrap();
        assert_eq!(again.config(), decoder.config());
        let original = Params::load(&dir(family).join(WEIGHTS_FILE), &Device::Cpu).unwrap();
        let saved = Params::load(&copy.path().join(WEIGHTS_FILE), &Device::Cpu).unwrap();
        assert_eq!(saved.to_bytes().unwrap(), original.to_bytes().unwrap(), "{family}");
    }
}
