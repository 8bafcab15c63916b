//! Settings of the golden slices.

use plaudit_event::Objective;
use serde::{Deserialize, Serialize};

/// Who is held out, and what is frozen of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GoldenConfig {
    /// Share of the units, by a hash of their name, whose examples are predicted and never trained on; 0 to 0.5, where 0
    /// is off.
    pub share: f64,
    /// The objective whose labels are kept.
    pub objective: Objective,
    /// Most rows of a slice, half of them positives; 2 to 4,096.
    pub rows: usize,
    /// Fewest rows of each class that a slice is frozen with, at least 1 and at most half of [`GoldenConfig::rows`].
    pub least: usize,
    /// Most slices, 1 to 256. When all are taken, nothing more is frozen.
    pub slices: usize,
    /// Slices are frozen, and all of them judged, whenever this many examples have been taken; at least 1.
    pub every: u64,
    /// Newest held-out rows that a model is compared on before it serves, 0 to 65,536.
    pub newest: usize,
}

impl Default for GoldenConfig {
    fn default() -> Self {
        Self {
            share: 0.05,
            objective: Objective::new(Objective::LOVE),
            rows: 128,
            least: 20,
            slices: 32,
            every: 5_000,
            newest: 512,
        }
    }
}

impl GoldenConfig {
    /// Every value outside its range, by key.
    pub(crate) fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if !(0.0..=0.5).contains(&self.share) {
            problems.push(("golden.share", format!("must be 0 to 0.5, got {:?}", self.share)));
        }
        let half = (self.rows / 2).max(1);
        let counts = [
            ("golden.rows", self.rows, 2, 4_096, "2 to 4096".to_owned()),
            ("golden.least", self.least, 1, half, format!("1 to {half}, half of golden.rows")),
            ("golden.slices", self.slices, 1, 256, "1 to 256".to_owned()),
            ("golden.newest", self.newest, 0, 65_536, "0 to 65536".to_owned()),
        ];
        for (key, value, least, most, allowed) in counts {
            if !(least..=most).contains(&value) {
                problems.push((key, format!("must be {allowed}, got {value}")));
            }
        }
        if self.every == 0 {
            problems.push(("golden.every", "must be at least 1, got 0".to_owned()));
        }
        problems
    }
}
