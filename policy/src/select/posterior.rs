//! Success counts per decision and item, corrected when an example is; old ones may fade.

use std::collections::BTreeMap;
use std::sync::Arc;

use plaudit_event::Example;
use plaudit_experiment::adaptive::{Beta, Fading};
use serde::Serialize;

use super::corrections::{Corrections, Folded};
use super::{Config, decision_of};

/// Successes and failures of one item, in label weight; what is old counts less where it is to fade.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Count {
    /// Weight of successes.
    pub positive: f64,
    /// Weight of failures.
    pub negative: f64,
    /// When the item was last folded, in examples.
    #[serde(skip)]
    touched: u64,
}

impl Count {
    /// The count as of the newest example.
    fn scaled(self, fading: &Fading) -> Self {
        let unit = fading.unit();
        Self { positive: self.positive / unit, negative: self.negative / unit, ..self }
    }
}

/// What an exposure has added to which item, and how long ago.
#[derive(Debug)]
struct Applied {
    decision: Arc<str>,
    item: Arc<str>,
    positive: f64,
    negative: f64,
    place: f64,
    /// The life of the decision that it belongs to; one that was dropped and came back has another.
    born: u64,
}

/// All counts. A pure function of the sequence of examples folded.
#[derive(Debug, Default)]
pub(super) struct Counts {
    decisions: BTreeMap<Arc<str>, Items>,
    applied: Corrections<Applied>,
    folded: u64,
}

#[derive(Debug, Default)]
struct Items {
    counts: BTreeMap<Arc<str>, Count>,
    /// The counts are in its scale.
    fading: Fading,
    born: u64,
    touched: u64,
    version: u64,
}

impl Counts {
    /// Counts the label of `example`; a later revision replaces what an earlier one added.
    pub(super) fn fold(&mut self, example: &Example, config: &Config) -> Folded {
        let Some(decision) = decision_of(example) else {
            return Folded::NotOurs;
        };
        let label = example.label(&config.objective);
        let earlier = match self.applied.take(example, label) {
            Ok(earlier) => earlier,
            Err(folded) => return folded,
        };
        let (value, weight) = label.map_or((0.0, 0.0), |l| (f64::from(l.value), f64::from(l.weight)));
        self.folded += 1;
        let (place, born, folded) = match earlier {
            Some(earlier) if !self.is_alive(&earlier) => return Folded::Forgotten,
            Some(earlier) => {
                self.add(&earlier, -1.0, config);
                (earlier.place, earlier.born, Folded::Corrected)
            }
            None => {
                let (place, born) = self.place(decision, example, config);
                (place, born, Folded::Counted)
            }
        };
        let applied = Applied {
            decision: decision.into(),
            item: example.item_id.as_str().into(),
            positive: weight * value.clamp(0.0, 1.0),
            negative: weight * (1.0 - value.clamp(0.0, 1.0)),
            place,
            born,
        };
        self.add(&applied, 1.0, config);
        self.applied.put(example, applied, folded, config.max_corrections);
        folded
    }

    /// The age of a new example among those of its decision, and the life of that.
    fn place(&mut self, decision: &str, example: &Example, config: &Config) -> (f64, u64) {
        let born = self.folded;
        let new = || Items { fading: Fading::new(config.half_life()), born, ..Items::default() };
        let items = self.decisions.entry(decision.into()).or_insert_with(new);
        let (place, rescale) = items.fading.place(example.exposure_ts.as_millis());
        if let Some(factor) = rescale {
            for count in items.counts.values_mut() {
                count.positive *= factor;
                count.negative *= factor;
            }
        }
        (place, items.born)
    }

    fn add(&mut self, applied: &Applied, sign: f64, config: &Config) {
        let now = self.folded;
        let Some(items) = self.decisions.get_mut(&applied.decision) else { return };
        // After an eviction of the item there is nothing to take back from.
        if sign < 0.0 && !items.counts.contains_key(&applied.item) {
            return;
        }
        items.touched = now;
        items.version += 1;
        let weight = sign * items.fading.weight(applied.place);
        let count = items.counts.entry(applied.item.clone()).or_default();
        // Sums of small weights can end a rounding error below zero after a correction.
        count.positive = (count.positive + weight * applied.positive).max(0.0);
        count.negative = (count.negative + weight * applied.negative).max(0.0);
        count.touched = now;
        if items.counts.len() > config.max_items {
            evict(&mut items.counts, |count| count.touched);
        }
        if self.decisions.len() > config.max_decisions {
            evict(&mut self.decisions, |items| items.touched);
        }
    }

    fn is_alive(&self, applied: &Applied) -> bool {
        self.decisions.get(&applied.decision).is_some_and(|items| items.born == applied.born)
    }

    /// The posterior of `item` of `decision`: the prior when nothing is known.
    pub(super) fn posterior(&self, decision: &str, item: &str, config: &Config) -> Beta {
        let items = self.decisions.get(decision);
        let count = items.and_then(|items| Some(items.counts.get(item)?.scaled(&items.fading)));
        let count = count.unwrap_or_default();
        Beta { a: config.prior_positive + count.positive, b: config.prior_negative + count.negative }
    }

    /// Changes whenever a count of `decision` does.
    pub(super) fn version(&self, decision: &str) -> u64 {
        self.decisions.get(decision).map_or(0, |items| items.version)
    }

    /// Counts of every item of `decision`.
    pub(super) fn items(&self, decision: &str) -> Vec<(String, Count)> {
        let items = self.decisions.get(decision);
        let of = |items: &Items| -> Vec<(String, Count)> {
            items.counts.iter().map(|(item, count)| (item.to_string(), count.scaled(&items.fading))).collect()
        };
        items.map(of).unwrap_or_default()
    }

    /// Names of all decisions.
    pub(super) fn decisions(&self) -> Vec<String> {
        self.decisions.keys().map(ToString::to_string).collect()
    }
}

/// Drops the entry that was touched longest ago.
pub(super) fn evict<V>(map: &mut BTreeMap<Arc<str>, V>, touched: impl Fn(&V) -> u64) {
    let oldest = map.iter().min_by_key(|(_, value)| touched(value));
    if let Some(key) = oldest.map(|(key, _)| key.clone()) {
        map.remove(&key);
    }
}
