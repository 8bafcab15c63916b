//! What is done about events before anything is stored: privacy, bots, sampling, rates, suspects.

mod bots;
mod redaction;
mod sampling;
mod units;

use serde::{Deserialize, Serialize};

use super::{Config, Problems};
use crate::{Error, Salt};

pub use bots::{BotRule, Bots};
pub use redaction::{CustomPattern, Pattern, Redaction};
pub use sampling::Sampling;
pub use units::{RateCap, Suspicion};

/// Most entries of one list.
const MOST_ENTRIES: usize = 1_000;
/// Longest name of a field or a variable.
const MOST_NAME_BYTES: usize = 256;

/// The quality of input. All of it is off unless it is switched on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quality {
    /// Units, as products name them, that are never held back for their rate or on suspicion.
    pub allow: Vec<String>,
    /// Most exposures whose units are remembered for `rates` and `suspicion`, of which the newer half is
    /// certain; about 100 bytes each.
    pub max_exposures: usize,
    /// Names of units become hashes.
    pub hashing: Hashing,
    /// What is taken out of texts.
    pub redaction: Redaction,
    /// What is a program's.
    pub bots: Bots,
    /// How much is kept.
    pub sampling: Sampling,
    /// How much one unit may send.
    pub rates: RateCap,
    /// When a unit is suspect.
    pub suspicion: Suspicion,
}

impl Default for Quality {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            max_exposures: 200_000,
            hashing: Hashing::default(),
            redaction: Redaction::default(),
            bots: Bots::default(),
            sampling: Sampling::default(),
            rates: RateCap::default(),
            suspicion: Suspicion::default(),
        }
    }
}

/// Whether units are stored under a hash of their name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hashing {
    /// Whether they are. Then there must be a `salt`.
    pub enabled: bool,
    /// The secret under which they are hashed: in no file and in nothing that is printed. Who starts the
    /// process puts it here, since all that read or write events must have the same.
    #[serde(skip)]
    pub salt: Option<Salt>,
    /// The file with the salt; empty for none. This crate reads no file.
    pub salt_file: String,
    /// The environment variable with the salt; empty for none.
    pub salt_env: String,
    /// Further fields that name a unit, such as `session_id` or the name of an attribute.
    pub fields: Vec<String>,
}

impl Quality {
    /// What decides which of the records count that products wrote into the log past intake.
    pub(super) const fn selection(&self) -> (&Sampling, &Bots) {
        (&self.sampling, &self.bots)
    }

    pub(super) fn validate(&self, config: &Config, problems: &mut Problems) {
        self.hashing.validate(problems);
        self.redaction.validate(problems);
        self.bots.validate(problems);
        self.sampling.validate(problems);
        self.rates.validate(problems);
        self.suspicion.validate(config, problems);
        units::validate_exposures(self.max_exposures, problems);
        problems.count("quality.allow", self.allow.len(), 0, MOST_ENTRIES);
        for (index, unit) in self.allow.iter().enumerate() {
            problems.name(format!("quality.allow[{index}]"), unit, MOST_NAME_BYTES);
        }
    }
}

impl Hashing {
    /// The salt, when names are hashed.
    pub(crate) fn salt(&self) -> Option<&Salt> {
        self.salt.as_ref().filter(|_| self.enabled)
    }

    /// # Errors
    /// Fails when names are to be hashed and there is no salt: nothing may be read or written then.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.enabled && self.salt.is_none() { Err(Error::NoSalt) } else { Ok(()) }
    }

    fn validate(&self, problems: &mut Problems) {
        let path = "quality.hashing";
        let sources = [("salt_file", &self.salt_file), ("salt_env", &self.salt_env)];
        let named: Vec<&str> = sources.iter().filter(|source| !source.1.is_empty()).map(|source| source.0).collect();
        if named.len() > 1 {
            problems.add(format!("{path}.salt_env"), "must be empty when `salt_file` is not, got both".to_owned());
        }
        if self.enabled && named.is_empty() {
            problems.add(
                format!("{path}.salt_file"),
                "must name a file, or `salt_env` a variable, when `enabled` is true; got neither".to_owned(),
            );
        }
        problems.count("quality.hashing.fields", self.fields.len(), 0, MOST_ENTRIES);
        for (index, field) in self.fields.iter().enumerate() {
            problems.name(format!("{path}.fields[{index}]"), field, MOST_NAME_BYTES);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Config, Problem};

    /// What is wrong with a configuration of `[ingest]`.
    pub(super) fn problems(text: &str) -> Vec<String> {
        let config: Config = toml::from_str(text).unwrap();
        config.validate().iter().map(Problem::to_string).collect()
    }

    #[test]
    fn hashing_needs_one_source_of_the_salt() {
        assert_eq!(problems("[quality.hashing]\nenabled = true\nsalt_env = 'SALT'"), [""; 0]);
        assert_eq!(problems("[quality.hashing]\nsalt_file = 'salt'"), [""; 0]);
        assert_eq!(
            problems("[quality.hashing]\nenabled = true\nfields = ['']"),
            [
                "quality.hashing.salt_file: must name a file, or `salt_env` a variable, when `enabled` is true; got neither",
                "quality.hashing.fields[0]: must have 1 to 256 bytes, got 0",
            ]
        );
        assert_eq!(
            problems("[quality.hashing]\nsalt_file = 'salt'\nsalt_env = 'SALT'"),
            ["quality.hashing.salt_env: must be empty when `salt_file` is not, got both"]
        );
    }
}
