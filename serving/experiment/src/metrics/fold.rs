//! From the events of one unit, in any order, to what the unit is worth by each metric.
//!
//! **Order.** Events may come in any order and more than once: an id that was seen is ignored, of an example the
//! highest revision counts, a reaction may precede its exposure, a retraction what it retracts.
//!
//! **Time.** The experiment begins for a unit with its earliest assigned exposure. What belongs to an exposure
//! from then on is after; what was shown *and* done earlier is before; a late reaction to an earlier exposure
//! is neither, because treatment may have caused it. A reaction that is older than its exposure tells of a
//! clock that goes backwards: it is ignored and counted.
//!
//! **Memory.** One fold holds one unit, at most [`MAX_EVENTS`] events; what comes on top is ignored and counted.
//! A caller whose events are sorted by unit needs one fold at a time.

mod row;

use std::collections::{BTreeMap, BTreeSet};

use plaudit_event::{Actor, SignalKind, Timestamp};
use serde_json::{Map, Value};

use super::config::{Cuped, MetricConfig, MetricSet, Source};
use super::view::{Assigned, ExampleView, ExposureView, SignalView};
pub(super) use row::DAY_MS;
pub use row::{Folded, UnitRow, UnitValue};

/// Most events of a unit that are kept.
pub const MAX_EVENTS: usize = 100_000;

/// What a fold is about.
#[derive(Debug, Clone, PartialEq)]
pub struct FoldPlan {
    /// Names of the variants in the order of the definition; the first is the control.
    pub variants: Vec<String>,
    /// The metrics, validated.
    pub set: MetricSet,
    /// Until when the events are complete: a unit whose window ends later has no final value yet.
    pub now: Timestamp,
}

impl FoldPlan {
    /// Variant, phase and probabilities of a draw; nothing where the experiment does not have them.
    #[must_use]
    pub fn drawn(&self, given: &Assigned<'_>) -> Option<(usize, u32, Vec<f64>)> {
        let variant = self.variants.iter().position(|name| name == given.variant)?;
        let is_distribution = given.weights.len() == self.variants.len()
            && given.weights.iter().all(|weight| (0.0..=1.0).contains(weight))
            && (given.weights.iter().sum::<f64>() - 1.0).abs() < 1e-6;
        (is_distribution && given.weights[variant] > 0.0).then(|| (variant, given.phase, given.weights.to_vec()))
    }
}

/// Events that did not count, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ignored {
    /// An id that was seen before, or an older revision.
    pub duplicates: u64,
    /// A reaction older than its exposure.
    pub backwards: u64,
    /// A reaction to an exposure that the unit does not have.
    pub orphans: u64,
    /// A number that is not finite.
    pub not_numbers: u64,
    /// An exposure with a variant that the experiment does not have, or probabilities that are none.
    pub unknown_variants: u64,
    /// More events than [`MAX_EVENTS`].
    pub beyond_limit: u64,
}

impl Ignored {
    pub(super) const fn add(&mut self, other: &Self) {
        self.duplicates += other.duplicates;
        self.backwards += other.backwards;
        self.orphans += other.orphans;
        self.not_numbers += other.not_numbers;
        self.unknown_variants += other.unknown_variants;
        self.beyond_limit += other.beyond_limit;
    }
}

/// An exposure as far as metrics need it.
struct Seen {
    ts: Timestamp,
    assigned: Option<(usize, u32, Vec<f64>)>,
    undrawn: Option<String>,
    is_elsewhere: bool,
    /// For each metric: whether its filters hold, and what the exposure itself gives to numerator and denominator.
    parts: Vec<Option<[Option<f64>; 2]>>,
    /// For each metric: the attribute of CUPED.
    covariates: Vec<f64>,
    /// For each segment: the index of the value, or their number for others.
    segments: Vec<usize>,
}

struct Reaction {
    exposure_id: String,
    kind: SignalKind,
    value: Option<f64>,
    ts: Timestamp,
}

struct Worth {
    revision: u32,
    ts: Timestamp,
    /// For each metric: the labels of numerator and denominator.
    parts: Vec<[Option<f64>; 2]>,
}

/// The events of one unit.
pub struct UnitFold<'p> {
    plan: &'p FoldPlan,
    exposures: BTreeMap<String, Seen>,
    reactions: BTreeMap<String, Reaction>,
    retracted: BTreeSet<String>,
    worths: BTreeMap<String, Worth>,
    ignored: Ignored,
}

impl<'p> UnitFold<'p> {
    /// A unit without events.
    #[must_use]
    pub const fn new(plan: &'p FoldPlan) -> Self {
        Self {
            plan,
            exposures: BTreeMap::new(),
            reactions: BTreeMap::new(),
            retracted: BTreeSet::new(),
            worths: BTreeMap::new(),
            ignored: Ignored {
                duplicates: 0,
                backwards: 0,
                orphans: 0,
                not_numbers: 0,
                unknown_variants: 0,
                beyond_limit: 0,
            },
        }
    }

