//! Everything about serving that can be set. Components (log, clock, seed) are arguments instead.

mod delivery;
mod duration;
mod notices;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use plaudit_experiment::delivery::DeliveryConfig;
use plaudit_ingest::Problem;
use serde::{Deserialize, Serialize};

use crate::engine::EngineConfig;
use crate::experiment::{self, Definition};
use crate::readout::ReadoutConfig;
use crate::results::ResultsConfig;
pub use notices::NoticesConfig;

/// Shortest API key, in bytes.
const MIN_KEY_BYTES: usize = 16;
/// Longest duration accepted.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What the bearer of a key may do. Each role includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApiRole {
    /// Read metrics, experiments and policies.
    Read,
    /// Ask for decisions and send events.
    Write,
    /// Change what is served.
    Admin,
}

impl ApiRole {
    /// The name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// A key with its role.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// The secret, at least 16 bytes.
    pub key: String,
    /// What its bearer may do.
    pub role: ApiRole,
    /// Who that is, for the audit trail; may be empty.
    #[serde(default)]
    pub name: String,
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A key must not reach a log.
        f.debug_struct("ApiKey").field("role", &self.role).field("name", &self.name).finish_non_exhaustive()
    }
}

/// What happens on its own when a delivery is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Autopilot {
    /// A delivery is evaluated, goes on, and is stopped.
    On,
    /// Only show what would be decided; a person moves candidates on and takes them out.
    Off,
}

/// Everything about serving that can be set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen; port 0 takes a free one. Beyond loopback, `api_keys` must be set.
    pub listen: SocketAddr,
    /// Who may do what; empty lets everybody on this machine do everything.
    pub api_keys: Vec<ApiKey>,
    /// Largest request body; larger ones get 413.
    pub max_body_bytes: usize,
    /// Most events in one `/v1/signals` or `/v1/exposures` request.
    pub max_events: usize,
    /// Requests for answers, and with events, handled at once; more get 429.
    pub max_concurrent: usize,
    /// Requests for flags that each API key may send in a second; more get 429. 0 for no limit.
    pub flags_per_second: u32,
    /// An answer that takes longer is given up with 503.
    #[serde(with = "duration")]
    pub deadline: Duration,
    /// How long requests may take to finish on shutdown.
    #[serde(with = "duration")]
    pub drain: Duration,
    /// How often new examples are folded, and looked whether an evaluation is due.
    #[serde(with = "duration")]
    pub poll: Duration,
    /// Whether candidates go on and are taken out without a person.
    pub autopilot: Autopilot,
    /// A file or directory with the experiments, in the place of `assignment`; empty for none. It is read again when it
    /// changes.
    pub experiments: PathBuf,
    /// Layers and experiments.
    pub assignment: Definition,
    /// Levels and limits of the readout.
    pub readout: ReadoutConfig,
    /// Steps, rules and limits of the delivery of a candidate; a change concerns later candidates. Its shares are those
    /// of the units that the rolling experiment reserves.
    pub delivery: DeliveryConfig,
    /// Who is told of it.
    pub notices: NoticesConfig,
    /// Metrics as code; checked beside the objectives and signals of intake by [`ResultsConfig::validate`].
    pub results: ResultsConfig,
    /// Size of the model thread.
    pub engine: EngineConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            api_keys: Vec::new(),
            max_body_bytes: 8 << 20,
            max_events: 10_000,
            max_concurrent: 1_024,
            flags_per_second: 0,
            deadline: Duration::from_secs(30),
            drain: Duration::from_secs(10),
            poll: Duration::from_millis(200),
            autopilot: Autopilot::On,
            experiments: PathBuf::new(),
            assignment: experiment::default_definition(),
            readout: ReadoutConfig::default(),
            delivery: DeliveryConfig::default(),
            notices: NoticesConfig::default(),
            results: ResultsConfig::default(),
            engine: EngineConfig::default(),
        }
    }
}

impl Config {
    /// Every value that cannot be used, with its key path; empty when all can.
    #[must_use]
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut add = |path: &str, message: String| problems.push(Problem { path: path.to_owned(), message });
        if !self.listen.ip().is_loopback() && self.api_keys.is_empty() {
            let message = format!("must not be empty when `listen` is {}, beyond this machine", self.listen);
            add("api_keys", message);
        }
        for (index, key) in self.api_keys.iter().enumerate() {
            let length = key.key.len();
            if length < MIN_KEY_BYTES || !key.key.chars().all(|c| c.is_ascii_graphic()) {
                let message =
                    format!("must be at least {MIN_KEY_BYTES} printable ASCII characters, got {length} bytes");
                add(&format!("api_keys[{index}].key"), message);
            }
        }
        let counts = [
            ("max_body_bytes", self.max_body_bytes, 1_024, 1 << 30),
            ("max_events", self.max_events, 1, 100_000),
            ("max_concurrent", self.max_concurrent, 1, 1_000_000),
            ("flags_per_second", self.flags_per_second as usize, 0, 1_000_000),
        ];
        for (path, value, min, max) in counts {
            if !(min..=max).contains(&value) {
                add(path, format!("must be between {min} and {max}, got {value}"));
            }
        }
        for (path, value) in [("deadline", self.deadline), ("drain", self.drain), ("poll", self.poll)] {
            if value.is_zero() || value > LONGEST {
                let [most, got] = [LONGEST, value].map(humantime::format_duration);
                add(path, format!("must be above 0s and at most {most}, got {got}"));
            }
        }
        problems.extend(experiment::validate("assignment", &self.assignment));
        problems.extend(experiment::metrics("assignment", &self.assignment, &self.results.metrics));
        problems.extend(self.readout.validate("readout"));
        problems.extend(delivery::validate("delivery", &self.delivery));
        problems.extend(self.notices.validate("notices"));
        problems.extend(self.engine.validate("engine"));
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        assert_eq!(Config::default().validate(), []);
    }

    #[test]
    fn every_problem_is_reported_with_its_path() {
        let mut config = Config { listen: "0.0.0.0:80".parse().unwrap(), ..Config::default() };
        config.max_body_bytes = 1;
        config.poll = Duration::ZERO;
        config.readout.alpha = 2.0;
        config.delivery.rules[0].metric = "applause".to_owned();
        config.notices.webhooks = vec!["ftp://x".to_owned()];
        config.engine.slots = 0;
        config.engine.max_new_tokens = 8_193;
        config.assignment.experiments[0].range = (0.5, 0.2);
        let paths: Vec<String> = config.validate().into_iter().map(|problem| problem.path).collect();
        let expected = [
            "api_keys",
            "max_body_bytes",
            "poll",
            "assignment.experiments[0].range",
            "readout.alpha",
            "delivery.rules[0].metric",
            "notices.webhooks[0]",
            "engine.slots",
            "engine.max_new_tokens",
        ];
        assert_eq!(paths, expected);
    }

    #[test]
    fn a_key_never_shows_in_debug_output() {
        let key = ApiKey { key: "0123456789abcdef".to_owned(), role: ApiRole::Write, name: String::new() };
        assert!(!format!("{key:?}").contains("0123"));
    }

    #[test]
    fn durations_are_written_as_people_do() {
        let json = serde_json::to_value(Config::default()).unwrap();
        assert_eq!(json["deadline"], "30s");
        let read: Config = serde_json::from_value(json).unwrap();
        assert_eq!(read, Config::default());
        let wrong = serde_json::from_str::<Config>(r#"{"deadline": "soon"}"#).unwrap_err();
        assert!(wrong.to_string().contains("such as `30s`"), "{wrong}");
    }
}
