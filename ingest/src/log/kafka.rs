//! The log on Kafka: one topic per topic, one partition per shard.
//!
//! - **Durable**: an append is answered when all in-sync copies have it (`acks=all`, idempotent).
//! - **Order and time**: the brokers stamp what they take. A shard's *horizon* is told by *ticks*, records
//!   without content in its exposures and signals: whatever is stamped below both ticks is before them. So
//!   which signal was before which close is a function of the log alone, whatever the clocks of brokers
//!   and processes say.
//! - **Exactly once**: the examples of a shard are written in transactions, under an id that fences whoever
//!   wrote before, together with a pointer behind the last of them.
//! - **Shards**: a consumer group gives them to the processes; see `members`.

mod client;
mod config;
mod members;
mod reader;
#[cfg(test)]
mod tests;
mod topics;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::time::Duration;

use plaudit_event::{Clock, Timestamp};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::sync::watch;

use super::{BoxFuture, EventLog, Record, Stored, Topic, check_append, shard_of_key};
use crate::Error;
use client::{Context, kafka_error};
use members::Member;
use reader::{Partition, Readers};
use writer::{Content, Sent, Transactions, Writer, messages};

pub(crate) use client::is_unavailable;
pub use config::{KafkaConfig, Protocol, Security};

/// How long, and how often, to look whether a transaction can be read: after that its readers see it later.
const READABLE_PAUSE: Duration = Duration::from_millis(2);
const READABLE_TRIES: u32 = 1_000;
/// Longest wait for clients to say goodbye; what is left of them ends with the process.
const GOODBYE: Duration = Duration::from_secs(3);

/// The log on Kafka, seen from one of its shards.
pub struct KafkaLog {
    cluster: Arc<Cluster>,
    shard: u32,
}

/// What the shards share.
struct Cluster {
    brokers: ClientConfig,
    config: KafkaConfig,
    clock: Arc<dyn Clock>,
    /// Partitions by topic and shard.
    partitions: Vec<Vec<Partition>>,
    shards: Vec<Shard>,
    readers: Readers,
    writer: Writer,
    /// The transactions of topic `checkpoints`.
    checkpoints: tokio::sync::Mutex<Option<Arc<Transactions>>>,
    groups: Mutex<BTreeMap<String, Arc<BaseConsumer<Context>>>>,
    member: Mutex<Option<Member>>,
}

/// What one shard has of its own.
#[derive(Default)]
struct Shard {
    /// The transactions of its examples; nothing when another process may have taken over.
    examples: tokio::sync::Mutex<Option<Arc<Transactions>>>,
    /// When it last said that time has passed, and the horizon that followed.
    horizon: tokio::sync::Mutex<Option<(Timestamp, Timestamp)>>,
}

impl KafkaLog {
    /// Opens the log on `brokers` (`host:port`, separated by commas); makes the topics that are absent.
    ///
    /// # Errors
    /// Fails when no broker answers, and when a topic is not as `config` says.
    pub async fn open(brokers: &str, config: &KafkaConfig, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let client = config.client(brokers)?;
        let num_shards = topics::ensure(&client, config).await?;
        let partitions = Topic::ALL.map(|topic| {
            let name: Arc<str> = topics::name(config, topic).into();
            let count = if topic.is_sharded() { num_shards } else { 1 };
            (0..count).map(|shard| (Arc::clone(&name), shard.cast_signed())).collect()
        });
        let cluster = Cluster {
            readers: Readers::new(&client, &config.prefix),
            writer: Writer::new(&client, config)?,
            partitions: partitions.to_vec(),
            shards: (0..num_shards).map(|_| Shard::default()).collect(),
            checkpoints: tokio::sync::Mutex::new(None),
            groups: Mutex::new(BTreeMap::new()),
            member: Mutex::new(None),
            brokers: client,
            config: config.clone(),
            clock,
        };
        Ok(Self { cluster: Arc::new(cluster), shard: 0 })
    }

    fn partition(&self, topic: Topic) -> &Partition {
        self.cluster.partition(topic, self.shard)
    }

    /// Runs `work` where blocking is allowed.
    fn blocking<T: Send + 'static>(
        &self,
        topic: Topic,
        work: impl FnOnce(&Cluster, &Partition) -> Result<T, Error> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, Error>> {
        let (cluster, partition) = (Arc::clone(&self.cluster), self.partition(topic).clone());
        Box::pin(async move {
            let task = tokio::task::spawn_blocking(move || work(&cluster, &partition));
            task.await.map_err(|error| Error::Task { what: "kafka", detail: error.to_string() })?
        })
    }

    async fn append_now(&self, topic: Topic, records: &[Record]) -> Result<Vec<u64>, Error> {
        check_append(records)?;
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let cluster = &self.cluster;
        let num_shards = cluster.shards.len() as u32;
        let taken = match topic {
            Topic::Examples | Topic::Checkpoints => {
                let sent = messages(topic, records, |_| self.partition(topic));
                self.transact(topic, &sent).await?
            }
            _ => {
                let of_key = |key: &str| cluster.partition(topic, shard_of_key(key, num_shards));
                cluster.writer.send(&messages(topic, records, of_key)).await?
            }
        };
        crate::metrics::log_transaction(1, records.len());
        Ok(taken.into_iter().map(|taken| taken.offset).collect())
    }

