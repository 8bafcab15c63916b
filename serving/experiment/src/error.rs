//! Why nothing can be computed.

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
    /// A list is too short or too long.
    #[error("{field} has {found} entries, must have {expected}")]
    Length {
        /// Name of the list.
        field: &'static str,
        /// Entries found.
        found: usize,
        /// Entries expected.
        expected: usize,
    },
    /// There is no row.
    #[error("no rows to evaluate")]
    Empty,
    /// A number of a row is out of range or not a number.
    #[error("row {row}: {field} is {value}, must be {range}")]
    RowValue {
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
    RowLength {
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
    /// The estimator is not a mean of independent scores, so no finite-sample bound holds for it.
    #[error("no lower bound holds for a self-normalised estimator")]
    NoBound,
    /// A ranking has an item twice.
    #[error("ranking {ranking} has the same item at places {first} and {second}")]
    Repeated {
        /// Index of the ranking.
        ranking: usize,
        /// Index of the first.
        first: usize,
        /// Index of the second.
        second: usize,
    },
    /// No mixture of the allowed lists is fair to both rankings.
    #[error("no mixture of the allowed lists is unbiased: an off-balance of {residual} is left")]
    Biased {
        /// Credit that a blind user would give to one side.
        residual: f64,
    },
}

/// Fails unless `ok`, naming the value.
pub(crate) fn require(field: &'static str, value: f64, range: &'static str, ok: bool) -> Result<(), Error> {
    if ok { Ok(()) } else { Err(Error::Value { field, value, range }) }
}
