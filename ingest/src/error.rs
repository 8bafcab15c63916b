//! The one error type of this crate, and the four kinds that decide what the caller does.

use std::path::PathBuf;
use std::sync::Arc;

use crate::log::{Part, Topic};

/// What the caller should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The input or the configuration is wrong: mend it (HTTP 400, exit code 2).
    Invalid,
    /// A resource is missing for now: try again later (HTTP 503).
    Unavailable,
    /// Stored data is damaged or of an unknown format: a human must look.
    Data,
    /// A fault of this program: report it.
    Internal,
}

/// What can go wrong between a received event and an example.
///
/// Cheap to clone, since one failed transaction answers many callers.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The location names no backend.
    #[error("unknown location `{location}`: must be {allowed}")]
    Location {
        /// The location as given.
        location: String,
        /// The forms allowed.
        allowed: String,
    },
    /// The location names a backend that this build does not contain.
    #[error("location `{location}`: the {backend} backend is not in this build")]
    NotBuilt {
        /// The location as given.
        location: String,
        /// The backend it names.
        backend: &'static str,
    },
    /// A call asks for more than its limit.
    #[error("{what} must be {allowed}, got {value}")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// The allowed range, in words.
        allowed: String,
        /// The value refused.
        value: String,
    },
    /// Names of units are to be hashed, and there is no secret to hash them with.
    #[error("`quality.hashing.enabled` is true, but there is no salt: name it in `salt_file` or `salt_env`")]
    NoSalt,
    /// Another process, or another part of this one, has the data directory open.
    #[error("data directory is locked by `{}`: another process uses it", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("failed to {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        source: Arc<std::io::Error>,
    },
    /// SQLite refused.
    #[error("failed to {action} in `{}`", path.display())]
    Sqlite {
        /// What was tried.
        action: &'static str,
        /// The database.
        path: PathBuf,
        /// Why it failed.
        source: Arc<rusqlite::Error>,
    },
    /// Kafka refused, or could not be reached.
    #[error("failed to {action} the log on kafka")]
    Kafka {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: Arc<rdkafka::error::KafkaError>,
    },
    /// A topic of the brokers is not as it must be.
    #[error("kafka topic `{name}` {detail}")]
    Topic {
        /// Its name on the brokers.
        name: String,
        /// What is wrong with it.
        detail: String,
    },
    /// ClickHouse refused, or did not answer.
    #[error("failed to {action} in `{address}`: {detail}")]
    ClickHouse {
        /// What was tried.
        action: &'static str,
        /// The server and the database, without credentials.
        address: String,
        /// What went wrong, without what users wrote.
        detail: String,
        /// What the caller should do about it.
        kind: ErrorKind,
    },
    /// The file is a database, or another file, of somebody else.
    #[error("`{}` is not a {expected} of plaudit", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it was opened as.
        expected: &'static str,
    },
    /// The file was written by a newer version.
    #[error("`{}` has format {found}; this build reads formats up to {known}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known.
        known: u32,
    },
    /// The file system cannot hold a write-ahead log.
    #[error("`{}` cannot have a write-ahead log, its journal mode stays `{mode}`: use a local file system", path.display())]
    JournalMode {
        /// The database.
        path: PathBuf,
        /// The mode that SQLite stays in.
        mode: String,
    },
    /// A stored record cannot be read.
    #[error("record {offset} of topic {topic} cannot be read: {detail}")]
    Record {
        /// Its topic.
        topic: Topic,
        /// Its offset.
        offset: u64,
        /// What is wrong with it.
        detail: String,
    },
    /// A batch does not continue where the store stands.
    #[error("batch starts at offset {from} of {part}, but the store expects {expected}")]
    Gap {
        /// The shard of the topic.
        part: Part,
        /// Where the batch starts.
        from: u64,
        /// Where the store stands.
        expected: u64,
    },
    /// The log is not the one that the store was copied from.
    #[error(
        "the store stands at offset {position} of {part}, but this log (tail {tail}) does not hold what it copied: \
         the log was deleted or replaced; delete the store, it is rebuilt from the log"
    )]
    OtherLog {
        /// The shard of the topic.
        part: Part,
        /// Where the store stands.
        position: u64,
        /// Where the log ends.
        tail: u64,
    },
    /// As much is being taken in as may be.
    #[error("{what} must be at most {most}: try again later")]
    Busy {
        /// What is limited.
        what: &'static str,
        /// The limit.
        most: usize,
    },
    /// Somebody else writes this shard of the examples now.
    #[error("shard {shard} of the {what} was taken over by another process")]
    Fenced {
        /// What was written.
        what: &'static str,
        /// The shard.
        shard: u32,
    },
    /// The log or store has shut down.
    #[error("the {what} is closed")]
    Closed {
        /// What is closed.
        what: &'static str,
    },
    /// A background task died.
    #[error("the {what} task failed: {detail}")]
    Task {
        /// Which task.
        what: &'static str,
        /// How it ended.
        detail: String,
    },
}

impl Error {
    /// What the caller should do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Location { .. }
            | Self::NotBuilt { .. }
            | Self::Limit { .. }
            | Self::NoSalt
            | Self::Topic { .. }
            | Self::JournalMode { .. } => ErrorKind::Invalid,
            Self::Kafka { source, .. } if crate::log::is_unavailable(source) => ErrorKind::Unavailable,
            Self::Kafka { .. } => ErrorKind::Invalid,
            Self::Locked { .. } | Self::Io { .. } | Self::Busy { .. } | Self::Fenced { .. } | Self::Closed { .. } => {
                ErrorKind::Unavailable
            }
            // Somebody put the store back in between: the next look at its positions tells where to go on.
            Self::Gap { .. } => ErrorKind::Unavailable,
            Self::Foreign { .. } | Self::Format { .. } | Self::Record { .. } | Self::OtherLog { .. } => ErrorKind::Data,
            Self::Task { .. } => ErrorKind::Internal,
            Self::Sqlite { source, .. } => sqlite_kind(source),
            Self::ClickHouse { kind, .. } => *kind,
        }
    }

    /// Wraps a file system error.
    pub(crate) fn io(action: &'static str, path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source: Arc::new(source) }
    }
}

fn sqlite_kind(error: &rusqlite::Error) -> ErrorKind {
    use rusqlite::ErrorCode as Code;
    match error.sqlite_error_code() {
        Some(
            Code::DatabaseBusy
            | Code::DatabaseLocked
            | Code::DiskFull
            | Code::SystemIoFailure
            | Code::OutOfMemory
            | Code::ReadOnly
            | Code::PermissionDenied
            | Code::CannotOpen
            | Code::FileLockingProtocolFailed,
        ) => ErrorKind::Unavailable,
        Some(Code::DatabaseCorrupt | Code::NotADatabase) => ErrorKind::Data,
        _ => ErrorKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sqlite(code: std::os::raw::c_int) -> Error {
        Error::Sqlite {
            action: "append",
            path: "x.db".into(),
            source: Arc::new(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None)),
        }
    }

    #[test]
    fn a_full_disk_can_be_retried_and_a_corrupt_file_cannot() {
        assert_eq!(sqlite(13).kind(), ErrorKind::Unavailable);
        assert_eq!(sqlite(11).kind(), ErrorKind::Data);
        assert_eq!(sqlite(1).kind(), ErrorKind::Internal);
    }

    #[test]
    fn the_source_is_not_repeated_in_the_message() {
        assert_eq!(sqlite(13).to_string(), "failed to append in `x.db`");
    }
}
