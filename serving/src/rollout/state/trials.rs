//! What became of every candidate, offline and online: the record that tells whether the offline score can be trusted.
//!
//! Nothing new is written for it. The evidence of `gated` and `refused` has the offline difference to the champion, the
//! evidence of the record that ends a run has the difference that users made.

use plaudit_event::{ExperimentId, PolicyId, Timestamp};
use plaudit_policy::gate::{Correlation, Interval};
use serde::Serialize;
use serde_json::Value;

use super::Rollout;
use crate::Error;
use crate::rollout::{Lifecycle, LifecycleEvent, Treatment};

/// A candidate with what was expected of it and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trial {
    /// The candidate.
    pub policy_id: PolicyId,
    /// When it was gated or refused.
    pub at: Timestamp,
    /// Whether it passed the gate.
    pub passed: bool,
    /// Its mean P\[love\] minus that of the champion, on the gate's prompts.
    pub offline: Interval,
    /// The last experiment that it was tried in.
    pub experiment: Option<ExperimentId>,
    /// The love rate under it minus that under the champion, at the end of that experiment.
    pub online: Option<Interval>,
}

/// Every trial, and what the offline score is worth by them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Backtest {
    /// Oldest first.
    pub candidates: Vec<Trial>,
    /// Correlation of the two differences, over candidates that have both.
    pub correlation: Correlation,
    /// Whether that is enough for the offline score to decide.
    pub proven: bool,
}

impl Rollout {
    /// Applies one transition.
    ///
    /// # Errors
    /// An illegal transition changes nothing and says what stands in its way.
    pub fn apply(&mut self, record: &Lifecycle) -> Result<(), Error> {
        let run = self.treatment.clone();
        self.step(record)?;
        match &record.event {
            LifecycleEvent::Gated { policy_id, evidence } => self.expect_online(policy_id, evidence, (record.at, true)),
            LifecycleEvent::Refused { policy_id, evidence, .. } => {
                self.expect_online(policy_id, evidence, (record.at, false));
                if let Some(run) = run.filter(|_| self.treatment.is_none()) {
                    self.settle(&run, &Value::Null);
                }
            }
            LifecycleEvent::Promoted { evidence, .. } | LifecycleEvent::RolledBack { evidence, .. } => {
                // A rollback of the champion ends the run that compares with it.
                if let Some(run) = run.filter(|_| self.treatment.is_none()) {
                    self.settle(&run, evidence);
                }
            }
            LifecycleEvent::Registered { .. }
            | LifecycleEvent::ExperimentStarted { .. }
            | LifecycleEvent::Delivery { .. } => {}
        }
        Ok(())
    }

    /// What became of every candidate with an offline figure.
    #[must_use]
    pub fn backtest(&self) -> Backtest {
        let both = |trial: &Trial| Some((trial.offline.value, trial.online?.value));
        let (offline, online): (Vec<f64>, Vec<f64>) = self.trials.iter().filter_map(both).unzip();
        let correlation = Correlation::of(&offline, &online);
        Backtest { candidates: self.trials.clone(), correlation, proven: correlation.is_proven() }
    }

    fn expect_online(&mut self, id: &PolicyId, evidence: &Value, (at, passed): (Timestamp, bool)) {
        // A refusal that follows a pass says why it does not go on; what was expected stays.
        if self.trials.iter().any(|trial| trial.policy_id == *id) {
            return;
        }
        if let Some(offline) = interval(&evidence["differences"]["love"]) {
            let policy_id = id.clone();
            self.trials.push(Trial { policy_id, at, passed, offline, experiment: None, online: None });
        }
    }

    fn settle(&mut self, run: &Treatment, evidence: &Value) {
        let Some(trial) = self.trials.iter_mut().find(|trial| trial.policy_id == run.policy_id) else { return };
        trial.experiment = Some(run.experiment.clone());
        let all = evidence["comparisons"].as_array().map_or(&[][..], Vec::as_slice);
        let own = match &run.variant {
            Some(id) => all.iter().find(|comparison| comparison["variant"] == id.as_str()),
            None => all.first().filter(|_| all.len() == 1),
        };
        trial.online = own.and_then(|comparison| interval(&comparison["difference"])).or(trial.online);
    }
}

/// An interval of numbers; JSON has null for what is none.
fn interval(value: &Value) -> Option<Interval> {
    serde_json::from_value::<Interval>(value.clone()).ok().filter(|interval| interval.value.is_finite())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{apply, id, promoted, registered, run, started, with_champion};
    use super::*;
    use crate::rollout::LifecycleEvent;

    fn offline(value: f64) -> Value {
        json!({"differences": {"love": {"value": value, "lower": value - 0.1, "upper": value + 0.1}}})
    }

    fn online(value: f64) -> Value {
        let of = |value: f64| json!({"value": value, "lower": value - 0.2, "upper": value + 0.2});
        json!({"comparisons": [{"variant": "other", "difference": of(9.0)},
            {"variant": "treatment", "difference": of(value)}]})
    }

    #[test]
    fn the_record_has_what_was_expected_and_what_came() {
        let mut rollout = with_champion();
        let mut champion = "base".to_owned();
        for number in 1..=12_u32 {
            let (name, value) = (format!("p{number}"), f64::from(number) / 100.0);
            apply(&mut rollout, registered(&name, Some(&champion))).unwrap();
            let (policy_id, evidence) = (id(&name), offline(value));
            apply(&mut rollout, LifecycleEvent::Gated { policy_id, evidence }).unwrap();
            apply(&mut rollout, started(&champion, &name, number)).unwrap();
            let evidence = online(value + if number % 2 == 0 { 0.004 } else { 0.0 });
            if number % 3 == 0 {
                let mut event = promoted(&name, Some(&format!("roll-{number}")));
                if let LifecycleEvent::Promoted { evidence: place, .. } = &mut event {
                    *place = evidence;
                }
                apply(&mut rollout, event).unwrap();
                champion = name;
            } else {
                let (policy_id, to, reason) = (id(&name), id(&champion), "worse".to_owned());
                apply(&mut rollout, LifecycleEvent::RolledBack { policy_id, to, reason, evidence, decision: None })
                    .unwrap();
            }
            assert_eq!(rollout.backtest().proven, number >= 10, "{number}");
        }
        let backtest = rollout.backtest();
        let first = &backtest.candidates[0];
        assert_eq!((first.experiment.clone(), first.passed), (Some(run("roll-1")), true));
        assert!((first.online.unwrap().value - 0.01).abs() < 1e-12 && (first.offline.value - 0.01).abs() < 1e-12);
        assert!(backtest.correlation.n == 12 && backtest.correlation.low.unwrap() > 0.9, "{backtest:?}");
    }

    #[test]
    fn refused_candidates_are_kept_but_prove_nothing() {
        let mut rollout = with_champion();
        apply(&mut rollout, registered("one", Some("base"))).unwrap();
        let reasons = vec!["love: no".to_owned()];
        let evidence = offline(-0.1);
        apply(&mut rollout, LifecycleEvent::Refused { policy_id: id("one"), reasons, evidence, decision: None })
            .unwrap();
        let backtest = rollout.backtest();
        assert!(!backtest.candidates[0].passed && backtest.candidates[0].online.is_none());
        assert_eq!((backtest.correlation.n, backtest.proven), (0, false));
    }
}
