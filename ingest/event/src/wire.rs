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
mod tests;
