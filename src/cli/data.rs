//! The data directory that a command works on while no server has it open.

use std::sync::Arc;

use anyhow::Context as _;
use plaudit_event::Clock;
use plaudit_ingest::log::{self, EventLog};
use plaudit_ingest::service::AttributionService;
use plaudit_ingest::store::{self, EventStore};
use plaudit_ingest::{Error, ErrorKind};

use crate::config::Config;

/// Opens the log of `config`, which must exist.
pub(crate) async fn open_log(config: &Config, clock: Arc<dyn Clock>) -> anyhow::Result<Arc<dyn EventLog>> {
    let dir = &config.data_dir;
    must_persist(config)?;
    if let Some(file) = config.event_log_file() {
        anyhow::ensure!(dir.is_dir(), "no data directory `{}`", dir.display());
        anyhow::ensure!(file.is_file(), "no data in `{}`: there is no `{}`", dir.display(), file.display());
    }
    log::open(&config.event_log_uri(), &config.ingest.kafka, clock).await.map_err(explained)
}

/// Opens the log of `config`, or makes it.
pub(crate) async fn make_log(config: &Config, clock: Arc<dyn Clock>) -> anyhow::Result<Arc<dyn EventLog>> {
    must_persist(config)?;
    std::fs::create_dir_all(&config.data_dir)
        .with_context(|| format!("failed to create data directory `{}`", config.data_dir.display()))?;
    log::open(&config.event_log_uri(), &config.ingest.kafka, clock).await.map_err(explained)
}

/// Opens the store of `config`, or makes it.
pub(crate) fn open_store(config: &Config) -> anyhow::Result<Arc<dyn EventStore>> {
    store::open(&config.event_store_uri(), &config.ingest).map_err(|error| match error.kind() {
        ErrorKind::Data => anyhow::Error::new(error).context("`plaudit store rebuild` makes the store again"),
        _ => explained(error),
    })
}

fn must_persist(config: &Config) -> anyhow::Result<()> {
    let (log, store) = (&config.event_log, &config.event_store);
    anyhow::ensure!(log != "memory:", "`event_log` must outlive the process, got `{log}`");
    anyhow::ensure!(store != "memory:", "`event_store` must outlive the process, got `{store}`");
    Ok(())
}

/// Says what to do about a directory in use.
pub(crate) fn explained(error: Error) -> anyhow::Error {
    let is_locked = matches!(error, Error::Locked { .. });
    let error = anyhow::Error::new(error);
    if is_locked { error.context("stop the server on this data directory first") } else { error }
}

/// Attributes what is in the log now, all shards of it; returns how many examples were made.
pub(crate) async fn attribute(log: &Arc<dyn EventLog>, ingest: &plaudit_ingest::Config) -> Result<u64, Error> {
    let mut examples = 0;
    for shard in 0..log.shards() {
        examples += AttributionService::new(log::shard(log, shard), ingest.clone()).catch_up().await?.examples;
    }
    Ok(examples)
}
