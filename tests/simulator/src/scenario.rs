//! Scenarios: every number of a simulation, as TOML.
//!
//! All tables and keys are optional; what is left out has the value of the default below.
//! Shares and probabilities are in \[0, 1\], weights are at least 0 and need no common sum, times
//! are milliseconds.

use std::path::Path;

use plaudit_event::Seed;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::language::PromptMix;
use crate::truth::Preferences;

mod check;

/// The scenarios that come with the crate.
const BUILT_IN: [(&str, &str); 2] =
    [("demo", include_str!("../scenarios/demo.toml")), ("sparse", include_str!("../scenarios/sparse.toml"))];

/// Everything that decides what the users do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// Name in reports.
    pub name: String,
    /// Root of all randomness.
    pub seed: u64,
    /// The love rate that an operator would expect from the past: traffic is planned with it, users ignore it.
    pub expected_love: f64,
    /// Who they are.
    pub population: Population,
    /// What they ask in the beginning.
    pub prompts: PromptMix,
    /// How that changes.
    pub drift: Drift,
    /// What they like.
    pub preferences: Preferences,
    /// How they show it.
    pub reactions: Reactions,
    /// When they show it.
    pub delays: Delays,
    /// What goes wrong.
    pub faults: Faults,
    /// The requests that ask for a choice instead of an answer.
    pub decide: Decide,
    /// How the requests are sent.
    pub client: Client,
}

/// Who the users are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Population {
    /// Number of users, a quarter of each persona; at least 4.
    pub units: u32,
    /// How unevenly active they are: 1 is even; with 2, half of the requests come from a quarter.
    pub activity_skew: f64,
}

/// How the requests change over time, linearly from `prompts` to the values here.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Drift {
    /// Number of requests until the values here are reached; 0 for no drift.
    pub horizon: u64,
    /// Weights of casual, formal, hurried and anxious users at the horizon.
    pub personas: [f64; 4],
    /// Weights of food, places and hobbies at the horizon.
    pub themes: [f64; 3],
}

/// How users show what they think.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reactions {
    /// Share of exposures after which the user says whether the response was helpful.
    pub feedback: f64,
    /// Share of thumbs up among positive feedback; the rest are copies.
    pub thumbs_up: f64,
    /// Share of thumbs down among negative feedback; the rest ask for another response.
    pub thumbs_down: f64,
    /// Share of exposures with a dwell time, which hardly depends on anything.
    pub dwell: f64,
    /// Share of exposures with a comment.
    pub comment: f64,
}

/// When reactions are sent, counted from the answer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delays {
    /// Median of the log-normal delay.
    pub median_ms: f64,
    /// Standard deviation of its logarithm.
    pub sigma: f64,
    /// Share of reactions that come late.
    pub late: f64,
    /// Mean of the exponential delay added to late ones.
    pub late_ms: f64,
}

/// What goes wrong between what users think and what is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Share of exposures loved by a slip of the finger, whatever the response.
    pub noise: f64,
    /// Share of exposures with an accidental love that is taken back.
    pub retractions: f64,
    /// Share of signals that are sent twice with the same id.
    pub duplicates: f64,
    /// Share of users who love everything.
    pub love_spammers: f64,
    /// Share of users who love every response with `spam_phrase` in it.
    pub phrase_spammers: f64,
    /// What those love.
    pub spam_phrase: String,
}

/// Requests that ask for a choice among `tips`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Decide {
    /// Share of requests that ask for a choice.
    pub share: f64,
    /// Name of the decision.
    pub decision: String,
    /// What can be chosen; at least one unless `share` is 0.
    pub tips: Vec<Tip>,
    /// How fast attention fades down the slate: at rank k (from 0) it is `(1 + k)^-position_bias`.
    pub position_bias: f64,
    /// Number of other tips shown below the chosen one, where clicks land as well.
    pub others_shown: u32,
}

/// Something that can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tip {
    /// Its name.
    pub item_id: String,
    /// What is shown.
    pub content: String,
    /// Probability of a click when seen, by casual, formal, hurried and anxious users.
    pub click: [f64; 4],
}

/// How requests are sent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Client {
    /// Sampling temperature to ask for; left to the server when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Longest response to ask for, in tokens; left to the server when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// A request without an answer after this long has failed.
    pub timeout_ms: u64,
    /// Attempts per request: 429, 503 and broken connections are tried again.
    pub attempts: u32,
    /// Wait before the second attempt; each further wait is twice as long.
    pub backoff_ms: u64,
    /// Longest wait, also when the server asks for a longer one.
    pub max_backoff_ms: u64,
    /// Signals per request at most.
    pub batch: usize,
    /// Shortest time between two batches of signals.
    pub flush_ms: u64,
    /// Signals waiting for their time at most; sessions wait when there are more.
    pub max_waiting: usize,
    /// Exposures remembered at most; the oldest are forgotten first.
    pub max_rows: usize,
}

impl Scenario {
    /// The scenario called `name` among those that come with the crate.
    ///
    /// # Errors
    /// Fails when there is none of that name.
    pub fn built_in(name: &str) -> Result<Self, Error> {
        let found = BUILT_IN.iter().find(|(known, _)| *known == name);
        let (_, text) = found.ok_or_else(|| Error::UnknownScenario(name.to_owned()))?;
        Self::parse(name, text)
    }

