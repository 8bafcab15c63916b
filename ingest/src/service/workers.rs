//! Who works on which shard: attribution and sink for every shard that this process owns.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};

use super::{AttributionService, StoreSink};
use crate::log::{EventLog, shard};
use crate::store::EventStore;
use crate::{Config, Error};

/// Attributes and copies the shards of a log that this process owns, as they come and go.
pub struct Workers {
    log: Arc<dyn EventLog>,
    store: Arc<dyn EventStore>,
    config: Config,
}

/// One shard at work.
struct Worker {
    stop: watch::Sender<bool>,
    task: Id,
}

impl Workers {
    /// Workers from `log` to `store`. Nothing is owned before they run.
    #[must_use]
    pub fn new(log: Arc<dyn EventLog>, store: Arc<dyn EventStore>, config: &Config) -> Self {
        Self { log, store, config: config.clone() }
    }

    /// Works until `shutdown` says true; then takes in what is left and stops.
    ///
    /// # Errors
    /// Fails on what waiting does not mend, such as damaged data; all shards are stopped then.
    pub async fn run(&self, mut shutdown: watch::Receiver<bool>) -> Result<(), Error> {
        let mut owned = self.log.owned()?;
        let mut workers: BTreeMap<u32, Worker> = BTreeMap::new();
        let mut tasks = JoinSet::new();
        let mut is_watched = true;
        let ended = loop {
            let wanted = owned.borrow_and_update().clone();
            self.adapt(&wanted, &mut workers, &mut tasks);
            tokio::select! {
                _ = shutdown.wait_for(|is_over| *is_over) => break Ok(()),
                // A log that gives nothing else has let go of the other end.
                changed = owned.changed(), if is_watched => is_watched = changed.is_ok(),
                Some(ended) = tasks.join_next_with_id() => {
                    let (task, result) = of_task(ended);
                    workers.retain(|_, worker| worker.task != task);
                    if let Err(error) = result {
                        break Err(error);
                    }
                }
            }
        };
        for worker in workers.values() {
            worker.stop.send_replace(true);
        }
        let mut result = ended;
        while let Some(ended) = tasks.join_next_with_id().await {
            result = result.and(of_task(ended).1);
        }
        result
    }

    /// Starts what is wanted and not at work, and stops what is not wanted any more.
    fn adapt(
        &self,
        wanted: &BTreeSet<u32>,
        workers: &mut BTreeMap<u32, Worker>,
        tasks: &mut JoinSet<Result<(), Error>>,
    ) {
        for (number, worker) in workers.iter() {
            if !wanted.contains(number) {
                // It ends when its step is done; whoever works on the shard from now on fences it.
                worker.stop.send_replace(true);
            }
        }
        for &number in wanted {
            if workers.get(&number).is_some_and(|worker| !*worker.stop.borrow()) {
                continue;
            }
            let (stop, stopped) = watch::channel(false);
            let work = work(shard(&self.log, number), Arc::clone(&self.store), self.config.clone(), stopped);
            let task = tasks.spawn(work).id();
            workers.insert(number, Worker { stop, task });
        }
    }
}

fn of_task(ended: Result<(Id, Result<(), Error>), JoinError>) -> (Id, Result<(), Error>) {
    match ended {
        Ok(ended) => ended,
        Err(error) => (error.id(), Err(Error::Task { what: "shard", detail: error.to_string() })),
    }
}

/// Works on one shard until told to stop.
async fn work(
    log: Arc<dyn EventLog>,
    store: Arc<dyn EventStore>,
    config: Config,
    stopped: watch::Receiver<bool>,
) -> Result<(), Error> {
    let mut attribution = AttributionService::new(Arc::clone(&log), config.clone());
    let mut sink = StoreSink::new(log, store, &config);
    tokio::try_join!(attribution.run(stopped.clone()), sink.run(stopped))?;
    // What came in since the last look, if it can be had: what cannot is for the next start.
    let left = async {
        attribution.catch_up().await?;
        sink.catch_up().await
    };
    match left.await {
        Err(error) if error.kind() != crate::ErrorKind::Unavailable => Err(error),
        _ => Ok(()),
    }
}

/// Copies every shard of `log` to `store`, up to what is in it now.
///
/// # Errors
/// Fails when the log cannot be read or the store cannot be written.
pub async fn copy_all(log: &Arc<dyn EventLog>, store: &Arc<dyn EventStore>, config: &Config) -> Result<(), Error> {
    let sinks: Vec<StoreSink> =
        (0..log.shards()).map(|number| StoreSink::new(shard(log, number), Arc::clone(store), config)).collect();
    // What is refused in one shard makes a dead letter in another.
    for _ in 0..2 {
        for sink in &sinks {
            sink.catch_up().await?;
        }
    }
    Ok(())
}
