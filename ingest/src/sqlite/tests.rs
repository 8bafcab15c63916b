use super::*;
use crate::ErrorKind;

const FORMAT: Format = Format {
    name: "test",
    application_id: u32::from_be_bytes(*b"Test"),
    version: 1,
    schema: "CREATE TABLE rows (number INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;",
    upgrades: &[],
    probe: |connection| connection.query_row("SELECT count(*) FROM rows", [], |_| Ok(())),
    synchronous: "FULL",
};

fn directory() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.db");
    (directory, path)
}

/// Opens the database, and sees that it works.
fn opens(path: &Path) {
    let (lock, connection) = open(path, &FORMAT).unwrap();
    connection.execute("INSERT INTO rows (text) VALUES ('new')", []).unwrap();
    assert_eq!(version(&connection).unwrap(), 1);
    connection.close().unwrap();
    drop(lock);
    drop(open(path, &FORMAT).unwrap());
    assert!(!file::beside(path, ".new").exists());
}

/// A database as the first steps of making one leave it: whole, without a write-ahead log.
fn made_in_place(path: &Path) {
    let connection = Connection::open(path).unwrap();
    let (id, schema) = (FORMAT.application_id, FORMAT.schema);
    connection
        .execute_batch(&format!("BEGIN; {schema} PRAGMA application_id = {id}; PRAGMA user_version = 1; COMMIT;"))
        .unwrap();
    connection.close().unwrap();
}

/// The journal of a transaction that began with an empty database: taking it back leaves nothing.
fn journal_of_the_first_transaction() -> Vec<u8> {
    let mut journal = vec![0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
    let (records, nonce, pages, sector, page) = (0_u32, 7_u32, 0_u32, 512_u32, 4_096_u32);
    for word in [records, nonce, pages, sector, page] {
        journal.extend(word.to_be_bytes());
    }
    journal.resize(512, 0);
    journal
}

#[test]
fn a_lock_is_given_back_although_a_copy_of_its_descriptor_lives() {
    let (_directory, database) = directory();
    let lock = Lock::take(&database).unwrap();
    let inherited = lock.file.try_clone().unwrap();
    assert!(matches!(Lock::take(&database), Err(Error::Locked { .. })), "it is held");
    drop(lock);
    let again = Lock::take(&database);
    assert!(again.is_ok(), "it was given back");
    drop(inherited);
}

#[test]
fn a_first_start_may_die_at_every_step() {
    let (_directory, whole) = directory();
    made_in_place(&whole);
    let whole = std::fs::read(&whole).unwrap();
    for length in [0, 1, 50, 4_096, whole.len() - 1, whole.len()] {
        let (_directory, path) = directory();
        std::fs::write(file::beside(&path, ".new"), &whole[..length]).unwrap();
        let journal = journal_of_the_first_transaction();
        std::fs::write(file::beside(&path, ".new-journal"), &journal[..length.min(journal.len())]).unwrap();
        opens(&path);
    }
    let (_directory, renamed) = directory();
    std::fs::write(&renamed, &whole).unwrap();
    opens(&renamed);
    let (_directory, empty) = directory();
    std::fs::write(&empty, b"").unwrap();
    std::fs::write(file::beside(&empty, "-journal"), journal_of_the_first_transaction()).unwrap();
    opens(&empty);
}

#[test]
fn a_database_that_was_being_made_in_its_place_is_made_again() {
    let (_directory, path) = directory();
    made_in_place(&path);
    std::fs::write(file::beside(&path, "-journal"), journal_of_the_first_transaction()).unwrap();
    opens(&path);

    let (_directory, blank) = directory();
    let connection = Connection::open(&blank).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.close().unwrap();
    assert!(std::fs::metadata(&blank).unwrap().len() > 0);
    opens(&blank);
}

#[test]
fn what_was_written_survives_a_journal_left_beside_it() {
    let (_directory, path) = directory();
    made_in_place(&path);
    let connection = Connection::open(&path).unwrap();
    connection.execute("INSERT INTO rows (text) VALUES ('old')", []).unwrap();
    connection.close().unwrap();
    std::fs::write(file::beside(&path, "-journal"), [0; 512]).unwrap();
    let (_lock, connection) = open(&path, &FORMAT).unwrap();
    let rows: u32 = connection.query_row("SELECT count(*) FROM rows", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 1);
}

#[test]
fn a_damaged_database_is_refused_untouched() {
    let (_directory, path) = directory();
    made_in_place(&path);
    let mut damaged = std::fs::read(&path).unwrap();
    let second_page = 4_096;
    damaged[second_page..].fill(0xff);
    std::fs::write(&path, &damaged).unwrap();
    let error = open(&path, &FORMAT).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), damaged);
    assert!(!file::beside(&path, "-wal").exists());
}

#[test]
fn an_older_database_is_upgraded_and_a_newer_one_refused() {
    const NEXT: Format = Format { version: 2, upgrades: &["ALTER TABLE rows ADD COLUMN more TEXT;"], ..FORMAT };
    let (_directory, path) = directory();
    drop(open(&path, &FORMAT).unwrap());
    for _ in 0..2 {
        let (_lock, connection) = open(&path, &NEXT).unwrap();
        assert_eq!(version(&connection).unwrap(), 2);
        connection.execute("INSERT INTO rows (text, more) VALUES ('new', 'x')", []).unwrap();
    }
    let error = open(&path, &FORMAT).err().unwrap();
    assert!(matches!(error, Error::Format { found: 2, known: 1, .. }), "{error}");
}

#[test]
fn a_database_that_cannot_have_a_write_ahead_log_is_refused() {
    let connection = Connection::open_in_memory().unwrap();
    let error = use_write_ahead_log(&connection, Path::new("x.db")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(
        error.to_string(),
        "`x.db` cannot have a write-ahead log, its journal mode stays `memory`: use a local file system"
    );
}
