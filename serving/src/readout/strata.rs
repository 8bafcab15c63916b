//! What the delivery of a candidate is judged by: sums per step of the ramp and arm.
//!
//! A unit belongs to the step in which its arm first served it. Who appears for the first time later than that step
//! began and who was there before are divided alike between the two arms, so that all of them count as arrivals; units
//! outside of both arms are not counted.

use std::collections::BTreeMap;

use plaudit_event::Objective;
use plaudit_experiment::delivery::{Arm, Arrivals, Pair, Phase, Sums};
use plaudit_policy::tripwire::{NUM_MEASURES, Tripwires};

use super::fold::Unit;

/// Share of the exposures without an answer.
pub(crate) const ERROR: &str = "error";
/// Seconds to the answer.
const LATENCY: &str = "latency";
/// Sums beside those of the tripwires.
const NUM_OTHERS: usize = 4;
const NUM_METRICS: usize = NUM_MEASURES + NUM_OTHERS;

/// Names of what a delivery can be judged by in live steps.
#[must_use]
pub(crate) fn metrics() -> [&'static str; NUM_METRICS] {
    let others = [Objective::LOVE, Objective::HELPFULNESS, ERROR, LATENCY];
    let names = Tripwires::names();
    std::array::from_fn(|index| if index < NUM_OTHERS { others[index] } else { names[index - NUM_OTHERS] })
}

/// Numerator and denominator of each metric.
fn ratios(unit: &Unit) -> [(f64, f64); NUM_METRICS] {
    let others = [unit.loves.pair(), unit.helps.pair(), (unit.failures, unit.exposures), unit.latency.pair()];
    std::array::from_fn(|index| if index < NUM_OTHERS { others[index] } else { unit.measure(index - NUM_OTHERS) })
}

#[derive(Debug, Clone, Copy, Default)]
struct ArmSums {
    units: u64,
    sums: [Sums; NUM_METRICS],
}

impl ArmSums {
    fn arm(&self) -> Arm {
        let names = metrics().map(str::to_owned);
        Arm { units: self.units, metrics: names.into_iter().zip(self.sums).collect() }
    }
}

/// Sums per step, of the candidate and of its control.
#[derive(Debug, Clone)]
pub(crate) struct Strata {
    /// Index of the candidate's variant and of its control.
    variants: [usize; 2],
    steps: BTreeMap<u32, [ArmSums; 2]>,
}

impl Strata {
    pub(super) const fn new(candidate: usize, control: usize) -> Self {
        Self { variants: [candidate, control], steps: BTreeMap::new() }
    }

    /// Replaces `old` by `new`; a unit changes neither its variant nor its step.
    pub(super) fn store(&mut self, old: Option<&Unit>, new: &Unit) {
        let Some(index) = self.variants.iter().position(|variant| *variant == new.variant) else { return };
        let arm = &mut self.steps.entry(new.step).or_default()[index];
        arm.units += u64::from(old.is_none());
        let before = old.map_or([(0.0, 0.0); NUM_METRICS], ratios);
        for ((sums, old), new) in arm.sums.iter_mut().zip(before).zip(ratios(new)) {
            sums.replace(old, new);
        }
    }

    /// The steps so far.
    pub(super) fn phases(&self) -> Vec<Phase> {
        let of = |(step, [treatment, control]): (&u32, &[ArmSums; 2])| Phase {
            step: *step as usize,
            arrivals: Arrivals { treatment: treatment.units, control: control.units, rest: None },
            arms: Pair { treatment: treatment.arm(), control: control.arm() },
        };
        self.steps.iter().map(of).collect()
    }
}
