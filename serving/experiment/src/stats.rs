//! Statistics of experiments: unit-level moments, always-valid intervals, sample-ratio checks, power.
//!
//! Everything here is pure. Metrics are per *unit*, because units are what is randomised: treating the
//! many exposures of one unit as independent raises the false-positive rate to 14–28 %.

mod arms;
mod bayes;
mod betting;
mod clustered;
mod confidence;
mod cuped;
mod effect;
mod moments;
mod msprt;
mod multiple;
mod power;
mod prior;
mod special;
mod srm;
mod welch;

pub use arms::{SuccessArms, VoteError, Votes, counts_successes};
pub use bayes::{EffectPrior, Posterior, posterior};
pub use betting::{BettingEffect, BettingError, Scored};
pub use clustered::ClusteredQuantile;
pub use confidence::{Interval, asymp_cs, contrast, default_rho, lift, tuned_rho};
pub use cuped::{Adjusted, CovariateMoments, RatioCovariateMoments, RatioUnit, cuped, cuped_ratio};
pub use effect::{Alternative, Effect, Test};
pub use moments::{Estimate, RatioMoments};
pub use msprt::Msprt;
pub use multiple::{Correction, adjust, e_bh};
pub use power::{anytime_units_per_arm, design_effect, units_per_arm};
pub use prior::Prior;
pub use srm::{ChiSquare, SequentialSrm, srm_chi2};
pub use welch::{Sample, Welch, welch};
