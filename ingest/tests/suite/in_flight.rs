//! Events on their way: duplicates of them, callers that go away, how many there may be, and what is
//! remembered of them afterwards.

use std::sync::Arc;

use plaudit_event::{Event, SignalKind};
use plaudit_ingest::log::{EventLog, MemoryLog, SqliteLog, Topic};
use plaudit_ingest::{Config, ErrorKind, Intake, Outcome, Totals};
use serde_json::Value;

use crate::intake::{NOW, intake, love, names, with};
use crate::support::{Fault, FaultyLog, append, at, clock, exposure, signal};

/// The sums once every event received has its outcome.
async fn settled(intake: &Intake) -> Totals {
    loop {
        let totals = intake.totals();
        let outcomes = totals.accepted + totals.duplicate + totals.rejected + totals.quarantined;
        if totals.received == outcomes + totals.unavailable {
            return totals;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_duplicate_of_an_event_in_flight_waits_until_it_is_durable() {
    let (intake, log) = intake().await;
    log.close();
    let send = |intake: Intake| tokio::spawn(async move { intake.signals(vec![love("s")]).await });
    let first = send(intake.clone());
    let second = send(intake.clone());
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!first.is_finished() && !second.is_finished(), "nothing is durable yet");
    log.open();
    let outcomes = [first.await.unwrap().unwrap(), second.await.unwrap().unwrap()].concat();
    let mut names = names(&outcomes);
    names.sort_unstable();
    assert_eq!(names, ["accepted", "duplicate"]);
    assert_eq!(log.tail(Topic::Signals).await.unwrap(), 1);
}

#[tokio::test]
async fn when_the_first_fails_the_second_takes_over() {
    let (intake, log) = intake().await;
    log.close();
    log.plan([Fault::Before]);
    let send = |intake: Intake| tokio::spawn(async move { intake.signals(vec![love("s")]).await });
    let (first, second) = (send(intake.clone()), send(intake.clone()));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    log.open();
    let results = [first.await.unwrap(), second.await.unwrap()];
    let failed = results.iter().filter_map(|r| r.as_ref().err());
    assert_eq!(failed.map(|e| e.kind()).collect::<Vec<_>>(), [ErrorKind::Unavailable]);
    let taken = results.iter().filter_map(|r| r.as_ref().ok());
    assert_eq!(taken.collect::<Vec<_>>(), [&[Outcome::Accepted]]);
    assert_eq!(log.tail(Topic::Signals).await.unwrap(), 1);
    let totals = intake.totals();
    assert_eq!((totals.received, totals.accepted, totals.unavailable), (2, 1, 1));
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_block_its_ids() {
    let (intake, log) = intake().await;
    log.close();
    let gone = intake.clone();
    let call = tokio::spawn(async move { gone.signals(vec![love("s")]).await });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    log.open();
    let outcomes = intake.signals(vec![love("s")]).await.unwrap();
    assert_eq!(outcomes, [Outcome::Duplicate]);
    assert_eq!(log.tail(Topic::Signals).await.unwrap(), 1);
    let expected = Totals { received: 2, accepted: 1, duplicate: 1, ..Totals::default() };
    assert_eq!(settled(&intake).await, expected, "whether or not the caller has waited");
}

#[tokio::test]
async fn ids_are_remembered_across_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.db");
    let clock = clock(NOW);
    let batch: Vec<Value> = (0..50).map(|i| with(love(&format!("s{i}")), "x", f64::from(i) * 0.1 + 1e-17)).collect();
    for round in 0..3 {
        let log: Arc<dyn EventLog> = Arc::new(SqliteLog::open(&path, clock.clone()).unwrap());
        let config = Config::default();
        let intake = Intake::open(log.clone(), clock.clone(), &config).await;
        let outcomes = intake.unwrap().signals(batch.clone()).await.unwrap();
        let expected = if round == 0 { "accepted" } else { "duplicate" };
        assert_eq!(names(&outcomes), [expected; 50]);
        assert_eq!(log.tail(Topic::Signals).await.unwrap(), 50);
    }
}

#[tokio::test]
async fn after_a_restart_the_newest_ids_of_both_topics_are_remembered() {
    let clock = clock(NOW);
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(clock.clone()));
    let config = Config { dedup_capacity: 1_000, ..Config::default() };
    let shown = |number: i64| Event::Exposure(exposure(&format!("e{number}"), NOW));
    let said = |number: i64| Event::Signal(signal(&format!("s{number}"), "e", SignalKind::Love, NOW));
    for number in 0..600 {
        clock.advance_to(at(NOW + number));
        append(&*log, shown(number)).await;
        append(&*log, said(number)).await;
    }
    let intake = Intake::open(log, clock, &config).await.unwrap();
    let new = intake.events(vec![shown(600)]).await.unwrap();
    assert_eq!(new, [Outcome::Accepted]);
    let newest: Vec<Event> = (360..600).flat_map(|number| [shown(number), said(number)]).collect();
    let outcomes = intake.events(newest).await.unwrap();
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Duplicate), "{:?}", names(&outcomes));
}

#[tokio::test]
async fn so_many_events_may_be_in_flight_whether_or_not_their_callers_wait() {
    let clock = clock(NOW);
    let log = Arc::new(FaultyLog::new(clock.clone()));
    let config = Config { max_batch: 3, max_in_flight: 5, ..Config::default() };
    let intake = Intake::open(log.clone(), clock, &config).await.unwrap();
    let batch = |name: &str, count: usize| -> Vec<Value> { (0..count).map(|i| love(&format!("{name}{i}"))).collect() };
    log.close();
    for (name, count) in [("a", 3), ("b", 2)] {
        let (gone, batch) = (intake.clone(), batch(name, count));
        let call = tokio::spawn(async move { gone.signals(batch).await });
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
    }
    let refused = intake.signals(batch("c", 1)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert_eq!(refused.to_string(), "events in flight must be at most 5: try again later");
    log.open();
    let expected = Totals { received: 6, accepted: 5, unavailable: 1, ..Totals::default() };
    assert_eq!(settled(&intake).await, expected);
    let outcomes = loop {
        // The room is given back after the outcomes are counted.
        match intake.signals(batch("c", 1)).await {
            Ok(outcomes) => break outcomes,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    assert_eq!(outcomes, [Outcome::Accepted]);
}
