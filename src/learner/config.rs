//! When candidates are made.

use plaudit_ingest::Problem;
use serde::{Deserialize, Serialize};

/// When candidates are made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LearnConfig {
    /// Whether candidates are made at all.
    pub(crate) enabled: bool,
    /// Examples, corrections included, before the first candidate.
    pub(crate) first_after: u64,
    /// Further examples before each later one.
    pub(crate) every: u64,
    /// Prompts of users that a candidate learns on; the gate gets others.
    pub(crate) prompts: usize,
    /// The reward model must tell love from its absence at least this well, as prequential AUROC.
    pub(crate) min_auroc: f64,
    /// Cores that training uses.
    pub(crate) threads: usize,
}

impl Default for LearnConfig {
    fn default() -> Self {
        Self { enabled: true, first_after: 50_000, every: 50_000, prompts: 2_000, min_auroc: 0.6, threads: 1 }
    }
}

impl LearnConfig {
    /// Every value outside its range, with its key.
    pub(crate) fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut check = |key: &str, value: f64, least: f64, most: f64| {
            if !(least..=most).contains(&value) {
                let message = format!("must be between {least} and {most}, got {value}");
                problems.push(Problem { path: key.to_owned(), message });
            }
        };
        check("first_after", self.first_after as f64, 1.0, 1e15);
        check("every", self.every as f64, 1.0, 1e15);
        check("prompts", self.prompts as f64, 1.0, 1e7);
        check("min_auroc", self.min_auroc, 0.0, 1.0);
        check("threads", self.threads as f64, 1.0, 256.0);
        problems
    }
}
