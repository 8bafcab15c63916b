//! What is acknowledged while the log cannot be reached: kept on the disk of this machine, and handed on
//! when the log is back.
//!
//! The spool is an embedded log in front of another. As long as it holds something, what is appended goes
//! behind it; when all of it was handed on, it starts anew. A record whose append had failed may have been
//! written all the same, and is then in the log twice: readers recognise it by its id.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use plaudit_event::{Clock, Timestamp};
use tokio::sync::{RwLock, watch};

use super::{BoxFuture, EventLog, Record, SqliteLog, Stored, Topic};
use crate::{Error, ErrorKind, metrics};

/// The topics that wait in the spool when they must; the others are not appended by whoever serves.
const TOPICS: [Topic; 3] = [Topic::Exposures, Topic::Signals, Topic::DeadLetters];
/// Records handed on at a time.
const PAGE: usize = 1_000;
/// How often the log is tried while it cannot be reached.
const RETRY: Duration = Duration::from_secs(1);
/// The name under which the spool remembers what it has handed on.
const GROUP: &str = "spool";

/// A log that takes exposures, signals and dead letters also while the log behind it cannot be reached.
pub struct SpooledLog {
    log: Arc<dyn EventLog>,
    path: PathBuf,
    clock: Arc<dyn Clock>,
    max_bytes: u64,
    /// `None` only while it starts anew.
    spool: RwLock<Option<SqliteLog>>,
    /// Whether the spool holds something, or is about to.
    is_spooling: AtomicBool,
    bytes: AtomicU64,
}

impl SpooledLog {
    /// Puts a spool of at most `max_bytes` of content in the file `path` in front of `log`. What an earlier
    /// process left in it is handed on, too.
    ///
    /// # Errors
    /// Fails when the file cannot be opened as a log.
    pub async fn open(
        log: Arc<dyn EventLog>,
        path: &Path,
        max_bytes: u64,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let spool = SqliteLog::open(path, Arc::clone(&clock))?;
        let bytes = waiting_bytes(&spool).await?;
        if bytes > 0 {
            tracing::info!(bytes, "the spool holds what an earlier process has left");
        }
        metrics::spool_bytes(bytes);
        Ok(Self {
            log,
            path: path.to_owned(),
            clock,
            max_bytes,
            spool: RwLock::new(Some(spool)),
            is_spooling: AtomicBool::new(bytes > 0),
            bytes: AtomicU64::new(bytes),
        })
    }

    /// Bytes of content that wait.
    #[must_use]
    pub fn waiting_bytes(&self) -> u64 {
        self.bytes.load(Ordering::SeqCst)
    }

    /// Hands on what waits, whenever the log can be reached, until `shutdown` says true. What still waits
    /// then is kept for the next process.
    ///
    /// # Errors
    /// Fails when the spool itself is damaged.
    pub async fn run(&self, mut shutdown: watch::Receiver<bool>) -> Result<(), Error> {
        loop {
            if self.is_spooling.load(Ordering::SeqCst) {
                match self.hand_on().await {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::Unavailable => {
                        let waiting = self.waiting_bytes();
                        tracing::warn!(error = %error, waiting, "the log cannot be reached; the spool keeps what comes");
                    }
                    Err(error) => return Err(error),
                }
            }
            tokio::select! {
                _ = shutdown.wait_for(|is_over| *is_over) => return Ok(()),
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }

    /// Hands everything on, and starts the spool anew when nothing has come meanwhile.
    ///
    /// # Errors
    /// Fails when the log cannot be reached or the spool cannot be read; what was handed on is remembered.
    pub async fn hand_on(&self) -> Result<(), Error> {
        {
            let spool = self.spool.read().await;
            let spool = spool.as_ref().ok_or(CLOSED)?;
            for topic in TOPICS {
                self.hand_on_topic(spool, topic).await?;
            }
        }
        let mut spool = self.spool.write().await;
        let open = spool.as_ref().ok_or(CLOSED)?;
        if waiting_bytes(open).await? > 0 {
            return Ok(());
        }
        *spool = None;
        for suffix in ["", "-wal", "-shm"] {
            let file = PathBuf::from(format!("{}{suffix}", self.path.display()));
            match std::fs::remove_file(&file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &file, error));
                }
                _ => {}
            }
        }
        *spool = Some(SqliteLog::open(&self.path, Arc::clone(&self.clock))?);
        self.count(|_| 0);
        self.is_spooling.store(false, Ordering::SeqCst);
        tracing::info!("the spool is empty");
        Ok(())
    }

    async fn hand_on_topic(&self, spool: &SqliteLog, topic: Topic) -> Result<(), Error> {
        loop {
            let next = spool.committed(GROUP, topic).await?;
            let page = spool.read(topic, next, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            let after = last.offset + 1;
            let bytes: u64 = page.iter().map(size).sum();
            let records = page.into_iter().map(|stored| Record { key: stored.key, value: stored.value });
            self.log.append(topic, records.collect()).await?;
            spool.commit(GROUP, topic, after).await?;
            self.count(|before| before.saturating_sub(bytes));
        }
    }

    /// Appends to the spool, if it has room.
    async fn keep(&self, topic: Topic, records: Vec<Record>) -> Result<Vec<u64>, Error> {
        let bytes: u64 = records.iter().map(|record| (record.key.len() + record.value.len()) as u64).sum();
        let spool = self.spool.read().await;
        // Under the lock: a spool that starts anew forgets that it was needed.
        self.is_spooling.store(true, Ordering::SeqCst);
        let before = self.bytes.fetch_add(bytes, Ordering::SeqCst);
        if before + bytes > self.max_bytes {
            self.count(|now| now.saturating_sub(bytes));
            let most = usize::try_from(self.max_bytes).unwrap_or(usize::MAX);
            return Err(Error::Busy { what: "bytes in the spool, while the log cannot be reached,", most });
        }
        let kept = spool.as_ref().ok_or(CLOSED)?.append(topic, records).await;
        match &kept {
            Ok(_) => metrics::spool_bytes(self.waiting_bytes()),
            Err(_) => self.count(|now| now.saturating_sub(bytes)),
        }
        // Their places in the log are not known yet.
        kept.map(|_| Vec::new())
    }

    fn count(&self, change: impl Fn(u64) -> u64) {
        let changed = self.bytes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |bytes| Some(change(bytes)));
        metrics::spool_bytes(change(changed.unwrap_or_default()));
    }
}

