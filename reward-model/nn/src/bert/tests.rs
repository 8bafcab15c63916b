use candle_core::{Device, Tensor};
use plaudit_event::Seed;

use super::*;

const LENGTHS: [usize; 2] = [5, 3];

fn config() -> Config {
    Config { vocab_size: 19, hidden: 12, layers: 3, heads: 3, ffn: 20, max_positions: 8, types: 2, norm_eps: 1e-6 }
}

fn bert() -> Bert {
    let bert = Bert::init(&config(), &mut Seed::new(3).stream("init")).unwrap();
    for (_, var) in bert.params().iter() {
        if var.rank() == 2 {
            var.set(&(var.as_tensor() * 15.0).unwrap()).unwrap();
        }
    }
    bert
}

fn tokens(padding: u32) -> Tensor {
    Tensor::new(&[[2_u32, 7, 18, 4, 3], [2, 9, 3, padding, padding]], &Device::Cpu).unwrap()
}

fn head(hidden: &Tensor) -> Result<Tensor, Error> {
    let mean = pool::mean(hidden, &LENGTHS)?;
    let weights = init::normal(mean.shape(), 1.0, &mut Seed::new(4).stream("head"), &Device::Cpu)?;
    Ok((mean * weights)?.sum_all()?)
}

fn gradients(bert: &Bert, activations: Activations) -> (f32, GradStore) {
    let (value, grads) = bert.backward(&tokens(0), &LENGTHS, activations, head).unwrap();
    (value.to_scalar().unwrap(), grads)
}

fn largest(a: &Tensor, b: &Tensor) -> f32 {
    let difference = (a - b).unwrap().abs().unwrap().flatten_all().unwrap();
    difference.max(0).unwrap().to_scalar().unwrap()
}

#[test]
fn fused_composed_and_recomputed_gradients_of_all_parameters_agree() {
    let fused = bert();
    let composed = fused.try_clone().unwrap().with_implementation(Implementation::Composed);
    let (value, grads) = gradients(&fused, Activations::Keep);
    let (composed_value, composed_grads) = gradients(&composed, Activations::Keep);
    let (recomputed_value, recomputed) = gradients(&fused, Activations::Recompute);
    assert!((value - composed_value).abs() < 1e-5 && value == recomputed_value);
    for ((name, a), (_, b)) in fused.params().iter().zip(composed.params().iter()) {
        let grad = grads.get(a).unwrap_or_else(|| panic!("{name} has no gradient"));
        assert!(largest(grad, composed_grads.get(b).unwrap()) < 3e-5, "{name}");
        assert!(largest(grad, recomputed.get(a).unwrap()) < 1e-6, "{name}");
    }
}

#[test]
fn a_gradient_is_the_slope() {
    const STEP: f64 = 1e-2;
    let bert = bert();
    let (_, grads) = gradients(&bert, Activations::Keep);
    for name in ["encoder.layer.0.attention.self.query.weight", "embeddings.word_embeddings.weight"] {
        let var = bert.params().get(name).unwrap();
        let grad = grads.get(var).unwrap();
        let norm = f64::from(grad.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap()).sqrt();
        let start = var.as_tensor().copy().unwrap();
        let at = |offset: f64| {
            var.set(&(&start + (grad * (offset / norm)).unwrap()).unwrap()).unwrap();
            f64::from(gradients(&bert, Activations::Keep).0)
        };
        let slope = (at(STEP) - at(-STEP)) / (2.0 * STEP);
        var.set(&start).unwrap();
        assert!((slope / norm - 1.0).abs() < 2e-2, "{name}: {slope} and {norm}");
    }
}

#[test]
fn padding_changes_nothing() {
    let bert = bert();
    let real = |padding: u32| bert.hidden(&tokens(padding), &LENGTHS).unwrap().get(1).unwrap();
    let alone = Tensor::new(&[[2_u32, 9, 3]], &Device::Cpu).unwrap();
    let alone = bert.hidden_detached(&alone, &[3]).unwrap().get(0).unwrap();
    for padding in [0, 11] {
        assert!(largest(&real(padding).narrow(0, 0, 3).unwrap(), &alone) < 1e-5);
    }
    assert!(!bert.hidden_detached(&tokens(0), &LENGTHS).unwrap().track_op());
}

#[test]
fn only_the_last_layers_get_gradients_where_only_they_are_trained() {
    for count in [0, 1, 2, 3] {
        let bert = bert().with_trained(Trained::Last(count)).unwrap();
        let prefixes = bert.trained_prefixes();
        for activations in [Activations::Keep, Activations::Recompute] {
            let (_, grads) = gradients(&bert, activations);
            for (name, var) in bert.params().iter() {
                let trained = prefixes.iter().any(|prefix| name.starts_with(prefix));
                assert_eq!(grads.get(var).is_some(), trained, "{name}, last {count}, {activations:?}");
            }
        }
    }
    let error = bert().with_trained(Trained::Last(4)).unwrap_err().to_string();
    assert_eq!(error, "`trained` must be at most 3 layers, got 4");
}

#[test]
fn files_give_the_same_encoder() {
    let bert = bert();
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in bert.files(DType::F32).unwrap() {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    let loaded = Bert::load(dir.path(), &Device::Cpu).unwrap();
    assert_eq!(loaded.files(DType::F32).unwrap(), bert.files(DType::F32).unwrap());
}

#[test]
fn what_is_outside_the_limits_is_refused() {
    let bert = bert();
    let of_len = |len: usize| Tensor::zeros((1, len), DType::U32, &Device::Cpu).unwrap();
    let refused = |len: usize, lengths: &[usize]| bert.hidden(&of_len(len), lengths).unwrap_err().to_string();
    assert_eq!(refused(9, &[9]), "`tokens` must hold 1 to 8 positions, got 9");
    assert_eq!(refused(8, &[9]), "`lengths` must be 1 to 8, got 9");
    assert_eq!(refused(8, &[0]), "`lengths` must be 1 to 8, got 0");
    assert_eq!(refused(8, &[1, 1]), "`lengths` must hold one number for each of 1 sequences, got 2");
    assert!(bert.hidden(&of_len(8), &[8]).is_ok());
    for (key, value, expected) in [
        ("model_type", "roberta", "`model_type` must be \"bert\", got \"roberta\""),
        ("hidden_act", "relu", "`hidden_act` must be \"gelu\""),
        ("position_embedding_type", "relative_key", "`position_embedding_type` must be"),
    ] {
        let mut json: serde_json::Value = serde_json::from_str(&config().to_json()).unwrap();
        json[key] = value.into();
        let error = Config::from_json(&json.to_string(), Path::new("config.json")).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
