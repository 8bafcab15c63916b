//! What can be wrong with a log or a setting.

/// Why nothing can be computed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// There is no row.
    #[error("no rows to evaluate")]
    Empty,
    /// A number of a row is out of range or not a number.
    #[error("row {row}: {field} is {value}, must be {range}")]
    Value {
        /// Index of the row.
        row: usize,
        /// Name of the field.
        field: &'static str,
        /// What it is.
        value: f64,
        /// What it may be.
        range: &'static str,
    },
    /// Lists of a row that must be equally long are not.
    #[error("row {row}: {field} has {found} entries, must have {expected}")]
    Length {
        /// Index of the row.
        row: usize,
        /// Name of the list.
        field: &'static str,
        /// Entries found.
        found: usize,
        /// Entries expected.
        expected: usize,
    },
    /// The estimator needs a reward model, and this row has no values.
    #[error("row {row}: the estimator needs model values and there are none")]
    NoModel {
        /// Index of the row.
        row: usize,
    },
    /// The estimator has a denominator of zero: no weight, or no row that matches.
    #[error("the weights of the estimator sum to zero")]
    NoWeight,
    /// A setting is out of range.
    #[error("{field} is {value}, must be {range}")]
    Setting {
        /// Name of the setting.
        field: &'static str,
        /// What it is.
        value: f64,
        /// What it may be.
        range: &'static str,
    },
    /// The estimator is not a mean of independent scores, so no finite-sample bound holds for it.
    #[error("no lower bound holds for a self-normalised estimator")]
    NoBound,
}

/// Fails unless `ok`, naming the setting.
pub(super) fn setting(field: &'static str, value: f64, range: &'static str, ok: bool) -> Result<(), Error> {
    if ok { Ok(()) } else { Err(Error::Setting { field, value, range }) }
}
