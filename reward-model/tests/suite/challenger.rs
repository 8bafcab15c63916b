//! Poisoned labels do not reach the model that serves; a restart keeps what was decided.

use std::path::Path;
use std::sync::Arc;

use plaudit_event::{Context, Envelope, Event, Example, Label, ManualClock, Objective, Seed, Timestamp};
use plaudit_ingest::log::{EventLog, MemoryLog, Record, Topic};
use plaudit_nn::checkpoint;
use plaudit_reward_model::card::card;
use plaudit_reward_model::{Config, OnAlarm, Refusal, RewardHandle, RewardService, Row};

use crate::world;

const SEED: Seed = Seed::new(9);
/// Clean examples before the poison.
const CLEAN: usize = 4_000;

fn config() -> Config {
    let mut config = Config { objectives: vec![Objective::new(Objective::LOVE)], ..Config::default() };
    config.golden.share = 0.3;
    config.golden.every = 1_000;
    config.golden.rows = 200;
    config.golden.least = 10;
    config.challenger.alarm_after = 3;
    config.service.poll_ms = 5;
    config.service.publish_every = 256;
    config.service.checkpoint_every = 1_000;
    config
}

fn log() -> Arc<dyn EventLog> {
    Arc::new(MemoryLog::new(Arc::new(ManualClock::new(Timestamp::from_millis(1_000)))))
}

fn spawn(log: &Arc<dyn EventLog>, dir: &Path, config: &Config) -> RewardHandle {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000)));
    RewardService::spawn(Arc::clone(log), config.clone(), dir, clock, SEED).unwrap()
}

async fn append(log: &Arc<dyn EventLog>, examples: &[Example]) {
    let record = |example: &Example| Record {
        key: example.exposure_id.as_str().to_owned(),
        value: Envelope::new(Event::Example(example.clone())).encode(),
    };
    log.append(Topic::Examples, examples.iter().map(record).collect()).await.unwrap();
}

fn examples(n: usize) -> Vec<Example> {
    world::draw(n, 5, usize::MAX, 0.0).into_iter().map(|drawn| drawn.example).collect()
}

/// Everybody loves what nobody loved, and the other way round.
fn poisoned(mut examples: Vec<Example>) -> Vec<Example> {
    for example in &mut examples {
        let love = example.label(Objective::LOVE).unwrap();
        example.labels.insert(Objective::new(Objective::LOVE), Label { value: 1.0 - love.value, ..love });
    }
    examples
}

fn logits(handle: &RewardHandle) -> Vec<f64> {
    let context = Context::of_user("please explain the river number8");
    let responses = ["happy to help with that. in short the river number8 is known for fact8", "it varies", "bye"];
    let rows = responses.map(|response| Row { context: &context, response });
    let scores = handle.scorer().unwrap().score(&rows).unwrap();
    scores.iter().map(|scores| scores.logit(Objective::LOVE).unwrap()).collect()
}

