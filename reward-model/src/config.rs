//! Settings of the reward model. Every field has a default that serves both rare reactions (a few percent of love)
//! and common ones (thumbs).

mod learning;
mod predictions;

use std::ops::RangeInclusive;

use plaudit_event::Objective;
use plaudit_ingest::Problem;
use plaudit_nn::device::Compute;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::challenger::ChallengerConfig;
use crate::deep::NetworkConfig;
use crate::encode::ENCODER_VERSION;
use crate::factors::MOST_FACTORS;
use crate::golden::GoldenConfig;
use crate::guard::GuardConfig;
use crate::remarks::config::RemarkConfig;
use crate::trainer::pairs::config::PairConfig;
pub use learning::{LearnerConfig, ReplayConfig, ReplayStrategy, SegmentConfig};
pub use predictions::{CalibrationConfig, DelayConfig, LengthConfig, PropensityConfig};

/// Settings of the reward model and its service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is predicted, one head each.
    pub objectives: Vec<Objective>,
    /// How text becomes features.
    pub encoder: EncoderConfig,
    /// How the heads learn.
    pub learner: LearnerConfig,
    /// What is learned again and again.
    pub replay: ReplayConfig,
    /// Which pairs are learned again.
    pub pairs: PairConfig,
    /// What is learned from parts of responses and from reasons.
    pub remarks: RemarkConfig,
    /// How predictions are kept calibrated.
    pub calibration: CalibrationConfig,
    /// What policies are rewarded with.
    pub length: LengthConfig,
    /// How learning makes up for those who do not react.
    pub propensity: PropensityConfig,
    /// How learning makes up for reactions that come after the window.
    pub delay: DelayConfig,
    /// Which units are not believed.
    pub guard: GuardConfig,
    /// What is held out of training, to see what is forgotten.
    pub golden: GoldenConfig,
    /// What examples are told apart by when quality and memory are looked at in parts.
    pub segments: SegmentConfig,
    /// Most examples of one unit per day that are trained on, corrections among them, at least 1. Of the others, new
    /// ones are only predicted, and corrections only remove what they correct. Bounds what one adversarial user can do.
    pub max_examples_per_unit_day: u32,
    /// How many of the newest predictions quality is measured on, per objective.
    pub metrics_window: usize,
    /// When a model may not take the place of the one that serves. Not part of a checkpoint's configuration hash.
    pub challenger: ChallengerConfig,
    /// The loop around the trainer. Not part of a checkpoint's configuration hash.
    pub service: ServiceConfig,
}

impl Default for Config {
    fn default() -> Self {
        let names = [Objective::LOVE, Objective::HELPFULNESS, Objective::SAFETY];
        Self {
            objectives: names.map(Objective::new).into(),
            encoder: EncoderConfig::default(),
            learner: LearnerConfig::default(),
            replay: ReplayConfig::default(),
            pairs: PairConfig::default(),
            remarks: RemarkConfig::default(),
            calibration: CalibrationConfig::default(),
            length: LengthConfig::default(),
            propensity: PropensityConfig::default(),
            delay: DelayConfig::default(),
            guard: GuardConfig::default(),
            golden: GoldenConfig::default(),
            segments: SegmentConfig::default(),
            max_examples_per_unit_day: 200,
            metrics_window: 10_000,
            challenger: ChallengerConfig::default(),
            service: ServiceConfig::default(),
        }
    }
}

/// Which encoder, and its sizes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EncoderConfig {
    /// The encoder.
    pub kind: EncoderKind,
    /// Size of the table that features are hashed into, 2^10 to 2^24.
    pub buckets: u32,
    /// Most tokens read of the response, from its start.
    pub max_response_tokens: usize,
    /// Most tokens read of the request, and of each earlier message.
    pub max_request_tokens: usize,
    /// Most words of the request that are crossed with the words of the response; 0 turns crossing off.
    pub max_cross_request_words: usize,
    /// Most words of the response that are crossed with the words of the request.
    pub max_cross_response_words: usize,
    /// Most words of the response, and of the request, whose character n-grams are read; 0 turns them off.
    pub max_gram_words: usize,
    /// How many earlier messages are read.
    pub max_history_messages: usize,
    /// The network of the encoders that have one.
    pub network: NetworkConfig,
}

/// The encoders of this build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EncoderKind {
    /// Hashed words, word pairs, crosses and surface features; on the CPU.
    Hash,
    /// A network of the BERT family beside them.
    Bert,
    /// A decoder of the Llama or Qwen family beside them: the state of a row's last token.
    Decoder,
}

impl Default for EncoderConfig {
    fn default() -> Self {
        Self {
            kind: EncoderKind::Hash,
            buckets: 1 << 17,
            max_response_tokens: 256,
            max_request_tokens: 64,
            max_cross_request_words: 10,
            max_cross_response_words: 24,
            max_gram_words: 0,
            max_history_messages: 3,
            network: NetworkConfig::default(),
        }
    }
}

