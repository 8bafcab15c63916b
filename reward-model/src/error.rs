//! Why the reward model failed.

use plaudit_ingest::ErrorKind;

/// Everything that can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration has values outside their ranges.
    #[error("invalid reward model configuration: {0}")]
    Config(String),
    /// A value outside its range.
    #[error("`{name}` must be {allowed}, got {got}")]
    Argument {
        /// What has the value.
        name: String,
        /// What is allowed.
        allowed: String,
        /// The value.
        got: String,
    },
    /// A plot could not be drawn.
    #[error("plot failed: {0}")]
    Plot(String),
    /// Tensors or checkpoint files.
    #[error("reward model checkpoint failed")]
    Checkpoint(#[from] plaudit_nn::Error),
    /// A checkpoint is intact but belongs to something else.
    #[error("reward checkpoint `{id}` does not fit: {reason}")]
    Mismatch {
        /// The checkpoint.
        id: String,
        /// What differs.
        reason: String,
    },
    /// The event log.
    #[error("event log failed")]
    Log(#[from] plaudit_ingest::Error),
    /// Training has stopped; with the reason when it failed.
    #[error("reward model training stopped{}", .0.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    Stopped(Option<String>),
    /// The training thread could not be started.
    #[error("failed to start the reward model thread")]
    Thread(#[source] std::io::Error),
}

impl Error {
    /// What the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_) | Self::Argument { .. } => ErrorKind::Invalid,
            Self::Checkpoint(plaudit_nn::Error::Io { .. }) | Self::Thread(_) | Self::Stopped(_) => {
                ErrorKind::Unavailable
            }
            Self::Checkpoint(_) | Self::Mismatch { .. } => ErrorKind::Data,
            Self::Plot(_) => ErrorKind::Internal,
            Self::Log(error) => error.kind(),
        }
    }
}

/// `name` has the value `got`, which is not `allowed`.
pub(crate) fn argument(name: impl Into<String>, allowed: impl Into<String>, got: impl ToString) -> Error {
    Error::Argument { name: name.into(), allowed: allowed.into(), got: got.to_string() }
}
