//! The services under crashes: what they write is what they would have written undisturbed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use plaudit_event::{Event as Wire, SignalKind};
use plaudit_ingest::log::{EventLog, MemoryLog, Record, SqliteLog, Topic};
use plaudit_ingest::service::{AttributionService, StoreSink};
use plaudit_ingest::store::{EventStore, SqliteStore};
use plaudit_ingest::{Config, Error, ErrorKind};
use proptest::prelude::*;
use tokio::sync::watch;

use crate::histories::{Event, Step, any_steps, history};
use crate::support::{Fault, FaultyLog, append, at, clock, examples, exposure, short, signal, tight, values};

fn wire(event: &Event) -> Wire {
    match event {
        Event::Exposure(exposure) => Wire::Exposure(exposure.clone()),
        Event::Signal(signal) => Wire::Signal(signal.clone()),
    }
}

/// What happens to the service after an event of the history.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// It is not called.
    Idle,
    /// It catches up.
    Run,
    /// It is killed; a new one catches up.
    Kill,
    /// The answer to its next append is bad, and it is called again.
    Fault(Fault),
}

fn any_trouble() -> impl Strategy<Value = Trouble> {
    prop_oneof![
        4 => Just(Trouble::Idle),
        2 => Just(Trouble::Run),
        2 => Just(Trouble::Kill),
        1 => Just(Trouble::Fault(Fault::Before)),
        1 => Just(Trouble::Fault(Fault::After)),
    ]
}

/// Plays the history into a fresh log, with trouble in between; returns the topic `examples`.
async fn play(events: &[(i64, Event)], troubles: &[Trouble], config: &Config) -> Vec<String> {
    let clock = clock(0);
    let log = Arc::new(FaultyLog::new(clock.clone()));
    let mut service = AttributionService::new(log.clone(), config.clone());
    let quiet = std::iter::repeat(&Trouble::Idle);
    for ((appended, event), trouble) in events.iter().zip(troubles.iter().chain(quiet)) {
        clock.advance_to(at(*appended));
        append(&*log, wire(event)).await;
        match trouble {
            Trouble::Idle => continue,
            Trouble::Run => {}
            Trouble::Kill => service = AttributionService::new(log.clone(), config.clone()),
            Trouble::Fault(fault) => {
                log.plan([*fault]);
                // It may have nothing to append: then the fault hits later.
                let _ = service.catch_up().await;
            }
        }
        let _ = service.catch_up().await;
        log.forgive();
    }
    clock.advance_to(at(1_000_000));
    service.catch_up().await.unwrap();
    values(&*log, Topic::Examples).await
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn killed_anywhere_it_writes_the_same_examples(
        steps in any_steps(80),
        troubles in prop::collection::vec(any_trouble(), 80),
    ) {
        check_killing(&steps, &troubles, &short())?;
    }

    #[test]
    fn killed_anywhere_it_writes_the_same_examples_at_the_limits(
        steps in any_steps(80),
        troubles in prop::collection::vec(any_trouble(), 80),
    ) {
        check_killing(&steps, &troubles, &tight())?;
    }
}

fn check_killing(steps: &[Step], troubles: &[Trouble], config: &Config) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let events = history(steps);
    let undisturbed = runtime.block_on(play(&events, &[], config));
    let disturbed = runtime.block_on(play(&events, troubles, config));
    prop_assert_eq!(undisturbed, disturbed);
    Ok(())
}

