//! A log in which products have written all exposures and signals.

use plaudit_event::Timestamp;
use plaudit_ingest::Error;
use plaudit_ingest::log::{BoxFuture, EventLog, MemoryLog, Origin, Record, Stored, Topic};

pub(crate) struct DirectLog(pub(crate) MemoryLog);

impl EventLog for DirectLog {
    fn append(&self, topic: Topic, records: Vec<Record>) -> BoxFuture<'_, Result<Vec<u64>, Error>> {
        self.0.append(topic, records)
    }

    fn newest(&self, topic: Topic) -> BoxFuture<'_, Result<Option<Stored>, Error>> {
        self.0.newest(topic)
    }

    fn erase(&self, topic: Topic, offsets: Vec<u64>) -> BoxFuture<'_, Result<(), Error>> {
        self.0.erase(topic, offsets)
    }

    fn read(&self, topic: Topic, from: u64, max: usize) -> BoxFuture<'_, Result<Vec<Stored>, Error>> {
        Box::pin(async move {
            let mut stored = self.0.read(topic, from, max).await?;
            if matches!(topic, Topic::Exposures | Topic::Signals) {
                for record in &mut stored {
                    record.origin = Origin::Direct;
                }
            }
            Ok(stored)
        })
    }

    fn tail(&self, topic: Topic) -> BoxFuture<'_, Result<u64, Error>> {
        self.0.tail(topic)
    }

    fn seek(&self, topic: Topic, from: Timestamp) -> BoxFuture<'_, Result<u64, Error>> {
        self.0.seek(topic, from)
    }

    fn horizon(&self) -> BoxFuture<'_, Result<Timestamp, Error>> {
        self.0.horizon()
    }

    fn commit<'a>(&'a self, group: &'a str, topic: Topic, next: u64) -> BoxFuture<'a, Result<(), Error>> {
        self.0.commit(group, topic, next)
    }

    fn committed<'a>(&'a self, group: &'a str, topic: Topic) -> BoxFuture<'a, Result<u64, Error>> {
        self.0.committed(group, topic)
    }
}
