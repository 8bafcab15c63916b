//! The fold: which policy serves whom, and which transitions are legal.

mod delivery;
mod trials;

use std::collections::BTreeMap;
use std::sync::Arc;

use plaudit_event::{ExperimentId, PolicyId, Timestamp};
use serde::Serialize;
use serde_json::Value;

use super::event::{Lifecycle, LifecycleEvent, Origin};
use super::record::{EndedRun, PolicyRecord, RunOutcome, Stage, Treatment};
use crate::Error;
pub use trials::{Backtest, Trial};

/// The state of all policies: a pure fold of the transitions.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Rollout {
    champion: Option<PolicyId>,
    /// Former champions that a rollback can return to, oldest first.
    former: Vec<PolicyId>,
    treatment: Option<Treatment>,
    num_runs: u64,
    /// Oldest first.
    ended: Vec<EndedRun>,
    /// Oldest first.
    trials: Vec<Trial>,
    policies: BTreeMap<PolicyId, PolicyRecord>,
}

impl Rollout {
    /// The policy that serves everybody outside experiments.
    #[must_use]
    pub const fn champion(&self) -> Option<&PolicyId> {
        self.champion.as_ref()
    }

    /// The champion before it: what a rollback returns to.
    #[must_use]
    pub fn previous(&self) -> Option<&PolicyId> {
        self.former.last()
    }

    /// The candidate whose delivery is under way.
    #[must_use]
    pub const fn treatment(&self) -> Option<&Treatment> {
        self.treatment.as_ref()
    }

    /// Every policy ever registered.
    #[must_use]
    pub const fn policies(&self) -> &BTreeMap<PolicyId, PolicyRecord> {
        &self.policies
    }

    /// The experiments that are over, oldest first.
    #[must_use]
    pub fn ended(&self) -> &[EndedRun] {
        &self.ended
    }

    /// The id of the next run of the rolling experiment `template`.
    ///
    /// # Errors
    /// Fails when the id would be too long.
    pub fn next_run(&self, template: &ExperimentId) -> Result<ExperimentId, Error> {
        let id = format!("{template}-{}", self.num_runs + 1);
        ExperimentId::new(id).map_err(|error| Error::invalid("experiment", error.to_string()))
    }

    /// What a rollback would do now. Without a `policy_id` the newest step is undone first, so a running
    /// treatment leaves before the champion does; with one, that policy leaves. A candidate that has not served is
    /// refused.
    ///
    /// # Errors
    /// Fails when `policy_id` is not running, and when there is nothing to return to.
    pub fn rollback(&self, reason: String, policy_id: Option<&PolicyId>) -> Result<LifecycleEvent, Error> {
        const EVENT: &str = "rolled_back";
        let champion = self.champion.as_ref().ok_or_else(|| illegal(EVENT, "there is no champion"))?;
        let treatment = self.treatment.as_ref().map(|treatment| &treatment.policy_id);
        let leaves = policy_id.or(treatment).unwrap_or(champion);
        let to = if treatment == Some(leaves) {
            champion
        } else if leaves == champion {
            self.previous().ok_or_else(|| illegal(EVENT, "there is no previous champion to return to"))?
        } else {
            let treatment = treatment.map_or("nobody", PolicyId::as_str);
            let reason =
                format!("`{leaves}` is not running: the champion is `{champion}`, the treatment `{treatment}`");
            return Err(illegal(EVENT, reason));
        };
        let (policy_id, to) = (leaves.clone(), to.clone());
        if self.treatment.as_ref().is_some_and(|treatment| treatment.policy_id == policy_id && !treatment.is_live()) {
            let reasons = vec![reason];
            return Ok(LifecycleEvent::Refused { policy_id, reasons, evidence: Value::Null, decision: None });
        }
        Ok(LifecycleEvent::RolledBack { policy_id, to, reason, evidence: Value::Null, decision: None })
    }

