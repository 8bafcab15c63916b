//! What an experiment shows: examples folded into metrics per variant.
//!
//! All metrics are ratios with the *unit* as the randomised thing, and all intervals hold at every
//! moment, so the readout may be watched at any time. Later revisions of an example replace
//! the earlier ones. Exposures of shadow actors (attribute `actor` = `shadow`) never count. With several
//! treatments `alpha` is divided among them (Bonferroni).
//!
//! The readout decides nothing. A run of a rolling experiment also keeps the sums per step of its ramp that the delivery
//! of the candidate is judged by.

mod answer;
mod book;
mod compare;
mod config;
mod fold;
mod strata;

pub use answer::{Comparison, ExperimentReadout, SampleRatio, VariantReadout};
pub use book::Book;
pub use config::ReadoutConfig;
pub use fold::Folded;
pub(crate) use strata::{ERROR, metrics};
