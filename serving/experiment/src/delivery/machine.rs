//! The state machine.

mod evaluate;

use std::collections::BTreeMap;

use plaudit_event::{PolicyId, Timestamp};
use serde::{Deserialize, Serialize};

use super::evidence::{Decision, Notice, RuleEvidence, Verdict};
use super::{DeliveryConfig, Event, Gate, Illegal, Shares, State};
use crate::assign::Problem;

/// The delivery of one candidate. Everything that a decision depends on is in here, the configuration included:
/// a change of the configuration concerns later deliveries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    policy_id: PolicyId,
    config: DeliveryConfig,
    state: State,
    /// When the state began.
    since: Timestamp,
    /// The latest time seen.
    clock: Timestamp,
    last_evaluation: Option<Timestamp>,
    /// Why it waits for a person.
    held: Option<String>,
    /// Failing evaluations per rule in this state.
    failures: BTreeMap<String, u32>,
    /// Inconclusive evaluations after the shortest stay in this state.
    inconclusive: u32,
    /// Evaluations without data in a row.
    errors: u32,
}

/// What an evaluation or a person decided.
enum Outcome {
    Stay,
    Hold,
    Move(State),
}

impl Delivery {
    /// A candidate that exists and nothing more.
    ///
    /// # Errors
    /// Every fault of the configuration.
    pub fn new(policy_id: PolicyId, config: DeliveryConfig, at: Timestamp) -> Result<Self, Vec<Problem>> {
        let problems = config.validate("");
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            policy_id,
            config,
            state: State::Trained,
            since: at,
            clock: at,
            last_evaluation: None,
            held: None,
            failures: BTreeMap::new(),
            inconclusive: 0,
            errors: 0,
        })
    }

    /// The candidate.
    #[must_use]
    pub const fn policy_id(&self) -> &PolicyId {
        &self.policy_id
    }

    /// Its configuration.
    #[must_use]
    pub const fn config(&self) -> &DeliveryConfig {
        &self.config
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Since when.
    #[must_use]
    pub const fn since(&self) -> Timestamp {
        self.since
    }

    /// Why it waits for a person, if it does.
    #[must_use]
    pub fn held(&self) -> Option<&str> {
        self.held.as_deref()
    }

    /// When the next evaluation is due; later ones are valid too. Nothing before the gate and at the end.
    #[must_use]
    pub fn next_evaluation(&self) -> Option<Timestamp> {
        if self.state.is_final() || self.state == State::Trained {
            return None;
        }
        Some(self.last_evaluation.map_or(self.clock, |last| last.plus_millis(millis(self.config.period_seconds))))
    }

    /// How the population is to be divided now.
    #[must_use]
    pub fn shares(&self) -> Shares {
        match (&self.state, self.state.live_step().and_then(|step| self.config.step(step))) {
            (State::Promoted, _) => Shares { treatment: 1.0, control: 0.0, rest: 0.0 },
            (_, Some(step)) => Shares::of(step.share),
            _ => Shares { treatment: 0.0, control: 0.0, rest: 1.0 },
        }
    }

    /// Takes one event at a time, the only way to change anything.
    ///
    /// # Errors
    /// An event without meaning in this state; nothing changes then.
    pub fn apply(&mut self, event: &Event, at: Timestamp) -> Result<Decision, Illegal> {
        let illegal = |reason| Illegal { event: event.name(), state: self.state.clone(), reason };
        if self.state.is_final() && !matches!((event, &self.state), (Event::Stop { .. }, State::Promoted)) {
            return Err(illegal("the delivery is over"));
        }
        let is_trained = self.state == State::Trained;
        let is_gated = self.state == State::Gated;
        match event {
            Event::NoData { .. } if is_gated => return Err(illegal("nothing is watched yet")),
            Event::Gate(_) if !is_trained => return Err(illegal("the gate has spoken")),
            Event::Evaluate(_) | Event::NoData { .. } if is_trained => return Err(illegal("the gate comes first")),
            Event::Approve { .. } if self.held.is_none() => return Err(illegal("nothing waits for approval")),
            _ => {}
        }
        let went_back = at < self.clock;
        self.clock = self.clock.max(at);
        let (outcome, verdict, reason, evidence) = match event {
            Event::Gate(gate) => self.gate(gate),
            Event::Evaluate(seen) => self.evaluate(seen),
            Event::NoData { reason } => {
                self.last_evaluation = Some(self.clock);
                self.no_data(reason)
            }
            Event::Approve { by } => {
                (Outcome::Move(self.next()), Verdict::Pass, format!("approved by {by}"), Vec::new())
            }
            Event::Stop { by, reason } => {
                let reason = format!("stopped by {by}: {reason}");
                (Outcome::Move(self.stopped(&reason)), Verdict::Fail, reason, Vec::new())
            }
        };
        Ok(self.settle(outcome, verdict, (reason, evidence), went_back))
    }

    fn settle(
        &mut self,
        outcome: Outcome,
        verdict: Verdict,
        (reason, evidence): (String, Vec<RuleEvidence>),
        clock_went_back: bool,
    ) -> Decision {
        let from = self.state.clone();
        let is_news = match outcome {
            Outcome::Stay => false,
            Outcome::Hold => self.held.replace(reason.clone()).is_none(),
            Outcome::Move(next) => {
                debug_assert!(from.leads_to(&next), "{from} → {next}");
                self.enter(next);
                true
            }
        };
        let to = self.state.clone();
        let notice = is_news.then(|| Notice {
            policy_id: self.policy_id.clone(),
            from: from.clone(),
            to: to.clone(),
            reason: reason.clone(),
            numbers: evidence.clone(),
            at: self.clock,
        });
        let held = self.held.is_some();
        Decision { at: self.clock, from, to, verdict, reason, held, evidence, clock_went_back, notice }
    }

    fn enter(&mut self, next: State) {
        self.state = next;
        self.since = self.clock;
        self.held = None;
        self.failures.clear();
        self.inconclusive = 0;
        self.errors = 0;
    }

    /// The state after this one when all goes well.
    fn next(&self) -> State {
        match self.state {
            State::Trained => State::Gated,
            State::Gated => State::Shadow,
            State::Shadow => State::Canary,
            State::Canary => State::Ramp { step: 0 },
            State::Ramp { step } if step + 1 < self.config.ramp.len() => State::Ramp { step: step + 1 },
            _ => State::Promoted,
        }
    }

    /// The state after this one when it must not serve.
    fn stopped(&self, reason: &str) -> State {
        let reason = reason.to_owned();
        let has_served = self.state.live_step().is_some() || self.state == State::Promoted;
        if has_served { State::RolledBack { reason } } else { State::Refused { reason } }
    }

    fn gate(&self, gate: &Gate) -> Judged {
        let outcome = match gate.verdict {
            Verdict::Pass => Outcome::Move(State::Gated),
            Verdict::Fail => Outcome::Move(self.stopped(&gate.reason)),
            Verdict::Inconclusive | Verdict::Error => Outcome::Hold,
        };
        (outcome, gate.verdict, gate.reason.clone(), gate.evidence.clone())
    }

    /// Goes on, or asks a person where that is wanted.
    fn advance(&self, reason: &str) -> (Outcome, String) {
        let next = self.next();
        let auto = self.config.auto;
        let is_automatic = match next {
            State::Shadow => auto.shadow,
            State::Canary => auto.canary,
            State::Ramp { .. } => auto.ramp,
            State::Promoted => auto.promote,
            _ => true,
        };
        if is_automatic {
            (Outcome::Move(next), reason.to_owned())
        } else {
            (Outcome::Hold, format!("{reason}; {next} needs approval"))
        }
    }
}

type Judged = (Outcome, Verdict, String, Vec<RuleEvidence>);

fn millis(seconds: u64) -> i64 {
    i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(i64::MAX)
}
