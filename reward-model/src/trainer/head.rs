//! One objective: its network, calibration, memory and record of predictions.

use std::sync::Arc;

use plaudit_event::{Example, Label, Objective, Stream};
use plaudit_nn::loss::sigmoid;

use super::pending::{Pending, Task};
use crate::Prediction;
use crate::calibration::Calibrator;
use crate::config::{Config, LearnerConfig, LengthConfig, ReplayStrategy};
use crate::delay::Arrivals;
use crate::drift::{Changes, Monitors};
use crate::encode::Features;
use crate::encode::mix;
use crate::encode::surface::num_words;
use crate::factors::Factors;
use crate::guard::Sight;
use crate::hash_model::FrozenHead;
use crate::learner::Learner;
use crate::length::{self, LengthHead};
use crate::linear::Rates;
use crate::prequential::Window;
use crate::propensity::{Propensity, Seen};
use crate::replay::{Memory, Replay};
use crate::segments::Segment;
use crate::trainer::pairs::memory::PairMemory;

/// An example on its way through the heads.
pub(super) struct Lesson<'a> {
    pub(super) example: &'a Example,
    pub(super) exposure: u64,
    pub(super) unit: u64,
    pub(super) segment: Segment,
    pub(super) features: Arc<Features>,
    /// The same as it is remembered.
    pub(super) kept: Arc<Features>,
    /// Within the bound of its unit: to be trained on.
    pub(super) admitted: bool,
}

/// What heads learn with.
pub(super) struct Tools<'a> {
    pub(super) config: &'a Config,
    pub(super) rates: Rates,
    pub(super) stream: &'a mut Stream,
    pub(super) pair_stream: &'a mut Stream,
    /// Where rows wait for a network that is trained, if there is one.
    pub(super) pending: Option<&'a mut Vec<Pending>>,
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

    /// The same as the guard sees it.
    pub(super) fn sight(self) -> Sight {
        let is_positive = |label: Label| label.value >= 0.5;
        match self {
            Self::Nothing | Self::Correction { before: None, after: None } => Sight::Nothing,
            Self::First(label) | Self::Correction { before: None, after: Some(label) } => {
                Sight::New { positive: is_positive(label) }
            }
            Self::Correction { before: Some(before), after } => {
                let positive = after.is_some_and(is_positive);
                if positive == is_positive(before) { Sight::Nothing } else { Sight::Relabelled { positive } }
            }
        }
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
    /// The ensemble: learners that each leave out half of the examples and learn the others twice.
    pub(super) members: Vec<Learner>,
    /// What all learners of the head have in common.
    pub(super) factors: Factors,
    pub(super) calibrator: Calibrator,
    pub(super) length: LengthHead,
    pub(super) propensity: Propensity,
    pub(super) arrivals: Arrivals,
    pub(super) replay: Replay,
    pub(super) window: Window,
    pub(super) drift: Monitors,
    pub(super) pairs: PairMemory,
}

impl Head {
    /// A head of `width` numbers.
    pub(super) fn new(config: &Config, width: usize) -> Self {
        Self {
            learner: Learner::new(width),
            factors: Factors::new(config.encoder.buckets as usize, config.factors()),
            members: vec![Learner::new(width); config.learner.ensemble],
            calibrator: Calibrator::new(&config.calibration),
            length: LengthHead::default(),
            propensity: Propensity::new(&config.propensity, width),
            arrivals: Arrivals::default(),
            replay: Replay::default(),
            window: Window::default(),
            drift: Monitors::default(),
            pairs: PairMemory::default(),
        }
    }

    /// The scoring half; `None` until a label of each class or a pair has been seen.
    pub(super) fn frozen(&self, config: &LengthConfig) -> Option<FrozenHead> {
        (self.replay.has_both_classes() || self.pairs.seen > 0).then(|| FrozenHead {
            network: self.learner.average.clone(),
            factors: self.factors.vectors.clone(),
            members: self.members.iter().map(|member| member.average.clone()).collect(),
            calibrator: self.calibrator.clone(),
            length: config.debias.then(|| self.length.clone()),
        })
    }

