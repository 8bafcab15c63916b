//! Moving policies through their life without failing a request.
//!
//! The order is always: read and verify the checkpoint and build its generator, off the request path;
//! make the transition durable; replace the snapshot in one step; let go of what nobody needs any more.
//! A crash between any two steps restores to the journal's state, which is the one that counts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use plaudit_event::{ExperimentId, PolicyId, Timestamp};
use plaudit_experiment::delivery::{Delivery, DeliveryConfig, Event, Gate, Verdict};
use plaudit_policy::generate::GeneratePolicy;
use serde_json::{Map, Value};

use super::Serving;
use super::snapshot::{Served, needed};
use crate::experiment::{Definition, PolicyRef, rolling, validate};
use crate::rollout::{LifecycleEvent, Origin, PolicyRecord, Rollout};
use crate::{Error, metrics};

impl Serving {
    /// Puts a checkpoint on record. Its directory must be below the policy directory; it is verified.
    ///
    /// # Errors
    /// Fails when the checkpoint is missing or altered, or registered already.
    pub async fn register(
        self: &Arc<Self>,
        policy_id: &PolicyId,
        parent: Option<&PolicyId>,
        origin: Origin,
        lineage: Map<String, Value>,
    ) -> Result<(), Error> {
        let policy = self.load(policy_id).await?;
        drop(policy);
        let event =
            LifecycleEvent::Registered { policy_id: policy_id.clone(), parent: parent.cloned(), origin, lineage };
        self.transition(move |_| Ok(event)).await?;
        Ok(())
    }

    /// Records that a policy passed the gate.
    ///
    /// # Errors
    /// Fails when it is not registered, or further than that.
    pub async fn gated(self: &Arc<Self>, policy_id: &PolicyId, evidence: Value) -> Result<(), Error> {
        let event = LifecycleEvent::Gated { policy_id: policy_id.clone(), evidence };
        self.transition(move |_| Ok(event)).await?;
        Ok(())
    }

    /// Records that a policy will never serve.
    ///
    /// # Errors
    /// Fails without a reason, and when the policy serves or has served.
    pub async fn refuse(
        self: &Arc<Self>,
        policy_id: &PolicyId,
        reasons: Vec<String>,
        evidence: Value,
    ) -> Result<(), Error> {
        let event = LifecycleEvent::Refused { policy_id: policy_id.clone(), reasons, evidence, decision: None };
        self.transition(move |_| Ok(event)).await?;
        Ok(())
    }

    /// Makes the very first champion, without an experiment.
    ///
    /// # Errors
    /// Fails when there is a champion, or the policy is not registered.
    pub async fn crown(self: &Arc<Self>, policy_id: &PolicyId, evidence: Value) -> Result<(), Error> {
        let policy_id = policy_id.clone();
        let event = LifecycleEvent::Promoted { policy_id, experiment: None, evidence, decision: None };
        self.transition(move |_| Ok(event)).await?;
        Ok(())
    }

    /// Begins the delivery of a gated policy, in a run of the rolling experiment; returns the run. Nobody gets the policy
    /// before its canary.
    ///
    /// # Errors
    /// Fails when the configuration has no rolling experiment, one is under way, there is no champion, or
    /// the policy is not gated, is not made from the champion or cannot be loaded.
    pub async fn start_experiment(self: &Arc<Self>, policy_id: &PolicyId) -> Result<ExperimentId, Error> {
        let in_force = self.experiments();
        let Some(rolling) = rolling(&in_force.definition).filter(|rolling| rolling.active && !rolling.killed) else {
            let reason = "no experiment is rolling and active, so that no candidate can be tried".to_owned();
            return Err(Error::Transition { event: "experiment_started", reason });
        };
        let problems = validate("", &in_force.definition);
        if !problems.is_empty() {
            return Err(Error::Experiments(problems));
        }
        let template = rolling.id.clone();
        let mut variants = rolling.variants.iter();
        let variant = variants.find(|variant| variant.policy == PolicyRef::Treatment).map(|variant| variant.id.clone());
        let treatment = policy_id.clone();
        let (config, now) = (self.config.delivery.clone(), self.parts.clock.now());
        let decide = move |rollout: &Rollout| {
            let delivery = rollout.policies().get(&treatment).map(|record| gated(record, config, now)).transpose()?;
            let control = rollout.champion().cloned();
            let reason = "there is no champion to compare with".to_owned();
            Ok(LifecycleEvent::ExperimentStarted {
                experiment: rollout.next_run(&template)?,
                template,
                control: control.ok_or(Error::Transition { event: "experiment_started", reason })?,
                treatment,
                variant,
                delivery,
            })
        };
        match self.transition(decide).await? {
            LifecycleEvent::ExperimentStarted { experiment, .. } => Ok(experiment),
            other => Err(Error::Transition { event: other.name(), reason: "unexpected".to_owned() }),
        }
    }

    /// Makes the treatment the champion, wherever its delivery stands.
    ///
    /// # Errors
    /// Fails when no delivery is under way.
    pub async fn promote(self: &Arc<Self>, evidence: Value) -> Result<LifecycleEvent, Error> {
        let decide = move |rollout: &Rollout| {
            let reason = "no experiment is under way".to_owned();
            let treatment = rollout.treatment().ok_or(Error::Transition { event: "promoted", reason })?;
            Ok(LifecycleEvent::Promoted {
                policy_id: treatment.policy_id.clone(),
                experiment: Some(treatment.experiment.clone()),
                evidence,
                decision: None,
            })
        };
        self.transition(decide).await
    }

