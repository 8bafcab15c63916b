//! From predicted rewards to probabilities, exactly.

use crate::Error;
use crate::error::require;

/// Inverse gap weighting (Abe & Long 1999; SquareCB, Foster & Rakhlin 2020, algorithm 1): with K candidates and
/// the best predicted value ŷ*, every other candidate gets `1/(K + γ·(ŷ* − ŷ))`, and the best what is left, which
/// is at least 1/K. γ = 0 gives even shares.
///
/// The probabilities are what the policy *is*: nothing is sampled or integrated to know them.
///
/// # Errors
/// With no values, one that is not finite, or γ < 0 or not finite.
pub fn inverse_gap(values: &[f64], gamma: f64) -> Result<Vec<f64>, Error> {
    require("values", values.len() as f64, "at least 1", !values.is_empty())?;
    require("gamma", gamma, "finite and >= 0", gamma.is_finite() && gamma >= 0.0)?;
    let (mut best, mut top) = (0, f64::MIN);
    for (index, value) in values.iter().enumerate() {
        require("value", *value, "finite", value.is_finite())?;
        if *value > top {
            (best, top) = (index, *value);
        }
    }
    let count = values.len() as f64;
    let mut probabilities: Vec<f64> = values.iter().map(|value| 1.0 / (count + gamma * (top - value))).collect();
    probabilities[best] = 0.0;
    let others: f64 = probabilities.iter().sum();
    probabilities[best] = 1.0 - others;
    Ok(probabilities)
}
