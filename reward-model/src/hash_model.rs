//! The model behind the `hash` encoder, frozen at one moment of its training.

use std::sync::Arc;

use plaudit_event::Objective;

use crate::calibration::Calibrator;
use crate::encode::surface::num_words;
use crate::encode::{Encoder, Features};
use crate::factors::Vectors;
use crate::learner::Network;
use crate::length::{self, LengthHead};
use crate::remarks::FrozenRemarks;
use crate::{Error, Principle, PrincipleScore, RewardModel, Row, Scores, SpanScore};

/// One head: a network and the calibration of its logits.
#[derive(Debug, Clone)]
pub(crate) struct FrozenHead {
    pub(crate) network: Network,
    pub(crate) factors: Vectors,
    /// The models whose disagreement is the uncertainty.
    pub(crate) members: Vec<Network>,
    pub(crate) calibrator: Calibrator,
    /// What takes the length out of rewards; `None` where policies are rewarded with the logit.
    pub(crate) length: Option<LengthHead>,
}

impl FrozenHead {
    /// What policies are rewarded with.
    fn reward(&self, features: &Features, words: u32) -> Option<f64> {
        let length = self.length.as_ref()?;
        let z = self.network.logit(features) + self.factors.forward(features).0;
        let quality = length.quality(z, length::head(&self.network.weights, features));
        Some(length.reward(self.calibrator.apply(quality), words))
    }

    fn logit(&self, features: &Features) -> f64 {
        self.calibrator.apply(self.network.logit(features) + self.factors.forward(features).0)
    }

    fn is_finite(&self) -> bool {
        let networks = std::iter::once(&self.network).chain(&self.members).map(|network| &network.weights);
        let mut all = networks.chain(std::iter::once(&self.factors.values)).flatten();
        // Of the calibration any number tells, because all of them count at once.
        all.all(|weight| weight.is_finite()) && self.calibrator.apply(0.0).is_finite()
    }

    /// Standard deviation of the members' calibrated logits; `None` for fewer than two.
    fn spread(&self, features: &Features) -> Option<f64> {
        let crossed = self.factors.forward(features).0;
        let logits = self.members.iter().map(|member| self.calibrator.apply(member.logit(features) + crossed));
        let logits: Vec<f64> = logits.collect();
        let n = logits.len() as f64;
        let mean = logits.iter().sum::<f64>() / n;
        let squares: f64 = logits.iter().map(|z| (z - mean).powi(2)).sum();
        (logits.len() > 1).then(|| (squares / (n - 1.0)).sqrt())
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
    remarks: Option<Arc<FrozenRemarks>>,
}

impl HashModel {
    pub(crate) fn new(
        objectives: Arc<[Objective]>,
        encoder: Encoder,
        heads: Vec<Option<FrozenHead>>,
        examples: u64,
    ) -> Self {
        Self { objectives, encoder, heads, examples, remarks: None }
    }

    pub(crate) fn with_remarks(self, remarks: Arc<FrozenRemarks>) -> Self {
        Self { remarks: Some(remarks), ..self }
    }

    /// How many examples it had seen.
    #[must_use]
    pub const fn examples(&self) -> u64 {
        self.examples
    }

    /// Scores one row.
    ///
    /// # Panics
    /// Panics when the network cannot be computed; without one, and on a CPU, it can.
    #[must_use]
    pub fn score_row(&self, row: &Row<'_>) -> Scores {
        let features = self.encoder.encode_all(std::slice::from_ref(row)).expect("the network can be computed");
        self.scores(row, &features[0])
    }

    fn scores(&self, row: &Row<'_>, features: &Features) -> Scores {
        let words = num_words(row.response);
        let logit = |head: &Option<FrozenHead>| head.as_ref().map(|head| head.logit(features));
        let logits = self.heads.iter().map(logit).collect();
        let reward = |head: &FrozenHead| head.reward(features, words).or_else(|| Some(head.logit(features)));
        let rewards = self.heads.iter().map(|head| head.as_ref().and_then(reward)).collect();
        let spread = |head: &Option<FrozenHead>| head.as_ref().and_then(|head| head.spread(features));
        let spreads = self.heads.iter().map(spread).collect();
        Scores::new(Arc::clone(&self.objectives), logits).with_rewards(rewards).with_spreads(spreads)
    }
}

impl RewardModel for HashModel {
    fn objectives(&self) -> &[Objective] {
        &self.objectives
    }

    fn examples(&self) -> Option<u64> {
        Some(self.examples)
    }

    fn is_finite(&self) -> bool {
        self.heads.iter().flatten().all(FrozenHead::is_finite)
    }

    fn spans(&self, rows: &[Row<'_>]) -> Result<Vec<Option<Vec<SpanScore>>>, Error> {
        Ok(rows.iter().map(|row| self.remarks.as_ref()?.spans(row)).collect())
    }

    fn principles(
        &self,
        rows: &[Row<'_>],
        principles: &[Principle],
    ) -> Result<Vec<Option<Vec<PrincipleScore>>>, Error> {
        Ok(rows.iter().map(|row| self.remarks.as_ref()?.principles(row, principles)).collect())
    }

    fn score(&self, rows: &[Row<'_>]) -> Result<Vec<Scores>, Error> {
        let features = self.encoder.encode_all(rows)?;
        Ok(rows.iter().zip(&features).map(|(row, features)| self.scores(row, features)).collect())
    }
}
