//! Tests over the whole path.

mod advice;
mod config;
mod fold;
mod simulated;

use plaudit_event::{Surface, Timestamp};
use serde_json::{Map, Value};

use super::*;

/// A set from TOML.
fn set(text: &str) -> MetricSet {
    toml::from_str(text).unwrap()
}

fn known() -> [Vec<String>; 3] {
    [vec!["love".to_owned()], vec!["bookmark".to_owned()], vec!["latency_ms".to_owned(), "country".to_owned()]]
}

fn problems(text: &str) -> Vec<String> {
    let [objectives, signals, attributes] = known();
    let known = Vocabulary { objectives: &objectives, signals: &signals, attributes: &attributes };
    set(text).validate("", &known).iter().map(ToString::to_string).collect()
}

fn at(day: f64) -> Timestamp {
    Timestamp::from_millis((day * 86_400_000.0) as i64)
}

fn plan(text: &str) -> FoldPlan {
    assert_eq!(problems(text), Vec::<String>::new());
    FoldPlan { variants: vec!["control".to_owned(), "new".to_owned()], set: set(text), now: at(100.0) }
}

/// An exposure on chat with these attributes.
fn shown<'a>(id: &'a str, day: f64, variant: Option<&'a str>, attributes: &'a Map<String, Value>) -> ExposureView<'a> {
    ExposureView {
        exposure_id: id,
        ts: at(day),
        surface: Surface::Chat,
        words: 3,
        attributes,
        assigned: variant.map(|variant| Assigned { variant, phase: 0, weights: &[0.5, 0.5] }),
        undrawn: None,
        is_elsewhere: false,
    }
}

/// A value of 1 for a mean or proportion.
fn single(after: f64, before: f64) -> Option<UnitValue> {
    Some(UnitValue { after: [after, 1.0], before: [before, 1.0], events: Vec::new() })
}

/// A unit of the first phase, half and half.
fn unit(hash: u64, variant: usize, values: Vec<Option<UnitValue>>) -> UnitRow {
    UnitRow {
        hash,
        variant,
        phase: 0,
        weights: vec![0.5, 0.5],
        first: at(1.0),
        is_carried: false,
        segments: Vec::new(),
        values,
    }
}

fn sums(set: &MetricSet, rows: impl IntoIterator<Item = UnitRow>) -> Aggregates {
    let mut aggregates = Aggregates::new(&["control".to_owned(), "new".to_owned()], set);
    for row in rows {
        aggregates.row(&row).unwrap();
    }
    aggregates
}

fn reading(method: Choice) -> Reading {
    Reading { method, now: at(8.0), ..Reading::default() }
}
