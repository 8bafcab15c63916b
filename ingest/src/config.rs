//! The configuration of intake and attribution.
//!
//! ```toml
//! window = "30m"              # how long signals may follow an exposure
//! grace = "10s"               # how long their delivery may take
//!
//! [signals.copy]              # a kind given here keeps the defaults of all other keys and kinds
//! trust = 0.3
//!
//! [signals.saved_to_notes]    # a kind of your own
//! objectives = ["helpfulness"]
//!
//! [objectives.helpfulness]    # an objective given here keeps its other defaults, too
//! surfaces = ["chat"]
//!
//! [objectives.delight]        # one of your own: silence says nothing unless `default` says so
//! ```

mod clickhouse;
pub(crate) mod duration;
mod objectives;
mod problems;
mod quality;
mod signals;

use std::collections::BTreeMap;
use std::time::Duration;

use plaudit_event::{Objective, SignalKind};
use serde::{Deserialize, Serialize};

use crate::fingerprint::Fingerprint;
use crate::log::KafkaConfig;

pub use clickhouse::{ClickHouseConfig, Retention, Secret};
pub use objectives::{ObjectiveSpec, Silence};
pub use problems::Problem;
pub(crate) use problems::Problems;
pub use quality::{BotRule, Bots, CustomPattern, Hashing, Pattern, Quality, RateCap, Redaction, Sampling, Suspicion};
pub use signals::{Evidence, SignalSpec};

/// Longest duration accepted anywhere, 366 days: keeps sums of times far from overflow.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// The configuration of this crate. Components (log, store, clock) are arguments instead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long after an exposure a signal may happen and still count.
    #[serde(with = "duration")]
    pub window: Duration,
    /// How long after an exposure it becomes an example, where that is not at the end of the window: signals of the
    /// rest of the window correct it.
    #[serde(with = "duration::option", skip_serializing_if = "Option::is_none")]
    pub close_after: Option<Duration>,
    /// How much longer an exposure stays open, for signals on their way.
    #[serde(with = "duration")]
    pub grace: Duration,
    /// How far the clock of a signal may run before the clock of its exposure.
    #[serde(with = "duration")]
    pub slack: Duration,
    /// How long a signal waits for an exposure that has not arrived.
    #[serde(with = "duration")]
    pub early_slack: Duration,
    /// How long after the close late or retracting signals still correct the example.
    #[serde(with = "duration")]
    pub correction_horizon: Duration,
    /// How far in the future, by the clock of the server, an event may be.
    #[serde(with = "duration")]
    pub max_clock_skew: Duration,
    /// How often the services look for new records.
    #[serde(with = "duration")]
    pub poll: Duration,
    /// Most events in one batch.
    pub max_batch: usize,
    /// Most events on their way into the log at once; further ones are turned away for the moment. At
    /// least `max_batch`.
    pub max_in_flight: usize,
    /// Most ids remembered in order to recognise duplicates, of which the newer half is certain; about
    /// 40 bytes each.
    pub dedup_capacity: usize,
    /// Most signals that count for one exposure: the first ones, and of those that wait for an exposure
    /// the last ones.
    pub max_signals_per_exposure: usize,
    /// Most exposures that signals wait for; beyond, the signals that have waited longest are dropped.
    pub max_early_exposures: usize,
    /// What is done about events before anything is stored.
    pub quality: Quality,
    /// How a store on ClickHouse is used.
    pub clickhouse: ClickHouseConfig,
    /// What each kind of signal means. Given kinds are laid over the defaults.
    #[serde(deserialize_with = "signals::over_defaults")]
    pub signals: BTreeMap<SignalKind, SignalSpec>,
    /// What labels are made for. Given objectives are laid over the defaults, key by key.
    #[serde(deserialize_with = "objectives::over_defaults")]
    pub objectives: BTreeMap<Objective, ObjectiveSpec>,
    /// The log, where it is on Kafka.
    pub kafka: KafkaConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(30 * 60),
            close_after: None,
            grace: Duration::from_secs(10),
            slack: Duration::from_secs(60),
            early_slack: Duration::from_secs(10 * 60),
            correction_horizon: Duration::from_secs(6 * 3600),
            max_clock_skew: Duration::from_secs(5 * 60),
            poll: Duration::from_millis(50),
            max_batch: 10_000,
            max_in_flight: 200_000,
            dedup_capacity: 900_000,
            max_signals_per_exposure: 256,
            max_early_exposures: 100_000,
            quality: Quality::default(),
            clickhouse: ClickHouseConfig::default(),
            signals: signals::defaults(),
            objectives: objectives::defaults(),
            kafka: KafkaConfig::default(),
        }
    }
}

