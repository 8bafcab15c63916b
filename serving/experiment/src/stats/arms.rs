//! The default for binary and rare reactions: which arm each success fell into.
//!
//! If treatment changes nothing, a unit that reacts is in treatment with exactly the probability with which
//! it was assigned there, whatever made it react and when. So the arms of the successes are coin flips
//! with known, logged probabilities, and a test of those flips is exact: no asymptotics, no base rate, no
//! assumption that the rate is constant, that arms are of equal size or that looks are rare (Lindon &
//! Malek 2022, *Anytime-valid inference for multinomial count data*).
//!
//! **One vote per unit.** A unit has one assignment, so only its first success counts, under the
//! probability logged at that assignment. Repeated reactions of a unit would repeat the same coin flip and
//! raise the error rate; reacting units need not be independent of each other.
//!
//! **The rarer outcome.** The test ignores units without the counted outcome and is weak when that is
//! common. Count failures (units whose window closed without a reaction) where the expected rate is
//! above one half. The choice is made before the data, by [`counts_successes`].
//!
//! **Strata.** Votes are summed by assignment probability, so a ramp is stratified by itself. At each effect
//! δ the likelihoods of the strata multiply, and the mixture is over one δ shared by all of them: more
//! powerful than multiplying finished e-values, which would learn the effect anew in each phase.
//!
//! **Stopping.** `P(ever log_e ≥ ln 1/α) ≤ α` holds for any way of stopping. The e-value at the moment of
//! stopping has expectation at most 1 when the decision to stop looks at successes only.

use serde::{Deserialize, Serialize};

use super::special::root;
use super::{Interval, Prior};

/// The furthest effect considered, in units of the logarithm of the ratio.
const LIMIT: f64 = 30.0;

/// Votes of the units that were assigned with one probability.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Votes {
    /// Probability of treatment, given treatment or control, in (0, 1).
    pub share: f64,
    /// Units with the outcome in treatment.
    pub treatment: u64,
    /// Units with the outcome in control.
    pub control: u64,
}

/// Sums of votes. A vote can be withdrawn: the state is the sums, whatever their history.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SuccessArms {
    strata: Vec<Votes>,
}

/// A vote that was refused.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum VoteError {
    /// Such a unit was not randomised.
    #[error("share must lie strictly between 0 and 1, is {0}")]
    Share(f64),
    /// There is no such vote to withdraw.
    #[error("no vote with share {0} to withdraw")]
    Missing(f64),
}

/// Whether to count successes (or else failures), given the expected rate of success.
#[must_use]
pub fn counts_successes(expected_rate: f64) -> bool {
    expected_rate <= 0.5
}

impl SuccessArms {
    /// From sums that a store has added up. Strata with equal shares are merged.
    ///
    /// # Errors
    /// A share that is not strictly between 0 and 1.
    pub fn from_votes(votes: &[Votes]) -> Result<Self, VoteError> {
        let mut arms = Self::default();
        for stratum in votes {
            let into = arms.stratum(stratum.share)?;
            into.treatment += stratum.treatment;
            into.control += stratum.control;
        }
        Ok(arms)
    }

    /// The vote of a unit that had the outcome: in treatment or not, assigned there with probability
    /// `share` (given treatment or control).
    ///
    /// # Errors
    /// A share that is not strictly between 0 and 1.
    pub fn vote(&mut self, share: f64, in_treatment: bool) -> Result<(), VoteError> {
        let stratum = self.stratum(share)?;
        if in_treatment {
            stratum.treatment += 1;
        } else {
            stratum.control += 1;
        }
        Ok(())
    }

    /// Takes a vote back, for instance when a reaction was undone.
    ///
    /// # Errors
    /// No such vote.
    pub fn withdraw(&mut self, share: f64, in_treatment: bool) -> Result<(), VoteError> {
        let stratum = self.strata.iter_mut().find(|votes| votes.share == share).ok_or(VoteError::Missing(share))?;
        let count = if in_treatment { &mut stratum.treatment } else { &mut stratum.control };
        *count = count.checked_sub(1).ok_or(VoteError::Missing(share))?;
        Ok(())
    }

