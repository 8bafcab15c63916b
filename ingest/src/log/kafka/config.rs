//! What can be set about a log on Kafka.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize};

use super::super::RECORD_BYTES;
use crate::Error;
use crate::config::{Problems, duration};

/// Properties of librdkafka that are not for the configuration to set: guarantees rest on them.
const OWNED: [&str; 12] = [
    "acks",
    "auto.offset.reset",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "isolation.level",
    "partition.assignment.strategy",
    "partitioner",
    "request.required.acks",
    "transactional.id",
];

/// A log on Kafka; of no effect on another log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaConfig {
    /// What the names of topics, consumer groups and transactions begin with.
    pub prefix: String,
    /// Partitions of the topics `exposures`, `signals` and `dead_letters` when they are made. It cannot be
    /// changed afterwards, since it decides where the events of an exposure are.
    pub shards: u32,
    /// Copies of each record when topics are made; 0 for what the brokers are set to.
    pub replication: u16,
    /// How long exposures, signals and dead letters are kept. At least as long as attribution looks back.
    #[serde(with = "duration")]
    pub retention: Duration,
    /// How long a corrected or erased example may stay readable before the brokers drop it.
    #[serde(with = "duration")]
    pub example_lag: Duration,
    /// How often a shard says that time has passed: windows close this much later.
    #[serde(with = "duration")]
    pub tick: Duration,
    /// How long a record may be under way before its append fails.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// Most bytes of records that wait in this process.
    pub buffer_bytes: usize,
    /// Most bytes of events that a process which serves keeps in its data directory while the brokers cannot be
    /// reached; beyond, it answers 503. 0 keeps none.
    pub spool_bytes: u64,
    /// How to reach the brokers.
    pub security: Security,
    /// Further properties of librdkafka, each `name=value`.
    pub properties: Vec<String>,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            prefix: "plaudit.".to_owned(),
            shards: 4,
            replication: 0,
            retention: Duration::from_secs(30 * 24 * 3600),
            example_lag: Duration::from_secs(7 * 24 * 3600),
            tick: Duration::from_millis(500),
            timeout: Duration::from_secs(10),
            buffer_bytes: 64 << 20,
            spool_bytes: 256 << 20,
            security: Security::default(),
            properties: Vec::new(),
        }
    }
}

/// How a client proves who it is, and how the connection is protected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Security {
    /// The protocol.
    pub protocol: Protocol,
    /// Mechanism of SASL: `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mechanism: String,
    /// Name for SASL.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// File with the password for SASL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// File with the certificates of the authorities that are trusted (PEM).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// File with the certificate of the client (PEM).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<PathBuf>,
    /// File with the key of the client (PEM).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
}

/// The protocols of a Kafka listener.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Neither protected nor authenticated.
    #[default]
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL without protection.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

impl Protocol {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    const fn is_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

impl KafkaConfig {
    /// `lookback` is how far attribution reads back.
    pub(crate) fn validate(&self, lookback: Duration, problems: &mut Problems) {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if self.prefix.len() > 100 || !self.prefix.chars().all(is_name) {
            let allowed = "must have at most 100 of the characters A-Z, a-z, 0-9, `.`, `_` and `-`";
            problems.add("kafka.prefix", format!("{allowed}, got `{}`", self.prefix));
        }
        problems.count("kafka.shards", self.shards as usize, 1, 1_000);
        problems.count("kafka.replication", usize::from(self.replication), 0, 100);
        problems.duration("kafka.retention", self.retention, lookback);
        problems.duration("kafka.example_lag", self.example_lag, Duration::from_millis(1));
        problems.duration("kafka.tick", self.tick, Duration::from_millis(10));
        problems.duration("kafka.timeout", self.timeout, Duration::from_millis(100));
        problems.count("kafka.buffer_bytes", self.buffer_bytes, 2 * RECORD_BYTES, 2 << 30);
        let spool = usize::try_from(self.spool_bytes).unwrap_or(usize::MAX);
        problems.count("kafka.spool_bytes", spool, 0, 1 << 40);
        for (index, property) in self.properties.iter().enumerate() {
            let path = format!("kafka.properties[{index}]");
            match property.split_once('=') {
                Some((name, _)) if OWNED.contains(&name.trim()) => {
                    problems.add(path, format!("must not set `{}`, which the guarantees rest on", name.trim()));
                }
                Some(_) => {}
                None => problems.add(path, format!("must be `name=value`, got `{property}`")),
            }
        }
        let security = &self.security;
        if security.protocol.is_sasl() && (security.mechanism.is_empty() || security.username.is_empty()) {
            let message = "must be given with `username` and `password_file` where the protocol is SASL".to_owned();
            problems.add("kafka.security.mechanism", message);
        }
        if security.protocol != Protocol::Plaintext && !cfg!(feature = "kafka-tls") {
            let got = security.protocol.as_str();
            let message = format!("must be plaintext in a build without the feature `kafka-tls`, got {got}");
            problems.add("kafka.security.protocol", message);
        }
    }

    /// What every client of the brokers is made from.
    pub(super) fn client(&self, brokers: &str) -> Result<ClientConfig, Error> {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", brokers).set("client.id", "plaudit");
        client.set("statistics.interval.ms", "5000");
        client.set("message.max.bytes", (RECORD_BYTES + (1 << 20)).to_string());
        let security = &self.security;
        client.set("security.protocol", security.protocol.as_str());
        let mut set = |name: &str, value: &str| {
            if !value.is_empty() {
                client.set(name, value);
            }
        };
        set("sasl.mechanism", &security.mechanism);
        set("sasl.username", &security.username);
        if let Some(path) = &security.password_file {
            let password = std::fs::read_to_string(path).map_err(|error| Error::io("read", path, error))?;
            set("sasl.password", password.trim_end_matches(['\r', '\n']));
        }
        let files = [
            ("ssl.ca.location", &security.ca_file),
            ("ssl.certificate.location", &security.certificate_file),
            ("ssl.key.location", &security.key_file),
        ];
        for (name, path) in files {
            set(name, &path.as_ref().map(|path| path.display().to_string()).unwrap_or_default());
        }
        let further: BTreeMap<&str, &str> = self.properties.iter().filter_map(|p| p.split_once('=')).collect();
        for (name, value) in further {
            set(name.trim(), value.trim());
        }
        Ok(client)
    }
}
