//! What is known at an evaluation: sums per step and arm.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::stats::{Estimate, RatioMoments};

/// Sums over the units of an arm of a ratio metric Σ numerator / Σ denominator; a plain mean has denominator 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    /// Units with a denominator.
    pub units: u64,
    /// Units with the outcome at least once; read by the exact method.
    pub reacted: u64,
    /// Σ numerator.
    pub numerator: f64,
    /// Σ numerator².
    pub numerator_squared: f64,
    /// Σ denominator.
    pub denominator: f64,
    /// Σ denominator².
    pub denominator_squared: f64,
    /// Σ numerator · denominator.
    pub product: f64,
}

impl Sums {
    /// Adds a unit.
    pub fn add(&mut self, numerator: f64, denominator: f64) {
        self.units += 1;
        self.reacted += u64::from(numerator > 0.0);
        self.shift(numerator, denominator, 1.0);
    }

    /// Replaces what a unit contributed, which was added before where its denominator was above zero. A unit without a
    /// denominator contributes nothing.
    pub fn replace(&mut self, old: (f64, f64), new: (f64, f64)) {
        if old.1 > 0.0 {
            self.units -= 1;
            self.reacted -= u64::from(old.0 > 0.0);
            self.shift(old.0, old.1, -1.0);
        }
        if new.1 > 0.0 {
            self.add(new.0, new.1);
        }
    }

    /// The sums of both: of units that are not the same.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            units: self.units + other.units,
            reacted: self.reacted + other.reacted,
            numerator: self.numerator + other.numerator,
            numerator_squared: self.numerator_squared + other.numerator_squared,
            denominator: self.denominator + other.denominator,
            denominator_squared: self.denominator_squared + other.denominator_squared,
            product: self.product + other.product,
        }
    }

    fn shift(&mut self, numerator: f64, denominator: f64, sign: f64) {
        self.numerator += sign * numerator;
        self.numerator_squared += sign * numerator * numerator;
        self.denominator += sign * denominator;
        self.denominator_squared += sign * denominator * denominator;
        self.product += sign * numerator * denominator;
    }

    pub(super) fn estimate(&self) -> Option<Estimate> {
        let [m, mm, d, dd] = [self.numerator, self.numerator_squared, self.denominator, self.denominator_squared];
        RatioMoments::from_sums(self.units, [m, mm, d, dd, self.product]).estimate()
    }

    fn fault(&self) -> Option<String> {
        let values = [
            ("numerator", self.numerator, f64::MIN),
            ("numerator_squared", self.numerator_squared, 0.0),
            ("denominator", self.denominator, 0.0),
            ("denominator_squared", self.denominator_squared, 0.0),
            ("product", self.product, f64::MIN),
        ];
        for (field, value, least) in values {
            if !(value.is_finite() && value >= least) {
                let range = if least == 0.0 { "finite and >= 0" } else { "finite" };
                return Some(format!("{field} must be {range}, is {value}"));
            }
        }
        let most = self.units;
        (self.reacted > most).then(|| format!("reacted must be at most units {most}, is {}", self.reacted))
    }
}

/// One arm.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// Units exposed.
    pub units: u64,
    /// Sums by metric. A metric that is absent has no data.
    pub metrics: BTreeMap<String, Sums>,
}

/// The candidate and its concurrent control.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// The candidate.
    pub treatment: Arm,
    /// The champion, in a slice of its own.
    pub control: Arm,
}

/// Units whose very first appearance in the delivery fell into a step, by their arm. Only these arrive in the
/// proportions of the step: who was there before was divided earlier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrivals {
    /// To the candidate.
    pub treatment: u64,
    /// To the control.
    pub control: u64,
    /// To neither. Absent when not counted; with it, a loss in one arm is found in half the units.
    pub rest: Option<u64>,
}

/// Sums of one live step. A unit belongs to the step in which its arm first served it, with all that it did since.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// 0 is the canary, 1 the first step of the ramp.
    pub step: usize,
    /// For the sample ratio.
    pub arrivals: Arrivals,
    /// The arms.
    pub arms: Pair,
}

/// Everything that an evaluation reads.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Scores of answers that were not shown, of both policies on the same requests.
    pub shadow: Option<Pair>,
    /// All live steps so far, each at most once.
    pub phases: Vec<Phase>,
}

impl Arm {
    /// The sums of both: of units that are not the same.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let mut sum = Self { units: self.units + other.units, metrics: self.metrics.clone() };
        for (metric, sums) in &other.metrics {
            let of = sum.metrics.entry(metric.clone()).or_default();
            *of = of.plus(sums);
        }
        sum
    }
}

impl Pair {
    /// The sums of both: of units that are not the same.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self { treatment: self.treatment.plus(&other.treatment), control: self.control.plus(&other.control) }
    }
}

impl Observation {
    pub(super) fn phase(&self, step: usize) -> Option<&Phase> {
        self.phases.iter().find(|phase| phase.step == step)
    }

    /// The first thing that no honest sum can be; `num_steps` are the live steps begun.
    pub(super) fn fault(&self, num_steps: usize) -> Option<String> {
        for (index, phase) in self.phases.iter().enumerate() {
            if phase.step >= num_steps {
                return Some(format!("phases[{index}].step must be below {num_steps}, is {}", phase.step));
            }
            if self.phases[..index].iter().any(|earlier| earlier.step == phase.step) {
                return Some(format!("phases[{index}].step {} is there twice", phase.step));
            }
        }
        let live = self.phases.iter().map(|phase| (format!("step {}", phase.step), &phase.arms));
        for (place, pair) in live.chain(self.shadow.iter().map(|pair| ("shadow".to_owned(), pair))) {
            for (arm, of_arm) in [("treatment", &pair.treatment), ("control", &pair.control)] {
                for (metric, sums) in &of_arm.metrics {
                    if let Some(fault) = sums.fault() {
                        return Some(format!("{place}, {arm}, {metric}: {fault}"));
                    }
                }
            }
        }
        None
    }
}
