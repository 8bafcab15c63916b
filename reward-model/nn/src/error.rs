//! Why an operation on tensors, parameters or checkpoints failed.

use std::path::{Path, PathBuf};

/// Everything that can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A tensor operation failed; the source names the operation and the shapes.
    #[error("tensor operation failed")]
    Tensor(#[from] candle_core::Error),
    /// A file could not be read or written.
    #[error("failed to access `{path}`")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file holds something else than it claims.
    #[error("`{path}` is corrupt: {reason}")]
    Corrupt {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A parameter is not there.
    #[error("parameter `{0}` is missing")]
    MissingParam(String),
    /// A parameter has another shape than the configuration asks for.
    #[error("parameter `{name}` must have shape {expected:?}, got {got:?}")]
    Shape {
        /// The parameter.
        name: String,
        /// What the configuration asks for.
        expected: Vec<usize>,
        /// What was found.
        got: Vec<usize>,
    },
    /// An argument or a configuration value is outside its range.
    #[error("`{field}` {reason}")]
    Invalid {
        /// The argument or key.
        field: &'static str,
        /// The allowed range and what was given.
        reason: String,
    },
}

impl Error {
    /// An [`Error::Io`] at `path`, for use with `map_err`.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }

    /// An [`Error::Corrupt`] at `path`.
    pub fn corrupt(path: &Path, reason: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_path_buf(), reason: reason.into() }
    }

    /// An [`Error::Invalid`] about `field`.
    pub fn invalid(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid { field, reason: reason.into() }
    }
}

/// An error with all its causes on one line.
#[must_use]
pub fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
