use candle_core::{Device, Tensor};
use plaudit_event::Seed;

use super::*;
use crate::decoder::{Config, Decoder};
use crate::ops::Implementation;
use crate::optim::{AdamW, AdamWConfig};
use crate::{Activations, bert};

fn decoder() -> Decoder {
    let config = Config { hidden: 32, layers: 2, ffn: 40, max_positions: 16, ..Config::tiny(23) };
    let decoder = Decoder::init(&config, &mut Seed::new(3).stream("init")).unwrap();
    for (_, var) in decoder.params().iter() {
        if var.rank() == 2 {
            var.set(&(var.as_tensor() * 8.0).unwrap()).unwrap();
        }
    }
    decoder
}

fn lora_config() -> LoraConfig {
    let targets = ["q_proj", "v_proj", "down_proj"].map(str::to_owned).to_vec();
    LoraConfig { rank: 3, alpha: 6.0, targets }
}

fn adapters(base: &Params) -> Lora {
    Lora::init(base, &lora_config(), &mut Seed::new(4).stream("lora")).unwrap()
}

/// Changes B, which starts at zero.
fn shake(lora: &Lora) {
    let mut stream = Seed::new(5).stream("shake");
    for (name, var) in lora.params().iter() {
        if name.ends_with(B) {
            var.set(&init::normal(var.shape(), 0.3, &mut stream, &Device::Cpu).unwrap()).unwrap();
        }
    }
}

fn tokens() -> Tensor {
    Tensor::new(&[[1_u32, 5, 2, 22, 7, 0], [3, 3, 9, 4, 20, 11]], &Device::Cpu).unwrap()
}

fn loss(decoder: &Decoder) -> Tensor {
    decoder.token_logprobs(&tokens(), 1.0).unwrap().mean_all().unwrap().neg().unwrap()
}

fn largest(a: &Tensor, b: &Tensor) -> f32 {
    let difference = (a - b).unwrap().abs().unwrap().flatten_all().unwrap();
    difference.max(0).unwrap().to_scalar().unwrap()
}

#[test]
fn fresh_adapters_change_nothing_and_merged_ones_compute_the_same() {
    let base = decoder();
    let lora = adapters(base.params());
    let before = base.forward(&tokens()).unwrap();
    let adapted = base.try_clone().unwrap().with_lora(&lora).unwrap();
    assert_eq!(largest(&adapted.forward(&tokens()).unwrap(), &before), 0.0);
    shake(&lora);
    let unmerged = adapted.forward(&tokens()).unwrap();
    assert!(largest(&unmerged, &before) > 0.1);
    let merged = adapted.merged().unwrap();
    assert!(merged.lora().is_none());
    assert!(largest(&merged.forward(&tokens()).unwrap(), &unmerged) < 1e-5);
    let composed = adapted.try_clone().unwrap().with_implementation(Implementation::Composed);
    assert!(largest(&composed.forward(&tokens()).unwrap(), &unmerged) < 1e-5);
}

#[test]
fn only_adapters_get_gradients_kept_or_recomputed() {
    let lora = adapters(decoder().params());
    shake(&lora);
    let adapted = decoder().with_lora(&lora).unwrap();
    let plain = loss(&adapted).backward().unwrap();
    let objective = |hidden: &Tensor| {
        let logprobs = adapted.logprobs_of(hidden, &tokens(), 1.0)?;
        Ok(logprobs.mean_all()?.neg()?)
    };
    let (_, recomputed) = adapted.backward(&tokens(), Activations::Recompute, objective).unwrap();
    for (name, var) in adapted.params().iter() {
        assert!(plain.get(var).is_none() && recomputed.get(var).is_none(), "{name} is not frozen");
    }
    for (name, var) in lora.params().iter() {
        let grad = plain.get(var).unwrap_or_else(|| panic!("{name} has no gradient"));
        assert!(grad.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap() > 0.0, "{name}");
        assert!(largest(grad, recomputed.get(var).unwrap()) < 1e-6, "{name}");
    }
    assert!(!adapted.forward_detached(&tokens()).unwrap().track_op());
}

