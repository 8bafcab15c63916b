//! Erasure, verification, dead letters and replay on a log with several shards.

use std::sync::Arc;

use plaudit_event::{Event, ManualClock, SignalKind, UnitId};
use plaudit_ingest::erasure::{self, Held, Request};
use plaudit_ingest::letters::{Letters, Resolved};
use plaudit_ingest::log::{self, EventLog, MemoryLog, Topic};
use plaudit_ingest::service::{AttributionService, Bound, StoreSink, Stretch, compare, copy_stretch};
use plaudit_ingest::store::{self, EventStore, SqliteStore};
use plaudit_ingest::{Intake, Outcome, Reason};

use crate::sharded::ShardedLog;
use crate::support::{append, at, clock, exposure, short, signal};

const SHARDS: u32 = 3;

/// A log of three shards, a store, and attribution on each shard.
struct World {
    clock: Arc<ManualClock>,
    log: Arc<dyn EventLog>,
    store: Arc<dyn EventStore>,
    attribution: Vec<AttributionService>,
}

impl World {
    fn new() -> Self {
        let clock = clock(1_000);
        Self::on(Arc::new(ShardedLog::new(SHARDS, &clock)), clock)
    }

    fn on(log: Arc<dyn EventLog>, clock: Arc<ManualClock>) -> Self {
        let store = Arc::new(SqliteStore::in_memory().unwrap());
        let mut world = Self { clock, log, store, attribution: Vec::new() };
        world.restart();
        world
    }

    /// As after a crash: nothing is remembered.
    fn restart(&mut self) {
        let service = |shard| AttributionService::new(log::shard(&self.log, shard), short());
        self.attribution = (0..SHARDS).map(service).collect();
    }

    /// An exposure of `unit` now, and a love for it.
    async fn shown(&self, id: &str, unit: &str) {
        let mut exposure = exposure(id, 1_000);
        exposure.unit_id = UnitId::new(unit).unwrap();
        append(&*self.log, Event::Exposure(exposure)).await;
        append(&*self.log, Event::Signal(signal(&format!("s-{id}"), id, SignalKind::Love, 1_001))).await;
    }

    async fn pass(&mut self, millis: i64) {
        self.clock.advance_to(plaudit_event::Clock::now(&*self.clock).plus_millis(millis));
        for service in &mut self.attribution {
            service.catch_up().await.unwrap();
        }
        self.copy(&self.store).await;
    }

    async fn copy(&self, store: &Arc<dyn EventStore>) {
        for _ in 0..2 {
            for shard in 0..SHARDS {
                StoreSink::new(log::shard(&self.log, shard), store.clone(), &short()).catch_up().await.unwrap();
            }
        }
    }

    async fn agrees(&self, store: &Arc<dyn EventStore>) -> bool {
        let comparison = store::verify(&self.log, &**store, &short(), |_| {}).await.unwrap();
        comparison.agrees()
    }
}

fn request(unit: &str) -> Request {
    Request {
        unit: UnitId::new(unit).unwrap(),
        aliases: Vec::new(),
        by: "test".into(),
        reason: "asked".into(),
        at: at(5),
        checkpoints: vec![("before".into(), 0), ("after".into(), 100)],
        row_of: |id| id.as_str().len() as u64,
    }
}

