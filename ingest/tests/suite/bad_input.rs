//! Bad events meet what `docs/events.md` says: through intake, and written straight into Kafka.

mod kafka;

#[path = "../../../tests/support/bad_events.rs"]
pub(crate) mod bad_events;

use std::collections::BTreeSet;
use std::sync::Arc;

use plaudit_ingest::log::{EventLog, MemoryLog, Topic};
use plaudit_ingest::service::{AttributionService, StoreSink};
use plaudit_ingest::store::{EventStore, SqliteStore};
use plaudit_ingest::{Config, DeadLetter, Intake, MAX_EVENT_BYTES, Outcome, Reason};
use serde_json::Value;

use crate::support::{at, clock, values};
use bad_events::{BadEvent, Fate, OverHttp, PastIntake, Sent, bad_events};

/// Some time after the events of the table.
const NOW: i64 = 1_700_000_060_000;

/// Reasons that HTTP does not give to an event, because the whole request is refused, or because the format has no
/// envelopes there.
const NOT_OVER_HTTP: [Reason; 4] = [Reason::Json, Reason::Version, Reason::NewerVersion, Reason::Event];
/// Reasons that depend on other events: who reads the log does not refuse what is in it.
const NOT_PAST_INTAKE: [Reason; 3] = [Reason::Conflict, Reason::UnitRate, Reason::UnitSuspect];

fn config() -> Config {
    let file: toml::Table = bad_events::CONFIG.parse().unwrap();
    let config: Config = file["ingest"].clone().try_into().unwrap();
    assert_eq!(config.validate(), []);
    config
}

/// What is in the dead letters of `log`.
async fn letters(log: &dyn EventLog) -> Vec<DeadLetter> {
    values(log, Topic::DeadLetters).await.iter().map(|letter| serde_json::from_str(letter).unwrap()).collect()
}

fn assert_fate(row: &BadEvent, outcome: &Outcome) {
    let refusal = outcome.refusal().map(|refusal| (refusal.reason, refusal.field.as_str()));
    assert_eq!((outcome.as_str(), refusal), (row.fate.outcome(), row.fate.refusal()), "{}", row.name);
}

fn assert_letter(row: &BadEvent, letter: &DeadLetter) {
    let said = (letter.outcome.as_str(), Some((letter.reason, letter.field.as_str())));
    assert_eq!(said, (row.fate.outcome(), row.fate.refusal()), "{}", row.name);
    // What is refused for what was before has been read and written again.
    if row.past_intake == PastIntake::Same {
        assert_eq!(letter.raw_bytes, row.sent.envelope().len(), "{}: as it came", row.name);
    }
    let is_cut = letter.raw.len() < letter.raw_bytes / 2;
    assert_eq!(is_cut, letter.raw_bytes > MAX_EVENT_BYTES, "{}: what is too large is cut", row.name);
}

#[test]
fn every_reason_has_a_row_for_every_way_in() {
    let rows = bad_events();
    let reasons = |is_met: fn(&BadEvent) -> bool, or: &[Reason]| {
        let met = rows.iter().filter(|row| is_met(row)).filter_map(|row| row.fate.refusal());
        let met: BTreeSet<Reason> = met.map(|(reason, _)| reason).collect();
        assert!(or.iter().all(|reason| !met.contains(reason)), "{or:?} can be met");
        met.into_iter().chain(or.iter().copied()).collect::<BTreeSet<Reason>>()
    };
    // What is about an erased exposure takes an erasure, which no event makes: `repair` has it.
    let all = Reason::ALL.iter().copied().filter(|reason| *reason != Reason::Erased).collect::<BTreeSet<Reason>>();
    assert_eq!(reasons(|_| true, &[]), all, "through intake and from files");
    assert_eq!(reasons(|row| row.over_http == OverHttp::Same, &NOT_OVER_HTTP), all, "over HTTP");
    assert_eq!(reasons(|row| row.past_intake == PastIntake::Same, &NOT_PAST_INTAKE), all, "straight into Kafka");
}

