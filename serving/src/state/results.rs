//! Results of experiments from the store.

use std::time::Duration;

use plaudit_experiment::metrics::Report;

use super::Serving;
use crate::Error;
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
        let Some(store) = &self.parts.store else {
            return Err(Error::unavailable("this process has no store to read results from"));
        };
        let overloaded = |_| Error::Overloaded { what: "the reader of results", retry_after: Duration::from_secs(5) };
        let _turn = self.reading.try_acquire().map_err(overloaded)?;
        results::report(&**store, &self.config.results, &subject, (ask, self.parts.clock.now())).await
    }
}
