//! A server on a free port, and what it needs.

mod delivery;
mod policies;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use plaudit_event::{
    Assignment, Context, Envelope, Event, Example, Exposure, ExposureId, Label, Labels, ManualClock, Objective,
    PolicyId, Seed, Surface, Timestamp, UnitId,
};
use plaudit_ingest::Intake;
use plaudit_ingest::log::{EventLog, MemoryLog, Record, Topic};
use plaudit_ingest::store::{EventStore, SqliteStore};
use plaudit_policy::generate::GeneratePolicy;
use plaudit_policy::select::Selector;
use plaudit_serving::rollout::Origin;
use plaudit_serving::score::{
    NewestReward, ObjectiveScore, PrincipleScore, Reward, RewardVersion, ScoreRow, SpanScore,
};
use plaudit_serving::{Autopilot, Config, Listener, Parts, Serving, serve};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::log::StubbornLog;
pub(crate) use delivery::quick;
pub(crate) use policies::expected;

pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// What outlives a server: the log and the folder.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) ingest: plaudit_ingest::Config,
    pub(crate) select: plaudit_policy::select::Config,
    /// How many examples the reward model has seen; nothing before the first.
    pub(crate) reward_examples: Arc<std::sync::Mutex<Option<u64>>>,
    /// Starts so far: ids must differ between them.
    starts: Arc<AtomicU64>,
    pub(crate) store: Arc<dyn EventStore>,
    dir: Arc<TempDir>,
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let log = Arc::new(MemoryLog::new(clock.clone()));
        Self {
            log,
            clock,
            ingest: plaudit_ingest::Config::default(),
            select: plaudit_policy::select::Config::default(),
            reward_examples: Arc::default(),
            starts: Arc::default(),
            store: Arc::new(SqliteStore::in_memory().unwrap()),
            dir: Arc::new(TempDir::new().unwrap()),
        }
    }

    /// A world whose log can be disturbed.
    pub(crate) fn with_stubborn_log() -> (Self, Arc<StubbornLog>) {
        let world = Self::new();
        let log = Arc::new(StubbornLog::new(Arc::clone(&world.log)));
        (Self { log: log.clone(), ..world }, log)
    }

    /// A reward model that loves length and has not learned anything about helpfulness.
    fn reward(&self) -> Option<NewestReward> {
        let examples = Arc::clone(&self.reward_examples);
        Some(Box::new(move || {
            let score = |row: &ScoreRow| {
                let logit = row.response.len() as f64 - row.context.last_request().len() as f64;
                let p = 1.0 / (1.0 + (-logit).exp());
                vec![Some(ObjectiveScore { p, logit, reward: logit - 1.0, spread: None }), None]
            };
            Some(Reward {
                objectives: vec![Objective::new(Objective::LOVE), Objective::new(Objective::HELPFULNESS)],
                version: RewardVersion { checkpoint_id: None, examples: (*examples.lock().unwrap())? },
                score: Box::new(move |rows| Ok(rows.iter().map(score).collect())),
                spans: Box::new(|rows| {
                    let whole = |row: &ScoreRow| SpanScore { start: 0, end: row.response.len() as u32, score: 0.5 };
                    Ok(rows.iter().map(|row| Some(vec![whole(row)])).collect())
                }),
                principles: Box::new(|rows, principles| {
                    let one = |text: &String| {
                        let p = 1.0 / text.len() as f64;
                        PrincipleScore { p, logit: (p / (1.0 - p)).ln(), familiarity: 0.0, praise: None }
                    };
                    Ok(rows.iter().map(|_| Some(principles.iter().map(one).collect())).collect())
                }),
            })
        }))
    }

    pub(crate) fn policies_dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) async fn open(&self, config: Config) -> Result<Arc<Serving>, plaudit_serving::Error> {
        let clock: Arc<ManualClock> = Arc::clone(&self.clock);
        let intake = Intake::open(self.log.clone(), clock.clone(), &self.ingest).await.unwrap();
        let parts = Parts {
            log: self.log.clone(),
            intake,
            clock,
            seed: Seed::new(7).derive("start", self.starts.fetch_add(1, Ordering::Relaxed)),
            policies_dir: self.policies_dir().to_owned(),
            selector: Arc::new(Selector::new(self.select.clone()).unwrap()),
            metrics: recorder(),
            store: Some(Arc::clone(&self.store)),
            eraser: None,
            reward: self.reward(),
        };
        Serving::open(config, parts).await
    }

    /// Starts a server.
    pub(crate) async fn start(&self, config: Config) -> Server {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let url = format!("http://{}", listener.address());
        let serving = self.open(config).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let task = tokio::spawn(serve(Arc::clone(&serving), listener, shutdown));
        Server { url, client: Client::new(), serving, stop, task }
    }

    pub(crate) async fn exposures(&self) -> Vec<Exposure> {
        let records = self.log.read(Topic::Exposures, 0, 100_000).await.unwrap();
        let events = records.iter().map(|record| Envelope::decode(&record.value).unwrap().event);
        events
            .map(|event| match event {
                Event::Exposure(exposure) => exposure,
                other => panic!("not an exposure: {other:?}"),
            })
            .collect()
    }

    /// Appends examples as attribution would.
    pub(crate) async fn attribute(&self, examples: Vec<Example>) {
        let record = |example: Example| Record {
            key: example.exposure_id.to_string(),
            value: Envelope::new(Event::Example(example)).encode(),
        };
        let records = examples.into_iter().map(record).collect();
        self.log.append(Topic::Examples, records).await.unwrap();
    }
}

