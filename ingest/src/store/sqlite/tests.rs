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
    let schema = schema.replace("CREATE INDEX examples_of_units ON examples\n", "");
    let later = [
        "dead_letters_by_source",
        "TABLE erased",
        "exposures_by_time",
        ", assigned TEXT",
        ", value REAL",
        "_of_units",
        "_of_exposures",
        "    , surface TEXT",
        "    (unit_id, exposure_id, exposure_ts",
    ];
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

#[tokio::test]
async fn rows_of_format_4_say_the_same_of_units() {
    let store = SqliteStore::in_memory().unwrap();
    store.apply(conformance::exposures(0, &["a", "b"])).await.unwrap();
    store.apply(conformance::examples(0, vec![conformance::example("a", 2, 1_000)])).await.unwrap();
    let signals = crate::store::Rows::Signals(vec![(0, conformance::signal("s"))]);
    store.apply(Batch { shard: 0, from: 0, next: 1, mark: None, rows: signals }).await.unwrap();
    let new = conformance::units(&store).await;
    assert_eq!((new.len(), new[0].shown.len(), new[0].reactions.len()), (1, 3, 1));
    let old = "UPDATE exposures SET assigned = NULL, words = NULL, attributes = NULL;
        UPDATE examples SET surface = NULL, assigned = NULL, words = NULL, attributes = NULL, labels = NULL, told = NULL;
        UPDATE signals SET value = NULL, retracts = NULL, is_shadow = NULL;";
    store.inner.writer().execute_batch(old).unwrap();
    assert_eq!(conformance::units(&store).await, new);
}
