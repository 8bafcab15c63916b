//! Attribution once more, from the beginning and in one go: what a run that nobody interrupted would have made.

use std::sync::Arc;

use plaudit_event::{Envelope, Event, Example, ManualClock, Timestamp};

use super::AttributionService;
use crate::log::{BoxFuture, EventLog, MemoryLog, Record, Stored, Topic};
use crate::{Config, Error};

/// The examples that an uninterrupted attribution makes of the shard that `log` is seen from, in order.
/// They are written nowhere.
///
/// # Errors
/// Fails when the log cannot be read.
pub async fn examples_again(log: Arc<dyn EventLog>, config: &Config) -> Result<Vec<Example>, Error> {
    let examples = MemoryLog::new(Arc::new(ManualClock::default()));
    let aside = Arc::new(Aside { source: log, examples });
    AttributionService::new(Arc::clone(&aside) as Arc<dyn EventLog>, config.clone()).catch_up().await?;
    let mut made = Vec::new();
    let mut next = 0;
    loop {
        let records = aside.examples.read(Topic::Examples, next, 1_000).await?;
        let Some(last) = records.last() else { return Ok(made) };
        next = last.offset + 1;
        for stored in &records {
            let envelope = Envelope::decode(&stored.value).map_err(|error| Error::Record {
                topic: Topic::Examples,
                offset: stored.offset,
                detail: error.to_string(),
            })?;
            if let Event::Example(example) = envelope.event {
                made.push(example);
            }
        }
    }
}

/// The exposures and signals of one log, with a topic of examples of its own.
struct Aside {
    source: Arc<dyn EventLog>,
    examples: MemoryLog,
}

impl Aside {
    fn of(&self, topic: Topic) -> &dyn EventLog {
        if topic == Topic::Examples { &self.examples } else { &*self.source }
    }
}

impl EventLog for Aside {
    fn shards(&self) -> u32 {
        self.source.shards()
    }

    fn this_shard(&self) -> u32 {
        self.source.this_shard()
    }

    fn append(&self, topic: Topic, records: Vec<Record>) -> BoxFuture<'_, Result<Vec<u64>, Error>> {
        self.of(topic).append(topic, records)
    }

    fn newest(&self, topic: Topic) -> BoxFuture<'_, Result<Option<Stored>, Error>> {
        self.of(topic).newest(topic)
    }

    fn erase(&self, topic: Topic, offsets: Vec<u64>) -> BoxFuture<'_, Result<(), Error>> {
        self.of(topic).erase(topic, offsets)
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
        self.source.horizon()
    }

    fn commit<'a>(&'a self, group: &'a str, topic: Topic, next: u64) -> BoxFuture<'a, Result<(), Error>> {
        self.of(topic).commit(group, topic, next)
    }

    fn committed<'a>(&'a self, group: &'a str, topic: Topic) -> BoxFuture<'a, Result<u64, Error>> {
        self.of(topic).committed(group, topic)
    }
}
