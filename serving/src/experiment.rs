//! Experiments: layers, allocation and the pure function that gives a unit its variant.
//!
//! A **layer** is the whole population, spread over positions 0 to 2³² by hashing the unit with the
//! layer's salt. Each **experiment** of the layer reserves a range of positions (`capacity`) and enrols
//! the front part of it (`share`); experiments of one layer therefore exclude each other, and two layers
//! with different salts are independent. Inside an experiment a second hash, salted with the experiment
//! and the layer, picks the **variant** in proportion to the weights.
//!
//! ```text
//! layer    0 ├── a: capacity .5 ──────────┤├── b: capacity .3 ──┤·········┤ 2³²
//!            │▒▒▒▒▒▒▒▒▒▒ share .3         │▒▒▒ share .1
//!             enrolled ──► grows this way
//! ```
//!
//! - *Sticky by construction*: the result depends on the unit and the configuration, on nothing else.
//! - *A ramp moves nobody*: raising `share` appends positions at the end of the enrolled range; units that
//!   were enrolled keep their variant. Everything else stays fixed while a candidate is under test, because
//!   moving it would move units: the layer is on record since the start, and a server whose configuration
//!   differs by an edit that [`check_change`] names does not open.
//! - *Successive experiments are independent*: each run of a rolling experiment has an id of its own,
//!   which salts the second hash.
//! - *One layer decides who answers*: variants name policies and a request has one answer, so the
//!   configuration may have experiments in one layer only. A variant whose policy nobody serves, such as
//!   `previous` before the first promotion, enrols nobody: the champion answers, outside the experiment.
//!
//! The hash is XXH3-64 of the unit id, seeded with the XXH3-64 of the salt; a position is its upper 32
//! bits. Comparing a position with boundaries scaled to 2³² is the unbiased integer scheme of flagd's
//! fractional operation (`(hash · total) >> 32`), at a granularity of 2⁻³².

mod change;
mod config;
mod plan;

pub use change::check_change;
pub use config::{ExperimentConfig, LayerConfig, PolicyRef, VariantConfig, validate};
pub use plan::{Arm, Plan, Run, RunningExperiment};