    /// Reads a scenario file.
    ///
    /// # Errors
    /// Fails when the file cannot be read, is not TOML of the right shape, or has values out of range.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::ScenarioFile { path: path.to_owned(), source })?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Reads a scenario from TOML; `name` is for messages.
    ///
    /// # Errors
    /// Fails when `text` is not TOML of the right shape, or has values out of range.
    pub fn parse(name: &str, text: &str) -> Result<Self, Error> {
        let scenario: Self = toml::from_str(text)
            .map_err(|source| Error::ScenarioSyntax { name: name.to_owned(), source: Box::new(source) })?;
        scenario.check_as(name)?;
        Ok(scenario)
    }

    /// The root of all randomness.
    #[must_use]
    pub const fn root(&self) -> Seed {
        Seed::new(self.seed)
    }

    /// The kinds of prompts at request `index`.
    #[must_use]
    pub fn mix_at(&self, index: u64) -> PromptMix {
        if self.drift.horizon == 0 {
            return self.prompts;
        }
        let done = index.min(self.drift.horizon) as f64 / self.drift.horizon as f64;
        PromptMix {
            personas: blend(self.prompts.personas, self.drift.personas, done),
            themes: blend(self.prompts.themes, self.drift.themes, done),
            ..self.prompts
        }
    }
}

/// Weights `done` of the way from `start` to `end`, both scaled to sum 1 first.
fn blend<const N: usize>(start: [f64; N], end: [f64; N], done: f64) -> [f64; N] {
    let (from, to): (f64, f64) = (start.iter().sum(), end.iter().sum());
    std::array::from_fn(|i| (1.0 - done) * start[i] / from + done * end[i] / to)
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            seed: 1,
            expected_love: 0.05,
            population: Population::default(),
            prompts: PromptMix::default(),
            drift: Drift::default(),
            preferences: Preferences::default(),
            reactions: Reactions::default(),
            delays: Delays::default(),
            faults: Faults::default(),
            decide: Decide::default(),
            client: Client::default(),
        }
    }
}

impl Default for Population {
    fn default() -> Self {
        Self { units: 5_000, activity_skew: 1.0 }
    }
}

impl Default for Drift {
    fn default() -> Self {
        Self { horizon: 0, personas: [1.0; 4], themes: [1.0; 3] }
    }
}

impl Default for Reactions {
    fn default() -> Self {
        Self { feedback: 0.5, thumbs_up: 0.6, thumbs_down: 0.5, dwell: 0.05, comment: 0.005 }
    }
}

impl Default for Delays {
    fn default() -> Self {
        Self { median_ms: 300.0, sigma: 0.6, late: 0.0, late_ms: 20_000.0 }
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            noise: 0.0,
            retractions: 0.0,
            duplicates: 0.0,
            love_spammers: 0.0,
            phrase_spammers: 0.0,
            spam_phrase: "sending love".to_owned(),
        }
    }
}

impl Default for Decide {
    fn default() -> Self {
        Self { share: 0.0, decision: "tip".to_owned(), tips: Vec::new(), position_bias: 1.0, others_shown: 0 }
    }
}

impl Default for Client {
    fn default() -> Self {
        Self {
            temperature: None,
            max_tokens: None,
            timeout_ms: 30_000,
            attempts: 8,
            backoff_ms: 50,
            max_backoff_ms: 2_000,
            batch: 256,
            flush_ms: 100,
            max_waiting: 100_000,
            max_rows: 1_000_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_scenarios_parse_and_survive_a_round_trip() {
        for (name, _) in BUILT_IN {
            let scenario = Scenario::built_in(name).expect("valid");
            assert_eq!(scenario.name, name);
            let text = toml::to_string(&scenario).expect("plain data");
            assert_eq!(Scenario::parse(name, &text).expect("valid"), scenario);
        }
        assert!(matches!(
            Scenario::built_in("nope"),
            Err(Error::UnknownScenario(name)) if name == "nope"
        ));
    }

    #[test]
    fn every_problem_is_reported_with_key_and_range() {
        let text = "[population]\nunits = 2\n[faults]\nnoise = 1.5\n[client]\nattempts = 0\n";
        let error = Scenario::parse("bad", text).unwrap_err().to_string();
        for part in [
            "`bad`",
            "population.units must be at least 4, got 2",
            "faults.noise must be in [0, 1], got 1.5",
            "client.attempts",
        ] {
            assert!(error.contains(part), "{part} is missing in: {error}");
        }
        let unknown = Scenario::parse("odd", "colour = 1").unwrap_err();
        assert!(matches!(unknown, Error::ScenarioSyntax { .. }));
        let absent = Scenario::load(Path::new("/no/such.toml")).unwrap_err();
        assert!(absent.to_string().contains("/no/such.toml"));
    }

    #[test]
    fn drift_moves_the_mix_and_stops_at_the_horizon() {
        let scenario =
            Scenario::parse("drift", "[drift]\nhorizon = 100\npersonas = [0, 0, 0, 1]\nthemes = [1, 1, 1]\n")
                .expect("valid");
        assert_eq!(scenario.mix_at(0).personas, [0.25; 4]);
        assert_eq!(scenario.mix_at(50).personas, [0.125, 0.125, 0.125, 0.625]);
        assert_eq!(scenario.mix_at(5_000).personas, [0.0, 0.0, 0.0, 1.0]);
    }
}
