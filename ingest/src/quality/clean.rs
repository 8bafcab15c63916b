//! Takes out of an event what must not be stored: names of units, personal data in texts.

use std::collections::BTreeSet;

use plaudit_event::{Event, Exposure, Signal};
use serde_json::{Map, Value};

use super::Salt;
use super::redact::{Hits, Redactor};
use crate::Config;
use crate::config::Redaction;
use crate::outcome::{Reason, Refusal};

/// The field that names the unit of an exposure.
const UNIT: &str = "unit_id";

/// Fields that hold a name which others refer to, or that has a meaning of its own: not texts.
const NAMES: [&str; 13] = [
    UNIT,
    "exposure_id",
    "signal_id",
    "item_id",
    "policy_id",
    "session_id",
    "retracts",
    "layer",
    "experiment",
    "variant",
    "event",
    "surface",
    "role",
];

/// Hashes and redacts. Pure: the same event becomes the same event, and one that was cleaned stays as it
/// is.
pub(crate) struct Cleaner {
    redactor: Redactor,
    has_slate: bool,
    has_other_fields: bool,
    hashing: Option<Hashing>,
}

struct Hashing {
    salt: Salt,
    fields: BTreeSet<String>,
}

impl Cleaner {
    pub(crate) fn new(config: &Config) -> Self {
        let Redaction { slate, other_fields, .. } = config.quality.redaction;
        let mut fields: BTreeSet<String> = config.quality.hashing.fields.iter().cloned().collect();
        fields.insert(UNIT.to_owned());
        Self {
            redactor: Redactor::new(&config.quality.redaction),
            has_slate: slate,
            has_other_fields: other_fields,
            hashing: config.quality.hashing.salt().map(|salt| Hashing { salt: salt.clone(), fields }),
        }
    }

    pub(crate) const fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    pub(crate) fn is_off(&self) -> bool {
        self.redactor.is_off() && self.hashing.is_none()
    }

    /// The fields that are hashed; none when nothing is.
    pub(crate) fn hashed_fields(&self) -> Option<&BTreeSet<String>> {
        self.hashing.as_ref().map(|hashing| &hashing.fields)
    }

    /// Cleans an event that has the right shape.
    pub(crate) fn event(&self, event: &mut Event, hits: &mut Hits) {
        self.redact_event(event, hits);
        if let Some(hashing) = &self.hashing {
            hashing.event(event);
        }
    }

    /// Redacts the texts of an event, and leaves the names of units as they are.
    pub(crate) fn redact_event(&self, event: &mut Event, hits: &mut Hits) {
        if self.redactor.is_off() {
            return;
        }
        match event {
            Event::Exposure(exposure) => self.redact_exposure(exposure, hits),
            Event::Signal(signal) => self.redact_signal(signal, hits),
            Event::Example(_) => {}
        }
    }

    fn redact_exposure(&self, exposure: &mut Exposure, hits: &mut Hits) {
        for message in &mut exposure.context.messages {
            self.redactor.redact(&mut message.content, hits);
        }
        for text in [&mut exposure.context.query, &mut exposure.rewrite_applied].into_iter().flatten() {
            self.redactor.redact(text, hits);
        }
        self.redact_map(&mut exposure.context.filters, hits);
        if self.has_slate {
            let before = hits.clone();
            for impression in &mut exposure.slate {
                self.redactor.redact(&mut impression.content, hits);
            }
            if *hits != before {
                // The numbers of the tokens tell the text.
                exposure.token_logprobs = None;
            }
        }
        if self.has_other_fields {
            self.redact_map(&mut exposure.attributes, hits);
            self.redact_map(&mut exposure.unknown, hits);
        }
    }

    fn redact_signal(&self, signal: &mut Signal, hits: &mut Hits) {
        if let Some(text) = &mut signal.text {
            self.redactor.redact(text, hits);
        }
        if self.has_other_fields {
            self.redact_map(&mut signal.unknown, hits);
        }
    }

    fn redact_map(&self, map: &mut Map<String, Value>, hits: &mut Hits) {
        for (name, value) in map {
            self.redact_value(name, value, hits);
        }
    }

    fn redact_value(&self, name: &str, value: &mut Value, hits: &mut Hits) {
        match value {
            Value::String(text) if !NAMES.contains(&name) => self.redactor.redact(text, hits),
            Value::Array(items) => {
                for item in items {
                    self.redact_value(name, item, hits);
                }
            }
            Value::Object(map) => self.redact_map(map, hits),
            _ => {}
        }
    }

    /// Cleans JSON that is no event: every text in it may be a person's.
    pub(crate) fn value(&self, value: &mut Value, hits: &mut Hits) {
        self.redact_value("", value, hits);
        if let Some(hashing) = &self.hashing {
            hashing.value("", value);
        }
    }

    /// Cleans a text that is no JSON.
    ///
    /// Names of units cannot be found in it, so where they are hashed the whole text is withheld.
    pub(crate) fn text(&self, text: &mut String, hits: &mut Hits) {
        if self.hashing.is_some() {
            *text = "[withheld]".to_owned();
        } else {
            self.redactor.redact(text, hits);
        }
    }

    /// Cleans what a sender is told, since it repeats parts of the event.
    pub(crate) fn refusal(&self, refusal: &mut Refusal, hits: &mut Hits) {
        self.redactor.redact(&mut refusal.detail, hits);
        let Some(hashing) = &self.hashing else { return };
        let last = refusal.field.rsplit('.').next().unwrap_or_default();
        let may_name = match refusal.reason {
            Reason::Shape => last.is_empty() || hashing.fields.contains(last.split('[').next().unwrap_or_default()),
            Reason::Version | Reason::NewerVersion | Reason::Event => true,
            _ => false,
        };
        if may_name && !refusal.detail.starts_with("missing field") {
            refusal.detail = "has another form than allowed; what was found is withheld".to_owned();
        }
    }
}

impl Hashing {
    fn event(&self, event: &mut Event) {
        match event {
            Event::Exposure(exposure) => {
                exposure.unit_id = self.salt.unit(&exposure.unit_id);
                if let Some(session) = exposure.session_id.as_mut().filter(|_| self.fields.contains("session_id")) {
                    *session = self.salt.hash(session);
                }
                for map in [&mut exposure.context.filters, &mut exposure.attributes, &mut exposure.unknown] {
                    self.map(map);
                }
            }
            Event::Signal(signal) => self.map(&mut signal.unknown),
            Event::Example(_) => {}
        }
    }

    fn map(&self, map: &mut Map<String, Value>) {
        for (name, value) in map {
            self.value(name, value);
        }
    }

    /// Hashes texts and numbers of the fields that name a unit, at any depth.
    fn value(&self, name: &str, value: &mut Value) {
        match value {
            Value::Object(map) => self.map(map),
            Value::Array(items) => {
                for item in items {
                    self.value(name, item);
                }
            }
            Value::String(text) if self.fields.contains(name) => *text = self.salt.hash(text),
            Value::Number(number) if self.fields.contains(name) => {
                *value = Value::from(self.salt.hash(&number.to_string()));
            }
            _ => {}
        }
    }
}
