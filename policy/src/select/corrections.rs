//! What each exposure has added, so that a later revision can replace it.

use std::collections::{HashMap, VecDeque};

use plaudit_event::{Example, ExposureId, Label};
use serde::Serialize;

/// What folding one example did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
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

/// The newest exposures with their revision and what they added; bounded.
#[derive(Debug)]
pub(super) struct Corrections<T> {
    applied: HashMap<ExposureId, (u32, T)>,
    order: VecDeque<ExposureId>,
}

impl<T> Default for Corrections<T> {
    fn default() -> Self {
        Self { applied: HashMap::new(), order: VecDeque::new() }
    }
}

impl<T> Corrections<T> {
    /// Takes out what an earlier revision of `example` added, if any; nothing is changed where the example is not to
    /// be folded.
    pub(super) fn take(&mut self, example: &Example, label: Option<Label>) -> Result<Option<T>, Folded> {
        match self.applied.get(&example.exposure_id) {
            Some((revision, _)) if *revision >= example.revision => Err(Folded::Stale),
            None if example.revision > 0 => Err(Folded::Forgotten),
            None if label.is_none() => Err(Folded::NotOurs),
            _ => Ok(self.applied.remove(&example.exposure_id).map(|(_, added)| added)),
        }
    }

    /// Remembers what `example` added; the oldest of more than `most` are forgotten.
    pub(super) fn put(&mut self, example: &Example, added: T, folded: Folded, most: usize) {
        self.applied.insert(example.exposure_id.clone(), (example.revision, added));
        if folded == Folded::Corrected {
            return;
        }
        self.order.push_back(example.exposure_id.clone());
        while self.order.len() > most {
            if let Some(oldest) = self.order.pop_front() {
                self.applied.remove(&oldest);
            }
        }
    }
}
