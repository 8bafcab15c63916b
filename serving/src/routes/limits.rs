//! The limits of intake, met before anything is generated or decided: what is answered can be logged.

use plaudit_event::Context;
use plaudit_ingest::{MAX_EVENT_BYTES, MAX_ITEM_ID_BYTES};
use plaudit_policy::Candidate;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::Error;

/// Room in an exposure for everything but its context, slate and tokens.
const FRAME_BYTES: usize = 4 << 10;
/// Room for a candidate beside what it says: position and score in the slate, and the frame of what is logged of its
/// features.
const IMPRESSION_BYTES: usize = 160;
/// Room for a generated token: its text, its id and its log-probability.
const TOKEN_BYTES: usize = 96;

/// Checks the session at `field`.
pub(super) fn session(field: &'static str, session: Option<&str>) -> Result<(), Error> {
    match session.map(str::len) {
        Some(length) if length > MAX_ITEM_ID_BYTES => {
            Err(Error::invalid(field, format!("must have at most {MAX_ITEM_ID_BYTES} bytes, got {length}")))
        }
        _ => Ok(()),
    }
}

/// Checks that `messages` leave room for an answer of `max_tokens`; returns their size.
pub(super) fn conversation(context: &Context, max_tokens: usize) -> Result<usize, Error> {
    let limit = MAX_EVENT_BYTES.saturating_sub(FRAME_BYTES + TOKEN_BYTES * max_tokens);
    at_most("messages", limit, json_bytes(context))
}

/// Checks that a decision for `context` and its `features` among `candidates` can be logged.
pub(super) fn decision(
    context: &Context,
    features: &Map<String, Value>,
    candidates: &[Candidate],
) -> Result<(), Error> {
    for (index, candidate) in candidates.iter().enumerate() {
        item(&format!("candidates[{index}].item_id"), &candidate.item_id)?;
    }
    let limit = MAX_EVENT_BYTES - FRAME_BYTES;
    let mut used = at_most("context", limit, json_bytes(context))?;
    used += at_most("features", limit - used, json_bytes(features))?;
    // The name of an item is logged twice: in the slate and with its features.
    let names: usize = candidates.iter().map(|candidate| json_bytes(&candidate.item_id)).sum();
    let bytes = json_bytes(&candidates) + names + IMPRESSION_BYTES * candidates.len();
    at_most("candidates", limit - used, bytes)?;
    Ok(())
}

/// Checks that a list of up to `length` items of `rankings` can be logged.
pub(super) fn interleaving(
    context: &Context,
    attributes: &Map<String, Value>,
    rankings: &[Vec<String>],
    length: usize,
) -> Result<(), Error> {
    let limit = MAX_EVENT_BYTES - FRAME_BYTES;
    let mut used = at_most("context", limit, json_bytes(context))?;
    used += at_most("attributes", limit - used, json_bytes(attributes))?;
    // An item is logged in each ranking that has it, and in the slate.
    let names: usize = rankings.iter().flat_map(|ranking| ranking.iter().take(length)).map(json_bytes).sum();
    at_most("rankings", limit - used, 2 * names + IMPRESSION_BYTES * length)?;
    Ok(())
}

/// Checks the name of an item at `field`.
pub(super) fn item(field: &str, item_id: &str) -> Result<(), Error> {
    let length = item_id.len();
    if !(1..=MAX_ITEM_ID_BYTES).contains(&length) {
        return Err(Error::invalid(field, format!("must have 1 to {MAX_ITEM_ID_BYTES} bytes, got {length}")));
    }
    Ok(())
}

fn at_most(field: &'static str, limit: usize, bytes: usize) -> Result<usize, Error> {
    if bytes > limit { Err(Error::FieldTooLarge { field, limit, bytes }) } else { Ok(bytes) }
}

/// The length of `value` as JSON, which is not built.
fn json_bytes(value: &impl Serialize) -> usize {
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, value).expect("what came as JSON can be written as JSON");
    counter.0
}

struct Counter(usize);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
