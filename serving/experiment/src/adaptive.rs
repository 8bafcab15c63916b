//! Allocation that follows what was seen, and inference that survives it.
//!
//! An [`Allocator`] turns unit-level sums into the probabilities of the next epoch: by the probability of
//! being best ([`probability_best`]), by [`top_two`], or by [`track_and_stop`]; never below a floor, because
//! the logged probability is what all later inference divides by.
//!
//! [`Cohorts`] puts them together for experiments whose units must keep their arms.
//!
//! Means per arm are biased once the allocation follows the data, and wrong where the base rate moves: an arm
//! served mostly in the evening looks as good as the evening. So no decision here rests on them.
//! [`WeightedAipw`] gives intervals at a fixed time; [`WinnerTest`] says at any time which arm is best, and is
//! wrong with probability at most δ whatever the allocation, the stopping and the base rate. [`glr_stop`], which
//! is neither, is here to be compared with.

mod aipw;
mod allocator;
mod arms;
mod beta;
mod cohorts;
mod contextual;
mod error;
mod fading;
mod features;
mod gap;
mod posterior;
mod ridge;
mod track;
mod winner;

pub use aipw::{WeightedAipw, Weighting};
pub use allocator::{Allocator, Belief, Choice, Rule, Settings};
pub use arms::{ArmSums, Memory};
pub use beta::{Beta, beta_best};
pub use cohorts::{Cohorts, Split};
pub use contextual::{Contextual, ContextualSettings, Learned};
pub use error::Error;
pub use fading::{Fading, HalfLife};
pub use features::{Features, key, pair};
pub use gap::inverse_gap;
pub use posterior::{Goal, Posterior, expected_loss, probability_best, top_two, with_floor};
pub use track::{Allocation, Glr, glr_stop, track_and_stop};
pub use winner::{ArmCount, WinnerTest};

#[cfg(test)]
mod tests;
