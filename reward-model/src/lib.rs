//! `P[love]`: the reward model, trained continuously on attributed examples.
//!
//! `P[love](x, y) = Pr(love | context x, response y)` (*Reinforcement Learning from User Feedback*, arXiv 2505.14946),
//! and the same for every other objective: one head each over one encoder.
//!
//! The path of an example: the [`Trainer`] predicts it with the model as it is (that prediction is what quality is
//! measured on), learns from it, learns again from a few remembered ones, and forgets nothing that a checkpoint needs
//! to go on bit for bit. A correction takes the place of what it corrects in the memory, in the calibration and in the
//! labels that quality is measured against. [`RewardService`] runs the trainer on a thread of its own over the example
//! topic of the log and publishes immutable scorers. [`evaluate`] measures a model on given examples.
//!
//! Rare positives are drawn more often than they occur; the loss is taken at the model's logit plus the logarithm of
//! that oversampling, `ln(s/(1−s)) − ln(π/(1−π))`, so that the logit itself is the one at the true base rate π (the
//! prior correction of King & Zeng 2001, applied while training instead of after it). A running recalibration follows
//! a base rate that moves. Detectors of change watch the error of predictions and what they are made from ([`Drift`]).

mod calibration;
pub mod card;
mod challenger;
mod config;
mod deep;
pub mod delay;
pub mod drift;
mod encode;
mod error;
mod evaluate;
mod factors;
mod golden;
mod guard;
mod hash_model;
mod learner;
mod length;
mod linear;
pub mod metrics;
mod model;
pub mod overoptimisation;
pub mod plot;
mod prequential;
mod propensity;
mod prototypes;
pub mod quality;
pub mod recalibration;
mod remarks;
mod replay;
mod segments;
mod service;
mod trainer;
mod unit_cap;

pub use challenger::{ChallengerConfig, ChallengerStatus, OnAlarm, Refusal, RefusedChallenger, Versus};
pub use config::{
    CalibrationConfig, Config, DelayConfig, EncoderConfig, EncoderKind, LearnerConfig, LengthConfig, PropensityConfig,
    ReplayConfig, ReplayStrategy, SegmentConfig, ServiceConfig,
};
pub use deep::{NetworkConfig, NetworkMemory, TrainedPart};
pub use drift::{Drift, Statistic};
pub use error::Error;
pub use evaluate::{Bootstrap, Estimate, PairQuality, Report, evaluate, evaluate_pairs};
pub use golden::{FORGETTING_ALARM, GoldenConfig, GoldenReport, Measurement, SliceReport};
pub use guard::GuardConfig;
pub use hash_model::HashModel;
pub use model::{RewardModel, Row, Scores};
pub use prequential::Prediction;
pub use prototypes::{CONFUSABLE, ConfusablePair};
pub use quality::Quality;
pub use remarks::PrincipleScore;
pub use remarks::config::RemarkConfig;
pub use remarks::principles::Principle;
pub use remarks::principles::consensus::LearnedPrinciple;
pub use remarks::spans::SpanScore;
pub use service::{Freshness, RewardHandle, RewardService, StageSeconds, Status};
pub use trainer::LengthReport;
pub use trainer::pairs::config::PairConfig;
pub use trainer::pairs::{Pair, PairReport};
pub use trainer::{StepReport, Trainer};

/// The number under which replay rows remember an exposure.
#[must_use]
pub fn exposure_row(id: &plaudit_event::ExposureId) -> u64 {
    encode::hash_text(id.as_str())
}
