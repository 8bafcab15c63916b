//! A place in one partition.

use std::sync::Arc;
use std::time::Duration;

use plaudit_event::Timestamp;
use rdkafka::consumer::Consumer as _;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use super::super::super::{Origin, READ_BYTES, Stored};
use super::super::client::{ANSWER, Context, kafka_error};
use super::super::writer::{CHECKED, MARK, TICK};
use super::{Client, Partition};
use crate::Error;

/// Longest wait for one message.
const POLL: Duration = Duration::from_millis(40);
/// Longest wait for a further message that is known to be there: who reads many at once has less to do for each.
const GATHER: Duration = Duration::from_millis(10);
/// Waits until a partition counts as unreachable.
const POLLS: u32 = 250;
/// Pause and number of tries while a partition is being assigned.
const ASSIGN_PAUSE: Duration = Duration::from_millis(10);
const ASSIGN_TRIES: u32 = 500;

/// One that reads a partition and keeps its place in it.
pub(super) struct Reader {
    pub(super) lane: usize,
    pub(super) client: Arc<Client>,
    queue: PartitionQueue<Context>,
    pub(super) partition: Partition,
    /// The offset of the next message.
    pub(super) next: u64,
    /// An end of the partition up to which there is nothing more to read from `next`.
    ended: Option<u64>,
}

impl Reader {
    pub(super) fn open(lane: usize, client: Arc<Client>, partition: &Partition, from: u64) -> Result<Self, Error> {
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
    pub(super) fn read(&mut self, from: u64, max: usize, end: u64) -> Result<Vec<Stored>, Error> {
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
