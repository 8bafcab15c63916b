//! Statistics of experiments: unit-level moments, always-valid intervals, sample-ratio checks, power.
//!
//! Everything here is pure. Metrics are per *unit*, because units are what is randomised: treating the
//! many exposures of one unit as independent raises the false-positive rate to 14–28 %.

mod arms;
mod bayes;
mod betting;
mod boundaries;
mod bounded;
mod clustered;
mod confidence;
mod cuped;
mod effect;
mod group_sequential;
mod kolmogorov;
mod moments;
mod msprt;
mod multiple;
mod power;
mod prior;
mod proportions;
mod quantiles;
mod rank;
mod regression;
mod report;
pub(crate) mod special;
mod srm;
mod welch;

pub use arms::{SuccessArms, VoteError, Votes, counts_successes};
pub use bayes::{EffectPrior, Posterior, posterior};
pub use betting::{BettingEffect, BettingError, Scored};
pub use boundaries::{Boundary, Mixture, bernoulli_sequence, poly_stitching};
pub use bounded::{ConjugateMixture, EmpiricalBernstein, HedgedBetting};
pub use clustered::ClusteredQuantile;
pub(crate) use confidence::sequence;
pub use confidence::{Interval, asymp_cs, contrast, default_rho, lift, tuned_rho};
pub use cuped::{Adjusted, CovariateMoments, RatioCovariateMoments, RatioUnit, cuped, cuped_ratio};
pub use effect::{Alternative, Effect, Test};
pub use group_sequential::{Spending, group_sequential};
pub use moments::{Estimate, RatioMoments};
pub use msprt::Msprt;
pub use multiple::{Correction, adjust, e_bh};
pub(crate) use power::anytime_errors;
pub use power::{
    anytime_units_per_arm, cohen_h, design_effect, minimum_detectable_lift, units_of_t_test, units_per_arm,
    units_per_arm_arcsine, units_per_arm_pooled,
};
pub use prior::Prior;
pub use proportions::{Proportions, Successes};
pub use quantiles::quantile_p;
pub use rank::{RankTests, rank_tests};
pub use regression::{Coefficient, LineSums};
pub use report::{
    ArmsReading, Decision, Direction, Guardrail, Method, MetricResult, Warning, arms_result, days_to_significance,
    decide, discoveries, guardrail,
};
pub use srm::{ChiSquare, SequentialSrm, srm_binomial, srm_chi2, srm_log_odds, srm_once};
pub use welch::{Sample, Welch, welch};
