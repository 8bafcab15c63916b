//! The state machine on the log: a transition is durable before it takes effect.

use std::sync::{Arc, PoisonError, RwLock};

use plaudit_event::Clock;
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
    state: RwLock<Rollout>,
    turn: Mutex<()>,
}

impl Journal {
    /// Folds the whole topic.
    ///
    /// # Errors
    /// Fails when the log cannot be read, a record is damaged, or a transition on record is illegal.
    pub async fn open(log: Arc<dyn EventLog>, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let mut state = Rollout::default();
        let mut next = 0;
        loop {
            let batch = log.read(Topic::Checkpoints, next, READ_BATCH).await?;
            let Some(last) = batch.last() else { break };
            next = last.offset + 1;
            for stored in &batch {
                if let Some(record) = Lifecycle::decode(stored.offset, &stored.value)? {
                    state.apply(&record)?;
                }
            }
        }
        Ok(Self { log, clock, state: RwLock::new(state), turn: Mutex::new(()) })
    }

    /// The present state.
    #[must_use]
    pub fn state(&self) -> Rollout {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
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
    /// Fails on an illegal transition, and when the log refuses; the state is then unchanged.
    pub async fn record(&self, event: LifecycleEvent) -> Result<LifecycleEvent, Error> {
        let _turn = self.turn.lock().await;
        let record = Lifecycle::new(self.clock.now(), event);
        let mut next = self.state();
        next.apply(&record)?;
        let key = record.event.policy_id().to_string();
        let records = vec![Record { key, value: record.encode() }];
        self.log.append(Topic::Checkpoints, records).await?;
        tracing::info!(event = record.event.name(), policy_id = %record.event.policy_id(), "policy transition");
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(record.event)
    }
}