const CLOSED: Error = Error::Closed { what: "spool" };

fn size(stored: &Stored) -> u64 {
    (stored.key.len() + stored.value.len()) as u64
}

async fn waiting_bytes(spool: &SqliteLog) -> Result<u64, Error> {
    let mut bytes = 0;
    for topic in TOPICS {
        let mut next = spool.committed(GROUP, topic).await?;
        loop {
            let page = spool.read(topic, next, PAGE).await?;
            let Some(last) = page.last() else { break };
            next = last.offset + 1;
            bytes += page.iter().map(size).sum::<u64>();
        }
    }
    Ok(bytes)
}

impl EventLog for SpooledLog {
    fn shards(&self) -> u32 {
        self.log.shards()
    }

    fn this_shard(&self) -> u32 {
        self.log.this_shard()
    }

    fn shard(&self, shard: u32) -> Option<Arc<dyn EventLog>> {
        self.log.shard(shard)
    }

    fn owned(&self) -> Result<watch::Receiver<std::collections::BTreeSet<u32>>, Error> {
        self.log.owned()
    }

    fn is_shared(&self) -> bool {
        self.log.is_shared()
    }

    fn append(&self, topic: Topic, records: Vec<Record>) -> BoxFuture<'_, Result<Vec<u64>, Error>> {
        Box::pin(async move {
            if !TOPICS.contains(&topic) || records.is_empty() {
                return self.log.append(topic, records).await;
            }
            if self.is_spooling.load(Ordering::SeqCst) {
                return self.keep(topic, records).await;
            }
            match self.log.append(topic, records.clone()).await {
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    tracing::warn!(error = %error, %topic, "the log cannot be reached; the spool takes what comes");
                    self.keep(topic, records).await
                }
                other => other,
            }
        })
    }

    fn newest(&self, topic: Topic) -> BoxFuture<'_, Result<Option<Stored>, Error>> {
        self.log.newest(topic)
    }

    fn erase(&self, topic: Topic, offsets: Vec<u64>) -> BoxFuture<'_, Result<(), Error>> {
        self.log.erase(topic, offsets)
    }

    fn read(&self, topic: Topic, from: u64, max: usize) -> BoxFuture<'_, Result<Vec<Stored>, Error>> {
        self.log.read(topic, from, max)
    }

    fn tail(&self, topic: Topic) -> BoxFuture<'_, Result<u64, Error>> {
        self.log.tail(topic)
    }

    fn seek(&self, topic: Topic, from: Timestamp) -> BoxFuture<'_, Result<u64, Error>> {
        self.log.seek(topic, from)
    }

    fn horizon(&self) -> BoxFuture<'_, Result<Timestamp, Error>> {
        self.log.horizon()
    }

    fn commit<'a>(&'a self, group: &'a str, topic: Topic, next: u64) -> BoxFuture<'a, Result<(), Error>> {
        self.log.commit(group, topic, next)
    }

    fn committed<'a>(&'a self, group: &'a str, topic: Topic) -> BoxFuture<'a, Result<u64, Error>> {
        self.log.committed(group, topic)
    }
}