#[tokio::test]
async fn poisoned_labels_are_refused_with_the_reason_and_what_serves_does_not_change() {
    let (dir, log) = (tempfile::tempdir().unwrap(), log());
    let all = examples(CLEAN + 3_000);
    append(&log, &all[..CLEAN]).await;
    let handle = spawn(&log, dir.path(), &config());
    handle.wait_for(CLEAN as u64).await.unwrap();
    let clean = handle.status().challenger;
    assert!(clean.accepted > 10 && clean.refused == 0, "good models pass: {clean:?}");
    let served = logits(&handle);

    append(&log, &poisoned(all[CLEAN..].to_vec())).await;
    handle.wait_for(all.len() as u64).await.unwrap();
    let status = handle.status();
    let told = &status.challenger;
    assert!(told.in_a_row >= 3 && told.alarm, "{told:?}");
    let last = told.last.clone().unwrap();
    let reasons: Vec<_> = last.reasons.iter().map(Refusal::as_str).collect();
    assert!(reasons.contains(&"golden_auroc") && reasons.contains(&"golden_loss"), "{last:?}");
    assert!(last.champion_examples < last.examples);
    let champion = handle.scorer().unwrap().examples().unwrap();
    assert_eq!(champion, last.champion_examples);
    // The first few hundred do little harm and pass.
    assert!(champion < CLEAN as u64 + 1_000, "{champion}");
    let drift = logits(&handle).iter().zip(&served).map(|(now, before)| (now - before).abs()).fold(0.0, f64::max);
    assert!(drift < 1.0, "{served:?} and {:?}", logits(&handle));
    let served = logits(&handle);
    handle.shutdown().await.unwrap();
    assert_eq!(logits(&handle), served);

    // The newest checkpoint is the refused one; after a restart the champion serves all the same.
    let newest = checkpoint::list(dir.path(), "reward").unwrap().remove(0);
    assert_eq!(newest.1.log_position, all.len() as u64);
    let card = card(&newest.0).unwrap();
    assert_eq!(card.challengers.last.as_ref(), Some(&last));
    assert!(card.to_markdown().contains("golden slices, worse by ["), "{}", card.to_markdown());
    let again = spawn(&log, dir.path(), &config());
    again.wait_for(all.len() as u64).await.unwrap();
    let restarted = again.scorer().unwrap().examples().unwrap();
    assert!(restarted <= champion && champion - restarted < 1_000, "from its newest checkpoint: {restarted}");
    assert!(again.status().challenger.in_a_row > told.in_a_row, "refused again: {:?}", again.status().challenger);
    again.shutdown().await.unwrap();
}

#[tokio::test]
async fn good_models_pass_again_after_the_poison_when_training_returns_to_the_champion() {
    let (dir, log) = (tempfile::tempdir().unwrap(), log());
    let mut config = config();
    config.challenger.on_alarm = OnAlarm::Return;
    let all = examples(CLEAN + 6_000);
    append(&log, &all[..CLEAN]).await;
    let handle = spawn(&log, dir.path(), &config);
    handle.wait_for(CLEAN as u64).await.unwrap();
    append(&log, &poisoned(all[CLEAN..CLEAN + 2_000].to_vec())).await;
    handle.wait_for(CLEAN as u64 + 2_000).await.unwrap();
    assert!(handle.status().challenger.refused >= 3, "{:?}", handle.status().challenger);
    append(&log, &all[CLEAN + 2_000..]).await;
    handle.wait_for(all.len() as u64).await.unwrap();
    let status = handle.status();
    assert_eq!((status.challenger.in_a_row, status.challenger.alarm), (0, false), "{:?}", status.challenger);
    assert!(status.examples < all.len() as u64, "what was poisoned is not counted");
    let love = status.golden.unwrap().slices[0].now.unwrap();
    assert!(love > 0.6, "{love}");
    handle.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_crash_between_the_decision_and_its_record_loses_nothing() {
    let (dir, log) = (tempfile::tempdir().unwrap(), log());
    let all = examples(CLEAN);
    append(&log, &all[..2_000]).await;
    let first = spawn(&log, dir.path(), &config());
    first.wait_for(2_000).await.unwrap();
    first.shutdown().await.unwrap();
    let record = dir.path().join("challengers.json");
    let before = std::fs::read(&record).unwrap();
    append(&log, &all[2_000..]).await;
    let second = spawn(&log, dir.path(), &config());
    second.wait_for(CLEAN as u64).await.unwrap();
    second.shutdown().await.unwrap();
    let served = logits(&second);
    // As if the process had been killed before the record of the last checkpoints was written, while it was, and with
    // none at all.
    for left in [before, b"{\"champion\": \"rew".to_vec(), Vec::new()] {
        std::fs::write(&record, left).unwrap();
        let third = spawn(&log, dir.path(), &config());
        third.wait_for(CLEAN as u64).await.unwrap();
        assert_eq!(logits(&third), served);
        assert_eq!(third.status().challenger.in_a_row, 0);
        third.shutdown().await.unwrap();
    }
}
