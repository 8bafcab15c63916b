//! Tells programs from persons by what events say about their senders.

use std::sync::Arc;

use plaudit_event::Event;
use regex::{Regex, RegexBuilder};
use serde_json::Value;

use crate::config::Bots;

/// Most memory of one compiled pattern.
const PATTERN_MEMORY: usize = 1 << 20;

/// A predicate of one's own: true of an event that a program sent. It sees events before names are hashed
/// and texts are redacted, must be pure, and should be quick.
#[derive(Clone)]
pub struct BotFilter(Arc<dyn Fn(&Event) -> bool + Send + Sync>);

impl BotFilter {
    /// Calls `is_bot` for every event that is well-formed and not sampled out.
    pub fn new(is_bot: impl Fn(&Event) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_bot))
    }
}

impl std::fmt::Debug for BotFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BotFilter")
    }
}

/// The rules, compiled.
pub(crate) struct BotRules {
    rules: Vec<Rule>,
    filter: Option<BotFilter>,
}

struct Rule {
    field: String,
    test: Test,
}

enum Test {
    Matches(Regex),
    Equals(Value),
}

impl BotRules {
    /// The rules of a valid configuration.
    pub(crate) fn new(config: &Bots) -> Self {
        let mut rules = Vec::new();
        for rule in &config.rules {
            let test = match (&rule.matches, &rule.equals) {
                (Some(pattern), _) => compile(pattern).ok().map(Test::Matches),
                (None, equals) => equals.clone().map(Test::Equals),
            };
            rules.extend(test.map(|test| Rule { field: rule.field.clone(), test }));
        }
        Self { rules, filter: None }
    }

    pub(crate) fn with_filter(self, filter: Option<BotFilter>) -> Self {
        Self { filter, ..self }
    }

    /// The patterns that are none, with the numbers of their rules.
    pub(crate) fn problems(config: &Bots) -> Vec<(usize, String)> {
        let mut problems = Vec::new();
        for (index, rule) in config.rules.iter().enumerate() {
            if let Some(Err(error)) = rule.matches.as_deref().map(compile) {
                let error = error.to_string().trim().replace('\n', " ");
                problems.push((index, format!("not a regular expression: {error}")));
            }
        }
        problems
    }

    /// By which field `event` is a program's, if it is; the empty field when the filter says so.
    pub(crate) fn field_of(&self, event: &Event) -> Option<&str> {
        let rule = self.rules.iter().find(|rule| rule.is_true_of(event));
        let by_filter = || self.filter.as_ref().filter(|filter| filter.0(event)).map(|_| "");
        rule.map(|rule| rule.field.as_str()).or_else(by_filter)
    }
}

fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(PATTERN_MEMORY).build()
}

impl Rule {
    fn is_true_of(&self, event: &Event) -> bool {
        let name = match (self.field.as_str(), event) {
            ("unit_id", Event::Exposure(exposure)) => Some(exposure.unit_id.as_str()),
            ("session_id", Event::Exposure(exposure)) => exposure.session_id.as_deref(),
            _ => None,
        };
        match name {
            Some(name) => self.test.of_text(name),
            None => look_up(event, &self.field).is_some_and(|value| self.test.of_value(value)),
        }
    }
}

impl Test {
    fn of_text(&self, text: &str) -> bool {
        match self {
            Self::Matches(pattern) => pattern.is_match(text),
            Self::Equals(value) => value.as_str() == Some(text),
        }
    }

    fn of_value(&self, value: &Value) -> bool {
        match (self, value) {
            (_, Value::String(text)) => self.of_text(text),
            // 1 and 1.0 are the same number.
            (Self::Equals(Value::Number(wanted)), Value::Number(found)) => wanted.as_f64() == found.as_f64(),
            (Self::Equals(wanted), found) => wanted == found,
            (Self::Matches(_), _) => false,
        }
    }
}

/// The value at `path` among the attributes and the fields that events do not have of their own.
fn look_up<'a>(event: &'a Event, path: &str) -> Option<&'a Value> {
    let (map, path) = match (event, path.strip_prefix("attributes.")) {
        (Event::Exposure(exposure), Some(rest)) => (&exposure.attributes, rest),
        (Event::Exposure(exposure), None) => (&exposure.unknown, path),
        (Event::Signal(signal), _) => (&signal.unknown, path),
        (Event::Example(_), _) => return None,
    };
    let mut steps = path.split('.');
    let first = map.get(steps.next()?)?;
    steps.try_fold(first, |value, step| value.get(step))
}
