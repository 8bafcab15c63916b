//! Features of contexts and candidates as products send them: numbers, categories and flags by name.

use plaudit_experiment::adaptive::key;
use serde_json::{Map, Value};

use crate::Error;

/// Most features of a context, and of a candidate.
pub const MAX_FEATURES: usize = 32;
/// Longest name and longest category, in bytes.
pub const MAX_FEATURE_BYTES: usize = 128;
/// Largest magnitude of a number.
pub const MAX_FEATURE_VALUE: f64 = 100.0;

/// The features at `path` as keys with values: a number is its value, a category or a flag that is set is 1, a flag
/// that is not set is nothing.
///
/// # Errors
/// Fails with the path, the value and the allowed range.
pub fn check_features(path: &str, features: &Map<String, Value>) -> Result<Vec<(u64, f64)>, Error> {
    if features.len() > MAX_FEATURES {
        let allowed = format!("an object of at most {MAX_FEATURES} features");
        return Err(Error::field(path.to_owned(), allowed, features.len()));
    }
    let mut keys = Vec::with_capacity(features.len());
    for (name, value) in features {
        let field = format!("{path}.{name}");
        if name.is_empty() || name.len() > MAX_FEATURE_BYTES {
            let allowed = format!("called by a name of 1 to {MAX_FEATURE_BYTES} bytes");
            return Err(Error::field(path.to_owned(), allowed, format!("one of {} bytes", name.len())));
        }
        match value {
            Value::Number(number) => {
                let number = number.as_f64().filter(|number| number.abs() <= MAX_FEATURE_VALUE);
                let allowed = || format!("a number from -{MAX_FEATURE_VALUE} to {MAX_FEATURE_VALUE}");
                keys.push((key(name, None), number.ok_or_else(|| Error::field(field, allowed(), value))?));
            }
            Value::String(category) if (1..=MAX_FEATURE_BYTES).contains(&category.len()) => {
                keys.push((key(name, Some(category)), 1.0));
            }
            Value::String(category) => {
                let allowed = format!("a category of 1 to {MAX_FEATURE_BYTES} bytes");
                return Err(Error::field(field, allowed, format!("{} bytes", category.len())));
            }
            Value::Bool(is_set) => keys.extend(is_set.then(|| (key(name, Some("true")), 1.0))),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                let what = match value {
                    Value::Null => "null",
                    Value::Array(_) => "an array",
                    _ => "an object",
                };
                return Err(Error::field(field, "a number, a text or a boolean".to_owned(), what));
            }
        }
    }
    Ok(keys)
}
