//! Losses that stay finite for every finite input.

use candle_core::{DType, Tensor};

use crate::Error;

/// The logistic function, without overflow at either end.
#[must_use]
pub fn sigmoid(logit: f64) -> f64 {
    if logit >= 0.0 {
        1.0 / (1.0 + (-logit).exp())
    } else {
        let e = logit.exp();
        e / (1.0 + e)
    }
}

/// The inverse of [`sigmoid`]; `p` is kept away from 0 and 1 by one part in 10¹².
#[must_use]
pub fn logit(p: f64) -> f64 {
    let p = p.clamp(1e-12, 1.0 - 1e-12);
    (p / (1.0 - p)).ln()
}

/// Binary cross-entropy of one logit `x` against a label `y` in \[0, 1\]:
/// `max(x, 0) − x·y + ln(1 + exp(−|x|))`.
#[must_use]
pub fn bce(x: f64, y: f64) -> f64 {
    x.max(0.0) - x * y + (-x.abs()).exp().ln_1p()
}

/// Weighted mean binary cross-entropy of `logits` `(B, O)` against `labels` `(B, O)`.
///
/// `weights` `(B, O)` is the trust in each label; a weight of 0 masks the entry, whatever the label there is.
/// The mean is over the weights, so that masked entries do not dilute the loss; it is 0 when all are masked.
///
/// The value is the overflow-free form `max(x, 0) − x·y + ln(1 + exp(−|x|))`. The gradient with respect to
/// `logits` is attached explicitly as `w·(σ(x) − y) / Σw`: differentiating the stable form term by term would give
/// `−y` instead of `½ − y` at `x = 0`, where every model with zero-initialised heads starts.
///
/// # Errors
/// Fails when the three shapes differ.
pub fn bce_with_logits(logits: &Tensor, labels: &Tensor, weights: &Tensor) -> Result<Tensor, Error> {
    for (name, other) in [("labels", labels), ("weights", weights)] {
        if other.dims() != logits.dims() {
            return Err(Error::Shape {
                name: name.to_owned(),
                expected: logits.dims().to_vec(),
                got: other.dims().to_vec(),
            });
        }
    }
    let x = logits.detach();
    let mask = weights.gt(0.0)?;
    // Masked labels may be anything, also NaN, and must not get into the sums.
    let y = mask.where_cond(labels, &labels.zeros_like()?)?;
    let w = mask.where_cond(weights, &weights.zeros_like()?)?;
    let total = w.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()?;
    let scale = if total > 0.0 { total.recip() } else { 0.0 };

    let softplus = (x.abs()?.neg()?.exp()? + 1.0)?.log()?;
    let value = ((x.relu()? - (&x * &y)?)? + softplus)?;
    let value = ((value * &w)?.sum_all()? * scale)?;
    let slope = ((stable_sigmoid(&x)? - y)? * w)?.detach();
    // Zero in value, `slope` in gradient.
    let carrier = (((logits - &x)? * slope)?.sum_all()? * scale)?;
    Ok((value.detach() + carrier)?)
}

/// `½(1 + tanh(x/2))`, which overflows nowhere.
fn stable_sigmoid(x: &Tensor) -> Result<Tensor, Error> {
    Ok((((x * 0.5)?.tanh()? + 1.0)? * 0.5)?)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    fn tensor(values: &[f64]) -> Tensor {
        Tensor::from_slice(values, (1, values.len()), &Device::Cpu).unwrap()
    }

    /// Expected numbers from PyTorch's definition, computed with `NumPy` in double precision:
    /// ```python
    /// import numpy as np
    /// x = np.array([0., 0., 2.5, -1.25, 20., 100., -100., -100.])
    /// y = np.array([0., 1., 1., 0.3, 0., 1., 0., 1.])
    /// w = np.array([1., 1., 0.5, 2., 1., 1., 1., 0.25])
    /// loss = np.logaddexp(0, x) - x * y
    /// print((w * loss).sum() / w.sum()); print(w * (1 / (1 + np.exp(-x)) - y) / w.sum())
    /// ```
    const X: [f64; 8] = [0.0, 0.0, 2.5, -1.25, 20.0, 100.0, -100.0, -100.0];
    const Y: [f64; 8] = [0.0, 1.0, 1.0, 0.3, 0.0, 1.0, 0.0, 1.0];
    const W: [f64; 8] = [1.0, 1.0, 0.5, 2.0, 1.0, 1.0, 1.0, 0.25];
    const LOSS: f64 = 6.152206115228138;
    const SLOPE: [f64; 8] = [
        0.06451612903225806,
        -0.06451612903225806,
        -0.004894076130402803,
        -0.019948351270888037,
        0.1290322577985608,
        0.0,
        4.8000980335752716e-45,
        -0.03225806451612903,
    ];

    #[test]
    fn loss_and_gradient_match_the_reference_also_at_extreme_logits() {
        let x = Var::from_tensor(&tensor(&X)).unwrap();
        let loss = bce_with_logits(&x, &tensor(&Y), &tensor(&W)).unwrap();
        let got = loss.to_scalar::<f64>().unwrap();
        assert!((got - LOSS).abs() < 1e-12, "{got} against {LOSS}");
        let grads = loss.backward().unwrap();
        let slope = grads.get(&x).unwrap().to_vec2::<f64>().unwrap();
        for (got, expected) in slope[0].iter().zip(SLOPE) {
            assert!((got - expected).abs() < 1e-12, "{got} against {expected}");
        }
    }

    #[test]
    fn masked_labels_change_nothing_even_when_they_are_not_numbers() {
        let x = Var::from_tensor(&tensor(&[0.3, 0.7])).unwrap();
        let masked = bce_with_logits(&x, &tensor(&[1.0, f64::NAN]), &tensor(&[2.0, 0.0])).unwrap();
        assert!((masked.to_scalar::<f64>().unwrap() - bce(0.3, 1.0)).abs() < 1e-12);
        let grads = masked.backward().unwrap();
        let slope = grads.get(&x).unwrap().to_vec2::<f64>().unwrap();
        assert!((slope[0][0] - (sigmoid(0.3) - 1.0)).abs() < 1e-12);
        assert!(slope[0][1].abs() < 1e-300);
        let none = bce_with_logits(&x, &tensor(&[1.0, 1.0]), &tensor(&[0.0, 0.0])).unwrap();
        assert!(none.to_scalar::<f64>().unwrap().abs() < 1e-300);
    }

    #[test]
    fn shapes_are_checked() {
        let error = bce_with_logits(&tensor(&[0.0]), &tensor(&[0.0, 1.0]), &tensor(&[1.0])).unwrap_err().to_string();
        assert_eq!(error, "parameter `labels` must have shape [1, 1], got [1, 2]");
    }

    #[test]
    fn scalar_forms_invert_each_other_and_agree_with_the_loss() {
        for x in [-20.0, -3.0, 0.0, 0.1, 8.0, 20.0] {
            assert!((logit(sigmoid(x)) - x).abs() < 1e-6, "{x}");
        }
        assert!(logit(0.0).is_finite() && logit(1.0).is_finite());
        assert!((bce(1.5, 1.0) + sigmoid(1.5).ln()).abs() < 1e-12);
        assert!((bce(-800.0, 1.0) - 800.0).abs() < 1e-9 && bce(800.0, 1.0) < 1e-300);
    }
}
