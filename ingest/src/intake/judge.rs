//! Decoding and validation: what an event must be to be taken.

mod limits;

use plaudit_event::{ENVELOPE_VERSION, Envelope, Event, Exposure, Signal, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::fingerprint_of_id;
use crate::Config;
use crate::config::millis;
use crate::fingerprint::Fingerprint;
use crate::log::{RECORD_BYTES, Record, Topic};
use crate::outcome::{DeadLetter, Outcome, Reason, Refusal, Source};

pub use limits::{MAX_EVENT_BYTES, MAX_ITEM_ID_BYTES, MAX_SLATE, MAX_TEXT_BYTES, MAX_TOKEN_LOGPROBS};

/// What is kept of an event that is too large to keep.
const CUT_BYTES: usize = 64 << 10;

/// An event that may be appended, or one that is refused.
pub(super) type Judged = Result<Valid, Dead>;

/// An event that may be appended.
pub(super) struct Valid {
    pub(super) topic: Topic,
    pub(super) id: Fingerprint,
    pub(super) content: Fingerprint,
    pub(super) record: Record,
}

/// A refused event.
pub(super) struct Dead {
    pub(super) refusal: Refusal,
    pub(super) raw: Vec<u8>,
    pub(super) received_ts: Timestamp,
    /// The record that it was, when it did not come through intake.
    pub(super) source: Option<Source>,
}

impl Dead {
    pub(super) fn into_record(self) -> Record {
        let key = self.refusal.reason.as_str().to_owned();
        let outcome = Outcome::refused(self.refusal.clone());
        let mut letter = DeadLetter {
            outcome: outcome.as_str().to_owned(),
            reason: self.refusal.reason,
            field: self.refusal.field,
            detail: self.refusal.detail,
            raw: String::from_utf8_lossy(&self.raw[..self.raw.len().min(MAX_EVENT_BYTES)]).into_owned(),
            raw_bytes: self.raw.len(),
            received_ts: self.received_ts,
            source: self.source,
        };
        let encode = |letter: &DeadLetter| serde_json::to_vec(letter).expect("a dead letter has only string keys");
        let mut value = encode(&letter);
        if value.len() > RECORD_BYTES || letter.raw_bytes > MAX_EVENT_BYTES {
            letter.raw.truncate(letter.raw.floor_char_boundary(CUT_BYTES));
            letter.detail.truncate(letter.detail.floor_char_boundary(CUT_BYTES));
            letter.field.truncate(letter.field.floor_char_boundary(CUT_BYTES));
            value = encode(&letter);
        }
        Record { key, value }
    }
}

/// Decides what an event is. Pure: the same event at the same time gets the same judgement.
pub(super) struct Judge {
    signals: std::collections::BTreeMap<plaudit_event::SignalKind, crate::SignalSpec>,
    max_clock_skew_ms: i64,
}

impl Judge {
    pub(super) fn new(config: &Config) -> Self {
        Self { signals: config.signals.clone(), max_clock_skew_ms: millis(config.max_clock_skew) }
    }

    pub(super) fn signal(&self, mut item: Value, now: Timestamp) -> Judged {
        fill_time(&mut item, now);
        let shaped = shape::<Signal>(&item).map(Event::Signal);
        self.event(shaped.map_err(|refusal| dead(refusal, wrap("signal", item), now))?, now)
    }

    pub(super) fn exposure(&self, mut item: Value, now: Timestamp) -> Judged {
        fill_time(&mut item, now);
        let shaped = shape::<Exposure>(&item).map(Event::Exposure);
        self.event(shaped.map_err(|refusal| dead(refusal, wrap("exposure", item), now))?, now)
    }

    pub(super) fn envelope(&self, item: Vec<u8>, now: Timestamp) -> Judged {
        let judged = match open_envelope(&item) {
            Ok(event) => self.event(event, now),
            Err(refusal) => Err(dead(refusal, Vec::new(), now)),
        };
        judged.map_err(|refused| Dead { raw: item, ..refused })
    }

    /// Checks the limits of a well-shaped event and encodes it.
    pub(super) fn event(&self, mut event: Event, now: Timestamp) -> Judged {
        if let Err(refusal) = self.check(&event, now) {
            return Err(dead(refusal, Envelope::new(event).encode(), now));
        }
        let (topic, key) = match &event {
            Event::Exposure(exposure) => (Topic::Exposures, exposure.exposure_id.to_string()),
            Event::Signal(signal) => (Topic::Signals, signal.exposure_id.to_string()),
            Event::Example(_) => return Err(dead(not_accepted("example"), Vec::new(), now)),
        };
        let id = fingerprint_of_id(&event);
        let content = Fingerprint::of_content(&mut event);
        let value = Envelope::new(event).encode();
        match id {
            Some(id) if value.len() <= MAX_EVENT_BYTES => {
                Ok(Valid { topic, id, content, record: Record { key, value } })
            }
            _ => Err(dead(too_large(value.len()), value, now)),
        }
    }
}

fn dead(refusal: Refusal, raw: Vec<u8>, received_ts: Timestamp) -> Dead {
    Dead { refusal, raw, received_ts, source: None }
}

/// The envelope that `data` would have come in, so that every dead letter can be sent in again the
/// same way.
fn wrap(event: &str, data: Value) -> Vec<u8> {
    let envelope = serde_json::json!({"v": ENVELOPE_VERSION, "event": event, "data": data});
    envelope.to_string().into_bytes()
}

fn too_large(bytes: usize) -> Refusal {
    let allowed = format!("at most {MAX_EVENT_BYTES} bytes");
    Refusal::new(Reason::TooLarge, "", allowed, format!("{bytes} bytes"))
}

fn not_accepted(event: &str) -> Refusal {
    Refusal::new(Reason::Event, "event", "`exposure` or `signal`", event)
}

/// Opens an envelope in steps, so that each fault gets its own reason.
fn open_envelope(bytes: &[u8]) -> Result<Event, Refusal> {
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
fn shape<T: DeserializeOwned>(value: &Value) -> Result<T, Refusal> {
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

fn fill_time(item: &mut Value, now: Timestamp) {
    if let Value::Object(fields) = item
        && !fields.contains_key("ts")
    {
        fields.insert("ts".to_owned(), Value::from(now.as_millis()));
    }
}
