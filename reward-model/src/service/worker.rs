//! The body of the training thread.

mod batch;
mod challenge;
mod erasure;
mod publish;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use plaudit_event::{CheckpointId, Clock, Seed};
use plaudit_ingest::ErrorKind;
use plaudit_ingest::log::{BoxFuture, EventLog, Origin, Stored, Topic};
use plaudit_nn::describe;
use tokio::sync::watch;

use batch::{Batch, decode, learn};
use challenge::Standing;

use super::checkpoints;
use super::freshness::Timer;
use super::{Shared, Status};
use crate::{Config, Error, StepReport, Trainer, exposure_row, metrics};

pub(super) struct Worker {
    pub(super) log: Arc<dyn EventLog>,
    pub(super) config: Config,
    pub(super) dir: PathBuf,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) seed: Seed,
    pub(super) shared: Arc<Shared>,
    pub(super) status: watch::Sender<Status>,
    pub(super) stopping: watch::Receiver<bool>,
}

/// Training in progress.
struct Progress {
    trainer: Trainer,
    /// Offset of the first record that has not been read.
    position: u64,
    /// Offset after the example that was taken last: the position of a checkpoint, so that its log can be recognised.
    taken: u64,
    /// Position and id of the newest checkpoint.
    saved: Option<(u64, String)>,
    /// Examples at the last publication.
    published: Option<u64>,
    /// Offset of the first record of topic `checkpoints` that was not looked at for erasures.
    erasures: u64,
    /// The exposures that were erased, by their row.
    erased: HashSet<u64>,
    standing: Standing,
    timer: Timer,
}

impl Worker {
    fn progress(&self, trainer: Trainer, position: u64, saved: Option<(u64, String)>) -> Progress {
        Progress {
            trainer,
            position,
            taken: position,
            standing: self.standing(saved.as_ref()),
            saved,
            published: None,
            erasures: 0,
            erased: HashSet::new(),
            timer: Timer::new(self.clock.now()),
        }
    }

