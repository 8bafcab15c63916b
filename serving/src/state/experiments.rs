//! The experiments in force, and edits of them.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use plaudit_event::{ExperimentId, Timestamp};

use super::Serving;
use super::snapshot::Snapshot;
use crate::Error;
use crate::experiment::{self, Audit, Change, Definition, InForce};
use crate::rollout::Rollout;

/// Who edits when a file does.
const FILE: &str = "file";

/// What a file of experiments held when it was taken up last.
#[derive(Debug, Default)]
pub(super) struct Watched {
    texts: Option<Vec<(std::path::PathBuf, String)>>,
}

impl Serving {
    /// All experiments, with their hash.
    #[must_use]
    pub fn experiments(&self) -> Arc<InForce> {
        self.definitions.in_force()
    }

    /// Who changed the experiments, when, why and how; oldest first.
    #[must_use]
    pub fn audit(&self) -> Vec<Audit> {
        self.definitions.audit()
    }

    /// What `change` would do.
    ///
    /// # Errors
    /// As [`Serving::change_experiments`].
    pub async fn plan_experiments(&self, change: &Change) -> Result<Audit, Error> {
        let (before, now) = (self.experiments(), change.made);
        let rollout = self.journal.state();
        let after = self.definitions.check(change, &self.running(&before.definition, &rollout, now))?;
        self.ready(&after.definition, &rollout).await?;
        let edits = plaudit_experiment::assign::diff(&before.definition, &after.definition);
        Ok(Audit { at: now, who: change.who.clone(), reason: change.reason.clone(), hash: after.hash, edits })
    }

    /// Puts `change` in force: checks it against what is running, loads what its variants name, makes it durable, then
    /// replaces the routing in one step.
    ///
    /// # Errors
    /// Fails, and changes nothing, on faults of the definition, on edits that would disturb what is running, when the
    /// definition is not the one that the edit was made on, and when a policy that it names cannot be loaded.
    pub async fn change_experiments(&self, change: Change) -> Result<Audit, Error> {
        self.take_change(change, None).await
    }

    pub(super) async fn take_change(&self, change: Change, configured: Option<&Definition>) -> Result<Audit, Error> {
        let _turn = self.turn.lock().await;
        self.definitions.look_again().await?;
        let rollout = self.journal.state();
        let running = self.running(&self.experiments().definition, &rollout, change.made);
        let after = self.definitions.check(&change, &running)?;
        let policies = self.ready(&after.definition, &rollout).await?;
        let audit = self.definitions.record(change, configured).await?;
        self.commit(&rollout, policies);
        Ok(audit)
    }

    /// Serves by the definition in force, which another process has put there.
    pub(super) async fn adopt(&self) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        let rollout = self.journal.state();
        let policies = self.ready(&self.experiments().definition, &rollout).await?;
        self.commit(&rollout, policies);
        Ok(())
    }

    /// Takes up the configuration's experiments where they are others than at the last start.
    pub(super) async fn take_configuration(&self) -> Result<(), Error> {
        let configured = self.configured().await?;
        if let Some(change) = self.definitions.edit_of(&configured) {
            self.take_change(change, Some(&configured)).await?;
        }
        Ok(())
    }

    /// Takes up the file of experiments where it has changed since it was looked at last. What cannot be taken up is
    /// logged, and what is in force stays.
    pub async fn look_at_experiments(&self) {
        if self.config.experiments.as_os_str().is_empty() {
            return;
        }
        let path = self.config.experiments.clone();
        let read = tokio::task::spawn_blocking(move || experiment::read_texts(&path)).await;
        let Ok(Ok(texts)) = read else { return };
        {
            let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
            if watched.texts.as_ref() == Some(&texts) {
                return;
            }
            watched.texts = Some(texts.clone());
        }
        let taken = match experiment::parse(&texts) {
            Ok(definition) => self.take_file(definition).await,
            Err(error) => Err(error),
        };
        if let Err(error) = taken {
            tracing::warn!(error = %error, "the file of experiments cannot be taken up; what is in force stays");
        }
    }

    async fn take_file(&self, definition: Definition) -> Result<(), Error> {
        let Some(change) = self.definitions.edit_of(&definition) else { return Ok(()) };
        let change = Change { who: FILE.to_owned(), reason: "the file was changed".to_owned(), ..change };
        self.take_change(change, Some(&definition)).await.map(drop)
    }

    async fn configured(&self) -> Result<Definition, Error> {
        if self.config.experiments.as_os_str().is_empty() {
            return Ok(self.config.assignment.clone());
        }
        let path = self.config.experiments.clone();
        let read = tokio::task::spawn_blocking(move || experiment::read_texts(&path)).await;
        let texts = read.map_err(|error| Error::Task { what: "reading experiments", detail: error.to_string() })??;
        let definition = experiment::parse(&texts)?;
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).texts = Some(texts);
        Ok(definition)
    }

    /// The experiments of `definition` that enrol units at `now`, or have and are paused.
    fn running(&self, definition: &Definition, rollout: &Rollout, now: Timestamp) -> Vec<ExperimentId> {
        let under_way = rollout.treatment().map(|treatment| &treatment.template);
        let is_running = |experiment: &&experiment::ExperimentConfig| {
            let is_under_way = !experiment.rolling || under_way == Some(&experiment.id);
            let has_units = experiment.active || self.definitions.has_started(&experiment.id);
            is_under_way && has_units && !experiment.killed && experiment.share(now) > 0.0
        };
        definition.experiments.iter().filter(is_running).map(|experiment| experiment.id.clone()).collect()
    }

    pub(super) fn commit(&self, rollout: &Rollout, policies: BTreeMap<plaudit_event::PolicyId, Arc<super::Served>>) {
        let snapshot = match Snapshot::new(&self.experiments().definition, rollout, policies) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                // Only what was checked is ever in force.
                tracing::error!(error = %error, "the experiments in force cannot be compiled; the routing stays");
                return;
            }
        };
        self.book().track(snapshot.running());
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
    }
}
