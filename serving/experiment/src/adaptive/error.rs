//! What can be wrong with a setting or an observation.

/// Why nothing can be computed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// A number is out of range.
    #[error("{field} is {value}, must be {range}")]
    Value {
        /// Its name.
        field: &'static str,
        /// What it is.
        value: f64,
        /// What it may be.
        range: &'static str,
    },
    /// A list has not one entry per arm.
    #[error("{field} has {found} entries, must have one for each of {arms} arms")]
    Length {
        /// Name of the list.
        field: &'static str,
        /// Entries found.
        found: usize,
        /// Number of arms.
        arms: usize,
    },
}

/// Fails unless `ok`, naming the value.
pub(super) fn check(field: &'static str, value: f64, range: &'static str, ok: bool) -> Result<(), Error> {
    if ok { Ok(()) } else { Err(Error::Value { field, value, range }) }
}

/// Fails unless `weights` has an entry per arm, each in (0, 1], that sum to one.
pub(super) fn check_propensities(weights: &[f64], arms: usize) -> Result<(), Error> {
    if weights.len() != arms {
        return Err(Error::Length { field: "propensities", found: weights.len(), arms });
    }
    for weight in weights {
        check("propensity", *weight, "in (0, 1]", *weight > 0.0 && *weight <= 1.0)?;
    }
    let sum: f64 = weights.iter().sum();
    check("sum of propensities", sum, "1", (sum - 1.0).abs() < 1e-6)
}
