//! The thread that writes the log: many commands, one transaction, one sync.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use plaudit_event::Timestamp;
use rusqlite::{Connection, params};
use tokio::sync::{mpsc, oneshot};

use super::{Record, Shared, Topic, ends, to_sql};
use crate::Error;
use crate::sqlite::{Lock, sqlite_error};

/// Most records and bytes of one transaction; what waits beyond goes into the next.
const GROUP_RECORDS: usize = 20_000;
const GROUP_BYTES: usize = 32 << 20;

/// What callers ask of the writer. An answer is given only after the sync to disk.
pub(super) enum Command {
    Append { topic: Topic, records: Vec<Record>, answer: oneshot::Sender<Result<Vec<u64>, Error>> },
    Commit { group: String, topic: Topic, next: u64, answer: oneshot::Sender<Result<(), Error>> },
    Erase { topic: Topic, offsets: Vec<u64>, answer: oneshot::Sender<Result<(), Error>> },
}

impl Command {
    fn size(&self) -> (usize, usize) {
        match self {
            Self::Append { records, .. } => {
                let bytes = records.iter().map(|record| record.value.len()).sum();
                (records.len(), bytes)
            }
            Self::Commit { .. } => (1, 0),
            Self::Erase { offsets, .. } => (offsets.len(), 0),
        }
    }

    fn fail(self, error: Error) {
        // A caller that is gone needs no answer.
        match self {
            Self::Append { answer, .. } => drop(answer.send(Err(error))),
            Self::Commit { answer, .. } | Self::Erase { answer, .. } => drop(answer.send(Err(error))),
        }
    }
}

/// The state of the writer thread.
pub(super) struct Writer {
    path: PathBuf,
    connection: Connection,
    shared: Arc<Shared>,
    /// The next offset of each topic, as of the last transaction that was committed.
    tails: [u64; Topic::ALL.len()],
    /// Held until the thread ends; declared last, so that the connection is closed first.
    _lock: Lock,
}

impl Writer {
    pub(super) fn new(path: &Path, connection: Connection, lock: Lock, shared: Arc<Shared>) -> Self {
        Self {
            path: path.to_owned(),
            connection,
            tails: Topic::ALL.map(|topic| shared.tail(topic)),
            shared,
            _lock: lock,
        }
    }

    /// Serves commands until every sender is gone.
    pub(super) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(first) = commands.blocking_recv() {
            let group = gather(first, &mut commands);
            self.serve(group);
        }
    }

    fn serve(&mut self, group: Vec<Command>) {
        let appended = self.shared.begin();
        let written = self.write(&group, appended);
        let firsts = match written {
            Ok(firsts) => firsts,
            Err(error) => {
                let error = sqlite_error("append", &self.path)(error);
                self.recover();
                self.shared.end();
                tracing::warn!(error = %error, num_commands = group.len(), "log transaction failed");
                for command in group {
                    command.fail(error.clone());
                }
                return;
            }
        };
        for (shared, tail) in self.shared.tails.iter().zip(self.tails) {
            shared.store(tail, Ordering::Release);
        }
        self.shared.end();
        let num_records = group.iter().map(|command| command.size().0).sum();
        crate::metrics::log_transaction(group.len(), num_records);
        for (command, first) in group.into_iter().zip(firsts) {
            match command {
                Command::Append { records, answer, .. } => {
                    let offsets = (first..).take(records.len()).collect();
                    drop(answer.send(Ok(offsets)));
                }
                Command::Commit { answer, .. } => drop(answer.send(Ok(()))),
                Command::Erase { answer, .. } => drop(answer.send(self.forget_erased())),
            }
        }
    }

    /// What was erased is still in the write-ahead log until that is emptied.
    fn forget_erased(&self) -> Result<(), Error> {
        let emptied = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        match emptied {
            Ok(0) => Ok(()),
            Ok(_) => Err(Error::Busy { what: "readers of the log during an erasure", most: 0 }),
            Err(error) => Err(sqlite_error("erase", &self.path)(error)),
        }
    }

    /// Writes and syncs the group; returns the first offset of each of its commands.
    fn write(&mut self, group: &[Command], appended: Timestamp) -> rusqlite::Result<Vec<u64>> {
        let transaction = self.connection.transaction()?;
        let mut tails = self.tails;
        let mut firsts = Vec::with_capacity(group.len());
        for command in group {
            match command {
                Command::Append { topic, records, .. } => {
                    let tail = &mut tails[*topic as usize];
                    firsts.push(*tail);
                    let mut insert = transaction.prepare_cached(&format!(
                        "INSERT INTO {topic} (offset, appended, key, value) VALUES (?1, ?2, ?3, ?4)"
                    ))?;
                    for record in records {
                        let (key, value) = (&record.key, &record.value);
                        insert.execute(params![to_sql(*tail), appended.as_millis(), key, value])?;
                        *tail += 1;
                    }
                }
                Command::Erase { topic, offsets, .. } => {
                    firsts.push(0);
                    let mut update = transaction
                        .prepare_cached(&format!("UPDATE {topic} SET key = '', value = x'' WHERE offset = ?1"))?;
                    for offset in offsets {
                        update.execute([to_sql(*offset)])?;
                    }
                }
                Command::Commit { group, topic, next, .. } => {
                    firsts.push(0);
                    transaction
                        .prepare_cached(
                            "INSERT INTO positions (consumer, topic, next) VALUES (?1, ?2, ?3)
                             ON CONFLICT DO UPDATE SET next = max(next, excluded.next)",
                        )?
                        .execute(params![group, topic.as_str(), to_sql(*next)])?;
                }
            }
        }
        transaction.commit()?;
        self.tails = tails;
        Ok(firsts)
    }

    /// Leaves the failed transaction, and looks at what is on disk rather than guessing.
    fn recover(&mut self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::warn!(error = %error, "log rollback failed");
        }
        match ends(&self.connection) {
            Ok((tails, _)) => self.tails = tails,
            Err(error) => tracing::warn!(error = %error, "log ends cannot be read"),
        }
    }
}

/// The first command and those that already wait behind it, up to the limits of a transaction.
fn gather(first: Command, commands: &mut mpsc::Receiver<Command>) -> Vec<Command> {
    let (mut records, mut bytes) = first.size();
    let mut group = vec![first];
    while records < GROUP_RECORDS && bytes < GROUP_BYTES {
        let Ok(next) = commands.try_recv() else { break };
        let size = next.size();
        records += size.0;
        bytes += size.1;
        group.push(next);
    }
    group
}
