//! Intake: one outcome for every event, nothing acknowledged is lost, nothing is taken twice.

use std::sync::Arc;

use plaudit_event::{Envelope, Event, SignalKind};
use plaudit_ingest::log::{EventLog, Topic};
use plaudit_ingest::{
    BotRule, Config, DeadLetter, ErrorKind, Intake, MAX_EVENT_BYTES, Outcome, Pattern, SALT_BYTES, Salt, Sampling,
    SignalSpec, Suspicion,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::bad_input::bad_events::bad_events;
use crate::support::{Fault, FaultyLog, clock, exposure, signal, values};

pub(crate) const NOW: i64 = 1_000_000;

pub(crate) async fn intake() -> (Intake, Arc<FaultyLog>) {
    let clock = clock(NOW);
    let log = Arc::new(FaultyLog::new(clock.clone()));
    let mut config = Config::default();
    let off = SignalSpec { enabled: false, ..SignalSpec::default() };
    config.signals.insert(SignalKind::Abandon, off);
    let is_bot = BotRule { field: "attributes.is_bot".to_owned(), matches: None, equals: Some(json!(true)) };
    config.quality.bots.rules.push(is_bot);
    let intake = Intake::open(log.clone(), clock, &config).await.unwrap();
    (intake, log)
}

/// An intake with every step of quality switched on, so tightly that a few events meet it.
async fn strict() -> (Intake, Arc<FaultyLog>) {
    let clock = clock(NOW);
    let log = Arc::new(FaultyLog::new(clock.clone()));
    let mut config = Config::default();
    let quality = &mut config.quality;
    quality.hashing.enabled = true;
    quality.redaction.patterns.push(Pattern::Email);
    quality.sampling = Sampling { chat: 0.7, search: 0.7, decide: 0.7 };
    quality.rates.signals = 3;
    quality.suspicion = Suspicion { enabled: true, min_count: 2, min_population: 0, ..Suspicion::default() };
    quality.suspicion.false_positives = 0.5;
    config.quality.hashing.salt = Salt::new(&[7; SALT_BYTES]).ok();
    let intake = Intake::open(log.clone(), clock, &config).await.unwrap();
    (intake, log)
}

pub(crate) fn love(id: &str) -> Value {
    json!({"signal_id": id, "exposure_id": "e1", "kind": "love", "ts": 5})
}

pub(crate) fn with(mut event: Value, field: &str, value: impl Into<Value>) -> Value {
    event[field] = value.into();
    event
}

fn shown() -> Value {
    serde_json::to_value(exposure("e1", 5)).unwrap()
}

pub(crate) fn names(outcomes: &[Outcome]) -> Vec<&'static str> {
    outcomes.iter().map(Outcome::as_str).collect()
}

#[tokio::test]
async fn a_mended_dead_letter_is_taken() {
    let (intake, log) = intake().await;
    let refused = vec![with(love("s"), "kind", "adore")];
    intake.signals(refused).await.unwrap();
    let letters = values(&*log, Topic::DeadLetters).await;
    let letter: DeadLetter = serde_json::from_str(&letters[0]).unwrap();
    let mended = letter.raw.replace("adore", "love").into_bytes();
    let outcomes = intake.envelopes(vec![mended]).await.unwrap();
    assert_eq!(outcomes, [Outcome::Accepted]);
}

#[tokio::test]
async fn accepted_events_are_in_the_log_with_unknown_fields_and_a_time() {
    let (intake, log) = intake().await;
    let mut early = love("s1");
    early.as_object_mut().unwrap().remove("ts");
    let outcomes = intake.signals(vec![with(early, "app", "ios"), love("s2")]).await;
    assert_eq!(outcomes.unwrap(), [Outcome::Accepted, Outcome::Accepted]);
    let stored = log.read(Topic::Signals, 0, 9).await.unwrap();
    assert_eq!(stored[0].key, "e1", "signals lie beside their exposure");
    let Event::Signal(signal) = Envelope::decode(&stored[0].value).unwrap().event else { panic!("a signal") };
    assert_eq!((signal.ts.as_millis(), &signal.unknown["app"]), (NOW, &json!("ios")));
    let outcomes = intake.exposures(vec![shown()]).await.unwrap();
    assert_eq!(outcomes, [Outcome::Accepted]);
    let typed = vec![Event::Exposure(exposure("e1", 5)), Event::Exposure(exposure("e2", 5))];
    let outcomes = intake.events(typed).await.unwrap();
    assert_eq!(outcomes, [Outcome::Duplicate, Outcome::Accepted]);
}

