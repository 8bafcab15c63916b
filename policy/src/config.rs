//! Settings of this crate, and how all their problems are reported at once.

use plaudit_event::PolicyId;
use plaudit_ingest::Problem;
use plaudit_nn::checkpoint;
use serde::{Deserialize, Serialize};

use crate::{Error, crpg, gate, judge, select};

/// Settings of the policies, their learner and the gate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Selection among candidates.
    pub select: select::Config,
    /// Hard constraints on responses.
    pub judges: judge::Config,
    /// How a generated policy is improved.
    pub learner: crpg::Config,
    /// What a candidate must show.
    pub gate: gate::Config,
}

impl Config {
    /// Every value outside its range, with its key; empty when there is none.
    #[must_use]
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.select.validate("select", &mut problems);
        self.judges.validate("judges", &mut problems);
        self.learner.validate("learner", &mut problems);
        self.gate.validate("gate", &mut problems);
        problems
    }
}

/// Collects the problems of one section.
pub(crate) struct Check<'a> {
    path: &'a str,
    problems: &'a mut Vec<Problem>,
}

/// Starts collecting for the section `path`.
pub(crate) const fn check<'a>(path: &'a str, problems: &'a mut Vec<Problem>) -> Check<'a> {
    Check { path, problems }
}

impl Check<'_> {
    /// `value` must lie in \[`least`, `most`\].
    pub(crate) fn int(&mut self, key: &str, value: usize, least: usize, most: usize) {
        if !(least..=most).contains(&value) {
            self.add(key, format!("must be {least} to {most}, got {value}"));
        }
    }

    /// `value` must be a number in \[`least`, `most`\].
    pub(crate) fn float(&mut self, key: &str, value: f64, least: f64, most: f64) {
        if !(least..=most).contains(&value) {
            self.add(key, format!("must be {least} to {most}, got {value}"));
        }
    }

    /// `value` must not be empty.
    pub(crate) fn not_empty(&mut self, key: &str, value: &str) {
        if value.is_empty() {
            self.add(key, "must be a name, got nothing".to_owned());
        }
    }

    pub(crate) fn add(&mut self, key: &str, message: String) {
        self.problems.push(Problem { path: format!("{}.{key}", self.path), message });
    }
}

/// A policy id made of `prefix` and the hash of `settings`.
pub(crate) fn id_of(prefix: &'static str, settings: &impl Serialize) -> Result<PolicyId, Error> {
    let id = format!("{prefix}-{}", &checkpoint::config_hash(settings)[..16]);
    PolicyId::new(id).map_err(|error| Error::invalid(prefix, "a valid id", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        assert_eq!(Config::default().validate(), []);
    }

    #[test]
    fn every_problem_is_reported_with_its_key() {
        let mut config = Config::default();
        config.select.prior_negative = f64::NAN;
        config.judges.min_words = 100;
        let problems = config.validate();
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            ["select.prior_negative: must be 0.1 to 1000000, got NaN", "judges.min_words: must be 0 to 60, got 100",]
        );
    }
}