impl Config {
    /// Every key that cannot be used; empty when all can.
    #[must_use]
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Problems::default();
        let moment = Duration::from_millis(1);
        problems.duration("window", self.window, moment);
        if let Some(close_after) = self.close_after {
            self.validate_close(close_after, &mut problems);
        }
        problems.duration("grace", self.grace, Duration::ZERO);
        problems.duration("slack", self.slack, Duration::ZERO);
        problems.duration("early_slack", self.early_slack, Duration::ZERO);
        problems.duration("correction_horizon", self.correction_horizon, Duration::ZERO);
        problems.duration("max_clock_skew", self.max_clock_skew, Duration::ZERO);
        problems.duration("poll", self.poll, moment);
        problems.count("max_batch", self.max_batch, 1, 100_000);
        problems.count("max_in_flight", self.max_in_flight, self.max_batch.max(1), 10_000_000);
        problems.count("dedup_capacity", self.dedup_capacity, 1_000, 100_000_000);
        let per_exposure = self.max_signals_per_exposure;
        problems.count("max_signals_per_exposure", per_exposure, 1, 100_000);
        let early = self.max_early_exposures;
        problems.count("max_early_exposures", early, 1, 100_000_000);
        self.quality.validate(self, &mut problems);
        let lookback = u64::try_from(crate::attribution::lookback_ms(self)).unwrap_or(0);
        self.kafka.validate(Duration::from_millis(lookback), &mut problems);
        self.clickhouse.validate(&mut problems);
        for (kind, spec) in &self.signals {
            spec.validate(kind, self, &mut problems);
        }
        for objective in self.objectives.keys() {
            if objective.0.is_empty() || objective.0.len() > 64 {
                let length = objective.0.len();
                problems
                    .add(format!("objectives.{objective}"), format!("the name must have 1 to 64 bytes, got {length}"));
            }
        }
        problems.into_list()
    }

    fn validate_close(&self, close_after: Duration, problems: &mut Problems) {
        let format = humantime::format_duration;
        if close_after < Duration::from_millis(1) || close_after > self.window {
            let [most, got] = [self.window, close_after].map(format);
            problems.add("close_after".to_owned(), format!("must be 1ms to {most} (the `window`), got {got}"));
            return;
        }
        let rest = self.window - close_after;
        if self.correction_horizon < rest {
            let [least, got] = [rest, self.correction_horizon].map(format);
            let message = format!("must be at least {least}, what `close_after` leaves of the `window`, got {got}");
            problems.add("correction_horizon".to_owned(), message);
        }
    }

    /// Tells apart configurations that make different examples of one log.
    pub(crate) fn attribution(&self) -> Fingerprint {
        let times = [self.window, self.grace, self.slack, self.early_slack, self.correction_horizon].into_iter();
        let times: Vec<i64> = times.chain(self.close_after).map(millis).collect();
        let limits = [self.max_signals_per_exposure, self.max_early_exposures];
        let rules = serde_json::to_vec(&(times, limits, &self.signals, &self.objectives, self.quality.selection()));
        Fingerprint::of(&rules.expect("a configuration has only string keys"))
    }
}

/// Whole milliseconds of `duration`, at most 366 days.
pub(crate) fn millis(duration: Duration) -> i64 {
    let millis = duration.min(LONGEST).as_millis();
    i64::try_from(millis).expect("366 days in milliseconds fit")
}

#[cfg(test)]
mod tests {
    use plaudit_event::Surface;

    use super::*;

