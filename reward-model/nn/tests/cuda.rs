//! The models on a CUDA device against the same models on the CPU. Where the machine has no device, every test says
//! SKIPPED on standard error.
#![cfg(feature = "cuda")]

use std::io::Write;
use std::path::Path;

use candle_core::{Device, Tensor};
use plaudit_event::Seed;
use plaudit_nn::bert::{self, Bert, pool};
use plaudit_nn::decoder::{Config, Decoder};
use plaudit_nn::device::Compute;
use plaudit_nn::lora::{Lora, LoraConfig};
use plaudit_nn::loss::bce_with_logits;
use plaudit_nn::ops::masked_cross_entropy;
use plaudit_nn::optim::{AdamW, AdamWConfig, clip_grad_norm};
use plaudit_nn::{Activations, Params, Precision};

fn device(test: &str) -> Option<Device> {
    let device = Compute::Cuda(0).open();
    if let Err(error) = &device {
        writeln!(std::io::stderr(), "SKIPPED {test}: {error}").expect("standard error");
    }
    device.ok()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().and_then(|flat| flat.to_vec1()).expect("f32 numbers")
}

/// Largest difference by the largest number.
fn error(got: &Tensor, expected: &Tensor) -> f32 {
    let (got, expected) = (values(got), values(expected));
    assert_eq!(got.len(), expected.len());
    let scale = expected.iter().fold(1e-3_f32, |most, x| most.max(x.abs()));
    got.iter().zip(&expected).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs())) / scale
}

fn tokens(vocab_size: u32, device: &Device) -> Tensor {
    let tokens: Vec<u32> = (0..4 * 19).map(|at| (at * at + 7 * at + 3) % vocab_size).collect();
    Tensor::from_vec(tokens, (4, 19), device).expect("one number per position")
}

fn small_bert() -> Bert {
    let config = bert::Config { layers: 3, vocab_size: 97, ..bert::Config::minilm() };
    Bert::init(&config, &mut Seed::new(5).stream("init")).expect("a valid configuration")
}

const LENGTHS: [usize; 4] = [19, 7, 1, 12];

/// Loss and gradients of a binary head on the mean state.
fn bert_step(bert: &Bert, activations: Activations) -> (f32, Vec<(String, Tensor)>) {
    let device = bert.device();
    let labels = Tensor::new(&[[1.0_f32], [0.0], [1.0], [0.0]], &device).expect("a column");
    let loss = |hidden: &Tensor| {
        // Unequal weights: the elements of a normed row add up to nothing.
        let weights: Vec<f32> = (0..384).map(|at| 0.1 * (at as f32).sin()).collect();
        let logits = pool::mean(hidden, &LENGTHS)?.matmul(&Tensor::from_vec(weights, (384, 1), &device)?)?;
        bce_with_logits(&logits, &labels, &labels.ones_like()?)
    };
    let (loss, grads) = bert.backward(&tokens(97, &device), &LENGTHS, activations, loss).expect("valid tokens");
    let grad = |(name, var): (&str, &candle_core::Var)| Some((name.to_owned(), grads.get(var)?.clone()));
    (loss.to_scalar().expect("a scalar"), bert.params().iter().filter_map(grad).collect())
}

/// Mean of the relative distances of the gradients, each by its own norm.
fn distance(got: &[(String, Tensor)], expected: &[(String, Tensor)]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let norm = |values: &[f32]| values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    let one = |((name, got), (_, expected)): (&(String, Tensor), &(String, Tensor))| {
        let (got, expected) = (values(got), values(expected));
        let difference: Vec<f32> = got.iter().zip(&expected).map(|(a, b)| a - b).collect();
        // A bias of the keys moves all scores of a row alike: its gradient is rounding.
        if name.ends_with("key.bias") { 0.0 } else { norm(&difference) / norm(&expected).max(1e-12) }
    };
    got.iter().zip(expected).map(one).sum::<f64>() / expected.len() as f64
}

#[test]
fn decoders_of_every_family_compute_the_reference_logits() {
    let Some(device) = device("decoders_of_every_family_compute_the_reference_logits") else { return };
    for family in ["llama3", "llama_linear", "qwen2", "qwen3"] {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/{family}_reference"));
        let (here, there) = (Decoder::load(&dir, &Device::Cpu).unwrap(), Decoder::load(&dir, &device).unwrap());
        let on_cpu = here.forward(&tokens(29, &Device::Cpu)).unwrap();
        let on_cuda = there.forward(&tokens(29, &device)).unwrap();
        assert!(error(&on_cuda, &on_cpu) < 1e-4, "{family}: {}", error(&on_cuda, &on_cpu));
        let half = there.with_precision(Precision::Bf16).unwrap().forward(&tokens(29, &device)).unwrap();
        assert!(error(&half, &on_cpu) < 5e-2, "{family} in bf16: {}", error(&half, &on_cpu));
    }
}

