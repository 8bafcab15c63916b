//! Assignment: which unit gets which variant.
//!
//! A [`Definition`] is what a person writes: layers, experiments, ramps, holdouts, kill switches. It is checked as a whole
//! ([`Definition::validate`]), an edit of it against what is running ([`check_change`]), and what changed is told by
//! [`diff`]. Compiled, it is a [`Plan`], which decides without allocating: [`Plan::assign`]. A decision carries all that
//! replaying it takes ([`Plan::log`], [`Plan::replay`]).
//!
//! Hash, ranges and the language of targeting follow GrowthBook's published SDK specification, so that nobody has to
//! learn another; [`growthbook`] evaluates whole definitions of theirs.

mod condition;
mod config;
pub mod growthbook;
mod hash;
mod plan;
mod range;

pub use condition::{Condition, ConditionError, Group, Groups, Pruned, prune};
pub use config::{
    AllocationConfig, Cohort, Definition, Edit, ExperimentConfig, HoldoutConfig, LayerConfig, MAX_EXPERIMENTS,
    MAX_FORCED, MAX_LAYERS, MAX_STEPS, MAX_VARIANTS, Problem, Refusal, StepConfig, VariantConfig, check_change, diff,
};
pub use hash::{BUCKETS, Salt, fnv1a32, hash};
pub use plan::{Compile, Decision, Experiment, Logged, Mismatch, Phase, Plan, Reason, Request, Run, Variant};
pub use range::{Range, WEIGHTS_SLACK, bucket_ranges, choose_variation, equal_weights, in_namespace, in_range};
