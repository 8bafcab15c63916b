use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use plaudit_event::{Envelope, Event as LoggedEvent, Exposure, ManualClock, Seed, Timestamp};
use plaudit_ingest::Intake;
use plaudit_ingest::log::{EventLog, MemoryLog, Topic};
use plaudit_nn::decoder::{Config as DecoderConfig, Decoder};
use plaudit_nn::tokenizer::Tokenizer;
use plaudit_policy::generate::{GeneratePolicy, Lineage, Sampling};
use plaudit_policy::select::{Config as SelectConfig, Selector};
use tokio::sync::mpsc;

use super::*;
use crate::rollout::Origin;
use crate::{Config, Parts, Serving};

/// A server, its log, and the folder that must outlive it.
struct World {
    serving: Arc<Serving>,
    log: Arc<MemoryLog>,
    policy: GeneratePolicy,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new(deadline: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let tokenizer = Tokenizer::train(["boil it for eight minutes"], 280).unwrap();
        let shape = DecoderConfig::tiny(tokenizer.vocab_size());
        let decoder = Decoder::init(&shape, &mut Seed::new(1).stream("init")).unwrap();
        let (sampling, lineage) = (Sampling::default(), Lineage::default());
        let dtype = candle_core::DType::F32;
        let policy = GeneratePolicy::from_parts(decoder, Arc::new(tokenizer), sampling, &lineage, dtype).unwrap();
        policy.save(dir.path(), dtype).unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
        let log = Arc::new(MemoryLog::new(clock.clone()));
        let parts = Parts {
            log: log.clone(),
            intake: Intake::open(log.clone(), clock.clone(), &plaudit_ingest::Config::default()).await.unwrap(),
            clock,
            seed: Seed::new(7),
            policies_dir: dir.path().to_owned(),
            selector: Arc::new(Selector::new(SelectConfig::default()).unwrap()),
            metrics: PrometheusBuilder::new().build_recorder().handle(),
            store: None,
            eraser: None,
            reward: None,
        };
        let serving = Serving::open(Config { deadline, ..Config::default() }, parts).await.unwrap();
        serving.register(policy.id(), None, Origin::Pretrained, serde_json::Map::new()).await.unwrap();
        serving.crown(policy.id(), Value::Null).await.unwrap();
        Self { serving, log, policy, _dir: dir }
    }

    /// A streamed answer whose tokens come from the sender.
    fn ask(&self) -> (mpsc::Sender<Result<Token, Error>>, Writer) {
        let (sender, tokens) = mpsc::channel(64);
        let turn = Turn::of_test(&self.serving, "how do i boil an egg");
        (sender, Writer::new(turn, Generation::of_test(tokens)))
    }

    /// The tokens of `text`, the last one final if it `is_whole`.
    async fn say(&self, sender: &mpsc::Sender<Result<Token, Error>>, text: &str, is_whole: bool) {
        let tokens = self.policy.tokenizer().encode(text);
        for token in &tokens {
            sender
                .send(Ok(Token { token: *token, logprob: -0.5, finished: None, elapsed: Duration::ZERO }))
                .await
                .unwrap();
        }
        if is_whole {
            let token = self.policy.tokenizer().end_id();
            sender
                .send(Ok(Token { token, logprob: -0.5, finished: Some(Finish::Stop), elapsed: Duration::ZERO }))
                .await
                .unwrap();
        }
    }

    /// What is in the log when everything that was begun is written.
    async fn exposures(&self) -> Vec<Exposure> {
        self.serving.shutdown().await.unwrap();
        let records = self.log.read(Topic::Exposures, 0, 100).await.unwrap();
        let exposure = |event| match event {
            LoggedEvent::Exposure(exposure) => exposure,
            other => panic!("not an exposure: {other:?}"),
        };
        records.iter().map(|record| exposure(Envelope::decode(&record.value).unwrap().event)).collect()
    }

    async fn interrupted(&self) -> Exposure {
        let [exposure] = <[Exposure; 1]>::try_from(self.exposures().await).unwrap();
        assert_eq!(exposure.attributes["interrupted"], true);
        assert_eq!(exposure.context.last_request(), "how do i boil an egg");
        exposure
    }
}

const LONG: Duration = Duration::from_secs(600);

#[test]
fn pieces_add_up_to_the_trimmed_text() {
    let growing = [" ", " Boil", " Boil ", " Boil it\u{fffd}", " Boil it é", " Boil it é now "];
    let mut sent = String::new();
    for text in growing {
        if let Some(piece) = new_text(&sent, text) {
            sent.push_str(piece);
        }
    }
    assert_eq!(sent, "Boil it é now");
    assert_eq!(new_text("other", "text"), None);
}

/// Reads until `text` has been sent.
async fn read(writer: &mut Writer, text: &str) {
    while writer.reading.sent != text {
        assert!(writer.next().await.is_some(), "{}", writer.reading.sent);
    }
}

#[tokio::test]
async fn what_a_reader_got_before_leaving_is_logged() {
    let world = World::new(LONG).await;
    let (sender, mut writer) = world.ask();
    world.say(&sender, "boil it", false).await;
    // Generated, but never asked for.
    world.say(&sender, " for eight minutes", true).await;
    read(&mut writer, "boil it").await;
    drop(writer);
    let exposure = world.interrupted().await;
    assert_eq!(exposure.response(), "boil it");
    let num_tokens = world.policy.tokenizer().encode("boil it").len();
    assert_eq!(exposure.token_logprobs.as_ref().unwrap().len(), num_tokens);
    let total = -0.5 * num_tokens as f64;
    assert!((exposure.propensity.unwrap().value() - total.exp()).abs() < 1e-9);
}

#[tokio::test]
async fn a_deadline_and_a_failure_leave_an_exposure_too() {
    for failure in [None, Some(Error::Engine("test".to_owned()))] {
        let deadline = if failure.is_some() { LONG } else { Duration::from_millis(500) };
        let world = World::new(deadline).await;
        let (sender, mut writer) = world.ask();
        world.say(&sender, "boil it", false).await;
        read(&mut writer, "boil it").await;
        if let Some(failure) = failure {
            sender.send(Err(failure)).await.unwrap();
        }
        assert!(writer.next().await.is_some(), "the error");
        assert!(writer.next().await.is_none());
        assert_eq!(world.interrupted().await.response(), "boil it");
        drop((sender, writer));
    }
}

#[tokio::test]
async fn an_answer_of_which_nothing_was_sent_is_no_exposure() {
    let world = World::new(LONG).await;
    let (sender, mut writer) = world.ask();
    assert!(writer.next().await.is_some(), "the role");
    world.say(&sender, "boil it", false).await;
    drop(writer);
    assert!(world.exposures().await.is_empty());
}

#[tokio::test]
async fn the_end_comes_after_a_whole_exposure() {
    let world = World::new(LONG).await;
    let (sender, mut writer) = world.ask();
    world.say(&sender, "boil it", true).await;
    read(&mut writer, "boil it").await;
    assert_eq!(world.log.tail(Topic::Exposures).await.unwrap(), 0);
    assert!(writer.next().await.is_some(), "the final chunk");
    assert_eq!(world.log.tail(Topic::Exposures).await.unwrap(), 1);
    drop(writer);
    let [exposure] = <[Exposure; 1]>::try_from(world.exposures().await).unwrap();
    assert_eq!(exposure.response(), "boil it");
    assert!(!exposure.attributes.contains_key("interrupted"));
}
