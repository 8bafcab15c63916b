//! The section `[ingest.clickhouse]`: how a store on ClickHouse is used.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Problems, duration};

/// Longest time that rows are kept, 100 years.
const LONGEST_KEPT: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// Longest name of a cluster, in bytes.
const NAME_BYTES: usize = 64;

/// How a store on ClickHouse is used. The location says where it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClickHouseConfig {
    /// Who logs in when the location names nobody.
    pub user: String,
    /// The password, unless the location has one; never printed.
    #[serde(skip_serializing)]
    pub password: Secret,
    /// Whether the connection is encrypted; takes a build with the feature `clickhouse-tls`.
    pub tls: bool,
    /// Name of the cluster over which the tables are spread and replicated; empty for a single server.
    pub cluster: String,
    /// How long one request may take.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// Most records that the sink copies at once.
    pub batch_records: usize,
    /// Most bytes of one insert, unless a single row is larger.
    pub batch_bytes: usize,
    /// How long rows are kept, by table; one that is absent keeps them for ever.
    pub retention: Retention,
}

/// How long rows are kept, by the time of the event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Exposures.
    #[serde(with = "optional", skip_serializing_if = "Option::is_none")]
    pub exposures: Option<Duration>,
    /// Signals.
    #[serde(with = "optional", skip_serializing_if = "Option::is_none")]
    pub signals: Option<Duration>,
    /// Examples, by the time of their exposure.
    #[serde(with = "optional", skip_serializing_if = "Option::is_none")]
    pub examples: Option<Duration>,
    /// Dead letters.
    #[serde(with = "optional", skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<Duration>,
}

/// A text that is never printed.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct Secret(String);

impl Secret {
    /// The text.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "(none)" } else { "***" })
    }
}

impl Default for ClickHouseConfig {
    fn default() -> Self {
        Self {
            user: String::new(),
            password: Secret::default(),
            tls: false,
            cluster: String::new(),
            timeout: Duration::from_secs(30),
            batch_records: 10_000,
            batch_bytes: 32 << 20,
            retention: Retention::default(),
        }
    }
}

impl ClickHouseConfig {
    pub(super) fn validate(&self, problems: &mut Problems) {
        problems.duration("clickhouse.timeout", self.timeout, Duration::from_millis(1));
        problems.count("clickhouse.batch_records", self.batch_records, 1, 100_000);
        problems.count("clickhouse.batch_bytes", self.batch_bytes, 1 << 10, 1 << 28);
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if self.cluster.len() > NAME_BYTES || !self.cluster.chars().all(is_name) {
            let allowed = format!("at most {NAME_BYTES} letters, digits, `_`, `-` or `.`");
            problems.add("clickhouse.cluster", format!("must be {allowed}, got `{}`", self.cluster));
        }
        if self.tls && !cfg!(feature = "clickhouse-tls") {
            problems.add("clickhouse.tls", "must be false: this build has no feature `clickhouse-tls`".to_owned());
        }
        for (table, kept) in self.retention.tables() {
            let Some(kept) = kept else { continue };
            if kept < Duration::from_secs(1) || kept > LONGEST_KEPT {
                let [most, got] = [LONGEST_KEPT, kept].map(humantime::format_duration);
                problems.add(format!("clickhouse.retention.{table}"), format!("must be 1s to {most}, got {got}"));
            }
        }
    }
}

impl Retention {
    /// Name of each table, with how long its rows are kept.
    pub(crate) fn tables(&self) -> [(&'static str, Option<Duration>); 4] {
        [
            ("exposures", self.exposures),
            ("signals", self.signals),
            ("examples", self.examples),
            ("dead_letters", self.dead_letters),
        ]
    }
}

/// A duration that may be absent.
mod optional {
    use std::time::Duration;

    use serde::{Deserializer, Serializer};

    use super::duration;

    pub(super) fn serialize<S: Serializer>(kept: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match kept {
            Some(kept) => duration::serialize(kept, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        duration::deserialize(deserializer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use crate::Config;

    #[test]
    fn a_password_is_read_but_never_printed() {
        let config: Config = toml::from_str("[clickhouse]\nuser = 'u'\npassword = 'secret'\n").unwrap();
        assert_eq!(config.clickhouse.password.expose(), "secret");
        let printed = format!("{} {config:?}", toml::to_string(&config).unwrap());
        assert!(printed.contains("user = \"u\"") && !printed.contains("secret"), "{printed}");
    }

    #[test]
    fn what_cannot_be_used_is_named_with_its_key() {
        let text = "[clickhouse]\ncluster = \"a'b\"\ntimeout = '0s'\nbatch_records = 0\nbatch_bytes = 1\n\
                    [clickhouse.retention]\nsignals = '10ms'\nexamples = '90d'\n";
        let config: Config = toml::from_str(text).unwrap();
        let paths: Vec<String> = config.validate().into_iter().map(|problem| problem.path).collect();
        let expected = ["timeout", "batch_records", "batch_bytes", "cluster", "retention.signals"];
        assert_eq!(paths, expected.map(|key| format!("clickhouse.{key}")));
    }
}
