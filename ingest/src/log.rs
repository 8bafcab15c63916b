//! The event log: the only way from one part of the system to the next.
//!
//! ```text
//! topic   offset 0   1   2   3   4
//!                │   │   │   │   └ tail: the next offset to be given
//!         appended 10  10  12  17       never decreases, over all topics
//! ```

mod clock;
mod cursor;
mod kafka;
mod memory;
mod record;
mod spool;
mod sqlite;

#[cfg(any(test, feature = "test-util"))]
pub mod conformance;

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use plaudit_event::{Clock, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::Error;
use crate::location::{self, Location};

pub(crate) use cursor::{Cursor, is_exposure_next};
pub(crate) use kafka::is_unavailable;
pub use kafka::{KafkaConfig, KafkaLog, Protocol, Security};
pub use memory::MemoryLog;
pub use record::{Origin, Part, Record, Stored, Topic};
pub use spool::SpooledLog;
pub use sqlite::SqliteLog;

/// A boxed future: what the methods of a trait object return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Most bytes of values that one `read` returns, unless a single record is larger.
pub const READ_BYTES: usize = 8 << 20;
/// Most records in one `append`.
pub const APPEND_RECORDS: usize = 100_000;
/// Largest value of a record: an event of 1 MiB with the frame of a dead letter around it, escaped.
pub const RECORD_BYTES: usize = 4 << 20;
/// The scheme of the logs that several processes share.
const DISTRIBUTED: &str = "kafka";

/// An append-only record log with a few named topics, seen from one of its shards.
///
/// A log has one or more shards; exposures, signals and dead letters are split among them by key, so
/// that everything about one exposure is in one shard. [`open`] gives the first shard, and
/// [`shard`](Self::shard) the others. All methods that read are about the shard; `append` sends each
/// record of a split topic to the shard of its key, whichever shard it is called on.
///
/// Every method may be called from any number of tasks. Dropping the future of an `append` or a
/// `commit` does not take it back: the records may still be written.
pub trait EventLog: Send + Sync {
    /// How many shards the log has; at least 1.
    fn shards(&self) -> u32 {
        1
    }

    /// The shard that this log is seen from.
    fn this_shard(&self) -> u32 {
        0
    }

    /// The log seen from `shard`; nothing when there is no such shard, or only one: see [`shard`](fn@shard).
    fn shard(&self, _shard: u32) -> Option<Arc<dyn EventLog>> {
        None
    }

    /// The shards that this process shall work on, as they come and go; it takes part in their
    /// distribution from the first call on, until the log is dropped.
    ///
    /// Another process may still work on a shard that was just given to this one; what both write then
    /// must be harmless or fenced, see [`append`](Self::append).
    ///
    /// # Errors
    /// Fails when it cannot take part.
    fn owned(&self) -> Result<watch::Receiver<BTreeSet<u32>>, Error> {
        Ok(watch::channel(BTreeSet::from([0])).1)
    }

    /// Whether other processes use the log at the same time.
    fn is_shared(&self) -> bool {
        false
    }

    /// Appends `records` to `topic` and returns their offsets, each in its shard; none when they are durable
    /// somewhere else until the log can be reached.
    ///
    /// Resolves only after the records would survive a crash of the machine. After an error the call may
    /// be repeated. On one machine, and for `examples` and `checkpoints` on any log, it is atomic: either
    /// all records become readable or none does. For the other topics some may be written after an error;
    /// repeating them makes duplicates, which every reader recognises by their ids.
    ///
    /// `examples` has one writer per shard: once [`newest`](Self::newest) was called on a shard of it, an
    /// append by whoever called it before fails with [`Error::Fenced`].
    fn append(&self, topic: Topic, records: Vec<Record>) -> BoxFuture<'_, Result<Vec<u64>, Error>>;

    /// The last record with content that was appended to `topic` through this shard, if there is one.
    fn newest(&self, topic: Topic) -> BoxFuture<'_, Result<Option<Stored>, Error>>;

    /// Takes the content of the records at `offsets` of `topic` out, for good; their places stay. On a
    /// log that cannot rewrite, the content is gone at the end of the retention at the latest.
    fn erase(&self, topic: Topic, offsets: Vec<u64>) -> BoxFuture<'_, Result<(), Error>>;

    /// Reads at most `max` records of `topic` with offset ≥ `from` (inclusive), in order.
    ///
    /// Stops early after [`READ_BYTES`], but returns at least one record if there is one: an empty
    /// answer means that the reader has caught up (or that `max` is 0).
    fn read(&self, topic: Topic, from: u64, max: usize) -> BoxFuture<'_, Result<Vec<Stored>, Error>>;

    /// An offset above all that can be read now, and at most the next one that `topic` will give.
    fn tail(&self, topic: Topic) -> BoxFuture<'_, Result<u64, Error>>;

    /// The first offset of `topic` whose record was appended at or after `from`; the tail when
    /// there is none.
    fn seek(&self, topic: Topic, from: Timestamp) -> BoxFuture<'_, Result<u64, Error>>;

    /// A time that splits the past from the future: every exposure and signal of this shard with
    /// `appended` below it can be read now, and every later one gets an `appended` at or above it. On one
    /// machine that holds for every topic.
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

/// Opens the log at `location`: `memory:`, `sqlite:PATH` or `kafka://HOST:PORT,HOST:PORT`. A log of one
/// machine takes its times from `clock`.
///
/// # Errors
/// Fails when the location names no backend, or when the backend cannot be opened: locked, damaged,
/// foreign, of a newer format, or not to be reached. A file is left as it is in these cases; the lock
/// file beside it and missing directories above it are made.
pub async fn open(location: &str, config: &KafkaConfig, clock: Arc<dyn Clock>) -> Result<Arc<dyn EventLog>, Error> {
    match location::parse(location, DISTRIBUTED)? {
        Location::Memory => Ok(Arc::new(MemoryLog::new(clock))),
        Location::Sqlite(path) => Ok(Arc::new(SqliteLog::open(path, clock)?)),
        Location::Distributed(brokers) => Ok(Arc::new(KafkaLog::open(brokers, config, clock).await?)),
    }
}

/// The last record with content that can be read; what `EventLog::newest` means where a topic has one
/// writer per shard anyway.
async fn newest(log: &dyn EventLog, topic: Topic) -> Result<Option<Stored>, Error> {
    let mut end = log.tail(topic).await?;
    while let Some(last) = end.checked_sub(1) {
        let found = log.read(topic, last, 1).await?.pop();
        if let Some(stored) = found.filter(|stored| stored.origin.has_content()) {
            return Ok(Some(stored));
        }
        end = last;
    }
    Ok(None)
}

/// `log` seen from `shard`, which must be one of its shards.
#[must_use]
pub fn shard(log: &Arc<dyn EventLog>, shard: u32) -> Arc<dyn EventLog> {
    log.shard(shard).unwrap_or_else(|| Arc::clone(log))
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

/// The shard of `key` in a log of so many `shards`: that of the default partitioner of Kafka's Java client
/// (murmur2 of the bytes, without the sign), so that a product that writes with it finds the same one.
pub(crate) fn shard_of_key(key: &str, shards: u32) -> u32 {
    if shards <= 1 {
        return 0;
    }
    (murmur2(key.as_bytes()) & 0x7fff_ffff) % shards
}

/// MurmurHash2 (Austin Appleby, public domain) as Kafka's Java client seeds it. None of the crates made for it offers
/// this variant.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut hash = 0x9747_b28c ^ length;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut mixed = u32::from_le_bytes(*word).wrapping_mul(M);
        mixed ^= mixed >> 24;
        hash = hash.wrapping_mul(M) ^ mixed.wrapping_mul(M);
    }
    if !rest.is_empty() {
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u32::from_le_bytes(last)).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
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
    for record in records {
        let bytes = record.value.len();
        // A record without content is one whose content was taken out.
        if bytes == 0 || bytes > RECORD_BYTES {
            return Err(Error::Limit {
                what: "bytes of one record",
                allowed: format!("1 to {RECORD_BYTES}"),
                value: bytes.to_string(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use plaudit_event::ManualClock;

    use super::*;
    use crate::ErrorKind;

    async fn refused(location: &str) -> Error {
        let opened = open(location, &KafkaConfig::default(), Arc::new(ManualClock::default())).await;
        match opened {
            Ok(_) => panic!("{location} was opened"),
            Err(error) => error,
        }
    }

    /// From the unit tests of Kafka's Java client.
    #[test]
    fn keys_find_the_shard_that_the_java_client_finds() {
        let cases: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (key, hash) in cases {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
        assert_eq!(shard_of_key("anything", 1), 0);
        assert_eq!(shard_of_key("abc", 7), 479_470_107 % 7);
    }

    #[tokio::test]
    async fn unknown_locations_are_refused_with_what_is_allowed() {
        assert_eq!(
            refused("redis:x").await.to_string(),
            "unknown location `redis:x`: must be `memory:`, `sqlite:PATH` or `kafka://HOST:PORT`"
        );
        for wrong in ["sqlite:", "kafka:", "kafka://", "kafka:b1:9092"] {
            assert_eq!(refused(wrong).await.kind(), ErrorKind::Invalid, "{wrong}");
        }
    }
}
