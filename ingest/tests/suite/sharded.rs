//! A log in memory with several shards.

use std::sync::{Arc, Mutex};

use plaudit_event::{ManualClock, Timestamp};
use plaudit_ingest::Error;
use plaudit_ingest::log::{BoxFuture, EventLog, MemoryLog, Record, Stored, Topic};

/// Seen from one of its shards.
#[derive(Clone)]
pub(crate) struct ShardedLog {
    logs: Arc<Vec<MemoryLog>>,
    this: u32,
    /// Whether content stays, as on a log that cannot rewrite.
    is_keeping: bool,
    /// Through which shard each example was appended.
    writers: Arc<Mutex<Vec<u32>>>,
}

impl ShardedLog {
    pub(crate) fn new(shards: u32, clock: &Arc<ManualClock>) -> Self {
        let logs = (0..shards).map(|_| MemoryLog::new(clock.clone()));
        Self { logs: Arc::new(logs.collect()), this: 0, is_keeping: false, writers: Arc::default() }
    }

    /// One that other processes use and that cannot rewrite.
    pub(crate) fn keeping(shards: u32, clock: &Arc<ManualClock>) -> Self {
        Self { is_keeping: true, ..Self::new(shards, clock) }
    }

    fn of(&self, topic: Topic) -> &MemoryLog {
        let shard = if topic.is_sharded() { self.this } else { 0 };
        &self.logs[shard as usize]
    }

    fn shard_of(&self, key: &str) -> usize {
        key.bytes().map(usize::from).sum::<usize>() % self.logs.len()
    }
}

impl EventLog for ShardedLog {
    fn shards(&self) -> u32 {
        u32::try_from(self.logs.len()).unwrap()
    }

    fn is_shared(&self) -> bool {
        self.is_keeping
    }

    fn this_shard(&self) -> u32 {
        self.this
    }

    fn shard(&self, shard: u32) -> Option<Arc<dyn EventLog>> {
        (shard < self.shards()).then(|| Arc::new(Self { this: shard, ..self.clone() }) as Arc<dyn EventLog>)
    }

    fn append(&self, topic: Topic, records: Vec<Record>) -> BoxFuture<'_, Result<Vec<u64>, Error>> {
        Box::pin(async move {
            if !topic.is_sharded() {
                let count = records.len();
                let offsets = self.logs[0].append(topic, records).await?;
                if topic == Topic::Examples {
                    self.writers.lock().unwrap().extend(std::iter::repeat_n(self.this, count));
                }
                return Ok(offsets);
            }
            let mut offsets = Vec::new();
            for record in records {
                let shard = self.shard_of(&record.key);
                offsets.extend(self.logs[shard].append(topic, vec![record]).await?);
            }
            Ok(offsets)
        })
    }

    fn newest(&self, topic: Topic) -> BoxFuture<'_, Result<Option<Stored>, Error>> {
        Box::pin(async move {
            let all = self.of(topic).read(topic, 0, usize::MAX).await?;
            let writers = self.writers.lock().unwrap();
            let own = |stored: &Stored| {
                let writer = writers.get(usize::try_from(stored.offset).unwrap());
                stored.origin.has_content() && (topic != Topic::Examples || writer == Some(&self.this))
            };
            Ok(all.into_iter().rfind(own))
        })
    }

    fn erase(&self, topic: Topic, offsets: Vec<u64>) -> BoxFuture<'_, Result<(), Error>> {
        match self.is_keeping {
            true => Box::pin(async { Ok(()) }),
            false => self.of(topic).erase(topic, offsets),
        }
    }

    fn read(&self, topic: Topic, from: u64, max: usize) -> BoxFuture<'_, Result<Vec<Stored>, Error>> {
        self.of(topic).read(topic, from, max)
    }

    fn tail(&self, topic: Topic) -> BoxFuture<'_, Result<u64, Error>> {
        self.of(topic).tail(topic)
    }

    fn seek(&self, topic: Topic, from: Timestamp) -> BoxFuture<'_, Result<u64, Error>> {
        self.of(topic).seek(topic, from)
    }

    fn horizon(&self) -> BoxFuture<'_, Result<Timestamp, Error>> {
        self.logs[self.this as usize].horizon()
    }

    fn commit<'a>(&'a self, group: &'a str, topic: Topic, next: u64) -> BoxFuture<'a, Result<(), Error>> {
        self.of(topic).commit(group, topic, next)
    }

    fn committed<'a>(&'a self, group: &'a str, topic: Topic) -> BoxFuture<'a, Result<u64, Error>> {
        self.of(topic).committed(group, topic)
    }
}
