//! Writing: an idempotent producer for what may be written twice, transactions for what must not.

use std::collections::VecDeque;
use std::sync::{Arc, RwLock};

use plaudit_event::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::{Delivery, DeliveryFuture};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde::Deserialize;

use super::super::{Record, Topic};
use super::KafkaConfig;
use super::client::{ANSWER, Context, is_fenced, kafka_error};
use super::reader::Partition;
use crate::Error;
use crate::outcome::Source;

/// The header that tells records of Plaudit from those that products write, and what it says.
pub(super) const MARK: &str = "plaudit";
pub(super) const CHECKED: &[u8] = b"checked";
pub(super) const TICK: &[u8] = b"tick";
const ERASED: &[u8] = b"erased";

type Client = FutureProducer<Context>;

/// What a message says.
pub(super) enum Content<'a> {
    /// A record of Plaudit.
    Record(Topic, &'a [u8]),
    /// That time has passed.
    Tick,
    /// That what has this key is erased.
    Erased,
}

impl<'a> Content<'a> {
    const fn payload(&self) -> Option<&'a [u8]> {
        match self {
            Self::Record(_, value) => Some(value),
            Self::Tick | Self::Erased => None,
        }
    }

    fn headers(&self) -> OwnedHeaders {
        let mark = |value: &'static [u8]| OwnedHeaders::new().insert(Header { key: MARK, value: Some(value) });
        match self {
            Self::Tick => mark(TICK),
            Self::Erased => mark(ERASED),
            Self::Record(Topic::DeadLetters, value) => reason(mark(CHECKED), value),
            Self::Record(..) => mark(CHECKED),
        }
    }
}

/// Says beside a dead letter why it is one and which record it was.
fn reason(headers: OwnedHeaders, letter: &[u8]) -> OwnedHeaders {
    #[derive(Deserialize)]
    struct Why {
        reason: String,
        source: Option<Source>,
    }
    let Ok(why) = serde_json::from_slice::<Why>(letter) else { return headers };
    let headers = headers.insert(Header { key: "reason", value: Some(&why.reason) });
    let Some(source) = why.source else { return headers };
    headers
        .insert(Header { key: "source-topic", value: Some(source.topic.as_str()) })
        .insert(Header { key: "source-partition", value: Some(&source.shard.to_string()) })
        .insert(Header { key: "source-offset", value: Some(&source.offset.to_string()) })
}

/// A message on its way to a partition.
pub(super) struct Sent<'a> {
    pub(super) partition: &'a Partition,
    pub(super) key: &'a str,
    pub(super) content: Content<'a>,
}

/// Where and when a message was taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    pub(super) offset: u64,
    pub(super) appended: Timestamp,
}

/// The producer of everything but examples.
pub(super) struct Writer {
    config: ClientConfig,
    client: RwLock<Client>,
}

impl Writer {
    pub(super) fn new(brokers: &ClientConfig, config: &KafkaConfig) -> Result<Self, Error> {
        let config = producer(brokers, config);
        let client = config.create_with_context(Context::new("writer")).map_err(kafka_error("open"))?;
        Ok(Self { config, client: RwLock::new(client) })
    }

    /// Sends all and waits until all are durable.
    pub(super) async fn send(&self, messages: &[Sent<'_>]) -> Result<Vec<Taken>, Error> {
        let client = self.client.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let sent = send(&client, messages).await;
        if sent.is_err() && client.client().fatal_error().is_some() {
            self.renew();
        }
        sent.map_err(kafka_error("append to"))
    }

    /// A producer that had a fatal error takes nothing any more.
    fn renew(&self) {
        let mut client = self.client.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if client.client().fatal_error().is_none() {
            return;
        }
        match self.config.create_with_context(Context::new("writer")) {
            Ok(renewed) => *client = renewed,
            Err(error) => tracing::warn!(error = %error, "kafka producer could not be made again"),
        }
    }
}

/// The one producer of a shard's examples, or of this process's checkpoints: each append is a
/// transaction.
pub(super) struct Transactions {
    client: Client,
    /// Names the group whose offset points behind the newest record that was written here.
    pointer: Arc<BaseConsumer<Context>>,
}

impl Transactions {
    /// Takes over from whoever used `id` before: what that has not finished is taken back. Blocks.
    pub(super) fn take_over(brokers: &ClientConfig, config: &KafkaConfig, id: &str) -> Result<Self, Error> {
        let mut settings = producer(brokers, config);
        settings.set("transactional.id", id).set("transaction.timeout.ms", "15000");
        let client: Client = settings.create_with_context(Context::new("transactions")).map_err(kafka_error("open"))?;
        client.init_transactions(ANSWER * 3).map_err(kafka_error("take over a shard of"))?;
        let pointer = group(brokers, id)?;
        Ok(Self { client, pointer: Arc::new(pointer) })
    }

    /// The offset behind the newest record that was written under this id. Blocks.
    pub(super) fn end(&self, partition: &Partition) -> Result<Option<u64>, Error> {
        committed(&self.pointer, partition)
    }

