//! A story through a real intake on a real log, then attribution and store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use plaudit_event::{Clock as _, Envelope, Event, ManualClock, Timestamp};
use plaudit_ingest::log::{EventLog, MemoryLog, Topic};
use plaudit_ingest::service::{AttributionService, StoreSink};
use plaudit_ingest::store::{EventStore, SqliteStore};
use plaudit_ingest::{
    BotRule, Config, Intake, Outcome, Pattern, Reason, SALT_BYTES, Salt, Sampling, Suspicion, Totals,
};
use serde_json::Value;

use crate::story::{Sent, Step, parse};

/// Longer than any window and correction of the default configuration.
const DAY_MS: i64 = 24 * 3_600_000;

/// The topic and the id of an event.
type Id = (Topic, String);

/// Every step of quality, so tightly that a few events meet it.
fn strict() -> &'static Config {
    static STRICT: OnceLock<Config> = OnceLock::new();
    STRICT.get_or_init(|| {
        let mut config = Config::default();
        let quality = &mut config.quality;
        quality.hashing.enabled = true;
        quality.hashing.salt = Salt::new(&[7; SALT_BYTES]).ok();
        quality.redaction.patterns.push(Pattern::Email);
        quality.sampling = Sampling { chat: 0.7, search: 0.7, decide: 0.7 };
        quality.rates.signals = 3;
        quality.suspicion =
            Suspicion { enabled: true, min_count: 2, min_population: 0, false_positives: 0.5, ..Suspicion::default() };
        let is_bot = BotRule { field: "chosen".to_owned(), matches: None, equals: Some(1.into()) };
        quality.bots.rules.push(is_bot);
        config
    })
}

/// What the story has led to so far.
struct World {
    clock: Arc<ManualClock>,
    log: Arc<MemoryLog>,
    intake: Intake,
    attribution: AttributionService,
    /// Every id that was accepted.
    accepted: BTreeSet<Id>,
    /// How many events were refused, by reason.
    refused: BTreeMap<Reason, u64>,
    expected: Totals,
}

/// Bytes as a story.
pub fn intake(bytes: &[u8]) {
    let (is_strict, steps) = parse(bytes);
    let default = Config::default();
    let config = if is_strict { strict() } else { &default };
    crate::run(async {
        let clock = crate::clock();
        let log = Arc::new(MemoryLog::new(clock.clone()));
        let intake = Intake::open(log.clone(), clock.clone(), config).await.expect("opens");
        let attribution = AttributionService::new(log.clone(), config.clone());
        let (accepted, refused) = (BTreeSet::new(), BTreeMap::new());
        let mut world = World { clock, log, intake, attribution, accepted, refused, expected: Totals::default() };
        for step in steps {
            match step {
                Step::Batch(events) => world.batch(events).await,
                Step::Wait(minutes) => world.wait(i64::from(minutes) * 60_000).await,
            }
        }
        world.wait(DAY_MS).await;
        world.end(config).await;
    });
}

impl World {
    async fn wait(&mut self, millis: i64) {
        self.clock.advance_to(Timestamp::from_millis(self.clock.now().as_millis() + millis));
        self.attribution.catch_up().await.expect("attributes");
    }

    /// Sends `events`, each run of one form as one call.
    async fn batch(&mut self, events: Vec<Sent>) {
        for run in events.chunk_by(|left, right| std::mem::discriminant(left) == std::mem::discriminant(right)) {
            let ids: Vec<Option<Id>> = run.iter().map(id_of).collect();
            let outcomes = self.send(run).await;
            assert_eq!(outcomes.len(), run.len(), "one outcome for each, in order");
            for (id, outcome) in ids.into_iter().zip(&outcomes) {
                self.note(id, outcome);
            }
            assert_eq!(self.intake.totals(), self.expected, "received is the sum of outcomes");
            self.compare().await;
        }
    }

