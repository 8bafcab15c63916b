//! The one error type of this crate.

use std::path::{Path, PathBuf};

use plaudit_ingest::{ErrorKind, Problem};

/// What can go wrong in a policy or its learner.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration has values outside their ranges; all of them are listed.
    #[error("invalid configuration: {}", list(.0))]
    Config(Vec<Problem>),
    /// An argument is outside its range.
    #[error("{what} must be {allowed}, got {value}")]
    Invalid {
        /// The argument.
        what: &'static str,
        /// The allowed range, in words.
        allowed: String,
        /// The value refused.
        value: String,
    },
    /// A field of a request is outside its range.
    #[error("`{field}` must be {allowed}, got {value}")]
    Field {
        /// Path of the field.
        field: String,
        /// The allowed range, in words.
        allowed: String,
        /// The value refused.
        value: String,
    },
    /// A policy directory holds something that cannot be served.
    #[error("policy directory `{}` is unusable: {reason}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("failed to {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A computation on tensors, or a checkpoint, failed.
    #[error("model failure")]
    Model(#[from] plaudit_nn::Error),
    /// The reward model failed.
    #[error("reward model failure")]
    Reward(#[from] plaudit_reward_model::Error),
    /// The reward model has seen too little to score anything that counts.
    #[error("the reward model has learned none of the weighted objectives yet")]
    Untrained,
    /// A number that must be finite is not; training has diverged.
    #[error("{what} is not finite at step {step}")]
    Diverged {
        /// The number.
        what: &'static str,
        /// The learner's step.
        step: u64,
    },
    /// Selection could not compute with what it had checked.
    #[error("selection failed: {0}")]
    Selection(String),
    /// A worker thread ended without a result.
    #[error("the {0} thread ended without a result")]
    Worker(&'static str),
}

impl Error {
    /// What the caller should do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_) | Self::Invalid { .. } | Self::Field { .. } => ErrorKind::Invalid,
            Self::Directory { .. } => ErrorKind::Data,
            Self::Io { .. } | Self::Untrained => ErrorKind::Unavailable,
            Self::Model(source) => model_kind(source),
            Self::Reward(source) => source.kind(),
            Self::Diverged { .. } | Self::Selection(_) | Self::Worker(_) => ErrorKind::Internal,
        }
    }

    pub(crate) fn invalid(what: &'static str, allowed: impl Into<String>, value: impl ToString) -> Self {
        Self::Invalid { what, allowed: allowed.into(), value: value.to_string() }
    }

    pub(crate) fn field(field: String, allowed: impl Into<String>, value: impl ToString) -> Self {
        Self::Field { field, allowed: allowed.into(), value: value.to_string() }
    }

    pub(crate) fn directory(path: &Path, reason: impl Into<String>) -> Self {
        Self::Directory { path: path.to_path_buf(), reason: reason.into() }
    }
}

fn model_kind(error: &plaudit_nn::Error) -> ErrorKind {
    match error {
        plaudit_nn::Error::Io { .. } => ErrorKind::Unavailable,
        plaudit_nn::Error::Corrupt { .. } | plaudit_nn::Error::MissingParam(_) | plaudit_nn::Error::Shape { .. } => {
            ErrorKind::Data
        }
        plaudit_nn::Error::Invalid { .. } => ErrorKind::Invalid,
        _ => ErrorKind::Internal,
    }
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("; ")
}
