//! What a trainer tells of itself.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Trainer;
use crate::segments::Segment;
use crate::{Drift, LearnedPrinciple, Prediction, Quality, Statistic};

/// What a call of [`Trainer::step`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct StepReport {
    /// Examples taken.
    pub examples: u64,
    /// Of these, trained on.
    pub trained: u64,
    /// Of these, with nothing to learn: without a label that the configuration asks for, or corrections that bring no
    /// other label than the one they replace. The label that a correction takes back is forgotten all the same.
    pub unlabelled: u64,
    /// Of these, beyond the bound of their unit: predicted, not trained on. What a correction replaces is forgotten all
    /// the same.
    pub capped: u64,
    /// Of these, from units that are suspected of targeted spam: predicted, not trained on.
    pub suspect: u64,
    /// Of these, from units that are held out for the golden slices: predicted, not trained on.
    pub held_out: u64,
    /// Of these, corrections of earlier ones: not predicted again, and trained on, unlabelled or capped like others.
    pub corrections: u64,
    /// Statistics of predictions that were seen to have changed, over all objectives.
    pub changes: u64,
}

impl std::ops::AddAssign for StepReport {
    fn add_assign(&mut self, other: Self) {
        self.examples += other.examples;
        self.trained += other.trained;
        self.unlabelled += other.unlabelled;
        self.capped += other.capped;
        self.suspect += other.suspect;
        self.held_out += other.held_out;
        self.corrections += other.corrections;
        self.changes += other.changes;
    }
}

/// Correlations of the newest scores, each made before its example was trained on, with the number of words; absent
/// while either does not vary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct LengthReport {
    /// Of the calibrated logit.
    pub logit: Option<f64>,
    /// Of the score without length.
    pub debiased: Option<f64>,
    /// Of that of the two which policies are rewarded with.
    pub reward: Option<f64>,
    /// Whether that is surely beyond the configured bound.
    pub alarm: bool,
}

impl Trainer {
    /// Quality of the newest predictions of `objective`, each made before its example was trained on; `None` while
    /// there are none.
    #[must_use]
    pub fn quality(&self, objective: &str) -> Option<Quality> {
        self.head(objective)?.window.quality()
    }

    /// [`Trainer::quality`] of each segment on its own, by name.
    #[must_use]
    pub fn quality_by_segment(&self, objective: &str) -> BTreeMap<String, Quality> {
        let parts = self.head(objective).map(|head| head.window.quality_by_segment()).unwrap_or_default();
        let named = |(segment, quality): (Segment, Quality)| {
            (self.segments.names().get(usize::from(segment)).cloned().unwrap_or_default(), quality)
        };
        parts.into_iter().map(named).collect()
    }

    /// What the detectors of change say of `objective`, on every prediction made before its example was trained on and
    /// the label of then: corrections do not count. Empty for an objective that is not predicted.
    #[must_use]
    pub fn drift(&self, objective: &str) -> BTreeMap<Statistic, Drift> {
        self.head(objective).map(|head| head.drift.told().collect()).unwrap_or_default()
    }

    /// How the newest scores of `objective` follow the length of the response; `None` for an objective that is not
    /// predicted.
    #[must_use]
    pub fn length(&self, objective: &str) -> Option<LengthReport> {
        let followed = &self.head(objective)?.length;
        let (logit, debiased) = followed.correlations();
        let reward = if self.config.length.debias { debiased } else { logit };
        let alarm = reward.is_some_and(|r| followed.is_beyond(r, self.config.length.alarm));
        Some(LengthReport { logit, debiased, reward, alarm })
    }

    /// The newest predictions of `objective`, oldest first, with the labels of the newest revisions; those whose label
    /// was taken back are left out.
    #[must_use]
    pub fn predictions(&self, objective: &str) -> Vec<Prediction> {
        let head = self.head(objective);
        head.map_or_else(Vec::new, |head| head.window.labelled().cloned().collect())
    }

    /// The principles that were learned from reasons, those that most units gave first.
    #[must_use]
    pub fn principles(&self) -> Vec<LearnedPrinciple> {
        self.remarks.learned(&self.config)
    }
}
