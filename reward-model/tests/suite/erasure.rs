//! Erasure: replay rows and predictions of erased exposures leave the trainer and its checkpoints.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use plaudit_event::{Envelope, Event, Example, ManualClock, Seed, Timestamp};
use plaudit_ingest::erasure::{self, Request};
use plaudit_ingest::log::{EventLog, MemoryLog, Record, Topic};
use plaudit_ingest::store::SqliteStore;
use plaudit_nn::checkpoint;
use plaudit_reward_model::{Config, RewardHandle, RewardService, Trainer, exposure_row};

use crate::world;

const SEED: Seed = Seed::new(9);

fn config() -> Config {
    let mut config = Config::default();
    config.service.poll_ms = 5;
    config.service.checkpoint_every = 100;
    config.service.keep_checkpoints = 3;
    config
}

fn spawn(log: &Arc<dyn EventLog>, dir: &Path) -> RewardHandle {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000)));
    RewardService::spawn(Arc::clone(log), config(), dir, clock, SEED).unwrap()
}

/// Erases the unit of `example`; there is nothing but examples, so no store has to catch up.
async fn erase(log: &Arc<dyn EventLog>, example: &Example) {
    let request = Request {
        unit: example.unit_id.clone(),
        aliases: Vec::new(),
        by: "test".into(),
        reason: "asked".into(),
        at: Timestamp::from_millis(5),
        checkpoints: Vec::new(),
        row_of: exposure_row,
    };
    let store: Arc<dyn plaudit_ingest::store::EventStore> = Arc::new(SqliteStore::in_memory().unwrap());
    let sink = plaudit_ingest::service::StoreSink::new(Arc::clone(log), Arc::clone(&store), &Default::default());
    sink.catch_up().await.unwrap();
    assert!(erasure::erase(log, &*store, &request, None).await.unwrap().is_clean());
}

/// Rows and predictions of `erased` in the checkpoints of `dir`, and how many checkpoints there are.
fn left(dir: &Path, erased: &HashSet<u64>) -> (u64, usize) {
    let found = checkpoint::list(dir, "reward").unwrap();
    let rows = found.iter().map(|(path, _)| {
        // One that is being replaced holds them still.
        let Ok(loaded) = checkpoint::load(path) else { return 1 };
        Trainer::resume(&loaded, config(), SEED).unwrap().erase(erased)
    });
    (rows.sum(), found.len())
}

#[tokio::test]
async fn rows_of_an_erased_unit_leave_the_running_trainer_and_every_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(Arc::new(ManualClock::default())));
    let examples: Vec<Example> = world::draw(350, 21, usize::MAX, 0.0).into_iter().map(|d| d.example).collect();
    let record = |example: &Example| Record {
        key: example.exposure_id.as_str().to_owned(),
        value: Envelope::new(Event::Example(example.clone())).encode(),
    };
    log.append(Topic::Examples, examples.iter().map(record).collect()).await.unwrap();
    let rows_of = |unit: &Example| -> HashSet<u64> {
        let own = examples.iter().filter(|example| example.unit_id == unit.unit_id);
        own.map(|example| exposure_row(&example.exposure_id)).collect()
    };
    let handle = spawn(&log, dir.path());
    handle.wait_for(350).await.unwrap();
    handle.shutdown().await.unwrap();
    let (live, offline) = (&examples[349], examples.iter().find(|e| e.unit_id != examples[349].unit_id).unwrap());
    let before = left(dir.path(), &rows_of(live));
    assert!(before.0 > 0 && before.1 > 1, "{before:?}");

    // While it runs: the checkpoint without the rows takes the place of those with them.
    let handle = spawn(&log, dir.path());
    handle.wait_for(350).await.unwrap();
    erase(&log, live).await;
    while left(dir.path(), &rows_of(live)).0 > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let shown = handle.prequential();
    assert!(shown.iter().all(|prediction| !rows_of(live).contains(&exposure_row(&prediction.exposure_id))));
    handle.shutdown().await.unwrap();

    // While it does not: the next start does it, although the example it stopped at is gone.
    erase(&log, offline).await;
    assert!(left(dir.path(), &rows_of(offline)).0 > 0);
    let handle = spawn(&log, dir.path());
    handle.wait_for(350).await.unwrap();
    handle.shutdown().await.unwrap();
    assert_eq!(handle.status().examples, 350, "it went on from the checkpoint");
    for unit in [live, offline] {
        assert_eq!(left(dir.path(), &rows_of(unit)), (0, 1));
    }
}
