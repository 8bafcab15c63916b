//! The event log: the only way from one part of the system to the next.
//!
//! ```text
//! topic   offset 0   1   2   3   4
//!                │   │   │   │   └ tail: the next offset to be given
//!         appended 10  10  12  17       never decreases, over all topics
//! ```

mod clock;
mod cursor;
mod memory;
mod sqlite;

#[cfg(any(test, feature = "test-util"))]
pub mod conformance;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use plaudit_event::{Clock, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::location::{self, Location};

pub(crate) use cursor::{Cursor, is_exposure_next};
pub use memory::MemoryLog;
pub use sqlite::SqliteLog;

/// A boxed future: what the methods of a trait object return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Most bytes of values that one `read` returns, unless a single record is larger.
pub const READ_BYTES: usize = 8 << 20;
/// Most records in one `append`.
pub const APPEND_RECORDS: usize = 100_000;
/// Largest value of a record: an event of 1 MiB with the frame of a dead letter around it, escaped.
pub const RECORD_BYTES: usize = 4 << 20;
/// The scheme of the logs that this build does not contain.
const DISTRIBUTED: &str = "kafka";

/// The topics of the log. Every topic has one partition on one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// What was shown. Key: exposure id. Value: envelope. Kept at least as long as the longest
    /// attribution window with its correction horizon.
    Exposures,
    /// Reactions. Key: exposure id, so that a partitioned log joins locally. Value: envelope. Kept
    /// as long as exposures.
    Signals,
    /// Training rows. Key: exposure id. Value: envelope with the order of emission. Kept for ever:
    /// models can be trained again from them.
    Examples,
    /// Refused events with the reason. Key: reason. Value: [`DeadLetter`](crate::DeadLetter). Kept
    /// until a person has looked.
    DeadLetters,
    /// The life of policies and reward models. Key: checkpoint id. Value: JSON. Kept for ever: the
    /// topic is the audit trail.
    Checkpoints,
}

impl Topic {
    /// Every topic, in the order in which records of equal time are merged.
    pub const ALL: [Self; 5] = [Self::Exposures, Self::Signals, Self::Examples, Self::DeadLetters, Self::Checkpoints];

    /// The name on disk, on the wire and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exposures => "exposures",
            Self::Signals => "signals",
            Self::Examples => "examples",
            Self::DeadLetters => "dead_letters",
            Self::Checkpoints => "checkpoints",
        }
    }
}

impl std::fmt::Display for Topic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A record to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Decides the partition; need not be unique.
    pub key: String,
    /// The content.
    pub value: Vec<u8>,
}

/// A record of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its place in the topic: dense, from 0.
    pub offset: u64,
    /// When the log took it, by the clock of the log; never decreases, over all topics. That clock is
    /// the wall clock, or goes on ahead of it after the wall clock was set back.
    pub appended: Timestamp,
    /// Decides the partition.
    pub key: String,
    /// The content.
    pub value: Vec<u8>,
}

/// An append-only record log with a few named topics.
///
/// Every method may be called from any number of tasks. Dropping the future of an `append` or a
/// `commit` does not take it back: the records may still be written.
pub trait EventLog: Send + Sync {
    /// Appends `records` to `topic` and returns their offsets, which follow each other.
    ///
    /// Resolves only after the records would survive a crash of the machine. Atomic per call:
    /// either all records become readable or none does. After an error the call may be repeated.
    fn append(&self, topic: Topic, records: Vec<Record>) -> BoxFuture<'_, Result<Vec<u64>, Error>>;

    /// Reads at most `max` records of `topic` with offset ≥ `from` (inclusive), in order.
    ///
    /// Stops early after [`READ_BYTES`], but returns at least one record if there is one: an empty
    /// answer means that the reader has caught up (or that `max` is 0).
    fn read(&self, topic: Topic, from: u64, max: usize) -> BoxFuture<'_, Result<Vec<Stored>, Error>>;

