//! Assignment: which unit gets which variant.

mod condition;
pub mod growthbook;
mod hash;
mod range;

pub use condition::{Condition, ConditionError, Group, Groups, Pruned, prune};
pub use hash::{BUCKETS, Salt, fnv1a32, hash};
pub use range::{Range, WEIGHTS_SLACK, bucket_ranges, choose_variation, equal_weights, in_namespace, in_range};
