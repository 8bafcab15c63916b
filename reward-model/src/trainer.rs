//! The trainer: pure, sequential, deterministic.
//!
//! Examples are taken one at a time, in order: predict, record, learn, then replay. So the result does not depend on
//! how the stream was cut into batches, and equal streams give equal bytes.

mod golden;
mod head;
pub(crate) mod pairs;
mod pending;
pub(crate) mod persist;
mod report;

use std::collections::HashSet;
use std::sync::Arc;

use plaudit_event::{Example, Objective, Seed, Stream, Timestamp, UnitId};
use serde::{Deserialize, Serialize};

use crate::deep::tuner::Tuner;
use crate::deep::{Network, NetworkMemory};
use crate::encode::{Encoder, Features, hash_text};
use crate::golden::{Golden, Place};
use crate::guard::{Guard, Verdict};
use crate::hash_model::HashModel;
use crate::linear::Rates;
use crate::prototypes::Prototypes;
use crate::remarks::Remarks;
use crate::segments::Segments;
use crate::unit_cap::UnitCap;
use crate::{Config, Error, Row};
use head::{Head, Lesson, News, Tools};
pub(crate) use pending::{Pending, Task};
pub use report::{LengthReport, StepReport};

/// Learns from examples one after the other.
pub struct Trainer {
    config: Config,
    seed: Seed,
    rates: Rates,
    objectives: Arc<[Objective]>,
    encoder: Encoder,
    heads: Vec<Head>,
    /// Trains the encoder's network, where there is one to be trained.
    tuner: Option<Tuner>,
    /// What waits for its next round.
    pending: Vec<Pending>,
    stream: Stream,
    pair_stream: Stream,
    remarks: Remarks,
    segments: Segments,
    units: UnitCap,
    guard: Guard,
    golden: Golden,
    prototypes: Prototypes,
    examples: u64,
    last: Option<Taken>,
    closed_through: Option<Timestamp>,
}

/// Which example was taken: what a log is recognised by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Taken {
    pub(crate) exposure_id: String,
    pub(crate) revision: u32,
    pub(crate) ts: Timestamp,
}

impl Taken {
    pub(crate) fn of(example: &Example) -> Self {
        let exposure_id = example.exposure_id.as_str().to_owned();
        Self { exposure_id, revision: example.revision, ts: example.ts }
    }

    /// [`Taken::of`] in the memory that is there.
    fn replace(&mut self, example: &Example) {
        self.exposure_id.clear();
        self.exposure_id.push_str(example.exposure_id.as_str());
        self.revision = example.revision;
        self.ts = example.ts;
    }
}

impl Trainer {
    /// A trainer that has seen nothing.
    ///
    /// # Errors
    /// Fails when the configuration has values outside their ranges or its network cannot be read.
    pub fn new(config: Config, seed: Seed) -> Result<Self, Error> {
        config.check()?;
        let encoder = Encoder::load(&config.encoder, seed)?;
        let heads = config.objectives.iter().map(|_| Head::new(&config, encoder.width()));
        let trained = encoder.network().filter(|network| network.is_trained());
        Ok(Self {
            tuner: trained.map(Tuner::new).transpose()?,
            pending: Vec::new(),
            seed,
            rates: Rates::new(&config.learner),
            objectives: config.objectives.clone().into(),
            heads: heads.collect(),
            encoder,
            stream: seed.stream("reward/replay"),
            pair_stream: seed.stream("reward/pairs"),
            remarks: Remarks::new(&config, seed),
            segments: Segments::new(&config.segments),
            units: UnitCap::default(),
            guard: Guard::default(),
            golden: Golden::default(),
            prototypes: Prototypes::default(),
            examples: 0,
            last: None,
            closed_through: None,
            config,
        })
    }

    /// [`Trainer::try_step`] where nothing can fail: without a network, or on a CPU.
    ///
    /// # Panics
    /// Panics when the network cannot be computed.
    pub fn step(&mut self, examples: &[Example]) -> StepReport {
        self.try_step(examples).expect("the network can be computed")
    }

    /// Takes `examples` in order. One call with many is the same as many calls with one.
    ///
    /// # Errors
    /// Fails when the network cannot be computed; the trainer is of no use then.
    pub fn try_step(&mut self, examples: &[Example]) -> Result<StepReport, Error> {
        let mut report = StepReport::default();
        self.try_step_each(examples, |_, own| report += own)?;
        Ok(report)
    }