    async fn send(&self, run: &[Sent]) -> Vec<Outcome> {
        let values = || {
            let values = run.iter().filter_map(|sent| match sent {
                Sent::Signal(value) | Sent::Exposure(value) => Some(value.clone()),
                Sent::Envelope(_) => None,
            });
            values.collect::<Vec<Value>>()
        };
        let bytes = |sent: &Sent| match sent {
            Sent::Envelope(bytes) => bytes.clone(),
            _ => Vec::new(),
        };
        let taken = match run[0] {
            Sent::Signal(_) => self.intake.signals(values()).await,
            Sent::Exposure(_) => self.intake.exposures(values()).await,
            Sent::Envelope(_) => self.intake.envelopes(run.iter().map(bytes).collect()).await,
        };
        taken.expect("memory takes all")
    }

    fn note(&mut self, id: Option<Id>, outcome: &Outcome) {
        self.expected.received += 1;
        match outcome {
            Outcome::Accepted => {
                self.expected.accepted += 1;
                assert!(self.accepted.insert(id.expect("an event")), "nothing is accepted twice");
            }
            Outcome::Duplicate => {
                self.expected.duplicate += 1;
                assert!(self.accepted.contains(&id.expect("an event")), "a duplicate of what was accepted");
            }
            Outcome::Sampled => self.expected.sampled += 1,
            Outcome::Rejected(refusal) => {
                self.expected.rejected += 1;
                *self.refused.entry(refusal.reason).or_default() += 1;
                assert!(!refusal.reason.is_quarantine());
                if refusal.reason == Reason::Conflict {
                    assert!(self.accepted.contains(&id.expect("an event")), "a conflict with what was accepted");
                }
            }
            Outcome::Quarantined(refusal) => {
                self.expected.quarantined += 1;
                *self.refused.entry(refusal.reason).or_default() += 1;
                assert!(refusal.reason.is_quarantine());
            }
        }
    }

    /// The log holds what was promised, each once, and a dead letter for each refusal.
    async fn compare(&self) {
        let mut logged = Vec::new();
        for topic in [Topic::Exposures, Topic::Signals] {
            for stored in self.log.read(topic, 0, 1_000_000).await.expect("readable") {
                logged.push(id_of(&Sent::Envelope(stored.value)).expect("an event"));
            }
        }
        logged.sort();
        assert!(logged.iter().eq(&self.accepted), "{logged:?} {:?}", self.accepted);
        let mut refused = BTreeMap::new();
        for letter in crate::letters(&*self.log).await {
            *refused.entry(letter.reason).or_default() += 1;
        }
        assert_eq!(refused, self.refused, "one dead letter for each refusal");
    }

    /// The store holds what the log holds, and an example for each exposure.
    async fn end(&self, config: &Config) {
        let store = Arc::new(SqliteStore::in_memory().expect("opens"));
        StoreSink::new(self.log.clone(), store.clone(), config).catch_up().await.expect("copies");
        let counts = store.counts().await.expect("counts");
        let count = |topic| self.accepted.iter().filter(|(of, _)| *of == topic).count() as u64;
        let exposures = count(Topic::Exposures);
        assert_eq!((counts.exposures, counts.signals), (exposures, count(Topic::Signals)));
        assert_eq!(counts.examples, exposures, "every exposure has an example");
        assert_eq!(counts.dead_letters, self.refused);
    }
}

fn id_of(sent: &Sent) -> Option<Id> {
    let text = |value: &Value, field: &str| value.get(field)?.as_str().map(str::to_owned);
    match sent {
        Sent::Signal(value) => Some((Topic::Signals, text(value, "signal_id")?)),
        Sent::Exposure(value) => Some((Topic::Exposures, text(value, "exposure_id")?)),
        Sent::Envelope(bytes) => match Envelope::decode(bytes).ok()?.event {
            Event::Signal(signal) => Some((Topic::Signals, signal.signal_id.to_string())),
            Event::Exposure(exposure) => Some((Topic::Exposures, exposure.exposure_id.to_string())),
            Event::Example(_) => None,
        },
    }
}