    /// One transaction; after an error of it the writer is given up.
    async fn transact(&self, topic: Topic, sent: &[Sent<'_>]) -> Result<Vec<writer::Taken>, Error> {
        let slot = self.slot(topic);
        let mut slot = slot.lock().await;
        if slot.is_none() && topic == Topic::Checkpoints {
            *slot = Some(self.take_over(topic).await?);
        }
        let Some(transactions) = slot.clone() else {
            return Err(Error::Fenced { what: "log on kafka", shard: self.shard });
        };
        let taken = transactions.send(sent).await;
        if taken.is_err() {
            *slot = None;
        }
        let taken = taken.map_err(|error| match error {
            Error::Fenced { what, .. } => Error::Fenced { what, shard: self.shard },
            other => other,
        })?;
        if let Some(last) = taken.last().map(|last| last.offset) {
            self.until_readable(topic, last).await?;
        }
        Ok(taken)
    }

    /// Waits for readers to be told of a transaction, which is a moment after its writer is, and later while an earlier
    /// one of another shard is open. Whether they were.
    async fn until_readable(&self, topic: Topic, last: u64) -> Result<bool, Error> {
        for _ in 0..READABLE_TRIES {
            if self.tail(topic).await? > last {
                return Ok(true);
            }
            tokio::time::sleep(READABLE_PAUSE).await;
        }
        Ok(false)
    }

    fn slot(&self, topic: Topic) -> &tokio::sync::Mutex<Option<Arc<Transactions>>> {
        match topic {
            Topic::Examples => &self.cluster.shards[self.shard as usize].examples,
            _ => &self.cluster.checkpoints,
        }
    }

    async fn take_over(&self, topic: Topic) -> Result<Arc<Transactions>, Error> {
        let prefix = &self.cluster.config.prefix;
        let id = match topic {
            Topic::Examples => format!("{prefix}attribution-{}", self.shard),
            // Not fenced: any process may write the audit trail.
            _ => format!("{prefix}{topic}-{}-{}", self.cluster.clock.now().as_millis(), std::process::id()),
        };
        let taken = self.blocking(topic, move |cluster, _| {
            Transactions::take_over(&cluster.brokers, &cluster.config, &id).map(Arc::new)
        });
        taken.await
    }

    async fn newest_example(&self) -> Result<Option<Stored>, Error> {
        let topic = Topic::Examples;
        let mut slot = self.slot(topic).lock().await;
        let transactions = self.take_over(topic).await?;
        *slot = Some(Arc::clone(&transactions));
        drop(slot);
        let end = self.blocking(topic, move |_, partition| transactions.end(partition)).await?;
        let Some(last) = end.and_then(|end| end.checked_sub(1)) else { return Ok(None) };
        if !self.until_readable(topic, last).await? {
            // Whoever left a transaction open ends it, or the brokers do.
            let still_open = KafkaError::Global(RDKafkaErrorCode::OperationTimedOut);
            return Err(kafka_error("wait for the newest example of a shard in")(still_open));
        }
        let found = self.read(topic, last, 1).await?.pop();
        match found.filter(|stored| stored.offset == last && stored.origin.has_content()) {
            Some(stored) => Ok(Some(stored)),
            None => Err(Error::Record {
                topic,
                offset: last,
                detail: "the newest example of a shard is not there any more".to_owned(),
            }),
        }
    }

    async fn horizon_now(&self) -> Result<Timestamp, Error> {
        let cluster = &self.cluster;
        let mut told = cluster.shards[self.shard as usize].horizon.lock().await;
        let now = cluster.clock.now();
        let tick_ms = crate::config::millis(cluster.config.tick);
        if let Some((at, horizon)) = *told
            && (0..tick_ms).contains(&now.millis_since(at))
        {
            return Ok(horizon);
        }
        let tick = |topic| Sent { partition: self.partition(topic), key: "", content: Content::Tick };
        let taken = cluster.writer.send(&[tick(Topic::Exposures), tick(Topic::Signals)]).await?;
        let told_now = taken.iter().map(|taken| taken.appended).min().unwrap_or(now);
        let horizon = told.map_or(told_now, |(_, before)| before.max(told_now));
        *told = Some((now, horizon));
        Ok(horizon)
    }

    async fn erase_now(&self, topic: Topic, offsets: Vec<u64>) -> Result<(), Error> {
        let mut keys = BTreeSet::new();
        for offset in offsets {
            let found = self.read(topic, offset, 1).await?.pop();
            if let Some(stored) = found.filter(|stored| stored.offset == offset && stored.origin.has_content()) {
                keys.insert(stored.key);
            }
        }
        let sent: Vec<Sent<'_>> =
            keys.iter().map(|key| Sent { partition: self.partition(topic), key, content: Content::Erased }).collect();
        self.cluster.writer.send(&sent).await.map(drop)
    }
}

impl Cluster {
    fn partition(&self, topic: Topic, shard: u32) -> &Partition {
        let partitions = &self.partitions[topic as usize];
        &partitions[if topic.is_sharded() { shard as usize } else { 0 }]
    }