#[tokio::test]
async fn an_example_carries_its_exposure_and_every_exposure_has_one() {
    let clock = clock(1_000);
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(clock.clone()));
    for number in 0..1_000 {
        append(&*log, Wire::Exposure(exposure(&format!("e{number}"), 1_000))).await;
    }
    append(&*log, Wire::Signal(signal("s", "e7", SignalKind::Love, 1_001))).await;
    let mut service = AttributionService::new(log.clone(), short());
    assert_eq!(service.catch_up().await.unwrap().examples, 0, "all windows are open");
    clock.advance_to(at(1_060));
    let done = service.catch_up().await.unwrap();
    assert_eq!((done.examples, done.corrections, done.records), (1_000, 0, 1_001));
    let examples = examples(&*log).await;
    assert_eq!(examples.len(), 1_000);
    for (number, example) in examples.iter().enumerate() {
        assert_eq!(example.exposure_id.as_str(), format!("e{number}"));
        assert_eq!(example.response, format!("second of e{number}"));
        assert_eq!((example.position, example.item_id.as_str()), (1, "second"));
        let love = example.label("love").unwrap().value;
        assert_eq!(love, f32::from(u8::from(number == 7)));
    }
}

#[tokio::test]
async fn an_unreadable_record_is_passed_over() {
    let clock = clock(1_000);
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(clock.clone()));
    let junk = Record { key: "e".into(), value: b"junk".to_vec() };
    for topic in [Topic::Exposures, Topic::Signals] {
        log.append(topic, vec![junk.clone()]).await.unwrap();
    }
    append(&*log, Wire::Exposure(exposure("e", 1_000))).await;
    clock.advance_to(at(2_000));
    let mut service = AttributionService::new(log.clone(), short());
    assert_eq!(service.catch_up().await.unwrap().examples, 1);
    let store: Arc<dyn EventStore> = Arc::new(SqliteStore::in_memory().unwrap());
    let sink = StoreSink::new(log, store.clone(), &short());
    assert_eq!(sink.catch_up().await.unwrap().rows, 2);
    assert_eq!(sink.catch_up().await.unwrap().records, 0, "and not met again");
}

#[tokio::test]
async fn the_exposures_of_all_signals_are_copied_before_them() {
    let log = Arc::new(FaultyLog::new(clock(1_000)));
    let reaction = |id: &str| Wire::Signal(signal(&format!("s-{id}"), id, SignalKind::Love, 1_000));
    append(&*log, Wire::Exposure(exposure("e", 1_000))).await;
    append(&*log, reaction("e")).await;
    log.meanwhile([Wire::Exposure(exposure("late", 1_000)), reaction("late")]);
    let store: Arc<dyn EventStore> = Arc::new(SqliteStore::in_memory().unwrap());
    let sink = StoreSink::new(log, store.clone(), &short());
    for expected in [(1, 1), (2, 2)] {
        sink.catch_up().await.unwrap();
        let counts = store.counts().await.unwrap();
        assert_eq!((counts.exposures, counts.signals), expected);
    }
}

#[tokio::test]
async fn log_attribution_and_store_survive_reopening_together() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock(1_000);
    let open = |name: &str| dir.path().join(name);
    for round in 0..5 {
        let log: Arc<dyn EventLog> = Arc::new(SqliteLog::open(&open("log.db"), clock.clone()).unwrap());
        let store: Arc<dyn EventStore> = open_store(&open("store.db"));
        for number in 0..20 {
            let id = format!("e{round}-{number}");
            let now = 1_000 + round * 100;
            clock.advance_to(at(now));
            let love = signal(&format!("s-{id}"), &id, SignalKind::Love, now);
            append(&*log, Wire::Exposure(exposure(&id, now))).await;
            append(&*log, Wire::Signal(love)).await;
        }
        let mut attribution = AttributionService::new(log.clone(), short());
        attribution.catch_up().await.unwrap();
        StoreSink::new(log, store, &short()).catch_up().await.unwrap();
    }
    clock.advance_to(at(9_000));
    let log: Arc<dyn EventLog> = Arc::new(SqliteLog::open(&open("log.db"), clock).unwrap());
    AttributionService::new(log.clone(), short()).catch_up().await.unwrap();
    let store = open_store(&open("store.db"));
    StoreSink::new(log, store.clone(), &short()).catch_up().await.unwrap();
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.exposures, counts.signals, counts.examples), (100, 100, 100));
    let all = store.examples(at(0)..at(9_000), 1_000).await.unwrap();
    assert!(all.iter().all(|e| e.revision == 0 && e.label("love").unwrap().value == 1.0));
}

