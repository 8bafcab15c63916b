//! Fits with one and two parameters.

use plaudit_nn::loss::{bce, sigmoid};

use super::Rows;

/// The temperature is kept between the inverse of this and this.
const MAX_TEMPERATURE: f64 = 100.0;
/// Halvings of the range in which the temperature is searched: to one part in 10¹⁵.
const HALVINGS: usize = 60;
/// Newton steps; about 10 are needed.
const MAX_STEPS: usize = 100;
/// Halvings of one Newton step.
const MAX_HALVINGS: usize = 40;
/// Ridge on the curvature, as Lin, Lin & Weng have it.
const RIDGE: f64 = 1e-12;

/// The temperature with the least log-loss. The loss is convex in `1/T`, so its slope there is bisected.
pub(super) fn temperature(rows: &Rows) -> f64 {
    let slope = |inverse: f64| -> f64 { rows.iter().map(|(z, y, w)| w * z * (sigmoid(inverse * z) - y)).sum() };
    let (mut low, mut high) = (-MAX_TEMPERATURE.ln(), MAX_TEMPERATURE.ln());
    for _ in 0..HALVINGS {
        let middle = (low + high) / 2.0;
        if slope(middle.exp()) > 0.0 {
            high = middle;
        } else {
            low = middle;
        }
    }
    (-(low + high) / 2.0).exp()
}

/// Platt's `(a, b)` by Newton steps with halving (Lin, Lin & Weng, *Machine Learning* 2007, algorithm 1).
pub(super) fn platt(rows: &Rows) -> (f64, f64) {
    let (positive, negative) = rows.class_weights();
    let (high, low) = ((positive + 1.0) / (positive + 2.0), 1.0 / (negative + 2.0));
    // With targets t and the logit −(a·z + b) the loss is that of t.
    let target = |y: f64| y * high + (1.0 - y) * low;
    let loss = |a: f64, b: f64| -> f64 { rows.iter().map(|(z, y, w)| w * bce(-(a * z + b), target(y))).sum() };
    let (mut a, mut b) = (0.0, ((negative + 1.0) / (positive + 1.0)).ln());
    let mut current = loss(a, b);
    for _ in 0..MAX_STEPS {
        let (mut ga, mut gb, mut haa, mut hab, mut hbb) = (0.0, 0.0, RIDGE, 0.0, RIDGE);
        for (z, y, w) in rows.iter() {
            let p = sigmoid(-(a * z + b));
            let (slope, curve) = (w * (target(y) - p), w * p * (1.0 - p));
            ga += slope * z;
            gb += slope;
            haa += curve * z * z;
            hab += curve * z;
            hbb += curve;
        }
        let determinant = haa * hbb - hab * hab;
        let (da, db) = ((hab * gb - hbb * ga) / determinant, (hab * ga - haa * gb) / determinant);
        if !(da.is_finite() && db.is_finite()) {
            break;
        }
        let mut step = 1.0;
        let mut next = loss(a + da, b + db);
        for _ in 0..MAX_HALVINGS {
            if next <= current {
                break;
            }
            step /= 2.0;
            next = loss(a + step * da, b + step * db);
        }
        if next > current {
            break;
        }
        (a, b, current) = (a + step * da, b + step * db, next);
        if (step * da).abs() + (step * db).abs() < 1e-12 {
            break;
        }
    }
    (a, b)
}
