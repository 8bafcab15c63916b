//! What is wrong with a configuration.

use std::time::Duration;

use super::LONGEST;

/// A key with a value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct Problem {
    /// The key, such as `signals.copy.trust`.
    pub path: String,
    /// The allowed range and the value found.
    pub message: String,
}

/// Collects problems.
#[derive(Default)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn into_list(self) -> Vec<Problem> {
        self.0
    }

    pub(crate) fn add(&mut self, path: impl Into<String>, message: String) {
        self.0.push(Problem { path: path.into(), message });
    }

    pub(crate) fn duration(&mut self, path: &str, value: Duration, least: Duration) {
        if value < least || value > LONGEST {
            let [least, most, got] = [least, LONGEST, value].map(humantime::format_duration);
            self.add(path, format!("must be {least} to {most}, got {got}"));
        }
    }

    pub(crate) fn count(&mut self, path: &str, value: usize, least: usize, most: usize) {
        if value < least || value > most {
            self.add(path, format!("must be {least} to {most}, got {value}"));
        }
    }

    /// A text of 1 to `most` bytes.
    pub(super) fn name(&mut self, path: String, value: &str, most: usize) {
        if value.is_empty() || value.len() > most {
            self.add(path, format!("must have 1 to {most} bytes, got {}", value.len()));
        }
    }

    /// A factor in (0, `most`].
    pub(super) fn factor(&mut self, path: String, value: f64, most: f64) {
        let allowed = value > 0.0 && value <= most;
        if !allowed {
            self.add(path, format!("must be above 0 and at most {most}, got {value}"));
        }
    }
}