#[test]
fn the_documentation_has_the_table() {
    let documented = include_str!("../../../docs/events.md");
    assert!(documented.contains(&bad_events::table()), "docs/events.md must have:\n{}", bad_events::table());
}

#[tokio::test]
async fn a_bad_event_meets_its_fate_as_an_envelope() {
    let clock = clock(NOW);
    let log = Arc::new(MemoryLog::new(clock.clone()));
    let intake = Intake::open(log.clone(), clock, &config()).await.unwrap();
    for row in bad_events() {
        let before: Vec<Vec<u8>> = row.before.iter().map(Sent::envelope).collect();
        for outcome in intake.envelopes(before).await.unwrap() {
            assert_eq!(outcome, Outcome::Accepted, "{}", row.name);
        }
        let from = usize::try_from(log.tail(Topic::DeadLetters).await.unwrap()).unwrap();
        let outcomes = intake.envelopes(vec![row.sent.envelope()]).await.unwrap();
        assert_eq!(outcomes.len(), 1);
        assert_fate(&row, &outcomes[0]);
        let letters = letters(&*log).await.split_off(from);
        assert_eq!(letters.len(), usize::from(row.fate.refusal().is_some()), "{}", row.name);
        for letter in letters {
            assert_letter(&row, &letter);
            assert_eq!((letter.source, letter.received_ts), (None, at(NOW)));
            if letter.reason == Reason::Chosen {
                assert_eq!(letter.detail, "must be below 2, the length of the slate, got 2");
            }
        }
    }
}

#[tokio::test]
async fn a_bad_event_meets_its_fate_as_a_value() {
    let clock = clock(NOW);
    let log = Arc::new(MemoryLog::new(clock.clone()));
    let intake = Intake::open(log.clone(), clock, &config()).await.unwrap();
    for row in bad_events() {
        let take = async |sent: &Sent| match sent {
            Sent::Data(event, data) => {
                let value: Value = serde_json::from_slice(data).ok()?;
                let taken = match *event {
                    "exposure" => intake.exposures(vec![value]).await,
                    _ => intake.signals(vec![value]).await,
                };
                Some(taken.unwrap().remove(0))
            }
            Sent::Envelope(_) => None,
        };
        for sent in &row.before {
            assert_eq!(take(sent).await, Some(Outcome::Accepted), "{}", row.name);
        }
        match take(&row.sent).await {
            Some(outcome) => assert_fate(&row, &outcome),
            None => assert_ne!(row.over_http, OverHttp::Same, "{}: only what is no value at all", row.name),
        }
    }
}

#[tokio::test]
async fn a_signal_whose_exposure_never_comes_is_stored_and_makes_no_example() {
    let clock = clock(NOW);
    let log: Arc<MemoryLog> = Arc::new(MemoryLog::new(clock.clone()));
    let config = config();
    let intake = Intake::open(log.clone(), clock.clone(), &config).await.unwrap();
    let orphans: Vec<BadEvent> = bad_events().into_iter().filter(|row| row.fate == Fate::Accepted).collect();
    let sent = orphans.iter().map(|row| row.sent.envelope()).collect();
    assert_eq!(intake.envelopes(sent).await.unwrap(), vec![Outcome::Accepted; orphans.len()]);
    clock.advance_to(at(NOW + 24 * 3_600_000));
    let attributed = AttributionService::new(log.clone(), config.clone()).catch_up().await.unwrap();
    assert_eq!((attributed.records, attributed.examples, attributed.corrections), (orphans.len() as u64, 0, 0));
    let store = Arc::new(SqliteStore::in_memory().unwrap());
    StoreSink::new(log, store.clone(), &config).catch_up().await.unwrap();
    assert_eq!(store.counts().await.unwrap().signals, orphans.len() as u64);
}
