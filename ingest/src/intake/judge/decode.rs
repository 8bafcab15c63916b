//! From bytes and JSON to a well-shaped event.

use plaudit_event::{ENVELOPE_VERSION, Event, Exposure, Signal, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::limits::MAX_EVENT_BYTES;
use crate::outcome::{Reason, Refusal};

/// The envelope that `data` would have come in, so that every dead letter can be sent in again the
/// same way.
pub(super) fn wrap(event: &str, data: Value) -> Vec<u8> {
    let envelope = serde_json::json!({"v": ENVELOPE_VERSION, "event": event, "data": data});
    envelope.to_string().into_bytes()
}

pub(super) fn too_large(bytes: usize) -> Refusal {
    let allowed = format!("at most {MAX_EVENT_BYTES} bytes");
    Refusal::new(Reason::TooLarge, "", allowed, format!("{bytes} bytes"))
}

pub(super) fn not_accepted(event: &str) -> Refusal {
    Refusal::new(Reason::Event, "event", "`exposure` or `signal`", event)
}

/// Opens an envelope in steps, so that each fault gets its own reason.
pub(super) fn open_envelope(bytes: &[u8]) -> Result<Event, Refusal> {
    if bytes.len() > MAX_EVENT_BYTES {
        return Err(too_large(bytes.len()));
    }
    let envelope: Value =
        serde_json::from_slice(bytes).map_err(|error| Refusal::new(Reason::Json, "", "JSON", error))?;
    let version = &envelope["v"];
    if *version != ENVELOPE_VERSION {
        let newer = version.as_u64() > Some(u64::from(ENVELOPE_VERSION));
        let reason = match newer {
            true => Reason::NewerVersion,
            false => Reason::Version,
        };
        return Err(Refusal::new(reason, "v", ENVELOPE_VERSION, version));
    }
    match envelope["event"].as_str() {
        Some("exposure") => shape::<Exposure>(&envelope["data"]).map(Event::Exposure),
        Some("signal") => shape::<Signal>(&envelope["data"]).map(Event::Signal),
        _ => Err(not_accepted(&envelope["event"].to_string())),
    }
}

/// Reads `value` as `T`; looks for the path of the fault only when there is one.
pub(super) fn shape<T: DeserializeOwned>(value: &Value) -> Result<T, Refusal> {
    if let Ok(event) = T::deserialize(value) {
        return Ok(event);
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        Refusal {
            reason: Reason::Shape,
            field: if path == "." { String::new() } else { path },
            detail: error.into_inner().to_string(),
        }
    })
}

pub(super) fn fill_time(item: &mut Value, now: Timestamp) {
    if let Value::Object(fields) = item
        && !fields.contains_key("ts")
    {
        fields.insert("ts".to_owned(), Value::from(now.as_millis()));
    }
}
