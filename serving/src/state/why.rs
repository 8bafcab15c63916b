//! Why a policy is where it is: each record about it, with its numbers, in plain words.

use plaudit_event::{PolicyId, Timestamp};
use plaudit_experiment::delivery::Decision;
use serde::Serialize;
use serde_json::Value;

use super::Serving;
use crate::Error;
use crate::rollout::{Lifecycle, LifecycleEvent, Stage};

/// Why a policy is where it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Why {
    /// The policy.
    pub policy_id: PolicyId,
    /// Where it stands.
    pub stage: Stage,
    /// What happened, oldest first.
    pub steps: Vec<Told>,
    /// What an evaluation would decide now, while its delivery is under way.
    pub now: Option<Told>,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Told {
    /// When.
    pub at: Timestamp,
    /// What the record says, as in topic `checkpoints`.
    pub record: Value,
    /// The same for people: what happened and why, then a line per rule.
    pub text: Vec<String>,
    /// Evaluations right after it that changed nothing.
    pub evaluations: u64,
}

impl Serving {
    /// Why `policy` is where it is.
    ///
    /// # Errors
    /// Fails when there is no such policy, and when the log cannot be read.
    pub async fn why(&self, policy: &PolicyId) -> Result<Why, Error> {
        let rollout = self.journal.state();
        let Some(record) = rollout.policies().get(policy) else {
            let known = rollout.policies().keys().map(ToString::to_string).collect();
            return Err(Error::NotFound { what: "policy", name: policy.to_string(), known });
        };
        let mut steps: Vec<Told> = Vec::new();
        for record in self.journal.history(policy).await? {
            let is_quiet =
                matches!(&record.event, LifecycleEvent::Delivery { decision, .. } if decision.notice.is_none());
            match steps.last_mut().filter(|_| is_quiet) {
                Some(last) => last.evaluations += 1,
                None => steps.push(tell(policy, &record)),
            }
        }
        let under_way = rollout.treatment().filter(|treatment| treatment.policy_id == *policy);
        let now = under_way.and_then(|treatment| self.foresee(treatment)).map(|decision| foreseen(&decision));
        Ok(Why { policy_id: policy.clone(), stage: record.stage, steps, now })
    }
}

fn foreseen(decision: &Decision) -> Told {
    let record = serde_json::to_value(decision).unwrap_or_default();
    Told { at: decision.at, record, text: decision.explain(), evaluations: 0 }
}

fn tell(policy: &PolicyId, record: &Lifecycle) -> Told {
    let text = match record.event.decision() {
        Some(decision) if !matches!(&record.event, LifecycleEvent::RolledBack { to, .. } if to == policy) => {
            decision.explain()
        }
        _ => plain(policy, &record.event),
    };
    Told { at: record.at, record: serde_json::to_value(record).unwrap_or_default(), text, evaluations: 0 }
}

/// Records without a decision of a delivery.
fn plain(policy: &PolicyId, event: &LifecycleEvent) -> Vec<String> {
    match event {
        LifecycleEvent::Registered { parent, origin, .. } => {
            let origin = serde_json::to_value(origin).unwrap_or_default();
            let origin = origin.as_str().unwrap_or("?");
            let parent = parent.as_ref().map_or_else(String::new, |parent| format!(" from {parent}"));
            vec![format!("registered: {origin}{parent}")]
        }
        LifecycleEvent::Gated { evidence, .. } => {
            let mut lines = vec!["registered → gated: passed the gate".to_owned()];
            lines.extend(differences(evidence));
            lines
        }
        LifecycleEvent::Refused { reasons, evidence, .. } => {
            let mut lines = vec![format!("refused: {}", reasons.join("; "))];
            lines.extend(differences(evidence));
            lines
        }
        LifecycleEvent::ExperimentStarted { experiment, control, .. } => {
            vec![format!("delivery begins as {experiment}, compared with {control}")]
        }
        LifecycleEvent::Delivery { decision, .. } => decision.explain(),
        LifecycleEvent::Promoted { experiment: None, .. } => vec!["champion: the first".to_owned()],
        LifecycleEvent::Promoted { .. } => vec!["champion: promoted by a person".to_owned()],
        LifecycleEvent::RolledBack { policy_id, to, reason, .. } if to == policy => {
            vec![format!("{policy_id} was taken out, and this one serves: {reason}")]
        }
        LifecycleEvent::RolledBack { to, reason, .. } => vec![format!("rolled back to {to}: {reason}")],
    }
}

/// The differences to the champion that the gate measured.
fn differences(evidence: &Value) -> Vec<String> {
    let measured = evidence["differences"].as_object().into_iter().flatten();
    let line = |(name, interval): (&String, &Value)| {
        let [value, lower, upper] = ["value", "lower", "upper"].map(|key| interval[key].as_f64());
        Some(format!("  {name}: {:+.4} in [{:+.4}, {:+.4}]", value?, lower?, upper?))
    };
    measured.filter_map(line).collect()
}
