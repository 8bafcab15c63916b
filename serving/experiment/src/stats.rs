//! Statistics of experiments: unit-level moments, always-valid intervals, sample-ratio checks, power.
//!
//! Everything here is pure. Metrics are per *unit*, because units are what is randomised: treating the
//! many exposures of one unit as independent raises the false-positive rate to 14–28 %.

mod confidence;
mod moments;
mod power;
mod special;
mod srm;
mod welch;

pub use confidence::{Interval, asymp_cs, contrast, default_rho, lift, tuned_rho};
pub use moments::{Estimate, RatioMoments};
pub use power::{anytime_units_per_arm, design_effect, units_per_arm};
pub use srm::{ChiSquare, SequentialSrm, srm_chi2};
pub use welch::{Sample, Welch, welch};
