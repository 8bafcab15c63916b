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
    conformance::all(conformance::Stamps::Ours, async |clock| {
        count += 1;
        let path = dir.path().join(format!("{count}.db"));
        Arc::new(SqliteLog::open(&path, clock).unwrap()) as _
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

#[tokio::test]
async fn time_goes_on_after_a_restart_with_a_clock_that_was_set_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.db");
    let log = SqliteLog::open(&path, clock(5_000_000)).unwrap();
    log.append(Topic::Signals, vec![record("a")]).await.unwrap();
    drop(log);
    let earlier = clock(1_000_000);
    let log = SqliteLog::open(&path, earlier.clone()).unwrap();
    for step in 1..=10 {
        earlier.advance_to(Timestamp::from_millis(1_000_000 + 50 * step));
        let horizon = log.horizon().await.unwrap();
        assert_eq!(horizon, Timestamp::from_millis(5_000_000 + 50 * step));
    }
}

#[test]
fn an_acknowledged_transaction_is_synced() {
    let dir = tempfile::tempdir().unwrap();
    let (_lock, writer) = sqlite::open(&dir.path().join("log.db"), &FORMAT).unwrap();
    let synchronous: u32 = writer.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
    let mode: String = writer.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!((synchronous, mode.as_str()), (2, "wal"), "2 is FULL");
}

#[tokio::test]
async fn a_damaged_log_is_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.db");
    let log = SqliteLog::open(&path, clock(0)).unwrap();
    log.append(Topic::Signals, vec![record("a"); 1_000]).await.unwrap();
    drop(log);
    let mut damaged = std::fs::read(&path).unwrap();
    damaged[4_096..].fill(0xff);
    std::fs::write(&path, &damaged).unwrap();
    let error = SqliteLog::open(&path, clock(0)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), damaged);
}