    /// The next offset that `topic` will give: the number of its records.
    fn tail(&self, topic: Topic) -> BoxFuture<'_, Result<u64, Error>>;

    /// The first offset of `topic` whose record was appended at or after `from`; the tail when
    /// there is none.
    fn seek(&self, topic: Topic, from: Timestamp) -> BoxFuture<'_, Result<u64, Error>>;

    /// A time that splits the past from the future: every record with `appended` below it, of any
    /// topic, can be read now, and every later append gets an `appended` at or above it.
    ///
    /// It moves with time, also while the wall clock is behind what has been appended.
    fn horizon(&self) -> BoxFuture<'_, Result<Timestamp, Error>>;

    /// Remembers that the consumer `group` has finished all records of `topic` below `next`.
    ///
    /// Durable like `append`, idempotent, and monotone: a `next` below the remembered one changes
    /// nothing.
    fn commit<'a>(&'a self, group: &'a str, topic: Topic, next: u64) -> BoxFuture<'a, Result<(), Error>>;

    /// The offset at which the consumer `group` goes on; 0 when it has never committed.
    fn committed<'a>(&'a self, group: &'a str, topic: Topic) -> BoxFuture<'a, Result<u64, Error>>;
}

/// Opens the log at `location`: `memory:` or `sqlite:PATH`. The log takes its times from `clock`.
///
/// # Errors
/// Fails when the location names no backend of this build, or when the backend cannot be opened:
/// locked, damaged, foreign, or of a newer format. The file is left as it is in these cases; the lock
/// file beside it and missing directories above it are made.
pub fn open(location: &str, clock: Arc<dyn Clock>) -> Result<Arc<dyn EventLog>, Error> {
    match location::parse(location, DISTRIBUTED)? {
        Location::Memory => Ok(Arc::new(MemoryLog::new(clock))),
        Location::Sqlite(path) => Ok(Arc::new(SqliteLog::open(path, clock)?)),
    }
}

/// Whether [`open`] knows the backend at `location`; opens nothing.
///
/// # Errors
/// Fails when the location names no backend of this build.
pub fn check_location(location: &str) -> Result<(), Error> {
    location::parse(location, DISTRIBUTED).map(drop)
}

/// Reads the data of an envelope whose kind the topic tells: cheaper than to look at the kind first.
pub(crate) fn data<T: DeserializeOwned>(stored: &Stored) -> Result<T, serde_json::Error> {
    #[derive(Deserialize)]
    struct Opened<T> {
        data: T,
    }
    serde_json::from_slice::<Opened<T>>(&stored.value).map(|opened| opened.data)
}

/// Refuses what no backend takes, before anything is queued.
fn check_append(records: &[Record]) -> Result<(), Error> {
    if records.len() > APPEND_RECORDS {
        return Err(Error::Limit {
            what: "records of one append",
            allowed: format!("at most {APPEND_RECORDS}"),
            value: records.len().to_string(),
        });
    }
    let largest = records.iter().map(|record| record.value.len()).max();
    match largest {
        Some(bytes) if bytes > RECORD_BYTES => Err(Error::Limit {
            what: "bytes of one record",
            allowed: format!("at most {RECORD_BYTES}"),
            value: bytes.to_string(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use plaudit_event::ManualClock;

    use super::*;
    use crate::ErrorKind;

    fn refused(location: &str) -> Error {
        match open(location, Arc::new(ManualClock::default())) {
            Ok(_) => panic!("{location} was opened"),
            Err(error) => error,
        }
    }

    #[test]
    fn unknown_locations_are_refused_with_what_is_allowed() {
        assert_eq!(refused("redis:x").to_string(), "unknown location `redis:x`: must be `memory:` or `sqlite:PATH`");
        assert_eq!(refused("sqlite:").kind(), ErrorKind::Invalid);
        assert_eq!(
            refused("kafka://b1:9092").to_string(),
            "location `kafka://b1:9092`: the kafka backend is not in this build"
        );
    }
}
