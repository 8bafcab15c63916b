//! The compact state of one exposure.

use std::sync::Arc;

use plaudit_event::{Exposure, Labels, Remarks, Surface, Timestamp};
use serde::Deserialize;

use super::labels::Rules;
use super::remark::{self, Remark};
use crate::fingerprint::Fingerprint;

/// An exposure: when it closes, and what was said about it.
pub(super) struct Shown {
    pub(super) offset: u64,
    pub(super) close: Timestamp,
    pub(super) forget: Timestamp,
    pub(super) revision: u32,
    pub(super) surface: Surface,
    ts: Timestamp,
    chosen_item: u64,
    votes: Vec<Vote>,
}

/// What a signal says; of its words only those that an example keeps.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reaction {
    /// The signal; for a retraction, the signal taken back.
    pub(super) id: Fingerprint,
    pub(super) ts: Timestamp,
    pub(super) item: Option<u64>,
    pub(super) says: Says,
    pub(super) remark: Option<Arc<Remark>>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Says {
    /// A vote of the kind with this number in the rules, in \[−1, 1\].
    Vote { kind: u16, vote: f32 },
    /// The signal never happened.
    Retract,
}

/// What became of a reaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It counts, or did already.
    Counts,
    /// There is no room for it.
    OverLimit,
    /// It happened outside the window of its kind.
    OutsideWindow,
    /// It is about an item that was not the chosen one.
    OtherItem,
}

/// One signal that counts, or that is known not to.
#[derive(Debug, Clone)]
pub(super) struct Vote {
    id: Fingerprint,
    pub(super) ts: Timestamp,
    pub(super) kind: u16,
    pub(super) vote: f32,
    /// Retracted, perhaps before it came.
    pub(super) is_retracted: bool,
    pub(super) remark: Option<Arc<Remark>>,
}

impl Shown {
    pub(super) fn new(offset: u64, exposure: &ExposureHead, close: Timestamp, forget: Timestamp) -> Self {
        let chosen = exposure.slate.get(exposure.chosen as usize);
        Self {
            offset,
            close,
            forget,
            revision: 0,
            surface: exposure.surface,
            ts: exposure.ts,
            chosen_item: chosen.map_or(0, |item| item_hash(&item.item_id)),
            votes: Vec::new(),
        }
    }

    pub(super) fn take(&mut self, reaction: &Reaction, rules: &Rules) -> Taken {
        let known = self.votes.iter_mut().find(|vote| vote.id == reaction.id);
        let (kind, vote, is_retracted) = match (reaction.says, known) {
            (Says::Retract, Some(known)) => {
                known.is_retracted = true;
                return Taken::Counts;
            }
            (Says::Retract, None) => (0, 0.0, true),
            (Says::Vote { .. }, Some(_)) => return Taken::Counts,
            (Says::Vote { kind, vote }, None) => {
                if reaction.item.is_some_and(|item| item != self.chosen_item) {
                    return Taken::OtherItem;
                }
                if !rules.is_in_window(kind, reaction.ts.millis_since(self.ts)) {
                    return Taken::OutsideWindow;
                }
                (kind, vote, false)
            }
        };
        if self.votes.len() >= rules.max_signals {
            return Taken::OverLimit;
        }
        let (id, ts, remark) = (reaction.id, reaction.ts, reaction.remark.clone());
        self.votes.push(Vote { id, ts, kind, vote, is_retracted, remark });
        Taken::Counts
    }

    /// Labels and remarks as they are now.
    pub(super) fn worth(&self, rules: &Rules) -> (Labels, Remarks) {
        (rules.labels(self.surface, &self.votes), remark::remarks(&self.votes))
    }
}

impl Vote {
    /// Of two votes of one kind, the one that stands: the later, and of equal times the one with the
    /// larger id, so that the order of arrival does not matter.
    pub(super) fn is_later_than(&self, other: &Self) -> bool {
        (self.ts, self.id) > (other.ts, other.id)
    }
}

/// Tells the items of one slate apart.
pub(super) fn item_hash(item_id: &str) -> u64 {
    Fingerprint::of(item_id.as_bytes()).head()
}

/// What attribution needs of an exposure: cheap to decode, and nothing else is held in memory.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ExposureHead {
    pub(super) exposure_id: String,
    surface: Surface,
    slate: Vec<ItemHead>,
    #[serde(default)]
    chosen: u32,
    ts: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct ItemHead {
    item_id: String,
}

impl From<&Exposure> for ExposureHead {
    fn from(exposure: &Exposure) -> Self {
        let items = exposure.slate.iter().map(|item| ItemHead { item_id: item.item_id.clone() });
        Self {
            exposure_id: exposure.exposure_id.to_string(),
            surface: exposure.surface,
            slate: items.collect(),
            chosen: exposure.chosen,
            ts: exposure.ts,
        }
    }
}