#[tokio::test]
async fn an_erasure_with_windows_open_leaves_nothing_and_nothing_comes_back() {
    let mut world = World::new();
    for number in 0..9 {
        world.shown(&format!("closed-{number}"), if number % 3 == 0 { "ada" } else { "bob" }).await;
    }
    world.pass(100).await;
    for number in 0..6 {
        world.shown(&format!("open-{number}"), if number % 3 == 0 { "ada" } else { "bob" }).await;
    }
    world.pass(1).await;
    let intake = Intake::open(world.log.clone(), world.clock.clone(), &short()).await.unwrap();
    let report = erasure::erase(&world.log, &*world.store, &request("ada"), Some(&intake)).await.unwrap();
    let held = Held { exposures: 5, signals: 5, examples: 3, dead_letters: 0 };
    assert_eq!((report.log_before, report.store_before), (held, held));
    assert!(report.is_clean());
    assert_eq!(report.checkpoints, ["after"], "only what was trained on it");
    let late = intake.events(vec![Event::Signal(signal("late", "open-0", SignalKind::Copy, 1_002))]).await.unwrap();
    assert_eq!(late[0].refusal().unwrap().reason, Reason::Erased);

    world.pass(200).await;
    world.restart();
    world.pass(200).await;
    let examples = world.store.scan_examples(None, 100).await.unwrap();
    assert_eq!(examples.len(), 10, "bob's");
    assert!(examples.iter().all(|(_, example)| example.unit_id.as_str() == "bob"));
    assert!(world.agrees(&world.store).await);
    let again = erasure::verify(&world.log, &*world.store, &request("ada")).await.unwrap();
    assert!(again.is_clean() && again.records == 1, "{again:?}");
    let fresh: Arc<dyn EventStore> = Arc::new(SqliteStore::in_memory().unwrap());
    world.copy(&fresh).await;
    assert!(world.agrees(&fresh).await);
    assert_eq!(fresh.scan_exposures(None, 100).await.unwrap(), world.store.scan_exposures(None, 100).await.unwrap());
}

#[tokio::test]
async fn a_log_that_cannot_rewrite_hides_what_was_erased_from_every_reader() {
    let clock = clock(1_000);
    let mut world = World::on(Arc::new(ShardedLog::keeping(SHARDS, &clock)), clock);
    world.shown("closed", "ada").await;
    world.shown("other", "bob").await;
    world.pass(100).await;
    world.shown("open", "ada").await;
    let intake = Intake::open(world.log.clone(), world.clock.clone(), &short()).await.unwrap();
    intake.envelopes(vec![b"{\"unit_id\": \"ada\", broken".to_vec()]).await.unwrap();
    world.pass(1).await;
    let report = erasure::erase(&world.log, &*world.store, &request("ada"), Some(&intake)).await.unwrap();
    let held = Held { exposures: 2, signals: 2, examples: 1, dead_letters: 1 };
    assert_eq!((report.log_before, report.log_hidden), (held, held));
    assert!(report.is_clean() && report.records == 1, "{report:?}");
    assert!(erasure::verify(&world.log, &*world.store, &request("ada")).await.unwrap().is_clean());
    world.restart();
    world.pass(300).await;
    let letters = Letters::open(world.log.clone()).await.unwrap();
    assert_eq!(letters.find(|_, _| true).await.unwrap(), []);
    let fresh: Arc<dyn EventStore> = Arc::new(SqliteStore::in_memory().unwrap());
    world.copy(&fresh).await;
    for store in [&world.store, &fresh] {
        let counts = store.counts().await.unwrap();
        assert_eq!((counts.exposures, counts.signals, counts.examples), (1, 1, 1), "bob's");
        assert!(world.agrees(store).await);
    }
}

#[tokio::test]
async fn what_is_about_an_erased_exposure_and_comes_past_intake_counts_nowhere() {
    let mut world = World::new();
    world.shown("e", "ada").await;
    world.pass(100).await;
    erasure::erase(&world.log, &*world.store, &request("ada"), None).await.unwrap();
    // As a writer that has not heard of it would write.
    world.shown("e", "ada").await;
    world.pass(300).await;
    let fresh: Arc<dyn EventStore> = Arc::new(SqliteStore::in_memory().unwrap());
    world.copy(&fresh).await;
    for store in [&world.store, &fresh] {
        let counts = store.counts().await.unwrap();
        assert_eq!((counts.exposures, counts.signals, counts.examples), (0, 0, 0));
        assert!(world.agrees(store).await);
    }
    let left = erasure::verify(&world.log, &*world.store, &request("ada")).await.unwrap();
    assert_eq!(left.log_after, Held { exposures: 1, signals: 1, ..Held::default() }, "the log still has the text");
    assert!(erasure::erase(&world.log, &*world.store, &request("ada"), None).await.unwrap().is_clean());
}

