//! What an edit changed, for people and for the audit trail.

use serde::Serialize;
use serde_json::{Map, Value};

use super::Definition;

/// One changed value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Edit {
    /// Where, such as `experiments.tone.variants.warm.weight`: entries of lists go by their id.
    pub path: String,
    /// What stood there; absent when it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What stands there now; absent when it was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

impl std::fmt::Display for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => write!(f, "~ {}: {before} -> {after}", self.path),
            (None, Some(after)) => write!(f, "+ {}: {after}", self.path),
            (before, None) => write!(f, "- {}: {}", self.path, before.as_ref().unwrap_or(&Value::Null)),
        }
    }
}

/// Every value that differs between two definitions, by path. One line each with `Display`.
///
/// # Panics
/// Panics when a `P` cannot be written as JSON.
#[must_use]
pub fn diff<P: Serialize>(old: &Definition<P>, new: &Definition<P>) -> Vec<Edit> {
    let [old, new] = [old, new].map(|definition| {
        let value = serde_json::to_value(definition).expect("a definition can be written as JSON");
        by_id(value)
    });
    let mut edits = Vec::new();
    compare(String::new(), Some(&old), Some(&new), &mut edits);
    edits
}

/// Lists of things with an id become objects with the ids as keys.
fn by_id(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(fields.into_iter().map(|(key, value)| (key, by_id(value))).collect()),
        Value::Array(items) => {
            let id = |item: &Value| item.get("id").and_then(Value::as_str).map(str::to_owned);
            let Some(ids) = items.iter().map(id).collect::<Option<Vec<String>>>() else { return Value::Array(items) };
            if items.is_empty() {
                return Value::Object(Map::new());
            }
            Value::Object(ids.into_iter().zip(items.into_iter().map(by_id)).collect())
        }
        scalar => scalar,
    }
}

fn compare(path: String, old: Option<&Value>, new: Option<&Value>, edits: &mut Vec<Edit>) {
    if old == new {
        return;
    }
    if let (Some(Value::Object(before)), Some(Value::Object(after))) = (old, new) {
        let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            compare(inner, before.get(key), after.get(key), edits);
        }
        return;
    }
    edits.push(Edit { path, before: old.cloned(), after: new.cloned() });
}
