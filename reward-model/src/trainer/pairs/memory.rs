//! The pairs that are remembered: a uniform sample of all that were learned (algorithm R, Vitter 1985).

use std::sync::Arc;

use plaudit_event::Stream;
use rand::Rng as _;

use super::Both;

/// A pair on its way back into training.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) both: Arc<Both>,
    pub(crate) weight: f32,
}

/// The remembered pairs of one objective.
#[derive(Debug, Clone, Default)]
pub(crate) struct PairMemory {
    pub(crate) items: Vec<Kept>,
    /// Pairs learned, whether remembered or not.
    pub(crate) seen: u64,
}

impl PairMemory {
    pub(super) fn offer(&mut self, kept: Kept, capacity: usize, stream: &mut Stream) {
        self.seen += 1;
        if self.items.len() < capacity {
            self.items.push(kept);
            return;
        }
        let place = usize::try_from(stream.random_range(0..self.seen)).ok();
        if let Some(slot) = place.and_then(|place| self.items.get_mut(place)) {
            *slot = kept;
        }
    }

    pub(super) fn draw(&self, stream: &mut Stream) -> Option<Kept> {
        if self.items.is_empty() {
            return None;
        }
        Some(self.items[stream.random_range(0..self.items.len())].clone())
    }
}
