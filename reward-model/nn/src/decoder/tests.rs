use candle_core::{DType, Device, Tensor};
use plaudit_event::Seed;

use super::*;
use crate::Activations;
use crate::ops::masked_cross_entropy;

fn small(tied: bool) -> Config {
    Config {
        hidden: 16,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        ffn: 20,
        rope_theta: 10_000.0,
        max_positions: 12,
        norm_eps: 1e-5,
        tied,
        ..Config::tiny(23)
    }
}

/// Weights large enough for gradients that a finite difference in f32 can resolve.
fn decoder(config: &Config) -> Decoder {
    let decoder = Decoder::init(config, &mut Seed::new(3).stream("init")).unwrap();
    for (_, var) in decoder.params().iter() {
        if var.rank() == 2 {
            var.set(&(var.as_tensor() * 15.0).unwrap()).unwrap();
        }
    }
    decoder
}

fn batch() -> Tensor {
    let rows = [[1_u32, 5, 2, 22, 7, 0], [3, 3, 9, 0, 0, 0]];
    Tensor::new(&rows, &Device::Cpu).unwrap()
}

fn mask() -> Tensor {
    let rows = [[1.0_f32, 1.0, 1.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0]];
    Tensor::new(&rows, &Device::Cpu).unwrap()
}

fn loss(decoder: &Decoder) -> Tensor {
    let logprobs = decoder.token_logprobs(&batch(), 0.9).unwrap();
    masked_cross_entropy(&logprobs, &mask()).unwrap()
}

