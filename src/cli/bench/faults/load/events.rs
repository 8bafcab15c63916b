//! The events that clients send.

use std::time::Duration;

use plaudit_event::Clock as _;
use serde_json::{Value, json};

use super::super::ledger::What;
use crate::clock::SystemClock;

/// How events are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Style {
    /// Exposures, then their signals.
    InOrder,
    /// Every event five times: twice in one request, twice at the same moment, and once more.
    FiveTimes,
    /// Signals before their exposures, after the close of the window, about a time beyond it, and retracted.
    Shuffled,
}

/// The clock of the clients, in milliseconds.
pub(super) fn now() -> i64 {
    SystemClock.now().as_millis()
}

/// A duration in milliseconds.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Something that was shown to one of a few users just now.
pub(super) fn exposure(id: &str, user: u32) -> Value {
    json!({"exposure_id": id, "unit_id": format!("u-{user}"), "surface": "chat", "policy_id": "elsewhere",
        "context": {"messages": [{"role": "user", "content": "hi"}]}, "ts": now(),
        "slate": [{"item_id": "response", "position": 0, "content": "hello"}]})
}

/// A reaction to it.
pub(super) fn signal(id: &str, exposure: &str, kind: &str, ts: i64) -> Value {
    json!({"signal_id": id, "exposure_id": exposure, "kind": kind, "ts": ts})
}

/// The id of an event.
pub(super) fn id_of(event: &Value, what: What) -> String {
    event[what.names().2].as_str().unwrap_or_default().to_owned()
}
