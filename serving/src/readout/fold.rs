//! The fold of one experiment: sums per unit and per variant.

use std::collections::{HashMap, VecDeque};

use plaudit_event::{Example, Objective, VariantId};
use plaudit_policy::tripwire::{Measures, NUM_MEASURES, Tripwires, UNSOLICITED_CLOSING};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::ReadoutConfig;
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
struct Unit {
    variant: usize,
    exposures: f64,
    loves: Sum,
    helps: Sum,
    /// Sums of the tripwire measures, in the order of their names.
    tripwires: [f32; NUM_MEASURES],
}

impl Unit {
    fn measure(&self, index: usize) -> (f64, f64) {
        (f64::from(self.tripwires[index]), self.exposures)
    }
}

/// Labels of one objective: their sum and their number.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
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

    const fn pair(self) -> (f64, f64) {
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
    /// The measure of the closing guardrail: who says goodbye is answered with goodbye, and that is no harm.
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
        Self {
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
                let measures = tripwires.measure(example.context.last_request(), &example.response);
                self.count(key, variant, counted, &measures, config)
            }
        }
    }

    fn count(
        &mut self,
        key: u128,
        variant: usize,
        counted: Counted,
        measures: &Measures,
        config: &ReadoutConfig,
    ) -> Folded {
        let known = self.units.get(&counted.unit).copied();
        if known.is_some_and(|unit| unit.variant != variant) {
            self.crossed += 1;
            return Folded::Crossed;
        }
        if known.is_none() && self.units.len() >= config.max_tracked_units {
            self.skipped += 1;
            return Folded::Skipped;
        }
        let mut unit = known.unwrap_or(Unit { variant, ..Unit::default() });
        unit.exposures += 1.0;
        for (sum, value) in unit.tripwires.iter_mut().zip(measures.values()) {
            *sum += value as f32;
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
