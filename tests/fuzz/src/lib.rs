//! What must hold whatever comes in.
//!
//! [`decode`] takes bytes as one event, through intake and as a record that a product wrote into the log.
//! [`intake`] takes them as a story of batches; its grammar is that of [`story`].

mod direct;
mod intake;
mod seeds;
pub mod story;

use std::sync::Arc;

use plaudit_event::{Envelope, Event, Exposure, InvalidEvent, ManualClock, Timestamp};
use plaudit_ingest::log::{EventLog, MemoryLog, RECORD_BYTES, Record, Topic};
use plaudit_ingest::service::{AttributionService, StoreSink};
use plaudit_ingest::store::{EventStore, SqliteStore};
use plaudit_ingest::{Config, DeadLetter, Intake, Outcome, Reason};

pub use intake::intake;
pub use seeds::write_seeds;

/// When everything happens.
pub const NOW: i64 = 1_700_000_000_000;

/// Runs `future` to its end.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_millis(NOW)))
}

/// The dead letters in `log`.
pub(crate) async fn letters(log: &dyn EventLog) -> Vec<DeadLetter> {
    let stored = log.read(Topic::DeadLetters, 0, 1_000_000).await.expect("readable");
    for record in &stored {
        assert!(record.value.len() <= RECORD_BYTES);
    }
    stored.iter().map(|record| serde_json::from_slice(&record.value).expect("a dead letter")).collect()
}

/// Bytes as one event.
pub fn decode(bytes: &[u8]) {
    let decoded = Envelope::decode(bytes);
    if let Ok(envelope) = &decoded
        && is_finite(envelope)
    {
        let again = Envelope::decode(&envelope.encode());
        assert_eq!(again.as_ref(), Ok(envelope), "it survives a round trip");
    }
    run(async {
        let outcome = through_intake(bytes, &decoded).await;
        if !bytes.is_empty() && bytes.len() <= RECORD_BYTES {
            past_intake(bytes, &decoded, &outcome).await;
        }
    });
}

/// JSON has no word for what is beyond a 32-bit float.
fn is_finite(envelope: &Envelope) -> bool {
    let tokens = match &envelope.event {
        Event::Exposure(Exposure { token_logprobs: Some(tokens), .. }) => tokens,
        Event::Example(example) => {
            return example
                .labels
                .iter()
                .chain(&example.replaced)
                .all(|(_, label)| label.value.is_finite() && label.weight.is_finite());
        }
        _ => return true,
    };
    tokens.iter().all(|token| token.1.is_finite())
}

async fn through_intake(bytes: &[u8], decoded: &Result<Envelope, InvalidEvent>) -> Outcome {
    let clock = clock();
    let log = Arc::new(MemoryLog::new(clock.clone()));
    let intake = Intake::open(log.clone(), clock, &Config::default()).await.expect("opens");
    let outcomes = intake.envelopes(vec![bytes.to_vec()]).await.expect("memory takes all");
    let [outcome] = outcomes.try_into().expect("one outcome for one event");
    let mut taken = Vec::new();
    for topic in [Topic::Exposures, Topic::Signals] {
        taken.extend(log.read(topic, 0, 9).await.expect("readable"));
    }
    let letters = letters(&*log).await;
    let Some(refusal) = outcome.refusal() else {
        assert_eq!(outcome, Outcome::Accepted, "it is new");
        assert_eq!((taken.len(), letters.len()), (1, 0));
        let stored = Envelope::decode(&taken[0].value);
        assert_eq!(stored.as_ref(), decoded.as_ref(), "what is stored is what was said");
        return outcome;
    };
    assert_eq!((taken.len(), letters.len()), (0, 1));
    assert_eq!((letters[0].reason, letters[0].raw_bytes), (refusal.reason, bytes.len()));
    let is_of = |reasons: &[Reason]| reasons.contains(&refusal.reason);
    match decoded {
        _ if is_of(&[Reason::TooLarge]) => {}
        Err(InvalidEvent::Json(_)) => assert!(is_of(&[Reason::Json]), "{refusal:?}"),
        Err(InvalidEvent::Version(_)) => assert!(is_of(&[Reason::Version, Reason::NewerVersion]), "{refusal:?}"),
        Err(InvalidEvent::Shape(_)) => assert!(is_of(&[Reason::Shape, Reason::Event]), "{refusal:?}"),
        Ok(_) => assert!(!is_of(&[Reason::Json, Reason::Version, Reason::NewerVersion, Reason::Shape]), "{refusal:?}"),
    }
    outcome
}

/// A record that a product wrote meets the fate that intake would have given it.
async fn past_intake(bytes: &[u8], decoded: &Result<Envelope, InvalidEvent>, outcome: &Outcome) {
    let clock = clock();
    let log: Arc<dyn EventLog> = Arc::new(direct::DirectLog(MemoryLog::new(clock.clone())));
    let config = Config::default();
    let topic = match decoded {
        Ok(Envelope { event: Event::Exposure(_), .. }) => Topic::Exposures,
        _ => Topic::Signals,
    };
    log.append(topic, vec![Record { key: "any".to_owned(), value: bytes.to_vec() }]).await.expect("appends");
    clock.advance_to(Timestamp::from_millis(NOW + 24 * 3_600_000));
    let attributed = AttributionService::new(log.clone(), config.clone()).catch_up().await.expect("attributes");
    let store = Arc::new(SqliteStore::in_memory().expect("opens"));
    StoreSink::new(log.clone(), store.clone(), &config).catch_up().await.expect("copies");
    let counts = store.counts().await.expect("counts");
    let expected = match outcome.refusal() {
        None if topic == Topic::Exposures => (1, 0, 1),
        None => (0, 1, 0),
        Some(_) => (0, 0, 0),
    };
    assert_eq!((counts.exposures, counts.signals, counts.examples), expected);
    assert_eq!(attributed.examples, expected.2);
    let letters = letters(&*log).await;
    let found: Vec<Reason> = letters.iter().map(|letter| letter.reason).collect();
    assert_eq!(found, outcome.refusal().map(|refusal| refusal.reason).into_iter().collect::<Vec<Reason>>());
    assert!(letters.iter().all(|letter| letter.source.is_some()));
}
