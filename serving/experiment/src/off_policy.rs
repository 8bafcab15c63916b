//! Off-policy evaluation: what another policy would have earned, from the log of the policy that served.
//!
//! A [`Row`] is one logged decision: its reward, the probability with which it was taken, and the probability
//! that the evaluated policy gives to the same action. A [`Sample`] is a checked set of rows; it gives
//! estimates ([`Estimator`]), intervals that respect units, lower bounds for gates ([`LowerBound`]) and
//! [`Diagnostics`]. [`Sample::judge`] puts them together and refuses rather than guesses: a few rows with
//! huge weights say nothing, whatever the estimator.
//!
//! Estimates and intervals give each *row* the same weight. Lower bounds and verdicts give each *unit* the
//! same weight (the mean over units of a unit's mean), because units are what is independent.
//!
//! An [`OnlineGate`] watches a log that grows: its verdict may be asked for after every row.
//!
//! Slates have a sample of their own, [`SlateSample`].

mod bound;
mod diagnostics;
mod estimator;
mod interval;
mod online;
mod ratios;
mod row;
mod slate;
mod verdict;

pub use bound::{LowerBound, betting, empirical_bernstein, hoeffding, student_t};
pub use diagnostics::{Diagnostics, Limits, Refusal};
pub use estimator::Estimator;
pub use interval::{Evaluation, Resampling};
pub use online::{Logged, OnlineGate, OnlineRule};
pub use row::{Candidates, Model, Row, Sample};
pub use slate::{PlackettLuce, SlateEstimator, SlateRow, SlateSample, Slot};
pub use verdict::{Gate, Verdict};

#[cfg(test)]
mod tests;