    #[test]
    fn the_defaults_are_valid_and_survive_a_round_trip() {
        let config = Config::default();
        assert_eq!(config.validate(), []);
        let text = toml::to_string(&config).unwrap();
        assert!(text.contains("window = \"30m\""), "{text}");
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), config);
    }

    #[test]
    fn the_shipped_configuration_is_the_default_one() {
        let shipped: toml::Table = include_str!("../../deploy/embedded.toml").parse().unwrap();
        let ingest: Config = shipped["ingest"].clone().try_into().unwrap();
        assert_eq!(ingest, Config::default());
    }

    #[test]
    fn a_given_kind_is_laid_over_the_defaults() {
        let config: Config = toml::from_str(
            "window = \"10s\"\n[signals.copy]\ntrust = 0.25\n[signals.saved]\nobjectives = [\"helpfulness\"]\n",
        )
        .unwrap();
        let defaults = Config::default();
        let copy = &config.signals[&SignalKind::Copy];
        assert_eq!(copy.trust, 0.25);
        assert_eq!(copy.objectives, defaults.signals[&SignalKind::Copy].objectives);
        assert_eq!(config.signals[&SignalKind::Love], defaults.signals[&SignalKind::Love]);
        assert!(config.signals.contains_key(&SignalKind::Custom("saved".into())));
        assert_eq!(config.window, Duration::from_secs(10));
        assert_eq!(config.validate(), []);
    }

    #[test]
    fn a_given_objective_is_laid_over_the_defaults_key_by_key() {
        let config: Config = toml::from_str(
            "[objectives.love]\nsurfaces = [\"chat\"]\n[objectives.delight]\n[signals.love]\nobjectives = [\"delight\"]\n",
        )
        .unwrap();
        let spec = |name: &str| config.objectives[&Objective::new(name)].clone();
        assert_eq!(spec("love"), ObjectiveSpec { default: Silence::Negative, surfaces: vec![Surface::Chat] });
        assert_eq!(spec("delight"), ObjectiveSpec { default: Silence::Missing, surfaces: Vec::new() });
        assert_eq!(spec("click"), Config::default().objectives[&Objective::new("click")]);
        assert_eq!(config.validate(), []);
        assert!(toml::from_str::<Config>("[objectives.love]\nsilence = \"missing\"").is_err());
    }

    #[test]
    fn what_is_in_flight_has_room_for_a_batch() {
        let config = Config { max_batch: 50, max_in_flight: 49, ..Config::default() };
        let problems: Vec<String> = config.validate().iter().map(Problem::to_string).collect();
        assert_eq!(problems, ["max_in_flight: must be 50 to 10000000, got 49"]);
    }

    #[test]
    fn what_makes_other_examples_is_told_apart() {
        let config = Config::default();
        let same = Config { poll: Duration::from_secs(1), max_batch: 7, ..Config::default() };
        assert_eq!(config.attribution(), same.attribution());
        let other = Config { grace: Duration::from_secs(11), ..Config::default() };
        assert_ne!(config.attribution(), other.attribution());
        let sooner = Config { close_after: Some(Duration::from_secs(5)), ..Config::default() };
        assert_ne!(config.attribution(), sooner.attribution());
    }

    #[test]
    fn an_early_close_is_within_the_window_and_leaves_it_to_corrections() {
        let problems = |text: &str| {
            let config: Config = toml::from_str(text).unwrap();
            config.validate().iter().map(Problem::to_string).collect::<Vec<String>>()
        };
        assert!(problems("close_after = \"1m\"").is_empty());
        assert_eq!(problems("close_after = \"31m\""), ["close_after: must be 1ms to 30m (the `window`), got 31m"]);
        assert_eq!(
            problems("close_after = \"1m\"\ncorrection_horizon = \"10m\""),
            ["correction_horizon: must be at least 29m, what `close_after` leaves of the `window`, got 10m"]
        );
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(toml::from_str::<Config>("windov = \"10s\"").is_err());
        assert!(toml::from_str::<Config>("[signals.copy]\ntrsut = 1.0").is_err());
        assert!(toml::from_str::<Config>("window = \"10 parsecs\"").is_err());
    }

    #[test]
    fn all_problems_are_reported_with_key_value_and_range() {
        let config: Config = toml::from_str(
            "window = \"0s\"\nmax_batch = 0\n[signals.copy]\ntrust = 2.0\nobjectives = [\"luck\"]\nwindow = \"1h\"",
        )
        .unwrap();
        let problems: Vec<String> = config.validate().iter().map(Problem::to_string).collect();
        assert_eq!(
            problems,
            [
                "window: must be 1ms to 1year 18h, got 0s",
                "max_batch: must be 1 to 100000, got 0",
                "signals.copy.trust: must be above 0 and at most 1, got 2",
                "signals.copy.window: must be 1ms to 0s (the `window` of all), got 1h",
                "signals.copy.objectives: unknown objective `luck`: must be one of click, helpfulness, love, safety",
            ]
        );
    }
}
