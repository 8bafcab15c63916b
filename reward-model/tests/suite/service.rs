//! The service over a log in memory: publishes, saves, resumes, and survives damage.

use std::path::Path;
use std::sync::Arc;

use plaudit_event::{Context, Envelope, Event, Example, ExposureId, ManualClock, Objective, Seed, Timestamp};
use plaudit_ingest::log::{EventLog, MemoryLog, Record, Topic};
use plaudit_nn::checkpoint;
use plaudit_reward_model::{Config, RewardHandle, RewardService, Row, Trainer};

use crate::world;

const SEED: Seed = Seed::new(9);

fn config() -> Config {
    let mut config = Config::default();
    config.service.poll_ms = 5;
    config.service.retry_ms = 5;
    config.service.checkpoint_every = 200;
    config.service.keep_checkpoints = 2;
    config
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_millis(1_000)))
}

fn log() -> Arc<dyn EventLog> {
    Arc::new(MemoryLog::new(clock()))
}

fn spawn(log: &Arc<dyn EventLog>, dir: &Path) -> RewardHandle {
    RewardService::spawn(Arc::clone(log), config(), dir, clock(), SEED).unwrap()
}

fn examples(n: usize) -> Vec<Example> {
    world::draw(n, 21, usize::MAX, 0.0).into_iter().map(|d| d.example).collect()
}

async fn append(log: &Arc<dyn EventLog>, examples: &[Example]) {
    let record = |example: &Example| Record {
        key: example.exposure_id.as_str().to_owned(),
        value: Envelope::new(Event::Example(example.clone())).encode(),
    };
    log.append(Topic::Examples, examples.iter().map(record).collect()).await.unwrap();
}

fn logit(handle: &RewardHandle) -> f64 {
    let context = Context::of_user("please explain the river number8");
    let row = Row { context: &context, response: "happy to help with that. it varies from case to case." };
    handle.scorer().unwrap().score(&[row]).unwrap()[0].logit(Objective::LOVE).unwrap()
}

/// The same examples of other exposures.
fn renamed(mut examples: Vec<Example>) -> Vec<Example> {
    for example in &mut examples {
        example.exposure_id = ExposureId::new(format!("other-{}", example.exposure_id)).unwrap();
    }
    examples
}

/// A trainer that has taken `examples` without a service around it.
fn straight(examples: &[Example]) -> Trainer {
    let mut trainer = Trainer::new(config(), SEED).unwrap();
    trainer.step(examples);
    trainer
}

fn positions(dir: &Path) -> Vec<u64> {
    let found = checkpoint::list(dir, "reward").unwrap();
    found.into_iter().map(|(_, manifest)| manifest.log_position).collect()
}

#[tokio::test]
async fn examples_become_a_published_scorer_and_checkpoints() {
    let dir = tempfile::tempdir().unwrap();
    let log = log();
    let handle = spawn(&log, dir.path());
    assert!(handle.scorer().is_none());
    append(&log, &examples(450)).await;
    handle.wait_for(450).await.unwrap();
    let status = handle.status();
    assert_eq!((status.examples, status.position), (450, 450));
    assert_eq!(status.love.unwrap().n, handle.prequential().len());
    assert!(status.checkpoint_id.is_some() && status.failed.is_none());
    assert_eq!(status.published, Some(Timestamp::from_millis(1_000)));
    handle.shutdown().await.unwrap();
    assert_eq!(positions(dir.path()), [450, 400], "the last two of 200, 400 and the end");
    assert!(handle.status().stopped);
    assert!(logit(&handle).is_finite(), "scorers outlive the thread");
}

#[tokio::test]
async fn a_restart_goes_on_as_if_nothing_had_happened() {
    let examples = examples(700);
    let straight = {
        let (dir, log) = (tempfile::tempdir().unwrap(), log());
        append(&log, &examples).await;
        let handle = spawn(&log, dir.path());
        handle.wait_for(700).await.unwrap();
        handle.shutdown().await.unwrap();
        (handle.status().checkpoint_id, logit(&handle))
    };
    let (dir, log) = (tempfile::tempdir().unwrap(), log());
    append(&log, &examples[..333]).await;
    let first = spawn(&log, dir.path());
    first.wait_for(333).await.unwrap();
    first.shutdown().await.unwrap();
    append(&log, &examples[333..]).await;
    let second = spawn(&log, dir.path());
    second.wait_for(700).await.unwrap();
    second.shutdown().await.unwrap();
    assert_eq!((second.status().checkpoint_id, logit(&second)), straight);
}

