//! Each fused operation against its composed definition and against finite differences; with the feature `cuda` and
//! a device also the kernels against the fused operations of the CPU.

use std::sync::Arc;

use candle_core::{Device, Result, Tensor, Var};
use plaudit_event::{Seed, Stream};

use super::rotary::Rotary;
use super::{Heads, Implementation, masked_cross_entropy};
use crate::init;

fn stream() -> Stream {
    Seed::new(11).stream("ops")
}

fn normal(shape: &[usize], std: f64, stream: &mut Stream) -> Var {
    let tensor = init::normal(shape, std, stream, &Device::Cpu).unwrap();
    Var::from_tensor(&tensor).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// A fixed random weighting of the output makes a scalar whose gradient reaches every element.
fn weighted_sum(out: &Tensor) -> Tensor {
    let mut stream = Seed::new(12).stream("weights");
    let weights = init::normal(out.shape(), 1.0, &mut stream, out.device()).unwrap();
    (out * weights).unwrap().sum_all().unwrap()
}

#[track_caller]
fn assert_close(what: &str, got: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(got.len(), expected.len(), "{what}: lengths differ");
    let scale = expected.iter().fold(1.0_f32, |most, x| most.max(x.abs()));
    for (index, (a, b)) in got.iter().zip(expected).enumerate() {
        let error = (a - b).abs() / scale;
        assert!(error <= tolerance, "{what}[{index}]: got {a}, expected {b}, relative error {error:e}");
    }
}

/// Values and gradients of the fused and the composed implementation agree to 1e-5, and those of the kernels of a
/// CUDA device to 1e-4: its sums run in another order.
#[track_caller]
fn assert_agreement(inputs: &[Var], run: impl Fn(Implementation, &[Var]) -> Result<Tensor>) {
    let fused = run(Implementation::Fused, inputs).unwrap();
    let composed = run(Implementation::Composed, inputs).unwrap();
    assert_eq!(fused.dims(), composed.dims());
    assert_close("value", &values(&fused), &values(&composed), 1e-5);
    let fused_grads = weighted_sum(&fused).backward().unwrap();
    let composed_grads = weighted_sum(&composed).backward().unwrap();
    for (index, input) in inputs.iter().enumerate() {
        let got = values(fused_grads.get(input).expect("the graph is whole"));
        let expected = values(composed_grads.get(input).expect("the graph is whole"));
        assert!(expected.iter().any(|g| *g != 0.0), "input {index} is unused");
        assert_close(&format!("gradient {index}"), &got, &expected, 1e-5);
    }
    let Some(device) = crate::device::tests::cuda() else { return };
    let moved: Vec<Var> =
        inputs.iter().map(|input| Var::from_tensor(&input.to_device(&device).unwrap()).unwrap()).collect();
    let out = run(Implementation::Fused, &moved).unwrap();
    assert!(out.device().is_cuda());
    assert_close("value on CUDA", &values(&out), &values(&fused), 1e-4);
    let grads = weighted_sum(&out).backward().unwrap();
    for (index, (input, on_cpu)) in moved.iter().zip(inputs).enumerate() {
        let got = values(grads.get(input).expect("the graph is whole"));
        assert_close(&format!("gradient {index} on CUDA"), &got, &values(fused_grads.get(on_cpu).unwrap()), 1e-4);
    }
}

/// The gradient of every input along a random direction equals a central difference.
#[track_caller]
fn assert_finite_difference(inputs: &[Var], run: impl Fn() -> Result<Tensor>) {
    const STEP: f64 = 1e-2;
    let mut stream = Seed::new(13).stream("directions");
    let loss = || f64::from(weighted_sum(&run().unwrap()).to_scalar::<f32>().unwrap());
    let grads = weighted_sum(&run().unwrap()).backward().unwrap();
    for (index, input) in inputs.iter().enumerate() {
        let direction = init::normal(input.shape(), 1.0, &mut stream, &Device::Cpu).unwrap();
        let length = direction.sqr().unwrap().sum_all().unwrap();
        let length = f64::from(length.to_scalar::<f32>().unwrap()).sqrt();
        let direction = (direction / length).unwrap();
        let grad = grads.get(input).expect("the graph is whole");
        let slope = (grad * &direction).unwrap().sum_all().unwrap();
        let slope = f64::from(slope.to_scalar::<f32>().unwrap());
        let start = input.as_tensor().copy().unwrap();
        let at = |offset: f64| {
            let moved = (&start + (&direction * offset).unwrap()).unwrap();
            input.set(&moved).unwrap();
            loss()
        };
        let difference = (at(STEP) - at(-STEP)) / (2.0 * STEP);
        input.set(&start).unwrap();
        let norm = f64::from(grad.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap());
        let error = (slope - difference).abs() / norm.sqrt().max(1e-3);
        assert!(error < 2e-3, "input {index}: slope {slope}, central difference {difference}");
    }
}

#[test]
fn linear() {
    let mut rng = stream();
    for (dims, outputs) in [(vec![5, 8], 3), (vec![2, 7, 33], 65), (vec![1, 1], 1)] {
        let x = normal(&dims, 1.0, &mut rng);
        let weight = normal(&[outputs, dims[dims.len() - 1]], 1.0, &mut rng);
        let inputs = [x.clone(), weight.clone()];
        assert_agreement(&inputs, |ops, of| ops.linear(&of[0], &of[1]));
        assert_finite_difference(&inputs, || Implementation::Fused.linear(&x, &weight));
    }
}

#[test]
fn linear_bias() {
    let mut rng = stream();
    for (dims, outputs) in [(vec![5, 8], 3), (vec![2, 7, 33], 65), (vec![1, 1], 1)] {
        let x = normal(&dims, 1.0, &mut rng);
        let weight = normal(&[outputs, dims[dims.len() - 1]], 1.0, &mut rng);
        let bias = normal(&[outputs], 1.0, &mut rng);
        let inputs = [x.clone(), weight.clone(), bias.clone()];
        assert_agreement(&inputs, |ops, of| ops.linear_bias(&of[0], &of[1], &of[2]));
        assert_finite_difference(&inputs, || Implementation::Fused.linear_bias(&x, &weight, &bias));
    }
}

#[test]
fn a_frozen_weight_gets_no_gradient_and_its_input_does() {
    let mut rng = stream();
    let (x, weight, bias) =
        (normal(&[3, 4], 1.0, &mut rng), normal(&[2, 4], 1.0, &mut rng), normal(&[2], 1.0, &mut rng));
    let frozen = weight.detach();
    let out = Implementation::Fused.linear_bias(&x, &frozen, &bias).unwrap();
    let grads = weighted_sum(&out).backward().unwrap();
    assert!(grads.get(&x).is_some() && grads.get(&bias).is_some());
    assert!(grads.get(&weight).is_none() && grads.get(&frozen).is_none());
}

#[test]
fn layer_norm() {
    let mut rng = stream();
    for dims in [vec![3, 5, 32], vec![150, 19], vec![2, 3]] {
        let x = (normal(&dims, 1.5, &mut rng).as_tensor() + 3.0).unwrap();
        let x = Var::from_tensor(&x.detach()).unwrap();
        let weight = normal(&dims[dims.len() - 1..], 1.0, &mut rng);
        let bias = normal(&dims[dims.len() - 1..], 1.0, &mut rng);
        let inputs = [x.clone(), weight.clone(), bias.clone()];
        assert_agreement(&inputs, |ops, of| ops.layer_norm(&of[0], &of[1], &of[2], 1e-2));
        assert_finite_difference(&inputs, || Implementation::Fused.layer_norm(&x, &weight, &bias, 1e-2));
    }
}

#[test]
fn gelu() {
    let mut rng = stream();
    for dims in [vec![2, 3, 17], vec![130, 130]] {
        let x = normal(&dims, 2.0, &mut rng);
        assert_agreement(std::slice::from_ref(&x), |ops, of| ops.gelu(&of[0]));
        assert_finite_difference(std::slice::from_ref(&x), || Implementation::Fused.gelu(&x));
    }
    let far = Var::new(&[-300.0_f32, -8.0, 0.0, 8.0, 300.0], &Device::Cpu).unwrap();
    let out = Implementation::Fused.gelu(&far).unwrap();
    assert_close("value", &values(&out), &[0.0, 0.0, 0.0, 8.0, 300.0], 1e-7);
    let grads = out.sum_all().unwrap().backward().unwrap();
    assert_close("gradient", &values(grads.get(&far).unwrap()), &[0.0, 0.0, 0.5, 1.0, 1.0], 1e-6);
}

#[test]
fn attention_in_both_directions() {
    let mut rng = stream();
    // The second is longer than a block of rows; heads of odd size are allowed.
    for (len, lengths, heads, head_dim) in [(5, vec![5, 2, 3], 2, 3), (70, vec![70, 66], 3, 4)] {
        let shape = Heads { heads, kv_heads: heads, head_dim };
        let dims = [lengths.len(), len, heads * head_dim];
        let [q, k, v] = [0; 3].map(|_| normal(&dims, 1.0, &mut rng));
        let lengths: Arc<[usize]> = lengths.into();
        let run = |ops: Implementation, of: &[Var]| ops.attention_both([&of[0], &of[1], &of[2]], shape, &lengths);
        let inputs = [q.clone(), k.clone(), v.clone()];
        assert_agreement(&inputs, run);
        assert_finite_difference(&inputs, || run(Implementation::Fused, &inputs));
        let wrong: Arc<[usize]> = vec![0; dims[0]].into();
        let error = Implementation::Fused.attention_both([&q, &k, &v], shape, &wrong).unwrap_err();
        assert!(error.to_string().contains("do not fit"), "{error}");
    }
}

#[test]
fn rms_norm() {
    let mut rng = stream();
    // More rows than one block, widths that are and are not multiples of the vector length.
    for dims in [vec![3, 5, 32], vec![150, 19], vec![1, 1]] {
        let x = normal(&dims, 1.5, &mut rng);
        let weight = normal(&dims[dims.len() - 1..], 1.0, &mut rng);
        let inputs = [x.clone(), weight.clone()];
        assert_agreement(&inputs, |ops, of| ops.rms_norm(&of[0], &of[1], 1e-2));
        assert_finite_difference(&inputs, || Implementation::Fused.rms_norm(&x, &weight, 1e-2));
    }
}

#[test]
fn swiglu() {
    let mut rng = stream();
    for dims in [vec![2, 3, 17], vec![130, 130]] {
        let gate = normal(&dims, 2.0, &mut rng);
        let up = normal(&dims, 1.0, &mut rng);
        let inputs = [gate.clone(), up.clone()];
        assert_agreement(&inputs, |ops, of| ops.swiglu(&of[0], &of[1]));
        assert_finite_difference(&inputs, || Implementation::Fused.swiglu(&gate, &up));
    }
}

#[test]
fn swiglu_stays_finite_at_large_gates() {
    let gate = Var::new(&[-200.0_f32, -30.0, 30.0, 200.0], &Device::Cpu).unwrap();
    let up = Var::new(&[1.0_f32; 4], &Device::Cpu).unwrap();
    let out = Implementation::Fused.swiglu(&gate, &up).unwrap();
    assert_close("value", &values(&out), &[0.0, 0.0, 30.0, 200.0], 1e-6);
    let grads = out.sum_all().unwrap().backward().unwrap();
    let grad = values(grads.get(&gate).unwrap());
    assert_close("gradient", &grad, &[0.0, 0.0, 1.0, 1.0], 1e-6);
}

#[test]
fn attention() {
    let mut rng = stream();
    let cases = [
        // (B, T, heads, kv_heads, head_dim); the third is longer than a block of rows.
        (2, 5, 4, 2, 8),
        (1, 1, 2, 2, 4),
        (2, 70, 4, 1, 6),
        (3, 9, 3, 3, 2),
    ];
    for (batch, len, heads, kv_heads, head_dim) in cases {
        let shape = Heads { heads, kv_heads, head_dim };
        let rotary = Arc::new(Rotary::new(10_000.0, head_dim, 80, None));
        let q = normal(&[batch, len, heads * head_dim], 1.0, &mut rng);
        let k = normal(&[batch, len, kv_heads * head_dim], 1.0, &mut rng);
        let v = normal(&[batch, len, kv_heads * head_dim], 1.0, &mut rng);
        // With a single position the probabilities are constant: only v has a gradient.
        let inputs = if len == 1 { vec![v.clone()] } else { vec![v.clone(), q.clone(), k.clone()] };
        let run = |ops: Implementation, of: &[Var]| match of {
            [v, q, k] => ops.attention([q, k, v], shape, &rotary),
            _ => {
                let [q, k] = [&q, &k].map(|x| x.to_device(of[0].device()).unwrap());
                ops.attention([&q, &k, &of[0]], shape, &rotary)
            }
        };
        assert_agreement(&inputs, run);
        assert_finite_difference(&inputs, || run(Implementation::Fused, &inputs));
    }
}

#[test]
fn attention_does_not_see_later_positions() {
    let mut rng = stream();
    let shape = Heads { heads: 2, kv_heads: 1, head_dim: 4 };
    let rotary = Arc::new(Rotary::new(10_000.0, 4, 16, None));
    let q = normal(&[1, 9, 8], 1.0, &mut rng);
    let k = normal(&[1, 9, 4], 1.0, &mut rng);
    let v = normal(&[1, 9, 4], 1.0, &mut rng);
    let run = |len| {
        let cut = |x: &Var| x.narrow(1, 0, len).unwrap();
        let (q, k, v) = (cut(&q), cut(&k), cut(&v));
        let out = Implementation::Fused.attention([&q, &k, &v], shape, &rotary);
        values(&out.unwrap())
    };
    let (long, short) = (run(9), run(6));
    assert_close("prefix", &long[..6 * 8], &short, 1e-6);
}

#[test]
fn attention_refuses_shapes_that_do_not_fit() {
    let shape = Heads { heads: 2, kv_heads: 1, head_dim: 4 };
    let rotary = Arc::new(Rotary::new(10_000.0, 4, 4, None));
    let mut rng = stream();
    let q = normal(&[1, 5, 8], 1.0, &mut rng);
    let kv = normal(&[1, 5, 4], 1.0, &mut rng);
    let attend = |q: &Var, kv: &Var| {
        let out = Implementation::Fused.attention([q, kv, kv], shape, &rotary);
        out.unwrap_err().to_string()
    };
    assert!(attend(&q, &kv).contains("5 positions, at most 4"));
    assert!(attend(&q, &q).contains("do not fit"));
}

#[test]
fn token_logprobs() {
    let mut rng = stream();
    for (dims, temperature) in [(vec![2, 4, 37], 1.0), (vec![40, 16], 0.7), (vec![3, 1], 1.0)] {
        let (rows, vocab_size) = (dims[..dims.len() - 1].to_vec(), dims[dims.len() - 1]);
        let logits = normal(&dims, 3.0, &mut rng);
        let count: usize = rows.iter().product();
        let tokens: Vec<u32> = (0..count).map(|i| ((i * 13) % vocab_size) as u32).collect();
        let tokens = Tensor::from_vec(tokens, rows, &Device::Cpu).unwrap();
        let run = |ops: Implementation, of: &[Var]| {
            ops.token_logprobs(&of[0], &tokens.to_device(of[0].device())?, temperature)
        };
        let inputs = std::slice::from_ref(&logits);
        if vocab_size == 1 {
            assert_eq!(values(&run(Implementation::Fused, inputs).unwrap()), vec![0.0; count]);
            continue;
        }
        assert_agreement(inputs, run);
        assert_finite_difference(inputs, || run(Implementation::Fused, inputs));
    }
}

#[test]
fn token_logprobs_are_exact_at_extreme_logits() {
    let logits = Var::new(&[[1000.0_f32, 0.0, -1000.0]; 3], &Device::Cpu).unwrap();
    let tokens = Tensor::new(&[0_u32, 1, 2], &Device::Cpu).unwrap();
    let out = Implementation::Fused.token_logprobs(&logits, &tokens, 1.0).unwrap();
    assert_eq!(values(&out), [0.0, -1000.0, -2000.0]);
    let grads = out.sum_all().unwrap().backward().unwrap();
    let grad = values(grads.get(&logits).unwrap());
    let expected = [0.0, 0.0, 0.0, -1.0, 1.0, 0.0, -1.0, 0.0, 1.0];
    assert_close("gradient", &grad, &expected, 1e-6);
}

#[test]
fn a_token_outside_the_vocabulary_is_refused() {
    let logits = Tensor::new(&[[0.0_f32, 1.0]], &Device::Cpu).unwrap();
    let tokens = Tensor::new(&[2_u32], &Device::Cpu).unwrap();
    let error = Implementation::Fused.token_logprobs(&logits, &tokens, 1.0).unwrap_err();
    assert!(error.to_string().contains("token 2 outside a vocabulary of 2"));
}

#[test]
fn embed() {
    let mut rng = stream();
    let table = normal(&[7, 33], 1.0, &mut rng);
    // A row that occurs twice gets both gradients, one that does not gets none.
    let tokens = Tensor::new(&[[0_u32, 6, 6], [3, 1, 2]], &Device::Cpu).unwrap();
    let run = |ops: Implementation, of: &[Var]| ops.embed(&of[0], &tokens.to_device(of[0].device())?);
    assert_eq!(run(Implementation::Fused, std::slice::from_ref(&table)).unwrap().dims(), [2, 3, 33]);
    assert_agreement(std::slice::from_ref(&table), run);
    assert_finite_difference(std::slice::from_ref(&table), || run(Implementation::Fused, std::slice::from_ref(&table)));
    let outside = Tensor::new(&[7_u32], &Device::Cpu).unwrap();
    assert!(Implementation::Fused.embed(&table, &outside).is_err());
}

#[test]
fn masked_cross_entropy_averages_what_the_mask_counts() {
    let logprobs = Var::new(&[[-1.0_f32, -2.0, -30.0], [-4.0, -50.0, -60.0]], &Device::Cpu).unwrap();
    let mask = Tensor::new(&[[1.0_f32, 1.0, 0.0], [1.0, 0.0, 0.0]], &Device::Cpu).unwrap();
    let loss = masked_cross_entropy(&logprobs, &mask).unwrap();
    assert!((loss.to_scalar::<f32>().unwrap() - 7.0 / 3.0).abs() < 1e-6);
    let grads = loss.backward().unwrap();
    let third = -1.0 / 3.0;
    let expected = [third, third, 0.0, third, 0.0, 0.0];
    assert_close("gradient", &values(grads.get(&logprobs).unwrap()), &expected, 1e-6);
    let nothing = masked_cross_entropy(&logprobs, &mask.zeros_like().unwrap()).unwrap();
    assert_eq!(nothing.to_scalar::<f32>().unwrap(), 0.0);
}
