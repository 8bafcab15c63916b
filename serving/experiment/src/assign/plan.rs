//! What assignment runs on: a definition, compiled.

mod assign;
mod compile;
mod log;

use plaudit_event::{ExperimentId, LayerId, Timestamp, VariantId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(super) use compile::realise;
pub use compile::{Compile, Run};
pub use log::{Logged, Mismatch};

use super::hash::Salt;
use super::{Condition, Groups};

/// A compiled definition. Immutable: a change makes a new plan.
///
/// ```text
/// layer       0 ├── tone: range [0, .6) ──────────┤├─ length: [.6, .9) ─┤·holdout·┤ 1    hash of the layer's salt
/// experiment  0 ├▒▒▒ share ───────┤▒▒▒▒ share ──────────────────────────────┤ 1    hash of the experiment's seed
///               control: weight .4      warm: weight .6
/// ```
///
/// Each variant enrols the front of its own part of the positions, and the parts are fixed by the weights alone: a
/// growing share appends positions to each part, and no unit that is enrolled ever moves. Where weights follow what was
/// seen, each cohort has positions of its own, next to those of the cohorts before, and is split by its own weights.
#[derive(Debug, Clone)]
pub struct Plan<P> {
    hash: String,
    killed: bool,
    holdout: Option<Holdout>,
    groups: Groups,
    layers: Vec<Layer<P>>,
}

#[derive(Debug, Clone)]
struct Holdout {
    unit: String,
    salt: Salt,
    /// First bucket that is not held out.
    end: u32,
}

#[derive(Debug, Clone)]
struct Layer<P> {
    id: LayerId,
    unit: String,
    salt_text: String,
    salt: Salt,
    killed: bool,
    /// First bucket that is held out.
    holdout: u32,
    /// In the order of their ranges.
    experiments: Vec<Experiment<P>>,
    /// Unit, experiment, variant; sorted by unit.
    forced: Vec<(String, usize, usize)>,
}

/// An experiment of a plan.
#[derive(Debug, Clone)]
pub struct Experiment<P> {
    id: ExperimentId,
    template: ExperimentId,
    seed_text: String,
    seed: Salt,
    /// Buckets of the layer, without the second.
    range: (u32, u32),
    active: bool,
    killed: bool,
    targeting: Option<Condition>,
    control: usize,
    variants: Vec<Variant<P>>,
    phases: Vec<Phase>,
    /// Whether each phase is a cohort, with buckets and weights of its own.
    in_cohorts: bool,
}

/// A variant of a plan.
#[derive(Debug, Clone)]
pub struct Variant<P> {
    /// Names it.
    pub id: VariantId,
    /// What it stands for.
    pub policy: P,
    /// Whether somebody serves it; else it enrols nobody.
    pub is_served: bool,
}

/// A step of a ramp, or a cohort.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    /// When it begins.
    pub from: Timestamp,
    /// Fraction of the layer enrolled, as written.
    pub share: f64,
    /// Buckets of each variant.
    buckets: Vec<(u32, u32)>,
    /// Probability of each variant among the enrolled: exact, in buckets.
    weights: Vec<f64>,
}

/// Whom an assignment is for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Kind and id of each unit that the request names.
    pub units: &'a [(&'a str, &'a str)],
    /// What targeting may look at, a JSON object; null when there is nothing.
    pub attributes: &'a Value,
    /// The present. When it goes back, so does a ramp: units enrolled since are outside until it comes again, and
    /// nobody changes variant.
    pub now: Timestamp,
}

/// Why a decision is what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The hash picked the variant: the only one that counts as evidence.
    Split,
    /// The definition gives this unit the variant.
    Forced,
    /// The unit is in the holdout of everything.
    Holdout,
    /// The unit is in the layer's holdout.
    LayerHoldout,
    /// A kill switch is on: the definition's, the layer's or the experiment's.
    Killed,
    /// The request does not name a unit of the layer's kind.
    NoUnit,
    /// No experiment reserves the unit's position.
    Unreserved,
    /// The experiment is paused.
    Inactive,
    /// The ramp has not begun.
    NotStarted,
    /// The unit does not meet the targeting condition.
    NotTargeted,
    /// The share does not reach the unit yet.
    Outside,
    /// Nobody serves the unit's variant, or too few variants are served to compare anything.
    Unserved,
}

/// What was decided for one layer. Borrows from the plan; nothing is copied.
#[derive(Debug)]
pub struct Decision<'a, P> {
    layer: &'a Layer<P>,
    experiment: Option<&'a Experiment<P>>,
    phase: Option<usize>,
    variant: Option<usize>,
    bucket: Option<u32>,
    /// Why.
    pub reason: Reason,
}

