//! The sink: copies the log into the store.
//!
//! The store keeps its position in the same transaction as the rows, so that every record takes
//! effect once, wherever the sink is killed. A mark of the last record goes with the position, by which
//! the log is recognised after a restart.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::CatchUp;
use crate::log::{EventLog, Stored, Topic, data};
use crate::outcome::DeadLetter;
use crate::store::{Batch, EventStore, Mark, Rows};
use crate::{Config, Error, metrics};

/// Records per transaction of the store.
const BATCH: usize = 500;

/// The topics that the store holds.
const TOPICS: [Topic; 4] = [Topic::Exposures, Topic::Signals, Topic::Examples, Topic::DeadLetters];

/// What one `catch_up` did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sinked {
    /// Records read.
    pub records: u64,
    /// Rows that were new to the store.
    pub rows: u64,
}

/// Copies the log into the store.
pub struct StoreSink {
    log: Arc<dyn EventLog>,
    store: Arc<dyn EventStore>,
    poll: Duration,
    /// Whether the log was seen to be the one that the store was copied from.
    is_known: AtomicBool,
}

impl StoreSink {
    /// A sink from `log` to `store`.
    #[must_use]
    pub fn new(log: Arc<dyn EventLog>, store: Arc<dyn EventStore>, config: &Config) -> Self {
        Self { log, store, poll: config.poll, is_known: AtomicBool::new(false) }
    }

    /// Copies everything that is in the log now.
    ///
    /// # Errors
    /// Fails when the log cannot be read or the store cannot be written; calling again goes on where
    /// the store stands. Fails for good when the store was copied from another log.
    pub async fn catch_up(&self) -> Result<Sinked, Error> {
        let positions = self.store.positions().await?;
        if !self.is_known.load(Ordering::Relaxed) {
            self.recognise(&positions).await?;
            self.is_known.store(true, Ordering::Relaxed);
        }
        let mut done = Sinked::default();
        for topic in TOPICS {
            let tail = self.log.tail(topic).await?;
            let mut next = positions.get(&topic).copied().unwrap_or(0);
            while next < tail {
                let records = self.log.read(topic, next, BATCH).await?;
                let Some(last) = records.last() else { break };
                let from = std::mem::replace(&mut next, last.offset + 1);
                let rows = decode(topic, &records);
                let batch = Batch { from, next, mark: Some(Mark::of(last)), rows };
                let num_new = self.store.apply(batch).await?;
                metrics::store_rows(topic, num_new);
                done.records += records.len() as u64;
                done.rows += num_new;
            }
        }
        Ok(done)
    }

    /// Makes sure that the log holds, before each position, the record that the store copied last: a
    /// log that was deleted or put back alone would be copied from the middle.
    async fn recognise(&self, positions: &BTreeMap<Topic, u64>) -> Result<(), Error> {
        let marks = self.store.marks().await?;
        for (&topic, &position) in positions {
            let Some(offset) = position.checked_sub(1) else { continue };
            let found = self.log.read(topic, offset, 1).await?;
            let mark = found.first().map(Mark::of);
            let is_same = mark.is_some_and(|mark| marks.get(&topic).is_none_or(|known| *known == mark));
            if !is_same {
                let tail = self.log.tail(topic).await?;
                return Err(Error::OtherLog { topic, position, tail });
            }
        }
        Ok(())
    }

    /// Catches up again and again until `shutdown` says true.
    ///
    /// # Errors
    /// Fails on what waiting does not mend, such as damaged data.
    pub async fn run(&mut self, shutdown: watch::Receiver<bool>) -> Result<(), Error> {
        let poll = self.poll;
        super::run(self, poll, shutdown).await
    }
}

impl CatchUp for StoreSink {
    const NAME: &'static str = "store sink";

    async fn step(&mut self) -> Result<(), Error> {
        self.catch_up().await.map(drop)
    }
}

/// The rows of `records`. One that cannot be read is passed over, and counted.
fn decode(topic: Topic, records: &[Stored]) -> Rows {
    let letter = |stored: &Stored| serde_json::from_slice::<DeadLetter>(&stored.value);
    match topic {
        Topic::DeadLetters => Rows::DeadLetters(each(topic, records, letter)),
        Topic::Signals => Rows::Signals(each(topic, records, data)),
        Topic::Examples => Rows::Examples(each(topic, records, data)),
        _ => Rows::Exposures(each(topic, records, data)),
    }
}

fn each<T>(topic: Topic, records: &[Stored], read: impl Fn(&Stored) -> Result<T, serde_json::Error>) -> Vec<(u64, T)> {
    let mut rows = Vec::with_capacity(records.len());
    for stored in records {
        match read(stored) {
            Ok(row) => rows.push((stored.offset, row)),
            Err(_) => {
                tracing::error!(%topic, offset = stored.offset, "record cannot be read");
                metrics::unreadable(topic, "store sink");
            }
        }
    }
    rows
}