#[tokio::test]
async fn a_restart_without_new_examples_publishes_at_once() {
    let (dir, log) = (tempfile::tempdir().unwrap(), log());
    append(&log, &examples(250)).await;
    let first = spawn(&log, dir.path());
    first.wait_for(250).await.unwrap();
    first.shutdown().await.unwrap();
    let second = spawn(&log, dir.path());
    second.wait_for(250).await.unwrap();
    assert_eq!(logit(&second), logit(&first));
    assert_eq!(second.status().checkpoint_id, first.status().checkpoint_id);
    second.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_damaged_checkpoint_is_passed_over_for_the_one_before() {
    let (dir, log) = (tempfile::tempdir().unwrap(), log());
    append(&log, &examples(450)).await;
    let first = spawn(&log, dir.path());
    first.wait_for(450).await.unwrap();
    first.shutdown().await.unwrap();
    let (newest, _) = checkpoint::list(dir.path(), "reward").unwrap().remove(0);
    let model = newest.join("optimizer.safetensors");
    let mut bytes = std::fs::read(&model).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&model, bytes).unwrap();
    let second = spawn(&log, dir.path());
    second.wait_for(450).await.unwrap();
    assert_eq!(logit(&second), logit(&first), "trained again from the checkpoint at 400");
    second.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_checkpoint_ahead_of_the_log_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let old = log();
    append(&old, &examples(250)).await;
    let first = spawn(&old, dir.path());
    first.wait_for(250).await.unwrap();
    first.shutdown().await.unwrap();
    assert_eq!(positions(dir.path()), [250, 200]);
    let fresh = log();
    let others = renamed(examples(460));
    append(&fresh, &others[..60]).await;
    let second = spawn(&fresh, dir.path());
    second.wait_for(60).await.unwrap();
    assert_eq!(second.status().examples, 60, "from the start of the new log");
    second.shutdown().await.unwrap();
    assert_eq!(positions(dir.path()), [250, 200, 60], "the old log may come back");

    // The new log grows past what the old checkpoints had seen.
    append(&fresh, &others[60..]).await;
    let third = spawn(&fresh, dir.path());
    third.wait_for(460).await.unwrap();
    assert_eq!((third.status().examples, third.status().position), (460, 460));
    assert_eq!(third.status().love, straight(&others).quality(Objective::LOVE), "nothing of the old log is in it");
    third.shutdown().await.unwrap();
    assert_eq!(positions(dir.path()), [460, 400]);
}

#[tokio::test]
async fn a_checkpoint_of_a_log_that_was_replaced_by_a_longer_one_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let old = log();
    append(&old, &examples(250)).await;
    let first = spawn(&old, dir.path());
    first.wait_for(250).await.unwrap();
    first.shutdown().await.unwrap();
    let fresh = log();
    let others = renamed(examples(300));
    append(&fresh, &others).await;
    let second = spawn(&fresh, dir.path());
    second.wait_for(300).await.unwrap();
    assert_eq!(second.status().examples, 300, "from the start of the new log");
    assert_eq!(second.status().love, straight(&others).quality(Objective::LOVE));
    second.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_restart_after_an_unreadable_record_goes_on_from_the_checkpoint() {
    let (dir, log) = (tempfile::tempdir().unwrap(), log());
    let examples = examples(120);
    append(&log, &examples[..60]).await;
    let garbage = Record { key: "x".to_owned(), value: b"{".to_vec() };
    log.append(Topic::Examples, vec![garbage]).await.unwrap();
    let first = spawn(&log, dir.path());
    first.wait_for(61).await.unwrap();
    first.shutdown().await.unwrap();
    assert_eq!(positions(dir.path()), [60], "after the last example");
    append(&log, &examples[60..]).await;
    let second = spawn(&log, dir.path());
    second.wait_for(121).await.unwrap();
    assert_eq!((second.status().examples, second.status().position), (120, 121));
    assert_eq!(second.status().closed_through, Some(examples[119].ts));
    second.shutdown().await.unwrap();
}

#[tokio::test]
async fn unreadable_records_are_passed_over() {
    let (dir, log) = (tempfile::tempdir().unwrap(), log());
    let examples = examples(120);
    append(&log, &examples[..60]).await;
    let garbage = Record { key: "x".to_owned(), value: b"{\"v\":1,\"event\":".to_vec() };
    log.append(Topic::Examples, vec![garbage]).await.unwrap();
    append(&log, &examples[60..]).await;
    let handle = spawn(&log, dir.path());
    handle.wait_for(121).await.unwrap();
    assert_eq!((handle.status().examples, handle.status().position), (120, 121));
    let mut plain = Trainer::new(config(), SEED).unwrap();
    plain.step(&examples);
    assert_eq!(handle.status().love, plain.quality(Objective::LOVE));
    handle.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_fails_the_service_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("not-a-directory");
    std::fs::write(&file, b"x").unwrap();
    let log = log();
    let handle = spawn(&log, &file);
    let error = handle.wait_for(1).await.unwrap_err().to_string();
    assert!(error.contains("not-a-directory"), "{error}");
    assert!(handle.status().failed.is_some());
    assert!(handle.shutdown().await.is_err());
    assert!(handle.scorer().is_none());
}

#[test]
fn a_wrong_configuration_starts_nothing() {
    let mut wrong = config();
    wrong.objectives.clear();
    assert!(RewardService::spawn(log(), wrong, "unused", clock(), SEED).is_err());
}
