//! Settings of the comparison before a model serves.

use serde::{Deserialize, Serialize};

/// When a newly trained model is not let through. Not part of a checkpoint's configuration hash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChallengerConfig {
    /// Whether models are compared at all before they serve.
    pub enabled: bool,
    /// A challenger is refused when its log-loss on the newest held-out rows is surely larger than the champion's by more
    /// than this, in nats: the lower end of the 95 % interval is. 0 to 10.
    pub max_log_loss_rise: f64,
    /// The same for the mean area under the ROC curve that is lost on the golden slices, 0 to 1.
    pub max_auroc_drop: f64,
    /// The same for the mean log-loss on the golden slices, in nats, 0 to 10: love that suddenly is everywhere, or
    /// nowhere.
    pub max_golden_loss_rise: f64,
    /// Most by which the calibration error on the newest held-out rows may rise, 0 to 1.
    pub max_ece_rise: f64,
    /// Most by which the correlation with length may move away from 0, 0 to 2.
    pub max_length_rise: f64,
    /// Fewest newest held-out rows for a judgement, at least 2; fewer, or fewer than a tenth of it of one class, and only
    /// the golden slices count.
    pub least: usize,
    /// Resamples of the intervals, 40 to 10,000.
    pub resamples: usize,
    /// Refusals in a row that raise the alarm, at least 1.
    pub alarm_after: u64,
    /// What happens then.
    pub on_alarm: OnAlarm,
}

/// What follows so many refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnAlarm {
    /// Training goes on and tries again; the champion serves until a person or the world has changed something.
    Keep,
    /// Training goes back to the newest checkpoint of a model that was let through, and goes on with the examples that
    /// come next. What is trained then depends on when models were published, not on the log alone.
    Return,
}

impl Default for ChallengerConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            max_log_loss_rise: 0.01,
            max_auroc_drop: 0.02,
            max_golden_loss_rise: 0.1,
            max_ece_rise: 0.05,
            max_length_rise: 0.2,
            least: 100,
            resamples: 200,
            alarm_after: 10,
            on_alarm: OnAlarm::Keep,
        }
    }
}

impl ChallengerConfig {
    /// Every value outside its range, by key.
    pub(crate) fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let numbers = [
            ("challenger.max_log_loss_rise", self.max_log_loss_rise, 10.0, "0 to 10"),
            ("challenger.max_auroc_drop", self.max_auroc_drop, 1.0, "0 to 1"),
            ("challenger.max_golden_loss_rise", self.max_golden_loss_rise, 10.0, "0 to 10"),
            ("challenger.max_ece_rise", self.max_ece_rise, 1.0, "0 to 1"),
            ("challenger.max_length_rise", self.max_length_rise, 2.0, "0 to 2"),
        ];
        for (key, value, most, allowed) in numbers {
            if !(0.0..=most).contains(&value) {
                problems.push((key, format!("must be {allowed}, got {value:?}")));
            }
        }
        if self.least < 2 {
            problems.push(("challenger.least", format!("must be at least 2, got {}", self.least)));
        }
        if !(40..=10_000).contains(&self.resamples) {
            problems.push(("challenger.resamples", format!("must be 40 to 10000, got {}", self.resamples)));
        }
        if self.alarm_after == 0 {
            problems.push(("challenger.alarm_after", "must be at least 1, got 0".to_owned()));
        }
        problems
    }
}