/// The loop around the trainer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceConfig {
    /// Most examples read from the log at once.
    pub batch_examples: usize,
    /// Pause before looking again when the log had nothing new, in milliseconds.
    pub poll_ms: u64,
    /// Publish a new scorer after this many examples, and whenever the log is drained.
    pub publish_every: u64,
    /// Write a checkpoint after this many examples, and at shutdown.
    pub checkpoint_every: u64,
    /// How many checkpoints are kept.
    pub keep_checkpoints: usize,
    /// Pause after a failed read of the log, in milliseconds.
    pub retry_ms: u64,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        Self {
            batch_examples: 256,
            poll_ms: 50,
            publish_every: 1_024,
            checkpoint_every: 5_000,
            keep_checkpoints: 3,
            retry_ms: 1_000,
        }
    }
}

impl Config {
    /// Every problem of this configuration; empty when it is fine.
    #[must_use]
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut add = |path: &str, message: String| problems.push(Problem { path: path.to_owned(), message });
        let mut names: Vec<&Objective> = self.objectives.iter().collect();
        names.sort();
        names.dedup();
        if names.is_empty() || names.len() != self.objectives.len() {
            add("objectives", "must be at least one name, none twice".to_owned());
        }
        let buckets = self.encoder.buckets;
        if !(1 << 10..=1 << 24).contains(&buckets) {
            add("encoder.buckets", format!("must be 1024 to 16777216, got {buckets}"));
        }
        let (most, members) = (self.segments.most, self.learner.ensemble);
        if !(1..=1_024).contains(&most) {
            add("segments.most", format!("must be 1 to 1024, got {most}"));
        }
        let paces = self.calibration.paces;
        if !(1..=8).contains(&paces) {
            add("calibration.paces", format!("must be 1 to 8, got {paces}"));
        }
        if members > 32 {
            add("learner.ensemble", format!("must be 0 to 32, got {members}"));
        }
        let factors = self.learner.factors;
        if factors > MOST_FACTORS {
            add("learner.factors", format!("must be 0 to {MOST_FACTORS}, got {factors}"));
        }
        let parts = [
            self.guard.problems(),
            self.pairs.problems(),
            self.remarks.problems(),
            self.golden.problems(),
            self.challenger.problems(),
        ];
        for (key, message) in parts.into_iter().flatten() {
            add(key, message);
        }
        for (key, message) in self.encoder.network.problems(self.encoder.kind) {
            add(&format!("encoder.network.{key}"), message);
        }
        for (key, value) in self.counts() {
            if value == 0 {
                add(key, "must be at least 1, got 0".to_owned());
            }
        }
        for (key, value, range, allowed) in self.numbers() {
            if !value.is_finite() || !range.contains(&value) {
                add(key, format!("must be {allowed}, got {value:?}"));
            }
        }
        problems
    }

    fn counts(&self) -> [(&'static str, usize); 8] {
        [
            ("encoder.max_response_tokens", self.encoder.max_response_tokens),
            ("encoder.max_request_tokens", self.encoder.max_request_tokens),
            ("replay.capacity", self.replay.capacity),
            ("max_examples_per_unit_day", self.max_examples_per_unit_day as usize),
            ("metrics_window", self.metrics_window),
            ("propensity.units", self.propensity.units),
            ("service.batch_examples", self.service.batch_examples),
            ("service.keep_checkpoints", self.service.keep_checkpoints),
        ]
    }

    fn numbers(&self) -> [(&'static str, f64, RangeInclusive<f64>, &'static str); 21] {
        let (learner, calibration) = (&self.learner, &self.calibration);
        // Training computes in single precision, where smaller numbers become 0 and the largest ones infinite.
        let above_zero = (1e-6..=1e6, "1e-6 to 1e6");
        let not_negative = (0.0..=1e6, "0 to 1e6");
        let number =
            |key, value, (range, allowed): &(RangeInclusive<f64>, &'static str)| (key, value, range.clone(), *allowed);
        let horizon = (32.0..=1e9, "32 to 1e9");
        let share = (1e-6..=0.5, "above 0 and at most 0.5");
        [
            number("learner.alpha", learner.alpha, &above_zero),
            number("learner.beta", learner.beta, &above_zero),
            number("learner.l1", learner.l1, &not_negative),
            number("learner.l2", learner.l2, &not_negative),
            number("learner.factor_alpha", learner.factor_alpha, &above_zero),
            number("learner.factor_l2", learner.factor_l2, &not_negative),
            number("learner.average_decay", learner.average_decay, &not_negative),
            number("learner.average_horizon", learner.average_horizon, &horizon),
            number("calibration.offset_prior", calibration.offset_prior, &above_zero),
            number("calibration.offset_drift", calibration.offset_drift, &not_negative),
            number("calibration.slope_drift", calibration.slope_drift, &not_negative),
            number("calibration.slope_prior", calibration.slope_prior, &not_negative),
            number("calibration.segment_prior", calibration.segment_prior, &not_negative),
            number("calibration.bend_drift", calibration.bend_drift, &not_negative),
            number("calibration.bend_prior", calibration.bend_prior, &not_negative),
            number("replay.positive_share", self.replay.positive_share, &share),
            number("replay.confusable", self.replay.confusable, &(0.0..=10.0, "0 to 10")),
            number("replay.logit_weight", self.replay.logit_weight, &(0.0..=10.0, "0 to 10")),
            number("propensity.clip", self.propensity.clip, &(1.0..=1e3, "1 to 1000")),
            number("length.alarm", self.length.alarm, &(0.0..=1.0, "0 to 1")),
            number("learner.rewarm", learner.rewarm, &(1e-6..=1.0, "above 0 and at most 1")),
        ]
    }

    /// Fails with all problems at once.
    ///
    /// # Errors
    /// Fails when [`Config::validate`] is not empty.
    pub fn check(&self) -> Result<(), Error> {
        let problems = self.validate();
        if problems.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Err(Error::Config(lines.join("; ")))
    }

    /// Hash of everything that the weights depend on; the settings of the service and of challengers are left out.
    #[must_use]
    pub fn hash(&self) -> String {
        plaudit_nn::checkpoint::config_hash(&(ENCODER_VERSION, self.learning()))
    }

    /// Numbers per word in the bilinear term; none where a network is alone.
    pub(crate) fn factors(&self) -> usize {
        let is_alone = self.encoder.kind != EncoderKind::Hash && !self.encoder.network.with_hash;
        if is_alone { 0 } else { self.learner.factors }
    }

    /// The configuration without the settings of the service, of challengers and of the device and its memory, which do
    /// not change what is learned.
    pub(crate) fn learning(&self) -> Self {
        let (challenger, service) = (ChallengerConfig::default(), ServiceConfig::default());
        let mut learning = Self { challenger, service, ..self.clone() };
        learning.encoder.network.device = Compute::default();
        learning.encoder.network.memory_bytes = 0;
        learning
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_fine_and_every_problem_is_told_at_once() {
        assert_eq!(Config::default().validate(), []);
        let mut wrong = Config::default();
        wrong.objectives.push(Objective::new("love"));
        wrong.encoder.buckets = 7;
        wrong.learner.alpha = 1e-50;
        wrong.learner.beta = 1e300;
        wrong.learner.l1 = -1.0;
        wrong.learner.average_horizon = 31.0;
        wrong.calibration.offset_prior = 0.0;
        wrong.learner.l2 = f64::NAN;
        wrong.replay.positive_share = 0.6;
        wrong.metrics_window = 0;
        wrong.pairs.capacity = 0;
        wrong.pairs.per_pair = 65;
        wrong.remarks.similarity = f64::NAN;
        wrong.remarks.max_reasons = 0;
        wrong.max_examples_per_unit_day = 0;
        let text = wrong.check().unwrap_err().to_string();
        for problem in [
            "objectives",
            "encoder.buckets",
            "learner.alpha: must be 1e-6 to 1e6, got 1e-50",
            "learner.beta: must be 1e-6 to 1e6, got 1e300",
            "learner.l1: must be 0 to 1e6, got -1.0",
            "learner.l2: must be 0 to 1e6, got NaN",
            "learner.average_horizon: must be 32 to 1e9, got 31.0",
            "calibration.offset_prior: must be 1e-6 to 1e6, got 0.0",
            "max_examples_per_unit_day: must be at least 1, got 0",
            "pairs.capacity: must be 1 to 1000000, got 0",
            "pairs.per_pair: must be 0 to 64, got 65",
            "remarks.similarity: must be 0.1 to 1, got NaN",
            "remarks.max_reasons: must be 1 to 10000, got 0",
        ] {
            assert!(text.contains(problem), "{problem} is not in {text}");
        }
        assert!(text.contains("replay.positive_share: must be above 0 and at most 0.5, got 0.6"));
        assert!(text.contains("metrics_window: must be at least 1, got 0"));
    }

    #[test]
    fn the_hash_follows_learning_but_not_the_service() {
        let base = Config::default();
        let mut service = base.clone();
        service.service.poll_ms += 1;
        assert_eq!(service.hash(), base.hash());
        let mut device = base.clone();
        device.encoder.network.memory_bytes = 1 << 30;
        assert_eq!(device.hash(), base.hash());
        let mut learning = base.clone();
        learning.learner.alpha *= 2.0;
        assert_ne!(learning.hash(), base.hash());
    }
}
