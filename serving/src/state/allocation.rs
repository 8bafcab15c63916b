//! Experiments whose weights follow what was seen: cohorts are closed when they are due, each on record first.

use std::sync::Arc;
use std::time::Duration;

use plaudit_event::{ExperimentId, Timestamp};
use plaudit_experiment::adaptive::{ArmCount, Goal, Split};
use plaudit_experiment::assign::{AllocationConfig, Cohort};
use plaudit_experiment::metrics::{Aggregates, Choice, MetricConfig, MetricSet};
use plaudit_experiment::stats::Direction;
use serde::{Deserialize, Serialize};

use super::Serving;
use crate::Error;
use crate::experiment::{CohortRecord, ExperimentConfig, InForce, folded};
use crate::results::{Subject, aggregates};

/// A cohort of which nobody was seen is looked at again after this long.
const AGAIN: Duration = Duration::from_secs(60);

/// What has come of an allocation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AllocationReport {
    /// The experiment.
    pub experiment: ExperimentId,
    /// How weights follow what is seen.
    pub allocation: AllocationConfig,
    /// The variants, in the order of all lists.
    pub variants: Vec<String>,
    /// Oldest first.
    pub cohorts: Vec<CohortReport>,
    /// ln of the evidence that a variant is better than every other.
    pub ln_evidence: Vec<f64>,
    /// What that must reach.
    pub ln_threshold: f64,
    /// The variant that was found to be the best.
    pub winner: Option<String>,
    /// Whether no cohort will begin any more.
    pub is_ended: bool,
    /// When the newest cohort is closed at the earliest.
    pub due: Option<Timestamp>,
    /// Why no cohort begins or is closed.
    pub waits: Option<String>,
}

/// A cohort, with what was seen of it when it was closed; nothing before that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CohortReport {
    /// When it began, its share and its weights.
    #[serde(flatten)]
    pub cohort: Cohort,
    /// When it was closed.
    pub closed: Option<Timestamp>,
    /// Units and successes of each variant.
    pub seen: Option<Vec<ArmCount>>,
}

impl Serving {
    /// Begins the cohorts that are due, of all experiments whose weights follow what was seen; returns how many. Reading
    /// the store may take a while.
    ///
    /// # Errors
    /// Fails when the store cannot be read or the log refuses; what was begun before stays.
    pub async fn allocate(&self) -> Result<usize, Error> {
        let in_force = self.experiments();
        let now = self.parts.clock.now();
        let mut num_begun = 0;
        for experiment in in_force.definition.experiments.iter().filter(|experiment| experiment.allocation.is_some()) {
            let is_due = due(&in_force, experiment).is_some_and(|due| due <= now);
            if is_due && self.what_hinders(&in_force, experiment).is_none() {
                num_begun += usize::from(self.next_cohort(&in_force, experiment, now).await?);
            }
        }
        Ok(num_begun)
    }

    /// As [`Serving::allocate`] in the background, unless it is under way or nothing is due.
    pub(super) fn allocate_soon(self: &Arc<Self>) {
        let in_force = self.experiments();
        let now = self.parts.clock.now();
        let is_due = |experiment: &ExperimentConfig| due(&in_force, experiment).is_some_and(|due| due <= now);
        if !in_force.definition.experiments.iter().any(is_due) {
            return;
        }
        let Ok(turn) = Arc::clone(&self.allocating).try_acquire_owned() else { return };
        let serving = Arc::clone(self);
        tokio::spawn(async move {
            let pause = match serving.allocate().await {
                Ok(0) => AGAIN,
                Ok(_) => Duration::ZERO,
                Err(error) => {
                    tracing::warn!(error = %error, "cohorts could not be closed, trying again");
                    AGAIN
                }
            };
            tokio::time::sleep(pause).await;
            drop(turn);
        });
    }

    /// What has come of the allocation of the experiment `name`.
    ///
    /// # Errors
    /// Fails when there is no such experiment, or its weights do not follow what is seen.
    pub fn allocation(&self, name: &str) -> Result<AllocationReport, Error> {
        let in_force = self.experiments();
        let adaptive = in_force.definition.experiments.iter().filter(|experiment| experiment.allocation.is_some());
        let known = || adaptive.clone().map(|experiment| experiment.id.to_string()).collect();
        let found = adaptive.clone().find(|experiment| experiment.id.as_str() == name);
        let not_found =
            || Error::NotFound { what: "experiment with an allocation", name: name.to_owned(), known: known() };
        let (experiment, allocation) =
            found.and_then(|experiment| Some((experiment, experiment.allocation.clone()?))).ok_or_else(not_found)?;
        let records = in_force.allocations.of(&experiment.id);
        let fold = folded(&allocation, experiment.variants.len(), records, goal(self.metric(&allocation)?))
            .map_err(internal)?;
        let begun = records.iter().filter_map(|record| record.next.clone()).enumerate();
        let cohorts = begun.map(|(number, cohort)| {
            let closing = records.get(number + 1);
            CohortReport {
                cohort,
                closed: closing.map(|record| record.at),
                seen: closing.map(|record| sum(&record.seen, experiment.variants.len())),
            }
        });
        let due = due(&in_force, experiment);
        Ok(AllocationReport {
            experiment: experiment.id.clone(),
            variants: experiment.variants.iter().map(|variant| variant.id.to_string()).collect(),
            cohorts: cohorts.collect(),
            ln_evidence: fold.ln_evidence(),
            ln_threshold: fold.ln_threshold(),
            winner: records.last().and_then(|record| record.winner.as_ref()).map(ToString::to_string),
            is_ended: due.is_none(),
            due,
            waits: due.and_then(|_| self.what_hinders(&in_force, experiment)),
            allocation,
        })
    }