    /// Predicts and records, or corrects what is recorded; then learns and replays. How many statistics are seen to
    /// have changed. `number` is that of this head.
    pub(super) fn take(&mut self, number: u32, lesson: &Lesson<'_>, news: News, tools: &mut Tools<'_>) -> u64 {
        let (config, rates) = (tools.config, tools.rates);
        let news = if config.propensity.enabled { self.weigh(lesson, news, config, rates) } else { news };
        let mut changes = Changes::default();
        match news {
            News::Nothing => return 0,
            News::First(label) => changes = self.predict(lesson, label, config),
            News::Correction { before, after } => {
                if let Some(pending) = &mut tools.pending {
                    pending.retain(|item| item.head != number || !item.is_of(lesson.exposure));
                }
                self.correct(lesson, before, after, config);
            }
        }
        if changes.is_error_larger && config.learner.rewarm < 1.0 {
            self.learners().for_each(|learner| learner.rewarm(config.learner.rewarm, rates));
            self.factors.rewarm(config.learner.rewarm as f32, Rates::of_factors(&config.learner));
        }
        let Some(label) = news.label().filter(|_| lesson.admitted) else {
            return changes.count;
        };
        let memory = Memory {
            exposure: lesson.exposure,
            unit: lesson.unit,
            segment: lesson.segment,
            features: Arc::clone(&lesson.kept),
            label: label.value,
            weight: label.weight,
            logit: (self.learner.training_logit(&lesson.features) + self.factors.vectors.forward(&lesson.features).0)
                as f32,
        };
        let pass = Pass { rates, factor_rates: Rates::of_factors(&config.learner), shift: 0.0, hold: 0.0 };
        let weighted = config.delay.weighted.then(|| self.weigh_delay(lesson, news, &memory));
        let fresh = weighted.as_ref().unwrap_or(&memory);
        match &mut tools.pending {
            Some(pending) => pending.push(pass.later(number, fresh, true)),
            None => {
                self.learn(fresh, pass);
            }
        }
        self.replay.offer(memory, &config.replay, tools.stream);
        self.rehearse(number, tools);
        if tools.pending.is_none() {
            self.finish_example(&config.learner);
        }
        changes.count
    }

    /// `news` with the label's trust multiplied by what it counts beside those who did not react, after learning who did.
    fn weigh(&mut self, lesson: &Lesson<'_>, news: News, config: &Config, rates: Rates) -> News {
        let seen = Seen { unit: lesson.unit, features: &lesson.features };
        let config = &config.propensity;
        let weighted = |label: Label, weight: f64| Label { weight: (f64::from(label.weight) * weight) as f32, ..label };
        match news {
            News::Nothing => {
                if lesson.example.revision == 0 {
                    self.propensity.observe(seen, false, config, rates);
                }
                news
            }
            News::First(label) => News::First(weighted(label, self.propensity.observe(seen, true, config, rates))),
            News::Correction { before, after } => {
                if before.is_none() && after.is_some() {
                    self.propensity.labelled_late(seen, rates);
                }
                let weight = self.propensity.weight(seen, config);
                News::Correction { before, after: after.map(|label| weighted(label, weight)) }
            }
        }
    }

    /// `memory` as it is learned when it is new, while its reaction may still come. When it is drawn again it has long
    /// been corrected.
    fn weigh_delay(&mut self, lesson: &Lesson<'_>, news: News, memory: &Memory) -> Memory {
        let is_positive = memory.label >= 0.5;
        let importance = match news {
            News::First(_) | News::Correction { before: None, .. } => {
                if is_positive {
                    self.arrivals.note_early();
                }
                self.arrivals.weight(sigmoid(self.logit(&lesson.features)), is_positive)
            }
            News::Correction { before: Some(before), .. } if is_positive && before.value < 0.5 => {
                self.arrivals.note_late();
                self.arrivals.weight(sigmoid(self.logit(&lesson.features)), true)
            }
            // What is taken back is no news of a delay.
            News::Nothing | News::Correction { .. } => 1.0,
        };
        Memory { weight: (f64::from(memory.weight) * importance) as f32, ..memory.clone() }
    }

    /// The logit of the weights that predict, before calibration.
    pub(super) fn logit(&self, features: &Features) -> f64 {
        self.learner.average.logit(features) + self.factors.vectors.forward(features).0
    }

    pub(super) fn learners(&mut self) -> impl Iterator<Item = &mut Learner> {
        std::iter::once(&mut self.learner).chain(&mut self.members)
    }

    /// One step on `memory`; the derivative of its loss by its logit.
    pub(super) fn learn(&mut self, memory: &Memory, pass: Pass) -> f64 {
        learn(&mut self.learner, &mut self.members, &mut self.factors, memory, pass)
    }

    /// To be called once per example, after its updates.
    pub(super) fn finish_example(&mut self, config: &LearnerConfig) {
        self.learners().for_each(|learner| learner.finish_example(config));
    }

