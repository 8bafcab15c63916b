//! What the log and the store share: opening an SQLite database safely, and reading beside a writer.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Read;
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
        let mut path = database.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
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

/// Opens or makes the database at `path`, as its only process.
///
/// A file that is not of this `format` is refused before SQLite touches it.
pub(crate) fn open(path: &Path, format: &Format) -> Result<(Lock, Connection), Error> {
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(|error| Error::io("create", parent, error))?;
    }
    let lock = Lock::take(path)?;
    let is_new = check_header(path, format)?;
    let fail = sqlite_error("open", path);
    let connection = Connection::open(path).map_err(&fail)?;
    // We are the only writer: whoever else holds the database is an operator's shell.
    connection.busy_timeout(BUSY).map_err(&fail)?;
    if is_new {
        // The header must be in the main file, not only in the write-ahead log, for `check_header`.
        connection.pragma_update(None, "journal_mode", "DELETE").map_err(&fail)?;
        connection
            .execute_batch(&format!(
                "BEGIN; {} PRAGMA application_id = {}; PRAGMA user_version = {}; COMMIT;",
                format.schema, format.application_id, format.version
            ))
            .map_err(&fail)?;
    }
    connection.pragma_update(None, "journal_mode", "WAL").map_err(&fail)?;
    connection.pragma_update(None, "synchronous", format.synchronous).map_err(&fail)?;
    Ok((lock, connection))
}

/// Makes the closure that wraps errors of one action on `path`.
pub(crate) fn sqlite_error<'a>(action: &'static str, path: &'a Path) -> impl Fn(rusqlite::Error) -> Error + 'a {
    move |source| Error::Sqlite { action, path: path.to_owned(), source: Arc::new(source) }
}

/// True when there is no database yet. Reads SQLite's 100-byte file header without SQLite.
fn check_header(path: &Path, format: &Format) -> Result<bool, Error> {
    const MAGIC: &[u8; 16] = b"SQLite format 3\0";
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(Error::io("open", path, error)),
    };
    let mut header = Vec::with_capacity(100);
    let read = Read::by_ref(&mut file).take(100).read_to_end(&mut header);
    read.map_err(|error| Error::io("read", path, error))?;
    if header.is_empty() {
        return Ok(true);
    }
    let word = |offset: usize| {
        let bytes = header.get(offset..offset + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    };
    let is_ours = header.starts_with(MAGIC) && word(68) == Some(format.application_id);
    match word(60) {
        Some(found) if is_ours && found > format.version => {
            Err(Error::Format { path: path.to_owned(), found, known: format.version })
        }
        Some(_) if is_ours => Ok(false),
        _ => Err(Error::Foreign { path: path.to_owned(), expected: format.name }),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_given_back_although_a_copy_of_its_descriptor_lives() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("log.db");
        let lock = Lock::take(&database).unwrap();
        let inherited = lock.file.try_clone().unwrap();
        assert!(matches!(Lock::take(&database), Err(Error::Locked { .. })), "it is held");
        drop(lock);
        let again = Lock::take(&database);
        assert!(again.is_ok(), "it was given back");
        drop(inherited);
    }
}
