//! A change of the configuration: nothing is lost, and revisions go on from what was written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plaudit_event::{Event, Example, Labels, SignalId, SignalKind};
use plaudit_ingest::Config;
use plaudit_ingest::log::{EventLog, MemoryLog};
use plaudit_ingest::service::AttributionService;
use proptest::prelude::*;

use crate::support::{append, at, clock, examples, exposure, short, signal};

fn window(millis: u64) -> Config {
    Config { window: Duration::from_millis(millis), ..short() }
}

#[tokio::test]
async fn a_change_of_the_window_loses_and_repeats_nothing() {
    for (before, after) in [(50, 500), (500, 50)] {
        let clock = clock(1_000);
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(clock.clone()));
        let mut millis = before;
        for number in 0..40 {
            clock.advance_to(at(1_000 + number * 30));
            append(&*log, Event::Exposure(exposure(&format!("e{number}"), 1_000 + number * 30))).await;
            if number == 20 {
                millis = after;
            }
            attribute(&log, &window(millis)).await;
        }
        clock.advance_to(at(100_000));
        attribute(&log, &window(after)).await;
        let mut closed: BTreeMap<String, u32> = BTreeMap::new();
        for example in examples(&*log).await {
            *closed.entry(example.exposure_id.to_string()).or_default() += 1;
        }
        assert_eq!(closed.len(), 40);
        assert!(closed.values().all(|count| *count == 1), "{closed:?}");
    }
}

/// A service of its own catches up.
async fn attribute(log: &Arc<dyn EventLog>, config: &Config) {
    AttributionService::new(log.clone(), config.clone()).catch_up().await.unwrap();
}

/// (revision, time, love, love in the revision before) of each example of `e`.
async fn loves(log: &dyn EventLog) -> Vec<(u32, i64, Option<f32>, Option<f32>)> {
    let value = |labels: &Labels| labels.get("love").map(|label| label.value);
    let of_e = examples(log).await.into_iter().filter(|example| example.exposure_id.as_str() == "e");
    of_e.map(|e| (e.revision, e.ts.as_millis(), value(&e.labels), value(&e.replaced))).collect()
}

fn love(id: &str, ts: i64) -> Event {
    Event::Signal(signal(id, "e", SignalKind::Love, ts))
}

fn taken_back(id: &str, ts: i64, retracted: &str) -> Event {
    let mut back = signal(id, "e", SignalKind::Love, ts);
    back.retracts = SignalId::new(retracted).ok();
    Event::Signal(back)
}

#[tokio::test]
async fn a_wider_window_corrects_what_was_closed_before() {
    let clock = clock(1_000);
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(clock.clone()));
    append(&*log, Event::Exposure(exposure("e", 1_000))).await;
    clock.advance_to(at(1_070));
    append(&*log, love("s", 1_040)).await;
    clock.advance_to(at(1_080));
    append(&*log, taken_back("r", 1_080, "s")).await;
    clock.advance_to(at(1_100));
    attribute(&log, &window(50)).await;
    clock.advance_to(at(1_200));
    append(&*log, love("t", 1_200)).await;
    clock.advance_to(at(1_520));
    append(&*log, taken_back("q", 1_520, "t")).await;
    for now in [1_520, 1_530, 1_540] {
        clock.advance_to(at(now));
        attribute(&log, &window(500)).await;
    }
    let expected = [
        (0, 1_060, Some(0.0), None),
        (1, 1_070, Some(1.0), Some(0.0)),
        (2, 1_080, Some(0.0), Some(1.0)),
        (3, 1_510, Some(1.0), Some(0.0)),
        (4, 1_520, Some(0.0), Some(1.0)),
    ];
    assert_eq!(loves(&*log).await, expected);
}

