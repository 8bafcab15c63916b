//! Reading a partition from any offset, as a stateless call.
//!
//! A reader keeps its place in a partition, so that whoever goes on where it was goes on at once. Each
//! reader is the queue of one partition in a client (a *lane*); several readers of one partition are in
//! several lanes.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use plaudit_event::Timestamp;

use super::super::{Origin, READ_BYTES, Stored};
use super::client::{ANSWER, Context, kafka_error};
use super::writer::{CHECKED, MARK, TICK};
use crate::Error;

/// Clients that are made before readers are moved from one place to another.
const LANES: usize = 4;
/// Longest wait for one message.
const POLL: Duration = Duration::from_millis(40);
/// Longest wait for a further message that is known to be there: who reads many at once has less to do for each.
const GATHER: Duration = Duration::from_millis(10);
/// Waits until a partition counts as unreachable.
const POLLS: u32 = 250;
/// Pause and number of tries while a partition is being assigned.
const ASSIGN_PAUSE: Duration = Duration::from_millis(10);
const ASSIGN_TRIES: u32 = 500;
/// The same while a partition has no leader.
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

struct Reader {
    lane: usize,
    client: Arc<Client>,
    queue: PartitionQueue<Context>,
    partition: Partition,
    /// The offset of the next message.
    next: u64,
    /// An end of the partition up to which there is nothing more to read from `next`.
    ended: Option<u64>,
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

/// Whether the partition is there, and will be led by a broker in a moment.
pub(super) fn has_no_leader(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::NotLeaderForPartition | RDKafkaErrorCode::LeaderNotAvailable)
    )
}

impl Reader {
    fn open(lane: usize, client: Arc<Client>, partition: &Partition, from: u64) -> Result<Self, Error> {
        let (topic, number) = partition;
        // Of a topic that it has not heard of, a client learns the leader a second later by itself.
        client.fetch_metadata(Some(topic), ANSWER).map_err(kafka_error("read"))?;
        let mut list = TopicPartitionList::new();
        let offset = Offset::Offset(i64::try_from(from).unwrap_or(i64::MAX));
        list.add_partition_offset(topic, *number, offset).map_err(kafka_error("read"))?;
        client.incremental_assign(&list).map_err(kafka_error("read"))?;
        let queue = client.split_partition_queue(topic, *number);
        let queue = queue.ok_or(Error::Closed { what: "queue of a kafka partition" })?;
        let reader = Self { lane, client, queue, partition: partition.clone(), next: from, ended: None };
        // What came between the two calls went into another queue: the seek makes it void.
        let mut tries = 0;
        while let Err(error) = reader.seek(from) {
            tries += 1;
            if tries >= ASSIGN_TRIES {
                return Err(error);
            }
            std::thread::sleep(ASSIGN_PAUSE);
        }
        Ok(reader)
    }

    fn seek(&self, from: u64) -> Result<(), Error> {
        let offset = Offset::Offset(i64::try_from(from).unwrap_or(i64::MAX));
        self.client.seek(&self.partition.0, self.partition.1, offset, ANSWER).map_err(kafka_error("seek in"))
    }

    /// Reads from `from`, which is below `end`.
    fn read(&mut self, from: u64, max: usize, end: u64) -> Result<Vec<Stored>, Error> {
        if self.next != from {
            self.seek(from)?;
            (self.next, self.ended) = (from, None);
        } else if self.ended == Some(end) {
            return Ok(Vec::new());
        }
        let mut read = Vec::new();
        let (mut bytes, mut polls) = (0, 0);
        // An end may have been told before `end` was known. One after a seek was not.
        let mut is_fresh = false;
        while read.len() < max && bytes < READ_BYTES {
            // Events of the client; messages come through the queue alone.
            drop(self.client.poll(Duration::ZERO));
            let wait = match read.is_empty() {
                true => POLL,
                false if self.next < end => GATHER,
                false => Duration::ZERO,
            };
            match self.queue.poll(wait) {
                Some(Ok(message)) => {
                    let stored = stored(&message);
                    if stored.offset >= from {
                        bytes += stored.value.len();
                        self.next = stored.offset + 1;
                        read.push(stored);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) if read.is_empty() && is_fresh => {
                    self.ended = Some(end);
                    break;
                }
                // What has come since is behind it.
                Some(Err(KafkaError::PartitionEOF(_))) => {}
                None if !read.is_empty() => break,
                None => {
                    if !is_fresh {
                        self.seek(from)?;
                        is_fresh = true;
                    }
                    polls += 1;
                    if polls > POLLS {
                        return Err(kafka_error("read")(KafkaError::Global(RDKafkaErrorCode::OperationTimedOut)));
                    }
                }
                Some(Err(error)) => return Err(kafka_error("read")(error)),
            }
        }
        Ok(read)
    }
}

fn stored(message: &BorrowedMessage<'_>) -> Stored {
    let mark = message.headers().and_then(|headers| headers.iter().find(|header| header.key == MARK));
    let origin = match (message.payload(), mark.and_then(|header| header.value)) {
        (None, Some(TICK)) => Origin::Tick,
        (None, _) => Origin::Erased,
        (Some(_), Some(CHECKED)) => Origin::Checked,
        (Some(_), _) => Origin::Direct,
    };
    Stored {
        offset: u64::try_from(message.offset()).unwrap_or(0),
        appended: Timestamp::from_millis(message.timestamp().to_millis().unwrap_or(0)),
        key: String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned(),
        value: message.payload().unwrap_or_default().to_vec(),
        origin,
    }
}
