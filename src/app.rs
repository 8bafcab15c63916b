//! One process: opens the backends, starts the roles, and stops them in order.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use metrics_exporter_prometheus::PrometheusHandle;
use plaudit_event::{Clock, Seed};
use plaudit_ingest::log::{EventLog, SpooledLog};
use plaudit_ingest::service::Workers;
use plaudit_ingest::store::EventStore;
use plaudit_ingest::{Intake, log, store};
use plaudit_nn::checkpoint;
use plaudit_policy::generate::PREFIX;
use plaudit_policy::select::Selector;
use plaudit_reward_model::{RewardHandle, RewardService};
use plaudit_serving::rollout::Origin;
use plaudit_serving::score::NewestReward;
use plaudit_serving::{Eraser, Listener, Parts, Serving, serve};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;

use crate::config::{Config, Role};
use crate::learner::{Learner, LearnerStatus};
use crate::{notify, scorer, shipped};

/// How often the process looks whether the reward model still trains.
const LOOK: Duration = Duration::from_secs(1);

/// A running process.
pub(crate) struct App {
    /// Where it answers, such as `http://127.0.0.1:8080`; nothing without the role `serve`.
    pub(crate) url: Option<String>,
    /// The front door of events.
    pub(crate) intake: Intake,
    /// Who serves whom; nothing without the role `serve`.
    pub(crate) serving: Option<Arc<Serving>>,
    /// The reward model; nothing without the role `learn`.
    pub(crate) reward: Option<Arc<RewardHandle>>,
    /// What the policy learner does.
    pub(crate) learner: watch::Receiver<LearnerStatus>,
    /// Roles that take requests or make candidates; they stop first.
    front: Mutex<Tasks>,
    /// The ingest role, which then takes in what they have left.
    back: Mutex<Tasks>,
}

/// Roles that stop together.
struct Tasks {
    stop: watch::Sender<bool>,
    running: JoinSet<anyhow::Result<()>>,
}

impl Tasks {
    fn new() -> Self {
        Self { stop: watch::Sender::new(false), running: JoinSet::new() }
    }

    /// Becomes true when it is time to stop.
    fn stopped(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Waits until one fails; never returns while all is well.
    async fn failure(&mut self) -> anyhow::Error {
        loop {
            match self.running.join_next().await {
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => return error,
                Some(Err(error)) => return anyhow::Error::new(error).context("a role ended in a panic"),
                None => std::future::pending().await,
            }
        }
    }

    /// Stops all and gives the first failure.
    async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        let mut result = Ok(());
        while let Some(ended) = self.running.join_next().await {
            let ended = ended.context("a role ended in a panic").and_then(|ended| ended);
            result = result.and(ended);
        }
        result
    }
}

/// What every role works with.
struct Backends {
    log: Arc<dyn EventLog>,
    store: Arc<dyn EventStore>,
    intake: Intake,
    clock: Arc<dyn Clock>,
}

impl App {
    /// Opens everything and starts the roles of `config`.
    ///
    /// # Errors
    /// Fails when a backend cannot be opened, the address is taken, or a checkpoint is damaged. Nothing keeps
    /// running then.
    pub(crate) async fn start(
        config: &Config,
        clock: Arc<dyn Clock>,
        metrics: PrometheusHandle,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&config.data_dir)
            .with_context(|| format!("failed to create data directory `{}`", config.data_dir.display()))?;
        let listener = match config.has(Role::Serve) {
            true => Some(Listener::bind(config.serving.listen).await?),
            false => None,
        };
        let log = log::open(&config.event_log_uri(), &config.ingest.kafka, Arc::clone(&clock)).await?;
        let store = store::open(&config.event_store_uri(), &config.ingest)?;
        let (mut front, mut back) = (Tasks::new(), Tasks::new());
        let door = with_spool(&mut back, config, &log, &clock).await?;
        let intake = Intake::open(door, Arc::clone(&clock), &config.ingest).await?;
        let backends = Backends { log, store, intake: intake.clone(), clock };
        if config.has(Role::Ingest) {
            start_ingest(&mut back, config, &backends);
        }
        let url = listener.as_ref().map(|listener| format!("http://{}", listener.address()));
        let reward = match config.has(Role::Learn) {
            true => Some(start_reward(config, &backends)?),
            false => None,
        };
        let serving = match listener {
            Some(listener) => {
                let newest = reward.clone().map(scorer::newest);
                Some(start_serving(&mut front, config, &backends, (listener, newest), metrics).await?)
            }
            None => None,
        };
        let (status, learner) = watch::channel(LearnerStatus::default());
        if let Some(reward) = &reward {
            let stopped = front.stopped();
            front.running.spawn(watch_reward(Arc::clone(reward), config.has(Role::Serve), stopped));
        }
        if let (Some(reward), Some(serving)) = (&reward, &serving) {
            let learner = Learner {
                config: config.clone(),
                serving: Arc::clone(serving),
                reward: Arc::clone(reward),
                store: Arc::clone(&backends.store),
                clock: Arc::clone(&backends.clock),
                status,
            };
            let stopped = front.stopped();
            front.running.spawn(learner.run(stopped));
        }
        Ok(Self { url, intake, serving, reward, learner, front: Mutex::new(front), back: Mutex::new(back) })
    }

    /// Waits until a role fails; never returns while all is well.
    ///
    /// # Errors
    /// Gives the failure.
    pub(crate) async fn failure(&self) -> anyhow::Error {
        let (mut front, mut back) = (self.front.lock().await, self.back.lock().await);
        tokio::select! {
            error = front.failure() => error,
            error = back.failure() => error,
        }
    }

    /// Stops in order: no more requests, those under way are finished, the reward model is saved, and what was
    /// acknowledged until then is attributed and stored.
    ///
    /// # Errors
    /// Gives the first failure; all roles are stopped in any case.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        let mut result = self.front.into_inner().stop().await;
        if let Some(reward) = self.reward {
            result = result.and(reward.shutdown().await.context("the reward model stopped"));
        }
        result.and(self.back.into_inner().stop().await)
    }
}

