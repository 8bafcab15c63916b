//! Values that a value may be among.

use std::collections::HashSet;

use serde_json::Value;

use super::value::{identical, identical_folded};

/// Values that are compared one by one; more are looked up.
const FEW: usize = 8;

/// A list of values, prepared for looking up.
#[derive(Debug, Clone, Default)]
pub(super) struct Members {
    values: Vec<Value>,
    /// The texts and numbers among the values, where there are many: a list of a saved group may have thousands.
    index: Option<Index>,
}

#[derive(Debug, Clone, Default)]
struct Index {
    texts: HashSet<String>,
    /// By their bits; zero has one sign.
    numbers: HashSet<u64>,
}

fn bits(number: f64) -> u64 {
    (number + 0.0).to_bits()
}

impl Members {
    pub(super) fn new(values: Vec<Value>) -> Self {
        if values.len() <= FEW {
            return Self { values, index: None };
        }
        let mut index = Index::default();
        for value in &values {
            match value {
                Value::String(text) => {
                    index.texts.insert(text.clone());
                }
                Value::Number(number) => index.numbers.extend(number.as_f64().map(bits)),
                _ => {}
            }
        }
        Self { values, index: Some(index) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Whether `value`, or one of its elements, is a member; with `fold` texts count without regard to case.
    pub(super) fn has(&self, value: &Value, fold: bool) -> bool {
        match value {
            Value::Array(items) => items.iter().any(|item| self.lists(item, fold)),
            _ => self.lists(value, fold),
        }
    }

    fn lists(&self, value: &Value, fold: bool) -> bool {
        match (value, &self.index) {
            (Value::String(text), Some(index)) if !fold => index.texts.contains(text),
            (Value::Number(number), Some(index)) => {
                number.as_f64().is_some_and(|number| index.numbers.contains(&bits(number)))
            }
            _ if fold => self.values.iter().any(|member| identical_folded(member, value)),
            _ => self.values.iter().any(|member| identical(member, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn long_lists_have_the_same_members_as_short_ones() {
        let rest: Vec<Value> = (0..20).map(|index| json!(format!("filler {index}"))).collect();
        let few = vec![json!("a"), json!(5), json!(-0.0), json!(null), json!(true), json!([1]), json!("É")];
        let many = few.iter().cloned().chain(rest).collect();
        let (short, long) = (Members::new(few), Members::new(many));
        assert!(short.index.is_none() && long.index.is_some());
        let asked =
            json!(["a", "A", "é", "b", 5.0, 5, "5", 0, null, true, false, [1], ["b", "a"], [[1]], [], {"a": 1}, 6]);
        for value in asked.as_array().unwrap() {
            for fold in [false, true] {
                assert_eq!(long.has(value, fold), short.has(value, fold), "{value} {fold}");
            }
        }
        assert!(long.has(&json!("filler 19"), false) && long.has(&json!("FILLER 19"), true));
    }
}
