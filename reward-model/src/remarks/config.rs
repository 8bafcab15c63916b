//! Settings of the heads that learn from remarks.

use plaudit_event::Objective;
use serde::{Deserialize, Serialize};

/// Spans and principles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RemarkConfig {
    /// Learning rate α of both heads (FTRL-proximal), 1e-6 to 1e6.
    pub alpha: f64,
    /// L2 penalty λ₂, 0 to 1e6.
    pub l2: f64,
    /// Most rows kept per head, a uniform sample; 1 to 1,000,000.
    pub capacity: usize,
    /// Remembered rows learned after each new one, 0 to 64.
    pub per_row: usize,
    /// The objective whose label says whether a reason is praise or blame.
    pub objective: Objective,
    /// Units that must give a reason before it is learned as a principle, 1 to 1000.
    pub min_units: usize,
    /// How alike the words of two reasons must be to count as one: the cosine of their word sets, 0.1 to 1.
    pub similarity: f64,
    /// Most reasons told apart, 1 to 10,000; the one not given for longest makes room.
    pub max_reasons: usize,
    /// Other principles that a commented response is an example against, drawn anew each time; 0 to 64.
    pub negatives: usize,
}

impl Default for RemarkConfig {
    fn default() -> Self {
        Self {
            alpha: 1.0,
            l2: 2.0,
            capacity: 4_096,
            per_row: 2,
            objective: Objective::new(Objective::HELPFULNESS),
            min_units: 3,
            similarity: 0.75,
            max_reasons: 512,
            negatives: 3,
        }
    }
}

impl RemarkConfig {
    /// Keys with what is wrong with their values.
    pub(crate) fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let numbers = [
            ("remarks.alpha", self.alpha, 1e-6..=1e6, "1e-6 to 1e6"),
            ("remarks.l2", self.l2, 0.0..=1e6, "0 to 1e6"),
            ("remarks.similarity", self.similarity, 0.1..=1.0, "0.1 to 1"),
        ];
        for (key, value, range, allowed) in numbers {
            if !range.contains(&value) {
                problems.push((key, format!("must be {allowed}, got {value:?}")));
            }
        }
        let counts = [
            ("remarks.capacity", self.capacity, 1..=1_000_000),
            ("remarks.per_row", self.per_row, 0..=64),
            ("remarks.min_units", self.min_units, 1..=1_000),
            ("remarks.max_reasons", self.max_reasons, 1..=10_000),
            ("remarks.negatives", self.negatives, 0..=64),
        ];
        for (key, value, range) in counts {
            if !range.contains(&value) {
                problems.push((key, format!("must be {} to {}, got {value}", range.start(), range.end())));
            }
        }
        problems
    }
}
