//! One text, and one hash, for definitions that mean the same.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Definition;

impl<P: Serialize> Definition<P> {
    /// The SHA-256 of the whole definition, in hexadecimal: of its JSON with sorted keys, all defaults written out and
    /// no white space. It does not depend on the order of keys or on how the file was written.
    ///
    /// # Panics
    /// Panics when a `P` cannot be written as JSON.
    #[must_use]
    pub fn canonical_hash(&self) -> String {
        let value = serde_json::to_value(self).expect("a definition can be written as JSON");
        let mut text = String::new();
        write_sorted(&value, &mut text);
        let digest = Sha256::digest(text.as_bytes());
        digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

fn write_sorted(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.sort_unstable();
            text.push('{');
            for (index, key) in keys.into_iter().enumerate() {
                separate(index, text);
                let _ = write!(text, "{}:", Value::String(key.clone()));
                write_sorted(&fields[key], text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                separate(index, text);
                write_sorted(item, text);
            }
            text.push(']');
        }
        scalar => {
            let _ = write!(text, "{scalar}");
        }
    }
}

fn separate(index: usize, text: &mut String) {
    if index > 0 {
        text.push(',');
    }
}
