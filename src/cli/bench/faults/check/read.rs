//! Reading all that log and store hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plaudit_event::{Envelope, Event, Example};
use plaudit_ingest::log::{self, EventLog, Topic};
use plaudit_ingest::store::{EventStore, SCAN_ROWS};

/// Records read at a time.
const READ: usize = 1_000;

/// What the log holds.
#[derive(Default)]
pub(super) struct Logged {
    /// Exposures: id → how often.
    pub(super) exposures: BTreeMap<String, u32>,
    /// Signals: id → how often.
    pub(super) signals: BTreeMap<String, u32>,
    /// Examples, in the order of the log.
    pub(super) examples: Vec<Example>,
    /// The exposures of each shard.
    pub(super) shards: Vec<BTreeSet<String>>,
}

impl Logged {
    /// Reads all of `log`.
    pub(super) async fn read(log: &Arc<dyn EventLog>) -> anyhow::Result<Self> {
        let mut logged = Self::default();
        for number in 0..log.shards() {
            let shard = log::shard(log, number);
            logged.shards.push(BTreeSet::new());
            logged.topic(&*shard, Topic::Exposures).await?;
            logged.topic(&*shard, Topic::Signals).await?;
        }
        logged.topic(&*log::shard(log, 0), Topic::Examples).await?;
        Ok(logged)
    }

    async fn topic(&mut self, shard: &dyn EventLog, topic: Topic) -> anyhow::Result<()> {
        let mut next = 0;
        loop {
            let records = shard.read(topic, next, READ).await?;
            let Some(last) = records.last() else { return Ok(()) };
            next = last.offset + 1;
            for stored in records.iter().filter(|stored| stored.origin.has_content()) {
                self.take(Envelope::decode(&stored.value)?.event);
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Exposure(exposure) => {
                let id = exposure.exposure_id.to_string();
                if let Some(shard) = self.shards.last_mut() {
                    shard.insert(id.clone());
                }
                *self.exposures.entry(id).or_default() += 1;
            }
            Event::Signal(signal) => *self.signals.entry(signal.signal_id.to_string()).or_default() += 1,
            Event::Example(example) => self.examples.push(example),
        }
    }
}

/// What the stores hold together.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) exposures: BTreeSet<String>,
    pub(super) signals: BTreeSet<String>,
    /// The revision of each example.
    pub(super) examples: BTreeMap<String, u32>,
    /// Ids that one store gave twice.
    pub(super) twice: u64,
}

impl Kept {
    /// Adds what is in `store`.
    pub(super) async fn add(&mut self, store: &dyn EventStore) -> anyhow::Result<()> {
        let mut counts = Here::default();
        let mut after = None;
        loop {
            let page = store.scan_exposures(after, SCAN_ROWS).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            page.iter().for_each(|(_, exposure)| counts.exposure(exposure.exposure_id.as_str()));
        }
        after = None;
        loop {
            let page = store.scan_signals(after, SCAN_ROWS).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            page.iter().for_each(|(_, signal)| counts.signal(signal.signal_id.as_str()));
        }
        after = None;
        loop {
            let page = store.scan_examples(after, SCAN_ROWS).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            page.iter().for_each(|(_, example)| counts.example(example.exposure_id.as_str(), example.revision));
        }
        self.twice += counts.twice;
        self.exposures.extend(counts.exposures);
        self.signals.extend(counts.signals);
        for (id, revision) in counts.examples {
            let newest = self.examples.entry(id).or_insert(revision);
            *newest = revision.max(*newest);
        }
        Ok(())
    }
}

/// What one store gave.
#[derive(Default)]
struct Here {
    exposures: BTreeSet<String>,
    signals: BTreeSet<String>,
    examples: BTreeMap<String, u32>,
    twice: u64,
}

impl Here {
    fn exposure(&mut self, id: &str) {
        self.twice += u64::from(!self.exposures.insert(id.to_owned()));
    }

    fn signal(&mut self, id: &str) {
        self.twice += u64::from(!self.signals.insert(id.to_owned()));
    }

    fn example(&mut self, id: &str, revision: u32) {
        self.twice += u64::from(self.examples.insert(id.to_owned(), revision).is_some());
    }
}
