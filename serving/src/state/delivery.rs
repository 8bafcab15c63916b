//! The delivery of the candidate: evaluated when it is due, moved on or stopped, each decision on record first.

use std::sync::Arc;

use plaudit_event::{ExperimentId, PolicyId};
use plaudit_experiment::delivery::{Decision, Delivery, Event, Notice, Observation, Pair, State};
use serde_json::Value;

use super::Serving;
use crate::config::Autopilot;
use crate::rollout::{LifecycleEvent, Rollout, Treatment};
use crate::{Error, metrics};

const EVENT: &str = "delivery";

impl Serving {
    /// Evaluates the delivery under way if that is due, and does what comes of it. Nothing when it is not due, when
    /// nothing is under way, or while its experiment is paused.
    ///
    /// # Errors
    /// Fails when the decision cannot be recorded; nothing has changed then.
    pub async fn evaluate_delivery(self: &Arc<Self>) -> Result<Option<Decision>, Error> {
        let Some(treatment) = self.due() else { return Ok(None) };
        let serving = Arc::clone(self);
        self.deliver(treatment.policy_id, move |treatment| Event::Evaluate(serving.observe(treatment))).await.map(Some)
    }

    /// As [`Serving::evaluate_delivery`], when there is no data to evaluate because of `reason`.
    pub(super) async fn evaluate_nothing(self: &Arc<Self>, reason: String) -> Result<(), Error> {
        let Some(treatment) = self.due() else { return Ok(()) };
        // Before the shadow nothing is watched.
        if treatment.state() == Some(&State::Gated) {
            return Ok(());
        }
        self.deliver(treatment.policy_id, move |_| Event::NoData { reason }).await.map(drop)
    }

    /// Lets the candidate go on that waits for a person; without the autopilot, any candidate.
    ///
    /// # Errors
    /// Fails when `policy_id` is not under way, or does not wait for anybody.
    pub async fn approve(self: &Arc<Self>, policy_id: PolicyId, by: String) -> Result<Decision, Error> {
        let is_manual = self.config.autopilot == Autopilot::Off;
        let decide = move |treatment: &Treatment| {
            let is_held = treatment.delivery.as_deref().is_some_and(|delivery| delivery.held().is_some());
            if is_manual && !is_held { Event::Advance { by } } else { Event::Approve { by } }
        };
        self.deliver(policy_id, decide).await
    }

    /// What an evaluation would decide now.
    pub(super) fn foresee(&self, treatment: &Treatment) -> Option<Decision> {
        let event = Event::Evaluate(self.observe(treatment));
        self.decide(treatment, &event).ok().map(|(decision, _)| decision)
    }

    /// The candidate that is to be evaluated now.
    fn due(&self) -> Option<Treatment> {
        let rollout = self.journal.state();
        let treatment = rollout.treatment()?;
        let due = treatment.delivery.as_deref().and_then(Delivery::next_evaluation)?;
        let is_paused = treatment.state().is_some_and(|state| state.live_step().is_some())
            && !self.snapshot().enrols(&treatment.experiment);
        (due <= self.parts.clock.now() && !is_paused).then(|| treatment.clone())
    }

    /// Everything that an evaluation reads.
    fn observe(&self, treatment: &Treatment) -> Observation {
        let shadow = match treatment.state() {
            Some(State::Shadow) => Some(self.shadow_sums(treatment)),
            _ => treatment.shadow.as_deref().cloned(),
        };
        Observation { shadow, phases: self.book().phases(&treatment.experiment) }
    }

    fn shadow_sums(&self, treatment: &Treatment) -> Pair {
        let mut sums = self.shadow.sums();
        sums.track(&treatment.policy_id, treatment.shadow.as_deref());
        sums.pair()
    }

    /// What `event` makes of the delivery, without taking effect.
    pub(super) fn decide(&self, treatment: &Treatment, event: &Event) -> Result<(Decision, Delivery), Error> {
        let illegal = |reason: String| Error::Transition { event: EVENT, reason };
        let before = treatment.delivery.as_deref();
        let mut delivery = before.cloned().ok_or_else(|| illegal("no delivery is under way".to_owned()))?;
        let decision = delivery.apply(event, self.parts.clock.now()).map_err(|error| illegal(error.to_string()))?;
        Ok((decision, delivery))
    }

    async fn deliver(
        self: &Arc<Self>,
        policy_id: PolicyId,
        event: impl FnOnce(&Treatment) -> Event + Send + 'static,
    ) -> Result<Decision, Error> {
        let serving = Arc::clone(self);
        let decide = move |rollout: &Rollout| {
            // Somebody else may have ended it since.
            let under_way = rollout.treatment().filter(|treatment| treatment.policy_id == policy_id);
            let missing = || {
                let under_way = rollout.treatment().map_or("nobody", |treatment| treatment.policy_id.as_str());
                let reason = format!("no delivery of `{policy_id}` is under way, but of `{under_way}`");
                Error::Transition { event: EVENT, reason }
            };
            let treatment = under_way.ok_or_else(missing)?;
            let (decision, delivery) = serving.decide(treatment, &event(treatment))?;
            serving.event_of(rollout, treatment, (decision, &delivery))
        };
        let event = self.transition(decide).await?;
        let reason = format!("`{}` is about no decision", event.name());
        event.decision().cloned().ok_or(Error::Transition { event: EVENT, reason })
    }

    /// The record of a decision.
    fn event_of(
        &self,
        rollout: &Rollout,
        treatment: &Treatment,
        (decision, delivery): (Decision, &Delivery),
    ) -> Result<LifecycleEvent, Error> {
        let policy_id = treatment.policy_id.clone();
        Ok(match &decision.to {
            State::Promoted => LifecycleEvent::Promoted {
                policy_id,
                experiment: Some(treatment.experiment.clone()),
                evidence: self.readout_of(&treatment.experiment),
                decision: Some(Box::new(decision)),
            },
            State::RolledBack { reason } => {
                let mut event = rollout.rollback(reason.clone(), Some(&policy_id))?;
                if let LifecycleEvent::RolledBack { evidence, decision: place, .. } = &mut event {
                    *evidence = self.readout_of(&treatment.experiment);
                    *place = Some(Box::new(decision));
                }
                event
            }
            State::Refused { reason } => LifecycleEvent::Refused {
                policy_id,
                reasons: vec![reason.clone()],
                evidence: Value::Null,
                decision: Some(Box::new(decision)),
            },
            _ => LifecycleEvent::Delivery {
                policy_id,
                progress: Box::new(delivery.progress().clone()),
                shadow: (decision.from == State::Shadow).then(|| Box::new(self.shadow_sums(treatment))),
                decision: Box::new(brief(decision)),
            },
        })
    }

    /// The readout of a run, as evidence.
    pub(super) fn readout_of(&self, run: &ExperimentId) -> Value {
        let readout = self.book().readout(run);
        readout.map(|readout| serde_json::to_value(readout).unwrap_or_default()).unwrap_or_default()
    }

    /// Tells the world what the record `event` says.
    pub(super) fn tell(&self, event: &LifecycleEvent) {
        if let Some(decision) = event.decision() {
            metrics::evaluated(decision.verdict);
            if let Some(notice) = &decision.notice {
                // Nobody may be listening.
                let _ = self.notices.send(Notice::clone(notice));
            }
        }
    }
}

/// The evidence is kept where something happened: at every evaluation it would fill the log.
fn brief(decision: Decision) -> Decision {
    if decision.notice.is_some() { decision } else { Decision { evidence: Vec::new(), ..decision } }
}
