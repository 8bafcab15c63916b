//! The seam: what every reward model does.

use std::sync::Arc;

use plaudit_event::{Context, Objective};
use plaudit_nn::loss::sigmoid;

use crate::{Error, Principle, PrincipleScore, SpanScore};

/// What is to be scored: a response to a context.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// What the response was made for.
    pub context: &'a Context,
    /// The response.
    pub response: &'a str,
}

/// Calibrated predictions for one row.
#[derive(Debug, Clone)]
pub struct Scores {
    objectives: Arc<[Objective]>,
    logits: Vec<Option<f64>>,
    /// Without entries where policies are rewarded with the logits.
    rewards: Vec<Option<f64>>,
    spreads: Vec<Option<f64>>,
}

impl Scores {
    /// Scores with one logit per objective, in the order of `objectives`; `None` where nothing was learned yet.
    #[must_use]
    pub fn new(objectives: Arc<[Objective]>, logits: Vec<Option<f64>>) -> Self {
        Self { objectives, logits, rewards: Vec::new(), spreads: Vec::new() }
    }

    /// With what policies are rewarded with, in the order of the objectives, where that is not the logit.
    #[must_use]
    pub fn with_rewards(self, rewards: Vec<Option<f64>>) -> Self {
        Self { rewards, ..self }
    }

    /// With the standard deviation of each logit over an ensemble, in the order of the objectives.
    #[must_use]
    pub fn with_spreads(self, spreads: Vec<Option<f64>>) -> Self {
        Self { spreads, ..self }
    }

    /// Logit of the probability of `objective`, at the true base rate; `None` for an unknown objective, and for one
    /// without a label of each class or a pair so far.
    #[must_use]
    pub fn logit(&self, objective: &str) -> Option<f64> {
        self.logits.get(self.place(objective)?).copied().flatten()
    }

    /// Standard deviation of the logit of `objective` over an ensemble of heads: how unsure the model is; `None` where
    /// there is no ensemble.
    #[must_use]
    pub fn spread(&self, objective: &str) -> Option<f64> {
        self.spreads.get(self.place(objective)?).copied().flatten()
    }

    /// What a policy is rewarded with for `objective`: the logit, or on its scale the score without length where the
    /// model is set to leave length out. `None` as for [`Scores::logit`].
    #[must_use]
    pub fn reward(&self, objective: &str) -> Option<f64> {
        let place = self.place(objective)?;
        self.rewards.get(place).or_else(|| self.logits.get(place)).copied().flatten()
    }

    fn place(&self, objective: &str) -> Option<usize> {
        self.objectives.iter().position(|o| o.0 == objective)
    }

    /// The probability of `objective`; `None` as for [`Scores::logit`].
    #[must_use]
    pub fn prob(&self, objective: &str) -> Option<f64> {
        self.logit(objective).map(sigmoid)
    }
}

/// Predicts the probability of each objective from a context and a response.
///
/// Contract: `score` answers one [`Scores`] per row, in order; the result for a row depends on that row alone; a model
/// behind an `Arc` never changes, so that equal rows get equal scores for as long as it is held.
pub trait RewardModel: Send + Sync {
    /// What is predicted.
    fn objectives(&self) -> &[Objective];

    /// How many examples it had seen, where that is known.
    fn examples(&self) -> Option<u64> {
        None
    }

    /// Whether every weight is a number.
    fn is_finite(&self) -> bool {
        true
    }

    /// The sentences of each response, and how likely people who work on parts keep them; nothing where the model has no
    /// such head, or nothing was learned yet. One entry per row.
    ///
    /// # Errors
    /// As for [`RewardModel::score`].
    fn spans(&self, rows: &[Row<'_>]) -> Result<Vec<Option<Vec<SpanScore>>>, Error> {
        Ok(vec![None; rows.len()])
    }

    /// How each of `principles` fits each response, learned before or not; nothing as for [`RewardModel::spans`]. One
    /// entry per row.
    ///
    /// # Errors
    /// As for [`RewardModel::score`].
    fn principles(
        &self,
        rows: &[Row<'_>],
        principles: &[Principle],
    ) -> Result<Vec<Option<Vec<PrincipleScore>>>, Error> {
        let _ = principles;
        Ok(vec![None; rows.len()])
    }

    /// Scores `rows`.
    ///
    /// # Errors
    /// Fails when the model cannot be evaluated; rows are never left out.
    fn score(&self, rows: &[Row<'_>]) -> Result<Vec<Scores>, Error>;
}