    fn has_room(&mut self) -> bool {
        let has_room = self.exposures.len() + self.reactions.len() + self.worths.len() < MAX_EVENTS;
        self.ignored.beyond_limit += u64::from(!has_room);
        has_room
    }

    /// An exposure of the unit, also one outside the experiment: it may be of the time before.
    pub fn exposure(&mut self, view: &ExposureView<'_>) {
        if self.exposures.contains_key(view.exposure_id) {
            self.ignored.duplicates += 1;
        } else if self.has_room() {
            let seen = self.seen(view);
            self.exposures.insert(view.exposure_id.to_owned(), seen);
        }
    }

    /// A reaction of the unit.
    pub fn signal(&mut self, view: &SignalView<'_>) {
        if view.actor == Actor::Shadow {
            return;
        }
        if self.reactions.contains_key(view.signal_id) {
            self.ignored.duplicates += 1;
            return;
        }
        if !self.has_room() {
            return;
        }
        if let Some(earlier) = view.retracts {
            self.retracted.insert(format!("{}\n{earlier}", view.exposure_id));
        }
        let is_number = view.value.is_none_or(f64::is_finite);
        self.ignored.not_numbers += u64::from(!is_number);
        let reaction = Reaction {
            exposure_id: view.exposure_id.to_owned(),
            kind: view.kind.clone(),
            value: view.value.filter(|value| value.is_finite()),
            ts: view.ts,
        };
        // A retraction is no reaction itself, but its id is taken.
        self.reactions.insert(view.signal_id.to_owned(), reaction);
        if view.retracts.is_some() {
            self.retracted.insert(format!("{}\n{}", view.exposure_id, view.signal_id));
        }
    }

    /// What an exposure was worth; stands for the exposure where that did not come itself.
    pub fn example(&mut self, view: &ExampleView<'_>) {
        let id = view.exposure.exposure_id;
        if !self.exposures.contains_key(id) {
            self.exposure(&view.exposure);
        }
        let is_old = self.worths.get(id).is_some_and(|worth| worth.revision >= view.revision);
        if is_old {
            self.ignored.duplicates += 1;
        } else if self.worths.contains_key(id) || self.has_room() {
            let value = |source: Option<&Source>| match source? {
                Source::Label(objective) => view.labels.get(objective.as_str()).map(|label| f64::from(label.value)),
                _ => None,
            };
            let metrics = self.plan.set.metrics.iter();
            let parts = metrics.map(|metric| [Some(&metric.source), metric.denominator.as_ref()].map(value)).collect();
            let worth = Worth { revision: view.revision, ts: view.ts, parts };
            self.worths.insert(id.to_owned(), worth);
        }
    }

    fn seen(&mut self, view: &ExposureView<'_>) -> Seen {
        let plan = self.plan;
        let assigned = view.assigned.and_then(|given| plan.drawn(&given));
        self.ignored.unknown_variants += u64::from(view.assigned.is_some() && assigned.is_none());
        let parts = plan.set.metrics.iter().map(|metric| {
            passes(metric, view).then(|| {
                [Some(&metric.source), metric.denominator.as_ref()]
                    .map(|source| source.and_then(|source| self.own_value(source, view)))
            })
        });
        let parts = parts.collect();
        let covariates = plan.set.metrics.iter().map(|metric| match &metric.cuped {
            Some(Cuped::Attribute(name)) => number(view.attributes, name).unwrap_or(0.0),
            _ => 0.0,
        });
        let segments = plan.set.segments.iter().map(|segment| {
            let value = view.attributes.get(&segment.attribute).map(text);
            let place = value.and_then(|value| segment.values.iter().position(|listed| *listed == value));
            place.unwrap_or(segment.values.len())
        });
        Seen {
            ts: view.ts,
            assigned,
            undrawn: view.undrawn.map(str::to_owned),
            is_elsewhere: view.is_elsewhere,
            parts,
            covariates: covariates.collect(),
            segments: segments.collect(),
        }
    }

    fn own_value(&self, source: &Source, view: &ExposureView<'_>) -> Option<f64> {
        match source {
            Source::Exposures => Some(1.0),
            Source::ResponseWords => Some(f64::from(view.words)),
            Source::Attribute(name) => number(view.attributes, name),
            Source::Label(_) | Source::Signal(_) => None,
        }
    }
}

fn passes(metric: &MetricConfig, view: &ExposureView<'_>) -> bool {
    let is_surface = metric.surface.is_none_or(|surface| surface == view.surface);
    is_surface && metric.attributes.iter().all(|(name, value)| view.attributes.get(name) == Some(value))
}

fn number(attributes: &Map<String, Value>, name: &str) -> Option<f64> {
    attributes.get(name)?.as_f64().filter(|value| value.is_finite())
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
