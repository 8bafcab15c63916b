//! Events as rows.

use clickhouse::{Row, RowOwned, RowWrite};
use plaudit_event::{Assignment, Event, Example, Exposure, Labels, Signal};
use serde::{Deserialize, Serialize};

use crate::fingerprint::Fingerprint;
use crate::outcome::DeadLetter;
use crate::store::units::{pack_assignments, words};
use crate::store::{Place, name};

use super::shown::Shown;

/// Most revisions of an example that are told apart.
const REVISIONS: u64 = 1 << 24;
/// Bits of the version of an example below the revision.
const PLACE_BITS: u32 = 40;

/// A row of a topic.
pub(super) trait Keyed: RowOwned + RowWrite + Send + Sync {
    const TABLE: &'static str;
    /// The table that a view copies the rows into, or nothing.
    const COPY: &'static str;
    /// The column of the id.
    const ID: &'static str;
    /// The column that tells apart what one id says, or a constant.
    const CONTENT: &'static str = "toFixedString('', 16)";
    /// Whether a row with a known id counts when its version is higher.
    const IS_REVISED: bool = false;

    fn id(&self) -> &str;
    /// The exposure that it is about.
    fn exposure_id(&self) -> &str;
    /// Of the rows with the same id and content the one with the highest version stays.
    fn version(&self) -> u64;
    fn content(&self) -> [u8; 16] {
        [0; 16]
    }
    /// Says that its id has said something else before.
    fn set_conflict(&mut self) {}
    /// About how many bytes it has.
    fn size(&self) -> usize;
}

macro_rules! keyed {
    ($row:ty, $table:literal to $copy:literal, $id:ident, about $about:ident, size $size:ident $(, $($rest:item)*)?) => {
        impl Keyed for $row {
            const TABLE: &'static str = $table;
            const COPY: &'static str = $copy;
            const ID: &'static str = stringify!($id);
            fn id(&self) -> &str {
                &self.$id
            }
            fn exposure_id(&self) -> &str {
                &self.$about
            }
            fn version(&self) -> u64 {
                self.version
            }
            fn size(&self) -> usize {
                256 + self.$size.len()
            }
            $($($rest)*)?
        }
    };
}

#[derive(Debug, Row, Serialize, Deserialize)]
pub(super) struct ExposureRow {
    exposure_id: String,
    content: [u8; 16],
    place: u64,
    version: u64,
    unit_id: String,
    session_id: String,
    surface: String,
    policy_id: String,
    propensity: Option<f64>,
    layers: Vec<String>,
    experiments: Vec<String>,
    variants: Vec<String>,
    ts: i64,
    body: String,
    is_conflict: u8,
    assigned: String,
    attributes: String,
    words: u32,
}

keyed!(ExposureRow, "exposures" to "unit_exposures", exposure_id, about exposure_id, size body,
    const CONTENT: &'static str = "content";
    fn content(&self) -> [u8; 16] {
        self.content
    }
    fn set_conflict(&mut self) {
        self.is_conflict = 1;
    }
);

impl ExposureRow {
    pub(super) fn new(place: Place, exposure: Exposure) -> Self {
        let [layers, experiments, variants] = columns(&exposure.assignments);
        let mut row = Self {
            exposure_id: exposure.exposure_id.to_string(),
            content: [0; 16],
            place: place.number(),
            version: first_wins(place),
            unit_id: exposure.unit_id.to_string(),
            session_id: exposure.session_id.clone().unwrap_or_default(),
            surface: name(&exposure.surface),
            policy_id: exposure.policy_id.to_string(),
            propensity: exposure.propensity.map(f64::from),
            layers,
            experiments,
            variants,
            ts: exposure.ts.as_millis(),
            body: json(&exposure),
            is_conflict: 0,
            assigned: pack_assignments(&exposure.assignments),
            attributes: json(&exposure.attributes),
            words: words(exposure.response()),
        };
        row.content = content(Event::Exposure(exposure));
        row
    }
}

#[derive(Debug, Row, Serialize, Deserialize)]
pub(super) struct SignalRow {
    signal_id: String,
    content: [u8; 16],
    place: u64,
    version: u64,
    exposure_id: String,
    kind: String,
    value: Option<f64>,
    actor: String,
    retracts: String,
    ts: i64,
    body: String,
    is_conflict: u8,
    /// What its exposure says, or nothing.
    unit: u64,
    shown: i64,
    surface: String,
    assigned: String,
    attributes: String,
}

keyed!(SignalRow, "signals" to "unit_signals", signal_id, about exposure_id, size body,
    const CONTENT: &'static str = "content";
    fn content(&self) -> [u8; 16] {
        self.content
    }
    fn set_conflict(&mut self) {
        self.is_conflict = 1;
    }
);