fn max_difference(a: &Tensor, b: &Tensor) -> f32 {
    let difference = (a - b).unwrap().abs().unwrap();
    difference.flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

#[test]
fn every_parameter_has_a_gradient_and_it_matches_a_finite_difference() {
    const STEP: f64 = 5e-3;
    for tied in [true, false] {
        let decoder = decoder(&small(tied));
        let grads = loss(&decoder).backward().unwrap();
        let mut stream = Seed::new(4).stream("directions");
        for (name, var) in decoder.params().iter() {
            let grad = grads.get(var).unwrap_or_else(|| panic!("{name} has no gradient"));
            let norm = grad.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
            let norm = f64::from(norm).sqrt();
            assert!(norm > 1e-5, "{name}: gradient norm {norm:e}");
            let direction = init::normal(var.shape(), 1.0, &mut stream, &Device::Cpu).unwrap();
            // Half along the gradient, so that the slope is not lost in rounding.
            let direction = (direction * (0.3 / (var.elem_count() as f64).sqrt())).unwrap();
            let direction = (direction + (grad / norm).unwrap()).unwrap();
            let slope = (grad * &direction).unwrap().sum_all().unwrap();
            let slope = f64::from(slope.to_scalar::<f32>().unwrap());
            let start = var.as_tensor().copy().unwrap();
            let at = |offset: f64| {
                var.set(&(&start + (&direction * offset).unwrap()).unwrap()).unwrap();
                f64::from(loss(&decoder).to_scalar::<f32>().unwrap())
            };
            let difference = (at(STEP) - at(-STEP)) / (2.0 * STEP);
            var.set(&start).unwrap();
            let error = (slope - difference).abs();
            assert!(error < 5e-3 * norm + 2e-4, "{name}: slope {slope}, central difference {difference}");
        }
    }
}

#[test]
fn fused_and_composed_operations_give_the_same_decoder() {
    let fused = decoder(&small(true));
    let composed = fused.try_clone().unwrap().with_implementation(Implementation::Composed);
    let (a, b) = (fused.forward(&batch()).unwrap(), composed.forward(&batch()).unwrap());
    assert!(max_difference(&a, &b) < 1e-5, "{}", max_difference(&a, &b));
    let (fused_grads, composed_grads) = (loss(&fused).backward().unwrap(), loss(&composed).backward().unwrap());
    for ((name, a), (_, b)) in fused.params().iter().zip(composed.params().iter()) {
        let difference = max_difference(fused_grads.get(a).unwrap(), composed_grads.get(b).unwrap());
        assert!(difference < 1e-5, "{name}: {difference:e}");
    }
}

#[test]
fn padding_on_the_right_changes_nothing_before_it() {
    let decoder = decoder(&small(true));
    let padded = decoder.forward(&batch()).unwrap().get(1).unwrap();
    let alone = Tensor::new(&[[3_u32, 3, 9]], &Device::Cpu).unwrap();
    let alone = decoder.forward(&alone).unwrap().get(0).unwrap();
    let difference = max_difference(&padded.narrow(0, 0, 3).unwrap(), &alone);
    assert!(difference < 1e-5, "{difference:e}");
}

#[test]
fn logprobs_are_those_of_the_next_token() {
    let decoder = decoder(&small(true));
    let temperature = 0.8;
    let logits = (decoder.forward(&batch()).unwrap() / temperature).unwrap();
    let logits = logits.to_vec3::<f32>().unwrap();
    let tokens = batch().to_vec2::<u32>().unwrap();
    let logprobs = decoder.token_logprobs(&batch(), temperature).unwrap();
    assert_eq!(logprobs.dims(), [2, 5]);
    let detached = decoder.token_logprobs_detached(&batch(), temperature).unwrap();
    assert_eq!(max_difference(&logprobs, &detached), 0.0);
    for (row, logprobs) in logprobs.to_vec2::<f32>().unwrap().iter().enumerate() {
        for (position, logprob) in logprobs.iter().enumerate() {
            let z = &logits[row][position];
            let total: f64 = z.iter().map(|&z| f64::from(z).exp()).sum();
            let chosen = z[tokens[row][position + 1] as usize];
            let expected = f64::from(chosen) - total.ln();
            assert!((f64::from(*logprob) - expected).abs() < 1e-5);
        }
    }
}

#[test]
fn a_detached_pass_keeps_no_graph() {
    let decoder = decoder(&small(true));
    assert!(decoder.forward(&batch()).unwrap().track_op());
    assert!(!decoder.forward_detached(&batch()).unwrap().track_op());
}

#[test]
fn a_directory_gives_the_same_decoder_and_half_precision_a_near_one() {
    let decoder = decoder(&small(false));
    let expected = decoder.forward(&batch()).unwrap();
    for (dtype, tolerance) in [(DType::F32, 0.0), (DType::F16, 0.05)] {
        let dir = tempfile::tempdir().unwrap();
        decoder.save(dir.path(), dtype).unwrap();
        let loaded = Decoder::load(dir.path(), &Device::Cpu).unwrap();
        assert_eq!(loaded.config(), decoder.config());
        let is_f32 = |(_, var): (&str, &candle_core::Var)| var.dtype() == DType::F32;
        assert!(loaded.params().iter().all(is_f32));
        let difference = max_difference(&loaded.forward(&batch()).unwrap(), &expected);
        assert!(difference <= tolerance, "{dtype:?}: {difference}");
        assert_eq!(loaded.files(dtype).unwrap(), decoder.files(dtype).unwrap());
    }
}

#[test]
fn a_copy_learns_on_its_own() {
    let decoder = decoder(&small(true));
    let before = decoder.forward(&batch()).unwrap();
    let copy = decoder.try_clone().unwrap();
    let norm = copy.params().get(FINAL_NORM).unwrap();
    norm.set(&(norm.as_tensor() * 2.0).unwrap()).unwrap();
    assert_eq!(max_difference(&decoder.forward(&batch()).unwrap(), &before), 0.0);
    assert!(max_difference(&copy.forward(&batch()).unwrap(), &before) > 0.1);
}

#[test]
fn equal_streams_give_equal_decoders_with_the_stated_spread() {
    let config = Config::tiny(1024);
    let draw = |seed| Decoder::init(&config, &mut Seed::new(seed).stream("init")).unwrap();
    let decoder = draw(1);
    assert_eq!(decoder.params().num_elements(), 1_115_520);
    assert_eq!(decoder.files(DType::F16).unwrap(), draw(1).files(DType::F16).unwrap());
    assert_ne!(decoder.files(DType::F16).unwrap(), draw(2).files(DType::F16).unwrap());
    let spread = |name: &str| {
        let var = decoder.params().get(name).unwrap();
        let variance = var.sqr().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap();
        variance.sqrt()
    };
    assert!((spread(EMBEDDING) - 0.02).abs() < 2e-4);
    let residual = 0.02 / 10.0_f32.sqrt();
    assert!((spread(&layer_name(3, DOWN_PROJ)) - residual).abs() < 1e-4);
}

#[test]
fn parameters_that_do_not_fit_are_named() {
    let config = small(true);
    let rebuilt = |change: &dyn Fn(&mut Params)| {
        let mut params = decoder(&config).params().try_clone().unwrap();
        change(&mut params);
        Decoder::from_params(config.clone(), params)
    };
    let zeros = |shape: (usize, usize)| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let q_proj = layer_name(1, Q_PROJ);
    let error = rebuilt(&|params| {
        params.insert(&*q_proj, &zeros((16, 8))).unwrap();
    });
    assert_eq!(
        error.unwrap_err().to_string(),
        "parameter `model.layers.1.self_attn.q_proj.weight` must have shape [16, 16], got [16, 8]"
    );
    let error = rebuilt(&|params| {
        params.insert("model.extra.weight", &zeros((2, 3))).unwrap();
    });
    assert_eq!(
        error.unwrap_err().to_string(),
        "`config` has no place for parameter `model.extra.weight` of shape [2, 3]"
    );
    let error = Decoder::from_params(config.clone(), Params::new()).unwrap_err();
    assert!(error.to_string().ends_with("is missing"), "{error}");
    // Tied checkpoints often carry the head a second time.
    let with_head = rebuilt(&|params| {
        params.insert(HEAD, &zeros((23, 16))).unwrap();
    });
    assert!(!with_head.unwrap().params().contains(HEAD));
}

#[test]
fn inputs_outside_the_limits_are_refused() {
    let decoder = decoder(&small(true));
    let of_len = |len: usize| Tensor::zeros((1, len), DType::U32, &Device::Cpu).unwrap();
    let error = decoder.forward(&of_len(13)).unwrap_err().to_string();
    assert_eq!(error, "`tokens` must hold 1 to 12 positions, got 13");
    assert!(decoder.forward(&of_len(12)).is_ok());
    assert!(decoder.token_logprobs(&of_len(1), 1.0).is_err());
    assert!(decoder.token_logprobs(&of_len(3), 0.0).is_err());
    let outside = Tensor::new(&[[23_u32, 0]], &Device::Cpu).unwrap();
    assert!(decoder.forward(&outside).is_err());
}

#[test]
fn the_hidden_state_is_that_of_the_last_real_token() {
    let decoder = decoder(&small(false));
    let lengths = [6, 3];
    let hidden = decoder.hidden(&batch(), &lengths).unwrap();
    assert_eq!(hidden.dims(), [2, 16]);
    let head = decoder.params().get(HEAD).unwrap();
    let logits = hidden.matmul(&head.t().unwrap()).unwrap();
    let all = decoder.forward(&batch()).unwrap();
    for (row, len) in lengths.into_iter().enumerate() {
        let expected = all.get(row).unwrap().get(len - 1).unwrap();
        assert!(max_difference(&logits.get(row).unwrap(), &expected) < 1e-5);
    }
    let detached = decoder.hidden_detached(&batch(), &lengths).unwrap();
    assert!(!detached.track_op());
    assert_eq!(max_difference(&detached, &hidden), 0.0);
    let grads = hidden.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    assert!(grads.get(decoder.params().get(EMBEDDING).unwrap()).is_some());
    assert!(decoder.hidden(&batch(), &[6, 7]).is_err());
    assert!(decoder.hidden(&batch(), &[6]).is_err());
}

#[test]
fn recomputed_activations_give_the_same_gradients() {
    for tied in [true, false] {
        let decoder = decoder(&small(tied));
        let plain = loss(&decoder);
        let grads = plain.backward().unwrap();
        for activations in [Activations::Keep, Activations::Recompute] {
            let objective = |hidden: &Tensor| {
                let logprobs = decoder.logprobs_of(hidden, &batch(), 0.9)?;
                Ok(masked_cross_entropy(&logprobs, &mask())?)
            };
            let (value, again) = decoder.backward(&batch(), activations, objective).unwrap();
            assert_eq!(value.to_scalar::<f32>().unwrap(), plain.to_scalar::<f32>().unwrap());
            for (name, var) in decoder.params().iter() {
                let difference = max_difference(grads.get(var).unwrap(), again.get(var).unwrap());
                assert!(difference < 1e-6, "{name}: {difference:e}");
            }
        }
    }
}

#[test]
fn variables_of_the_loss_get_gradients_too() {
    let decoder = decoder(&small(true));
    let head = candle_core::Var::zeros((1, 16), DType::F32, &Device::Cpu).unwrap();
    for activations in [Activations::Keep, Activations::Recompute] {
        let objective = |hidden: &Tensor| {
            let last = crate::bert::pool::last(hidden, &[6, 3])?;
            Ok(Implementation::Fused.linear(&last, &head)?.sum_all()?)
        };
        let (_, grads) = decoder.backward(&batch(), activations, objective).unwrap();
        assert!(grads.get(&head).is_some(), "{activations:?}");
    }
}