#[test]
fn an_encoder_has_the_states_and_gradients_of_the_cpu() {
    let Some(device) = device("an_encoder_has_the_states_and_gradients_of_the_cpu") else { return };
    let here = small_bert();
    let there = here.to_device(&device).unwrap();
    let on_cpu = here.hidden(&tokens(97, &Device::Cpu), &LENGTHS).unwrap();
    let on_cuda = there.hidden(&tokens(97, &device), &LENGTHS).unwrap();
    let pooled = |hidden: &Tensor| pool::mean(hidden, &LENGTHS).unwrap();
    assert!(error(&pooled(&on_cuda), &pooled(&on_cpu)) < 1e-4);
    let (loss, grads) = bert_step(&here, Activations::Keep);
    for (activations, precision, tolerance) in [
        (Activations::Keep, Precision::F32, 1e-3),
        (Activations::Recompute, Precision::F32, 1e-3),
        (Activations::Keep, Precision::Bf16, 0.1),
    ] {
        let model = there.try_clone().unwrap().with_precision(precision).unwrap();
        let (got_loss, got) = bert_step(&model, activations);
        assert!((got_loss - loss).abs() < tolerance as f32, "{precision:?}: loss {got_loss} against {loss}");
        let distance = distance(&got, &grads);
        assert!(distance < tolerance, "{precision:?} {activations:?}: gradients are {distance} away");
    }
}

#[test]
fn the_optimiser_makes_the_steps_of_the_cpu() {
    let Some(device) = device("the_optimiser_makes_the_steps_of_the_cpu") else { return };
    let run = |device: &Device| {
        let mut params = Params::new();
        let start: Vec<f32> = (0..1000).map(|at| (at as f32 * 0.37).sin()).collect();
        let x = params.insert("x", &Tensor::from_vec(start, (10, 100), device).unwrap()).unwrap();
        let mut adamw = AdamW::new(&params, AdamWConfig { lr: 0.05, ..AdamWConfig::default() }, &[]).unwrap();
        let mut norms = Vec::new();
        for _ in 0..5 {
            let mut grads =
                ((x.as_tensor() - 0.5).unwrap().sqr().unwrap() * 3.0).unwrap().sum_all().unwrap().backward().unwrap();
            norms.push(clip_grad_norm(&mut grads, &params, 1.0).unwrap());
            adamw.step(&grads, 1.0).unwrap();
        }
        let state = adamw.state().unwrap();
        let second = state.get("v.x").unwrap().to_device(&Device::Cpu).unwrap();
        (x.to_device(&Device::Cpu).unwrap(), second, norms)
    };
    let (here, there) = (run(&Device::Cpu), run(&device));
    assert!(error(&there.0, &here.0) < 1e-5 && error(&there.1, &here.1) < 1e-5);
    for (a, b) in there.2.iter().zip(&here.2) {
        assert!((a / b - 1.0).abs() < 1e-5, "norms {a} and {b}");
    }
}

#[test]
fn a_decoder_learns_in_both_precisions_with_and_without_adapters() {
    let Some(device) = device("a_decoder_learns_in_both_precisions_with_and_without_adapters") else { return };
    let config = Config { hidden: 64, layers: 2, ffn: 128, ..Config::tiny(97) };
    let base = Decoder::init(&config, &mut Seed::new(1).stream("init")).unwrap().to_device(&device).unwrap();
    let tokens = tokens(97, &device);
    let mask = Tensor::ones((4, 18), candle_core::DType::F32, &device).unwrap();
    for (precision, adapted) in [(Precision::F32, false), (Precision::Bf16, false), (Precision::Bf16, true)] {
        let mut decoder = base.try_clone().unwrap().with_precision(precision).unwrap();
        let mut params = decoder.params().clone();
        if adapted {
            let config = LoraConfig::query_and_value(8);
            let lora = Lora::init(decoder.params(), &config, &mut Seed::new(2).stream("lora")).unwrap();
            params = lora.params().clone();
            decoder = decoder.with_lora(&lora).unwrap();
        }
        let mut adamw = AdamW::new(&params, AdamWConfig { lr: 1e-2, ..AdamWConfig::default() }, &[]).unwrap();
        let mut losses = Vec::new();
        for _ in 0..40 {
            let loss = masked_cross_entropy(&decoder.token_logprobs(&tokens, 1.0).unwrap(), &mask).unwrap();
            adamw.step(&loss.backward().unwrap(), 1.0).unwrap();
            losses.push(loss.to_scalar::<f32>().unwrap());
        }
        let (first, last) = (losses[0], losses[39]);
        assert!((first - 97.0_f32.ln()).abs() < 0.2, "{precision:?}: a fresh decoder guesses, loss {first}");
        let most = if adapted { first - 0.2 } else { 0.5 };
        assert!(last < most, "{precision:?}, adapters {adapted}: loss {first} to {last}");
    }
}