    /// [`Trainer::try_step`] that tells of each example, by its number in `examples`, what became of it.
    ///
    /// # Errors
    /// As [`Trainer::try_step`].
    pub fn try_step_each(
        &mut self,
        examples: &[Example],
        mut tell: impl FnMut(usize, StepReport),
    ) -> Result<(), Error> {
        let mut number = 0;
        let mut rest = examples;
        while !rest.is_empty() {
            // The network stays as it is until its next round.
            let (part, others) = rest.split_at(rest.len().min(self.until_round(self.examples)));
            rest = others;
            let objectives = Arc::clone(&self.objectives);
            let propensity = self.config.propensity.enabled;
            let tells = |example: &Example| {
                // Those who do not react teach who does.
                let is_shown = propensity && example.revision == 0;
                let has_news = || objectives.iter().any(|o| News::of(example, o) != News::Nothing);
                // What was never answered teaches nothing about answers.
                !example.has_failed() && (is_shown || !example.remarks.is_empty() || has_news())
            };
            let telling = part.iter().filter(|example| tells(example));
            let rows: Vec<Row<'_>> = telling.map(|e| Row { context: &e.context, response: &e.response }).collect();
            let mut features = self.encoder.encode_all(&rows)?.into_iter();
            for example in part {
                let own = if tells(example) { features.next() } else { None };
                let mut report = StepReport::default();
                self.take(example, own, &mut report);
                tell(number, report);
                number += 1;
                if self.examples.is_multiple_of(self.config.golden.every) {
                    self.judge();
                }
            }
            self.settle_if_due(self.examples)?;
        }
        Ok(())
    }

    /// How many examples or pairs after the first `count` are left until the network is trained, at least one.
    fn until_round(&self, count: u64) -> usize {
        let every = self.config.encoder.network.step_every;
        usize::try_from(every - count % every).unwrap_or(usize::MAX)
    }

    /// Removes what is remembered of erased exposures, by their [`exposure_row`](crate::exposure_row): replay rows,
    /// golden rows and predictions. Of the units of these rows the guard forgets its counts. What the weights have learned from them
    /// stays. Returns how many rows there were.
    pub fn erase(&mut self, exposures: &HashSet<u64>) -> u64 {
        let mut removed = self.remarks.erase(exposures);
        let units: HashSet<u64> = self.heads.iter().flat_map(|head| head.replay.units_of(exposures)).collect();
        for unit in &units {
            self.guard.forget(*unit);
        }
        self.pending.retain(|item| !exposures.iter().any(|exposure| item.is_of(*exposure)));
        for head in &mut self.heads {
            units.iter().for_each(|unit| head.propensity.forget(*unit));
            removed += head.replay.erase(exposures);
            head.window.forget(exposures);
        }
        removed += self.golden.erase(exposures);
        if let Some(last) = self.last.as_mut().filter(|last| exposures.contains(&hash_text(&last.exposure_id))) {
            last.exposure_id.clear();
        }
        removed
    }

    /// How many examples were taken.
    #[must_use]
    pub const fn examples(&self) -> u64 {
        self.examples
    }

    /// When the window of the newest example that was trained on closed; corrections do not count.
    #[must_use]
    pub const fn closed_through(&self) -> Option<Timestamp> {
        self.closed_through
    }

    /// How many units are suspected of targeted spam.
    #[must_use]
    pub const fn suspects(&self) -> u64 {
        self.guard.suspects()
    }

    /// Whether `unit` is suspected of targeted spam.
    #[must_use]
    pub fn is_suspect(&self, unit: &UnitId) -> bool {
        self.guard.is_suspect(hash_text(unit.as_str()))
    }

    /// What the encoder's network takes of the memory of its device; none without a network.
    #[must_use]
    pub fn network_memory(&self) -> Option<NetworkMemory> {
        self.encoder.network().map(Network::memory)
    }

    /// The example that was taken last.
    pub(crate) const fn last(&self) -> Option<&Taken> {
        self.last.as_ref()
    }

    /// What is predicted.
    #[must_use]
    pub fn objectives(&self) -> &[Objective] {
        &self.objectives
    }