impl<P> Clone for Decision<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Decision<'_, P> {}

impl<'a, P> Decision<'a, P> {
    /// The layer.
    #[must_use]
    pub fn layer(&self) -> &'a LayerId {
        &self.layer.id
    }

    /// The experiment that reserves the unit's position, or that forces its variant.
    #[must_use]
    pub fn experiment(&self) -> Option<&'a Experiment<P>> {
        self.experiment
    }

    /// The variant; none unless the reason is [`Reason::Split`] or [`Reason::Forced`].
    #[must_use]
    pub fn variant(&self) -> Option<&'a Variant<P>> {
        self.experiment.zip(self.variant).map(|(experiment, variant)| &experiment.variants[variant])
    }

    /// Index of the variant in the experiment.
    #[must_use]
    pub fn variant_index(&self) -> Option<usize> {
        self.variant
    }

    /// Index of the step of the ramp; of the unit's cohort where weights follow what was seen.
    #[must_use]
    pub fn phase(&self) -> Option<usize> {
        self.phase
    }

    /// The probability of each variant among the enrolled, in the experiment's order; empty when no step has begun.
    #[must_use]
    pub fn weights(&self) -> &'a [f64] {
        let phase = self.experiment.zip(self.phase).map(|(experiment, phase)| &experiment.phases[phase]);
        phase.map_or(&[], |phase| &phase.weights)
    }

    /// The probability that the unit had of the variant that it got; none unless the reason is [`Reason::Split`].
    #[must_use]
    pub fn propensity(&self) -> Option<f64> {
        let variant = self.variant.filter(|_| self.reason == Reason::Split)?;
        self.weights().get(variant).copied()
    }

    /// The bucket, below [`BUCKETS`](super::BUCKETS), under the experiment's seed.
    #[must_use]
    pub fn bucket(&self) -> Option<u32> {
        self.bucket
    }

    /// The layer's salt.
    #[must_use]
    pub fn salt(&self) -> &'a str {
        &self.layer.salt_text
    }

    /// The kind of unit.
    #[must_use]
    pub fn unit(&self) -> &'a str {
        &self.layer.unit
    }
}

impl<P> Experiment<P> {
    /// What exposures carry: the experiment's id, or the run's.
    #[must_use]
    pub fn id(&self) -> &ExperimentId {
        &self.id
    }

    /// The experiment's id in the definition.
    #[must_use]
    pub fn template(&self) -> &ExperimentId {
        &self.template
    }

    /// The seed in force.
    #[must_use]
    pub fn seed(&self) -> &str {
        &self.seed_text
    }

    /// The variants, in order.
    #[must_use]
    pub fn variants(&self) -> &[Variant<P>] {
        &self.variants
    }

    /// Index of the variant that the others are compared with.
    #[must_use]
    pub fn control(&self) -> usize {
        self.control
    }

    /// The steps of the ramp.
    #[must_use]
    pub fn phases(&self) -> &[Phase] {
        &self.phases
    }

    /// Index of the step in force at `now`.
    #[must_use]
    pub fn phase_at(&self, now: Timestamp) -> Option<usize> {
        self.phases.iter().rposition(|phase| phase.from <= now)
    }

    /// Whether its units are enrolled in cohorts, whose weights follow what was seen.
    #[must_use]
    pub const fn is_in_cohorts(&self) -> bool {
        self.in_cohorts
    }

    /// Whether it can enrol: neither killed nor paused, with its control and another variant served.
    #[must_use]
    pub fn can_enrol(&self) -> bool {
        self.active && self.can_go_on()
    }

    /// Whether it is paused, and would enrol again when it goes on.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        !self.active && self.can_go_on()
    }

    fn can_go_on(&self) -> bool {
        !self.killed && self.phases.iter().any(|phase| phase.weights.iter().any(|weight| *weight > 0.0))
    }
}

impl Phase {
    /// The probability of each variant among the enrolled.
    #[must_use]
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// The fraction of the experiment's units that is enrolled, in whole buckets; in a cohort, that joins with it.
    #[must_use]
    pub fn enrolled(&self) -> f64 {
        let buckets: u32 = self.buckets.iter().map(|(start, end)| end.saturating_sub(*start)).sum();
        f64::from(buckets) / f64::from(super::BUCKETS)
    }
}

#[cfg(test)]
mod tests;
