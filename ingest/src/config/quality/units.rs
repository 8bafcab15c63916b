//! How much is taken from one unit, and when it is suspect.

use std::time::Duration;

use plaudit_event::SignalKind;
use serde::{Deserialize, Serialize};

use super::super::{Config, Problems};

/// Most units and exposures remembered.
const MOST_REMEMBERED: usize = 10_000_000;
/// Shortest window.
const MOMENT: Duration = Duration::from_millis(1);

/// How many signals one unit may send; more are quarantined with reason `unit_rate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateCap {
    /// Most signals at once; 0 for no cap. Over a long time, this many per `window`.
    pub signals: usize,
    /// How long it takes until as many may be sent again.
    #[serde(with = "crate::config::duration")]
    pub window: Duration,
    /// Most units whose signals are counted, of which the newer half is certain; about 50 bytes each.
    pub max_units: usize,
}

impl Default for RateCap {
    fn default() -> Self {
        Self { signals: 0, window: Duration::from_secs(60), max_units: 100_000 }
    }
}

/// When a unit is suspect: its further signals are quarantined with reason `unit_suspect`.
///
/// See `quality::suspects` for what the scores are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Suspicion {
    /// Whether units are watched.
    pub enabled: bool,
    /// The kinds of signals that are watched.
    pub kinds: Vec<SignalKind>,
    /// For how long a unit is watched before it is judged anew.
    #[serde(with = "crate::config::duration")]
    pub window: Duration,
    /// How long a unit stays suspect.
    #[serde(with = "crate::config::duration")]
    pub cooldown: Duration,
    /// Probability, per window, that a unit within all bounds below becomes suspect.
    pub false_positives: f64,
    /// Exposures (for `max_share_odds` and `max_policy_odds`) or reactions (for `max_fast_share`) of a unit
    /// before it is judged for the first time; then whenever they have doubled.
    pub min_count: usize,
    /// Exposures of other units before shares are compared.
    pub min_population: usize,
    /// Bound on the odds of a reaction, relative to those of the other units.
    pub max_share_odds: f64,
    /// A reaction that follows its exposure sooner than this is fast.
    #[serde(with = "crate::config::duration")]
    pub fast: Duration,
    /// Bound on the share of fast ones among the reactions.
    pub max_fast_share: f64,
    /// Bound on the odds of a reaction to one policy, relative to those to the other policies.
    pub max_policy_odds: f64,
    /// Most units watched, of which the newer half is certain; about 300 bytes each.
    pub max_units: usize,
}

impl Default for Suspicion {
    fn default() -> Self {
        Self {
            enabled: false,
            kinds: vec![SignalKind::Love],
            window: Duration::from_secs(7 * 24 * 3600),
            cooldown: Duration::from_secs(24 * 3600),
            false_positives: 0.001,
            min_count: 20,
            min_population: 1_000,
            max_share_odds: 10.0,
            fast: Duration::from_millis(300),
            max_fast_share: 0.2,
            max_policy_odds: 10.0,
            max_units: 100_000,
        }
    }
}

impl RateCap {
    pub(super) fn validate(&self, problems: &mut Problems) {
        problems.count("quality.rates.signals", self.signals, 0, 1_000_000);
        problems.duration("quality.rates.window", self.window, MOMENT);
        problems.count("quality.rates.max_units", self.max_units, 2, MOST_REMEMBERED);
    }
}

impl Suspicion {
    pub(super) fn validate(&self, config: &Config, problems: &mut Problems) {
        let at = |key: &str| format!("quality.suspicion.{key}");
        for kind in &self.kinds {
            if !config.signals.contains_key(kind) {
                problems.add(at("kinds"), format!("must be kinds that `signals` declares, got `{kind}`"));
            }
        }
        problems.duration(&at("window"), self.window, MOMENT);
        problems.duration(&at("cooldown"), self.cooldown, MOMENT);
        problems.duration(&at("fast"), self.fast, Duration::ZERO);
        problems.factor(at("false_positives"), self.false_positives, 0.5);
        problems.count(&at("min_count"), self.min_count, 2, 1_000_000);
        problems.count(&at("min_population"), self.min_population, 0, 1_000_000_000);
        for (key, odds) in [("max_share_odds", self.max_share_odds), ("max_policy_odds", self.max_policy_odds)] {
            if !(1.0..=1e6).contains(&odds) {
                problems.add(at(key), format!("must be 1 to 1000000, got {odds}"));
            }
        }
        problems.factor(at("max_fast_share"), self.max_fast_share, 1.0);
        problems.count(&at("max_units"), self.max_units, 2, MOST_REMEMBERED);
    }
}

/// Checks how many exposures are remembered.
pub(super) fn validate_exposures(max_exposures: usize, problems: &mut Problems) {
    problems.count("quality.max_exposures", max_exposures, 2, MOST_REMEMBERED);
}

#[cfg(test)]
mod tests {
    use super::super::tests::problems;

    #[test]
    fn every_bound_is_checked_at_its_limit() {
        assert_eq!(
            problems(
                "[quality.suspicion]\nkinds = ['copy']\nfalse_positives = 0.5\nmin_count = 2\nmax_share_odds = 1.0\n\
                 max_policy_odds = 1e6\nmax_fast_share = 1.0\nfast = '0s'\nmax_units = 2\n\
                 [quality.rates]\nsignals = 1000000\nmax_units = 2"
            ),
            [""; 0]
        );
        assert_eq!(
            problems(
                "[quality]\nmax_exposures = 1\n[quality.suspicion]\nkinds = ['adore']\nwindow = '0s'\n\
                 false_positives = 0.51\nmin_count = 1\nmax_share_odds = 0.9\nmax_fast_share = 0.0\n\
                 [quality.rates]\nsignals = 1000001\nwindow = '0s'\nmax_units = 1"
            ),
            [
                "quality.rates.signals: must be 0 to 1000000, got 1000001",
                "quality.rates.window: must be 1ms to 1year 18h, got 0s",
                "quality.rates.max_units: must be 2 to 10000000, got 1",
                "quality.suspicion.kinds: must be kinds that `signals` declares, got `adore`",
                "quality.suspicion.window: must be 1ms to 1year 18h, got 0s",
                "quality.suspicion.false_positives: must be above 0 and at most 0.5, got 0.51",
                "quality.suspicion.min_count: must be 2 to 1000000, got 1",
                "quality.suspicion.max_share_odds: must be 1 to 1000000, got 0.9",
                "quality.suspicion.max_fast_share: must be above 0 and at most 1, got 0",
                "quality.max_exposures: must be 2 to 10000000, got 1",
            ]
        );
    }
}