#[tokio::test]
async fn a_narrower_window_keeps_the_corrections_that_were_due_by_now() {
    let clock = clock(600);
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(clock.clone()));
    append(&*log, Event::Exposure(exposure("f", 600))).await;
    clock.advance_to(at(1_000));
    append(&*log, Event::Exposure(exposure("e", 1_000))).await;
    clock.advance_to(at(1_100));
    append(&*log, love("s", 1_040)).await;
    clock.advance_to(at(1_200));
    attribute(&log, &window(500)).await;
    for _ in 0..3 {
        attribute(&log, &window(50)).await;
    }
    assert_eq!(loves(&*log).await, [(0, 1_060, Some(0.0), None), (1, 1_100, Some(1.0), Some(0.0))]);
}

/// What happens, and how many milliseconds later.
fn any_events() -> impl Strategy<Value = Vec<(i64, Event)>> {
    let step = (0..15_i64, prop::bool::weighted(0.25), 0..4_u8, 0..40_usize);
    prop::collection::vec(step, 1..60).prop_map(|steps| {
        let (mut now, mut num_shown, mut events) = (1_000, 0, Vec::new());
        for (number, (gap, is_shown, kind, back)) in steps.into_iter().enumerate() {
            now += gap;
            if is_shown || num_shown == 0 {
                events.push((now, Event::Exposure(exposure(&format!("e{num_shown}"), now))));
                num_shown += 1;
                continue;
            }
            let about = format!("e{}", num_shown - 1 - back % num_shown.min(4));
            let kinds = [SignalKind::Love, SignalKind::Copy, SignalKind::ThumbsDown, SignalKind::ThumbsUp];
            let ts = now - 10 * i64::try_from(back % 10).unwrap();
            let mut said = signal(&format!("s{number}"), &about, kinds[usize::from(kind)].clone(), ts);
            let retracted = format!("s{}", number.saturating_sub(1 + back % 8));
            said.retracts = SignalId::new(retracted).ok().filter(|id| back % 3 == 0 && *id != said.signal_id);
            events.push((now, Event::Signal(said)));
        }
        events.sort_by_key(|(time, event)| (*time, matches!(event, Event::Signal(_))));
        events
    })
}

/// Plays events to one configuration, and from `switch` on to another that is killed wherever `kills`
/// says so.
async fn play(events: &[(i64, Event)], switch: usize, configs: &[Config; 2], kills: &[bool]) -> Vec<Example> {
    let clock = clock(0);
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(clock.clone()));
    let mut service = AttributionService::new(log.clone(), configs[0].clone());
    for (number, (time, event)) in events.iter().enumerate() {
        clock.advance_to(at(*time));
        append(&*log, event.clone()).await;
        if number == switch {
            service.catch_up().await.unwrap();
        }
        let is_killed = kills.get(number).copied().unwrap_or(false);
        if number == switch || is_killed {
            let config = &configs[usize::from(number >= switch)];
            service = AttributionService::new(log.clone(), config.clone());
        }
        if is_killed {
            service.catch_up().await.unwrap();
        }
    }
    clock.advance_to(at(1_000_000));
    service.catch_up().await.unwrap();
    examples(&*log).await
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn revisions_go_on_from_what_was_written_and_a_kill_changes_nothing(
        events in any_events(),
        switch in 0..60_usize,
        windows in (5..120_u64, 5..120_u64),
        kills in prop::collection::vec(any::<bool>(), 60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let configs = [window(windows.0), window(windows.1)];
        let written = runtime.block_on(play(&events, switch, &configs, &[]));
        let mut newest: BTreeMap<&str, &Example> = BTreeMap::new();
        for example in &written {
            if let Some(before) = newest.insert(example.exposure_id.as_str(), example) {
                prop_assert_eq!(example.revision, before.revision + 1);
                prop_assert_eq!(&example.replaced, &before.labels);
                prop_assert_ne!(&example.labels, &before.labels);
            } else {
                prop_assert_eq!(example.revision, 0);
                prop_assert!(example.replaced.is_empty());
            }
        }
        let num_shown = events.iter().filter(|(_, event)| matches!(event, Event::Exposure(_))).count();
        prop_assert_eq!(newest.len(), num_shown, "each once");
        let killed = runtime.block_on(play(&events, switch, &configs, &kills));
        prop_assert_eq!(written, killed);
    }
}
