//! Success counts per decision and item, corrected when an example is.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use plaudit_event::{Example, ExposureId};
use serde::Serialize;

use super::best::Beta;
use super::{Config, DECISION_ATTRIBUTE};

/// What folding one example did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folded {
    /// A label was counted.
    Counted,
    /// An earlier label of the same exposure was replaced or taken back.
    Corrected,
    /// This revision, or a later one, was folded before.
    Stale,
    /// The example names no decision or carries no label of the objective.
    NotOurs,
    /// A correction of an exposure that is no longer remembered; it was left out.
    Forgotten,
}

impl Folded {
    /// The name in metric labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Corrected => "corrected",
            Self::Stale => "stale",
            Self::NotOurs => "not_ours",
            Self::Forgotten => "forgotten",
        }
    }
}

/// Successes and failures of one item, in label weight.
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

/// What an exposure has added to which item.
#[derive(Debug)]
struct Applied {
    revision: u32,
    decision: Arc<str>,
    item: Arc<str>,
    positive: f64,
    negative: f64,
}

/// All counts. A pure function of the sequence of examples folded.
#[derive(Debug, Default)]
pub(super) struct Counts {
    decisions: BTreeMap<Arc<str>, Items>,
    applied: HashMap<ExposureId, Applied>,
    order: VecDeque<ExposureId>,
    folded: u64,
}

#[derive(Debug, Default)]
struct Items {
    counts: BTreeMap<Arc<str>, Count>,
    touched: u64,
    version: u64,
}

impl Counts {
    /// Counts the label of `example`; a later revision replaces what an earlier one added.
    pub(super) fn fold(&mut self, example: &Example, config: &Config) -> Folded {
        let Some(decision) = example.attributes.get(DECISION_ATTRIBUTE) else {
            return Folded::NotOurs;
        };
        let Some(decision) = decision.as_str() else {
            return Folded::NotOurs;
        };
        let label = example.label(&config.objective);
        let known = self.applied.get(&example.exposure_id);
        let is_new = known.is_none();
        match known {
            Some(earlier) if earlier.revision >= example.revision => return Folded::Stale,
            None if example.revision > 0 => return Folded::Forgotten,
            None if label.is_none() => return Folded::NotOurs,
            _ => {}
        }
        if let Some(earlier) = self.applied.remove(&example.exposure_id) {
            self.add(&earlier, -1.0, config);
        }
        let (value, weight) = label.map_or((0.0, 0.0), |l| (f64::from(l.value), f64::from(l.weight)));
        let applied = Applied {
            revision: example.revision,
            decision: decision.into(),
            item: example.item_id.as_str().into(),
            positive: weight * value.clamp(0.0, 1.0),
            negative: weight * (1.0 - value.clamp(0.0, 1.0)),
        };
        self.folded += 1;
        self.add(&applied, 1.0, config);
        self.remember(&example.exposure_id, applied, is_new, config);
        if is_new { Folded::Counted } else { Folded::Corrected }
    }

    fn add(&mut self, applied: &Applied, sign: f64, config: &Config) {
        let now = self.folded;
        if sign < 0.0 && !self.holds(applied) {
            return;
        }
        let items = self.decisions.entry(applied.decision.clone()).or_default();
        items.touched = now;
        items.version += 1;
        let count = items.counts.entry(applied.item.clone()).or_default();
        // Sums of small weights can end a rounding error below zero after a correction.
        count.positive = (count.positive + sign * applied.positive).max(0.0);
        count.negative = (count.negative + sign * applied.negative).max(0.0);
        count.touched = now;
        if items.counts.len() > config.max_items {
            evict(&mut items.counts, |count| count.touched);
        }
        if self.decisions.len() > config.max_decisions {
            evict(&mut self.decisions, |items| items.touched);
        }
    }

    /// Whether the item's count still exists; after an eviction there is nothing to take back from.
    fn holds(&self, applied: &Applied) -> bool {
        let items = self.decisions.get(&applied.decision);
        items.is_some_and(|items| items.counts.contains_key(&applied.item))
    }

    fn remember(&mut self, id: &ExposureId, applied: Applied, is_new: bool, config: &Config) {
        self.applied.insert(id.clone(), applied);
        if !is_new {
            return;
        }
        self.order.push_back(id.clone());
        while self.order.len() > config.max_corrections {
            if let Some(oldest) = self.order.pop_front() {
                self.applied.remove(&oldest);
            }
        }
    }

    /// The posterior of `item` of `decision`: the prior when nothing is known.
    pub(super) fn posterior(&self, decision: &str, item: &str, config: &Config) -> Beta {
        let items = self.decisions.get(decision);
        let count = items.and_then(|items| items.counts.get(item)).copied();
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
        let counts = items.into_iter().flat_map(|items| &items.counts);
        counts.map(|(item, count)| (item.to_string(), *count)).collect()
    }

    /// Names of all decisions.
    pub(super) fn decisions(&self) -> Vec<String> {
        self.decisions.keys().map(ToString::to_string).collect()
    }
}

/// Drops the entry that was touched longest ago.
fn evict<V>(map: &mut BTreeMap<Arc<str>, V>, touched: impl Fn(&V) -> u64) {
    let oldest = map.iter().min_by_key(|(_, value)| touched(value));
    if let Some(key) = oldest.map(|(key, _)| key.clone()) {
        map.remove(&key);
    }
}
