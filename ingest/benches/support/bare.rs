//! The way from a broker into a table without anything around it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clickhouse::{Client, Row};
use plaudit_event::{Assignment, Envelope, Event, ManualClock};
use plaudit_ingest::log::{EventLog, KafkaConfig, KafkaLog};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};

/// A row of table `exposures`; that of the store is private, as the bench is a user of the crate.
#[derive(Row, Clone, Serialize, Deserialize)]
pub(crate) struct Stored {
    exposure_id: String,
    content: [u8; 16],
    place: u64,
    version: u64,
    unit_id: String,
    session_id: String,
    surface: String,
    policy_id: String,
    propensity: Option<f64>,
    layers: Vec<String>,
    experiments: Vec<String>,
    variants: Vec<String>,
    ts: i64,
    body: String,
    is_conflict: u8,
    assigned: String,
    attributes: String,
    words: u32,
}

pub(crate) async fn run(client: &Client, sql: &str) {
    client.query(sql).execute().await.expect(sql);
}

/// From the broker into a table like that of the store. `rows` are those of the topic, in its order.
pub(crate) async fn copy(client: &Client, broker: &Broker, rows: &[Stored], block: usize, is_made: bool) -> Duration {
    run(client, "DROP TABLE IF EXISTS bare SYNC").await;
    run(client, "CREATE TABLE bare AS exposures").await;
    let started = Instant::now();
    let consumer = broker.consumer();
    let mut rows = rows.iter().peekable();
    while rows.peek().is_some() {
        let mut insert = client.insert::<Stored>("bare").await.expect("the table is there");
        for row in rows.by_ref().take(block) {
            let content = tokio::task::block_in_place(|| content(&consumer));
            match is_made {
                true => insert.write(row).await,
                false => insert.write(&made(row, &content)).await,
            }
            .expect("the row fits");
        }
        insert.end().await.expect("the server takes it");
    }
    started.elapsed()
}

/// The next message with content.
fn content(consumer: &BaseConsumer) -> Vec<u8> {
    loop {
        let Some(message) = consumer.poll(Duration::from_secs(10)) else { panic!("the broker is silent") };
        if let Some(payload) = message.expect("the broker answers").payload() {
            return payload.to_vec();
        }
    }
}

/// The row of a message. What the store adds to it comes from `known`.
fn made(known: &Stored, message: &[u8]) -> Stored {
    let Event::Exposure(exposure) = Envelope::decode(message).expect("an envelope").event else {
        panic!("an exposure")
    };
    let of_assignments = |name: fn(&Assignment) -> String| exposure.assignments.iter().map(name).collect();
    Stored {
        exposure_id: exposure.exposure_id.to_string(),
        unit_id: exposure.unit_id.to_string(),
        session_id: exposure.session_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        surface: known.surface.clone(),
        policy_id: exposure.policy_id.to_string(),
        propensity: exposure.propensity.map(f64::from),
        layers: of_assignments(|assignment| assignment.layer.to_string()),
        experiments: of_assignments(|assignment| assignment.experiment.to_string()),
        variants: of_assignments(|assignment| assignment.variant.to_string()),
        ts: exposure.ts.as_millis(),
        body: serde_json::to_string(&exposure).expect("JSON"),
        // The exposures of the bench have no draws, whose text only the store knows to write.
        assigned: known.assigned.clone(),
        attributes: serde_json::to_string(&exposure.attributes).expect("JSON"),
        ..*known
    }
}

/// A broker with topics of our own.
pub(crate) struct Broker {
    servers: String,
    prefix: String,
}

impl Broker {
    pub(crate) fn of_environment() -> Option<Self> {
        let location = std::env::var_os("PLAUDIT_TEST_KAFKA")?.into_string().ok()?;
        let servers = location.strip_prefix("kafka://")?.to_owned();
        Some(Self { servers, prefix: format!("bench.store.{}.", std::process::id()) })
    }

    pub(crate) async fn log(&self, clock: Arc<ManualClock>) -> Arc<dyn EventLog> {
        let config = KafkaConfig { prefix: self.prefix.clone(), shards: 1, ..KafkaConfig::default() };
        Arc::new(KafkaLog::open(&self.servers, &config, clock).await.expect("a broker"))
    }

    fn consumer(&self) -> BaseConsumer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.servers).set("group.id", "bench").set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let mut topics = TopicPartitionList::new();
        let topic = format!("{}exposures", self.prefix);
        topics.add_partition_offset(&topic, 0, Offset::Beginning).expect("a topic");
        consumer.assign(&topics).expect("a partition");
        consumer
    }
}
