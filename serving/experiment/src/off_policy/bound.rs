//! Lower bounds of a mean of independent values, for gates.
//!
//! What a gate asks is one-sided: the value is at least so much, with probability `1 − alpha`. The functions
//! here take one value per unit.

use serde::{Deserialize, Serialize};
use statrs::distribution::{Continuous, ContinuousCDF, StudentsT};

use crate::Error;
use crate::error::require;

/// Which bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LowerBound {
    /// [`betting`]: valid for every sample size, and the tightest of the valid ones.
    #[default]
    Betting,
    /// [`empirical_bernstein`]: valid, but at rare rewards below zero for very long.
    EmpiricalBernstein,
    /// [`hoeffding`]: valid, and looser still.
    Hoeffding,
    /// [`student_t`]: for reports; valid only in the limit, which rare rewards are far from.
    StudentT,
}

/// Largest share of the capital that one value can lose.
const BOLDNESS: f64 = 0.75;

fn check(values: &[f64], alpha: f64, at_least: usize) -> Result<(), Error> {
    require("alpha", alpha, "in (0, 1)", alpha > 0.0 && alpha < 1.0)?;
    match values.iter().position(|value| !value.is_finite()) {
        Some(row) => Err(Error::RowValue { row, field: "score", value: values[row], range: "finite" }),
        None if values.len() < at_least => Err(Error::Empty),
        None => Ok(()),
    }
}

/// The betting bound for values that are at least `floor` (Waudby-Smith & Ramdas 2024, section 4; for
/// off-policy scores Waudby-Smith, Wu, Ramdas, Karampatziakis & Mineiro 2024).
///
/// If the mean were at most v, a gambler who stakes λ_t on `x_t − v`, λ_t depending on earlier values only,
/// would have capital `Π (1 + λ_t·(x_t − v))`, a supermartingale, above 1/α with probability at most α. The
/// bound is the smallest v that is not refuted so. The stake is `√(2·ln(1/α)/(n·σ̂²_{t−1}))`, best for the
/// sample size n (their equation 26), and at most `0.75/(v − floor)`, which keeps the capital positive.
///
/// No upper limit of the values enters, so none can be wrong: the largest weight need not be known, and the
/// largest weight *seen*, which voids the bounds that use it, is not needed. `scale` > 0 is the usual size of
/// a value; it makes the first stakes and nothing else. Values are in the order of time.
///
/// # Errors
/// When there is no value, one is below `floor` or not finite, or a setting is out of range.
pub fn betting(values: &[f64], floor: f64, scale: f64, alpha: f64) -> Result<f64, Error> {
    check(values, alpha, 1)?;
    require("floor", floor, "finite", floor.is_finite())?;
    require("scale", scale, "finite and > 0", scale.is_finite() && scale > 0.0)?;
    if let Some(row) = values.iter().position(|value| *value < floor) {
        return Err(Error::RowValue { row, field: "score", value: values[row], range: "at least its floor" });
    }
    let shifted: Vec<f64> = values.iter().map(|value| value - floor).collect();
    let stakes = stakes(&shifted, scale, alpha);
    let is_refuted = |mean: f64| {
        let cap = BOLDNESS / mean;
        let gains = shifted.iter().zip(&stakes).map(|(value, stake)| (stake.min(cap) * (value - mean)).ln_1p());
        gains.sum::<f64>() >= -alpha.ln()
    };
    // The capital falls as the mean rises, so what is refuted is an interval that starts at the floor.
    let (mut low, mut high) = (0.0, shifted.iter().sum::<f64>() / shifted.len() as f64);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if middle > 0.0 && is_refuted(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(floor + low)
}

/// What is staked on each value, from the values before it; `scale²/4` counts as a first squared deviation.
fn stakes(values: &[f64], scale: f64, alpha: f64) -> Vec<f64> {
    let (mut sum, mut squares, mut seen) = (0.0, scale * scale / 4.0, 1.0);
    let budget = -2.0 * alpha.ln() / values.len() as f64;
    let mut stakes = Vec::with_capacity(values.len());
    for value in values {
        stakes.push((budget * seen / squares).sqrt());
        sum += value;
        squares += (value - sum / seen).powi(2);
        seen += 1.0;
    }
    stakes
}

/// `x̄ − width·√(ln(1/α)/(2n))` for values in an interval of that `width` (Hoeffding 1963), which must be known
/// beforehand.
///
/// # Errors
/// When there is no value, the values spread over more than `width`, or a setting is out of range.
pub fn hoeffding(values: &[f64], width: f64, alpha: f64) -> Result<f64, Error> {
    check(values, alpha, 1)?;
    check_width(values, width)?;
    let n = values.len() as f64;
    Ok(mean(values) - width * (-alpha.ln() / (2.0 * n)).sqrt())
}

/// `x̄ − 7·width·ln(2/α)/(3(n−1)) − √(2·ln(2/α)·s²/(n−1))`, s² with denominator n, for values in an interval of
/// that `width` (Maurer & Pontil 2009, theorem 4, as in Thomas, Theocharous & Ghavamzadeh 2015).
///
/// # Errors
/// When there are fewer than two values, they spread over more than `width`, or a setting is out of range.
pub fn empirical_bernstein(values: &[f64], width: f64, alpha: f64) -> Result<f64, Error> {
    check(values, alpha, 2)?;
    check_width(values, width)?;
    let (log, free) = ((2.0 / alpha).ln(), values.len() as f64 - 1.0);
    Ok(mean(values) - 7.0 * width * log / (3.0 * free) - (2.0 * log * variance(values) / free).sqrt())
}

/// `x̄ − t_{1−α, n−1}·√(s²/(n−1))`, s² with denominator n.
///
/// # Errors
/// When there are fewer than two values or a setting is out of range.
pub fn student_t(values: &[f64], alpha: f64) -> Result<f64, Error> {
    check(values, alpha, 2)?;
    let free = values.len() as f64 - 1.0;
    Ok(mean(values) - t_quantile(alpha, free) * (variance(values) / free).sqrt())
}

fn check_width(values: &[f64], width: f64) -> Result<(), Error> {
    let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), x| (x.min(low), x.max(high)));
    require("width", width, "finite and at least the spread of the values", width.is_finite() && width >= high - low)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn variance(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64
}

/// The point above which Student's t has the probability `tail`. The library's inverse is only a start: it is
/// off by up to 10 % in far tails, so Newton's method polishes it on the survival function.
fn t_quantile(tail: f64, free: f64) -> f64 {
    let t = StudentsT::new(0.0, 1.0, free).expect("n − 1 is positive");
    let mut x = t.inverse_cdf(1.0 - tail);
    for _ in 0..4 {
        x += (t.sf(x) - tail) / t.pdf(x);
    }
    x
}