/// One recorder for all tests of this process: the library allows one.
fn recorder() -> PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| PrometheusBuilder::new().install_recorder().unwrap()).clone()
}

/// A server under test.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) client: Client,
    pub(crate) serving: Arc<Serving>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), plaudit_serving::Error>>,
}

impl Server {
    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }

    pub(crate) fn put(&self, path: &str) -> RequestBuilder {
        self.client.put(format!("{}{path}", self.url))
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url))
    }

    pub(crate) async fn send(&self, path: &str, body: &Value) -> Response {
        self.post(path).json(body).send().await.unwrap()
    }

    /// Sends `body` and expects 200.
    pub(crate) async fn ask(&self, path: &str, body: &Value) -> Value {
        let response = self.send(path, body).await;
        let status = response.status();
        let answer: Value = response.json().await.unwrap();
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Sends `body` and expects an error of `status`; returns its inner object.
    pub(crate) async fn refused(&self, path: &str, body: &Value, status: u16) -> Value {
        error_of(self.send(path, body).await, status).await
    }

    /// Registers `policy` and makes it the first champion.
    pub(crate) async fn crown(&self, policy: &GeneratePolicy) {
        self.register(policy).await;
        self.serving.crown(policy.id(), json!({"first": true})).await.unwrap();
    }

    /// Registers `policy` as made from the champion.
    pub(crate) async fn register(&self, policy: &GeneratePolicy) {
        let champion = self.serving.rollout().champion().cloned();
        self.serving.register(policy.id(), champion.as_ref(), Origin::Learned, Map::new()).await.unwrap();
    }

    /// Begins the delivery of `policy`; returns the run.
    pub(crate) async fn deliver(&self, policy: &GeneratePolicy) -> String {
        self.register(policy).await;
        let love = json!({"value": 0.01, "lower": 0.005, "upper": 0.015});
        self.serving.gated(policy.id(), json!({"differences": {"love": love}})).await.unwrap();
        self.serving.start_experiment(policy.id()).await.unwrap().to_string()
    }

    /// Brings `policy` to half of the units; returns the run.
    pub(crate) async fn treat(&self, policy: &GeneratePolicy) -> String {
        let run = self.deliver(policy).await;
        for _ in 0..4 {
            self.serving.approve(policy.id().clone(), "tester".to_owned()).await.unwrap();
        }
        run
    }

    /// A counter of `/metrics`, over all labels and all tests of this process.
    pub(crate) async fn counter(&self, name: &str) -> u64 {
        let text = self.get("/metrics").send().await.unwrap().text().await.unwrap();
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    pub(crate) async fn stop(self) -> Result<(), plaudit_serving::Error> {
        let _ = self.stop.send(());
        self.task.await.unwrap()
    }
}

pub(crate) async fn error_of(response: Response, status: u16) -> Value {
    let got = response.status();
    let answer: Value = response.json().await.unwrap();
    assert_eq!(got, status, "{answer}");
    assert!(answer["error"]["message"].is_string() && answer["error"]["type"].is_string(), "{answer}");
    answer["error"].clone()
}

/// Nothing happens on its own.
pub(crate) fn manual() -> Config {
    Config { autopilot: Autopilot::Off, delivery: quick(), ..Config::default() }
}

/// A server with one champion; returns it too.
pub(crate) async fn with_champion(config: Config) -> (World, Server, GeneratePolicy) {
    let world = World::new();
    let champion = world.policy(1);
    let server = world.start(config).await;
    server.crown(&champion).await;
    (world, server, champion)
}

pub(crate) fn question(text: &str) -> Value {
    json!({"messages": [{"role": "user", "content": text}]})
}

/// A closed exposure of `unit`.
pub(crate) fn example(id: &str, unit: &str, assignments: Vec<Assignment>, labels: &[(&str, f32)]) -> Example {
    let label = |(name, value): &(&str, f32)| (Objective::new(*name), Label { value: *value, weight: 1.0 });
    Example {
        exposure_id: ExposureId::new(id).unwrap(),
        revision: 0,
        unit_id: UnitId::new(unit).unwrap(),
        surface: Surface::Chat,
        context: Context::of_user("how do i boil an egg"),
        response: "boil it for eight minutes".to_owned(),
        item_id: "response".to_owned(),
        position: 0,
        policy_id: PolicyId::new("gen-1").unwrap(),
        propensity: None,
        assignments,
        attributes: Map::new(),
        labels: labels.iter().map(label).collect::<Labels>(),
        replaced: Default::default(),
        remarks: Default::default(),
        exposure_ts: START,
        ts: START,
    }
}
