//! The fold of one experiment: sums per unit and per variant.

use std::collections::{HashMap, VecDeque};

use plaudit_event::{Example, Objective, VariantId};
use plaudit_policy::tripwire::{Measures, NUM_MEASURES, Tripwires, UNSOLICITED_CLOSING};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::ReadoutConfig;
use super::strata::Strata;
use crate::experiment::RunningExperiment;
use plaudit_experiment::stats::{RatioMoments, SequentialSrm};

/// What became of a folded example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folded {
    /// It counts.
    Counted,
    /// It replaced an earlier revision.
    Corrected,
    /// It is not part of the experiment.
    Ignored,
    /// It repeats a revision, or corrects an exposure that is no longer followed.
    Stale,
    /// Its unit was seen in another variant before.
    Crossed,
    /// More units than the limit.
    Skipped,
}

/// Sums of one unit.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Unit {
    pub(super) variant: usize,
    /// The step of the ramp in which its variant first served it.
    pub(super) step: u32,
    pub(super) exposures: f64,
    pub(super) loves: Sum,
    pub(super) helps: Sum,
    /// Exposures without an answer.
    pub(super) failures: f64,
    /// Seconds to the answer.
    pub(super) latency: Sum,
    /// Sums of the tripwire measures, in the order of their names.
    tripwires: [f32; NUM_MEASURES],
}

impl Unit {
    /// A measure per answer: where there is none, there is no text to measure.
    pub(super) fn measure(&self, index: usize) -> (f64, f64) {
        (f64::from(self.tripwires[index]), self.exposures - self.failures)
    }
}

/// Values and their number.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum {
    value: f64,
    count: f64,
}

impl Sum {
    fn shift(&mut self, label: Option<f32>, sign: f64) {
        if let Some(value) = label {
            self.value += sign * f64::from(value);
            self.count += sign;
        }
    }

    pub(super) const fn pair(self) -> (f64, f64) {
        (self.value, self.count)
    }
}

/// What the labels of an exposure were when last folded.
#[derive(Debug, Clone, Copy)]
struct Counted {
    unit: u64,
    revision: u32,
    love: Option<f32>,
    help: Option<f32>,
}

/// What an exposure was like, whatever reactions it gets.
struct Seen {
    variant: usize,
    step: u32,
    failed: bool,
    latency: Option<f32>,
    measures: Measures,
}

/// Sums of one variant.
#[derive(Debug, Clone)]
pub(crate) struct VariantFold {
    pub(crate) id: VariantId,
    /// Probability among the enrolled.
    pub(crate) probability: f64,
    pub(crate) exposures: u64,
    pub(crate) love: RatioMoments,
    pub(crate) help: RatioMoments,
    /// The tripwire measures per exposure, in the order of their names.
    pub(crate) tripwires: [RatioMoments; NUM_MEASURES],
}

impl VariantFold {
    /// Who says goodbye is answered with goodbye, and that is no harm.
    pub(crate) fn unsolicited_closing(&self) -> &RatioMoments {
        let index = Tripwires::index_of(UNSOLICITED_CLOSING).expect("it is a measure");
        &self.tripwires[index]
    }
}

/// Everything folded about one experiment.
#[derive(Debug, Clone)]
pub(crate) struct ExperimentFold {
    pub(crate) experiment: RunningExperiment,
    pub(crate) variants: Vec<VariantFold>,
    pub(crate) srm: SequentialSrm,
    pub(crate) crossed: u64,
    pub(crate) skipped: u64,
    /// What a delivery is judged by, in a run of a rolling experiment.
    pub(crate) strata: Option<Strata>,
    units: HashMap<u64, Unit>,
    counted: HashMap<u128, Counted>,
    order: VecDeque<u128>,
}