#[tokio::test]
async fn a_duplicate_may_differ_in_its_time_and_the_order_of_fields_only() {
    let (intake, _) = intake().await;
    let first = with(love("s"), "more", json!({"a": 1, "b": [{"c": 2, "d": 3}]}));
    let same = with(love("s"), "more", json!({"b": [{"d": 3, "c": 2}], "a": 1}));
    let later = with(first.clone(), "ts", 77);
    let other = with(first.clone(), "more", json!({"a": 2}));
    let outcomes = intake.signals(vec![first, same, later, other]).await.unwrap();
    assert_eq!(names(&outcomes), ["accepted", "duplicate", "duplicate", "rejected"]);
}

#[tokio::test]
async fn a_batch_at_the_limit_is_taken_and_one_beyond_is_refused() {
    let clock = clock(NOW);
    let log = Arc::new(FaultyLog::new(clock.clone()));
    let config = Config { max_batch: 3, ..Config::default() };
    let intake = Intake::open(log, clock, &config).await.unwrap();
    let batch = |count: i32| (0..count).map(|i| love(&i.to_string())).collect::<Vec<_>>();
    assert_eq!(intake.signals(batch(3)).await.unwrap().len(), 3);
    let refused = intake.signals(batch(4)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert_eq!(refused.to_string(), "events of one batch must be at most 3, got 4");
    assert_eq!(intake.signals(Vec::new()).await.unwrap(), []);
}

/// Which event, of few, so that duplicates and conflicts are common; and how it is broken.
fn any_event() -> impl Strategy<Value = String> {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let bad = bad_events().into_iter().map(|row| text(row.sent.envelope()));
    let bad: Vec<String> = bad.filter(|text| text.len() < 2 * MAX_EVENT_BYTES).collect();
    let good = (0..12_u8, 0..2_u8, any::<bool>()).prop_map(move |(id, variant, is_exposure)| {
        let kind = [SignalKind::Love, SignalKind::Copy][usize::from(variant)].clone();
        let event = match is_exposure {
            true => Event::Exposure(exposure(&format!("e{id}"), 5)),
            false => Event::Signal(signal(&format!("s{id}"), "e1", kind, 5)),
        };
        text(Envelope::new(event).encode())
    });
    prop_oneof![4 => good, 1 => prop::sample::select(bad)]
}

fn any_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        6 => Just(Fault::None),
        1 => Just(Fault::Before),
        1 => Just(Fault::After),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is sent, by several senders at once, through a log that fails now and then:
    /// received = Σ outcomes, and what was promised is in the log, each id once.
    #[test]
    fn received_is_the_sum_of_outcomes(
        batches in prop::collection::vec(prop::collection::vec(any_event(), 0..8), 1..12),
        faults in prop::collection::vec(any_fault(), 0..20),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            check_sums(intake().await, batches.clone(), faults.clone()).await?;
            check_sums(strict().await, batches, faults).await
        })?;
    }
}

async fn check_sums(
    (intake, log): (Intake, Arc<FaultyLog>),
    batches: Vec<Vec<String>>,
    faults: Vec<Fault>,
) -> Result<(), TestCaseError> {
    let has_lost_answers = faults.contains(&Fault::After);
    log.plan(faults);
    let sent: usize = batches.iter().map(Vec::len).sum();
    let mut calls = Vec::new();
    for batch in batches {
        let intake = intake.clone();
        let copy = batch.iter().map(|text| text.clone().into_bytes()).collect();
        let call = tokio::spawn(async move { intake.envelopes(copy).await });
        calls.push((batch, call));
    }
    let mut promised = std::collections::BTreeSet::new();
    for (batch, call) in calls {
        let Ok(outcomes) = call.await.unwrap() else { continue };
        prop_assert_eq!(outcomes.len(), batch.len(), "one outcome for each");
        for (raw, outcome) in batch.iter().zip(outcomes) {
            if matches!(outcome, Outcome::Accepted | Outcome::Duplicate) {
                promised.insert(id_of(raw.as_bytes()));
            }
        }
    }
    let totals = intake.totals();
    let sum = totals.accepted + totals.duplicate + totals.rejected + totals.quarantined + totals.sampled;
    prop_assert_eq!(totals.received, sent as u64);
    prop_assert_eq!(totals.received, sum + totals.unavailable);
    let mut logged = Vec::new();
    for topic in [Topic::Exposures, Topic::Signals] {
        let texts = values(&*log, topic).await;
        logged.extend(texts.iter().map(|text| id_of(text.as_bytes())));
    }
    let distinct: std::collections::BTreeSet<String> = logged.iter().cloned().collect();
    prop_assert!(promised.is_subset(&distinct), "nothing acknowledged is lost");
    if !has_lost_answers {
        prop_assert_eq!(distinct.len(), logged.len(), "nothing is taken twice");
    }
    Ok(())
}

fn id_of(raw: &[u8]) -> String {
    match Envelope::decode(raw).unwrap().event {
        Event::Exposure(exposure) => format!("exposure {}", exposure.exposure_id),
        Event::Signal(signal) => format!("signal {}", signal.signal_id),
        Event::Example(_) => panic!("an example was accepted"),
    }
}
