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
mod fading;
mod features;
mod gap;
mod posterior;
mod ridge;
mod track;
mod winner;

use crate::Error;
use crate::error::require;

pub use aipw::{WeightedAipw, Weighting};
pub use allocator::{Allocator, Belief, Choice, Rule, Settings};
pub use arms::{ArmSums, Memory};
pub use beta::{Beta, beta_best};
pub use cohorts::{Cohorts, Split};
pub use contextual::{Contextual, ContextualSettings, Learned};
pub use fading::{Fading, HalfLife};
pub use features::{Features, key, pair};
pub use gap::inverse_gap;
pub use posterior::{Goal, Posterior, expected_loss, probability_best, top_two, with_floor};
pub use track::{Allocation, Glr, glr_stop, track_and_stop};
pub use winner::{ArmCount, WinnerTest};

/// Fails unless `weights` has an entry per arm, each in (0, 1], that sum to one.
fn check_propensities(weights: &[f64], arms: usize) -> Result<(), Error> {
    if weights.len() != arms {
        return Err(Error::Length { field: "propensities", found: weights.len(), expected: arms });
    }
    for weight in weights {
        require("propensity", *weight, "in (0, 1]", *weight > 0.0 && *weight <= 1.0)?;
    }
    let sum: f64 = weights.iter().sum();
    require("sum of propensities", sum, "1", (sum - 1.0).abs() < 1e-6)
}

#[cfg(test)]
mod tests;
