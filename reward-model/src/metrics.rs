//! The metrics of this crate: names, meaning, and the few places that count.

use std::time::{Duration, Instant};

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use plaudit_event::Objective;

use crate::service::STAGES;
use crate::{ChallengerStatus, Drift, GoldenReport, LengthReport, Quality, Refusal, Statistic, StepReport};

/// Examples read by the reward model; tag `use` is `trained`, `capped`, `suspect`, `held_out`, `unlabelled` or `unreadable`.
pub const EXAMPLES: &str = "plaudit_reward_examples_total";
/// Units that are suspected of targeted spam.
pub const SUSPECTS: &str = "plaudit_reward_suspects_count";
/// Corrections of earlier examples among those read.
pub const CORRECTIONS: &str = "plaudit_reward_corrections_total";
/// Offset of the first example that has not been read.
pub const POSITION: &str = "plaudit_reward_log_position";
/// Time to train on one batch read from the log.
pub const BATCH_SECONDS: &str = "plaudit_reward_batch_seconds";
/// Checkpoints; tag `result` is `written`, `failed` or `refused` (damaged, or trained on another log).
pub const CHECKPOINTS: &str = "plaudit_reward_checkpoints_total";
/// Failed reads of the log.
pub const LOG_FAILURES: &str = "plaudit_reward_log_failures_total";
/// Area under the ROC curve of the newest predictions, by objective.
pub const AUROC: &str = "plaudit_reward_auroc_ratio";
/// Log-loss of the newest predictions in nats, by objective.
pub const LOG_LOSS: &str = "plaudit_reward_log_loss_nats";
/// Log-loss of the base rate on the same examples, by objective.
pub const PRIOR_LOG_LOSS: &str = "plaudit_reward_prior_log_loss_nats";
/// Expected calibration error of the newest predictions, by objective.
pub const ECE: &str = "plaudit_reward_ece_ratio";
/// Correlation of the newest predictions with the length of the response, by objective.
pub const LENGTH_CORRELATION: &str = "plaudit_reward_length_correlation_ratio";
/// Correlation of what policies are rewarded with, with the length of the response, by objective.
pub const REWARD_LENGTH_CORRELATION: &str = "plaudit_reward_paid_length_correlation_ratio";
/// Whether that correlation is beyond `reward_model.length.alarm`: 1 or 0, by objective.
pub const LENGTH_ALARM: &str = "plaudit_reward_length_alarm_count";

/// Changes of a statistic of predictions; tags `objective`, `statistic` (`error`, `prediction`, `label` or `length`) and
/// `detector` (`adwin` or `page_hinkley`).
pub const DRIFT_CHANGES: &str = "plaudit_reward_drift_changes_total";
/// Mean of a statistic of predictions since its last change; tags `objective` and `statistic`.
pub const DRIFT_MEAN: &str = "plaudit_reward_drift_mean_ratio";

/// Area under the ROC curve on a golden slice; tags `segment` and `frozen_at`, of which there are as many as slices.
pub const GOLDEN_AUROC: &str = "plaudit_reward_golden_auroc_ratio";
/// What was lost on a golden slice since its best area, by the same tags.
pub const FORGOTTEN: &str = "plaudit_reward_forgotten_auroc_ratio";
/// Mean of that over the slices.
pub const FORGETTING: &str = "plaudit_reward_forgetting_auroc_ratio";
/// 1 while more is forgotten than may be, else 0.
pub const FORGETTING_ALARM: &str = "plaudit_reward_forgetting_alarm_state";

