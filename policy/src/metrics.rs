//! Names of the metrics of this crate, and the few places that emit them.

use std::time::Instant;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::crpg::StepReport;
use crate::select::Folded;

/// Examples offered to selection, by `outcome`.
pub const SELECT_EXAMPLES: &str = "plaudit_select_examples_total";
/// Steps of the learner.
pub const LEARNER_STEPS: &str = "plaudit_learner_steps_total";
/// Time of one step, by `part`: generate, reward, update.
pub const LEARNER_STEP_SECONDS: &str = "plaudit_learner_step_duration_seconds";
/// Mean regularised reward of the newest step.
pub const LEARNER_REWARD: &str = "plaudit_learner_reward_ratio";
/// Running KL per token from the reference.
pub const LEARNER_KL: &str = "plaudit_learner_kl_nats";
/// Share of responses accepted by each `judge` in the newest step.
pub const LEARNER_JUDGE_PASS: &str = "plaudit_learner_judge_pass_ratio";

/// Describes every metric of this crate to the recorder.
pub fn describe() {
    describe_counter!(SELECT_EXAMPLES, Unit::Count, "Examples offered to selection, by outcome");
    describe_counter!(LEARNER_STEPS, Unit::Count, "Steps of the policy learner");
    describe_histogram!(LEARNER_STEP_SECONDS, Unit::Seconds, "Time of one step of the policy learner, by part");
    describe_gauge!(LEARNER_REWARD, "Mean regularised reward of the newest step of the policy learner");
    describe_gauge!(LEARNER_KL, "Running divergence of the candidate from its parent, in nats per token");
    describe_gauge!(LEARNER_JUDGE_PASS, "Share of responses accepted in the newest step, by judge");
}

pub(crate) fn folded(outcome: Folded) {
    counter!(SELECT_EXAMPLES, "outcome" => outcome.name()).increment(1);
}

pub(crate) fn stepped(report: &StepReport) {
    counter!(LEARNER_STEPS).increment(1);
    let seconds = report.seconds;
    for (part, value) in [("generate", seconds.generate), ("reward", seconds.reward), ("update", seconds.update)] {
        histogram!(LEARNER_STEP_SECONDS, "part" => part).record(value);
    }
    gauge!(LEARNER_REWARD).set(report.reward);
    gauge!(LEARNER_KL).set(report.kl_running);
    for (judge, rate) in &report.judges {
        gauge!(LEARNER_JUDGE_PASS, "judge" => judge.clone()).set(*rate);
    }
}

/// Measures durations for reports and metrics; nothing is decided by them.
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Seconds since the start or the last lap.
    pub(crate) fn lap(&mut self) -> f64 {
        let now = Instant::now();
        let seconds = now.duration_since(self.0).as_secs_f64();
        self.0 = now;
        seconds
    }
}
