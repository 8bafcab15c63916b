use candle_core::{Device, Tensor};

use super::*;

/// Expected numbers of both tests below, computed in double precision:
/// ```python
/// import numpy as np
/// A = np.array([[1., 2., -1.], [.5, -1.5, 3.], [2., 0., 1.]]); t = np.array([1., -2., .5])
/// P = {'w': np.array([.5, -1., 2.]), 'b': np.array([.25])}
/// m = {k: 0 * x for k, x in P.items()}; v = {k: 0 * x for k, x in P.items()}
/// lr, b1, b2, eps, wd = .05, .9, .99, 1e-8, {'w': .1, 'b': 0.}
/// for s in range(1, 11):
///     r = A @ P['w'] + P['b'] - t
///     g = {'w': A.T @ r * 2 / 3, 'b': np.array([r.sum() * 2 / 3])}
///     for k in P:
///         P[k] = P[k] * (1 - lr * wd[k])
///         m[k] = b1 * m[k] + (1 - b1) * g[k]; v[k] = b2 * v[k] + (1 - b2) * g[k]**2
///         P[k] = P[k] - lr * (m[k] / (1 - b1**s)) / (np.sqrt(v[k] / (1 - b2**s)) + eps)
///     print(P)
/// ```
const AFTER_1: [f64; 4] = [0.4475, -0.945, 1.94, 0.2];
const AFTER_10: [f64; 4] = [0.01344699, -0.46719676, 1.42016601, -0.23616992];

const CONFIG: AdamWConfig = AdamWConfig { lr: 0.05, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1 };

fn bias_group() -> Vec<Group> {
    vec![Group { pattern: "b".to_owned(), lr_scale: 1.0, weight_decay: 0.0, sparse: false }]
}

fn problem(dtype: DType) -> Params {
    let mut params = Params::new();
    let w = Tensor::from_slice(&[0.5_f64, -1.0, 2.0], 3, &Device::Cpu).unwrap();
    let b = Tensor::from_slice(&[0.25_f64], 1, &Device::Cpu).unwrap();
    params.insert("w", &w.to_dtype(dtype).unwrap()).unwrap();
    params.insert("b", &b.to_dtype(dtype).unwrap()).unwrap();
    params
}

fn gradients(params: &Params) -> GradStore {
    let dtype = params.get("w").unwrap().dtype();
    let matrix = [[1.0_f64, 2.0, -1.0], [0.5, -1.5, 3.0], [2.0, 0.0, 1.0]];
    let matrix = Tensor::new(&matrix, &Device::Cpu).unwrap();
    let target = Tensor::new(&[1.0_f64, -2.0, 0.5], &Device::Cpu).unwrap();
    let weights = params.get("w").unwrap().reshape((3, 1)).unwrap();
    let output = matrix.to_dtype(dtype).unwrap().matmul(&weights).unwrap();
    let output = output.squeeze(1).unwrap();
    let output = output.broadcast_add(params.get("b").unwrap()).unwrap();
    let residual = (output - target.to_dtype(dtype).unwrap()).unwrap();
    let loss = residual.sqr().unwrap().mean_all().unwrap();
    loss.backward().unwrap()
}

fn values(params: &Params) -> Vec<f64> {
    let read = |name| {
        let tensor = params.get(name).unwrap().to_dtype(DType::F64).unwrap();
        tensor.to_vec1::<f64>().unwrap()
    };
    [read("w"), read("b")].concat()
}

fn assert_close(got: &[f64], expected: &[f64], tolerance: f64) {
    for (a, b) in got.iter().zip(expected) {
        assert!((a - b).abs() < tolerance, "{got:?} against {expected:?}");
    }
}

#[test]
fn steps_match_the_reference_fused_and_composed() {
    for (dtype, tolerance) in [(DType::F64, 1e-7), (DType::F32, 2e-6)] {
        let params = problem(dtype);
        let mut adamw = AdamW::new(&params, CONFIG, &bias_group()).unwrap();
        adamw.step(&gradients(&params), 1.0).unwrap();
        assert_close(&values(&params), &AFTER_1, tolerance);
        for _ in 1..10 {
            adamw.step(&gradients(&params), 1.0).unwrap();
        }
        assert_close(&values(&params), &AFTER_10, tolerance);
    }
}

