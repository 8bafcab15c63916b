//! Files of events.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// The time of the first event, far in the past.
pub(crate) const START: u64 = 1_600_000_000_000;

/// An exposure as an envelope.
pub(crate) fn exposure(id: &str, unit: &str, ts: u64) -> Value {
    let data = json!({"exposure_id": id, "unit_id": unit, "surface": "chat", "policy_id": "p",
        "context": {"messages": [{"role": "user", "content": format!("question of {id}")}]},
        "slate": [{"item_id": "response", "position": 0, "content": "hello"}], "ts": ts});
    json!({"v": 1, "event": "exposure", "data": data})
}

/// A signal about the exposure `about` as an envelope.
pub(crate) fn signal(id: &str, about: &str, kind: &str, ts: u64) -> Value {
    json!({"v": 1, "event": "signal", "data": {"signal_id": id, "exposure_id": about, "kind": kind, "ts": ts}})
}

/// Exposures of seven units, a second apart; every third is loved.
pub(crate) fn traffic(count: u64) -> Vec<Value> {
    let mut events = Vec::new();
    for number in 0..count {
        let (id, ts) = (format!("e{number}"), START + number * 1_000);
        events.push(exposure(&id, &format!("u{}", number % 7), ts));
        if number % 3 == 0 {
            events.push(signal(&format!("s{number}"), &id, "love", ts + 500));
        }
    }
    events
}

/// Writes one line for each of `events`.
pub(crate) fn write(path: &Path, events: &[Value]) -> PathBuf {
    let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
    std::fs::write(path, lines).expect("a writable directory");
    path.to_owned()
}
