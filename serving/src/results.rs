//! What an experiment found, read from the event store with the metrics of the configuration.
//!
//! ```text
//! ResultsConfig, Subject ─▶ Question ─▶ store: sums (added up by the server) ─┐
//!                                       or each unit ─▶ UnitFold ─────────────┴▶ Aggregates ─▶ analyse ─▶ Report
//! ```
//!
//! Where the store adds up, only what needs the units themselves (quantiles, percentiles, bets) is read unit by unit: those
//! with the lowest hashes, as many as the library keeps. Memory does not grow with the store.

mod ask;
mod config;
mod interleaving;
mod read;

use std::ops::Range;

use plaudit_event::{ExperimentId, LayerId, Timestamp};
use plaudit_experiment::metrics::{Choice, Reading, Report, analyse};
use plaudit_ingest::store::EventStore;

use crate::Error;
use crate::experiment::{Definition, ExperimentConfig};

pub use config::ResultsConfig;
pub use interleaving::interleaving;
pub use read::aggregates;

/// The experiment that is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its layer.
    pub layer: LayerId,
    /// Its name, or that of a run.
    pub experiment: ExperimentId,
    /// Its variants in the order of the definition, as logged weights are.
    pub variants: Vec<String>,
    /// The place of the control among them.
    pub control: usize,
}

impl Subject {
    /// The experiment called `name`, or that run of a rolling one.
    ///
    /// # Errors
    /// Fails when the definition has none of that name.
    pub fn of(definition: &Definition, name: &str) -> Result<Self, Error> {
        let is_meant = |experiment: &&ExperimentConfig| {
            let stem = experiment.id.as_str();
            let is_run = name.strip_prefix(stem).is_some_and(|rest| rest.starts_with('-'));
            stem == name || (experiment.rolling && is_run)
        };
        let known = || definition.experiments.iter().map(|experiment| experiment.id.to_string()).collect();
        let not_found = || Error::NotFound { what: "experiment", name: name.to_owned(), known: known() };
        if definition.interleaving(name).is_some() {
            let reason = format!(
                "must be an experiment with variants; `{name}` is an interleaving, which has a report of its own"
            );
            return Err(Error::invalid("experiment", reason));
        }
        let found = definition.experiments.iter().find(is_meant).ok_or_else(not_found)?;
        let control = found.variants.iter().position(|variant| Some(&variant.id) == found.control());
        Ok(Self {
            layer: found.layer.clone(),
            experiment: ExperimentId::new(name).map_err(|_| not_found())?,
            variants: found.variants.iter().map(|variant| variant.id.to_string()).collect(),
            control: control.unwrap_or(0),
        })
    }

    /// The variants with the control first.
    #[must_use]
    pub fn ordered(&self) -> Vec<String> {
        let mut variants = self.variants.clone();
        variants[..=self.control].rotate_right(1);
        variants
    }

    /// Puts what has the control first into the order of the definition.
    pub(crate) fn in_order<T>(&self, mut of_variants: Vec<T>) -> Vec<T> {
        of_variants[..=self.control].rotate_left(1);
        of_variants
    }
}

/// How results are asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Ask {
    /// The method of metrics that name none, in the place of the configuration's.
    pub method: Option<Choice>,
    /// The level, in the place of the configuration's; above 0 and below ½.
    pub alpha: Option<f64>,
    /// Only exposures from then on.
    pub since: Option<Timestamp>,
    /// Only exposures before.
    pub until: Option<Timestamp>,
}

impl Ask {
    /// When the exposures that count were shown.
    fn range(&self, now: Timestamp) -> Result<Range<Timestamp>, Error> {
        let (start, end) = (self.since.unwrap_or(Timestamp::from_millis(0)), self.until.unwrap_or(now.plus_millis(1)));
        if start >= end {
            let (start, end) = (start.as_millis(), end.as_millis());
            return Err(Error::invalid("since", format!("must be before `until`, got {start} and {end}")));
        }
        Ok(start..end)
    }
}

/// Reads and analyses.
///
/// # Errors
/// Fails on a level out of range, and when the store cannot be read.
pub async fn report(
    store: &dyn EventStore,
    config: &ResultsConfig,
    subject: &Subject,
    (ask, now): (&Ask, Timestamp),
) -> Result<Report, Error> {
    let alpha = ask.alpha.unwrap_or(config.alpha);
    if !(alpha > 0.0 && alpha < 0.5) {
        return Err(Error::invalid("alpha", format!("must be above 0 and below 0.5, got {alpha}")));
    }
    let shown = ask.range(now)?;
    let set = config.set();
    let aggregates = aggregates(store, &set, subject, (shown, now)).await?;
    let method = ask.method.unwrap_or(config.method);
    let horizon = config.horizon_units as f64;
    Ok(analyse(&set, &aggregates, &Reading { alpha, method, now, horizon, ..Reading::default() }))
}
