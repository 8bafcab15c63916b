//! Reading a partition from any offset, as a stateless call.
//!
//! A reader keeps its place in a partition, so that whoever goes on where it was goes on at once. Each
//! reader is the queue of one partition in a client (a *lane*); several readers of one partition are in
//! several lanes.

mod place;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use plaudit_event::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::super::{READ_BYTES, Stored};
use super::client::{ANSWER, Context, kafka_error};
use crate::Error;
use place::Reader;

/// Clients that are made before readers are moved from one place to another.
const LANES: usize = 4;
/// Pause and number of tries while a partition has no leader.
const LEADER_PAUSE: Duration = Duration::from_millis(50);
const LEADER_TRIES: u32 = 100;

type Client = BaseConsumer<Context>;

/// A partition: the name of its topic and its number.
pub(super) type Partition = (Arc<str>, i32);

/// All readers of a log.
pub(super) struct Readers {
    config: ClientConfig,
    pool: Mutex<Pool>,
}

#[derive(Default)]
struct Pool {
    /// Asks about partitions and reads none: an answer would wait behind that to a fetch, which comes when there is
    /// something to fetch.
    asking: Option<Arc<Client>>,
    lanes: Vec<Lane>,
    /// The readers that nobody uses, oldest use first.
    idle: Vec<Reader>,
}

struct Lane {
    client: Arc<Client>,
    assigned: BTreeSet<Partition>,
}

impl Readers {
    pub(super) fn new(brokers: &ClientConfig, prefix: &str) -> Self {
        let mut config = brokers.clone();
        config
            .set("group.id", format!("{prefix}reader"))
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            // Whoever goes elsewhere in a partition waits for the answer to the fetch under way.
            .set("fetch.wait.max.ms", "25")
            .set("fetch.queue.backoff.ms", "25")
            .set("fetch.error.backoff.ms", "50")
            .set("queued.max.messages.kbytes", ((2 * READ_BYTES) >> 10).to_string())
            .set("fetch.message.max.bytes", READ_BYTES.to_string());
        Self { config, pool: Mutex::new(Pool::default()) }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// All clients and readers, to be dropped.
    pub(super) fn take_all(&self) -> impl Send + 'static {
        std::mem::take(&mut *self.pool())
    }

    /// A client to ask about partitions.
    fn asking(&self) -> Result<Arc<Client>, Error> {
        let mut pool = self.pool();
        if let Some(client) = &pool.asking {
            return Ok(Arc::clone(client));
        }
        let client = self.client()?;
        pool.asking = Some(Arc::clone(&client));
        Ok(client)
    }

    fn client(&self) -> Result<Arc<Client>, Error> {
        let client = self.config.create_with_context(Context::new("reader"));
        client.map(Arc::new).map_err(kafka_error("open"))
    }

    /// The offset after everything that can be read now. Blocks.
    pub(super) fn tail(&self, partition: &Partition) -> Result<u64, Error> {
        tail(&*self.asking()?, partition)
    }

    /// The first offset whose record was appended at or after `from`; the tail when there is none. Blocks.
    pub(super) fn seek(&self, partition: &Partition, from: Timestamp) -> Result<u64, Error> {
        let client = self.asking()?;
        let mut asked = TopicPartitionList::new();
        let time = Offset::Offset(from.as_millis().max(0));
        asked.add_partition_offset(&partition.0, partition.1, time).map_err(kafka_error("seek in"))?;
        let found = client.offsets_for_times(asked, ANSWER).map_err(kafka_error("seek in"))?;
        match found.elements().first().map(|element| element.offset()) {
            Some(Offset::Offset(offset)) => Ok(u64::try_from(offset).unwrap_or(0)),
            _ => tail(&client, partition),
        }
    }

    /// At most `max` records from `from` on. Blocks.
    pub(super) fn read(&self, partition: &Partition, from: u64, max: usize) -> Result<Vec<Stored>, Error> {
        let client = self.asking()?;
        let end = tail(&client, partition)?;
        if from >= end || max == 0 {
            return Ok(Vec::new());
        }
        let mut reader = self.take(partition, from)?;
        let read = reader.read(from, max, end);
        match &read {
            Ok(_) => self.pool().idle.push(reader),
            Err(_) => self.give_up(reader),
        }
        read
    }

    /// A reader of `partition`, if possible one that stands at `from`.
    fn take(&self, partition: &Partition, from: u64) -> Result<Reader, Error> {
        let mut pool = self.pool();
        let is_there = |reader: &Reader| reader.partition == *partition && reader.next == from;
        if let Some(index) = pool.idle.iter().position(is_there) {
            return Ok(pool.idle.remove(index));
        }
        let free = pool.lanes.iter().position(|lane| !lane.assigned.contains(partition));
        if free.is_none()
            && pool.lanes.len() >= LANES
            && let Some(index) = pool.idle.iter().position(|reader| reader.partition == *partition)
        {
            return Ok(pool.idle.remove(index));
        }
        let lane = match free {
            Some(lane) => lane,
            None => {
                pool.lanes.push(Lane { client: self.client()?, assigned: BTreeSet::new() });
                pool.lanes.len() - 1
            }
        };
        pool.lanes[lane].assigned.insert(partition.clone());
        let client = Arc::clone(&pool.lanes[lane].client);
        drop(pool);
        Reader::open(lane, client, partition, from).inspect_err(|_| {
            self.pool().lanes[lane].assigned.remove(partition);
        })
    }

    /// Drops a reader of which nobody knows where it stands.
    fn give_up(&self, reader: Reader) {
        let mut list = TopicPartitionList::new();
        list.add_partition(&reader.partition.0, reader.partition.1);
        if let Err(error) = reader.client.incremental_unassign(&list) {
            tracing::debug!(error = %error, "partition could not be given up");
        }
        let (lane, partition) = (reader.lane, reader.partition.clone());
        drop(reader);
        self.pool().lanes[lane].assigned.remove(&partition);
    }
}

fn tail(client: &Client, (topic, number): &Partition) -> Result<u64, Error> {
    let mut tries = 0;
    loop {
        match client.fetch_watermarks(topic, *number, ANSWER) {
            Ok((_, high)) => return Ok(u64::try_from(high).unwrap_or(0)),
            // A partition that was just made, or whose broker was just started.
            Err(error) if has_no_leader(&error) && tries < LEADER_TRIES => {
                tries += 1;
                std::thread::sleep(LEADER_PAUSE);
            }
            Err(error) => return Err(kafka_error("read the end of")(error)),
        }
    }
}

/// Whether the partition is there, and will be led by a broker in a moment. A client that lost its connection before it
/// heard of the partition takes it for unknown, too.
pub(super) fn has_no_leader(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::UnknownPartition
        )
    )
}
