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
//!   were enrolled keep their variant. Weights stay fixed while an experiment runs, because moving them
//!   would move units; [`check_change`] refuses such edits.
//! - *Successive experiments are independent*: each run of a rolling experiment has an id of its own,
//!   which salts the second hash.
//!
//! The hash is XXH3-64 of the unit id, seeded with the XXH3-64 of the salt; a position is its upper 32
//! bits. Comparing a position with boundaries scaled to 2³² is the unbiased integer scheme of flagd's
//! fractional operation (`(hash · total) >> 32`), at a granularity of 2⁻³².

mod config;
mod plan;

pub use config::{ExperimentConfig, LayerConfig, PolicyRef, VariantConfig, check_change, validate};
pub use plan::{Arm, Plan, Run, RunningExperiment};
