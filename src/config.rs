//! Configuration: defaults, then a TOML file, then `PLAUDIT_A__B` variables, then flags.
//!
//! Every problem is reported at once, each with its key path and the allowed range.

mod environment;
mod salt;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use plaudit_ingest::{Problem, log, store};

use crate::learner::LearnConfig;

/// The location of a backend that lives as long as the process.
const MEMORY: &str = "memory:";

/// What one process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// Answers requests and accepts events.
    Serve,
    /// Attributes signals to exposures and fills the store.
    Ingest,
    /// Trains the reward model and the policies.
    Learn,
}

/// Everything that can be set. Each crate owns its own part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Folder of the log, the store and the checkpoints.
    pub(crate) data_dir: PathBuf,
    /// `sqlite:PATH` or `memory:`; a path of `auto` is `plaudit.db` inside `data_dir`.
    pub(crate) event_log: String,
    /// `sqlite:PATH`, `memory:` or `clickhouse://HOST:PORT/DATABASE`; a path of `auto` is `store.db` inside
    /// `data_dir`.
    pub(crate) event_store: String,
    /// What this process does.
    pub(crate) roles: Vec<Role>,
    /// Root of all randomness.
    pub(crate) seed: u64,
    /// Directory of the policy that serves first; empty for the one that comes with the binary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) initial_policy: Option<PathBuf>,
    /// When candidates are made.
    pub(crate) learn: LearnConfig,
    /// Intake and attribution.
    pub(crate) ingest: plaudit_ingest::Config,
    /// `P[love]`.
    pub(crate) reward_model: plaudit_reward_model::Config,
    /// Learners, judges, gate.
    pub(crate) policy: plaudit_policy::Config,
    /// HTTP, assignment, experiments.
    pub(crate) serving: plaudit_serving::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./data"),
            event_log: "sqlite:auto".to_owned(),
            event_store: "sqlite:auto".to_owned(),
            roles: vec![Role::Serve, Role::Ingest, Role::Learn],
            seed: 1,
            initial_policy: None,
            learn: LearnConfig::default(),
            ingest: plaudit_ingest::Config::default(),
            reward_model: plaudit_reward_model::Config::default(),
            policy: plaudit_policy::Config::default(),
            serving: plaudit_serving::Config::default(),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("`{}` is not valid TOML: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser says, with line and column.
        message: String,
    },
    /// The environment variable with the salt is not set.
    #[error("no salt of unit hashes: the environment variable `{name}` is not set")]
    NoSalt {
        /// The variable.
        name: String,
    },
    /// The salt cannot be used.
    #[error("the salt from `{from}` cannot be used")]
    Salt {
        /// The file or variable.
        from: String,
        /// Why.
        #[source]
        source: plaudit_ingest::Error,
    },
    /// Keys that are unknown, of the wrong type or out of range.
    #[error("invalid configuration, {} problem(s):{}", .0.len(), list(.0))]
    Invalid(Vec<Problem>),
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {}: {}", problem.path, problem.message)).collect()
}

impl Config {
    /// Defaults overlaid by `file`, then by the `PLAUDIT_` variables among `environment`, then by `flags`
    /// (dotted key and value), and validated.
    ///
    /// # Errors
    /// Fails when the file cannot be read or parsed, and with the list of all problems of its content.
    pub(crate) fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (OsString, OsString)>,
        flags: &[(String, Value)],
    ) -> Result<Self, Error> {
        let mut overrides = match file {
            Some(path) => leaves(&read(path)?),
            None => Vec::new(),
        };
        overrides.extend(environment::overrides(environment));
        overrides.extend(flags.iter().map(|(path, value)| Override::new(path.clone(), value.clone())));
        Self::from_overrides(overrides)
    }

    fn from_overrides(overrides: Vec<Override>) -> Result<Self, Error> {
        let defaults = Table::try_from(Self::default()).expect("the default configuration is TOML");
        let mut merged = defaults.clone();
        let mut problems = Vec::new();
        // Each key is tried on its own against the defaults, so that one bad key hides no other.
        for Override { path, value, variable } in overrides {
            let mut alone = defaults.clone();
            let checked = put(&mut alone, &path, value.clone())
                .and_then(|()| Self::deserialize(Value::Table(alone)).map_err(|error| one_line(&error)));
            match checked {
                Ok(_) => put(&mut merged, &path, value).unwrap_or_default(),
                Err(mut message) => {
                    if let Some(variable) = variable {
                        message += &format!(" (from the environment variable {variable})");
                    }
                    problems.push(Problem { path, message });
                }
            }
        }
        let config = Self::deserialize(Value::Table(merged))
            .map_err(|error| Error::Invalid(vec![Problem { path: "(root)".to_owned(), message: one_line(&error) }]))?;
        problems.extend(config.problems());
        if problems.is_empty() { Ok(config) } else { Err(Error::Invalid(problems)) }
    }

    /// Every value out of range, with its key path.
    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut section = |prefix: &str, found: Vec<Problem>| {
            let with_prefix = |problem: Problem| Problem { path: format!("{prefix}.{}", problem.path), ..problem };
            problems.extend(found.into_iter().map(with_prefix));
        };
        section("learn", self.learn.validate());
        section("ingest", self.ingest.validate());
        section("reward_model", self.reward_model.validate());
        section("policy", self.policy.validate());
        section("serving", self.serving.validate());
        section("serving", self.serving.results.validate("results", &self.ingest));
        let mut add = |path: &str, message: String| problems.push(Problem { path: path.to_owned(), message });
        if self.roles.is_empty() {
            add("roles", "must name at least one of serve, ingest, learn".to_owned());
        }
        if let Err(error) = log::check_location(&self.event_log) {
            add("event_log", error.to_string());
        }
        if let Err(error) = store::check_location(&self.event_store) {
            add("event_store", error.to_string());
        }
        if self.event_log == MEMORY && self.event_store != MEMORY {
            // A store that outlives its log would wait for records that never come.
            add("event_store", format!("must be `{MEMORY}` like `event_log`, got `{}`", self.event_store));
        }
        problems
    }

    /// The URI of the log with `auto` resolved.
    pub(crate) fn event_log_uri(&self) -> String {
        self.resolve(&self.event_log, "plaudit.db")
    }

    /// The URI of the store with `auto` resolved.
    pub(crate) fn event_store_uri(&self) -> String {
        self.resolve(&self.event_store, "store.db")
    }

    /// The file of the log; nothing when it is in memory.
    pub(crate) fn event_log_file(&self) -> Option<PathBuf> {
        self.event_log_uri().strip_prefix("sqlite:").map(PathBuf::from)
    }

    fn resolve(&self, uri: &str, name: &str) -> String {
        match uri {
            "sqlite:auto" => format!("sqlite:{}", self.data_dir.join(name).display()),
            other => other.to_owned(),
        }
    }

    /// Whether this process has `role`.
    pub(crate) fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// The effective configuration as TOML, without passwords.
    pub(crate) fn to_toml(&self) -> String {
        let mut shown = Self { event_store: store::redacted(&self.event_store), ..self.clone() };
        shown.serving.notices = self.serving.notices.redacted();
        toml::to_string_pretty(&shown).expect("a configuration is TOML")
    }
}

