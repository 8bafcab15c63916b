//! The log of one machine: an SQLite database with one writer thread.
//!
//! Callers queue their records; the writer takes all that wait, writes them in one transaction,
//! syncs it to disk once, and answers all. So the cost of durability is shared by whoever writes
//! at the same time, and a lone writer waits for one sync only.

mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use plaudit_event::{Clock, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::{mpsc, oneshot};

use super::{BoxFuture, EventLog, READ_BYTES, Record, Stored, Topic, check_append};
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
    clock: Arc<dyn Clock>,
    tails: [AtomicU64; Topic::ALL.len()],
    times: Mutex<Times>,
}

/// The two times that make up the horizon.
struct Times {
    /// No later append gets a time below this one.
    floor: Timestamp,
    /// The time of the transaction that is being written and cannot be read yet.
    writing: Option<Timestamp>,
}

impl Shared {
    fn tail(&self, topic: Topic) -> u64 {
        self.tails[topic as usize].load(Ordering::Acquire)
    }

    fn with_times<T>(&self, change: impl FnOnce(&mut Times) -> T) -> T {
        let mut times = self.times.lock().expect("no code panics under this lock");
        times.floor = times.floor.max(self.clock.now());
        change(&mut times)
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
        let (tails, floor) = ends(&connection).map_err(sqlite::sqlite_error("read the ends of", path))?;
        let shared = Arc::new(Shared {
            clock,
            tails: tails.map(AtomicU64::new),
            times: Mutex::new(Times { floor, writing: None }),
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
        Box::pin(async move { Ok(self.shared.with_times(|times| times.writing.unwrap_or(times.floor))) })
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
fn ends(connection: &Connection) -> rusqlite::Result<([u64; Topic::ALL.len()], Timestamp)> {
    let mut tails = [0; Topic::ALL.len()];
    let mut newest = Timestamp::from_millis(i64::MIN);
    for topic in Topic::ALL {
        let last: Option<(i64, i64)> = connection
            .prepare_cached(&format!("SELECT offset, appended FROM {topic} ORDER BY offset DESC LIMIT 1"))?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some((offset, appended)) = last {
            tails[topic as usize] = from_sql(offset) + 1;
            newest = newest.max(Timestamp::from_millis(appended));
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
        let stored = Stored {
            offset: from_sql(row.get(0)?),
            appended: Timestamp::from_millis(row.get(1)?),
            key: row.get(2)?,
            value: row.get(3)?,
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

#[cfg(test)]
mod tests {
    use plaudit_event::ManualClock;

    use super::*;
    use crate::ErrorKind;
    use crate::log::conformance;

    fn clock(millis: i64) -> Arc<ManualClock> {
        Arc::new(ManualClock::new(Timestamp::from_millis(millis)))
    }

    fn record(text: &str) -> Record {
        Record { key: "k".into(), value: text.into() }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn conforms() {
        let dir = tempfile::tempdir().unwrap();
        let mut count = 0;
        conformance::all(|clock| {
            count += 1;
            let path = dir.path().join(format!("{count}.db"));
            Arc::new(SqliteLog::open(&path, clock).unwrap())
        })
        .await;
    }

    #[tokio::test]
    async fn acknowledged_records_survive_reopening_and_times_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/log.db");
        let log = SqliteLog::open(&path, clock(5_000)).unwrap();
        let two = vec![record("a"), record("b")];
        log.append(Topic::Signals, two).await.unwrap();
        log.commit("reader", Topic::Signals, 1).await.unwrap();
        drop(log);

        let earlier = clock(1_000);
        let log = SqliteLog::open(&path, earlier).unwrap();
        assert_eq!(log.tail(Topic::Signals).await.unwrap(), 2);
        assert_eq!(log.committed("reader", Topic::Signals).await.unwrap(), 1);
        let next = log.append(Topic::Signals, vec![record("c")]).await.unwrap();
        assert_eq!(next, [2]);
        let stored = log.read(Topic::Signals, 0, 10).await.unwrap();
        assert_eq!(stored[0].value, b"a");
        assert_eq!(
            stored[2].appended,
            Timestamp::from_millis(5_000),
            "a clock that went back does not take the log with it"
        );
    }

    #[tokio::test]
    async fn a_second_process_is_told_that_the_directory_is_locked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.db");
        let first = SqliteLog::open(&path, clock(0)).unwrap();
        let second = SqliteLog::open(&path, clock(0)).err().unwrap();
        assert!(second.to_string().starts_with("data directory is locked"));
        assert_eq!(second.kind(), ErrorKind::Unavailable);
        drop(first);
        assert!(SqliteLog::open(&path, clock(0)).is_ok());
    }

    #[tokio::test]
    async fn foreign_and_newer_files_are_refused_untouched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.db");
        std::fs::write(&path, b"dear diary").unwrap();
        let error = SqliteLog::open(&path, clock(0)).err().unwrap();
        assert!(matches!(error, Error::Foreign { .. }), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"dear diary");

        std::fs::remove_file(&path).unwrap();
        drop(SqliteLog::open(&path, clock(0)).unwrap());
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "user_version", FORMAT.version + 1).unwrap();
        connection.close().unwrap();
        let before = std::fs::read(&path).unwrap();
        let error = SqliteLog::open(&path, clock(0)).err().unwrap();
        assert!(matches!(error, Error::Format { found: 2, .. }), "{error}");
        assert_eq!(error.kind(), ErrorKind::Data);
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[tokio::test]
    async fn a_database_of_another_program_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("CREATE TABLE t (x)").unwrap();
        connection.close().unwrap();
        let error = SqliteLog::open(&path, clock(0)).err().unwrap();
        assert!(matches!(error, Error::Foreign { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_failed_transaction_is_reported_and_can_be_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.db");
        let log = SqliteLog::open(&path, clock(0)).unwrap();
        log.append(Topic::Signals, vec![record("a")]).await.unwrap();
        let intruder = Connection::open(&path).unwrap();
        intruder.execute_batch("BEGIN IMMEDIATE").unwrap();
        let refused = log.append(Topic::Signals, vec![record("b")]).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(log.tail(Topic::Signals).await.unwrap(), 1);
        intruder.execute_batch("ROLLBACK").unwrap();
        let next = log.append(Topic::Signals, vec![record("b")]).await.unwrap();
        assert_eq!(next, [1], "nothing was half written");
        assert!(log.horizon().await.is_ok());
    }

    #[tokio::test]
    async fn dropping_a_log_keeps_what_was_handed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.db");
        let log = SqliteLog::open(&path, clock(0)).unwrap();
        for text in ["a", "b"] {
            log.append(Topic::Signals, vec![record(text)]).await.unwrap();
        }
        drop(log);
        let log = SqliteLog::open(&path, clock(0)).unwrap();
        assert_eq!(log.tail(Topic::Signals).await.unwrap(), 2);
    }
}
