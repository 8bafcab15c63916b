//! The fields of a line, each checked as it is read.

use std::ops::RangeInclusive;

use plaudit_event::{Context, Message};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::conversation;

/// Longest text of a field in bytes.
const MOST_BYTES: usize = 1 << 20;
/// Most messages of a conversation.
const MOST_MESSAGES: usize = 1_000;

/// A field with a value that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) field: String,
    pub(super) value: String,
    pub(super) allowed: String,
}

impl Wrong {
    pub(super) fn new(field: &str, value: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self { field: field.to_owned(), value: value.into(), allowed: allowed.into() }
    }

    /// The value as it may be shown: of what people wrote only how long it is.
    pub(super) fn of(field: &str, value: &Value, allowed: impl Into<String>) -> Self {
        let shown = match value {
            Value::String(text) => format!("a text of {} bytes", text.len()),
            Value::Array(items) => format!("a list of {}", items.len()),
            Value::Object(_) => "an object".to_owned(),
            other => other.to_string(),
        };
        Self::new(field, shown, allowed)
    }
}

/// The fields of a line. `null` is as if a field were absent.
pub(super) struct Fields<'a>(pub(super) &'a Map<String, Value>);

impl Fields<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether there is a list under `name`.
    pub(super) fn is_list(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Value::Array(_)))
    }

    pub(super) fn missing(&self, name: &str) -> Wrong {
        Wrong::new(name, "nothing", "given")
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Wrong> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= MOST_BYTES => Ok(Some(text.clone())),
            Some(other) => Err(Wrong::of(name, other, format!("a text of at most {MOST_BYTES} bytes"))),
        }
    }

    /// A text that must be there.
    pub(super) fn needed(&self, name: &str) -> Result<String, Wrong> {
        self.text(name)?.ok_or_else(|| self.missing(name))
    }

    pub(super) fn number(&self, name: &str, range: &RangeInclusive<f64>, allowed: &str) -> Result<Option<f64>, Wrong> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = value.as_f64().filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| Wrong::of(name, value, allowed))
    }

    /// Milliseconds since 1970.
    pub(super) fn time(&self, name: &str) -> Result<Option<i64>, Wrong> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let time = value.as_i64().filter(|time| *time >= 0);
        time.map(Some).ok_or_else(|| Wrong::of(name, value, "milliseconds since 1970, a whole number of at least 0"))
    }

    pub(super) fn messages(&self, name: &str) -> Result<Option<Vec<Message>>, Wrong> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let messages: Option<Vec<Message>> = read(value);
        let messages = messages.filter(|messages| (1..=MOST_MESSAGES).contains(&messages.len()));
        let allowed = || format!("1 to {MOST_MESSAGES} messages with `role` and `content`");
        messages.map(Some).ok_or_else(|| Wrong::of(name, value, allowed()))
    }

    /// What both responses were made for, when it is given apart from them.
    pub(super) fn context(&self) -> Result<Option<Context>, Wrong> {
        if let Some(value) = self.get("context") {
            let context: Option<Context> = read(value);
            return context.map(Some).ok_or_else(|| Wrong::of("context", value, "a context as exposures have it"));
        }
        let of = |messages| Context { messages, ..Context::default() };
        if self.has("messages") {
            return Ok(self.messages("messages")?.map(of));
        }
        if self.is_list("prompt") {
            return Ok(self.messages("prompt")?.map(of));
        }
        Ok(self.text("prompt")?.map(|text| conversation(&text)))
    }
}

fn read<T: DeserializeOwned>(value: &Value) -> Option<T> {
    serde_json::from_value(value.clone()).ok()
}