#[tokio::test]
async fn windows_close_although_the_clock_was_set_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.db");
    let log = SqliteLog::open(&path, clock(10_000_000)).unwrap();
    append(&log, Wire::Exposure(exposure("e", 10_000_000))).await;
    drop(log);
    let earlier = clock(1_000_000);
    let log: Arc<dyn EventLog> = Arc::new(SqliteLog::open(&path, earlier.clone()).unwrap());
    let mut service = AttributionService::new(log.clone(), short());
    assert_eq!(service.catch_up().await.unwrap().examples, 0);
    earlier.advance_to(at(1_000_059));
    assert_eq!(service.catch_up().await.unwrap().examples, 0);
    earlier.advance_to(at(1_000_060));
    assert_eq!(service.catch_up().await.unwrap().examples, 1);
    append(&*log, Wire::Signal(signal("s", "e", SignalKind::Love, 10_000_001))).await;
    earlier.advance_to(at(1_000_061));
    assert_eq!(service.catch_up().await.unwrap().corrections, 1);
}

/// A log with exposures of these ids.
async fn log_of(ids: &[&str]) -> Arc<dyn EventLog> {
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(clock(1_000)));
    for id in ids {
        append(&*log, Wire::Exposure(exposure(id, 1_000))).await;
    }
    log
}

#[tokio::test]
async fn a_store_that_was_copied_from_another_log_is_told_apart() {
    let store: Arc<dyn EventStore> = Arc::new(SqliteStore::in_memory().unwrap());
    let sink = |log| StoreSink::new(log, store.clone(), &short());
    sink(log_of(&["a", "b"]).await).catch_up().await.unwrap();
    let grown = sink(log_of(&["a", "b", "c"]).await).catch_up().await.unwrap();
    assert_eq!(grown.rows, 1, "the same log, later");
    let shorter = sink(log_of(&["a", "b"]).await).catch_up().await.unwrap_err();
    assert_eq!(shorter.kind(), ErrorKind::Data);
    assert_eq!(
        shorter.to_string(),
        "the store stands at offset 3 of exposures/0, but this log (tail 2) does not hold what it copied: the log \
         was deleted or replaced; delete the store, it is rebuilt from the log"
    );
    let longer = sink(log_of(&["a", "b", "x", "d", "e"]).await).catch_up().await.unwrap_err();
    assert!(matches!(longer, Error::OtherLog { position: 3, tail: 5, .. }), "{longer}");
    assert_eq!(store.counts().await.unwrap().exposures, 3, "nothing was copied");
}

fn open_store(path: &Path) -> Arc<dyn EventStore> {
    Arc::new(SqliteStore::open(path).unwrap())
}

#[tokio::test]
async fn the_loops_run_wait_out_failures_and_stop_when_told() {
    let clock = clock(1_000);
    let log = Arc::new(FaultyLog::new(clock.clone()));
    append(&*log, Wire::Exposure(exposure("e", 1_000))).await;
    clock.advance_to(at(2_000));
    log.plan([Fault::Before, Fault::After]);
    let config = Config { poll: Duration::from_millis(1), ..short() };
    let store: Arc<dyn EventStore> = Arc::new(SqliteStore::in_memory().unwrap());
    let (stop, stopped) = watch::channel(false);
    let mut attribution = AttributionService::new(log.clone(), config.clone());
    let mut sink = StoreSink::new(log.clone(), store.clone(), &config);
    let sink_stopped = stopped.clone();
    let loops = [
        tokio::spawn(async move { attribution.run(stopped).await }),
        tokio::spawn(async move { sink.run(sink_stopped).await }),
    ];
    while store.counts().await.unwrap().examples == 0 {
        tokio::task::yield_now().await;
    }
    stop.send(true).unwrap();
    for task in loops {
        task.await.unwrap().unwrap();
    }
    assert_eq!(log.tail(Topic::Examples).await.unwrap(), 1, "exactly once, although an answer was lost");
}
