//! The experiments in force, and edits of them.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use plaudit_event::{ExperimentId, Timestamp};
use plaudit_experiment::delivery::State;

use super::Serving;
use super::snapshot::Snapshot;
use crate::Error;
use crate::experiment::{self, Audit, Change, Definition, InForce};
use crate::rollout::Rollout;

/// Who edits when a file does.
const FILE: &str = "file";

/// What was refused is tried again this long after the last try, in milliseconds: a policy may have been copied into its
/// place, or an experiment may have ended with time alone.
const RETRY_MS: i64 = 60_000;

/// A file of experiments, as it was looked at last.
#[derive(Debug, Default)]
pub(super) struct Watched {
    stamp: Option<experiment::Stamp>,
    texts: Option<Vec<(std::path::PathBuf, String)>>,
    refused: Option<Refused>,
    /// What was logged last.
    complaint: Option<String>,
}

/// When it was not taken up, and what that may have hung on.
#[derive(Debug)]
struct Refused {
    at: Timestamp,
    rollout: Rollout,
    in_force: String,
}

impl Watched {
    /// Whether there is nothing to do, so that the file need not be read.
    fn is_settled(&self, stamp: &experiment::Stamp, serving: &Serving) -> bool {
        let now = serving.parts.clock.now();
        self.stamp.as_ref() == Some(stamp) && !stamp.is_fresh(now) && !self.should_retry(serving)
    }

    fn is_unreadable(&mut self, error: &Error) {
        self.stamp = None;
        self.complain(error);
    }

    /// Logs why the file is not in force, unless that was the last cause, too.
    fn complain(&mut self, error: &Error) {
        let cause = error.to_string();
        if self.complaint.as_ref() != Some(&cause) {
            tracing::warn!(error = %error, "the file of experiments cannot be taken up; what is in force stays");
        }
        self.complaint = Some(cause);
    }

    /// Whether the file was refused, and policies or experiments have changed since.
    fn should_retry(&self, serving: &Serving) -> bool {
        self.refused.as_ref().is_some_and(|refused| {
            let waited = serving.parts.clock.now().millis_since(refused.at);
            !(0..RETRY_MS).contains(&waited)
                || refused.rollout != serving.journal.state()
                || refused.in_force != serving.experiments().hash
        })
    }
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
        let after = self.check(change, &self.running(&before.definition, &rollout, now))?;
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
        let after = self.check(&change, &running)?;
        let policies = self.ready(&after.definition, &rollout).await?;
        let audit = self.definitions.record(change, configured).await?;
        self.commit(&rollout, policies);
        Ok(audit)
    }

    fn check(&self, change: &Change, running: &[ExperimentId]) -> Result<InForce, Error> {
        let problems = experiment::metrics("", &change.definition, &self.config.results.metrics);
        if !problems.is_empty() {
            return Err(Error::Experiments(problems));
        }
        self.definitions.check(change, running)
    }

    /// Serves by the definition in force, which another process has put there.
    pub(super) async fn adopt(&self) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        self.adopt_in_turn().await
    }

    /// As [`Serving::adopt`], for who has the turn.
    pub(super) async fn adopt_in_turn(&self) -> Result<(), Error> {
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
    /// logged once for each cause, and what is in force stays; it is tried again when policies or experiments have
    /// changed, and every minute. A file that is as it was is not read.
    pub async fn look_at_experiments(&self) {
        if self.config.experiments.as_os_str().is_empty() {
            return;
        }
        let path = self.config.experiments.clone();
        // Before the text: what is written between the two shows in the next stamp.
        let stamped = tokio::task::spawn_blocking({
            let path = path.clone();
            move || experiment::Stamp::of(&path)
        });
        let stamp = match stamped.await {
            Ok(Ok(stamp)) => stamp,
            Ok(Err(error)) => return self.watched().is_unreadable(&error),
            Err(_) => return,
        };
        if self.watched().is_settled(&stamp, self) {
            return;
        }
        let texts = match tokio::task::spawn_blocking(move || experiment::read_texts(&path)).await {
            Ok(Ok(texts)) => texts,
            Ok(Err(error)) => return self.watched().is_unreadable(&error),
            Err(_) => return,
        };
        {
            let mut watched = self.watched();
            let is_same = watched.texts.as_ref() == Some(&texts);
            watched.stamp = Some(stamp);
            if is_same && !watched.should_retry(self) {
                if watched.refused.is_none() {
                    watched.complaint = None;
                }
                return;
            }
            watched.texts = Some(texts.clone());
        }
        let taken = match experiment::parse(&texts) {
            Ok(definition) => self.take_file(definition).await,
            Err(error) => Err(error),
        };
        match taken {
            Ok(()) => {
                let mut watched = self.watched();
                (watched.refused, watched.complaint) = (None, None);
            }
            Err(error) => {
                let refused = Refused {
                    at: self.parts.clock.now(),
                    rollout: self.journal.state(),
                    in_force: self.experiments().hash.clone(),
                };
                let mut watched = self.watched();
                watched.refused = Some(refused);
                watched.complain(&error);
            }
        }
    }

    fn watched(&self) -> std::sync::MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.watched().texts = Some(texts);
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
        let experiments = definition.experiments.iter().filter(is_running).map(|experiment| &experiment.id);
        let interleavings = definition.interleavings.iter().filter(|interleaving| {
            let has_lists = interleaving.active || self.definitions.has_started(&interleaving.id);
            has_lists && !interleaving.killed
        });
        experiments.chain(interleavings.map(|interleaving| &interleaving.id)).cloned().collect()
    }

    pub(super) fn commit(&self, rollout: &Rollout, policies: BTreeMap<plaudit_event::PolicyId, Arc<super::Served>>) {
        let snapshot = match Snapshot::new(&self.experiments(), rollout, policies) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                // Only what was checked is ever in force.
                tracing::error!(error = %error, "the experiments in force cannot be compiled; the routing stays");
                return;
            }
        };
        self.book().track(snapshot.running());
        if let Some(treatment) = rollout.treatment().filter(|treatment| treatment.state() == Some(&State::Shadow)) {
            self.shadow.sums().track(&treatment.policy_id, treatment.shadow.as_deref());
        }
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
    }
}
