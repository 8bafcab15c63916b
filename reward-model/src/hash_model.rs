//! The model behind the `hash` encoder, frozen at one moment of its training.

use std::sync::Arc;

use plaudit_event::Objective;

use crate::calibration::Calibrator;
use crate::encode::{Encoder, Features};
use crate::learner::Network;
use crate::{Error, RewardModel, Row, Scores};

/// One head: a network and the calibration of its logits.
#[derive(Debug, Clone)]
pub(crate) struct FrozenHead {
    pub(crate) network: Network,
    pub(crate) calibrator: Calibrator,
}

impl FrozenHead {
    fn logit(&self, features: &Features) -> f64 {
        self.calibrator.apply(self.network.logit(features))
    }
}

/// A frozen reward model: what serving and the policies score with.
#[derive(Debug, Clone)]
pub struct HashModel {
    objectives: Arc<[Objective]>,
    encoder: Encoder,
    /// `None` where no label of each class has been seen.
    heads: Vec<Option<FrozenHead>>,
    examples: u64,
}

impl HashModel {
    pub(crate) fn new(
        objectives: Arc<[Objective]>,
        encoder: Encoder,
        heads: Vec<Option<FrozenHead>>,
        examples: u64,
    ) -> Self {
        Self { objectives, encoder, heads, examples }
    }

    /// How many examples it had seen.
    #[must_use]
    pub const fn examples(&self) -> u64 {
        self.examples
    }

    /// Scores one row.
    #[must_use]
    pub fn score_row(&self, row: &Row<'_>) -> Scores {
        let features = self.encoder.encode(row);
        let logit = |head: &Option<FrozenHead>| head.as_ref().map(|head| head.logit(&features));
        let logits = self.heads.iter().map(logit).collect();
        Scores::new(Arc::clone(&self.objectives), logits)
    }
}

impl RewardModel for HashModel {
    fn objectives(&self) -> &[Objective] {
        &self.objectives
    }

    fn examples(&self) -> Option<u64> {
        Some(self.examples)
    }

    fn score(&self, rows: &[Row<'_>]) -> Result<Vec<Scores>, Error> {
        Ok(rows.iter().map(|row| self.score_row(row)).collect())
    }
}
