//! Cohorts of experiments whose weights follow what was seen, and their records.

use std::collections::BTreeMap;

use plaudit_event::{ExperimentId, Timestamp, VariantId};
use plaudit_experiment::adaptive::{Cohorts, Goal, Split};
use plaudit_experiment::assign::{AllocationConfig, Cohort};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Definition, ExperimentConfig};
use crate::Error;

/// The version written; also the newest one read.
const VERSION: u64 = 1;
pub(super) const KIND: &str = "cohort";

/// A cohort was closed, and the next one began: one record of topic `checkpoints`. A pure fold of these says who gets
/// what, so that it survives any restart and is the same in every process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CohortRecord {
    /// Format version, 1.
    pub v: u64,
    /// Always `cohort`.
    pub kind: String,
    /// When.
    pub at: Timestamp,
    /// The experiment.
    pub experiment: ExperimentId,
    /// Cohorts that had begun before. Of two records with the same number the first one counts.
    pub number: u32,
    /// What the newest of them did, in the order of the definition's variants; empty before the first.
    pub seen: Vec<Split>,
    /// The cohort that begins; nothing when there is no other.
    pub next: Option<Cohort>,
    /// The variant that was found to be the best.
    pub winner: Option<VariantId>,
}

impl CohortRecord {
    /// Closes the newest cohort of `experiment`, which `allocation` is of, after `before`, with what was `seen` of it.
    ///
    /// # Errors
    /// Fails on numbers that cannot be.
    pub fn close(
        (experiment, allocation): (&ExperimentConfig, &AllocationConfig),
        before: &[Self],
        (seen, goal): (Vec<Split>, Goal),
        at: Timestamp,
    ) -> Result<Self, plaudit_experiment::Error> {
        let number = before.len() as u32;
        let mut record = Self {
            v: VERSION,
            kind: KIND.to_owned(),
            at,
            experiment: experiment.id.clone(),
            number,
            seen,
            next: None,
            winner: None,
        };
        let first = || experiment.variants.iter().map(|variant| variant.weight).collect();
        let weights = if number == 0 {
            Some(first())
        } else {
            let mut fold = folded(allocation, experiment.variants.len(), before, goal)?;
            let weights = fold.close(&record.seen)?.map(<[f64]>::to_vec);
            record.winner = fold.winner().map(|winner| experiment.variants[winner].id.clone());
            weights
        };
        let share = experiment.capacity() * f64::from(number + 1) / f64::from(allocation.cohorts);
        record.next = weights.map(|weights| Cohort { from: at, share, weights });
        Ok(record)
    }

    pub(super) fn decode(offset: u64, value: Value) -> Result<Self, Error> {
        let damaged = |detail: String| Error::Lifecycle { offset, detail };
        let record: Self = serde_json::from_value(value).map_err(|error| damaged(error.to_string()))?;
        if record.v != VERSION {
            return Err(damaged(format!("unsupported `v`: must be {VERSION}, got {}", record.v)));
        }
        Ok(record)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a record has only string keys")
    }
}

/// What the cohorts that are closed say.
///
/// # Errors
/// Fails on numbers that cannot be.
pub fn folded(
    allocation: &AllocationConfig,
    num_variants: usize,
    records: &[CohortRecord],
    goal: Goal,
) -> Result<Cohorts, plaudit_experiment::Error> {
    let mut fold = Cohorts::new(num_variants, allocation, goal)?;
    for record in records.iter().skip(1) {
        fold.close(&record.seen)?;
    }
    Ok(fold)
}

/// The cohorts of all experiments, by a fold of their records.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Allocations(BTreeMap<ExperimentId, Vec<CohortRecord>>);

impl Allocations {
    /// The records of an experiment, oldest first.
    #[must_use]
    pub fn of(&self, experiment: &ExperimentId) -> &[CohortRecord] {
        self.0.get(experiment).map_or(&[], Vec::as_slice)
    }

    /// Takes the next record; false for one that another came before.
    pub(super) fn take(&mut self, record: CohortRecord) -> bool {
        let records = self.0.entry(record.experiment.clone()).or_default();
        let is_next = record.number as usize == records.len();
        if is_next {
            records.push(record);
        }
        is_next
    }

    /// Only those of `definition`: one that comes later under the same name is another experiment.
    pub(super) fn within(&self, definition: &Definition) -> Self {
        let has = |id: &&ExperimentId| definition.experiment(id).is_some_and(|found| found.allocation.is_some());
        let kept = self.0.iter().filter(|(id, _)| has(id)).map(|(id, records)| (id.clone(), records.clone()));
        Self(kept.collect())
    }

    /// The cohorts that have begun, as a plan wants them.
    #[must_use]
    pub fn begun(&self) -> Vec<(ExperimentId, Vec<Cohort>)> {
        let cohorts = |records: &[CohortRecord]| records.iter().filter_map(|record| record.next.clone()).collect();
        self.0.iter().map(|(id, records)| (id.clone(), cohorts(records))).collect()
    }
}
