//! The trainer: pure, sequential, deterministic.
//!
//! Examples are taken one at a time, in order: predict, record, learn, then replay. So the result does not depend on
//! how the stream was cut into batches, and equal streams give equal bytes.

mod head;
pub(crate) mod persist;

use std::sync::Arc;

use plaudit_event::{Example, Objective, Seed, Stream, Timestamp};
use serde::Serialize;

use crate::encode::{Encoder, hash_text};
use crate::hash_model::HashModel;
use crate::linear::Rates;
use crate::unit_cap::UnitCap;
use crate::{Config, Error, Prediction, Quality, Row};
use head::{Head, Lesson};

/// What a call of [`Trainer::step`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct StepReport {
    /// Examples taken.
    pub examples: u64,
    /// Of these, trained on.
    pub trained: u64,
    /// Of these, without any label that the configuration asks for.
    pub unlabelled: u64,
    /// Of these, beyond the bound of their unit: predicted, not trained on.
    pub capped: u64,
    /// Of these, corrections of earlier ones: trained on, not predicted.
    pub corrections: u64,
}

impl std::ops::AddAssign for StepReport {
    fn add_assign(&mut self, other: Self) {
        self.examples += other.examples;
        self.trained += other.trained;
        self.unlabelled += other.unlabelled;
        self.capped += other.capped;
        self.corrections += other.corrections;
    }
}

/// Learns from examples one after the other.
pub struct Trainer {
    config: Config,
    seed: Seed,
    rates: Rates,
    objectives: Arc<[Objective]>,
    encoder: Encoder,
    heads: Vec<Head>,
    stream: Stream,
    units: UnitCap,
    examples: u64,
    trained_through: Option<Timestamp>,
}

impl Trainer {
    /// A trainer that has seen nothing.
    ///
    /// # Errors
    /// Fails when the configuration has values outside their ranges.
    pub fn new(config: Config, seed: Seed) -> Result<Self, Error> {
        config.check()?;
        let heads = config.objectives.iter().map(|_| Head::new(&config));
        Ok(Self {
            seed,
            rates: Rates::new(&config.learner),
            objectives: config.objectives.clone().into(),
            encoder: Encoder::new(&config.encoder),
            heads: heads.collect(),
            stream: seed.stream("reward/replay"),
            units: UnitCap::default(),
            examples: 0,
            trained_through: None,
            config,
        })
    }

    /// Takes `examples` in order. One call with many is the same as many calls with one.
    pub fn step(&mut self, examples: &[Example]) -> StepReport {
        let mut report = StepReport::default();
        for example in examples {
            self.take(example, &mut report);
        }
        report
    }

    /// How many examples were taken.
    #[must_use]
    pub const fn examples(&self) -> u64 {
        self.examples
    }

    /// When the newest example that was trained on was exposed.
    #[must_use]
    pub const fn trained_through(&self) -> Option<Timestamp> {
        self.trained_through
    }

    /// What is predicted.
    #[must_use]
    pub fn objectives(&self) -> &[Objective] {
        &self.objectives
    }

    /// Quality of the newest predictions of `objective`, each made before its example was trained on; `None` while
    /// there are none.
    #[must_use]
    pub fn quality(&self, objective: &str) -> Option<Quality> {
        self.head(objective)?.window.quality()
    }

    /// The newest predictions of `objective`, oldest first.
    #[must_use]
    pub fn predictions(&self, objective: &str) -> Vec<Prediction> {
        let head = self.head(objective);
        head.map_or_else(Vec::new, |head| head.window.predictions.iter().cloned().collect())
    }

    /// The model as of now, frozen.
    #[must_use]
    pub fn snapshot(&self) -> Arc<HashModel> {
        let heads = self.heads.iter().map(Head::frozen).collect();
        let objectives = Arc::clone(&self.objectives);
        Arc::new(HashModel::new(objectives, self.encoder.clone(), heads, self.examples))
    }

    fn head(&self, objective: &str) -> Option<&Head> {
        let at = self.objectives.iter().position(|o| o.0 == objective)?;
        self.heads.get(at)
    }

    fn take(&mut self, example: &Example, report: &mut StepReport) {
        self.examples += 1;
        report.examples += 1;
        if !self.objectives.iter().any(|o| example.labels.contains_key(o)) {
            report.unlabelled += 1;
            return;
        }
        let correction = example.revision > 0;
        let limit = self.config.max_examples_per_unit_day;
        let unit = hash_text(example.unit_id.as_str());
        let admitted = correction || self.units.admit(unit, example.exposure_ts, limit);
        let row = Row { context: &example.context, response: &example.response };
        let lesson = Lesson {
            example,
            exposure: hash_text(example.exposure_id.as_str()),
            features: Arc::new(self.encoder.encode(&row)),
            correction,
            admitted,
        };
        for (objective, head) in self.objectives.iter().zip(&mut self.heads) {
            if let Some(label) = example.labels.get(objective) {
                head.take(&lesson, *label, &self.config, self.rates, &mut self.stream);
            } else if correction {
                head.replay.remove(lesson.exposure);
            }
        }
        report.corrections += u64::from(correction);
        report.capped += u64::from(!admitted);
        if admitted {
            report.trained += 1;
            self.trained_through = self.trained_through.max(Some(example.exposure_ts));
        }
    }
}