/// Ends the process with the reward model when nothing else is of use in it; beside serving, which goes on, it says
/// so once.
async fn watch_reward(
    reward: Arc<RewardHandle>,
    serves: bool,
    mut stopped: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let reason = loop {
        if let Some(reason) = reward.status().failed {
            break reason;
        }
        tokio::select! {
            // An error means that the sender is gone, which is a reason to stop too.
            _ = stopped.wait_for(|stop| *stop) => return Ok(()),
            () = tokio::time::sleep(LOOK) => {}
        }
    };
    anyhow::ensure!(serves, "the reward model stopped: {reason}");
    tracing::error!(reason, "the reward model stopped; serving goes on with the policies it has");
    Ok(())
}

/// The log as intake writes it: where others share it and this process serves, with a spool in front.
async fn with_spool(
    tasks: &mut Tasks,
    config: &Config,
    log: &Arc<dyn EventLog>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn EventLog>> {
    let max_bytes = config.ingest.kafka.spool_bytes;
    if !log.is_shared() || !config.has(Role::Serve) || max_bytes == 0 {
        return Ok(Arc::clone(log));
    }
    let path = config.data_dir.join("spool.db");
    let spooled = Arc::new(SpooledLog::open(Arc::clone(log), &path, max_bytes, Arc::clone(clock)).await?);
    let (running, stopped) = (Arc::clone(&spooled), tasks.stopped());
    tasks.running.spawn(async move { running.run(stopped).await.context("the spool stopped") });
    Ok(spooled)
}

fn start_ingest(tasks: &mut Tasks, config: &Config, backends: &Backends) {
    let workers = Workers::new(Arc::clone(&backends.log), Arc::clone(&backends.store), &config.ingest);
    let stopped = tasks.stopped();
    tasks.running.spawn(async move { workers.run(stopped).await.context("attribution or the store sink stopped") });
}

async fn start_serving(
    tasks: &mut Tasks,
    config: &Config,
    backends: &Backends,
    (listener, reward): (Listener, Option<NewestReward>),
    metrics: PrometheusHandle,
) -> anyhow::Result<Arc<Serving>> {
    let policies_dir = policies_dir(config);
    checkpoint::sweep(&policies_dir, PREFIX)?;
    let parts = Parts {
        log: Arc::clone(&backends.log),
        intake: backends.intake.clone(),
        clock: Arc::clone(&backends.clock),
        // Ids must differ between starts of one configuration: the clock is part of this seed.
        seed: Seed::new(config.seed).derive("start", u64::try_from(backends.clock.now().as_millis()).unwrap_or(0)),
        policies_dir: policies_dir.clone(),
        selector: Arc::new(Selector::new(config.policy.select.clone())?),
        metrics,
        store: Some(Arc::clone(&backends.store)),
        eraser: Some(eraser(config, backends)),
        reward,
    };
    let serving = Serving::open(config.serving.clone(), parts).await?;
    if serving.rollout().champion().is_none() {
        let source = config.initial_policy.clone();
        let install = move || shipped::install(source.as_deref(), &policies_dir);
        let policy = tokio::task::spawn_blocking(install).await??;
        // A start that was killed in between has registered it already.
        if !serving.rollout().policies().contains_key(policy.id()) {
            serving.register(policy.id(), None, Origin::Pretrained, serde_json::Map::new()).await?;
        }
        serving.crown(policy.id(), serde_json::json!({"reason": "first policy of this data directory"})).await?;
    }
    let mut stopped = tasks.stopped();
    let shutdown = async move {
        // An error means that the sender is gone, which is a reason to stop too.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let told = notify::run(config.serving.notices.clone(), serving.notices(), tasks.stopped());
    tasks.running.spawn(async move { told.await.context("notices cannot be sent") });
    let server = serve(Arc::clone(&serving), listener, shutdown);
    tasks.running.spawn(async move { server.await.context("serving stopped") });
    Ok(serving)
}

/// What erases a unit while the server runs.
fn eraser(config: &Config, backends: &Backends) -> Eraser {
    let config = config.clone();
    let request = move |unit, by: &str, reason: &str| {
        crate::cli::erase::request(&config, unit, (by, reason))
            .map_err(|error| plaudit_serving::Error::unavailable(format!("checkpoints cannot be listed: {error}")))
    };
    Eraser { store: Arc::clone(&backends.store), request: Box::new(request) }
}

fn start_reward(config: &Config, backends: &Backends) -> anyhow::Result<Arc<RewardHandle>> {
    let handle = RewardService::spawn(
        Arc::clone(&backends.log),
        config.reward_model.clone(),
        config.data_dir.join("rewards"),
        Arc::clone(&backends.clock),
        Seed::new(config.seed).derive("reward", 0),
    )?;
    Ok(Arc::new(handle))
}

/// Folder of the policy checkpoints.
pub(crate) fn policies_dir(config: &Config) -> PathBuf {
    config.data_dir.join("policies")
}
