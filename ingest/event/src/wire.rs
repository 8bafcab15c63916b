//! The versioned JSON envelope: one format for HTTP, Kafka and files.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Example, Exposure, Signal};

/// The version written; also the newest one read.
pub const ENVELOPE_VERSION: u32 = 1;

/// What an envelope holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
pub enum Event {
    /// A decision that was shown.
    Exposure(Exposure),
    /// A reaction.
    Signal(Signal),
    /// A training row; made by Plaudit, accepted by nobody.
    Example(Example),
}

/// An event with its format version: `{"v": 1, "event": "signal", "data": {…}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Envelope {
    /// Format version, 1.
    #[schemars(range(min = 1, max = 1))]
    pub v: u32,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

/// Why bytes are not an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEvent {
    /// Not JSON at all.
    #[error("not valid JSON: {0}")]
    Json(String),
    /// A version this build does not read.
    #[error("unsupported `v`: must be {ENVELOPE_VERSION}, got {0}")]
    Version(String),
    /// JSON of the wrong shape.
    #[error("wrong shape: {0}")]
    Shape(String),
}

impl Envelope {
    /// Wraps `event` in the current version.
    #[must_use]
    pub const fn new(event: Event) -> Self {
        Self { v: ENVELOPE_VERSION, event }
    }

    /// Reads one envelope.
    ///
    /// # Errors
    /// Tells apart what is not JSON, what has an unknown version, and what has the wrong shape.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidEvent> {
        let value: Value = serde_json::from_slice(bytes).map_err(|error| InvalidEvent::Json(error.to_string()))?;
        let version = value.get("v").cloned().unwrap_or(Value::Null);
        if version.as_u64() != Some(u64::from(ENVELOPE_VERSION)) {
            return Err(InvalidEvent::Version(version.to_string()));
        }
        serde_json::from_value(value).map_err(|error| InvalidEvent::Shape(error.to_string()))
    }

    /// Writes the envelope as one line of JSON, without the line end.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an event has only string keys and finite numbers")
    }
}

/// The published JSON Schema of [`Envelope`].
#[must_use]
pub fn json_schema() -> Value {
    schemars::schema_for!(Envelope).to_value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExposureId, SignalId, SignalKind, Timestamp};

    fn signal() -> Signal {
        Signal {
            signal_id: SignalId::new("s1").expect("valid"),
            exposure_id: ExposureId::new("e1").expect("valid"),
            item_id: None,
            kind: SignalKind::Love,
            value: None,
            text: None,
            stage: None,
            op: None,
            actor: crate::Actor::User,
            ts: Timestamp::from_millis(5),
            retracts: None,
            unknown: serde_json::Map::new(),
        }
    }

    #[test]
    fn envelopes_survive_a_round_trip_with_unknown_fields() {
        let text = br#"{"v":1,"event":"signal","data":{"signal_id":"s1","exposure_id":"e1","kind":"love","ts":5,"app":"ios"}}"#;
        let decoded = Envelope::decode(text).expect("valid");
        let Event::Signal(read) = &decoded.event else { panic!("a signal") };
        assert_eq!(read.unknown["app"], "ios");
        assert_eq!(Envelope::decode(&decoded.encode()), Ok(decoded.clone()));
        let plain = Envelope::new(Event::Signal(signal()));
        assert_eq!(Envelope::decode(&plain.encode()), Ok(plain));
    }

    #[test]
    fn the_schema_has_the_limits_of_ids_and_numbers() {
        let schema = json_schema();
        for id in ["ExposureId", "SignalId", "UnitId", "LayerId", "ExperimentId", "VariantId"] {
            let id = &schema["$defs"][id];
            let limits = (&id["type"], &id["minLength"], &id["maxLength"], &id["pattern"]);
            assert_eq!(limits, (&"string".into(), &1.into(), &128.into(), &"^[!-~]+$".into()), "{id}");
        }
        let policy = &schema["$defs"]["PolicyId"];
        let limits = (&policy["type"], &policy["minLength"], &policy["maxLength"], &policy["pattern"]);
        assert_eq!(limits, (&"string".into(), &1.into(), &128.into(), &"^[A-Za-z0-9_-][A-Za-z0-9._-]*$".into()));
        let propensity = &schema["$defs"]["Propensity"];
        let range = (&propensity["type"], &propensity["exclusiveMinimum"], &propensity["maximum"]);
        assert_eq!(range, (&"number".into(), &0.0.into(), &1.0.into()));
    }

    #[test]
    fn each_fault_has_its_own_error() {
        assert!(matches!(Envelope::decode(b"{"), Err(InvalidEvent::Json(_))));
        assert!(matches!(Envelope::decode(b"{\"v\":2}"), Err(InvalidEvent::Version(v)) if v == "2"));
        assert!(matches!(Envelope::decode(b"{\"v\":1,\"event\":\"x\"}"), Err(InvalidEvent::Shape(_))));
    }

    proptest::proptest! {
        #[test]
        fn whatever_was_said_survives_a_round_trip(
            id in "[!-~]{1,128}",
            kind in "[a-z_]{1,20}",
            text in ".{0,200}",
            value in proptest::option::of(-1e300..1e300),
            ts in proptest::prelude::any::<i64>(),
            extra in "\\PC{0,40}",
        ) {
            let mut said = signal();
            said.signal_id = SignalId::new(id).expect("printable");
            said.kind = SignalKind::from(kind);
            said.text = Some(text);
            said.value = value;
            said.ts = Timestamp::from_millis(ts);
            said.unknown.insert("extra".to_owned(), Value::String(extra));
            let envelope = Envelope::new(Event::Signal(said));
            let read = Envelope::decode(&envelope.encode()).expect("an envelope");
            // One last digit of a number may change unless a crate of the build asks serde_json for exact ones.
            let (Event::Signal(left), Event::Signal(right)) = (&envelope.event, &read.event) else { panic!("signals") };
            proptest::prop_assert_eq!((&left.signal_id, &left.kind, &left.text), (&right.signal_id, &right.kind, &right.text));
            proptest::prop_assert_eq!((&left.ts, &left.unknown), (&right.ts, &right.unknown));
            proptest::prop_assert_eq!(left.value.is_some(), right.value.is_some());
        }
    }
}