    /// Notes that the policies among `checkpoints` were trained on something that was erased since.
    pub fn note_erasure(&mut self, checkpoints: &[String]) {
        for record in self.policies.values_mut() {
            let is_marked = checkpoints.iter().any(|id| id == record.policy_id.as_str());
            record.erasures += u64::from(is_marked);
        }
    }

    fn step(&mut self, record: &Lifecycle) -> Result<(), Error> {
        let at = record.at;
        match &record.event {
            LifecycleEvent::Registered { policy_id, parent, origin, .. } => {
                self.register(policy_id, parent.as_ref(), *origin, at)
            }
            LifecycleEvent::Gated { policy_id, evidence } => {
                self.expect("gated", policy_id, &[Stage::Registered])?;
                self.set(policy_id, Stage::Gated, at, evidence);
                Ok(())
            }
            LifecycleEvent::Refused { policy_id, reasons, evidence, .. } => {
                self.refuse(policy_id, reasons, evidence, at)
            }
            LifecycleEvent::Delivery { policy_id, decision, progress, shadow } => {
                self.deliver(policy_id, decision, (progress, shadow.as_deref()), at)
            }
            LifecycleEvent::ExperimentStarted { experiment, template, control, treatment, variant, delivery } => {
                let treatment = Treatment {
                    experiment: experiment.clone(),
                    template: template.clone(),
                    policy_id: treatment.clone(),
                    since: at,
                    variant: variant.clone(),
                    delivery: delivery.as_deref().cloned().map(Arc::new),
                    steps: Vec::new(),
                    shadow: None,
                };
                self.start(treatment, control)
            }
            LifecycleEvent::Promoted { policy_id, experiment, evidence, .. } => {
                self.promote(policy_id, experiment.as_ref(), evidence, at)
            }
            LifecycleEvent::RolledBack { policy_id, to, reason, evidence, .. } => {
                self.roll_back(policy_id, to, (reason, evidence), at)
            }
        }
    }

    fn register(
        &mut self,
        policy_id: &PolicyId,
        parent: Option<&PolicyId>,
        origin: Origin,
        at: Timestamp,
    ) -> Result<(), Error> {
        if self.policies.contains_key(policy_id) {
            return Err(illegal("registered", format!("policy `{policy_id}` is registered already")));
        }
        if let Some(parent) = parent
            && !self.policies.contains_key(parent)
        {
            return Err(illegal("registered", format!("parent `{parent}` is not registered")));
        }
        let record = PolicyRecord {
            policy_id: policy_id.clone(),
            parent: parent.cloned(),
            origin,
            stage: Stage::Registered,
            since: at,
            reasons: Vec::new(),
            evidence: Value::Null,
            erasures: 0,
        };
        self.policies.insert(policy_id.clone(), record);
        Ok(())
    }

    fn refuse(&mut self, id: &PolicyId, reasons: &[String], evidence: &Value, at: Timestamp) -> Result<(), Error> {
        self.expect("refused", id, &[Stage::Registered, Stage::Gated, Stage::Shadow])?;
        if reasons.is_empty() {
            return Err(illegal("refused", format!("policy `{id}` is refused without a reason")));
        }
        if self.treatment.as_ref().is_some_and(|treatment| treatment.policy_id == *id) {
            self.end(RunOutcome::Refused, (Some(&reasons.join("; ")), &Value::Null), at);
        }
        self.set(id, Stage::Refused, at, evidence).reasons = reasons.to_vec();
        Ok(())
    }

