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
    progress: Progress,
}

/// How far a delivery has come: all of it that events change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
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
            progress: Progress {
                state: State::Trained,
                since: at,
                clock: at,
                last_evaluation: None,
                held: None,
                failures: BTreeMap::new(),
                inconclusive: 0,
                errors: 0,
            },
        })
    }

    /// How far it has come.
    #[must_use]
    pub const fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The same candidate and configuration, as far as `progress`: from there on every decision is the same as without
    /// the interruption.
    #[must_use]
    pub fn resumed(&self, progress: Progress) -> Self {
        Self { progress, ..self.clone() }
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
        &self.progress.state
    }

    /// Since when.
    #[must_use]
    pub const fn since(&self) -> Timestamp {
        self.progress.since
    }

    /// Why it waits for a person, if it does.
    #[must_use]
    pub fn held(&self) -> Option<&str> {
        self.progress.held.as_deref()
    }

    /// When the next evaluation is due; later ones are valid too. Nothing before the gate and at the end.
    #[must_use]
    pub fn next_evaluation(&self) -> Option<Timestamp> {
        if self.progress.state.is_final() || self.progress.state == State::Trained {
            return None;
        }
        Some(
            self.progress
                .last_evaluation
                .map_or(self.progress.clock, |last| last.plus_millis(millis(self.config.period_seconds))),
        )
    }

    /// How the population is to be divided now.
    #[must_use]
    pub fn shares(&self) -> Shares {
        match (&self.progress.state, self.progress.state.live_step().and_then(|step| self.config.step(step))) {
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
        let illegal = |reason| Illegal { event: event.name(), state: self.progress.state.clone(), reason };
        if self.progress.state.is_final()
            && !matches!((event, &self.progress.state), (Event::Stop { .. }, State::Promoted))
        {
            return Err(illegal("the delivery is over"));
        }
        let is_trained = self.progress.state == State::Trained;
        let is_gated = self.progress.state == State::Gated;
        match event {
            Event::NoData { .. } if is_gated => return Err(illegal("nothing is watched yet")),
            Event::Gate(_) if !is_trained => return Err(illegal("the gate has spoken")),
            Event::Evaluate(_) | Event::NoData { .. } | Event::Advance { .. } if is_trained => {
                return Err(illegal("the gate comes first"));
            }
            Event::Approve { .. } if self.progress.held.is_none() => return Err(illegal("nothing waits for approval")),
            _ => {}
        }
        let went_back = at < self.progress.clock;
        self.progress.clock = self.progress.clock.max(at);
        let (outcome, verdict, reason, evidence) = match event {
            Event::Gate(gate) => self.gate(gate),
            Event::Evaluate(seen) => self.evaluate(seen),
            Event::NoData { reason } => {
                self.progress.last_evaluation = Some(self.progress.clock);
                self.no_data(reason)
            }
            Event::Approve { by } => {
                (Outcome::Move(self.next()), Verdict::Pass, format!("approved by {by}"), Vec::new())
            }
            Event::Advance { by } => {
                (Outcome::Move(self.next()), Verdict::Pass, format!("moved on by {by}"), Vec::new())
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
        let from = self.progress.state.clone();
        let is_news = match outcome {
            Outcome::Stay => false,
            Outcome::Hold => self.progress.held.replace(reason.clone()).is_none(),
            Outcome::Move(next) => {
                debug_assert!(from.leads_to(&next), "{from} → {next}");
                self.enter(next);
                true
            }
        };
        let to = self.progress.state.clone();
        let notice = is_news.then(|| Notice {
            policy_id: self.policy_id.clone(),
            from: from.clone(),
            to: to.clone(),
            reason: reason.clone(),
            numbers: evidence.clone(),
            at: self.progress.clock,
        });
        let held = self.progress.held.is_some();
        Decision { at: self.progress.clock, from, to, verdict, reason, held, evidence, clock_went_back, notice }
    }

    fn enter(&mut self, next: State) {
        self.progress.state = next;
        self.progress.since = self.progress.clock;
        self.progress.held = None;
        self.progress.failures.clear();
        self.progress.inconclusive = 0;
        self.progress.errors = 0;
    }

    /// The state after this one when all goes well.
    fn next(&self) -> State {
        match self.progress.state {
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
        let has_served = self.progress.state.live_step().is_some() || self.progress.state == State::Promoted;
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
