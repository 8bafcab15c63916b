//! The loop around the trainer: a thread of its own that reads examples, learns, publishes and saves.
//!
//! Serving never waits for it: scorers are immutable and swapped behind a lock that is held for a pointer copy. A
//! failure of the thread is reported in [`Status::failed`]; scorers that were published stay valid.

mod checkpoints;
mod freshness;
mod worker;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use plaudit_event::{CheckpointId, Clock, Objective, Seed, Timestamp};
use plaudit_ingest::log::EventLog;
use serde::Serialize;
use tokio::sync::watch;

use crate::{
    ChallengerStatus, Config, Drift, Error, GoldenReport, LengthReport, Prediction, Quality, RewardModel, Statistic,
};
pub(crate) use freshness::STAGES;
pub use freshness::{Freshness, StageSeconds};
use worker::Worker;

/// Where training stands.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Status {
    /// Examples taken since the beginning, over all restarts.
    pub examples: u64,
    /// Offset of the first example of the log that has not been taken.
    pub position: u64,
    /// Quality of `love` on the newest predictions, each made before its example was trained on.
    pub love: Option<Quality>,
    /// The same for every objective with predictions.
    pub objectives: std::collections::BTreeMap<Objective, Quality>,
    /// What the detectors of change say, by objective and statistic.
    pub drift: std::collections::BTreeMap<Objective, std::collections::BTreeMap<Statistic, Drift>>,
    /// How the newest scores follow the length of responses, by objective.
    pub length: std::collections::BTreeMap<Objective, LengthReport>,
    /// Units that are suspected of targeted spam.
    pub suspects: u64,
    /// What was forgotten, by the model that was judged last; absent before any was.
    pub golden: Option<Arc<GoldenReport>>,
    /// What became of the models that were to serve.
    pub challenger: ChallengerStatus,
    /// How old reactions are when weights that used them begin to serve; absent before any were timed.
    pub freshness: Option<Freshness>,
    /// The newest checkpoint.
    pub checkpoint_id: Option<CheckpointId>,
    /// When the window of the newest example that the published scorer was trained on closed; corrections do not count.
    pub closed_through: Option<Timestamp>,
    /// When the scorer was last published.
    pub published: Option<Timestamp>,
    /// Why training stopped, if it did.
    pub failed: Option<String>,
    /// Whether the thread has ended, in good order or not.
    pub stopped: bool,
}

/// What the thread and its handle share.
#[derive(Default)]
struct Shared {
    scorer: RwLock<Option<Arc<dyn RewardModel>>>,
    predictions: RwLock<Arc<[Prediction]>>,
}

impl Shared {
    /// Without a new `scorer` the one that serves goes on.
    fn publish(&self, scorer: Option<Arc<dyn RewardModel>>, predictions: Vec<Prediction>) {
        if let Some(scorer) = scorer {
            let mut slot = self.scorer.write().unwrap_or_else(PoisonError::into_inner);
            *slot = Some(scorer);
        }
        let mut slot = self.predictions.write().unwrap_or_else(PoisonError::into_inner);
        *slot = predictions.into();
    }
}

/// Starts the training thread.
pub struct RewardService;

impl RewardService {
    /// Starts training on the examples of `log` with checkpoints below `dir`, from the newest intact checkpoint of
    /// this log, configuration and seed, or from the first example.
    ///
    /// # Errors
    /// Fails when the configuration has values outside their ranges or the thread cannot be started. A damaged
    /// checkpoint is no failure: the one before it is taken.
    pub fn spawn(
        log: Arc<dyn EventLog>,
        config: Config,
        dir: impl Into<PathBuf>,
        clock: Arc<dyn Clock>,
        seed: Seed,
    ) -> Result<RewardHandle, Error> {
        config.check()?;
        let shared = Arc::new(Shared::default());
        let (status, status_of_thread) = {
            let (sender, receiver) = watch::channel(Status::default());
            (receiver, sender)
        };
        let (stop, stopping) = watch::channel(false);
        let worker = Worker {
            log,
            config,
            dir: dir.into(),
            clock,
            seed,
            shared: Arc::clone(&shared),
            status: status_of_thread,
            stopping,
        };
        let thread = std::thread::Builder::new()
            .name("plaudit-reward".to_owned())
            .spawn(move || worker.run())
            .map_err(Error::Thread)?;
        Ok(RewardHandle { shared, status, stop, thread: Mutex::new(Some(thread)) })
    }
}

/// The way to a running [`RewardService`]. Dropping it asks the thread to stop without waiting for it.
pub struct RewardHandle {
    shared: Arc<Shared>,
    status: watch::Receiver<Status>,
    stop: watch::Sender<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl RewardHandle {
    /// The newest published model; `None` before the first example of this run and of every earlier one.
    #[must_use]
    pub fn scorer(&self) -> Option<Arc<dyn RewardModel>> {
        let slot = self.shared.scorer.read().unwrap_or_else(PoisonError::into_inner);
        slot.clone()
    }

    /// Where training stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// The newest predictions of `love`, oldest first, each made before its example was trained on and with the label
    /// of the newest revision; those whose label was taken back are left out.
    #[must_use]
    pub fn prequential(&self) -> Arc<[Prediction]> {
        let slot = self.shared.predictions.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&slot)
    }

    /// Waits until every example below `position` has been taken and is part of the published scorer, or of one that was
    /// refused.
    ///
    /// # Errors
    /// Fails when training stopped before.
    pub async fn wait_for(&self, position: u64) -> Result<(), Error> {
        let mut status = self.status.clone();
        let reached = status.wait_for(|s| s.position >= position || s.stopped).await;
        match reached {
            Ok(status) if status.position >= position => Ok(()),
            Ok(status) => Err(Error::Stopped(status.failed.clone())),
            Err(_) => Err(Error::Stopped(None)),
        }
    }

    /// Stops after the batch in hand, writes a checkpoint, and waits for both.
    ///
    /// # Errors
    /// Fails when training had failed.
    pub async fn shutdown(&self) -> Result<(), Error> {
        // Nobody listens any more when the thread has ended already.
        self.stop.send_replace(true);
        let mut status = self.status.clone();
        let last = status.wait_for(|s| s.stopped).await;
        let failed = last.map_or(None, |status| status.failed.clone());
        let mut slot = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = slot.take() {
            // It has said its last word; what is left is returning. Panics are caught inside.
            drop(thread.join());
        }
        failed.map_or(Ok(()), |reason| Err(Error::Stopped(Some(reason))))
    }
}

impl Drop for RewardHandle {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}