    fn stratum(&mut self, share: f64) -> Result<&mut Votes, VoteError> {
        if !(share > 0.0 && share < 1.0) {
            return Err(VoteError::Share(share));
        }
        let place = match self.strata.iter().position(|votes| votes.share == share) {
            Some(place) => place,
            None => {
                self.strata.push(Votes { share, treatment: 0, control: 0 });
                self.strata.len() - 1
            }
        };
        Ok(&mut self.strata[place])
    }

    /// The strata, in order of appearance.
    #[must_use]
    pub fn strata(&self) -> &[Votes] {
        &self.strata
    }

    /// Votes in all.
    #[must_use]
    pub fn votes(&self) -> u64 {
        self.strata.iter().map(|votes| votes.treatment + votes.control).sum()
    }

    /// Logarithm of the likelihood of the arms at effect δ against no effect:
    /// `Σ b·ln(θ/q) + a·ln((1−θ)/(1−q))` with `θ = q·e^δ / (1 − q + q·e^δ)`.
    #[must_use]
    pub fn log_likelihood(&self, delta: f64) -> f64 {
        let mut total = 0.0;
        for votes in &self.strata {
            let normaliser = normaliser(votes.share, delta);
            total += votes.treatment as f64 * delta - (votes.treatment + votes.control) as f64 * normaliser;
        }
        total
    }

    /// First and (negative) second derivative of the log-likelihood.
    pub(super) fn slope(&self, delta: f64) -> (f64, f64) {
        let (mut first, mut information) = (0.0, 0.0);
        for votes in &self.strata {
            let theta = 1.0 / (1.0 + (1.0 - votes.share) / votes.share * (-delta).exp());
            let n = (votes.treatment + votes.control) as f64;
            first += votes.treatment as f64 - n * theta;
            information += n * theta * (1.0 - theta);
        }
        (first, information)
    }

    /// The δ of the highest likelihood: ±30 when one arm has no vote, 0 without any.
    #[must_use]
    pub fn log_ratio(&self) -> f64 {
        if self.votes() == 0 {
            return 0.0;
        }
        root(-LIMIT, LIMIT, |delta| -self.slope(delta).0)
    }

    /// Logarithm of the e-value against "the rate ratio is `exp(delta)`", 0 for no effect. At any time, e ≥ 1/α
    /// rejects at level α, however often one looks.
    #[must_use]
    pub fn log_e(&self, prior: &Prior, delta: f64) -> f64 {
        prior.log_marginal(self) - self.log_likelihood(delta)
    }

    /// Upper bound of [`Self::log_e`] against no effect, cheap: the highest likelihood under any prior.
    #[must_use]
    pub fn log_e_bound(&self) -> f64 {
        self.log_likelihood(self.log_ratio())
    }

    /// The anytime confidence sequence of the lift (rate in treatment / rate in control − 1) at level `alpha`:
    /// all δ whose e-value is below 1/α. Without votes it is (−1, ∞).
    #[must_use]
    pub fn lift(&self, prior: &Prior, alpha: f64) -> Interval {
        let log = self.log_ratio_sequence(prior, alpha);
        let back = |delta: f64| {
            if delta <= -LIMIT {
                -1.0
            } else if delta >= LIMIT {
                f64::INFINITY
            } else {
                delta.exp_m1()
            }
        };
        Interval { value: back(log.value), lower: back(log.lower), upper: back(log.upper) }
    }

    /// As [`Self::lift`] for the logarithm of the rate ratio, within ±30.
    #[must_use]
    pub fn log_ratio_sequence(&self, prior: &Prior, alpha: f64) -> Interval {
        let value = self.log_ratio();
        // ℓ is concave: it falls below this on either side of its peak once.
        let level = prior.log_marginal(self) + alpha.ln();
        let above = |delta: f64| self.log_likelihood(delta) - level;
        let lower = if above(-LIMIT) > 0.0 { -LIMIT } else { root(-LIMIT, value, above) };
        let upper = if above(LIMIT) > 0.0 { LIMIT } else { root(value, LIMIT, |delta| -above(delta)) };
        Interval { value, lower, upper }
    }
}

/// `ln(1 − q + q·e^δ)` without overflow.
fn normaliser(share: f64, delta: f64) -> f64 {
    if delta > 0.0 { delta + ((1.0 - share) * (-delta).exp_m1()).ln_1p() } else { (share * delta.exp_m1()).ln_1p() }
}

#[cfg(test)]
mod tests;
