//! Who is told when a policy moves.

use std::time::Duration;

use plaudit_ingest::Problem;
use serde::{Deserialize, Serialize};

use super::duration;

/// Most webhooks.
const MAX_WEBHOOKS: usize = 16;
/// Most attempts.
const MAX_ATTEMPTS: u32 = 20;
/// Longest wait for an answer.
const LONGEST: Duration = Duration::from_secs(300);

/// Who is told when a policy moves, or waits for a person.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NoticesConfig {
    /// Addresses that get each notice as JSON in a POST; plain HTTP.
    pub webhooks: Vec<String>,
    /// How long an address may take to answer.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// How often a notice is sent to an address that does not take it, with growing pauses.
    pub attempts: u32,
}

impl std::fmt::Debug for NoticesConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // An address may carry a secret, and a secret must not reach a log.
        f.debug_struct("NoticesConfig").field("webhooks", &self.webhooks.len()).finish_non_exhaustive()
    }
}

impl Default for NoticesConfig {
    fn default() -> Self {
        Self { webhooks: Vec::new(), timeout: Duration::from_secs(10), attempts: 5 }
    }
}

impl NoticesConfig {
    /// The same, without what may be secret in an address: fit to be shown.
    #[must_use]
    pub fn redacted(&self) -> Self {
        let host = |address: &String| {
            let rest = address.strip_prefix("http://").unwrap_or_default();
            let authority = rest.split(['/', '?']).next().unwrap_or_default();
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("http://{host}/***")
        };
        Self { webhooks: self.webhooks.iter().map(host).collect(), ..self.clone() }
    }

    /// Every value that cannot be used, with key paths below `prefix`. Addresses are not repeated.
    #[must_use]
    pub fn validate(&self, prefix: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut add =
            |key: String, message: String| problems.push(Problem { path: format!("{prefix}.{key}"), message });
        if self.webhooks.len() > MAX_WEBHOOKS {
            add(
                "webhooks".to_owned(),
                format!("must have at most {MAX_WEBHOOKS} entries, got {}", self.webhooks.len()),
            );
        }
        for (index, address) in self.webhooks.iter().enumerate() {
            let host = address.strip_prefix("http://").unwrap_or_default();
            if host.is_empty() || host.starts_with('/') || !address.chars().all(|c| c.is_ascii_graphic()) {
                let message = "must be an address of the form `http://HOST/PATH`; for TLS name a proxy".to_owned();
                add(format!("webhooks[{index}]"), message);
            }
        }
        if self.timeout.is_zero() || self.timeout > LONGEST {
            let [most, got] = [LONGEST, self.timeout].map(humantime::format_duration);
            add("timeout".to_owned(), format!("must be above 0s and at most {most}, got {got}"));
        }
        if !(1..=MAX_ATTEMPTS).contains(&self.attempts) {
            add("attempts".to_owned(), format!("must be between 1 and {MAX_ATTEMPTS}, got {}", self.attempts));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_without_the_secrets_in_addresses() {
        let webhooks = vec!["https://h/secret".to_owned(), "http://h/secret".to_owned()];
        let config = NoticesConfig { webhooks, timeout: Duration::ZERO, attempts: 0 };
        let problems: Vec<String> = config.validate("notices").iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[0].starts_with("notices.webhooks[0]: must be an address of the form"));
        assert!(!format!("{problems:?} {config:?}").contains("secret"));
        let webhooks = vec!["http://u:secret@h:81/secret?k=secret".to_owned()];
        let shown = NoticesConfig { webhooks, ..NoticesConfig::default() }.redacted();
        assert_eq!(shown.webhooks, ["http://h:81/***"]);
    }
}
