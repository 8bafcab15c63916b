//! What an experiment shows: examples folded into metrics per variant, and the verdict.
//!
//! All metrics are ratios with the *unit* as the randomised thing, and all intervals hold at every
//! moment, so the readout may be watched and acted on at any time. Later revisions of an example replace
//! the earlier ones. Exposures of shadow actors (attribute `actor` = `shadow`) never count.
//!
//! # The verdict
//! Per treatment variant, in this order:
//!
//! 1. **Stop** when harm is shown: the sequential sample-ratio check alarms (assignment or logging is
//!    broken, so no other number can be trusted); the love lift, or the helpfulness difference, lies below
//!    zero (for helpfulness: below `−helpfulness_margin`) with its whole interval; unsolicited closings exceed
//!    `max_closing_ratio` × control with the whole interval; or `max_units` were enrolled without a decision.
//! 2. **Promote** when every variant has `min_units` units, the interval of the love lift lies above zero, and
//!    no guardrail fails. Guardrails at promotion:
//!    - helpfulness: the estimate is not lower than control by more than `helpfulness_margin`, *and* the
//!      interval excludes a loss of `helpfulness_harm` or more. An experiment sized for a large effect on
//!      love cannot prove a 1 % margin on helpfulness; it can prove that nothing large broke, and both
//!      statements are made and reported separately.
//!    - unsolicited closings: the estimate is at most `max_closing_ratio` × control. Rates below
//!      `closing_floor` are taken as the floor, so that 2 in 1,000 against 1 in 1,000 is no alarm.
//! 3. **Continue** otherwise, with what is still missing.
//!
//! With several treatments `alpha` is divided among them (Bonferroni). A run of a rolling experiment has the
//! verdict of the candidate's own variant, whatever its other variants show.

mod answer;
mod book;
mod config;
mod fold;
mod verdict;

pub use answer::{Comparison, ExperimentReadout, SampleRatio, StopReason, VariantReadout, Verdict};
pub use book::Book;
pub use config::ReadoutConfig;
pub use fold::Folded;
