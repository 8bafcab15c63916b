//! Settings of the guard against targeted spam.

use plaudit_event::Objective;
use serde::{Deserialize, Serialize};

/// Most units that can be told apart.
const MOST_UNITS: usize = 1_000_000;

/// When a unit that loves one thing is no longer believed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuardConfig {
    /// Whether units are judged.
    pub enabled: bool,
    /// The objective whose positives are judged.
    pub objective: Objective,
    /// A unit is suspect when a believable one would look as odd with at most this probability: 1e-12 to 0.01.
    pub probability: f64,
    /// The same about what [`GuardConfig::accomplices`] units are suspected of already: 1e-12 to 0.05.
    pub known_probability: f64,
    /// How many units must be suspected of the same feature before it counts as known, at least 1.
    pub accomplices: u32,
    /// How many times the odds that all units together have for a feature a believable unit may have, 1 to 100.
    pub max_odds: f64,
    /// Most units remembered, 1 to 1,000,000; the one whose last positive is the oldest gives way.
    pub max_units: usize,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            objective: Objective::new(Objective::LOVE),
            probability: 1e-3,
            known_probability: 1e-2,
            accomplices: 3,
            max_odds: 2.0,
            max_units: 20_000,
        }
    }
}

impl GuardConfig {
    /// Every value outside its range, by key.
    pub(crate) fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let numbers = [
            ("guard.probability", self.probability, 1e-12, 0.01, "1e-12 to 0.01"),
            ("guard.known_probability", self.known_probability, 1e-12, 0.05, "1e-12 to 0.05"),
            ("guard.max_odds", self.max_odds, 1.0, 100.0, "1 to 100"),
        ];
        for (key, value, least, most, allowed) in numbers {
            if !(least..=most).contains(&value) {
                problems.push((key, format!("must be {allowed}, got {value:?}")));
            }
        }
        if self.accomplices == 0 {
            problems.push(("guard.accomplices", "must be at least 1, got 0".to_owned()));
        }
        if !(1..=MOST_UNITS).contains(&self.max_units) {
            problems.push(("guard.max_units", format!("must be 1 to {MOST_UNITS}, got {}", self.max_units)));
        }
        problems
    }
}
