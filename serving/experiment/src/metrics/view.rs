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
    /// What was shown.
    pub response: &'a str,
    /// Its attributes.
    pub attributes: &'a Map<String, Value>,
    /// The variant, where the unit was in the experiment.
    pub assigned: Option<Assigned<'a>>,
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

/// The variant's name in `assignments`, and whether another experiment of the same layer had the unit.
fn found<'a>(assignments: &'a [Assignment], (layer, experiment): (&str, &str)) -> (Option<&'a str>, bool) {
    let mine = assignments.iter().find(|one| one.experiment.as_str() == experiment);
    let is_elsewhere =
        assignments.iter().any(|one| one.layer.as_str() == layer && one.experiment.as_str() != experiment);
    (mine.map(|one| one.variant.as_str()), is_elsewhere)
}

impl<'a> ExposureView<'a> {
    /// The exposure seen from `experiment` of `layer`, with the phase and the weights logged at it.
    #[must_use]
    pub fn of(exposure: &'a Exposure, experiment: (&str, &str), (phase, weights): (u32, &'a [f64])) -> Self {
        let (variant, is_elsewhere) = found(&exposure.assignments, experiment);
        Self {
            exposure_id: exposure.exposure_id.as_str(),
            ts: exposure.ts,
            surface: exposure.surface,
            response: exposure.response(),
            attributes: &exposure.attributes,
            assigned: variant.map(|variant| Assigned { variant, phase, weights }),
            is_elsewhere,
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
    /// The example seen from `experiment` of `layer`, with the phase and the weights logged at its exposure.
    #[must_use]
    pub fn of(example: &'a Example, experiment: (&str, &str), (phase, weights): (u32, &'a [f64])) -> Self {
        let (variant, is_elsewhere) = found(&example.assignments, experiment);
        let exposure = ExposureView {
            exposure_id: example.exposure_id.as_str(),
            ts: example.exposure_ts,
            surface: example.surface,
            response: &example.response,
            attributes: &example.attributes,
            assigned: variant.map(|variant| Assigned { variant, phase, weights }),
            is_elsewhere,
        };
        Self { exposure, revision: example.revision, labels: &example.labels, ts: example.ts }
    }
}