    /// [`Trainer::try_snapshot`] where nothing can fail: without a network, or on a CPU.
    ///
    /// # Panics
    /// Panics when the device is out of memory.
    #[must_use]
    pub fn snapshot(&self) -> Arc<HashModel> {
        self.try_snapshot().expect("memory suffices")
    }

    /// The model as of now, frozen. What is not trained of a network is shared.
    ///
    /// # Errors
    /// Fails when the device is out of memory.
    pub fn try_snapshot(&self) -> Result<Arc<HashModel>, Error> {
        let heads = self.heads.iter().map(|head| head.frozen(&self.config.length)).collect();
        let objectives = Arc::clone(&self.objectives);
        let model = HashModel::new(objectives, self.encoder.frozen()?, heads, self.examples);
        Ok(Arc::new(model.with_remarks(self.remarks.frozen(&self.config))))
    }

    fn head(&self, objective: &str) -> Option<&Head> {
        let at = self.objectives.iter().position(|o| o.0 == objective)?;
        self.heads.get(at)
    }

    /// `features` are none for an example that says nothing.
    fn take(&mut self, example: &Example, features: Option<Features>, report: &mut StepReport) {
        self.examples += 1;
        match &mut self.last {
            Some(last) => last.replace(example),
            None => self.last = Some(Taken::of(example)),
        }
        report.examples += 1;
        report.corrections += u64::from(example.revision > 0);
        let objectives = Arc::clone(&self.objectives);
        let news = objectives.iter().map(|objective| News::of(example, objective));
        let remarks = !example.remarks.is_empty();
        let teaches = remarks || news.clone().any(|news| news.label().is_some());
        report.unlabelled += u64::from(!teaches);
        let Some(features) = features.map(Arc::new) else { return };
        let limit = self.config.max_examples_per_unit_day;
        let unit = hash_text(example.unit_id.as_str());
        let within = teaches && self.units.admit(unit, example.exposure_ts, limit);
        // The vector of a network that is trained is another one when the row is learned again.
        let kept = if self.tuner.is_some() { Arc::new(features.with_vector(&[])) } else { Arc::clone(&features) };
        let believed = self.believe(example, unit, &features);
        let held_out = Golden::holds(unit, &self.config.golden);
        let admitted = within && believed && !held_out;
        let lesson = Lesson {
            example,
            exposure: hash_text(example.exposure_id.as_str()),
            unit,
            segment: self.segments.of(example),
            features,
            kept,
            admitted,
        };
        let mut tools = Tools {
            config: &self.config,
            rates: self.rates,
            stream: &mut self.stream,
            pair_stream: &mut self.pair_stream,
            pending: self.tuner.is_some().then_some(&mut self.pending),
        };
        for (number, (news, head)) in (0..).zip(news.zip(&mut self.heads)) {
            report.changes += head.take(number, &lesson, news, &mut tools);
            if admitted && news.label().is_some() {
                head.rehearse_pairs(number, self.config.pairs.per_example, &mut tools);
            }
        }
        if held_out {
            let place = Place { exposure: lesson.exposure, unit, segment: lesson.segment };
            self.hold_out(example, place, within && believed);
            report.held_out += u64::from(within && believed);
        }
        report.capped += u64::from(teaches && !within);
        report.suspect += u64::from(within && !believed);
        if admitted {
            self.note_prototype(example, lesson.segment, &lesson.features);
            if remarks {
                self.remarks.take(example, unit, &self.config);
            }
            report.trained += 1;
            let closed = (example.revision == 0).then_some(example.ts);
            self.closed_through = self.closed_through.max(closed);
        }
    }

    /// Whether the guard believes the unit of `example`. From a unit that it no longer believes, nothing is rehearsed.
    fn believe(&mut self, example: &Example, unit: u64, features: &Features) -> bool {
        let config = &self.config.guard;
        if !config.enabled {
            return true;
        }
        let sight = News::of(example, &config.objective).sight();
        let verdict = self.guard.take(unit, features, sight, config);
        if verdict == Verdict::Accused {
            self.pending.retain(|item| !item.is_from(unit));
            for head in &mut self.heads {
                head.replay.forget_unit(unit);
            }
            self.golden.forget_unit(unit);
            self.remarks.forget_unit(unit);
        }
        verdict == Verdict::Believed
    }
}
