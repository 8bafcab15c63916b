//! One objective: its network, calibration, memory and record of predictions.

use std::sync::Arc;

use plaudit_event::{Example, Label, Objective, Stream};
use plaudit_nn::loss::sigmoid;

use crate::Prediction;
use crate::calibration::Calibrator;
use crate::config::Config;
use crate::drift::Monitors;
use crate::encode::Features;
use crate::encode::surface::num_words;
use crate::hash_model::FrozenHead;
use crate::learner::Learner;
use crate::linear::Rates;
use crate::prequential::Window;
use crate::replay::{Memory, Replay};

/// An example on its way through the heads.
pub(super) struct Lesson<'a> {
    pub(super) example: &'a Example,
    pub(super) exposure: u64,
    pub(super) features: Arc<Features>,
    /// Within the bound of its unit: to be trained on.
    pub(super) admitted: bool,
}

/// What an example says about one objective.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum News {
    /// No label, or the one that is known already.
    Nothing,
    /// The label of an example that was not seen before.
    First(Label),
    /// The label of an earlier example is another now; `None` is no label.
    Correction { before: Option<Label>, after: Option<Label> },
}

impl News {
    pub(super) fn of(example: &Example, objective: &Objective) -> Self {
        let after = example.labels.get(objective).copied();
        if example.revision == 0 {
            return after.map_or(Self::Nothing, Self::First);
        }
        let before = example.replaced.get(objective).copied();
        if before == after { Self::Nothing } else { Self::Correction { before, after } }
    }

    /// The label to be learned, if any.
    pub(super) fn label(self) -> Option<Label> {
        match self {
            Self::Nothing => None,
            Self::First(label) => Some(label),
            Self::Correction { after, .. } => after,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) learner: Learner,
    pub(super) calibrator: Calibrator,
    pub(super) replay: Replay,
    pub(super) window: Window,
    pub(super) drift: Monitors,
}

impl Head {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            learner: Learner::new(config.encoder.buckets as usize),
            calibrator: Calibrator::new(&config.calibration),
            replay: Replay::default(),
            window: Window::default(),
            drift: Monitors::default(),
        }
    }

    /// The scoring half; `None` until a label of each class has been seen.
    pub(super) fn frozen(&self) -> Option<FrozenHead> {
        self.replay
            .has_both_classes()
            .then(|| FrozenHead { network: self.learner.average.clone(), calibrator: self.calibrator.clone() })
    }

    /// Predicts and records, or corrects what is recorded; then learns and replays. How many statistics are seen to
    /// have changed.
    pub(super) fn take(
        &mut self,
        lesson: &Lesson<'_>,
        news: News,
        config: &Config,
        rates: Rates,
        stream: &mut Stream,
    ) -> u64 {
        let mut changes = 0;
        match news {
            News::Nothing => return 0,
            News::First(label) => changes = self.predict(lesson, label, config),
            News::Correction { before, after } => self.correct(lesson, before, after, config),
        }
        let Some(label) = news.label().filter(|_| lesson.admitted) else {
            return changes;
        };
        let memory = Memory {
            exposure: lesson.exposure,
            features: Arc::clone(&lesson.features),
            label: label.value,
            weight: label.weight,
        };
        learn(&mut self.learner, &memory, 0.0, rates);
        self.replay.offer(memory, config.replay.capacity, stream);
        self.rehearse(config, rates, stream);
        self.learner.finish_example(&config.learner);
        changes
    }

    /// Learns from drawn memories.
    fn rehearse(&mut self, config: &Config, rates: Rates, stream: &mut Stream) {
        let draws = config.replay.per_example;
        let share = self.replay.drawn_share(config.replay.positive_share, draws);
        for _ in 0..draws {
            let Some(draw) = self.replay.draw(share, stream) else {
                return;
            };
            learn(&mut self.learner, draw.memory, draw.shift, rates);
        }
    }

    fn predict(&mut self, lesson: &Lesson<'_>, label: Label, config: &Config) -> u64 {
        let mut changes = 0;
        let z = self.learner.average.logit(&lesson.features);
        if self.replay.has_both_classes() {
            let prediction = Prediction {
                exposure_id: lesson.example.exposure_id.clone(),
                p: sigmoid(self.calibrator.apply(z)),
                label: label.value,
                words: num_words(&lesson.example.response),
            };
            changes = self.drift.update(prediction.p, f64::from(prediction.label), prediction.words);
            self.window.push(lesson.exposure, prediction, config.metrics_window);
        }
        if lesson.admitted {
            self.observe(z, label, config);
        }
        changes
    }

    /// Puts the label `after` in the place of `before`, except in the network, which cannot unlearn.
    fn correct(&mut self, lesson: &Lesson<'_>, before: Option<Label>, after: Option<Label>, config: &Config) {
        self.window.relabel(lesson.exposure, after.map(|label| label.value));
        let learned = before.filter(|label| self.replay.forget(lesson.exposure, label.value));
        let Some(label) = after.filter(|_| lesson.admitted) else {
            return;
        };
        let z = self.learner.average.logit(&lesson.features);
        match learned {
            Some(before) => {
                let change = f64::from(label.value) - f64::from(before.value);
                self.calibrator.correct(z, change, f64::from(label.weight));
            }
            None => self.observe(z, label, config),
        }
    }

    fn observe(&mut self, z: f64, label: Label, config: &Config) {
        let (value, weight) = (f64::from(label.value), f64::from(label.weight));
        self.calibrator.observe(z, value, weight, &config.calibration);
    }
}

/// One step on the loss of `memory`, taken at the logit plus `shift`.
fn learn(learner: &mut Learner, memory: &Memory, shift: f64, rates: Rates) {
    let z = learner.training_logit(&memory.features) + shift;
    let slope = (sigmoid(z) - f64::from(memory.label)) * f64::from(memory.weight);
    learner.update(&memory.features, slope, rates);
}