/// Newly trained models; tag `result` is `accepted` or the first reason why it was refused: `not_finite`,
/// `not_evaluated`, `log_loss`, `golden_auroc`, `golden_loss`, `calibration` or `length`.
pub const CHALLENGERS: &str = "plaudit_reward_challengers_total";
/// Refusals since a model was let through last.
pub const REFUSED_IN_A_ROW: &str = "plaudit_reward_refused_in_a_row_count";
/// 1 while those are as many as raise the alarm, else 0.
pub const CHALLENGER_ALARM: &str = "plaudit_reward_challenger_alarm_state";
/// From the close of an example's window to weights that used it; tag `stage` is `attribution`, `reading`, `training`,
/// `publication` or `total`.
pub const FRESHNESS_SECONDS: &str = "plaudit_reward_freshness_seconds";
/// Steps of the encoder's network.
pub const NETWORK_STEPS: &str = "plaudit_reward_network_steps_count";
/// Length of the gradient of the newest step of the encoder's network, before it was clipped.
pub const NETWORK_GRADIENT: &str = "plaudit_reward_network_gradient_norm_ratio";
/// Tokens learned by the encoder's network.
pub const NETWORK_TOKENS: &str = "plaudit_reward_network_tokens_total";
/// Time of one step of the encoder's network.
pub const NETWORK_STEP_SECONDS: &str = "plaudit_reward_network_step_seconds";

/// Describes every metric of this crate to the installed recorder.
pub fn describe() {
    let counters = [
        (EXAMPLES, "examples read by the reward model, by use"),
        (CORRECTIONS, "corrections of earlier examples read"),
        (CHECKPOINTS, "reward checkpoints, by result"),
        (LOG_FAILURES, "failed reads of the example topic"),
        (CHALLENGERS, "newly trained models, by whether they were let through or why not"),
        (NETWORK_TOKENS, "tokens learned by the encoder's network"),
        (DRIFT_CHANGES, "changes of a statistic of predictions, by objective, statistic and detector"),
    ];
    for (name, meaning) in counters {
        describe_counter!(name, Unit::Count, meaning);
    }
    describe_gauge!(POSITION, Unit::Count, "offset of the first example not read");
    describe_gauge!(SUSPECTS, Unit::Count, "units suspected of targeted spam");
    describe_histogram!(
        FRESHNESS_SECONDS,
        Unit::Seconds,
        "from the close of a window to weights that used it, by stage"
    );
    describe_histogram!(BATCH_SECONDS, Unit::Seconds, "time to train on one batch read from the log");
    describe_histogram!(NETWORK_STEP_SECONDS, Unit::Seconds, "time of one step of the encoder's network");
    let gauges = [
        (NETWORK_STEPS, "steps of the encoder's network"),
        (NETWORK_GRADIENT, "length of the newest gradient of the encoder's network, before it was clipped"),
        (AUROC, "area under the ROC curve of predictions made before training, by objective"),
        (LOG_LOSS, "log-loss in nats of predictions made before training, by objective"),
        (PRIOR_LOG_LOSS, "log-loss in nats of the base rate on the same examples, by objective"),
        (ECE, "expected calibration error of predictions made before training, by objective"),
        (LENGTH_CORRELATION, "correlation of predictions with response length, by objective"),
        (GOLDEN_AUROC, "area under the ROC curve on a golden slice, by segment and when it was frozen"),
        (FORGOTTEN, "area lost on a golden slice since its best, by segment and when it was frozen"),
        (FORGETTING, "mean area lost over the golden slices"),
        (FORGETTING_ALARM, "1 while more is forgotten than may be"),
        (REFUSED_IN_A_ROW, "newly trained models refused since one was let through"),
        (CHALLENGER_ALARM, "1 while so many were refused that somebody should look"),
        (
            REWARD_LENGTH_CORRELATION,
            "correlation of what policies are rewarded with, with response length, by objective",
        ),
        (LENGTH_ALARM, "1 while that correlation is beyond the configured bound, by objective"),
        (DRIFT_MEAN, "mean of a statistic of predictions since its last change, by objective and statistic"),
    ];
    for (name, meaning) in gauges {
        describe_gauge!(name, Unit::Count, meaning);
    }
}

/// Measures how long something takes.
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn batch_done(&self) {
        histogram!(BATCH_SECONDS).record(self.0.elapsed().as_secs_f64());
    }
}