    fn group(&self, name: &str) -> Result<Arc<BaseConsumer<Context>>, Error> {
        let mut groups = lock(&self.groups);
        if let Some(group) = groups.get(name) {
            return Ok(Arc::clone(group));
        }
        let group = Arc::new(writer::group(&self.brokers, &format!("{}{name}", self.config.prefix))?);
        groups.insert(name.to_owned(), Arc::clone(&group));
        Ok(group)
    }

    fn commit(&self, group: &str, (topic, number): &Partition, next: u64) -> Result<(), Error> {
        let client = self.group(group)?;
        let partition = (Arc::clone(topic), *number);
        if writer::committed(&client, &partition)?.is_some_and(|before| before >= next) {
            return Ok(());
        }
        let mut offsets = TopicPartitionList::new();
        let offset = Offset::Offset(i64::try_from(next).unwrap_or(i64::MAX));
        let fail = kafka_error("commit a position in");
        offsets.add_partition_offset(topic, *number, offset).map_err(&fail)?;
        client.commit(&offsets, CommitMode::Sync).map_err(&fail)
    }

    fn owned(&self) -> Result<watch::Receiver<BTreeSet<u32>>, Error> {
        let mut member = lock(&self.member);
        if let Some(member) = &*member {
            return Ok(member.owned());
        }
        let (topic, _) = self.partition(Topic::Exposures, 0);
        let joined = Member::join(&self.brokers, &format!("{}ingest", self.config.prefix), topic)?;
        let owned = joined.owned();
        *member = Some(joined);
        Ok(owned)
    }
}

impl Drop for Cluster {
    /// Closing a consumer waits for brokers that may be away.
    fn drop(&mut self) {
        let member = lock(&self.member).take();
        let groups = std::mem::take(&mut *lock(&self.groups));
        let readers = self.readers.take_all();
        within_goodbye(move || drop((member, groups, readers)));
    }
}

/// Runs `work` on a thread of its own and waits for it, but not for long.
fn within_goodbye(work: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel::<()>();
    let started = std::thread::Builder::new().name("kafka-goodbye".into()).spawn(move || {
        work();
        drop(done);
    });
    if started.is_ok() && is_done.recv_timeout(GOODBYE) == Err(mpsc::RecvTimeoutError::Timeout) {
        tracing::warn!("kafka clients did not close in time; the group notices when the session ends");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl EventLog for KafkaLog {
    fn shards(&self) -> u32 {
        u32::try_from(self.cluster.shards.len()).expect("at most 1,000 shards")
    }

    fn this_shard(&self) -> u32 {
        self.shard
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn shard(&self, shard: u32) -> Option<Arc<dyn EventLog>> {
        let cluster = Arc::clone(&self.cluster);
        (shard < self.shards()).then(|| Arc::new(Self { cluster, shard }) as Arc<dyn EventLog>)
    }

    fn owned(&self) -> Result<watch::Receiver<BTreeSet<u32>>, Error> {
        self.cluster.owned()
    }

    fn append(&self, topic: Topic, records: Vec<Record>) -> BoxFuture<'_, Result<Vec<u64>, Error>> {
        Box::pin(async move { self.append_now(topic, &records).await })
    }

    fn newest(&self, topic: Topic) -> BoxFuture<'_, Result<Option<Stored>, Error>> {
        Box::pin(async move {
            match topic {
                Topic::Examples => self.newest_example().await,
                _ => super::newest(self, topic).await,
            }
        })
    }

    fn erase(&self, topic: Topic, offsets: Vec<u64>) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.erase_now(topic, offsets))
    }

    fn read(&self, topic: Topic, from: u64, max: usize) -> BoxFuture<'_, Result<Vec<Stored>, Error>> {
        self.blocking(topic, move |cluster, partition| cluster.readers.read(partition, from, max))
    }

    fn tail(&self, topic: Topic) -> BoxFuture<'_, Result<u64, Error>> {
        self.blocking(topic, |cluster, partition| cluster.readers.tail(partition))
    }

    fn seek(&self, topic: Topic, from: Timestamp) -> BoxFuture<'_, Result<u64, Error>> {
        self.blocking(topic, move |cluster, partition| cluster.readers.seek(partition, from))
    }

    fn horizon(&self) -> BoxFuture<'_, Result<Timestamp, Error>> {
        Box::pin(self.horizon_now())
    }

    fn commit<'a>(&'a self, group: &'a str, topic: Topic, next: u64) -> BoxFuture<'a, Result<(), Error>> {
        let group = group.to_owned();
        self.blocking(topic, move |cluster, partition| cluster.commit(&group, partition, next))
    }

    fn committed<'a>(&'a self, group: &'a str, topic: Topic) -> BoxFuture<'a, Result<u64, Error>> {
        let group = group.to_owned();
        self.blocking(topic, move |cluster, partition| {
            Ok(writer::committed(&*cluster.group(&group)?, partition)?.unwrap_or(0))
        })
    }
}
