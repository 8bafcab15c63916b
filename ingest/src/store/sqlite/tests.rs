use super::*;
use crate::ErrorKind;
use crate::log::SqliteLog;
use crate::store::conformance;

#[tokio::test]
async fn conforms_on_disk_and_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let mut count = 0;
    conformance::all(|| {
        count += 1;
        Arc::new(SqliteStore::open(&dir.path().join(format!("{count}.db"))).unwrap())
    })
    .await;
    conformance::all(|| Arc::new(SqliteStore::in_memory().unwrap())).await;
}

#[tokio::test]
async fn content_survives_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let store = SqliteStore::open(&path).unwrap();
    let batch = conformance::exposures(0, &["a", "b"]);
    assert_eq!(store.apply(batch.clone()).await.unwrap(), 2);
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.apply(batch).await.unwrap(), 0);
    assert_eq!(store.counts().await.unwrap().exposures, 2);
}

#[tokio::test]
async fn the_file_of_a_log_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.db");
    let clock = Arc::new(plaudit_event::ManualClock::default());
    let log = SqliteLog::open(&path, clock).unwrap();
    let locked = SqliteStore::open(&path).err().unwrap();
    assert!(matches!(locked, Error::Locked { .. }), "{locked}");
    drop(log);
    let foreign = SqliteStore::open(&path).err().unwrap();
    assert_eq!(foreign.kind(), ErrorKind::Data);
}

#[tokio::test]
async fn a_store_of_format_1_is_upgraded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let connection = Connection::open(&path).unwrap();
    let (before, conflicts) = FORMAT.schema.split_once("-- Ids that say different things").unwrap();
    let (_, after) = conflicts.split_once(") STRICT, WITHOUT ROWID;").unwrap();
    let schema = format!("{before}{after}").replace(", mark BLOB", "").replace(",\n    source TEXT", "");
    let later = ["dead_letters_by_source", "TABLE erased", "exposures_by_time"];
    let schema = schema.lines().filter(|line| !later.iter().any(|name| line.contains(name)));
    let schema = schema.collect::<Vec<_>>().join("\n");
    let id = FORMAT.application_id;
    let made = format!("BEGIN; {schema} PRAGMA application_id = {id}; PRAGMA user_version = 1; COMMIT;");
    connection.execute_batch(&made).unwrap();
    connection.execute("INSERT INTO positions (topic, next) VALUES ('exposures', 7)", []).unwrap();
    connection.close().unwrap();
    for _ in 0..2 {
        let store = SqliteStore::open(&path).unwrap();
        let end = End { next: 7, mark: None };
        assert_eq!(store.ends().await.unwrap(), BTreeMap::from([(Part { topic: Topic::Exposures, shard: 0 }, end)]));
    }
}
