//! A stretch of a log, copied into another one with its times: to attribute it again without touching the first.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use plaudit_event::{Labels, ManualClock, Objective, Timestamp};
use serde::{Deserialize, Serialize};

use crate::attribution::lookback_ms;
use crate::config::millis;
use crate::fingerprint::Fingerprint;
use crate::intake::{Screen, Screened};
use crate::log::{self, Cursor, EventLog, Part, Record, Stored, Topic, data};
use crate::{Config, Error};

/// Records read at a time.
const READ: usize = 500;

/// Where a stretch begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// At the first record that was appended then or later.
    Time(Timestamp),
    /// At an offset of a shard; the other shards at the time of the record there.
    Offset(Part, u64),
}

/// Exposures from one bound to another (excluded), and every signal that can count for them.
#[derive(Debug, Clone, Copy)]
pub struct Stretch {
    /// The first.
    pub from: Bound,
    /// The first that is not in it; nothing for the end of the log.
    pub to: Option<Bound>,
}

/// What was copied.
#[derive(Debug, Default)]
pub struct Copied {
    /// Exposures, each record of them.
    pub exposures: u64,
    /// Signals at that time, most of them about these exposures.
    pub signals: u64,
    ids: HashSet<Fingerprint>,
    from: Timestamp,
}

/// How examples compare with those of the log that the stretch is from, by their newest revisions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// With the same labels.
    pub equal: u64,
    /// With other labels.
    pub different: u64,
    /// Of these, how many differ in an objective.
    pub objectives: std::collections::BTreeMap<String, u64>,
    /// Of exposures without an example there.
    pub new: u64,
    /// Examples there of exposures of the stretch without an example here.
    pub gone: u64,
}

/// A bound as both: a time, and an offset where that is exact.
struct Edge {
    time: Timestamp,
    exact: Option<(Part, u64)>,
}

impl Edge {
    async fn of(log: &Arc<dyn EventLog>, bound: Bound) -> Result<Self, Error> {
        let (part, offset) = match bound {
            Bound::Time(time) => return Ok(Self { time, exact: None }),
            Bound::Offset(part, offset) => (part, offset),
        };
        if part.shard >= log.shards() {
            return Err(Error::Limit {
                what: "the shard of an offset",
                allowed: format!("below {}", log.shards()),
                value: part.shard.to_string(),
            });
        }
        let view = log::shard(log, part.shard);
        let found = view.read(part.topic, offset, 1).await?.pop();
        let time = match found {
            Some(stored) => stored.appended,
            None => view.horizon().await?,
        };
        Ok(Self { time, exact: (part.topic == Topic::Exposures).then_some((part, offset)) })
    }

    async fn offset(&self, view: &dyn EventLog, part: Part) -> Result<u64, Error> {
        match self.exact {
            Some((exact, offset)) if exact == part => Ok(offset),
            _ => view.seek(part.topic, self.time).await,
        }
    }
}

/// A shard of a topic on its way.
struct Source {
    view: Arc<dyn EventLog>,
    part: Part,
    cursor: Cursor,
    /// The first offset that is not read.
    end: u64,
}

impl Source {
    /// The time of the next record.
    async fn peek(&mut self) -> Result<Option<Timestamp>, Error> {
        let time = self.cursor.peek(&*self.view).await?;
        Ok(time.filter(|_| self.cursor.next_offset().is_some_and(|offset| offset < self.end)))
    }
}

/// Copies `stretch` of `source` into `target`, an empty log that takes its times from `clock`, and moves the clock to the
/// present of `source`. `progress` is told how many records were read.
///
/// # Errors
/// Fails when a log cannot be read or written, and when a bound is not in the log.
pub async fn copy_stretch(
    source: &Arc<dyn EventLog>,
    stretch: Stretch,
    config: &Config,
    (target, clock): (&dyn EventLog, &ManualClock),
    mut progress: impl FnMut(u64),
) -> Result<Copied, Error> {
    let mut screen = Screen::new(config, source.shards());
    screen.follow(source).await?;
    let mut sources = sources(source, stretch, config).await?;
    let from = Edge::of(source, stretch.from).await?.time;
    let mut copied = Copied { from, ..Copied::default() };
    let mut held: Vec<(Topic, Record)> = Vec::new();
    let mut time = None;
    loop {
        let mut first: Option<(Timestamp, Topic, usize)> = None;
        for (index, source) in sources.iter_mut().enumerate() {
            if let Some(at) = source.peek().await? {
                let here = (at, source.part.topic, index);
                first = Some(first.map_or(here, |first| first.min(here)));
            }
        }
        if time != first.map(|(at, ..)| at) {
            write(target, std::mem::take(&mut held)).await?;
            time = first.map(|(at, ..)| at);
        }
        let Some((at, topic, index)) = first else { break };
        clock.advance_to(at);
        progress(1);
        let Some(stored) = sources[index].cursor.pop() else { break };
        if let Screened::Counts(stored) = screen.look(stored, sources[index].part) {
            held.push((topic, copied.take(topic, stored)));
        }
    }
    clock.advance_to(source.horizon().await?);
    Ok(copied)
}

