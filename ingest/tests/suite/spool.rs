//! What is acknowledged while the log cannot be reached.

use std::path::Path;
use std::sync::Arc;

use plaudit_ingest::log::{EventLog, Record, SpooledLog, Topic};
use plaudit_ingest::{Error, ErrorKind};

use super::support::{Fault, FaultyLog, clock};

fn records(texts: &[&str]) -> Vec<Record> {
    texts.iter().map(|text| Record { key: "k".into(), value: text.as_bytes().to_vec() }).collect()
}

async fn over(log: &Arc<FaultyLog>, path: &Path, max_bytes: u64) -> SpooledLog {
    let log = Arc::clone(log) as Arc<dyn EventLog>;
    SpooledLog::open(log, path, max_bytes, clock(1_000)).await.unwrap()
}

async fn values(log: &FaultyLog, topic: Topic) -> Vec<String> {
    let stored = log.read(topic, 0, 100).await.unwrap();
    stored.into_iter().map(|stored| String::from_utf8(stored.value).unwrap()).collect()
}

#[tokio::test]
async fn what_comes_while_the_log_is_away_is_kept_and_handed_on_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool.db");
    let log = Arc::new(FaultyLog::new(clock(1_000)));
    let spooled = over(&log, &path, 1_000).await;
    spooled.append(Topic::Signals, records(&["a"])).await.unwrap();
    assert_eq!(spooled.waiting_bytes(), 0, "the log is there");
    log.plan([Fault::Before]);
    assert!(spooled.append(Topic::Signals, records(&["b", "c"])).await.unwrap().is_empty(), "kept");
    spooled.append(Topic::Exposures, records(&["x"])).await.unwrap();
    assert_eq!(spooled.waiting_bytes(), 6, "also when the log is back: what waits goes first");
    assert_eq!(values(&log, Topic::Signals).await, ["a"]);
    log.plan([Fault::Before]);
    let away = spooled.hand_on().await.unwrap_err();
    assert_eq!((away.kind(), spooled.waiting_bytes()), (ErrorKind::Unavailable, 6), "nothing is lost");
    spooled.hand_on().await.unwrap();
    assert_eq!(spooled.waiting_bytes(), 0);
    spooled.append(Topic::Signals, records(&["d"])).await.unwrap();
    assert_eq!(values(&log, Topic::Signals).await, ["a", "b", "c", "d"]);
    assert_eq!(values(&log, Topic::Exposures).await, ["x"]);
}

#[tokio::test]
async fn a_killed_process_leaves_its_spool_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool.db");
    let log = Arc::new(FaultyLog::new(clock(1_000)));
    let spooled = over(&log, &path, 1_000).await;
    log.plan([Fault::Before]);
    spooled.append(Topic::Signals, records(&["a", "b"])).await.unwrap();
    drop(spooled);
    let next = over(&log, &path, 1_000).await;
    assert_eq!(next.waiting_bytes(), 4);
    next.append(Topic::Signals, records(&["c"])).await.unwrap();
    next.hand_on().await.unwrap();
    assert_eq!(values(&log, Topic::Signals).await, ["a", "b", "c"]);
    drop(next);
    assert_eq!(over(&log, &path, 1_000).await.waiting_bytes(), 0, "handed on once");
}

#[tokio::test]
async fn a_full_spool_turns_away_and_keeps_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let log = Arc::new(FaultyLog::new(clock(1_000)));
    let spooled = over(&log, &dir.path().join("spool.db"), 5).await;
    log.plan([Fault::Before]);
    spooled.append(Topic::Signals, records(&["a", "b"])).await.unwrap();
    let full = spooled.append(Topic::Signals, records(&["c"])).await.unwrap_err();
    assert!(matches!(full, Error::Busy { most: 5, .. }), "{full}");
    assert_eq!((full.kind(), spooled.waiting_bytes()), (ErrorKind::Unavailable, 4));
    spooled.hand_on().await.unwrap();
    spooled.append(Topic::Signals, records(&["c"])).await.unwrap();
    assert_eq!(values(&log, Topic::Signals).await, ["a", "b", "c"]);
}

#[tokio::test]
async fn other_topics_are_not_spooled() {
    let dir = tempfile::tempdir().unwrap();
    let log = Arc::new(FaultyLog::new(clock(1_000)));
    let spooled = over(&log, &dir.path().join("spool.db"), 1_000).await;
    log.plan([Fault::Before]);
    let refused = spooled.append(Topic::Examples, records(&["a"])).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(spooled.waiting_bytes(), 0);
}
