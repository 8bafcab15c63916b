//! The candidate's delivery as the log has it.

use std::sync::Arc;

use plaudit_event::{PolicyId, Timestamp};
use plaudit_experiment::assign::StepConfig;
use plaudit_experiment::delivery::{Decision, Delivery, Pair, Progress, State};
use serde_json::Value;

use super::{Rollout, illegal};
use crate::Error;
use crate::rollout::{Stage, Treatment};

impl Rollout {
    pub(super) fn start(&mut self, treatment: Treatment, control: &PolicyId) -> Result<(), Error> {
        const EVENT: &str = "experiment_started";
        self.expect(EVENT, &treatment.policy_id, &[Stage::Gated])?;
        if let Some(running) = &self.treatment {
            return Err(illegal(EVENT, format!("experiment `{}` is running", running.experiment)));
        }
        if self.champion.as_ref() != Some(control) {
            let champion = self.champion.as_ref().map_or("nobody", PolicyId::as_str);
            return Err(illegal(EVENT, format!("control `{control}` is not the champion `{champion}`")));
        }
        let id = &treatment.policy_id;
        let parent = self.policies.get(id).and_then(|record| record.parent.as_ref());
        // Records without the variant are older than this rule.
        if treatment.variant.is_some() && parent != Some(control) {
            let parent = parent.map_or("nobody", PolicyId::as_str);
            let reason = format!("policy `{id}` descends from `{parent}`, not from the champion `{control}`");
            return Err(illegal(EVENT, reason));
        }
        let stage = match treatment.state() {
            // An older version gave half of the units at once.
            None => Some(Stage::Ramp),
            Some(State::Gated) => Some(Stage::Gated),
            Some(_) => None,
        };
        let stage = stage.ok_or_else(|| illegal(EVENT, "a delivery begins when the gate is passed"))?;
        self.set(&treatment.policy_id, stage, treatment.since, &Value::Null);
        self.num_runs += 1;
        self.treatment = Some(treatment);
        Ok(())
    }

    /// Takes over what was decided: nothing is decided again, so that another version reads the same from a log.
    pub(super) fn deliver(
        &mut self,
        id: &PolicyId,
        decision: &Decision,
        (progress, shadow): (&Progress, Option<&Pair>),
        at: Timestamp,
    ) -> Result<(), Error> {
        const EVENT: &str = "delivery";
        let Some(treatment) = self.treatment.as_mut().filter(|treatment| treatment.policy_id == *id) else {
            return Err(illegal(EVENT, format!("no delivery of policy `{id}` is under way")));
        };
        let Some(before) = treatment.delivery.as_deref() else {
            return Err(illegal(EVENT, format!("policy `{id}` has no delivery")));
        };
        let after = before.resumed(progress.clone());
        let (from, to) = (before.state(), after.state());
        if *from != decision.from || *to != decision.to || !(from == to || from.leads_to(to)) {
            let reason =
                format!("policy `{id}` is {from}, and was decided to go from {} to {}", decision.from, decision.to);
            return Err(illegal(EVENT, reason));
        }
        let stage =
            Stage::of(to).ok_or_else(|| illegal(EVENT, format!("{to} is an end, which has an event of its own")))?;
        if let Some(step) = to.live_step().filter(|_| from != to) {
            treatment.steps.push(StepConfig { from: decision.at, share: enrolled(&after, step) });
        }
        let has_moved = from != to;
        treatment.delivery = Some(Arc::new(after));
        treatment.shadow = shadow.cloned().map(Arc::new).or_else(|| treatment.shadow.take());
        if has_moved {
            self.set(id, stage, at, &Value::Null);
        }
        Ok(())
    }
}

/// The part of the experiment's units that `step` enrols: the candidate's, and as many for control.
fn enrolled(delivery: &Delivery, step: usize) -> f64 {
    delivery.config().step(step).map_or(0.0, |step| (2.0 * step.share).min(1.0))
}