    fn promote(
        &mut self,
        id: &PolicyId,
        experiment: Option<&ExperimentId>,
        evidence: &Value,
        at: Timestamp,
    ) -> Result<(), Error> {
        let Some(champion) = self.champion.clone() else {
            self.expect("promoted", id, &[Stage::Registered, Stage::Gated])?;
            self.set(id, Stage::Champion, at, evidence);
            self.champion = Some(id.clone());
            return Ok(());
        };
        self.expect("promoted", id, &[Stage::Gated, Stage::Shadow, Stage::Canary, Stage::Ramp])?;
        let own = self.treatment.as_ref().filter(|treatment| treatment.policy_id == *id);
        let running = own.map(|treatment| &treatment.experiment);
        if running != experiment || running.is_none() {
            let name = experiment.map_or("none", ExperimentId::as_str);
            return Err(illegal("promoted", format!("experiment `{name}` is not the one that is running")));
        }
        self.set(&champion, Stage::Retired, at, &Value::Null);
        self.set(id, Stage::Champion, at, evidence);
        self.former.push(champion);
        self.champion = Some(id.clone());
        self.end(RunOutcome::Promoted, (None, evidence), at);
        Ok(())
    }

    fn roll_back(
        &mut self,
        id: &PolicyId,
        to: &PolicyId,
        (reason, evidence): (&str, &Value),
        at: Timestamp,
    ) -> Result<(), Error> {
        const EVENT: &str = "rolled_back";
        self.expect(EVENT, id, &[Stage::Canary, Stage::Ramp, Stage::Champion])?;
        let is_treatment = self.treatment.as_ref().is_some_and(|treatment| treatment.policy_id == *id);
        let target = if is_treatment { self.champion.as_ref() } else { self.previous() };
        if target != Some(to) {
            let target = target.map_or("nobody", PolicyId::as_str);
            return Err(illegal(EVENT, format!("would return to `{target}`, not to `{to}`")));
        }
        if is_treatment {
            self.end(RunOutcome::RolledBack, (Some(reason), evidence), at);
            self.set(id, Stage::RolledBack, at, evidence).reasons = vec![reason.to_owned()];
            return Ok(());
        }
        // A run compares with the champion that leaves, so it ends with it.
        if let Some(treatment) = self.end(RunOutcome::ControlLeft, (Some(reason), evidence), at) {
            self.set(&treatment.policy_id, Stage::Gated, at, &Value::Null);
        }
        self.former.pop();
        self.set(to, Stage::Champion, at, &Value::Null);
        self.champion = Some(to.clone());
        self.set(id, Stage::RolledBack, at, &Value::Null).reasons = vec![reason.to_owned()];
        Ok(())
    }

    /// Ends the run under way, if any.
    fn end(
        &mut self,
        outcome: RunOutcome,
        (reason, evidence): (Option<&str>, &Value),
        at: Timestamp,
    ) -> Option<Treatment> {
        let treatment = self.treatment.take()?;
        self.ended.push(EndedRun {
            experiment: treatment.experiment.clone(),
            policy_id: treatment.policy_id.clone(),
            at,
            outcome,
            reason: reason.map(str::to_owned),
            evidence: evidence.clone(),
        });
        Some(treatment)
    }

    fn expect(&self, event: &'static str, id: &PolicyId, stages: &[Stage]) -> Result<(), Error> {
        let Some(record) = self.policies.get(id) else {
            return Err(illegal(event, format!("policy `{id}` is not registered")));
        };
        if stages.contains(&record.stage) {
            return Ok(());
        }
        let stage = serde_json::to_value(record.stage).unwrap_or_default();
        Err(illegal(event, format!("policy `{id}` is {}", stage.as_str().unwrap_or("?"))))
    }

    fn set(&mut self, id: &PolicyId, stage: Stage, at: Timestamp, evidence: &Value) -> &mut PolicyRecord {
        let record = self.policies.get_mut(id).expect("checked by the caller: the policy is registered");
        record.stage = stage;
        record.since = at;
        if !evidence.is_null() {
            record.evidence = evidence.clone();
        }
        record
    }
}

fn illegal(event: &'static str, reason: impl Into<String>) -> Error {
    Error::Transition { event, reason: reason.into() }
}

#[cfg(test)]
mod tests;
