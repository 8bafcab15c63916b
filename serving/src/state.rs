//! What all requests share, and which policy serves whom.

mod allocation;
mod delivery;
mod erase;
mod experiments;
mod follow;
mod results;
mod shadow;
mod snapshot;
mod swap;
mod why;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use metrics_exporter_prometheus::PrometheusHandle;
use plaudit_event::{Clock, Event, Exposure, ExposureId, Seed, SignalId, Stream, UnitId};
use plaudit_experiment::delivery::Notice;
use plaudit_ingest::log::EventLog;
use plaudit_ingest::store::EventStore;
use plaudit_ingest::{Intake, Outcome, Reason};
use plaudit_policy::select::Selector;

use crate::config::Config;
use crate::engine::Engine;
use crate::experiment::Definitions;
use crate::readout::{Book, ExperimentReadout};
use crate::rollout::{Journal, Rollout};
use crate::score::NewestReward;
use crate::{Error, metrics};

pub use allocation::{AllocationReport, CohortReport};
pub use erase::{Eraser, RequestOf};
pub(crate) use shadow::Shadowed;
pub(crate) use snapshot::{Caller, Routed, Served, Snapshot};
pub use why::{Told, Why};

use follow::Follower;

/// Notices that a receiver may be behind.
const MOST_NOTICES: usize = 256;

/// The components that serving works with.
pub struct Parts {
    /// The event log.
    pub log: Arc<dyn EventLog>,
    /// The front door of events; shares the log.
    pub intake: Intake,
    /// Event time.
    pub clock: Arc<dyn Clock>,
    /// Randomness of ids, sampling and selection.
    pub seed: Seed,
    /// Folder of policy checkpoints, one directory per policy id.
    pub policies_dir: PathBuf,
    /// Selection among candidates. It is folded from the log here; do not fold it elsewhere.
    pub selector: Arc<Selector>,
    /// Renders `/metrics`.
    pub metrics: PrometheusHandle,
    /// What results are read from; nothing for a process without a store.
    pub store: Option<Arc<dyn EventStore>>,
    /// Erases units; nothing for a process without a store.
    pub eraser: Option<Eraser>,
    /// The reward model; nothing for a process that trains none.
    pub reward: Option<NewestReward>,
}

/// Serving: routes requests, owns the model thread, follows examples, moves policies through their life.
///
/// Made once and shared; every method may be called from any task.
pub struct Serving {
    config: Config,
    parts: Parts,
    engine: Engine,
    journal: Journal,
    definitions: Definitions,
    /// What the file of experiments held.
    watched: Mutex<experiments::Watched>,
    snapshot: RwLock<Arc<Snapshot>>,
    book: Mutex<Book>,
    shadow: shadow::Shadow,
    notices: tokio::sync::broadcast::Sender<Notice>,
    follower: tokio::sync::Mutex<Follower>,
    /// Transitions take turns, so that the snapshot always matches the journal.
    turn: tokio::sync::Mutex<()>,
    /// Erasures take turns.
    erasing: tokio::sync::Mutex<()>,
    /// Shared by the writes that nobody waits for; shutdown takes it alone.
    unattended: Arc<tokio::sync::RwLock<()>>,
    /// Whose turn it is to score.
    scoring: Arc<tokio::sync::Semaphore>,
    /// Whose turn it is to read results.
    reading: tokio::sync::Semaphore,
    /// Whose turn it is to close cohorts.
    allocating: Arc<tokio::sync::Semaphore>,
    ids: Mutex<Stream>,
    is_draining: AtomicBool,
}

impl Serving {
    /// Restores everything from the log and the policy directory: who serves, the experiment under way,
    /// its readout, and what selection has learned.
    ///
    /// # Errors
    /// Fails on an invalid configuration (listing all problems), one that changes the experiment under way, an
    /// unreadable log, and a policy that must serve but is missing or altered on disk.
    pub async fn open(config: Config, parts: Parts) -> Result<Arc<Self>, Error> {
        let problems = config.validate();
        if !problems.is_empty() {
            return Err(Error::Config(problems));
        }
        metrics::describe();
        let journal = Journal::open(Arc::clone(&parts.log), Arc::clone(&parts.clock)).await?;
        if let Some(run) = journal.state().treatment().filter(|run| run.variant.is_none() || run.delivery.is_none()) {
            return Err(Error::OldRun(run.experiment.clone()));
        }
        let definitions = Definitions::open(Arc::clone(&parts.log), Arc::clone(&parts.clock)).await?;
        let engine = Engine::start(config.engine.clone())?;
        let serving = Self {
            snapshot: RwLock::new(Arc::new(Snapshot::empty())),
            book: Mutex::new(Book::new(config.readout.clone())),
            shadow: shadow::Shadow::new(config.engine.max_shadows),
            notices: tokio::sync::broadcast::Sender::new(MOST_NOTICES),
            follower: tokio::sync::Mutex::new(Follower::default()),
            turn: tokio::sync::Mutex::new(()),
            erasing: tokio::sync::Mutex::new(()),
            unattended: Arc::default(),
            scoring: Arc::new(tokio::sync::Semaphore::new(1)),
            reading: tokio::sync::Semaphore::new(1),
            allocating: Arc::new(tokio::sync::Semaphore::new(1)),
            ids: Mutex::new(parts.seed.stream("serving-ids")),
            is_draining: AtomicBool::new(false),
            journal,
            definitions,
            watched: Mutex::default(),
            engine,
            config,
            parts,
        };
        serving.take_configuration().await?;
        serving.restore().await?;
        serving.catch_up().await?;
        Ok(Arc::new(serving))
    }

