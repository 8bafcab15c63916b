//! What the log and the store share: opening an SQLite database safely, and reading beside a writer.

mod file;
#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rusqlite::Connection;

use crate::Error;

/// Reader connections that one database keeps open.
const IDLE_READERS: usize = 4;

/// How long to wait for a database that another program holds.
const BUSY: Duration = Duration::from_secs(1);

/// What a database file must be.
pub(crate) struct Format {
    /// What it is, in words.
    pub(crate) name: &'static str,
    /// The `application_id` of SQLite's file header.
    pub(crate) application_id: u32,
    /// The `user_version` of SQLite's file header.
    pub(crate) version: u32,
    /// Statements that make an empty database of this version.
    pub(crate) schema: &'static str,
    /// Statements that make version 2 of version 1, version 3 of version 2, and so on.
    pub(crate) upgrades: &'static [&'static str],
    /// Reads what an opened database needs at once, of any version: fails where it is damaged.
    pub(crate) probe: fn(&Connection) -> rusqlite::Result<()>,
    /// SQLite's `synchronous`: `FULL` where an acknowledgement promises durability, `NORMAL` where
    /// what a power cut takes is derived again.
    pub(crate) synchronous: &'static str,
}

/// The right to be the only process on a database; given back on drop.
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    fn take(database: &Path) -> Result<Self, Error> {
        let path = file::beside(database, ".lock");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(|error| Error::io("open", &path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked { path }),
            Err(TryLockError::Error(error)) => Err(Error::io("lock", &path, error)),
        }
    }
}

impl Drop for Lock {
    /// Unlocks by name: closing is not enough while a child that is being started still has a copy
    /// of the descriptor, between its fork and its exec.
    fn drop(&mut self) {
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "could not unlock a database");
        }
    }
}

/// A database that is made to take the place of another, which is locked meanwhile.
pub(crate) struct Succession {
    path: PathBuf,
    new: PathBuf,
    /// Whether what is in the place is of the same format, so that it need not be kept.
    is_ours: bool,
    _lock: Lock,
}

impl Succession {
    /// Locks the database at `path`.
    pub(crate) fn begin(path: &Path, format: &Format) -> Result<Self, Error> {
        if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).map_err(|error| Error::io("create", parent, error))?;
        }
        let lock = Lock::take(path)?;
        let (new, is_ours) = (file::beside(path, ".rebuild"), file::is_ours(path, format));
        Ok(Self { path: path.to_owned(), new, is_ours, _lock: lock })
    }

    /// Where the new one is to be made.
    pub(crate) fn new_file(&self) -> &Path {
        &self.new
    }

    /// Removes what was made of the new one.
    pub(crate) fn start_over(&self) -> Result<(), Error> {
        file::discard(&self.new)
    }

    /// Puts the new one in its place; it must not be open.
    pub(crate) fn finish(self) -> Result<(), Error> {
        file::replace(&self.path, &self.new, self.is_ours)?;
        let lock = file::beside(&self.new, ".lock");
        std::fs::remove_file(&lock).map_err(|error| Error::io("remove", &lock, error))
    }
}

/// Opens or makes the database at `path`, as its only process.
///
/// A file that is not of this `format` is refused before SQLite touches it, and one that is damaged
/// where `format` looks before anything is written to it.
pub(crate) fn open(path: &Path, format: &Format) -> Result<(Lock, Connection), Error> {
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(|error| Error::io("create", parent, error))?;
    }
    let lock = Lock::take(path)?;
    file::prepare(path, format)?;
    let fail = sqlite_error("open", path);
    let connection = Connection::open(path).map_err(&fail)?;
    // We are the only writer: whoever else holds the database is an operator's shell.
    connection.busy_timeout(BUSY).map_err(&fail)?;
    use_write_ahead_log(&connection, path)?;
    connection.pragma_update(None, "synchronous", format.synchronous).map_err(&fail)?;
    // What is erased is overwritten, not only unlinked.
    connection.pragma_update(None, "secure_delete", "ON").map_err(&fail)?;
    upgrade(&connection, format).map_err(sqlite_error("upgrade", path))?;
    Ok((lock, connection))
}

/// SQLite answers with the mode that it stays in, where it cannot do what it is asked.
fn use_write_ahead_log(connection: &Connection, path: &Path) -> Result<(), Error> {
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(sqlite_error("open", path))?;
    if mode == "wal" { Ok(()) } else { Err(Error::JournalMode { path: path.to_owned(), mode }) }
}

/// Brings a database of an older version to the version of `format`.
fn upgrade(connection: &Connection, format: &Format) -> rusqlite::Result<()> {
    let found = version(connection)?;
    for (next, statements) in (2..).zip(format.upgrades) {
        if next > found {
            connection.execute_batch(&format!("BEGIN; {statements} PRAGMA user_version = {next}; COMMIT;"))?;
        }
    }
    Ok(())
}

fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Makes the closure that wraps errors of one action on `path`.
pub(crate) fn sqlite_error<'a>(action: &'static str, path: &'a Path) -> impl Fn(rusqlite::Error) -> Error + 'a {
    move |source| Error::Sqlite { action, path: path.to_owned(), source: Arc::new(source) }
}

/// Connections that read a database while one other connection writes it.
pub(crate) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), idle: Mutex::new(Vec::new()) }
    }

    /// Runs `query` on a connection of its own; blocks.
    pub(crate) fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        let fail = sqlite_error("read", &self.path);
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => Connection::open(&self.path).map_err(&fail)?,
        };
        let answer = query(&connection).map_err(&fail)?;
        let mut idle = self.idle();
        if idle.len() < IDLE_READERS {
            idle.push(connection);
        }
        Ok(answer)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().expect("no code panics under this lock")
    }
}

/// SQLite stores signed integers; offsets beyond `i64::MAX` do not occur, and as a bound they mean
/// "none".
pub(crate) fn to_sql(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

/// The reverse of [`to_sql`].
pub(crate) fn from_sql(offset: i64) -> u64 {
    u64::try_from(offset).unwrap_or(0)
}