    /// Writes all or nothing. After an error this must not be used again.
    pub(super) async fn send(self: Arc<Self>, messages: &[Sent<'_>]) -> Result<Vec<Taken>, Error> {
        let fail = |error: KafkaError| match is_fenced(&error) {
            true => Error::Fenced { what: "log on kafka", shard: 0 },
            false => kafka_error("append to")(error),
        };
        self.client.begin_transaction().map_err(fail)?;
        let sent = send(&self.client, messages).await;
        let ended = tokio::task::spawn_blocking({
            let this = Arc::clone(&self);
            let partition = messages.first().map(|message| message.partition.clone());
            move || this.end_transaction(sent, partition)
        });
        let ended = ended.await.map_err(|error| Error::Task { what: "kafka", detail: error.to_string() })?;
        ended.map_err(fail)
    }

    fn end_transaction(
        &self,
        sent: Result<Vec<Taken>, KafkaError>,
        partition: Option<Partition>,
    ) -> Result<Vec<Taken>, KafkaError> {
        let ended = sent.and_then(|taken| {
            if let (Some((topic, number)), Some(last)) = (partition, taken.last()) {
                let mut offsets = TopicPartitionList::new();
                let next = i64::try_from(last.offset + 1).unwrap_or(i64::MAX);
                offsets.add_partition_offset(&topic, number, Offset::Offset(next))?;
                if let Some(group) = self.pointer.group_metadata() {
                    self.client.send_offsets_to_transaction(&offsets, &group, ANSWER)?;
                }
            }
            self.client.commit_transaction(ANSWER)?;
            Ok(taken)
        });
        if ended.is_err()
            && let Err(error) = self.client.abort_transaction(ANSWER)
        {
            tracing::debug!(error = %error, "transaction could not be taken back; the next owner does");
        }
        ended
    }
}

/// A client that names a consumer group, without being a member.
pub(super) fn group(brokers: &ClientConfig, id: &str) -> Result<BaseConsumer<Context>, Error> {
    let mut settings = brokers.clone();
    settings.set("group.id", id).set("enable.auto.commit", "false");
    settings.create_with_context(Context::new("group")).map_err(kafka_error("open"))
}

/// What the group of `client` has committed. Blocks.
pub(super) fn committed(client: &BaseConsumer<Context>, partition: &Partition) -> Result<Option<u64>, Error> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition(&partition.0, partition.1);
    let found = client.committed_offsets(asked, ANSWER).map_err(kafka_error("read the position of a group in"))?;
    match found.elements().first().map(|element| element.offset()) {
        Some(Offset::Offset(offset)) => Ok(u64::try_from(offset).ok()),
        _ => Ok(None),
    }
}

fn producer(brokers: &ClientConfig, config: &KafkaConfig) -> ClientConfig {
    let mut settings = brokers.clone();
    settings
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("linger.ms", "2")
        .set("delivery.timeout.ms", config.timeout.as_millis().to_string())
        .set("queue.buffering.max.kbytes", (config.buffer_bytes >> 10).max(1).to_string())
        .set("queue.buffering.max.messages", "1000000");
    settings
}

/// Sends all; waits for the oldest while the buffer is full. When one fails, what is under way is waited for.
async fn send(client: &Client, messages: &[Sent<'_>]) -> Result<Vec<Taken>, KafkaError> {
    let mut waiting: VecDeque<DeliveryFuture> = VecDeque::new();
    let mut taken = Vec::with_capacity(messages.len());
    let mut failed = None;
    for message in messages {
        let (topic, number) = message.partition;
        let mut record = FutureRecord::to(topic).partition(*number).key(message.key).headers(message.content.headers());
        if let Some(payload) = message.content.payload() {
            record = record.payload(payload);
        }
        loop {
            match client.send_result(record) {
                Ok(delivery) => {
                    waiting.push_back(delivery);
                    break;
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) if !waiting.is_empty() => {
                    record = refused;
                    note(waiting.pop_front(), &mut taken, &mut failed).await;
                }
                Err((error, _)) => {
                    failed.get_or_insert(error);
                    break;
                }
            }
        }
        if failed.is_some() {
            break;
        }
    }
    while !waiting.is_empty() {
        note(waiting.pop_front(), &mut taken, &mut failed).await;
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(taken),
    }
}

async fn note(delivery: Option<DeliveryFuture>, taken: &mut Vec<Taken>, failed: &mut Option<KafkaError>) {
    let Some(delivery) = delivery else { return };
    match delivery.await {
        Ok(Ok(Delivery { offset, timestamp, .. })) => taken.push(Taken {
            offset: u64::try_from(offset).unwrap_or(0),
            appended: Timestamp::from_millis(timestamp.to_millis().unwrap_or(0)),
        }),
        Ok(Err((error, _))) => drop(failed.get_or_insert(error)),
        Err(_) => drop(failed.get_or_insert(KafkaError::Canceled)),
    }
}

/// The messages of `records`, each to the partition that `of` names.
pub(super) fn messages<'a>(topic: Topic, records: &'a [Record], of: impl Fn(&str) -> &'a Partition) -> Vec<Sent<'a>> {
    let message = |record: &'a Record| Sent {
        partition: of(&record.key),
        key: &record.key,
        content: Content::Record(topic, &record.value),
    };
    records.iter().map(message).collect()
}
