//! The topics on the brokers: made when absent, verified when present.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;

use super::super::Topic;
use super::KafkaConfig;
use super::client::{ANSWER, kafka_error};
use crate::Error;

/// Largest record that a product may write past intake: refused with a reason rather than by the broker.
const DIRECT_BYTES: usize = 12 << 20;

/// Makes the topics that are absent and checks those that are there; returns the number of shards.
pub(super) async fn ensure(brokers: &ClientConfig, config: &KafkaConfig) -> Result<u32, Error> {
    let admin: AdminClient<DefaultClientContext> = brokers.create().map_err(kafka_error("reach the brokers for"))?;
    let names = Topic::ALL.map(|topic| name(config, topic));
    let partitions = |topic: Topic| if topic.is_sharded() { config.shards } else { 1 };
    let settings = Topic::ALL.map(|topic| settings(config, topic));
    let mut wanted = Vec::new();
    for ((topic, name), settings) in Topic::ALL.into_iter().zip(&names).zip(&settings) {
        let replication = match config.replication {
            0 => -1,
            number => i32::from(number),
        };
        let partitions = i32::try_from(partitions(topic)).expect("at most 1,000 shards");
        let mut new = NewTopic::new(name, partitions, TopicReplication::Fixed(replication));
        for (key, value) in settings {
            new = new.set(key, value);
        }
        wanted.push(new);
    }
    let options = AdminOptions::new().request_timeout(Some(ANSWER)).operation_timeout(Some(ANSWER));
    let made = admin.create_topics(&wanted, &options).await.map_err(kafka_error("make the topics of"))?;
    for result in made {
        match result {
            Ok(name) => tracing::info!(name, "topic made"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => {
                let source = rdkafka::error::KafkaError::AdminOp(code);
                tracing::warn!(name, error = %source, "topic could not be made");
                return Err(kafka_error("make a topic of")(source));
            }
        }
    }
    for (topic, name) in Topic::ALL.into_iter().zip(&names) {
        let found = count(&admin, name).await?;
        if found != partitions(topic) {
            return Err(Error::Topic {
                name: name.clone(),
                detail: format!(
                    "has {found} partitions, but the configuration says {}: set `ingest.kafka.shards` to what the topics \
                     have, or another `ingest.kafka.prefix`",
                    partitions(topic)
                ),
            });
        }
    }
    stamped_by_the_broker(&admin, &names, &options).await?;
    Ok(config.shards)
}

/// The name of `topic` on the brokers.
pub(super) fn name(config: &KafkaConfig, topic: Topic) -> String {
    format!("{}{topic}", config.prefix)
}

/// What a topic is made with.
fn settings(config: &KafkaConfig, topic: Topic) -> Vec<(&'static str, String)> {
    let millis = |duration: Duration| duration.as_millis().to_string();
    let mut settings =
        vec![("message.timestamp.type", "LogAppendTime".to_owned()), ("max.message.bytes", DIRECT_BYTES.to_string())];
    match topic {
        // Of each example the latest revision is kept for ever, and of an erased one nothing.
        Topic::Examples => settings.extend([
            ("cleanup.policy", "compact".to_owned()),
            ("min.compaction.lag.ms", millis(config.example_lag)),
            ("retention.ms", "-1".to_owned()),
        ]),
        Topic::Checkpoints => {
            settings.extend([("cleanup.policy", "delete".to_owned()), ("retention.ms", "-1".to_owned())]);
        }
        _ => settings.extend([("cleanup.policy", "delete".to_owned()), ("retention.ms", millis(config.retention))]),
    }
    settings
}

/// The partitions of a topic that may just have been made.
async fn count(admin: &AdminClient<DefaultClientContext>, name: &str) -> Result<u32, Error> {
    const TRIES: u32 = 100;
    const PAUSE: Duration = Duration::from_millis(100);
    for _ in 0..TRIES {
        let metadata = admin.inner().fetch_metadata(Some(name), ANSWER);
        let metadata = metadata.map_err(kafka_error("read the topics of"))?;
        let found = metadata.topics().iter().find(|topic| topic.name() == name && topic.error().is_none());
        if let Some(topic) = found.filter(|topic| !topic.partitions().is_empty()) {
            return Ok(u32::try_from(topic.partitions().len()).unwrap_or(u32::MAX));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(Error::Topic { name: name.to_owned(), detail: "is not there, although it was made".to_owned() })
}

/// Windows open and close by the clock of the brokers, never by that of whoever writes.
async fn stamped_by_the_broker(
    admin: &AdminClient<DefaultClientContext>,
    names: &[String],
    options: &AdminOptions,
) -> Result<(), Error> {
    let asked: Vec<ResourceSpecifier<'_>> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    let described = admin.describe_configs(&asked, options).await.map_err(kafka_error("read the topics of"))?;
    for (described, name) in described.into_iter().zip(names) {
        let described =
            described.map_err(|code| kafka_error("read a topic of")(rdkafka::error::KafkaError::AdminOp(code)))?;
        let stamped = described.get("message.timestamp.type").and_then(|entry| entry.value.as_deref());
        if stamped != Some("LogAppendTime") {
            return Err(Error::Topic {
                name: name.clone(),
                detail: format!(
                    "has `message.timestamp.type` = {}: set it to LogAppendTime, times of events must be those of the brokers",
                    stamped.unwrap_or("nothing")
                ),
            });
        }
    }
    Ok(())
}
