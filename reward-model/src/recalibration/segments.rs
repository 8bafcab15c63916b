//! A calibrator per segment, where there is enough to fit one to.

use std::collections::{BTreeMap, HashMap};

use plaudit_nn::loss::sigmoid;
use serde::{Deserialize, Serialize};

use super::{Calibrator, Method, Rows};
use crate::Error;
use crate::error::argument;

/// Which segments get a calibrator of their own.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SegmentLimits {
    /// Most of them; those with the most labels of their rarer class come first.
    pub max_segments: usize,
    /// Least weight of labels of each class.
    pub min_per_class: f64,
    /// Weight of the rarer class at which a segment's own calibrator counts one half, at least 0.
    pub half_trust: f64,
}

impl Default for SegmentLimits {
    fn default() -> Self {
        Self { max_segments: 100, min_per_class: 30.0, half_trust: 50.0 }
    }
}

/// The calibrator of one segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentMap {
    /// Fitted to this segment's rows alone.
    pub calibrator: Calibrator,
    /// How much it counts beside the global one, 0 to 1: `n/(n + half_trust)` for weight n of the rarer class.
    pub share: f64,
}

/// A global calibrator, and own ones for large segments, shrunk towards it in the logit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PerSegment {
    /// For everyone, and for those in no segment.
    pub global: Calibrator,
    /// By segment.
    pub segments: BTreeMap<String, SegmentMap>,
}

impl PerSegment {
    /// Fits `method` to all `rows`, and to the rows of each segment that `limits` allow; `segments` names the segment
    /// of each row.
    ///
    /// # Errors
    /// Fails when there is not one segment per row, or when `limits` are negative or not finite.
    pub fn fit(method: Method, rows: &Rows, segments: &[&str], limits: SegmentLimits) -> Result<Self, Error> {
        if segments.len() != rows.len() {
            return Err(argument("segments", format!("{} names, one per row", rows.len()), segments.len()));
        }
        for (name, value) in [("min_per_class", limits.min_per_class), ("half_trust", limits.half_trust)] {
            if !value.is_finite() || value < 0.0 {
                return Err(argument(name, "finite and at least 0", value));
            }
        }
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, segment) in segments.iter().enumerate() {
            places.entry(segment).or_default().push(at);
        }
        let mut large: Vec<(f64, &str, Rows)> = Vec::new();
        for (segment, places) in places {
            let own = Rows {
                logits: places.iter().map(|at| rows.logits[*at]).collect(),
                labels: places.iter().map(|at| rows.labels[*at]).collect(),
                weights: places.iter().map(|at| rows.weights[*at]).collect(),
            };
            let (positive, negative) = own.class_weights();
            let rarer = positive.min(negative);
            if rarer > 0.0 && rarer >= limits.min_per_class {
                large.push((rarer, segment, own));
            }
        }
        large.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        large.truncate(limits.max_segments);
        let fitted = large.into_iter().map(|(rarer, segment, own)| {
            let share = rarer / (rarer + limits.half_trust);
            (segment.to_owned(), SegmentMap { calibrator: Calibrator::fit(method, &own), share })
        });
        Ok(Self { global: Calibrator::fit(method, rows), segments: fitted.collect() })
    }

    /// The calibrated probability of the logit `z` in `segment`.
    #[must_use]
    pub fn apply(&self, segment: &str, z: f64) -> f64 {
        let Some(own) = self.segments.get(segment) else {
            return self.global.apply(z);
        };
        let (global, own_logit) = (self.global.apply_logit(z), own.calibrator.apply_logit(z));
        sigmoid(global + own.share * (own_logit - global))
    }
}