    /// Runs until asked to stop. Never unwinds: a panic ends the thread with [`Status::failed`].
    pub(super) fn run(self) {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.run_on_runtime()));
        let failed = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(describe(&error)),
            Err(_) => Some("the training thread panicked".to_owned()),
        };
        if let Some(reason) = &failed {
            tracing::error!(reason, "reward model training failed");
        }
        self.status.send_modify(|status| {
            status.failed = failed;
            status.stopped = true;
        });
    }

    fn run_on_runtime(&self) -> Result<(), Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(Error::Thread)?;
        runtime.block_on(self.train())
    }

    async fn train(&self) -> Result<(), Error> {
        let mut stopping = self.stopping.clone();
        let Some(mut progress) = self.begin(&mut stopping).await? else {
            return Ok(());
        };
        let service = &self.config.service;
        while !*stopping.borrow_and_update() {
            let erased = self.erase(&mut progress).await;
            if self.retried(erased, &mut stopping).await?.is_none() {
                continue;
            }
            let read = self.log.read(Topic::Examples, progress.position, service.batch_examples);
            let Some(records) = self.retried(read.await, &mut stopping).await? else {
                continue;
            };
            if records.is_empty() {
                self.publish_if_new(&mut progress);
                pause(service.poll_ms, &mut stopping).await;
                continue;
            }
            self.take(&mut progress, &records)?;
            let since = progress.trainer.examples() - progress.published.unwrap_or(0);
            if since >= service.publish_every {
                self.publish_if_new(&mut progress);
            }
        }
        self.publish_if_new(&mut progress);
        self.save(&mut progress);
        Ok(())
    }

    /// The trainer to go on with; `None` when asked to stop before the log could be read.
    async fn begin(&self, stopping: &mut watch::Receiver<bool>) -> Result<Option<Progress>, Error> {
        checkpoints::sweep(&self.dir);
        let Some(tail) = self.until_read(stopping, || self.log.tail(Topic::Examples)).await? else {
            return Ok(None);
        };
        let Some(mut progress) = self.resume(tail, stopping).await? else {
            return Ok(None);
        };
        // Before anything is shown: what was erased while no one trained must not be seen again.
        loop {
            if *stopping.borrow_and_update() {
                return Ok(None);
            }
            let erased = self.erase(&mut progress).await;
            if self.retried(erased, stopping).await?.is_some() {
                break;
            }
        }
        self.reinstate(&progress);
        if progress.trainer.examples() > 0 {
            self.publish_if_new(&mut progress);
        }
        tracing::info!(
            position = progress.position,
            examples = progress.trainer.examples(),
            "reward model training started"
        );
        Ok(Some(progress))
    }

    /// Where the newest checkpoint of this log of `tail` examples stands, or the beginning; `None` when asked to stop.
    async fn resume(&self, tail: u64, stopping: &mut watch::Receiver<bool>) -> Result<Option<Progress>, Error> {
        for (path, manifest) in checkpoints::candidates(&self.dir, &self.config, self.seed, tail)? {
            let Some(trainer) = checkpoints::open(&path, &manifest, &self.config, self.seed) else {
                continue;
            };
            let last = manifest.log_position.saturating_sub(1);
            let read = self.until_read(stopping, || self.log.read(Topic::Examples, last, 1)).await?;
            let Some(records) = read else {
                return Ok(None);
            };
            let before = records.first().filter(|record| record.offset == last);
            // Of a record whose content was erased, only the place is left to recognise a log by.
            let is_erased = before.is_some_and(|record| record.origin == Origin::Erased);
            if is_erased || checkpoints::continues(&trainer, &manifest, before.and_then(decode).as_ref()) {
                let saved = Some((manifest.log_position, manifest.id));
                return Ok(Some(self.progress(trainer, manifest.log_position, saved)));
            }
        }
        Ok(Some(self.progress(Trainer::new(self.config.clone(), self.seed)?, 0, None)))
    }

    /// The value of `call` once the log answers; `None` when asked to stop before.
    async fn until_read<'a, T>(
        &self,
        stopping: &mut watch::Receiver<bool>,
        call: impl Fn() -> BoxFuture<'a, Result<T, plaudit_ingest::Error>>,
    ) -> Result<Option<T>, Error> {
        while !*stopping.borrow_and_update() {
            if let Some(value) = self.retried(call().await, stopping).await? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// The value of a call to the log; `None` after a pause when the call may be repeated.
    async fn retried<T>(
        &self,
        result: Result<T, plaudit_ingest::Error>,
        stopping: &mut watch::Receiver<bool>,
    ) -> Result<Option<T>, Error> {
        let error = match result {
            Ok(value) => return Ok(Some(value)),
            Err(error) if error.kind() == ErrorKind::Unavailable => error,
            Err(error) => return Err(error.into()),
        };
        metrics::log_failure();
        tracing::warn!(error = describe(&error), "event log not available, trying again");
        pause(self.config.service.retry_ms, stopping).await;
        Ok(None)
    }

    /// Learns from `records`, with a checkpoint at every multiple of the configured number of examples.
    fn take(&self, progress: &mut Progress, records: &[Stored]) -> Result<(), Error> {
        let watch = metrics::Stopwatch::start();
        let read = self.clock.now();
        let mut total = StepReport::default();
        let mut unreadable = 0;
        let mut batch = Batch::default();
        for record in records {
            progress.position = record.offset + 1;
            if !record.origin.has_content() {
                continue;
            }
            let Some(example) = decode(record) else {
                unreadable += 1;
                continue;
            };
            if progress.erased.contains(&exposure_row(&example.exposure_id)) {
                continue;
            }
            batch.examples.push(example);
            batch.appended.push(record.appended);
            batch.end = progress.position;
            let every = self.config.service.checkpoint_every;
            let count = progress.trainer.examples() + batch.examples.len() as u64;
            if every > 0 && count.is_multiple_of(every) {
                total += learn(progress, std::mem::take(&mut batch), read)?;
                // A checkpoint says whether its model was let through.
                self.publish_if_new(progress);
                self.save(progress);
            }
        }
        total += learn(progress, batch, read)?;
        if total.changes > 0 {
            publish::tell_changes(&progress.trainer, records.len() as u64);
        }
        progress.timer.trained(self.clock.now());
        metrics::step(&total, unreadable);
        metrics::position(progress.position);
        watch.batch_done();
        Ok(())
    }

    /// Writes a checkpoint. A failure is reported and survived: the next one may succeed, and the log has it all.
    fn save(&self, progress: &mut Progress) {
        let position = progress.taken;
        if position > 0 && progress.saved.as_ref().is_none_or(|(at, _)| *at != position) {
            self.write(progress, self.config.service.keep_checkpoints);
        }
    }

    fn write(&self, progress: &mut Progress, keep: usize) {
        let position = progress.taken;
        let parent = progress.saved.as_ref().map(|(_, id)| id.clone());
        let champion = progress.standing.record.champion.clone();
        match checkpoints::write(&self.dir, &progress.trainer, position, parent, (keep, champion.as_deref())) {
            Ok(manifest) => {
                self.crown(progress, &manifest.id);
                metrics::checkpoint("written");
                tracing::info!(checkpoint_id = manifest.id, position, "reward checkpoint written");
                progress.saved = Some((position, manifest.id));
                let id = saved_id(progress);
                self.status.send_modify(|status| status.checkpoint_id = id);
            }
            Err(error) => {
                metrics::checkpoint("failed");
                tracing::warn!(error = describe(&error), position, "reward checkpoint not written");
            }
        }
    }
}

fn saved_id(progress: &Progress) -> Option<CheckpointId> {
    let (_, id) = progress.saved.as_ref()?;
    CheckpointId::new(id.as_str()).ok()
}

/// Waits for `millis` or until asked to stop.
async fn pause(millis: u64, stopping: &mut watch::Receiver<bool>) {
    let asked = stopping.changed();
    // Time running out and being asked are both a reason to go on; a lost handle has asked before it went.
    drop(tokio::time::timeout(Duration::from_millis(millis), asked).await);
}