/// One key that is set to another value than its default.
#[derive(Debug, Clone, PartialEq)]
struct Override {
    /// Dotted key.
    path: String,
    value: Value,
    /// The environment variable that sets it, if one does.
    variable: Option<String>,
}

impl Override {
    const fn new(path: String, value: Value) -> Self {
        Self { path, value, variable: None }
    }
}

fn one_line(error: &toml::de::Error) -> String {
    error.message().trim().replace('\n', " ")
}

fn read(path: &Path) -> Result<Table, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    text.parse::<Table>()
        .map_err(|error| Error::Syntax { path: path.to_owned(), message: error.to_string().trim_end().to_owned() })
}

/// Every value of `table` that is not itself a table, with its dotted path.
fn leaves(table: &Table) -> Vec<Override> {
    let mut found = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) if !inner.is_empty() => {
                let leaves = leaves(inner).into_iter();
                found.extend(leaves.map(|leaf| Override { path: format!("{key}.{}", leaf.path), ..leaf }));
            }
            other => found.push(Override::new(key.clone(), other.clone())),
        }
    }
    found
}

/// Sets the dotted `path` of `table`.
fn put(table: &mut Table, path: &str, value: Value) -> Result<(), String> {
    let Some((head, rest)) = path.split_once('.') else {
        table.insert(path.to_owned(), value);
        return Ok(());
    };
    let inner = table.entry(head).or_insert_with(|| Value::Table(Table::new()));
    match inner {
        Value::Table(inner) => put(inner, rest, value),
        _ => Err(format!("`{head}` is a value, not a section")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, Error> {
        Config::from_overrides(leaves(&text.parse::<Table>().unwrap()))
    }

    #[test]
    fn the_printed_configuration_loads_to_the_same() {
        let config = Config::default();
        let again = load(&config.to_toml()).unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn every_problem_is_reported_at_once_with_its_path() {
        let text = "seed = 'x'\nnonsense = 1\nroles = []\n[serving]\nlisten = 5\nnothing = 2\n";
        let Err(Error::Invalid(problems)) = load(text) else { panic!("invalid") };
        let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
        for expected in ["seed", "nonsense", "roles", "serving.listen", "serving.nothing"] {
            assert!(paths.contains(&expected), "{expected} in {paths:?}");
        }
    }

    #[test]
    fn the_backends_must_be_known() {
        let Err(Error::Invalid(problems)) = load("event_log = 'memory:'\n") else { panic!("invalid") };
        assert_eq!(problems[0].path, "event_store", "a store outlives no log: {problems:?}");
        let Err(Error::Invalid(problems)) = load("event_log = 'kafka:b1'\nevent_store = 'nonsense'\n") else {
            panic!("invalid")
        };
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("event_log: ") && lines[0].contains("`kafka://HOST:PORT`"), "{lines:?}");
        assert!(lines[1].starts_with("event_store: ") && lines[1].contains("must be `memory:`"), "{lines:?}");
    }

    #[test]
    fn the_password_of_a_store_is_not_printed() {
        let text = "event_store = 'clickhouse://u:secret@h/d'\n[ingest.clickhouse]\npassword = 'hidden'\n";
        let config = load(text).unwrap();
        assert_eq!(config.event_store_uri(), "clickhouse://u:secret@h/d");
        let printed = config.to_toml();
        assert!(printed.contains("clickhouse://u:***@h/d"), "{printed}");
        assert!(!printed.contains("secret") && !printed.contains("hidden"), "{printed}");
    }

    #[test]
    fn flags_win_over_variables_and_variables_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("plaudit.toml");
        std::fs::write(&file, "seed = 2\ndata_dir = 'file'\n[serving]\npoll = '2s'\n[learn]\nprompts = 7\n").unwrap();
        let variables = [("PLAUDIT_SEED", "3"), ("PLAUDIT_SERVING__POLL", "3s"), ("PLAUDIT_DATA_DIR", "variable")];
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        let flags = [("data_dir".to_owned(), Value::String("flag".to_owned()))];
        let config = Config::load(Some(&file), variables, &flags).unwrap();
        assert_eq!((config.learn.prompts, config.seed), (7, 3));
        assert_eq!(config.serving.poll, std::time::Duration::from_secs(3));
        assert_eq!(config.data_dir, Path::new("flag"));
    }
}
