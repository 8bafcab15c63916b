//! Off-policy evaluation of ranked lists. The value of a policy is its mean reward per slate, summed over slots.

mod plackett_luce;

use serde::{Deserialize, Serialize};

use super::Model;
use super::interval::{Evaluation, Resampling, evaluate};
use super::ratios::Ratios;
use super::row::number;
use crate::Error;
use crate::stats::Interval;
pub use plackett_luce::PlackettLuce;

/// One place of a slate. Pairs are (serving policy, evaluated policy).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slot {
    /// What this slot earned; finite.
    pub reward: f64,
    /// Joint probabilities of the items from the first slot up to this one; the serving policy's in (0, 1], the
    /// evaluated policy's in \[0, 1\].
    pub prefix: (f64, f64),
    /// Marginal probabilities of this item in this slot; ranges as for `prefix`.
    pub marginal: (f64, f64),
    /// Predicted reward from this slot on, given the items above it: of the logged item, and the mean under the
    /// evaluated policy. For [`SlateEstimator::CascadeDr`].
    pub model: Option<Model>,
}

/// One logged slate.
#[derive(Debug, Clone, PartialEq)]
pub struct SlateRow {
    /// Who was shown it.
    pub unit: u64,
    /// Its slots from the top, as many in every row.
    pub slots: Vec<Slot>,
}

/// How to estimate; the self-normalised ones divide by the mean weight instead of 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlateEstimator {
    /// Weights whole slates; unbiased, with a variance that grows exponentially in the length.
    Sips,
    /// Weights each slot by its marginal probabilities (Li et al. 2018); right where the reward of a slot depends on
    /// its own item only.
    Iips,
    /// Weights each slot by the slate down to it (McInerney et al. 2020); right where a reward depends on nothing
    /// further down.
    Rips,
    /// Self-normalised [`Self::Sips`].
    Snsips,
    /// Self-normalised [`Self::Iips`], slot by slot.
    Sniips,
    /// Self-normalised [`Self::Rips`], slot by slot.
    Snrips,
    /// Doubly robust under the assumption of [`Self::Rips`] (Kiyohara et al. 2022):
    /// `Σ_l w_l·(r_l − Q_l) + w_{l−1}·E_πe Q_l`.
    CascadeDr,
}

/// Slates that were checked.
#[derive(Debug, Clone, PartialEq)]
pub struct SlateSample {
    rows: Vec<SlateRow>,
    unit_of: Vec<usize>,
    num_units: usize,
}

impl SlateSample {
    /// Checks the slates.
    ///
    /// # Errors
    /// When there is none, one has no slots or not as many as the first, or a number is out of range.
    pub fn new(rows: Vec<SlateRow>) -> Result<Self, Error> {
        let expected = rows.first().ok_or(Error::Empty)?.slots.len();
        for (row, slate) in rows.iter().enumerate() {
            let found = slate.slots.len();
            if found == 0 || found != expected {
                return Err(Error::RowLength { row, field: "slots", found, expected: expected.max(1) });
            }
            for slot in &slate.slots {
                check(row, slot)?;
            }
        }
        let (unit_of, num_units) = number(rows.iter().map(|row| row.unit));
        Ok(Self { rows, unit_of, num_units })
    }

    /// The value of the evaluated policy per slate, with its standard error by units.
    ///
    /// # Errors
    /// When the estimator needs a model that is missing, or no slate has weight.
    pub fn evaluate(&self, estimator: SlateEstimator) -> Result<Evaluation, Error> {
        evaluate(&self.ratios(estimator)?)
    }

    /// The interval by resampling units.
    ///
    /// # Errors
    /// As [`SlateSample::evaluate`], and when a setting is out of range.
    pub fn bootstrap(&self, estimator: SlateEstimator, resampling: Resampling) -> Result<Interval, Error> {
        resampling.interval(&self.ratios(estimator)?)
    }

    fn ratios(&self, estimator: SlateEstimator) -> Result<Ratios, Error> {
        let length = self.rows[0].slots.len();
        let mut ratios = Ratios::new(length, self.num_units);
        for (index, (row, unit)) in self.rows.iter().zip(&self.unit_of).enumerate() {
            let whole = row.slots.last().map_or(1.0, |slot| weight(slot.prefix));
            let mut above = 1.0;
            for (place, slot) in row.slots.iter().enumerate() {
                let (prefix, marginal) = (weight(slot.prefix), weight(slot.marginal));
                let pair = match estimator {
                    SlateEstimator::Sips => [whole * slot.reward, 1.0],
                    SlateEstimator::Iips => [marginal * slot.reward, 1.0],
                    SlateEstimator::Rips => [prefix * slot.reward, 1.0],
                    SlateEstimator::Snsips => [whole * slot.reward, whole],
                    SlateEstimator::Sniips => [marginal * slot.reward, marginal],
                    SlateEstimator::Snrips => [prefix * slot.reward, prefix],
                    SlateEstimator::CascadeDr => {
                        let model = slot.model.ok_or(Error::NoModel { row: index })?;
                        [prefix * (slot.reward - model.logged) + above * model.expected, 1.0]
                    }
                };
                ratios.add(*unit, place, pair);
                above = prefix;
            }
        }
        Ok(ratios)
    }
}

fn weight((behavior, evaluation): (f64, f64)) -> f64 {
    evaluation / behavior
}

fn check(row: usize, slot: &Slot) -> Result<(), Error> {
    let fail = |field, value, range| Err(Error::RowValue { row, field, value, range });
    if !slot.reward.is_finite() {
        return fail("reward", slot.reward, "finite");
    }
    for (field, (behavior, evaluation)) in [("prefix", slot.prefix), ("marginal", slot.marginal)] {
        // Marginals are sums of many terms.
        if !(behavior > 0.0 && behavior <= 1.0 + 1e-9) {
            return fail(field, behavior, "in (0, 1] for the serving policy");
        }
        if !(0.0..=1.0 + 1e-9).contains(&evaluation) {
            return fail(field, evaluation, "in [0, 1] for the evaluated policy");
        }
        if !weight((behavior, evaluation)).is_finite() {
            return fail(field, behavior, "large enough for a finite weight");
        }
    }
    for value in slot.model.iter().flat_map(|model| [model.logged, model.expected]) {
        if !value.is_finite() {
            return fail("model", value, "finite");
        }
    }
    Ok(())
}
