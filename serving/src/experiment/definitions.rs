//! Which definition is in force: a fold of its edits.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use plaudit_event::{Clock, ExperimentId};
use plaudit_experiment::assign::check_change;
use plaudit_ingest::Problem;
use plaudit_ingest::log::{EventLog, Record, Topic};
use serde_json::Value;

use super::allocation::{self, Allocations, CohortRecord};
use super::{Audit, Change, Definition, DefinitionRecord, change, validate};
use crate::Error;

/// Records read at once.
const READ_BATCH: usize = 1_000;
/// Most entries of the audit trail that are kept in memory; all are in the log.
const MOST_AUDITED: usize = 1_000;
/// Who edits when the configuration does.
const CONFIGURATION: &str = "configuration";

/// The definition in force.
#[derive(Debug, Clone, PartialEq)]
pub struct InForce {
    /// All experiments.
    pub definition: Definition,
    /// Its canonical hash: what exposures carry, and what an edit names.
    pub hash: String,
    /// The cohorts of experiments whose weights follow what was seen.
    pub allocations: Allocations,
}

impl InForce {
    fn new(definition: Definition, before: &Allocations) -> Self {
        let (hash, allocations) = (definition.canonical_hash(), before.within(&definition));
        Self { definition, hash, allocations }
    }
}

/// A record that is folded here.
enum Taken {
    Definition(Box<DefinitionRecord>),
    Cohort(CohortRecord),
}

impl Taken {
    /// Reads a record; nothing when it is of another kind.
    fn decode(offset: u64, bytes: &[u8]) -> Result<Option<Self>, Error> {
        let damaged = |detail: String| Error::Lifecycle { offset, detail };
        let value: Value = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        Ok(match value.get("kind").and_then(Value::as_str) {
            Some(change::KIND) => Some(Self::Definition(Box::new(DefinitionRecord::decode(offset, value)?))),
            Some(allocation::KIND) => Some(Self::Cohort(CohortRecord::decode(offset, value)?)),
            _ => None,
        })
    }
}

/// Keeps the definition, on record.
pub struct Definitions {
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    fold: RwLock<Fold>,
}

struct Fold {
    in_force: Arc<InForce>,
    /// Hash of the definition in the configuration when the newest record was written; nothing before the first.
    configured: Option<String>,
    /// Oldest first.
    audit: Vec<Audit>,
    /// Experiments that were active at some time.
    started: BTreeSet<ExperimentId>,
    /// First offset that is not folded.
    next: u64,
}

impl Fold {
    fn take(&mut self, record: Taken) {
        match record {
            Taken::Definition(record) => self.take_definition(&record),
            Taken::Cohort(record) => {
                let mut allocations = self.in_force.allocations.clone();
                // What was removed in between has no cohorts any more.
                let found = self.in_force.definition.experiment(&record.experiment);
                let is_known = found.is_some_and(|experiment| experiment.allocation.is_some());
                if is_known && allocations.take(record) {
                    self.in_force = Arc::new(InForce { allocations, ..InForce::clone(&self.in_force) });
                }
            }
        }
    }

    fn take_definition(&mut self, record: &DefinitionRecord) {
        self.audit.push(record.audit(&self.in_force.definition));
        let surplus = self.audit.len().saturating_sub(MOST_AUDITED);
        self.audit.drain(..surplus);
        self.configured = Some(record.configured.clone());
        let active = record.definition.experiments.iter().filter(|experiment| experiment.active);
        self.started.extend(active.map(|experiment| experiment.id.clone()));
        let mixing = record.definition.interleavings.iter().filter(|interleaving| interleaving.active);
        self.started.extend(mixing.map(|interleaving| interleaving.id.clone()));
        self.in_force = Arc::new(InForce::new(record.definition.clone(), &self.in_force.allocations));
    }
}

impl Definitions {
    /// Folds the whole topic.
    ///
    /// # Errors
    /// Fails when the log cannot be read or a record is damaged.
    pub async fn open(log: Arc<dyn EventLog>, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let in_force = Arc::new(InForce::new(Definition::default(), &Allocations::default()));
        let fold = Fold { in_force, configured: None, audit: Vec::new(), started: BTreeSet::new(), next: 0 };
        let definitions = Self { log, clock, fold: RwLock::new(fold) };
        definitions.look_again().await?;
        Ok(definitions)
    }

