//! 128-bit fingerprints: ids and contents in little memory.

use std::collections::BTreeSet;

use plaudit_event::Event;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::quality::SAMPLING_WEIGHT_ATTRIBUTE;

/// The first 16 bytes of a SHA-256. Two of 10⁹ different texts share one with probability 10⁻²¹.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Fingerprint([u8; 16]);

impl Fingerprint {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self::cut(Sha256::digest(bytes).as_slice())
    }

    /// Of an `id` in the space called `space`: equal ids of different spaces differ.
    pub(crate) fn of_id(space: &str, id: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(space.as_bytes());
        hash.update([0]);
        hash.update(id.as_bytes());
        Self::cut(hash.finalize().as_slice())
    }

    /// Of several texts: where one ends and the next begins makes a difference.
    pub(crate) fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self::cut(hash.finalize().as_slice())
    }

    /// Of what an event says, apart from its time: the server may have filled that in, so that the
    /// same event sent again can differ in it, apart from its sampling weight, and apart from the fields called `except`, at any depth.
    /// Also brings the maps of the event into one order.
    pub(crate) fn of_content(event: &mut Event, except: Option<&BTreeSet<String>>) -> Self {
        let ts = match event {
            Event::Exposure(exposure) => {
                for map in [&mut exposure.context.filters, &mut exposure.attributes, &mut exposure.unknown] {
                    sort(map);
                }
                &mut exposure.ts
            }
            Event::Signal(signal) => {
                sort(&mut signal.unknown);
                &mut signal.ts
            }
            Event::Example(example) => &mut example.ts,
        };
        let kept = std::mem::take(ts);
        // A change of the share that is kept makes no other event.
        let weight = match event {
            Event::Exposure(exposure) => exposure.attributes.shift_remove(SAMPLING_WEIGHT_ATTRIBUTE),
            _ => None,
        };
        let bytes = match except {
            None => serde_json::to_vec(event),
            Some(except) => serde_json::to_value(&*event).and_then(|mut value| {
                blank(&mut value, except);
                serde_json::to_vec(&value)
            }),
        };
        let bytes = bytes.expect("an event has only string keys");
        match event {
            Event::Exposure(exposure) => {
                exposure.ts = kept;
                let weight = weight.map(|weight| (SAMPLING_WEIGHT_ATTRIBUTE.to_owned(), weight));
                exposure.attributes.extend(weight);
            }
            Event::Signal(signal) => signal.ts = kept,
            Event::Example(example) => example.ts = kept,
        }
        Self::of(&bytes)
    }

    pub(crate) const fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// Reads what [`bytes`](Self::bytes) are in hexadecimal.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let number = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32)?;
        Some(Self(number.to_be_bytes()))
    }

    /// The first 8 bytes as a number.
    pub(crate) fn head(self) -> u64 {
        let mut head = [0; 8];
        head.copy_from_slice(&self.0[..8]);
        u64::from_le_bytes(head)
    }

    fn cut(digest: &[u8]) -> Self {
        let mut head = [0; 16];
        head.copy_from_slice(&digest[..16]);
        Self(head)
    }
}

fn sort(map: &mut serde_json::Map<String, Value>) {
    map.sort_keys();
    for value in map.values_mut() {
        value.sort_all_objects();
    }
}

/// Empties the fields called `names`.
fn blank(value: &mut Value, names: &BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                if names.contains(name) {
                    *value = Value::Null;
                } else {
                    blank(value, names);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                blank(item, names);
            }
        }
        _ => {}
    }
}
