//! The services under crashes: what they write is what they would have written undisturbed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use plaudit_event::{Envelope, Event as Wire, Example, SignalKind};
use plaudit_ingest::Config;
use plaudit_ingest::log::{EventLog, MemoryLog, Record, SqliteLog, Topic};
use plaudit_ingest::service::{AttributionService, StoreSink};
use plaudit_ingest::store::{EventStore, SqliteStore};
use proptest::prelude::*;
use tokio::sync::watch;

use crate::attribution::{Event, any_steps, history};
use crate::support::{Fault, FaultyLog, at, clock, exposure, short, signal, values};

fn record(event: Event) -> (Topic, Record) {
    let (topic, key, event) = match event {
        Event::Exposure(e) => (Topic::Exposures, e.exposure_id.to_string(), Wire::Exposure(e)),
        Event::Signal(s) => (Topic::Signals, s.exposure_id.to_string(), Wire::Signal(s)),
    };
    let value = Envelope::new(event).encode();
    (topic, Record { key, value })
}

async fn examples(log: &dyn EventLog) -> Vec<Example> {
    let texts = values(log, Topic::Examples).await;
    let example = |text: &String| match Envelope::decode(text.as_bytes()).unwrap().event {
        Wire::Example(example) => example,
        other => panic!("not an example: {other:?}"),
    };
    texts.iter().map(example).collect()
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
async fn play(events: &[(i64, Event)], troubles: &[Trouble]) -> Vec<String> {
    let clock = clock(0);
    let log = Arc::new(FaultyLog::new(clock.clone()));
    let mut service = AttributionService::new(log.clone(), short());
    let quiet = std::iter::repeat(&Trouble::Idle);
    for ((appended, event), trouble) in events.iter().zip(troubles.iter().chain(quiet)) {
        clock.advance_to(at(*appended));
        let (topic, record) = record(event.clone());
        log.append(topic, vec![record]).await.unwrap();
        match trouble {
            Trouble::Idle => continue,
            Trouble::Run => {}
            Trouble::Kill => service = AttributionService::new(log.clone(), short()),
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
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let events = history(&steps);
        let undisturbed = runtime.block_on(play(&events, &[]));
        let disturbed = runtime.block_on(play(&events, &troubles));
        prop_assert_eq!(undisturbed, disturbed);
    }
}

#[tokio::test]
async fn an_example_carries_its_exposure_and_every_exposure_has_one() {
    let clock = clock(1_000);
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(clock.clone()));
    for number in 0..1_000 {
        let (topic, record) = record(Event::Exposure(exposure(&format!("e{number}"), 1_000)));
        log.append(topic, vec![record]).await.unwrap();
    }
    let love = signal("s", "e7", SignalKind::Love, 1_001);
    let (topic, love) = record(Event::Signal(love));
    log.append(topic, vec![love]).await.unwrap();
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
async fn a_change_of_the_window_loses_and_repeats_nothing() {
    for (before, after) in [(50, 500), (500, 50)] {
        let clock = clock(1_000);
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(clock.clone()));
        let mut window = before;
        for number in 0..40 {
            clock.advance_to(at(1_000 + number * 30));
            let shown = exposure(&format!("e{number}"), 1_000 + number * 30);
            let (topic, shown) = record(Event::Exposure(shown));
            log.append(topic, vec![shown]).await.unwrap();
            if number == 20 {
                window = after;
            }
            let config = Config { window: Duration::from_millis(window), ..short() };
            let mut service = AttributionService::new(log.clone(), config);
            service.catch_up().await.unwrap();
        }
        clock.advance_to(at(100_000));
        let config = Config { window: Duration::from_millis(after), ..short() };
        let mut service = AttributionService::new(log.clone(), config);
        service.catch_up().await.unwrap();
        let mut closed: BTreeMap<String, u32> = BTreeMap::new();
        for example in examples(&*log).await {
            *closed.entry(example.exposure_id.to_string()).or_default() += 1;
        }
        assert_eq!(closed.len(), 40);
        assert!(closed.values().all(|count| *count == 1), "{closed:?}");
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
    let (topic, shown) = record(Event::Exposure(exposure("e", 1_000)));
    log.append(topic, vec![shown]).await.unwrap();
    clock.advance_to(at(2_000));
    let mut service = AttributionService::new(log.clone(), short());
    assert_eq!(service.catch_up().await.unwrap().examples, 1);
    let store: Arc<dyn EventStore> = Arc::new(SqliteStore::in_memory().unwrap());
    let sink = StoreSink::new(log, store.clone(), &short());
    assert_eq!(sink.catch_up().await.unwrap().rows, 2);
    assert_eq!(sink.catch_up().await.unwrap().records, 0, "and not met again");
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
            for event in [Event::Exposure(exposure(&id, now)), Event::Signal(love)] {
                let (topic, record) = record(event);
                log.append(topic, vec![record]).await.unwrap();
            }
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

fn open_store(path: &Path) -> Arc<dyn EventStore> {
    Arc::new(SqliteStore::open(path).unwrap())
}

#[tokio::test]
async fn the_loops_run_wait_out_failures_and_stop_when_told() {
    let clock = clock(1_000);
    let log = Arc::new(FaultyLog::new(clock.clone()));
    let (topic, shown) = record(Event::Exposure(exposure("e", 1_000)));
    log.append(topic, vec![shown]).await.unwrap();
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