    /// The configuration in force.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Who serves whom, with the history of every policy.
    #[must_use]
    pub fn rollout(&self) -> Rollout {
        self.journal.state()
    }

    /// Every notice from now on: a policy moved, or waits for a person. A receiver that falls far behind misses some;
    /// all are in the log.
    #[must_use]
    pub fn notices(&self) -> tokio::sync::broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// The readouts of the running experiments.
    #[must_use]
    pub fn readouts(&self) -> Vec<ExperimentReadout> {
        self.book().readouts()
    }

    /// The last readouts of experiments that ended since the start of this process.
    #[must_use]
    pub fn finished(&self) -> Vec<ExperimentReadout> {
        self.book().finished()
    }

    /// Whether it can answer: the model thread lives, somebody is champion, and it is not shutting down.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.engine.is_alive() && !self.is_draining() && self.snapshot().champion().is_some()
    }

    /// Requests that wait for the model thread or occupy it.
    #[must_use]
    pub fn num_generating(&self) -> usize {
        self.engine.num_inside()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Finishes what the model thread holds and ends it, and what is being written. Nothing is served
    /// afterwards.
    ///
    /// # Errors
    /// Fails when the thread had died.
    pub async fn shutdown(&self) -> Result<(), Error> {
        self.drain();
        let ended = self.engine.shutdown().await;
        let _none_left = self.unattended.write().await;
        ended
    }

    pub(crate) const fn parts(&self) -> &Parts {
        &self.parts
    }

    pub(crate) const fn scoring(&self) -> &Arc<tokio::sync::Semaphore> {
        &self.scoring
    }

    pub(crate) const fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        // A panic between two sums would leave numbers that are off by one exposure: still worth showing.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn new_exposure_id(&self) -> ExposureId {
        ExposureId::generate(self.parts.clock.now(), &mut *self.ids())
    }

    pub(crate) fn new_signal_id(&self) -> SignalId {
        SignalId::generate(self.parts.clock.now(), &mut *self.ids())
    }

    /// A unit for a caller who gave none: never seen before, never seen again.
    pub(crate) fn new_unit_id(&self) -> Result<UnitId, Error> {
        let id = format!("anonymous-{}", self.new_exposure_id());
        UnitId::new(id).map_err(|error| Error::invalid("user", error.to_string()))
    }

    fn ids(&self) -> MutexGuard<'_, Stream> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes `exposure` durable, unless the configuration leaves it out. When this returns, a crash cannot lose it.
    pub(crate) async fn expose(&self, exposure: Exposure) -> Result<(), Error> {
        let outcomes = self.parts.intake.events(vec![Event::Exposure(exposure)]).await?;
        shown(outcomes.first())
    }

    /// As [`Serving::expose`], of an exposure that a caller may send again.
    pub(crate) async fn expose_again(&self, exposure: Exposure) -> Result<(), Error> {
        let id = exposure.exposure_id.clone();
        let outcomes = self.parts.intake.events(vec![Event::Exposure(exposure)]).await?;
        match outcomes.first() {
            Some(Outcome::Rejected(refusal)) if refusal.reason == Reason::Conflict => {
                let reason = format!("`{id}` was shown before, with other content; ask under another `exposure_id`");
                Err(Error::Transition { event: "show", reason })
            }
            outcome => shown(outcome),
        }
    }

    /// As [`Serving::expose`], for a caller who is gone.
    pub(crate) fn expose_unattended(self: &Arc<Self>, exposure: Exposure) {
        // Without a runtime the process is ending, and nothing can be written any more.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (serving, guard) = (Arc::clone(self), Arc::clone(&self.unattended).try_read_owned());
        runtime.spawn(async move {
            let _guard = guard;
            if let Err(error) = serving.expose(exposure).await {
                tracing::error!(error = %error, "exposure of an interrupted answer is lost");
            }
        });
    }
}

/// Whether an exposure with that outcome may be answered.
fn shown(outcome: Option<&Outcome>) -> Result<(), Error> {
    match outcome {
        Some(Outcome::Rejected(refusal)) => {
            Err(Error::Exposure(format!("{} `{}` {}", refusal.reason, refusal.field, refusal.detail)))
        }
        // Programs get answers, too; nothing is learned from them.
        Some(_) => Ok(()),
        None => Err(Error::Exposure("intake gave no outcome".to_owned())),
    }
}
