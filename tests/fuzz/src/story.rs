//! The grammar of stories: text that mutation leaves readable.
//!
//! A story is a list of lines. The first byte of a line says what it is:
//!
//! | line | meaning |
//! |---|---|
//! | `!` | the batch ends |
//! | `>` B | the batch ends, and B minutes pass |
//! | `@` B | the same event again as B lines of events before |
//! | `e` I V | a sound exposure with id I and content V |
//! | `l` I E K V | a sound signal with id I about exposure E, of kind K, with content V |
//! | `r` I E R | a signal with id I about exposure E that retracts signal R |
//! | `s` JSON, `x` JSON | a signal or an exposure as a value |
//! | anything else | the bytes of an envelope |
//!
//! The first byte of the story chooses the configuration: `q` for one with every step of quality.

use serde_json::{Value, json};

use crate::NOW;

/// Most events of a story.
const EVENTS: usize = 64;
const KINDS: [&str; 8] = ["love", "copy", "rating", "dwell", "thumbs_up", "regenerate", "click", "adore"];

/// An event as it is sent.
#[derive(Debug, Clone)]
pub enum Sent {
    /// Bytes of an envelope.
    Envelope(Vec<u8>),
    /// A signal as a value.
    Signal(Value),
    /// An exposure as a value.
    Exposure(Value),
}

/// A step of a story.
#[derive(Debug, Clone)]
pub enum Step {
    /// Events are sent.
    Batch(Vec<Sent>),
    /// So many minutes pass.
    Wait(u8),
}

/// Whether the configuration is the strict one, and the steps.
#[must_use]
pub fn parse(story: &[u8]) -> (bool, Vec<Step>) {
    let is_strict = story.first() == Some(&b'q');
    let mut steps = Vec::new();
    let mut batch = Vec::new();
    let mut told: Vec<Sent> = Vec::new();
    for line in story.split(|byte| *byte == b'\n').skip(1) {
        let sent = match line {
            [b'!'] => None,
            [b'>', minutes] => {
                steps.push(Step::Batch(std::mem::take(&mut batch)));
                steps.push(Step::Wait(*minutes));
                continue;
            }
            [b'@', back] => told.iter().rev().nth(usize::from(*back)).cloned(),
            _ => event(line),
        };
        match sent {
            Some(sent) if told.len() < EVENTS => {
                told.push(sent.clone());
                batch.push(sent);
            }
            _ => steps.push(Step::Batch(std::mem::take(&mut batch))),
        }
    }
    steps.push(Step::Batch(batch));
    (is_strict, steps)
}

fn event(line: &[u8]) -> Option<Sent> {
    Some(match line {
        [b'e', id, content] => Sent::Exposure(exposure(*id, *content)),
        [b'l', id, exposure, kind, content] => Sent::Signal(signal(*id, *exposure, *kind, *content)),
        [b'r', id, exposure, retracted] => {
            let mut signal = signal(*id, *exposure, 0, 0);
            signal["retracts"] = format!("s{retracted}").into();
            Sent::Signal(signal)
        }
        [b's', json @ ..] => Sent::Signal(serde_json::from_slice(json).ok()?),
        [b'x', json @ ..] => Sent::Exposure(serde_json::from_slice(json).ok()?),
        envelope => Sent::Envelope(envelope.to_vec()),
    })
}

fn exposure(id: u8, content: u8) -> Value {
    let surface = ["chat", "search", "decide"][usize::from(content) % 3];
    json!({
        "exposure_id": format!("e{id}"), "unit_id": format!("u{}", id % 4), "surface": surface, "policy_id": "p",
        "context": {"messages": [{"role": "user", "content": format!("write to ada{content}@example.com")}]},
        "slate": [{"item_id": "a", "position": 0, "content": content.to_string()}, {"item_id": "b", "position": 1}],
        "chosen": content % 2, "ts": NOW + i64::from(content),
    })
}

fn signal(id: u8, exposure: u8, kind: u8, content: u8) -> Value {
    json!({
        "signal_id": format!("s{id}"), "exposure_id": format!("e{exposure}"),
        "kind": KINDS[usize::from(kind) % KINDS.len()], "value": f64::from(content) / 200.0,
        "text": content.to_string(), "ts": NOW + 1_000 * i64::from(content),
    })
}
