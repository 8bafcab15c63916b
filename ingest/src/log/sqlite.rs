//! The log of one machine: an SQLite database with one writer thread.
//!
//! Callers queue their records; the writer takes all that wait, writes them in one transaction,
//! syncs it to disk once, and answers all. So the cost of durability is shared by whoever writes
//! at the same time, and a lone writer waits for one sync only.

#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use plaudit_event::{Clock, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::{mpsc, oneshot};

use super::clock::LogClock;
use super::{BoxFuture, EventLog, Origin, READ_BYTES, Record, Stored, Topic, check_append};
use crate::Error;
use crate::sqlite::{self, Format, Readers, from_sql, to_sql};
use writer::{Command, Writer};

/// Appends that may wait for the writer; further callers wait at the door.
const QUEUE: usize = 1_024;

const FORMAT: Format = Format {
    name: "event log",
    application_id: u32::from_be_bytes(*b"PLog"),
    version: 1,
    schema: include_str!("../../schema/sqlite/log.sql"),
    upgrades: &[],
    probe: |connection| ends(connection).map(drop),
    synchronous: "FULL",
};

/// The log of one machine. Dropping it waits for the records that were handed over.
pub struct SqliteLog {
    /// `None` only while dropping.
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
    readers: Arc<Readers>,
    shared: Arc<Shared>,
}

/// What the writer thread and the callers both see.
struct Shared {
    tails: [AtomicU64; Topic::ALL.len()],
    times: Mutex<Times>,
}

/// The two times that make up the horizon.
struct Times {
    clock: LogClock,
    /// The time of the transaction that is being written and cannot be read yet.
    writing: Option<Timestamp>,
}

impl Shared {
    fn tail(&self, topic: Topic) -> u64 {
        self.tails[topic as usize].load(Ordering::Acquire)
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().expect("no code panics under this lock")
    }

    fn horizon(&self) -> Timestamp {
        let mut times = self.times();
        let now = times.clock.now();
        times.writing.unwrap_or(now)
    }

    /// A transaction begins; returns its time.
    fn begin(&self) -> Timestamp {
        let mut times = self.times();
        let now = times.clock.now();
        times.writing = Some(now);
        crate::metrics::log_clock_ahead(times.clock.ahead_ms());
        now
    }

    /// The transaction is readable, or was taken back.
    fn end(&self) {
        self.times().writing = None;
    }
}

impl SqliteLog {
    /// Opens or makes the log in the file `path`, as its only process; times come from `clock`.
    ///
    /// # Errors
    /// Fails when another process has it open, and when the file is not a log, is damaged, or has
    /// a newer format. The file is left as it is in these cases.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let (lock, connection) = sqlite::open(path, &FORMAT)?;
        let (tails, newest) = ends(&connection).map_err(sqlite::sqlite_error("read the ends of", path))?;
        let shared = Arc::new(Shared {
            tails: tails.map(AtomicU64::new),
            times: Mutex::new(Times { clock: LogClock::new(clock, newest), writing: None }),
        });
        let (sender, receiver) = mpsc::channel(QUEUE);
        let writer = Writer::new(path, connection, lock, shared.clone());
        let thread = std::thread::Builder::new()
            .name("event-log".into())
            .spawn(move || writer.run(receiver))
            .map_err(|error| Error::io("start the writer thread of", path, error))?;
        Ok(Self { commands: Some(sender), thread: Some(thread), readers: Arc::new(Readers::new(path)), shared })
    }

    /// Hands a command to the writer and waits for its answer.
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Command) -> Result<T, Error> {
        const CLOSED: Error = Error::Closed { what: "event log" };
        let (answer, answered) = oneshot::channel();
        let commands = self.commands.as_ref().ok_or(CLOSED)?;
        commands.send(command(answer)).await.map_err(|_| CLOSED)?;
        answered.await.map_err(|_| CLOSED)?
    }

    /// Runs `query` where blocking is allowed.
    async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let readers = self.readers.clone();
        let task = tokio::task::spawn_blocking(move || readers.read(query));
        task.await.map_err(|error| Error::Task { what: "log reader", detail: error.to_string() })?
    }
}

impl Drop for SqliteLog {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writer thread of the event log panicked");
        }
    }
}