impl Copied {
    /// The record to write.
    fn take(&mut self, topic: Topic, stored: Stored) -> Record {
        if topic == Topic::Exposures {
            self.ids.insert(Fingerprint::of_id("exposure", &stored.key));
            self.exposures += 1;
        } else {
            // A signal may come before its exposure; one whose exposure is not in the stretch makes no example.
            self.signals += 1;
        }
        Record { key: stored.key, value: stored.value }
    }
}

async fn sources(log: &Arc<dyn EventLog>, stretch: Stretch, config: &Config) -> Result<Vec<Source>, Error> {
    let from = Edge::of(log, stretch.from).await?;
    let to = match stretch.to {
        Some(to) => Some(Edge::of(log, to).await?),
        None => None,
    };
    let early = from.time.plus_millis(-millis(config.early_slack));
    let mut sources = Vec::new();
    for shard in 0..log.shards() {
        let view = log::shard(log, shard);
        for topic in [Topic::Exposures, Topic::Signals] {
            let part = Part { topic, shard };
            let start = match topic {
                Topic::Exposures => from.offset(&*view, part).await?,
                _ => view.seek(topic, early).await?,
            };
            let end = match &to {
                None => view.tail(topic).await?,
                Some(to) if topic == Topic::Exposures => to.offset(&*view, part).await?,
                // As long as the last exposure can still be corrected.
                Some(to) => view.seek(topic, to.time.plus_millis(lookback_ms(config))).await?,
            };
            let cursor = Cursor::new(topic, start, READ);
            sources.push(Source { view: Arc::clone(&view), part, cursor, end });
        }
    }
    Ok(sources)
}

/// Appends records of one time, those of each topic together.
async fn write(log: &dyn EventLog, held: Vec<(Topic, Record)>) -> Result<(), Error> {
    let (exposures, signals): (Vec<_>, Vec<_>) = held.into_iter().partition(|(topic, _)| *topic == Topic::Exposures);
    for (topic, records) in [(Topic::Exposures, exposures), (Topic::Signals, signals)] {
        if !records.is_empty() {
            log.append(topic, records.into_iter().map(|(_, record)| record).collect()).await?;
        }
    }
    Ok(())
}

/// Compares the examples in `target`, made of what was `copied`, with those in `source`.
///
/// # Errors
/// Fails when a log cannot be read.
pub async fn compare(source: &Arc<dyn EventLog>, target: &dyn EventLog, copied: &Copied) -> Result<Compared, Error> {
    let first = log::shard(source, 0);
    let start = first.seek(Topic::Examples, copied.from).await?;
    let mut there = newest(&*first, start, &copied.ids).await?;
    let mut compared = Compared::default();
    for (id, here) in newest(target, 0, &copied.ids).await? {
        let Some(there) = there.remove(&id) else {
            compared.new += 1;
            continue;
        };
        let objectives: HashSet<&Objective> = here.keys().chain(there.keys()).collect();
        let different: Vec<&Objective> =
            objectives.into_iter().filter(|objective| here.get(*objective) != there.get(*objective)).collect();
        match different.is_empty() {
            true => compared.equal += 1,
            false => compared.different += 1,
        }
        for objective in different {
            *compared.objectives.entry(objective.to_string()).or_default() += 1;
        }
    }
    compared.gone = there.len() as u64;
    Ok(compared)
}

/// The labels of the newest revision of each of the exposures `ids`, of the examples from the offset `from` on.
async fn newest(
    log: &dyn EventLog,
    from: u64,
    ids: &HashSet<Fingerprint>,
) -> Result<HashMap<Fingerprint, Labels>, Error> {
    #[derive(Deserialize)]
    struct Head {
        exposure_id: String,
        labels: Labels,
    }
    let (mut found, mut next) = (HashMap::new(), from);
    loop {
        let page = log.read(Topic::Examples, next, READ).await?;
        let Some(last) = page.last() else { return Ok(found) };
        next = last.offset + 1;
        for stored in page.iter().filter(|stored| stored.origin.has_content()) {
            let Ok(head) = data::<Head>(stored) else { continue };
            let id = Fingerprint::of_id("exposure", &head.exposure_id);
            if ids.contains(&id) {
                // Revisions come in order.
                found.insert(id, head.labels);
            }
        }
    }
}