    /// Why no cohort of `experiment` can begin now.
    fn what_hinders(&self, in_force: &InForce, experiment: &ExperimentConfig) -> Option<String> {
        let definition = &in_force.definition;
        let is_killed = definition.layer(&experiment.layer).is_some_and(|layer| layer.killed);
        if definition.killed || is_killed || experiment.killed {
            return Some("a kill switch is on".to_owned());
        }
        if !experiment.active {
            return Some("the experiment is paused".to_owned());
        }
        if let Err(error) = self.store() {
            return Some(error.to_string());
        }
        let snapshot = self.snapshot();
        let missing = experiment.variants.iter().find(|variant| !snapshot.serves(&variant.policy))?;
        Some(format!("nobody serves the policy of variant `{}`", missing.id))
    }

    fn metric(&self, allocation: &AllocationConfig) -> Result<&MetricConfig, Error> {
        let metrics = &self.config.results.metrics;
        metrics.iter().find(|metric| metric.name == allocation.metric).ok_or_else(|| Error::NotFound {
            what: "metric",
            name: allocation.metric.clone(),
            known: metrics.iter().map(|metric| metric.name.clone()).collect(),
        })
    }

    /// Closes the newest cohort; false when nobody of it was seen, or another process was faster.
    async fn next_cohort(
        &self,
        in_force: &InForce,
        experiment: &ExperimentConfig,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let Some(allocation) = &experiment.allocation else { return Ok(false) };
        let metric = self.metric(allocation)?;
        let records = in_force.allocations.of(&experiment.id);
        let newest = records.last().and_then(|record| record.next.as_ref());
        let seen = match newest {
            None => Vec::new(),
            Some(cohort) => self.seen(in_force, (experiment, records.len() - 1), metric, cohort.from..now).await?,
        };
        if newest.is_some() && seen.iter().all(|split| split.arms.iter().all(|arm| arm.units == 0)) {
            return Ok(false);
        }
        let record =
            CohortRecord::close((experiment, allocation), records, (seen, goal(metric)), now).map_err(internal)?;
        let _turn = self.turn.lock().await;
        self.definitions.look_again().await?;
        // Another process may have been faster, or somebody has changed everything.
        let found = self.experiments();
        if found.hash != in_force.hash || found.allocations.of(&experiment.id).len() != records.len() {
            self.adopt_in_turn().await?;
            return Ok(false);
        }
        let winner = record.winner.clone();
        let is_mine = self.definitions.begin(record).await?;
        self.adopt_in_turn().await?;
        if let Some(winner) = winner.filter(|_| is_mine) {
            tracing::info!(experiment = %experiment.id, %winner, "the best variant is known; nobody joins any more");
        }
        Ok(is_mine)
    }

    /// What the units of the cohort `number` have done since it began.
    async fn seen(
        &self,
        in_force: &InForce,
        (experiment, number): (&ExperimentConfig, usize),
        metric: &MetricConfig,
        shown: std::ops::Range<Timestamp>,
    ) -> Result<Vec<Split>, Error> {
        let store = self.store()?;
        let subject = Subject::of(&in_force.definition, experiment.id.as_str())?;
        // Counts are all that is asked for.
        let metric = MetricConfig { method: Choice::ExactArms, ..metric.clone() };
        let set = MetricSet { metrics: vec![metric], segments: Vec::new() };
        let now = shown.end;
        let _turn = self.reading.acquire().await.map_err(|_| Error::unavailable("shutting down"))?;
        let found = aggregates(&**store, &set, &subject, (shown.start..now.plus_millis(1), now)).await?;
        Ok(splits(&found, &subject, number))
    }
}

/// When the next cohort begins at the earliest: at once where none has begun, nothing where none will.
fn due(in_force: &InForce, experiment: &ExperimentConfig) -> Option<Timestamp> {
    let allocation = experiment.allocation.as_ref()?;
    let Some(newest) = in_force.allocations.of(&experiment.id).last() else {
        return Some(Timestamp::from_millis(0));
    };
    let period = i64::try_from(allocation.period_seconds.saturating_mul(1_000)).unwrap_or(i64::MAX);
    Some(newest.next.as_ref()?.from.plus_millis(period))
}

/// Units and successes of the cohort `number`, for each split that it had: a variant that nobody served for a while had
/// no probability then, and such units tell nothing of it.
fn splits(found: &Aggregates, subject: &Subject, number: usize) -> Vec<Split> {
    let of_cohort = found.strata.iter().filter(|stratum| stratum.phase as usize == number);
    let whole = of_cohort.filter(|stratum| stratum.weights.iter().all(|weight| *weight > 0.0));
    let split = whole.map(|stratum| {
        let arms = stratum.arms.iter().map(|arm| {
            let moments = &arm.cells[0].metrics[0].moments;
            ArmCount { units: moments.units, successes: moments.sums[0].round() as u64 }
        });
        Split { propensities: subject.in_order(stratum.weights.clone()), arms: subject.in_order(arms.collect()) }
    });
    split.collect()
}

fn sum(seen: &[Split], num_variants: usize) -> Vec<ArmCount> {
    let mut total = vec![ArmCount::default(); num_variants];
    for split in seen {
        for (sum, arm) in total.iter_mut().zip(&split.arms) {
            sum.units += arm.units;
            sum.successes += arm.successes;
        }
    }
    total
}

const fn goal(metric: &MetricConfig) -> Goal {
    match metric.direction {
        Direction::Up => Goal::Maximise,
        Direction::Down => Goal::Minimise,
    }
}

/// What is recorded was checked before.
fn internal(error: plaudit_experiment::Error) -> Error {
    Error::Task { what: "allocation", detail: error.to_string() }
}
