//! A log in memory: for tests, and for runs that keep nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use plaudit_event::{Clock, Timestamp};

use super::clock::LogClock;
use super::{BoxFuture, EventLog, Origin, READ_BYTES, Record, Stored, Topic, check_append};
use crate::Error;

/// A log in memory. "Durable" means: as long as the value lives.
pub struct MemoryLog {
    state: Mutex<State>,
}

struct State {
    clock: LogClock,
    topics: [Vec<Stored>; Topic::ALL.len()],
    positions: BTreeMap<(String, Topic), u64>,
}

impl MemoryLog {
    /// An empty log that takes its times from `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let clock = LogClock::new(clock, None);
        let topics = Topic::ALL.map(|_| Vec::new());
        Self { state: Mutex::new(State { clock, topics, positions: BTreeMap::new() }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics under this lock")
    }

    fn append_now(&self, topic: Topic, records: Vec<Record>) -> Result<Vec<u64>, Error> {
        check_append(&records)?;
        let mut state = self.state();
        let appended = state.clock.now();
        let stored = &mut state.topics[topic as usize];
        let first = stored.len() as u64;
        stored.extend((first..).zip(records).map(|(offset, record)| Stored {
            offset,
            appended,
            key: record.key,
            value: record.value,
            origin: Origin::Checked,
        }));
        Ok((first..stored.len() as u64).collect())
    }

    fn read_now(&self, topic: Topic, from: u64, max: usize) -> Vec<Stored> {
        let state = self.state();
        let stored = &state.topics[topic as usize];
        let start = usize::try_from(from).unwrap_or(usize::MAX).min(stored.len());
        let mut bytes = 0;
        let mut batch = Vec::new();
        for record in stored[start..].iter().take(max) {
            if bytes >= READ_BYTES {
                break;
            }
            bytes += record.value.len();
            batch.push(record.clone());
        }
        batch
    }
}

impl EventLog for MemoryLog {
    fn append(&self, topic: Topic, records: Vec<Record>) -> BoxFuture<'_, Result<Vec<u64>, Error>> {
        Box::pin(async move { self.append_now(topic, records) })
    }

    fn newest(&self, topic: Topic) -> BoxFuture<'_, Result<Option<Stored>, Error>> {
        Box::pin(super::newest(self, topic))
    }

    fn erase(&self, topic: Topic, offsets: Vec<u64>) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let mut state = self.state();
            for offset in offsets {
                let index = usize::try_from(offset).unwrap_or(usize::MAX);
                if let Some(stored) = state.topics[topic as usize].get_mut(index) {
                    (stored.key, stored.value, stored.origin) = (String::new(), Vec::new(), Origin::Erased);
                }
            }
            Ok(())
        })
    }

    fn read(&self, topic: Topic, from: u64, max: usize) -> BoxFuture<'_, Result<Vec<Stored>, Error>> {
        Box::pin(async move { Ok(self.read_now(topic, from, max)) })
    }

    fn tail(&self, topic: Topic) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(async move { Ok(self.state().topics[topic as usize].len() as u64) })
    }

    fn seek(&self, topic: Topic, from: Timestamp) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(async move {
            let state = self.state();
            let stored = &state.topics[topic as usize];
            Ok(stored.partition_point(|record| record.appended < from) as u64)
        })
    }

    fn horizon(&self) -> BoxFuture<'_, Result<Timestamp, Error>> {
        Box::pin(async move { Ok(self.state().clock.now()) })
    }

    fn commit<'a>(&'a self, group: &'a str, topic: Topic, next: u64) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let mut state = self.state();
            let position = state.positions.entry((group.to_owned(), topic)).or_default();
            *position = next.max(*position);
            Ok(())
        })
    }

    fn committed<'a>(&'a self, group: &'a str, topic: Topic) -> BoxFuture<'a, Result<u64, Error>> {
        Box::pin(async move {
            let state = self.state();
            let position = state.positions.get(&(group.to_owned(), topic));
            Ok(position.copied().unwrap_or(0))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::conformance;

    #[tokio::test]
    async fn conforms() {
        conformance::all(conformance::Stamps::Ours, async |clock| Arc::new(MemoryLog::new(clock)) as _).await;
    }
}
