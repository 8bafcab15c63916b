//! The store of many machines: tables on ClickHouse.

mod address;
mod apply;
mod client;
mod erase;
mod fault;
mod lock;
mod metrics;
mod migrate;
mod read;
mod rows;
mod schema;
mod shown;
mod units;

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};

use plaudit_event::{Context, Example, ExperimentId, Exposure, Seed, Signal, Timestamp, UnitId, VariantId};
use tokio::sync::Mutex;

use super::{
    Batch, Conflict, Counts, End, Erased, EventStore, Lineage, Place, Question, Scan, UnitMetrics, UnitSums,
    VariantMinute, Visit,
};
use crate::Error;
use crate::config::{ClickHouseConfig, Retention};
use crate::log::{BoxFuture, Part, Topic};

use address::Address;
use apply::Target;
use client::Client;
use rows::{ExampleRow, ExposureRow, SignalRow};
use schema::Schema;

pub(super) use address::is_clickhouse;
pub use address::redacted;

/// The store of many machines. Any number of processes may use one at once.
pub struct ClickHouseStore {
    client: Client,
    schema: Schema,
    retention: Retention,
    batch_records: usize,
    batch_bytes: usize,
    /// Held by the task that makes the schema.
    migration: Mutex<()>,
}

impl ClickHouseStore {
    /// The store at `location`. The server is asked at the first use, which also makes the database and its tables
    /// or brings them up to date; until it answers, every method fails with
    /// [`Unavailable`](crate::ErrorKind::Unavailable).
    ///
    /// # Errors
    /// Fails when the location is not well formed.
    pub fn new(location: &str, config: &ClickHouseConfig) -> Result<Self, Error> {
        let address = Address::parse(location, config)?;
        Ok(Self {
            client: Client::new(&address, config),
            schema: Schema { database: address.database, cluster: config.cluster.clone() },
            retention: config.retention.clone(),
            batch_records: config.batch_records,
            batch_bytes: config.batch_bytes,
            migration: Mutex::new(()),
        })
    }

    /// The server, with the schema of this build.
    async fn ready(&self) -> Result<&Client, Error> {
        if !self.client.is_ready() {
            let _one_at_a_time = self.migration.lock().await;
            if !self.client.is_ready() {
                migrate::migrate(&self.client, &self.schema, &self.retention).await?;
                self.client.set_ready();
            }
        }
        Ok(&self.client)
    }

    async fn target(&self) -> Result<Target<'_>, Error> {
        let client = self.ready().await?;
        Ok(Target { client, schema: &self.schema, batch_bytes: self.batch_bytes })
    }
}

impl EventStore for ClickHouseStore {
    fn apply(&self, batch: Batch) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(async move { self.target().await?.apply(batch).await })
    }

    fn batch_records(&self) -> usize {
        self.batch_records
    }

    fn ends(&self) -> BoxFuture<'_, Result<BTreeMap<Part, End>, Error>> {
        Box::pin(async move { apply::ends(self.ready().await?).await })
    }

    fn counts(&self) -> BoxFuture<'_, Result<Counts, Error>> {
        Box::pin(async move { read::counts(self.ready().await?).await })
    }

    fn prompts(&self, count: usize, seed: Seed) -> BoxFuture<'_, Result<Vec<Context>, Error>> {
        Box::pin(async move { read::prompts(self.ready().await?, count, seed).await })
    }

    fn examples(&self, range: Range<Timestamp>, limit: usize) -> BoxFuture<'_, Result<Vec<Example>, Error>> {
        Box::pin(async move { read::examples(self.ready().await?, range, limit).await })
    }

    fn scan_exposures(&self, after: Option<Place>, limit: usize) -> Scan<'_, Exposure> {
        Box::pin(async move { read::scan::<_, ExposureRow>(self.ready().await?, Topic::Exposures, after, limit).await })
    }

    fn scan_signals(&self, after: Option<Place>, limit: usize) -> Scan<'_, Signal> {
        Box::pin(async move { read::scan::<_, SignalRow>(self.ready().await?, Topic::Signals, after, limit).await })
    }

    fn scan_examples(&self, after: Option<Place>, limit: usize) -> Scan<'_, Example> {
        Box::pin(async move { read::scan::<_, ExampleRow>(self.ready().await?, Topic::Examples, after, limit).await })
    }

    fn unit_metrics(
        &self,
        experiment: &ExperimentId,
        range: Range<Timestamp>,
        after: Option<(VariantId, UnitId)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<UnitMetrics>, Error>> {
        let experiment = experiment.clone();
        Box::pin(async move { metrics::units(self.ready().await?, (&experiment, range), after.as_ref(), limit).await })
    }

    fn variant_minutes(
        &self,
        experiment: &ExperimentId,
        range: Range<Timestamp>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<VariantMinute>, Error>> {
        let experiment = experiment.clone();
        Box::pin(async move { metrics::minutes(self.ready().await?, &experiment, &range, limit).await })
    }

    fn unit_sums(&self, question: &Question) -> BoxFuture<'_, Result<Option<UnitSums>, Error>> {
        let question = question.clone();
        Box::pin(async move { units::sums(self.ready().await?, &question).await.map(Some) })
    }

    fn unit_events(
        &self,
        question: &Question,
        hashes: RangeInclusive<u64>,
        visit: Visit,
    ) -> BoxFuture<'_, Result<(), Error>> {
        let question = question.clone();
        Box::pin(async move { units::events(self.ready().await?, &question, &hashes, &visit).await })
    }

    fn lineage(&self, part: Part, offsets: Range<u64>) -> BoxFuture<'_, Result<Vec<Lineage>, Error>> {
        Box::pin(async move { metrics::lineage(self.ready().await?, part, offsets).await })
    }

    fn conflicts(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Conflict>, Error>> {
        Box::pin(async move { metrics::conflicts(self.ready().await?, limit).await })
    }

    fn erase(&self, unit: &UnitId) -> BoxFuture<'_, Result<Erased, Error>> {
        let unit = unit.clone();
        Box::pin(async move { erase::erase(self.ready().await?, &self.schema, &unit).await })
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move { erase::clear(self.ready().await?, &self.schema).await })
    }
}

#[cfg(test)]
mod tests;