#[tokio::test]
async fn rows_that_are_missing_extra_or_different_are_told_apart() {
    let mut world = World::new();
    for id in ["a", "b", "c", "d"] {
        world.shown(id, "bob").await;
    }
    world.pass(100).await;
    assert!(world.agrees(&world.store).await);
    world.store.erase(&UnitId::new("bob").unwrap()).await.unwrap();
    let comparison = store::verify(&world.log, &*world.store, &short(), |_| {}).await.unwrap();
    let missing: u64 = comparison.parts.values().map(|part| part.missing).sum();
    assert_eq!(missing, 12, "exposures, signals and examples");
    // A store of a log with other content at the same places.
    let mut other = World::new();
    for id in ["a", "b", "c", "g"] {
        other.shown(id, "eve").await;
    }
    other.pass(100).await;
    let comparison = store::verify(&world.log, &*other.store, &short(), |_| {}).await.unwrap();
    let sum = |field: fn(&store::PartReport) -> u64| -> u64 {
        comparison.parts.iter().filter(|(part, _)| part.topic == Topic::Exposures).map(|(_, part)| field(part)).sum()
    };
    assert_eq!((sum(|p| p.missing), sum(|p| p.extra), sum(|p| p.different)), (1, 1, 3));
    assert!(comparison.parts.values().any(|part| !part.is_same_log));
}

#[tokio::test]
async fn letters_of_all_shards_are_mended_and_resolved_for_good() {
    let world = World::new();
    let intake = Intake::open(world.log.clone(), world.clock.clone(), &short()).await.unwrap();
    let outcomes = intake.envelopes(vec![b"{".to_vec(), b"{\"v\": 1}".to_vec(), b"{\"v\": 9}".to_vec()]).await.unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.refusal().is_some()));
    let mut letters = Letters::open(world.log.clone()).await.unwrap();
    let ids = letters.find(|_, _| true).await.unwrap();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().any(|id| id.shard > 0), "several shards: {ids:?}");
    let (_, record) = crate::support::record(Event::Exposure(exposure("mended", 1_000)));
    let sound = String::from_utf8(record.value).unwrap();
    for id in &ids {
        let letter = letters.get(*id).await.unwrap().unwrap();
        letters.mend(&letter, sound.clone(), at(1_000)).await.unwrap();
    }
    let mut letters = Letters::open(world.log.clone()).await.unwrap();
    assert_eq!(letters.find(|_, _| true).await.unwrap(), ids, "a mended envelope is no letter of its own");
    let letter = letters.get(ids[1]).await.unwrap().unwrap();
    assert_eq!(letter.envelope(), sound);
    let sent = intake.envelopes(vec![letter.envelope().as_bytes().to_vec(); 2]).await.unwrap();
    assert_eq!(sent, [Outcome::Accepted, Outcome::Duplicate]);
    letters.resolve(vec![Resolved { letter: ids[1], outcome: "accepted".into() }], at(1_001)).await.unwrap();
    let letters = Letters::open(world.log.clone()).await.unwrap();
    let open = letters.find(|_, is_resolved| !is_resolved).await.unwrap();
    assert_eq!(open, [ids[0], ids[2]]);
    world.copy(&world.store).await;
    assert!(world.agrees(&world.store).await);
}

#[tokio::test]
async fn a_stretch_of_all_shards_is_attributed_again_to_the_same_examples() {
    let mut world = World::new();
    for number in 0..12 {
        world.shown(&format!("e-{number}"), "bob").await;
        world.pass(7).await;
    }
    world.pass(500).await;
    let before = world.log.tail(Topic::Examples).await.unwrap();
    let later = clock(0);
    let target = Arc::new(MemoryLog::new(later.clone()));
    let stretch = Stretch { from: Bound::Time(at(1_020)), to: Some(Bound::Time(at(1_060))) };
    let copied = copy_stretch(&world.log, stretch, &short(), (&*target, &later), |_| {}).await.unwrap();
    assert_eq!(copied.exposures, 6, "at 1021, 1028, 1035, 1042, 1049, 1056");
    let done = AttributionService::new(target.clone(), short()).catch_up().await.unwrap();
    assert_eq!(done.examples, 6);
    let compared = compare(&world.log, &*target, &copied).await.unwrap();
    assert_eq!((compared.equal, compared.different, compared.new, compared.gone), (6, 0, 0, 0));
    assert_eq!(world.log.tail(Topic::Examples).await.unwrap(), before);
}