impl EventLog for SqliteLog {
    fn append(&self, topic: Topic, records: Vec<Record>) -> BoxFuture<'_, Result<Vec<u64>, Error>> {
        Box::pin(async move {
            check_append(&records)?;
            if records.is_empty() {
                return Ok(Vec::new());
            }
            self.ask(|answer| Command::Append { topic, records, answer }).await
        })
    }

    fn newest(&self, topic: Topic) -> BoxFuture<'_, Result<Option<Stored>, Error>> {
        Box::pin(super::newest(self, topic))
    }

    fn erase(&self, topic: Topic, offsets: Vec<u64>) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move { self.ask(|answer| Command::Erase { topic, offsets, answer }).await })
    }

    fn read(&self, topic: Topic, from: u64, max: usize) -> BoxFuture<'_, Result<Vec<Stored>, Error>> {
        Box::pin(async move {
            if max == 0 || from >= self.shared.tail(topic) {
                return Ok(Vec::new());
            }
            self.query(move |connection| read(connection, topic, from, max)).await
        })
    }

    fn tail(&self, topic: Topic) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(async move { Ok(self.shared.tail(topic)) })
    }

    fn seek(&self, topic: Topic, from: Timestamp) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(async move {
            let tail = self.shared.tail(topic);
            self.query(move |connection| seek(connection, topic, from, tail)).await
        })
    }

    fn horizon(&self) -> BoxFuture<'_, Result<Timestamp, Error>> {
        Box::pin(async move { Ok(self.shared.horizon()) })
    }

    fn commit<'a>(&'a self, group: &'a str, topic: Topic, next: u64) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(
            async move { self.ask(|answer| Command::Commit { group: group.to_owned(), topic, next, answer }).await },
        )
    }

    fn committed<'a>(&'a self, group: &'a str, topic: Topic) -> BoxFuture<'a, Result<u64, Error>> {
        let group = group.to_owned();
        Box::pin(self.query(move |connection| {
            let next: Option<i64> = connection
                .prepare_cached("SELECT next FROM positions WHERE consumer = ?1 AND topic = ?2")?
                .query_row(params![group, topic.as_str()], |row| row.get(0))
                .optional()?;
            Ok(next.map_or(0, from_sql))
        }))
    }
}

/// The tails of all topics, and the newest time among them.
fn ends(connection: &Connection) -> rusqlite::Result<([u64; Topic::ALL.len()], Option<Timestamp>)> {
    let mut tails = [0; Topic::ALL.len()];
    let mut newest = None;
    for topic in Topic::ALL {
        let last: Option<(i64, i64)> = connection
            .prepare_cached(&format!("SELECT offset, appended FROM {topic} ORDER BY offset DESC LIMIT 1"))?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some((offset, appended)) = last {
            tails[topic as usize] = from_sql(offset) + 1;
            newest = newest.max(Some(Timestamp::from_millis(appended)));
        }
    }
    Ok((tails, newest))
}

fn read(connection: &Connection, topic: Topic, from: u64, max: usize) -> rusqlite::Result<Vec<Stored>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT offset, appended, key, value FROM {topic} WHERE offset >= ?1 ORDER BY offset LIMIT ?2"
    ))?;
    let mut rows = statement.query(params![to_sql(from), to_sql(max as u64)])?;
    let mut batch = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let value: Vec<u8> = row.get(3)?;
        let stored = Stored {
            offset: from_sql(row.get(0)?),
            appended: Timestamp::from_millis(row.get(1)?),
            key: row.get(2)?,
            origin: if value.is_empty() { Origin::Erased } else { Origin::Checked },
            value,
        };
        bytes += stored.value.len();
        batch.push(stored);
        if bytes >= READ_BYTES {
            break;
        }
    }
    Ok(batch)
}

/// Binary search: times never decrease along the offsets, so no index is needed.
fn seek(connection: &Connection, topic: Topic, from: Timestamp, tail: u64) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached(&format!("SELECT appended FROM {topic} WHERE offset = ?1"))?;
    let (mut low, mut high) = (0, tail);
    while low < high {
        let middle = low + (high - low) / 2;
        let appended: i64 = statement.query_row([to_sql(middle)], |row| row.get(0))?;
        if appended < from.as_millis() {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}