    /// The definition in force.
    #[must_use]
    pub fn in_force(&self) -> Arc<InForce> {
        Arc::clone(&self.read().in_force)
    }

    /// Who changed what, when and why; oldest first.
    #[must_use]
    pub fn audit(&self) -> Vec<Audit> {
        self.read().audit.clone()
    }

    /// Whether `id` was active at some time: units may have been enrolled, although it is paused now.
    #[must_use]
    pub fn has_started(&self, id: &ExperimentId) -> bool {
        self.read().started.contains(id)
    }

    /// The edit that the configuration makes: nothing where it is the one that was taken before, so that edits made
    /// since by people stay.
    #[must_use]
    pub fn edit_of(&self, configured: &Definition) -> Option<Change> {
        let is_known = self.read().configured.as_deref() == Some(configured.canonical_hash().as_str());
        (!is_known).then(|| Change {
            definition: configured.clone(),
            who: CONFIGURATION.to_owned(),
            reason: "the configuration at the start".to_owned(),
            expected: None,
            made: self.clock.now(),
        })
    }

    /// Whether `change` may be made while `running` runs; the definition that it would put in force.
    ///
    /// # Errors
    /// Fails with all faults of the definition; with everything that would disturb what is running; and when somebody
    /// else changed the definition in between.
    pub fn check(&self, change: &Change, running: &[ExperimentId]) -> Result<InForce, Error> {
        let before = self.in_force();
        if let Some(expected) = change.expected.as_ref().filter(|expected| **expected != before.hash) {
            return Err(Error::Stale { expected: expected.clone(), current: before.hash.clone() });
        }
        let problems = validate("", &change.definition);
        if !problems.is_empty() {
            return Err(Error::Experiments(problems));
        }
        let refusals = check_change(&before.definition, &change.definition, running, change.made);
        if !refusals.is_empty() {
            let problems = refusals.into_iter().map(|refusal| Problem { path: refusal.path, message: refusal.reason });
            return Err(Error::RunChanged { running: running.to_vec(), problems: problems.collect() });
        }
        Ok(InForce::new(change.definition.clone(), &before.allocations))
    }

    /// Records `change`, which was checked: durable first, then in force. `configured` is the definition in the
    /// configuration, where that makes the change.
    ///
    /// # Errors
    /// Fails when the log refuses.
    pub async fn record(&self, change: Change, configured: Option<&Definition>) -> Result<Audit, Error> {
        let known = self.read().configured.clone();
        let configured = configured.map(Definition::canonical_hash).or(known).unwrap_or_default();
        let record = DefinitionRecord::new(self.clock.now(), change, configured);
        let records = vec![Record { key: "experiments".to_owned(), value: record.encode() }];
        let audit = record.audit(&self.in_force().definition);
        self.log.append(Topic::Checkpoints, records).await?;
        tracing::info!(who = %audit.who, hash = %audit.hash, edits = audit.edits.len(), "experiments changed");
        self.look_again().await?;
        Ok(audit)
    }

    /// Makes a cohort durable, and with it in force; false when another process was faster.
    ///
    /// # Errors
    /// Fails when the log refuses.
    pub async fn begin(&self, record: CohortRecord) -> Result<bool, Error> {
        let records = vec![Record { key: "experiments".to_owned(), value: record.encode() }];
        self.log.append(Topic::Checkpoints, records).await?;
        self.look_again().await?;
        let in_force = self.in_force();
        let newest = in_force.allocations.of(&record.experiment).get(record.number as usize).cloned();
        Ok(newest == Some(record))
    }

    /// Folds what was written since, by this process or another; whether there was anything.
    ///
    /// # Errors
    /// As [`Definitions::open`].
    pub async fn look_again(&self) -> Result<bool, Error> {
        let mut is_changed = false;
        loop {
            let next = self.read().next;
            let batch = self.log.read(Topic::Checkpoints, next, READ_BATCH).await?;
            let Some(last) = batch.last() else { return Ok(is_changed) };
            let mut records = Vec::new();
            for stored in &batch {
                records.extend(Taken::decode(stored.offset, &stored.value)?);
            }
            let mut fold = self.fold.write().unwrap_or_else(PoisonError::into_inner);
            // Two may have read the same batch.
            if fold.next == next {
                is_changed |= !records.is_empty();
                records.into_iter().for_each(|record| fold.take(record));
                fold.next = last.offset + 1;
            }
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Fold> {
        self.fold.read().unwrap_or_else(PoisonError::into_inner)
    }
}