    /// Learns from drawn memories.
    fn rehearse(&mut self, number: u32, tools: &mut Tools<'_>) {
        let (config, rates) = (tools.config, tools.rates);
        let (draws, strategy) = (config.replay.per_example, config.replay.strategy);
        let share = self.replay.drawn_share(config.replay.positive_share, draws);
        let hold = if strategy == ReplayStrategy::Logits { config.replay.logit_weight } else { 0.0 };
        for _ in 0..draws {
            let Some(draw) = self.replay.draw(share, strategy, tools.stream) else {
                return;
            };
            let pass = Pass { rates, factor_rates: Rates::of_factors(&config.learner), shift: draw.shift, hold };
            match &mut tools.pending {
                Some(pending) => pending.push(pass.later(number, draw.memory, false)),
                None => {
                    learn(&mut self.learner, &mut self.members, &mut self.factors, draw.memory, pass);
                }
            }
        }
    }

    fn predict(&mut self, lesson: &Lesson<'_>, label: Label, config: &Config) -> Changes {
        let mut changes = Changes::default();
        let z = self.logit(&lesson.features);
        if self.replay.has_both_classes() {
            let (logit, words) = (self.calibrator.apply_in(z, lesson.segment), num_words(&lesson.example.response));
            let prediction = Prediction {
                exposure_id: lesson.example.exposure_id.clone(),
                p: sigmoid(logit),
                label: label.value,
                words,
                segment: lesson.segment,
            };
            if lesson.admitted {
                let head = length::head(&self.learner.average.weights, &lesson.features);
                let quality = self.calibrator.apply_in(self.length.quality(z, head), lesson.segment);
                self.length.observe(head, quality, logit, words);
            }
            changes = self.drift.update(prediction.p, f64::from(prediction.label), prediction.words);
            self.window.push(lesson.exposure, prediction, config.metrics_window);
        }
        if lesson.admitted {
            self.observe(z, lesson.segment, label, config);
        }
        changes
    }

    /// Puts the label `after` in the place of `before`, except in the network, which cannot unlearn.
    fn correct(&mut self, lesson: &Lesson<'_>, before: Option<Label>, after: Option<Label>, config: &Config) {
        self.window.relabel(lesson.exposure, after.map(|label| label.value));
        let learned = before.filter(|label| self.replay.forget(lesson.exposure, lesson.segment, label.value));
        let Some(label) = after.filter(|_| lesson.admitted) else {
            return;
        };
        let z = self.logit(&lesson.features);
        match learned {
            Some(before) => {
                let change = f64::from(label.value) - f64::from(before.value);
                self.calibrator.correct(z, lesson.segment, change, f64::from(label.weight));
            }
            None => self.observe(z, lesson.segment, label, config),
        }
    }

    fn observe(&mut self, z: f64, segment: Segment, label: Label, config: &Config) {
        let (value, weight) = (f64::from(label.value), f64::from(label.weight));
        self.calibrator.observe(z, segment, value, weight, &config.calibration);
    }
}

/// How a row is learned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pass {
    pub(super) rates: Rates,
    pub(super) factor_rates: Rates,
    /// Added to the logit that the loss is taken at.
    pub(super) shift: f64,
    /// Weight of half the squared distance from the stored logit.
    pub(super) hold: f64,
}

impl Pass {
    /// Derivative of the loss of `memory` by its logit `z`.
    fn slope(&self, memory: &Memory, z: f64) -> f64 {
        let error = sigmoid(z + self.shift) - f64::from(memory.label);
        error * f64::from(memory.weight) + self.hold * (z - f64::from(memory.logit))
    }

    /// `memory` to be learned so by the head of that number, once the network is.
    fn later(&self, head: u32, memory: &Memory, fresh: bool) -> Pending {
        Pending { head, task: Task::Row { memory: memory.clone(), shift: self.shift, hold: self.hold }, fresh }
    }
}

/// One step on `memory`, of the members of the ensemble those that have it; the derivative of its loss by its logit.
fn learn(learner: &mut Learner, members: &mut [Learner], factors: &mut Factors, memory: &Memory, pass: Pass) -> f64 {
    let features = &memory.features;
    let (crossed, sides) = factors.vectors.forward(features);
    let slope = pass.slope(memory, learner.training_logit(features) + crossed);
    learner.update(features, slope, pass.rates);
    // The same members whenever the row is drawn again (double-or-nothing bootstrap, Owen & Eckles 2012).
    let lots = mix(memory.exposure);
    for (number, member) in members.iter_mut().enumerate() {
        if lots >> number & 1 == 1 {
            let slope = pass.slope(memory, member.training_logit(features) + crossed);
            member.update(features, 2.0 * slope, pass.rates);
        }
    }
    factors.update(features, &sides, slope as f32, pass.factor_rates);
    slope
}
