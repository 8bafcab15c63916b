//! Levels and limits of the readout.

use plaudit_event::Objective;
use plaudit_ingest::Problem;
use serde::{Deserialize, Serialize};

/// Levels and limits of the readout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReadoutConfig {
    /// The objective that is compared.
    pub objective: Objective,
    /// Error rate of every interval, over the whole life of the experiment.
    pub alpha: f64,
    /// Units in all variants together at which intervals are tightest: where a decision is expected.
    pub horizon_units: u64,
    /// Level of the sequential sample-ratio check.
    pub srm_alpha: f64,
    /// How close its alternative sits to the promised proportions.
    pub srm_concentration: f64,
    /// Most exposures whose labels can still be corrected, per experiment.
    pub max_corrections: usize,
    /// Most units followed per experiment; exposures of further ones are counted as skipped.
    pub max_tracked_units: usize,
}

impl Default for ReadoutConfig {
    fn default() -> Self {
        Self {
            objective: Objective::new(Objective::LOVE),
            alpha: 0.05,
            horizon_units: 10_000,
            srm_alpha: 0.01,
            srm_concentration: 100.0,
            max_corrections: 500_000,
            max_tracked_units: 5_000_000,
        }
    }
}

impl ReadoutConfig {
    /// Every value outside its range, with key paths below `prefix`.
    #[must_use]
    pub fn validate(&self, prefix: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut check = |key: &str, value: f64, min: f64, max: f64| {
            if !(min..=max).contains(&value) {
                let message = format!("must be between {min} and {max}, got {value}");
                problems.push(Problem { path: format!("{prefix}.{key}"), message });
            }
        };
        check("alpha", self.alpha, 1e-6, 0.5);
        check("horizon_units", self.horizon_units as f64, 10.0, 1e12);
        check("srm_alpha", self.srm_alpha, 1e-9, 0.5);
        check("srm_concentration", self.srm_concentration, 1.0, 1e9);
        check("max_corrections", self.max_corrections as f64, 1.0, 1e9);
        check("max_tracked_units", self.max_tracked_units as f64, 2.0, 1e9);
        problems
    }
}
