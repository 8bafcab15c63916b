//! The file of a database before SQLite works on it: recognised, mended after a crash, or made.
//!
//! A new database is built beside its place and renamed, so that what is in the place is complete,
//! wherever the process dies.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::{BUSY, Format, sqlite_error, version};
use crate::Error;

/// What SQLite keeps beside a database.
const COMPANIONS: [&str; 3] = ["-journal", "-wal", "-shm"];

/// Bytes of SQLite's file header.
const HEADER: usize = 100;

/// `path` with `ending` after its name.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Sees to it that a whole database of this `format` is at `path`.
///
/// A file of another format, or one that is damaged where `format` looks, is left as it is.
pub(super) fn prepare(path: &Path, format: &Format) -> Result<(), Error> {
    let mut is_there = is_there(path, format)?;
    if is_there && has_content(&beside(path, "-journal")) {
        roll_back(path).map_err(sqlite_error("recover", path))?;
        is_there = self::is_there(path, format)?;
    }
    if is_there { probe(path, format) } else { make(path, format) }
}

/// Whether there is a database of ours; an error when there is something else. Reads the beginning of
/// the file without SQLite.
fn is_there(path: &Path, format: &Format) -> Result<bool, Error> {
    const MAGIC: &[u8; 16] = b"SQLite format 3\0";
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Error::io("open", path, error)),
    };
    let mut start = Vec::new();
    let read = Read::by_ref(&mut file).take(HEADER as u64 + 8).read_to_end(&mut start);
    read.map_err(|error| Error::io("read", path, error))?;
    if start.is_empty() {
        return Ok(false);
    }
    let word = |offset: usize| {
        let bytes = start.get(offset..offset + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    };
    let (pages, version, application) = (word(28), word(60), word(68));
    let is_sqlite = start.starts_with(MAGIC);
    match version {
        Some(found) if is_sqlite && application == Some(format.application_id) => {
            if found > format.version {
                return Err(Error::Format { path: path.to_owned(), found, known: format.version });
            }
            Ok(true)
        }
        // One page without a table: what a first start that was killed can leave, and nobody's data.
        Some(0) if is_sqlite && application == Some(0) && pages == Some(1) && is_empty_table(&start) => {
            if has_content(&beside(path, "-wal")) {
                return Err(foreign(path, format));
            }
            Ok(false)
        }
        _ => Err(foreign(path, format)),
    }
}

fn foreign(path: &Path, format: &Format) -> Error {
    Error::Foreign { path: path.to_owned(), expected: format.name }
}

/// Whether the list of tables, which follows the header, has no row.
fn is_empty_table(start: &[u8]) -> bool {
    const LEAF: u8 = 0x0d;
    start.get(HEADER..HEADER + 5).is_some_and(|page| page[0] == LEAF && page[3..5] == [0, 0])
}

fn has_content(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.len() > 0)
}

/// Lets SQLite take back the transaction that a crash left half written; of a database that was being
/// made, nothing remains.
fn roll_back(path: &Path) -> rusqlite::Result<()> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    connection.close().map_err(|(_, error)| error)
}

/// Reads what an opened database needs, without writing.
fn probe(path: &Path, format: &Format) -> Result<(), Error> {
    let fail = sqlite_error("read", path);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(&fail)?;
    connection.busy_timeout(BUSY).map_err(&fail)?;
    let found = version(&connection).map_err(&fail)?;
    if found > format.version {
        return Err(Error::Format { path: path.to_owned(), found, known: format.version });
    }
    (format.probe)(&connection).map_err(&fail)
}

/// Makes an empty database.
fn make(path: &Path, format: &Format) -> Result<(), Error> {
    let new = beside(path, ".new");
    remove(&new)?;
    for companion in COMPANIONS {
        remove(&beside(&new, companion))?;
        // Of a database that is not there: SQLite would take it for that of the new one.
        remove(&beside(path, companion))?;
    }
    build(&new, format).map_err(sqlite_error("create", &new))?;
    let sync = |path: &Path| File::open(path).and_then(|file| file.sync_all());
    sync(&new).map_err(|error| Error::io("sync", &new, error))?;
    std::fs::rename(&new, path).map_err(|error| Error::io("rename", &new, error))?;
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync(parent).map_err(|error| Error::io("sync", parent, error))
}

/// Whether there is a database of this `format` at `path`, of whatever version, or nothing.
pub(super) fn is_ours(path: &Path, format: &Format) -> bool {
    matches!(is_there(path, format), Ok(_) | Err(Error::Format { .. }))
}

/// Puts the database at `new`, which nobody has open, in the place of the one at `path`. One that is not `ours` is kept.
pub(super) fn replace(path: &Path, new: &Path, is_ours: bool) -> Result<(), Error> {
    // SQLite empties these when it closes a database; what is left of the old one must not be taken for the new one's.
    for companion in COMPANIONS {
        if has_content(&beside(new, companion)) {
            return Err(Error::Busy { what: "users of the new store", most: 0 });
        }
        remove(&beside(new, companion))?;
    }
    let sync = |path: &Path| File::open(path).and_then(|file| file.sync_all());
    sync(new).map_err(|error| Error::io("sync", new, error))?;
    // The old one may be damaged or still have a log of its own: it goes before the new one comes, and when the process
    // dies in between there is no store, which is made again at the next start.
    if is_ours {
        remove(path)?;
    } else {
        std::fs::rename(path, beside(path, ".unknown")).map_err(|error| Error::io("rename", path, error))?;
    }
    for companion in COMPANIONS {
        remove(&beside(path, companion))?;
    }
    std::fs::rename(new, path).map_err(|error| Error::io("rename", new, error))?;
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync(parent).map_err(|error| Error::io("sync", parent, error))
}

/// Removes the database at `path` and what SQLite keeps beside it.
pub(super) fn discard(path: &Path) -> Result<(), Error> {
    for companion in COMPANIONS {
        remove(&beside(path, companion))?;
    }
    remove(path)
}

fn build(path: &Path, format: &Format) -> rusqlite::Result<()> {
    let connection = Connection::open(path)?;
    connection.execute_batch(&format!(
        "BEGIN; {} PRAGMA application_id = {}; PRAGMA user_version = {}; COMMIT;",
        format.schema, format.application_id, format.version
    ))?;
    connection.close().map_err(|(_, error)| error)
}

fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", path, error)),
        _ => Ok(()),
    }
}