    /// Takes a policy out, with the readout of the run that ends with it as evidence. Without a `policy_id`
    /// it undoes the newest step: a candidate whose delivery is under way leaves; else the champion gives way to the
    /// previous one. Calling it again undoes the step before.
    ///
    /// # Errors
    /// Fails when `policy_id` is not running, and when there is nothing to return to.
    pub async fn rollback(
        self: &Arc<Self>,
        (reason, by): (String, String),
        policy_id: Option<PolicyId>,
    ) -> Result<LifecycleEvent, Error> {
        let serving = Arc::clone(self);
        let decide = move |rollout: &Rollout| {
            let mut event = rollout.rollback(reason.clone(), policy_id.as_ref())?;
            let treatment = rollout.treatment();
            let proof = treatment.map(|treatment| serving.readout_of(&treatment.experiment)).unwrap_or_default();
            let under_way = treatment.filter(|treatment| treatment.policy_id == *event.policy_id());
            let stop = Event::Stop { by, reason };
            let stopped = under_way.map(|treatment| serving.decide(treatment, &stop)).transpose()?;
            match &mut event {
                LifecycleEvent::RolledBack { evidence, decision, .. } => {
                    *evidence = proof;
                    *decision = stopped.map(|(decision, _)| Box::new(decision));
                }
                LifecycleEvent::Refused { decision, .. } => {
                    *decision = stopped.map(|(decision, _)| Box::new(decision));
                }
                _ => {}
            }
            Ok(event)
        };
        self.transition(decide).await
    }

    /// Loads what the journal prescribes.
    pub(super) async fn restore(&self) -> Result<(), Error> {
        let rollout = self.journal.state();
        let policies = self.ready(&self.experiments().definition, &rollout).await?;
        self.commit(&rollout, policies);
        Ok(())
    }

    /// Takes the step that `decide` chooses: the whole of it, also when the caller goes away meanwhile.
    pub(super) async fn transition(
        self: &Arc<Self>,
        decide: impl FnOnce(&Rollout) -> Result<LifecycleEvent, Error> + Send + 'static,
    ) -> Result<LifecycleEvent, Error> {
        let serving = Arc::clone(self);
        let task = tokio::spawn(async move { serving.step(decide).await });
        task.await.unwrap_or_else(|error| Err(Error::Task { what: "a transition", detail: error.to_string() }))
    }

    async fn step(
        &self,
        decide: impl FnOnce(&Rollout) -> Result<LifecycleEvent, Error> + Send,
    ) -> Result<LifecycleEvent, Error> {
        let _turn = self.turn.lock().await;
        if self.journal.refresh().await? {
            self.restore().await?;
        }
        let before = self.journal.state();
        let event = decide(&before)?;
        let after = self.journal.preview(&before, &event)?;
        let policies = self.ready(&self.experiments().definition, &after).await?;
        let event = self.journal.record(event).await?;
        metrics::transition(event.name());
        self.tell(&event);
        let keep = policies.keys().cloned().collect();
        self.commit(&after, policies);
        self.engine.retain(keep).await?;
        Ok(event)
    }

    /// Everything that `rollout` needs, loaded, verified and installed. A former champion is only wanted: it
    /// must not stand in the way when the present one has to leave.
    pub(super) async fn ready(
        &self,
        definition: &Definition,
        rollout: &Rollout,
    ) -> Result<BTreeMap<PolicyId, Arc<Served>>, Error> {
        let mut policies = BTreeMap::new();
        for id in needed(definition, rollout)? {
            let served = self.served(&id).await?;
            policies.insert(id, served);
        }
        if let Some(previous) = rollout.previous().filter(|id| !policies.contains_key(*id)) {
            match self.served(previous).await {
                Ok(served) => {
                    policies.insert(previous.clone(), served);
                }
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(policy_id = %previous, error = %error, cause, "previous champion cannot be loaded");
                }
            }
        }
        Ok(policies)
    }

    async fn served(&self, id: &PolicyId) -> Result<Arc<Served>, Error> {
        if let Some(served) = self.snapshot().policies().get(id) {
            return Ok(Arc::clone(served));
        }
        let served = Arc::new(Served::new(self.load(id).await?));
        self.engine.install(Arc::clone(&served.model)).await?;
        Ok(served)
    }

    async fn load(&self, id: &PolicyId) -> Result<GeneratePolicy, Error> {
        let dir = self.parts.policies_dir.join(id.as_str());
        if !dir.is_dir() {
            let known = list_policies(&self.parts.policies_dir);
            return Err(Error::NotFound { what: "policy", name: id.to_string(), known });
        }
        let loaded = tokio::task::spawn_blocking(move || GeneratePolicy::load(&dir)).await;
        let policy = loaded.map_err(|error| Error::Task { what: "loading", detail: error.to_string() })??;
        if policy.id() != id {
            let reason = format!("directory `{id}` holds policy `{}`", policy.id());
            return Err(Error::invalid("policy", reason));
        }
        Ok(policy)
    }
}

/// A delivery past the gate.
fn gated(record: &PolicyRecord, config: DeliveryConfig, now: Timestamp) -> Result<Box<Delivery>, Error> {
    let illegal = |reason: String| Error::Transition { event: "experiment_started", reason };
    let made = Delivery::new(record.policy_id.clone(), config, now);
    let mut delivery = made.map_err(|problems| illegal(format!("invalid delivery: {problems:?}")))?;
    let gate = Gate { verdict: Verdict::Pass, reason: "passed the gate".to_owned(), evidence: Vec::new() };
    delivery.apply(&Event::Gate(gate), now).map_err(|error| illegal(error.to_string()))?;
    Ok(Box::new(delivery))
}

fn list_policies(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}