impl SignalRow {
    pub(super) fn new(place: Place, signal: Signal) -> Self {
        let mut row = Self {
            signal_id: signal.signal_id.to_string(),
            content: [0; 16],
            place: place.number(),
            version: first_wins(place),
            exposure_id: signal.exposure_id.to_string(),
            kind: signal.kind.to_string(),
            value: signal.value,
            actor: name(&signal.actor),
            retracts: signal.retracts.as_ref().map(ToString::to_string).unwrap_or_default(),
            ts: signal.ts.as_millis(),
            body: json(&signal),
            is_conflict: 0,
            unit: 0,
            shown: 0,
            surface: String::new(),
            assigned: String::new(),
            attributes: String::new(),
        };
        row.content = content(Event::Signal(signal));
        row
    }

    /// Takes what `exposure`, to which it is a reaction, says.
    pub(super) fn place(&mut self, exposure: &Shown) {
        self.unit = exposure.unit;
        self.shown = exposure.shown;
        self.surface.clone_from(&exposure.surface);
        self.assigned.clone_from(&exposure.assigned);
        self.attributes.clone_from(&exposure.attributes);
    }
}

#[derive(Debug, Row, Serialize, Deserialize)]
pub(super) struct ExampleRow {
    exposure_id: String,
    revision: u32,
    place: u64,
    version: u64,
    unit_id: String,
    surface: String,
    policy_id: String,
    propensity: Option<f64>,
    layers: Vec<String>,
    experiments: Vec<String>,
    variants: Vec<String>,
    label_values: Vec<(String, f32)>,
    label_weights: Vec<(String, f32)>,
    exposure_ts: i64,
    ts: i64,
    body: String,
}

keyed!(ExampleRow, "examples" to "unit_exposures", exposure_id, about exposure_id, size body,
    const IS_REVISED: bool = true;
);

impl ExampleRow {
    pub(super) fn new(place: Place, example: Example) -> Self {
        let [layers, experiments, variants] = columns(&example.assignments);
        // Of equal revisions the first one stays.
        let revision = u64::from(example.revision).min(REVISIONS - 1);
        let version = revision << PLACE_BITS | (first_wins(place) & ((1 << PLACE_BITS) - 1));
        Self {
            exposure_id: example.exposure_id.to_string(),
            revision: example.revision,
            place: place.number(),
            version,
            unit_id: example.unit_id.to_string(),
            surface: name(&example.surface),
            policy_id: example.policy_id.to_string(),
            propensity: example.propensity.map(f64::from),
            layers,
            experiments,
            variants,
            label_values: labels(&example.labels, |label| label.value),
            label_weights: labels(&example.labels, |label| label.weight),
            exposure_ts: example.exposure_ts.as_millis(),
            ts: example.ts.as_millis(),
            body: json(&example),
        }
    }
}

#[derive(Debug, Row, Serialize, Deserialize)]
pub(super) struct DeadLetterRow {
    source: String,
    place: u64,
    version: u64,
    outcome: String,
    reason: String,
    received_ts: i64,
    #[serde(skip)]
    about: String,
}

keyed!(DeadLetterRow, "dead_letters" to "", source, about about, size source);

impl DeadLetterRow {
    pub(super) fn new(place: Place, letter: DeadLetter) -> Self {
        let at = || format!("@{}/{}", place.shard, place.offset);
        Self {
            source: letter.source.map_or_else(at, |source| source.to_string()),
            place: place.number(),
            version: first_wins(place),
            outcome: letter.outcome,
            reason: letter.reason.as_str().to_owned(),
            received_ts: letter.received_ts.as_millis(),
            about: String::new(),
        }
    }
}

/// A version that is the higher, the lower the place.
const fn first_wins(place: Place) -> u64 {
    !place.number()
}

/// Layers, experiments and variants.
fn columns(assignments: &[Assignment]) -> [Vec<String>; 3] {
    let mut columns = [const { Vec::new() }; 3];
    for Assignment { layer, experiment, variant, .. } in assignments {
        for (column, id) in columns.iter_mut().zip([layer.as_str(), experiment.as_str(), variant.as_str()]) {
            column.push(id.to_owned());
        }
    }
    columns
}

fn labels(labels: &Labels, number: impl Fn(&plaudit_event::Label) -> f32) -> Vec<(String, f32)> {
    labels.iter().map(|(objective, label)| (objective.to_string(), number(label))).collect()
}

fn content(mut event: Event) -> [u8; 16] {
    Fingerprint::of_content(&mut event, None).bytes()
}

fn json(row: &impl Serialize) -> String {
    serde_json::to_string(row).expect("an event has only string keys")
}