impl ExperimentFold {
    pub(crate) fn new(experiment: RunningExperiment, config: &ReadoutConfig) -> Self {
        let variant = |(id, probability): &(VariantId, f64)| VariantFold {
            id: id.clone(),
            probability: *probability,
            exposures: 0,
            love: RatioMoments::default(),
            help: RatioMoments::default(),
            tripwires: Default::default(),
        };
        let variants: Vec<VariantFold> = experiment.variants.iter().map(variant).collect();
        let weights: Vec<f64> = variants.iter().map(|variant| variant.probability).collect();
        let position = |id: &VariantId| variants.iter().position(|variant| variant.id == *id);
        let candidate = experiment.treatment.as_ref().and_then(position);
        Self {
            strata: candidate.zip(position(&experiment.control)).map(|(of, control)| Strata::new(of, control)),
            srm: SequentialSrm::new(&weights, config.srm_concentration),
            experiment,
            variants,
            crossed: 0,
            skipped: 0,
            units: HashMap::new(),
            counted: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    pub(crate) fn fold(&mut self, example: &Example, tripwires: &Tripwires, config: &ReadoutConfig) -> Folded {
        let mut assignments = example.assignments.iter();
        let Some(assignment) = assignments.find(|a| a.experiment == self.experiment.id) else {
            return Folded::Ignored;
        };
        let mut variants = self.variants.iter();
        let Some(variant) = variants.position(|variant| variant.id == assignment.variant) else {
            return Folded::Ignored;
        };
        if is_shadow(example) {
            return Folded::Ignored;
        }
        let label = |objective: &str| example.label(objective).map(|label| label.value);
        let counted = Counted {
            unit: xxh3_64(example.unit_id.as_str().as_bytes()),
            revision: example.revision,
            love: label(&config.objective.0),
            help: label(Objective::HELPFULNESS),
        };
        let key = xxh3_128(example.exposure_id.as_str().as_bytes());
        match self.counted.get(&key).copied() {
            Some(before) if before.revision >= counted.revision => Folded::Stale,
            Some(before) => {
                self.counted.insert(key, counted);
                self.correct(before, counted);
                Folded::Corrected
            }
            // The first revision is no longer, or was never, part of the sums.
            None if counted.revision > 0 => Folded::Stale,
            None => {
                let seen = Seen {
                    variant,
                    step: assignment.draw.as_ref().map_or(0, |draw| draw.phase),
                    failed: example.has_failed(),
                    latency: example.latency_seconds().map(|seconds| seconds as f32),
                    measures: tripwires.measure(example.context.last_request(), &example.response),
                };
                self.count(key, counted, &seen, config)
            }
        }
    }

    fn count(&mut self, key: u128, counted: Counted, seen: &Seen, config: &ReadoutConfig) -> Folded {
        let variant = seen.variant;
        let known = self.units.get(&counted.unit).copied();
        if known.is_some_and(|unit| unit.variant != variant) {
            self.crossed += 1;
            return Folded::Crossed;
        }
        if known.is_none() && self.units.len() >= config.max_tracked_units {
            self.skipped += 1;
            return Folded::Skipped;
        }
        let mut unit = known.unwrap_or(Unit { variant, step: seen.step, ..Unit::default() });
        unit.exposures += 1.0;
        if seen.failed {
            unit.failures += 1.0;
        } else {
            unit.latency.shift(seen.latency, 1.0);
            for (sum, value) in unit.tripwires.iter_mut().zip(seen.measures.values()) {
                *sum += value as f32;
            }
        }
        unit.loves.shift(counted.love, 1.0);
        unit.helps.shift(counted.help, 1.0);
        if known.is_none() {
            self.srm.observe(variant);
        }
        self.store(counted.unit, known, unit);
        self.variants[variant].exposures += 1;
        self.counted.insert(key, counted);
        self.order.push_back(key);
        if self.order.len() > config.max_corrections
            && let Some(oldest) = self.order.pop_front()
        {
            self.counted.remove(&oldest);
        }
        Folded::Counted
    }

    fn correct(&mut self, before: Counted, after: Counted) {
        let Some(old) = self.units.get(&before.unit).copied() else { return };
        let mut new = old;
        new.loves.shift(before.love, -1.0);
        new.helps.shift(before.help, -1.0);
        new.loves.shift(after.love, 1.0);
        new.helps.shift(after.help, 1.0);
        self.store(before.unit, Some(old), new);
    }

    fn store(&mut self, key: u64, old: Option<Unit>, new: Unit) {
        if let Some(strata) = &mut self.strata {
            strata.store(old.as_ref(), &new);
        }
        let variant = &mut self.variants[new.variant];
        let measures = variant.tripwires.iter_mut().enumerate();
        match old {
            None => {
                variant.love.add(new.loves.pair());
                variant.help.add(new.helps.pair());
                measures.for_each(|(index, moments)| moments.add(new.measure(index)));
            }
            Some(old) => {
                variant.love.replace(old.loves.pair(), new.loves.pair());
                variant.help.replace(old.helps.pair(), new.helps.pair());
                measures.for_each(|(index, moments)| moments.replace(old.measure(index), new.measure(index)));
            }
        }
        self.units.insert(key, new);
    }

    /// Frees what only further examples would need.
    pub(crate) fn freeze(&mut self) {
        self.units = HashMap::new();
        self.counted = HashMap::new();
        self.order = VecDeque::new();
    }
}

fn is_shadow(example: &Example) -> bool {
    example.attributes.get("actor").is_some_and(|actor| actor == "shadow")
}
