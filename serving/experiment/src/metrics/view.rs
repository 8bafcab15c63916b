//! What of an event counts, borrowed.

use plaudit_event::{Actor, Assignment, Example, Exposure, Labels, Signal, SignalKind, Surface, Timestamp};
use serde_json::{Map, Value};

/// The variant that the experiment in question gave to the unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Assigned<'a> {
    /// Its name.
    pub variant: &'a str,
    /// Number of the step of the ramp, from 0.
    pub phase: u32,
    /// The logged probability of each variant at that step, in the order of the definition.
    pub weights: &'a [f64],
}

/// One decision shown to the unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExposureView<'a> {
    /// Names it.
    pub exposure_id: &'a str,
    /// When.
    pub ts: Timestamp,
    /// Where.
    pub surface: Surface,
    /// Words of what was shown.
    pub words: u32,
    /// Its attributes.
    pub attributes: &'a Map<String, Value>,
    /// The variant, where the unit was drawn into the experiment.
    pub assigned: Option<Assigned<'a>>,
    /// The variant that was shown without a draw, as to testers: it counts for nothing, and a unit that was drawn
    /// into another has seen two.
    pub undrawn: Option<&'a str>,
    /// Whether another experiment of the same layer had the unit.
    pub is_elsewhere: bool,
}

/// One reaction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SignalView<'a> {
    /// Names it.
    pub signal_id: &'a str,
    /// The exposure reacted to.
    pub exposure_id: &'a str,
    /// What was done.
    pub kind: &'a SignalKind,
    /// A number that belongs to the kind.
    pub value: Option<f64>,
    /// When.
    pub ts: Timestamp,
    /// The earlier signal that is taken back.
    pub retracts: Option<&'a str>,
    /// Who reacted; what a simulated stand-in does is no part of an experiment.
    pub actor: Actor,
}

/// What an exposure was worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExampleView<'a> {
    /// The exposure that was attributed.
    pub exposure: ExposureView<'a>,
    /// The highest one counts.
    pub revision: u32,
    /// By objective.
    pub labels: &'a Labels,
    /// When the window closed or was corrected.
    pub ts: Timestamp,
}

/// Where products decide elsewhere and log no draw: phase and probabilities of all that is not drawn.
type Elsewhere<'a> = Option<(u32, &'a [f64])>;

struct Found<'a> {
    assigned: Option<Assigned<'a>>,
    undrawn: Option<&'a str>,
    is_elsewhere: bool,
}

fn found<'a>(assignments: &'a [Assignment], (layer, experiment): (&str, &str), fixed: Elsewhere<'a>) -> Found<'a> {
    let mine = assignments.iter().find(|one| one.experiment.as_str() == experiment);
    let is_elsewhere =
        assignments.iter().any(|one| one.layer.as_str() == layer && one.experiment.as_str() != experiment);
    let drawn = mine.and_then(|one| {
        let draw = one.draw.as_ref().map(|draw| (draw.phase, draw.weights.as_slice()));
        let (phase, weights) = draw.or(fixed)?;
        Some(Assigned { variant: one.variant.as_str(), phase, weights })
    });
    let undrawn = mine.filter(|_| drawn.is_none()).map(|one| one.variant.as_str());
    Found { assigned: drawn, undrawn, is_elsewhere }
}

/// Words of a response.
fn words(response: &str) -> u32 {
    u32::try_from(response.split_whitespace().count()).unwrap_or(u32::MAX)
}

impl<'a> ExposureView<'a> {
    /// What `assignments` say to `experiment`, of an exposure whose other fields are those of `self`.
    #[must_use]
    pub fn assigned(self, assignments: &'a [Assignment], experiment: (&str, &str)) -> Self {
        let found = found(assignments, experiment, None);
        Self { assigned: found.assigned, undrawn: found.undrawn, is_elsewhere: found.is_elsewhere, ..self }
    }

    /// The exposure seen from `experiment`, which is `(layer, experiment)`, with the phase and the probabilities
    /// logged at its draw. Without a draw it counts for nothing, unless `fixed` has phase and probabilities for it.
    #[must_use]
    pub fn of(exposure: &'a Exposure, experiment: (&str, &str), fixed: Option<(u32, &'a [f64])>) -> Self {
        let found = found(&exposure.assignments, experiment, fixed);
        Self {
            exposure_id: exposure.exposure_id.as_str(),
            ts: exposure.ts,
            surface: exposure.surface,
            words: words(exposure.response()),
            attributes: &exposure.attributes,
            assigned: found.assigned,
            undrawn: found.undrawn,
            is_elsewhere: found.is_elsewhere,
        }
    }
}

impl<'a> SignalView<'a> {
    /// The signal.
    #[must_use]
    pub fn of(signal: &'a Signal) -> Self {
        Self {
            signal_id: signal.signal_id.as_str(),
            exposure_id: signal.exposure_id.as_str(),
            kind: &signal.kind,
            value: signal.value,
            ts: signal.ts,
            retracts: signal.retracts.as_ref().map(plaudit_event::SignalId::as_str),
            actor: signal.actor,
        }
    }
}

impl<'a> ExampleView<'a> {
    /// The example, with its exposure as in [`ExposureView::of`].
    #[must_use]
    pub fn of(example: &'a Example, experiment: (&str, &str), fixed: Option<(u32, &'a [f64])>) -> Self {
        let found = found(&example.assignments, experiment, fixed);
        let exposure = ExposureView {
            exposure_id: example.exposure_id.as_str(),
            ts: example.exposure_ts,
            surface: example.surface,
            words: words(&example.response),
            attributes: &example.attributes,
            assigned: found.assigned,
            undrawn: found.undrawn,
            is_elsewhere: found.is_elsewhere,
        };
        Self { exposure, revision: example.revision, labels: &example.labels, ts: example.ts }
    }
}