#[test]
fn a_restored_optimiser_goes_on_bit_for_bit() {
    let straight = problem(DType::F32);
    let mut adamw = AdamW::new(&straight, CONFIG, &bias_group()).unwrap();
    for _ in 0..4 {
        adamw.step(&gradients(&straight), 1.0).unwrap();
    }
    let resumed = straight.try_clone().unwrap();
    let state = adamw.state().unwrap().to_bytes().unwrap();
    let state = Params::from_bytes(&state, &Device::Cpu).unwrap();
    let mut other = AdamW::new(&resumed, CONFIG, &bias_group()).unwrap();
    other.restore(&state, adamw.steps()).unwrap();
    for _ in 0..4 {
        adamw.step(&gradients(&straight), 0.5).unwrap();
        other.step(&gradients(&resumed), 0.5).unwrap();
    }
    assert_eq!(straight.to_bytes().unwrap(), resumed.to_bytes().unwrap());
    assert_eq!(adamw.state().unwrap().to_bytes().unwrap(), other.state().unwrap().to_bytes().unwrap());
}

#[test]
fn sparse_groups_leave_untouched_rows_alone() {
    let mut params = Params::new();
    let table = Tensor::ones((4, 2), DType::F32, &Device::Cpu).unwrap();
    params.insert("table", &table).unwrap();
    let sparse = Group { pattern: "table".to_owned(), lr_scale: 1.0, weight_decay: 0.5, sparse: true };
    let mut adamw = AdamW::new(&params, CONFIG, &[sparse]).unwrap();
    let row = |index: u32| {
        let index = Tensor::new(&[index], &Device::Cpu).unwrap();
        let picked = params.get("table").unwrap().index_select(&index, 0);
        let loss = picked.unwrap().sum_all().unwrap();
        loss.backward().unwrap()
    };
    adamw.step(&row(1), 1.0).unwrap();
    adamw.step(&row(3), 1.0).unwrap();
    let after = params.get("table").unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(after[0], [1.0, 1.0]);
    assert_eq!(after[2], [1.0, 1.0]);
    // Decay 0.975, then a step of the full rate: the first moment is unbiased at step 1.
    assert!((after[1][0] - 0.925).abs() < 1e-6, "{after:?}");
    assert!(after[3][0] < 1.0);
}

#[test]
fn clipping_keeps_the_direction_and_reports_the_norm_before() {
    let params = problem(DType::F64);
    let mut grads = gradients(&params);
    let before = grads.get(params.get("w").unwrap()).unwrap().clone();
    let norm = clip_grad_norm(&mut grads, &params, 1.0).unwrap();
    let after = grads.get(params.get("w").unwrap()).unwrap();
    let ratio = (before / after).unwrap().to_vec1::<f64>().unwrap();
    assert_close(&ratio, &[norm; 3], 1e-5);
    let clipped = clip_grad_norm(&mut grads, &params, 1.0).unwrap();
    assert!((clipped - 1.0).abs() < 1e-6, "{clipped}");
}

#[test]
fn clipping_drops_gradients_that_are_not_numbers() {
    let params = problem(DType::F64);
    let mut grads = gradients(&params);
    let w = params.get("w").unwrap();
    let bad = Tensor::new(&[f64::NAN, 1.0, 1.0], &Device::Cpu).unwrap();
    grads.insert(w, bad);
    let norm = clip_grad_norm(&mut grads, &params, 1.0).unwrap();
    assert!(norm.is_nan());
    let left = grads.get(w).unwrap().to_vec1::<f64>().unwrap();
    assert_eq!(left, [0.0; 3]);
}

#[test]
fn numbers_out_of_range_are_refused_by_name() {
    let wrong = AdamWConfig { beta2: 1.0, ..CONFIG };
    let error = AdamW::new(&problem(DType::F32), wrong, &[]).err().unwrap();
    assert_eq!(error.to_string(), "`beta2` must be at least 0 and below 1, got 1");
    // 1e-50 is 0 in single precision.
    for eps in [0.0, 1e-50, f64::NAN, f64::INFINITY] {
        let error = AdamW::new(&problem(DType::F32), AdamWConfig { eps, ..CONFIG }, &[]).err().unwrap();
        assert!(error.to_string().starts_with("`eps` must be finite and at least 1.17"), "{error}");
    }
    let refused = |change: fn(&mut Group)| {
        let mut groups = bias_group();
        change(&mut groups[0]);
        AdamW::new(&problem(DType::F32), CONFIG, &groups).err().unwrap().to_string()
    };
    let scale = refused(|group| group.lr_scale = -1.0);
    assert_eq!(scale, "`lr_scale` of group `b` must be finite and at least 0, got -1");
    let decay = refused(|group| group.weight_decay = f64::NAN);
    assert_eq!(decay, "`weight_decay` of group `b` must be finite and at least 0, got NaN");
}
