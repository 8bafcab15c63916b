//! What a slice is made from.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::GoldenRow;
use crate::encode::mix;

/// Makes the sample independent of every other use of the hash of an exposure's id.
const SALT: u64 = 0x676f_6c64_656e_2072;

/// A uniform sample of the held-out rows of one segment, by class: those with the smallest hash (bottom-k, Cohen &
/// Kaplan, PODC 2007).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Pool {
    negatives: Sample,
    positives: Sample,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Sample {
    /// By hash.
    rows: BTreeMap<u64, Arc<GoldenRow>>,
    /// Rows offered.
    seen: u64,
}

impl Sample {
    fn offer(&mut self, row: Arc<GoldenRow>, most: usize) {
        self.seen += 1;
        self.rows.insert(mix(row.exposure ^ SALT), row);
        if self.rows.len() > most {
            self.rows.pop_last();
        }
    }
}

impl Pool {
    pub(super) fn offer(&mut self, row: Arc<GoldenRow>, most: usize) {
        self.sample(row.is_positive()).offer(row, most);
    }

    fn sample(&mut self, is_positive: bool) -> &mut Sample {
        if is_positive { &mut self.positives } else { &mut self.negatives }
    }

    /// Puts `label` in the place of the one that the exposure has had, if its row is here; `None` takes it out.
    pub(super) fn correct(&mut self, exposure: u64, label: Option<f32>, most: usize) {
        let place = mix(exposure ^ SALT);
        for is_positive in [false, true] {
            let sample = self.sample(is_positive);
            if let Some(mut row) = sample.rows.remove(&place) {
                sample.seen = sample.seen.saturating_sub(1);
                if let Some(label) = label {
                    Arc::make_mut(&mut row).label = label;
                    self.offer(row, most);
                }
                return;
            }
        }
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Arc<GoldenRow>) -> bool) {
        for sample in [&mut self.negatives, &mut self.positives] {
            sample.rows.retain(|_, row| keep(row));
        }
    }

    /// Whether there are at least `least` rows of each class.
    pub(super) fn is_full_enough(&self, least: usize) -> bool {
        self.negatives.rows.len().min(self.positives.rows.len()) >= least
    }

    /// The rows, each with how many it stands for; what is sampled next starts anew.
    pub(super) fn drain(&mut self) -> Vec<Arc<GoldenRow>> {
        let mut rows = Vec::with_capacity(self.negatives.rows.len() + self.positives.rows.len());
        for sample in [&mut self.negatives, &mut self.positives] {
            let sample = std::mem::take(sample);
            let weight = sample.seen as f64 / sample.rows.len().max(1) as f64;
            rows.extend(sample.rows.into_values().map(|mut row| {
                Arc::make_mut(&mut row).weight = weight;
                row
            }));
        }
        rows
    }
}
