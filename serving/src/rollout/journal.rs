//! The state machine on the log: a transition is durable before it takes effect.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use plaudit_event::{Clock, PolicyId};
use plaudit_ingest::erasure::ErasureRecord;
use plaudit_ingest::log::{EventLog, Record, Topic};
use tokio::sync::Mutex;

use super::{Lifecycle, LifecycleEvent, Rollout};
use crate::Error;

/// Records read at once.
const READ_BATCH: usize = 1_000;

/// Reads and extends the audit trail. One process writes it; calls of that process take turns.
pub struct Journal {
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    fold: RwLock<Fold>,
    /// Set while the log may hold a record that is not folded: an append failed or was not waited for.
    is_behind: AtomicBool,
    turn: Mutex<()>,
}

#[derive(Default)]
struct Fold {
    state: Rollout,
    /// First offset that is not folded.
    next: u64,
}

impl Journal {
    /// Folds the whole topic.
    ///
    /// # Errors
    /// Fails when the log cannot be read, a record is damaged, or a transition on record is illegal.
    pub async fn open(log: Arc<dyn EventLog>, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let journal =
            Self { log, clock, fold: RwLock::default(), is_behind: AtomicBool::new(true), turn: Mutex::new(()) };
        journal.refresh().await?;
        Ok(journal)
    }

    /// The present state.
    #[must_use]
    pub fn state(&self) -> Rollout {
        self.fold.read().unwrap_or_else(PoisonError::into_inner).state.clone()
    }

    /// Folds a record that was written although its writer saw an error; whether there was one.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub async fn refresh(&self) -> Result<bool, Error> {
        let _turn = self.turn.lock().await;
        self.catch_up().await
    }

    /// Folds what somebody else has written.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub async fn look_again(&self) -> Result<bool, Error> {
        self.is_behind.store(true, Ordering::Release);
        self.refresh().await
    }

    /// Every record that is about `policy`, oldest first: its own, and that of a run or rollback that leads to it.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub async fn history(&self, policy: &PolicyId) -> Result<Vec<Lifecycle>, Error> {
        let mut history = Vec::new();
        let mut next = 0;
        loop {
            let batch = self.log.read(Topic::Checkpoints, next, READ_BATCH).await?;
            let Some(last) = batch.last() else { return Ok(history) };
            next = last.offset + 1;
            for stored in &batch {
                let record = Lifecycle::decode(stored.offset, &stored.value)?;
                history.extend(record.filter(|record| record.event.is_about(policy)));
            }
        }
    }

    /// What `event` would make of `before`.
    ///
    /// # Errors
    /// Fails on an illegal transition.
    pub fn preview(&self, before: &Rollout, event: &LifecycleEvent) -> Result<Rollout, Error> {
        let mut after = before.clone();
        after.apply(&Lifecycle::new(self.clock.now(), event.clone()))?;
        Ok(after)
    }

    /// Records `event`: durable first, then in effect.
    ///
    /// # Errors
    /// Fails on an illegal transition, and when the log refuses; the state is then unchanged, until the next
    /// call has looked whether the record was written all the same.
    pub async fn record(&self, event: LifecycleEvent) -> Result<LifecycleEvent, Error> {
        let _turn = self.turn.lock().await;
        self.catch_up().await?;
        let record = Lifecycle::new(self.clock.now(), event);
        let mut state = self.state();
        state.apply(&record)?;
        let key = record.event.policy_id().to_string();
        let records = vec![Record { key, value: record.encode() }];
        self.is_behind.store(true, Ordering::Release);
        let offsets = self.log.append(Topic::Checkpoints, records).await?;
        let next = offsets.last().map_or(0, |offset| offset + 1);
        tracing::info!(event = record.event.name(), policy_id = %record.event.policy_id(), "policy transition");
        self.set(Fold { state, next });
        Ok(record.event)
    }

    async fn catch_up(&self) -> Result<bool, Error> {
        if !self.is_behind.load(Ordering::Acquire) {
            return Ok(false);
        }
        let (mut state, mut next) = {
            let fold = self.fold.read().unwrap_or_else(PoisonError::into_inner);
            (fold.state.clone(), fold.next)
        };
        let mut is_changed = false;
        loop {
            let batch = self.log.read(Topic::Checkpoints, next, READ_BATCH).await?;
            let Some(last) = batch.last() else { break };
            next = last.offset + 1;
            for stored in &batch {
                if let Some(record) = Lifecycle::decode(stored.offset, &stored.value)? {
                    state.apply(&record)?;
                    is_changed = true;
                } else if let Some(erasure) = ErasureRecord::decode(&stored.value) {
                    state.note_erasure(&erasure.checkpoints);
                }
            }
        }
        self.set(Fold { state, next });
        Ok(is_changed)
    }

    fn set(&self, fold: Fold) {
        *self.fold.write().unwrap_or_else(PoisonError::into_inner) = fold;
        self.is_behind.store(false, Ordering::Release);
    }
}
