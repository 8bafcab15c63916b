//! What all clients of the brokers share: their log lines, their statistics, their errors.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use tokio::sync::watch;

use std::collections::BTreeSet;

use crate::{Error, metrics};

/// Longest wait for one answer of a broker.
pub(super) const ANSWER: Duration = Duration::from_secs(10);

/// Takes what a client has to tell.
pub(super) struct Context {
    /// What the client is for: `reader`, `writer`, …
    pub(super) role: &'static str,
    /// Where the partitions that the group gives to this client are told.
    pub(super) owned: Option<watch::Sender<BTreeSet<u32>>>,
}

impl Context {
    pub(super) const fn new(role: &'static str) -> Self {
        Self { role, owned: None }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        let role = self.role;
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(role, fac, message, "kafka client");
            }
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => tracing::warn!(role, fac, message, "kafka client"),
            _ => tracing::debug!(role, fac, message, "kafka client"),
        }
    }

    fn stats(&self, statistics: Statistics) {
        metrics::kafka_queue(self.role, statistics.msg_cnt, statistics.msg_size);
        for broker in statistics.brokers.values().filter(|broker| broker.nodeid >= 0) {
            if let Some(rtt) = &broker.rtt {
                metrics::kafka_rtt(self.role, broker.nodeid, rtt.avg);
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition is news to readers, not to operators.
        if matches!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::PartitionEOF)) {
            return;
        }
        tracing::warn!(role = self.role, error = %error, reason, "kafka client");
    }
}

impl ConsumerContext for Context {
    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Some(owned) = &self.owned else { return };
        if let Rebalance::Error(error) = rebalance {
            tracing::warn!(error = %error, "shards could not be distributed");
        }
        let Ok(assigned) = consumer.assignment() else { return };
        // The group only tells who works on what; the records are read elsewhere.
        if let Err(error) = consumer.pause(&assigned) {
            tracing::warn!(error = %error, "membership could not be paused");
        }
        let shards = assigned.elements().iter().filter_map(|part| u32::try_from(part.partition()).ok()).collect();
        tracing::info!(?shards, "this process works on these shards");
        owned.send_replace(shards);
    }
}

/// Wraps an error of the client library.
pub(super) fn kafka_error(action: &'static str) -> impl Fn(KafkaError) -> Error {
    move |source| Error::Kafka { action, source: Arc::new(source) }
}

/// Whether waiting may help.
pub(crate) fn is_unavailable(error: &KafkaError) -> bool {
    !matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::MessageSizeTooLarge
                | RDKafkaErrorCode::InvalidMessageSize
                | RDKafkaErrorCode::InvalidTopic
                | RDKafkaErrorCode::InvalidConfig
                | RDKafkaErrorCode::InvalidReplicationFactor
                | RDKafkaErrorCode::InvalidPartitions
                | RDKafkaErrorCode::InvalidArgument
        )
    ) && !matches!(error, KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_))
}

/// Whether another writer has taken over.
pub(super) fn is_fenced(error: &KafkaError) -> bool {
    let code = match error {
        KafkaError::Transaction(error) => Some(error.code()),
        other => other.rdkafka_error_code(),
    };
    matches!(
        code,
        Some(
            RDKafkaErrorCode::Fenced
                | RDKafkaErrorCode::ProducerFenced
                | RDKafkaErrorCode::InvalidProducerEpoch
                | RDKafkaErrorCode::Fatal
                | RDKafkaErrorCode::PurgeQueue
        )
    )
}
