//! JSON values as JavaScript compares them.

use serde_json::Value;

/// `===` for values without inner structure; lists and objects are never identical.
pub(super) fn identical(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::String(left), Value::String(right)) => left == right,
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        _ => false,
    }
}

/// The same content; 5 and 5.0 are one number, and the order of keys does not matter.
pub(super) fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            let is_same = |(key, value): (&String, &Value)| right.get(key).is_some_and(|other| same(value, other));
            left.len() == right.len() && left.iter().all(is_same)
        }
        _ => identical(left, right),
    }
}

/// As [`identical`], texts without regard to case.
pub(super) fn identical_folded(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::String(left), Value::String(right)) => same_folded(left, right),
        _ => identical(left, right),
    }
}

fn same_folded(left: &str, right: &str) -> bool {
    if left.is_ascii() && right.is_ascii() {
        return left.eq_ignore_ascii_case(right);
    }
    // A capital sigma has two small letters, and its neighbours decide: the one case where letters do not stand alone.
    if left.contains('Σ') || right.contains('Σ') {
        return left.to_lowercase() == right.to_lowercase();
    }
    left.chars().flat_map(char::to_lowercase).eq(right.chars().flat_map(char::to_lowercase))
}

/// The name of its type, for `$type`.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_one_type_and_key_order_does_not_matter() {
        assert!(same(&json!({"a": 5, "b": [1]}), &json!({"b": [1.0], "a": 5.0})));
        assert!(!same(&json!({"a": 5}), &json!({"a": 5, "b": null})));
        assert!(!identical(&json!([1]), &json!([1])));
    }

    #[test]
    fn case_is_folded_beyond_ascii() {
        for (left, right) in [("ÉCOLE", "école"), ("ΟΔΟΣ", "οδος"), ("İ", "i\u{307}")] {
            assert!(same_folded(left, right), "{left} {right}");
        }
        assert!(!same_folded("straße", "STRASSE"));
    }
}
