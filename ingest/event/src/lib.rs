//! The vocabulary of Plaudit: what crosses the boundary between two crates, and nothing else.
//!
//! - **exposure**: one decision shown to a unit, with its context, slate, policy, propensity and time.
//! - **impression**: one item of an exposure at a position.
//! - **signal**: a raw reaction that names an exposure (`love`, `copy`, `regenerate`, `click`, …).
//! - **attribution window**: how long signals may arrive before the exposure is closed.
//! - **example**: an exposure whose window closed, with one label per objective: the training row.
//! - **reward**: a scalar in \[0, 1\] that a policy maximises; `P[love]` is one reward.
//! - **policy**: context × candidates → a decision with a propensity.
//! - **unit**: who is randomised; **layer**: a set of mutually exclusive experiments;
//!   **variant**: one side of an experiment.
//!
//! No IO, no async, no tensors, no wall clock, no global randomness: time comes as a [`Clock`],
//! randomness as a [`Seed`].

mod example;
mod exposure;
mod id;
mod reward;
mod seed;
mod signal;
mod time;
mod wire;

pub use example::{Example, FAILED, LATENCY_MS, Label, Labels, Objective, Remarks};
pub use exposure::{
    Assignment, Context, Draw, Exposure, Impression, Interleaving, Message, Mixture, Role, Stage, Surface, TokenLogprob,
};
pub use id::{CheckpointId, ExperimentId, ExposureId, IdError, LayerId, PolicyId, SignalId, UnitId, VariantId};
pub use reward::{Propensity, RangeError, Reward};
pub use seed::{Seed, Stream};
pub use signal::{Actor, Signal, SignalKind, Span};
pub use time::{Clock, ManualClock, Timestamp};
pub use wire::{ENVELOPE_VERSION, Envelope, Event, InvalidEvent, json_schema};
