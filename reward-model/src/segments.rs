//! Names of segments as small numbers.

use std::collections::BTreeMap;

use plaudit_event::{Example, Surface};
use serde_json::Value;

use crate::config::SegmentConfig;

/// The segment of examples for whose own there was no number left.
const OTHER: &str = "other";

/// Number of a segment, in the order in which they appeared; [`OTHER`] is 0.
pub(crate) type Segment = u16;

/// The segments seen so far.
#[derive(Debug, Clone)]
pub(crate) struct Segments {
    config: SegmentConfig,
    numbers: BTreeMap<String, Segment>,
    names: Vec<String>,
}

impl Segments {
    pub(crate) fn new(config: &SegmentConfig) -> Self {
        Self { config: config.clone(), numbers: BTreeMap::new(), names: vec![OTHER.to_owned()] }
    }

    /// With the names that [`Segments::names`] gave.
    pub(crate) fn with_names(config: &SegmentConfig, names: Vec<String>) -> Self {
        let mut segments = Self::new(config);
        for name in names.into_iter().skip(1) {
            segments.add(name);
        }
        segments
    }

    /// Every name, by number.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The segment of `example`, a new one where there is room.
    pub(crate) fn of(&mut self, example: &Example) -> Segment {
        let text;
        let name: &str = if self.config.by == "surface" {
            surface_name(example.surface)
        } else {
            match example.attributes.get(&self.config.by) {
                Some(Value::String(name)) => name.as_str(),
                Some(other) => {
                    text = other.to_string();
                    &text
                }
                None => "",
            }
        };
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        if self.names.len() > self.config.most || name == OTHER { 0 } else { self.add(name.to_owned()) }
    }

    fn add(&mut self, name: String) -> Segment {
        let number = self.names.len() as Segment;
        self.numbers.insert(name.clone(), number);
        self.names.push(name);
        number
    }
}

/// The name of `surface` in events.
const fn surface_name(surface: Surface) -> &'static str {
    match surface {
        Surface::Chat => "chat",
        Surface::Search => "search",
        Surface::Decide => "decide",
    }
}
