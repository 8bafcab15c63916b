//! Results of experiments from the store.

use std::sync::Arc;
use std::time::Duration;

use plaudit_experiment::interleave;
use plaudit_experiment::metrics::Report;
use plaudit_ingest::store::EventStore;
use tokio::sync::SemaphorePermit;

use super::Serving;
use crate::Error;
use crate::experiment;
use crate::results::{self, Ask, Subject};

impl Serving {
    /// What the store says of the experiment, or the run, called `name`, by the metrics of the configuration. Reads one
    /// at a time: it may take the store a while.
    ///
    /// # Errors
    /// Fails on an unknown experiment, on an `ask` out of range, when this process has no store, and when that cannot be
    /// read.
    pub async fn results(&self, name: &str, ask: &Ask) -> Result<Report, Error> {
        let subject = Subject::of(&self.experiments().definition, name)?;
        let (store, _turn) = self.reader()?;
        results::report(&**store, &self.config.results, &subject, (ask, self.parts.clock.now())).await
    }

    /// Which ranking the clicks in the store prefer, in the interleaving called `name`; of `ask` only the range counts.
    /// Shares the turn of [`Serving::results`].
    ///
    /// # Errors
    /// As [`Serving::results`].
    pub async fn interleaving(&self, name: &str, ask: &Ask) -> Result<interleave::Report, Error> {
        let in_force = self.experiments();
        let config = experiment::interleaving(&in_force.definition, name)?;
        let (store, _turn) = self.reader()?;
        results::interleaving(&**store, config, (ask, self.parts.clock.now())).await
    }

    /// The store.
    pub(super) fn store(&self) -> Result<&Arc<dyn EventStore>, Error> {
        let missing = || Error::unavailable("this process has no store to read results from");
        self.parts.store.as_ref().ok_or_else(missing)
    }

    /// The store, with the turn to read it.
    fn reader(&self) -> Result<(&Arc<dyn EventStore>, SemaphorePermit<'_>), Error> {
        let store = self.store()?;
        let overloaded = |_| Error::Overloaded { what: "the reader of results", retry_after: Duration::from_secs(5) };
        Ok((store, self.reading.try_acquire().map_err(overloaded)?))
    }
}