pub(crate) fn step(report: &StepReport, unreadable: u64) {
    counter!(EXAMPLES, "use" => "trained").increment(report.trained);
    counter!(EXAMPLES, "use" => "capped").increment(report.capped);
    counter!(EXAMPLES, "use" => "suspect").increment(report.suspect);
    counter!(EXAMPLES, "use" => "held_out").increment(report.held_out);
    counter!(EXAMPLES, "use" => "unlabelled").increment(report.unlabelled);
    counter!(EXAMPLES, "use" => "unreadable").increment(unreadable);
    counter!(CORRECTIONS).increment(report.corrections);
}

pub(crate) fn network_step(norm: f64, steps: u64, tokens: u64, time: Duration) {
    gauge!(NETWORK_GRADIENT).set(norm);
    gauge!(NETWORK_STEPS).set(steps as f64);
    counter!(NETWORK_TOKENS).increment(tokens);
    histogram!(NETWORK_STEP_SECONDS).record(time.as_secs_f64());
}

pub(crate) fn suspects(units: u64) {
    gauge!(SUSPECTS).set(units as f64);
}

pub(crate) fn position(position: u64) {
    gauge!(POSITION).set(position as f64);
}

pub(crate) fn checkpoint(result: &'static str) {
    counter!(CHECKPOINTS, "result" => result).increment(1);
}

pub(crate) fn log_failure() {
    counter!(LOG_FAILURES).increment(1);
}

pub(crate) fn quality(objective: &Objective, quality: &Quality) {
    let set = |name: &'static str, value: f64| {
        gauge!(name, "objective" => objective.0.clone()).set(value);
    };
    set(LOG_LOSS, quality.log_loss);
    set(PRIOR_LOG_LOSS, quality.prior_log_loss);
    set(ECE, quality.ece);
    if let Some(auroc) = quality.auroc {
        set(AUROC, auroc);
    }
    if let Some(correlation) = quality.length_correlation {
        set(LENGTH_CORRELATION, correlation);
    }
}

pub(crate) fn length(objective: &Objective, length: &LengthReport) {
    if let Some(reward) = length.reward {
        gauge!(REWARD_LENGTH_CORRELATION, "objective" => objective.0.clone()).set(reward);
    }
    gauge!(LENGTH_ALARM, "objective" => objective.0.clone()).set(f64::from(u8::from(length.alarm)));
}

pub(crate) fn drift(objective: &Objective, statistic: Statistic, drift: &Drift) {
    let (objective, statistic) = (objective.0.clone(), statistic.as_str());
    let changes = [("adwin", drift.changes), ("page_hinkley", drift.page_hinkley_changes)];
    for (detector, changes) in changes {
        counter!(DRIFT_CHANGES, "objective" => objective.clone(), "statistic" => statistic, "detector" => detector)
            .absolute(changes);
    }
    gauge!(DRIFT_MEAN, "objective" => objective, "statistic" => statistic).set(drift.mean);
}

pub(crate) fn golden(report: &GoldenReport) {
    for slice in &report.slices {
        let (segment, frozen_at) = (slice.segment.clone(), slice.frozen_at.to_string());
        if let Some(now) = slice.now {
            gauge!(GOLDEN_AUROC, "segment" => segment.clone(), "frozen_at" => frozen_at.clone()).set(now);
        }
        if let Some(forgotten) = slice.forgotten {
            gauge!(FORGOTTEN, "segment" => segment, "frozen_at" => frozen_at).set(forgotten);
        }
    }
    if let Some(forgetting) = report.forgetting {
        gauge!(FORGETTING).set(forgetting);
    }
    gauge!(FORGETTING_ALARM).set(f64::from(u8::from(report.alarm)));
}

pub(crate) fn challenger(reasons: &[Refusal], status: &ChallengerStatus) {
    let result = reasons.first().map_or("accepted", Refusal::as_str);
    counter!(CHALLENGERS, "result" => result).increment(1);
    gauge!(REFUSED_IN_A_ROW).set(status.in_a_row as f64);
    gauge!(CHALLENGER_ALARM).set(f64::from(u8::from(status.alarm)));
}

pub(crate) fn freshness(seconds: &[f64; STAGES.len()]) {
    for (stage, seconds) in STAGES.iter().zip(seconds) {
        histogram!(FRESHNESS_SECONDS, "stage" => *stage).record(*seconds);
    }
}
