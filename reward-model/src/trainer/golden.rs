//! The trainer and what it holds out.

use plaudit_event::Example;

use super::Trainer;
use super::head::News;
use crate::encode::Features;
use crate::golden::{Golden, Place};
use crate::replay::Boosts;
use crate::segments::Segment;
use crate::{ConfusablePair, Error, GoldenReport, ReplayStrategy};

impl Trainer {
    /// How well the present model and earlier ones do on what was never trained on, and what was forgotten; without
    /// slices before any were frozen.
    ///
    /// # Errors
    /// Fails when the model cannot be evaluated.
    pub fn golden(&self) -> Result<GoldenReport, Error> {
        let objective = &self.config.golden.objective;
        self.golden.report(&*self.try_snapshot()?, self.examples, objective)
    }

    /// [`Trainer::golden`] as of when models were judged last, every `reward_model.golden.every` examples.
    #[must_use]
    pub fn golden_measured(&self) -> GoldenReport {
        self.golden.measured()
    }

    /// All that is held out.
    pub(crate) const fn held_out(&self) -> &Golden {
        &self.golden
    }

    /// Stands where `other` does in the log, without what lies between.
    pub(crate) fn skip_to(&mut self, other: &Self) {
        self.last.clone_from(&other.last);
    }

    /// Keeps what `example` of a held-out unit says; a new row of it only when it `counts`.
    pub(super) fn hold_out(&mut self, example: &Example, place: Place, counts: bool) {
        let config = &self.config.golden;
        match News::of(example, &config.objective) {
            News::First(label) if counts => self.golden.take(example, place, label.value, config),
            News::Correction { before: None, after: Some(label) } if counts => {
                self.golden.take(example, place, label.value, config);
            }
            News::Correction { before: Some(_), after } => {
                self.golden.correct(place.exposure, after.map(|label| label.value), config);
            }
            _ => {}
        }
    }

    /// Pairs of segments that are easily confused: responses look alike, and users love the opposite.
    #[must_use]
    pub fn confusable(&self) -> Vec<ConfusablePair> {
        self.prototypes.confusable(self.segments.names())
    }

    /// Adds what `example` says of its segment. Corrections do not count.
    pub(super) fn note_prototype(&mut self, example: &Example, segment: Segment, features: &Features) {
        if let News::First(label) = News::of(example, &self.config.golden.objective) {
            self.prototypes.add(segment, label.value >= 0.5, features);
        }
    }

    /// Gives segments that are easily confused more of the memory.
    fn boost(&mut self) {
        let most = self.config.replay.confusable;
        if most > 0.0 && self.config.replay.strategy == ReplayStrategy::Stratified {
            let boost = |(segment, confusion): (Segment, f64)| (segment, 1.0 + most * confusion);
            let boosts: Boosts = self.prototypes.worst().into_iter().map(boost).collect();
            self.heads.iter_mut().for_each(|head| head.replay.boosts.clone_from(&boosts));
        }
    }

    /// Freezes what has come together, and judges the model on all slices.
    pub(super) fn judge(&mut self) {
        self.boost();
        self.golden.freeze(self.examples, self.segments.names(), &self.config.golden);
        if self.golden.slices().is_empty() {
            return;
        }
        let measured = self
            .try_snapshot()
            .and_then(|model| self.golden.measure(&*model, self.examples, &self.config.golden.objective));
        if let Err(error) = measured {
            // The next one may succeed; the row is missing until then.
            tracing::warn!(error = plaudit_nn::describe(&error), "model not judged on golden slices");
        }
    }
}