#[test]
fn training_adapters_lowers_the_loss_and_leaves_the_base_alone() {
    let base = decoder();
    let frozen = base.params().to_bytes().unwrap();
    let lora = adapters(base.params());
    let adapted = base.with_lora(&lora).unwrap();
    let mut optimiser = AdamW::new(lora.params(), AdamWConfig { lr: 1e-2, ..AdamWConfig::default() }, &[]).unwrap();
    let first = loss(&adapted).to_scalar::<f32>().unwrap();
    for _ in 0..30 {
        optimiser.step(&loss(&adapted).backward().unwrap(), 1.0).unwrap();
    }
    let last = loss(&adapted).to_scalar::<f32>().unwrap();
    assert!(last < 0.7 * first, "{first} to {last}");
    assert_eq!(adapted.params().to_bytes().unwrap(), frozen);
}

#[test]
fn a_directory_gives_the_same_adapters() {
    let base = decoder();
    let lora = adapters(base.params());
    shake(&lora);
    let dir = tempfile::tempdir().unwrap();
    lora.save(dir.path()).unwrap();
    let loaded = Lora::load(dir.path(), base.params(), &Device::Cpu).unwrap();
    assert_eq!(loaded.files().unwrap(), lora.files().unwrap());
    assert_eq!(loaded.config(), lora.config());
    let names: Vec<String> = Params::load(&dir.path().join(WEIGHTS_FILE), &Device::Cpu)
        .unwrap()
        .iter()
        .map(|(name, _)| name.to_owned())
        .collect();
    assert_eq!(names[0], "base_model.model.model.layers.0.mlp.down_proj.lora_A.weight");
}

#[test]
fn an_encoder_takes_adapters_too() {
    let config = bert::Config { hidden: 24, layers: 2, heads: 2, ffn: 32, vocab_size: 23, ..bert::Config::minilm() };
    let base = bert::Bert::init(&config, &mut Seed::new(6).stream("init")).unwrap();
    let targets = vec!["query".to_owned(), "intermediate.dense".to_owned()];
    let config = LoraConfig { rank: 2, alpha: 4.0, targets };
    let lora = Lora::init(base.params(), &config, &mut Seed::new(4).stream("lora")).unwrap();
    assert_eq!(lora.params().len(), 8);
    shake(&lora);
    let before = base.hidden(&tokens(), &[6, 4]).unwrap();
    let adapted = base.with_lora(&lora).unwrap();
    let hidden = adapted.hidden(&tokens(), &[6, 4]).unwrap();
    assert!(largest(&hidden, &before) > 1e-3);
    assert!(largest(&adapted.merged().unwrap().hidden(&tokens(), &[6, 4]).unwrap(), &hidden) < 1e-5);
}

#[test]
fn adapters_that_do_not_fit_are_refused() {
    let base = decoder();
    let refused = |change: fn(&mut LoraConfig)| {
        let mut config = lora_config();
        change(&mut config);
        Lora::init(base.params(), &config, &mut Seed::new(4).stream("lora")).unwrap_err().to_string()
    };
    assert_eq!(refused(|c| c.rank = 0), "`r` must be at least 1, got 0");
    assert!(refused(|c| c.rank = 17).contains("must be at most 16"), "{}", refused(|c| c.rank = 17));
    assert_eq!(refused(|c| c.alpha = 0.0), "`lora_alpha` must be finite and above 0, got 0");
    assert!(refused(|c| c.targets = vec!["proj".to_owned()]).contains("got `proj`"));
    assert!(refused(|c| c.targets.clear()).contains("at least 1 projection"));
    let mut params = adapters(base.params()).params().clone();
    params.insert("other", &Tensor::zeros(1, candle_core::DType::F32, &Device::Cpu).unwrap()).unwrap();
    assert!(Lora::from_params(base.params(), lora_config(), params).is_err());
}
