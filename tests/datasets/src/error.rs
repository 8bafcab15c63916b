//! Why a data set cannot be read, or a made-up one not be written.

use std::path::PathBuf;

/// Why a data set cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that is absent or cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file that cannot be written.
    #[error("cannot write `{path}`")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A line of the wrong shape.
    #[error("line {line} of `{path}` is malformed")]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A line of the right shape with a value that makes no sense.
    #[error("line {line} of `{path}`: `{field}` {problem}, got `{value}`")]
    Value {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// The field.
        field: &'static str,
        /// What it should be.
        problem: &'static str,
        /// What it is.
        value: String,
    },
}
