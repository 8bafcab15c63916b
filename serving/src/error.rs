//! The one error type of this crate.

use std::net::SocketAddr;
use std::time::Duration;

use plaudit_event::ExperimentId;
use plaudit_ingest::{ErrorKind, Problem};

/// What can go wrong while serving.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration has values outside their ranges; all of them are listed.
    #[error("invalid configuration: {}", list(.0))]
    Config(Vec<Problem>),
    /// A request has a field that cannot be used.
    #[error("`{field}` {reason}")]
    Invalid {
        /// Path of the field.
        field: String,
        /// The allowed range and what was given.
        reason: String,
    },
    /// A request is not JSON, or not of the right media type.
    #[error("{0}")]
    Malformed(String),
    /// A request names something that does not exist.
    #[error("unknown {what} `{name}`; there is {}", known_list(.known))]
    NotFound {
        /// What kind of thing.
        what: &'static str,
        /// The name given.
        name: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// A body is larger than the limit.
    #[error("the body must have at most {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// A field alone is larger than what an exposure can hold.
    #[error("`{field}` must have at most {limit} bytes as JSON, got {bytes}")]
    FieldTooLarge {
        /// Path of the field.
        field: &'static str,
        /// The limit.
        limit: usize,
        /// What was given.
        bytes: usize,
    },
    /// No key, or an unknown one.
    #[error("a valid API key is required: send `authorization: Bearer <key>`")]
    Unauthorized,
    /// A key without the role.
    #[error("the API key lacks the role `{role}`")]
    Forbidden {
        /// The role needed.
        role: &'static str,
    },
    /// More requests at once than the limit.
    #[error("too many requests at once: {what} is full")]
    Overloaded {
        /// The queue.
        what: &'static str,
        /// When to try again.
        retry_after: Duration,
    },
    /// Nothing can answer now.
    #[error("{reason}")]
    Unavailable {
        /// What is missing.
        reason: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server stopped because of the network.
    #[error("the server failed")]
    Serve(#[source] std::io::Error),
    /// The state machine does not allow the step.
    #[error("`{event}` is not possible: {reason}")]
    Transition {
        /// The step.
        event: &'static str,
        /// What stands in its way.
        reason: String,
    },
    /// The definition of the experiments has faults; all of them are listed.
    #[error("invalid experiments: {}", list(.0))]
    Experiments(Vec<Problem>),
    /// An edit of the experiments would disturb what is running.
    #[error("{} and would be disturbed: {}", running_list(.running), list(.problems))]
    RunChanged {
        /// The experiments that are running.
        running: Vec<ExperimentId>,
        /// What stands in the way, and what to do instead.
        problems: Vec<Problem>,
    },
    /// The experiment under way was started by a version that ran candidates another way.
    #[error(
        "experiment `{0}` was started by a version that ran candidates without a delivery; roll the treatment back with \
         that version first"
    )]
    OldRun(ExperimentId),
    /// Somebody else changed the experiments since they were read.
    #[error("the experiments were changed since: expected `{expected}`, in force is `{current}`; read them again")]
    Stale {
        /// The hash that the edit was made on.
        expected: String,
        /// The hash in force.
        current: String,
    },
    /// An edit does not say what it was made on.
    #[error("the header `if-match` is required: the `etag` of what the edit was made on")]
    Unconditional,
    /// A record of the audit trail cannot be read.
    #[error("record {offset} of topic checkpoints cannot be read: {detail}")]
    Lifecycle {
        /// Its offset.
        offset: u64,
        /// What is wrong with it.
        detail: String,
    },
    /// The exposure of an answer was refused by intake.
    #[error("the exposure was not accepted: {0}")]
    Exposure(String),
    /// The model thread is gone.
    #[error("the model thread ended: {0}")]
    Engine(String),
    /// A task ended without a result.
    #[error("{what} ended early: {detail}")]
    Task {
        /// What it did.
        what: &'static str,
        /// How it ended.
        detail: String,
    },
    /// The log or intake failed.
    #[error("the event log failed")]
    Ingest(#[from] plaudit_ingest::Error),
    /// A policy failed.
    #[error("the policy failed")]
    Policy(#[from] plaudit_policy::Error),
    /// A model failed.
    #[error("the model failed")]
    Model(#[from] plaudit_nn::Error),
}

impl Error {
    /// An [`Error::Invalid`] about `field`.
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), reason: reason.into() }
    }

    /// An [`Error::Unavailable`] that is worth a second try after a second.
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into(), retry_after: Duration::from_secs(1) }
    }

    /// What the caller should do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_)
            | Self::Invalid { .. }
            | Self::Malformed(_)
            | Self::NotFound { .. }
            | Self::TooLarge { .. }
            | Self::FieldTooLarge { .. }
            | Self::Experiments(_)
            | Self::RunChanged { .. }
            | Self::OldRun(_)
            | Self::Stale { .. }
            | Self::Unconditional
            | Self::Unauthorized
            | Self::Forbidden { .. }
            | Self::Transition { .. } => ErrorKind::Invalid,
            Self::Overloaded { .. } | Self::Unavailable { .. } | Self::Listen { .. } => ErrorKind::Unavailable,
            Self::Lifecycle { .. } => ErrorKind::Data,
            Self::Serve(_) | Self::Exposure(_) | Self::Engine(_) | Self::Task { .. } => ErrorKind::Internal,
            Self::Ingest(source) => source.kind(),
            Self::Policy(source) => policy_kind(source),
            Self::Model(source) => model_kind(source),
        }
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::NotFound { .. } => 404,
            Self::Unauthorized => 401,
            Self::Forbidden { .. } => 403,
            Self::TooLarge { .. } | Self::FieldTooLarge { .. } => 413,
            Self::Transition { .. } | Self::RunChanged { .. } | Self::OldRun(_) => 409,
            Self::Stale { .. } => 412,
            Self::Unconditional => 428,
            Self::Overloaded { .. } => 429,
            other => match other.kind() {
                ErrorKind::Invalid => 400,
                ErrorKind::Unavailable => 503,
                ErrorKind::Data | ErrorKind::Internal => 500,
            },
        }
    }

    /// The machine-readable name in answers and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.status() {
            400 => "invalid_request",
            401 => "unauthorized",
            403 => "forbidden",
            404 => "not_found",
            409 => "conflict",
            412 => "stale",
            413 => "too_large",
            428 => "unconditional",
            429 => "overloaded",
            503 => "unavailable",
            _ => "internal",
        }
    }

    /// The request field at fault.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Invalid { field, .. } => Some(field),
            Self::FieldTooLarge { field, .. } => Some(field),
            Self::NotFound { what, .. } => Some(what),
            _ => None,
        }
    }

    /// When a retry makes sense.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Overloaded { retry_after, .. } | Self::Unavailable { retry_after, .. } => Some(*retry_after),
            other => (other.status() == 503).then_some(Duration::from_secs(1)),
        }
    }
}

fn policy_kind(error: &plaudit_policy::Error) -> ErrorKind {
    use plaudit_policy::Error as Policy;
    match error {
        Policy::Config(_) | Policy::Invalid { .. } | Policy::Field { .. } => ErrorKind::Invalid,
        Policy::Directory { .. } => ErrorKind::Data,
        Policy::Model(source) => model_kind(source),
        _ => ErrorKind::Internal,
    }
}

const fn model_kind(error: &plaudit_nn::Error) -> ErrorKind {
    use plaudit_nn::Error as Model;
    match error {
        Model::Invalid { .. } => ErrorKind::Invalid,
        Model::Corrupt { .. } | Model::Shape { .. } | Model::MissingParam(_) => ErrorKind::Data,
        Model::Io { .. } => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    }
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

fn running_list(running: &[ExperimentId]) -> String {
    let names: Vec<String> = running.iter().map(|id| format!("`{id}`")).collect();
    format!("experiments run ({})", names.join(", "))
}

pub(crate) fn known_list(known: &[String]) -> String {
    if known.is_empty() {
        return "none".to_owned();
    }
    let quoted: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}
