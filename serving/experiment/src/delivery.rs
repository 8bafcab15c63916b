//! Progressive delivery: `trained → gated → shadow → canary → ramp → promoted | rolled_back | refused`.
//!
//! [`Delivery`] is a pure state machine: sums and the time go in, a [`Decision`] with its evidence comes out.
//! It serialises at any moment and goes on from there with the same decisions.
//!
//! **Verdicts** are three-valued, as in Argo Rollouts: a rule passes only on proof that the harm lies below
//! its margin, fails only on proof that it lies above, and is inconclusive otherwise. A step is left when its
//! dwell is over and all that it requires passes; a failure rolls back at the evaluation that sees it; an
//! inconclusive step waits for a person at its longest dwell. So a bad candidate gets on only by a false
//! proof, and neither patience nor the number of looks makes that likelier.
//!
//! **Error budget.** A candidate that is not worse is stopped with probability at most `alpha` over the whole
//! delivery. Every rule watches by an always-valid method over the data of all steps, so looks cost nothing;
//! rules share `alpha` by weight (Bonferroni). Not e-BH: one failing rule is enough to stop, so the family-wise
//! error counts, and the rules on sums are asymptotic sequences whose martingale is no e-value at finite size.
//!
//! **Strata.** Rates drift while shares change, so pooling over a ramp sees effects where there are none.
//! Arms are compared within a step, at concurrent control of equal size up to a half (the rest of the
//! population is no control: it is older), and the differences are averaged with weights that depend on
//! numbers of units alone.
//!
//! **Methods.** Rare outcomes (closings, refusals, errors), and whether a candidate is loved more, are judged by the
//! arms of the units that had them, [`SuccessArms`](crate::stats::SuccessArms), exact from the first unit on. Means and
//! ratios use the asymptotic confidence sequence once both arms have `min_units`. Sample ratios fail by the Dirichlet–multinomial e-process.
//!
//! **Quantiles.** A bound on a quantile is a bound on the share beyond it: "p95 at most 800 ms" is a metric whose
//! numerator counts the exposures slower than 800 ms, with [`Margin::Level`] 0.05.
//!
//! **Clocks.** The machine's time never goes back: an earlier time counts as the latest one seen.

mod config;
mod error;
mod event;
mod evidence;
mod judge;
mod machine;
mod observation;
mod ratio;
mod rule;
mod state;
mod validate;

pub use config::{Auto, DeliveryConfig, SampleRatio, Step};
pub use error::Illegal;
pub use event::{Event, Gate};
pub use evidence::{Decision, Notice, RuleEvidence, Verdict};
pub use machine::{Delivery, Progress};
pub use observation::{Arm, Arrivals, Observation, Pair, Phase, Sums};
pub use rule::{Harm, Kind, Margin, Method, Rule, Source};
pub use state::{Shares, State};

#[cfg(test)]
mod tests;
