//! Settings of pairs.

use serde::{Deserialize, Serialize};

/// Most pairs learned again at a time.
const MOST_REPEATS: usize = 64;

/// Pairs that are remembered and learned again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PairConfig {
    /// Most pairs kept per objective, a uniform sample of all learned; 1 to 1,000,000.
    pub capacity: usize,
    /// Remembered pairs learned after each new one, 0 to 64.
    pub per_pair: usize,
    /// Remembered pairs learned after each example, so that the order they taught outlives the stream; 0 to 64.
    pub per_example: usize,
}

impl Default for PairConfig {
    fn default() -> Self {
        Self { capacity: 4_096, per_pair: 1, per_example: 1 }
    }
}

impl PairConfig {
    /// Keys with what is wrong with their values.
    pub(crate) fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if !(1..=1_000_000).contains(&self.capacity) {
            problems.push(("pairs.capacity", format!("must be 1 to 1000000, got {}", self.capacity)));
        }
        for (key, value) in [("pairs.per_pair", self.per_pair), ("pairs.per_example", self.per_example)] {
            if value > MOST_REPEATS {
                problems.push((key, format!("must be 0 to {MOST_REPEATS}, got {value}")));
            }
        }
        problems
    }
}
