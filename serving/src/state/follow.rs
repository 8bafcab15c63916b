//! Following topic `examples`: readouts and selection are folds of it.

use std::sync::Arc;

use plaudit_event::{Envelope, Event};
use plaudit_ingest::erasure::Erasures;
use plaudit_ingest::log::Topic;
use tokio::sync::watch;

use super::Serving;
use crate::config::Autopilot;
use crate::{Error, metrics};

/// Records read at once.
const READ_BATCH: usize = 2_000;

/// Where the fold stands. It is not stored: the fold starts at the beginning of the topic with each
/// process, because what it builds lives in memory.
#[derive(Debug, Default)]
pub(super) struct Follower {
    next: u64,
    /// What a log that cannot rewrite still has, although it was erased.
    erased: Erasures,
}

impl Serving {
    /// Folds every example that is in the log now; returns how many were new.
    ///
    /// # Errors
    /// Fails when the log cannot be read; what was folded before stays folded.
    pub async fn catch_up(&self) -> Result<usize, Error> {
        let mut follower = self.follower.lock().await;
        let log = &self.parts.log;
        follower.erased.follow(log).await?;
        let mut total = 0;
        loop {
            let batch = log.read(Topic::Examples, follower.next, READ_BATCH).await?;
            let Some(last) = batch.last() else { break };
            let next = last.offset + 1;
            for stored in
                batch.iter().filter(|stored| stored.origin.has_content() && !follower.erased.contain(&stored.key))
            {
                match Envelope::decode(&stored.value).map(|envelope| envelope.event) {
                    Ok(Event::Example(example)) => {
                        self.book().fold(&example);
                        if let Err(error) = self.parts.selector.fold(&example) {
                            tracing::warn!(offset = stored.offset, error = %error, "selection left an example out");
                        }
                    }
                    Ok(_) => tracing::warn!(offset = stored.offset, "record of topic examples is no example"),
                    Err(error) => {
                        tracing::warn!(offset = stored.offset, error = %error, "example cannot be read");
                    }
                }
            }
            follower.next = next;
            total += batch.len();
            metrics::folded(batch.len(), log.tail(Topic::Examples).await?.saturating_sub(next));
            // Folding is work on this thread; let requests in between batches.
            tokio::task::yield_now().await;
        }
        Ok(total)
    }

    /// Folds, begins cohorts that are due and, with the autopilot on, evaluates the delivery when that is due, until
    /// `shutdown` turns true. A failure is logged and tried again at the next turn.
    pub async fn follow(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        while !*shutdown.borrow() {
            if let Err(error) = self.look().await {
                tracing::warn!(error = %error, "following examples failed, trying again");
            }
            let pause = tokio::time::sleep(self.config.poll);
            tokio::select! {
                () = pause => {}
                changed = shutdown.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn look(self: &Arc<Self>) -> Result<(), Error> {
        self.look_at_experiments().await;
        if self.definitions.look_again().await? {
            self.adopt().await?;
        }
        self.allocate_soon();
        let caught_up = self.catch_up().await;
        self.parts.metrics.run_upkeep();
        if self.config.autopilot == Autopilot::On {
            match &caught_up {
                Ok(_) => self.evaluate_delivery().await.map(drop)?,
                Err(error) => self.evaluate_nothing(format!("examples cannot be read: {error}")).await?,
            }
        }
        caught_up.map(drop)
    }
}
