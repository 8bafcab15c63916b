//! The sink: copies the log into the store.
//!
//! The store keeps its position with the rows, so that every record takes effect once, wherever the
//! sink is killed. A mark of the last record goes with the position, by which
//! the log is recognised after a restart.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, watch};

use super::CatchUp;
use crate::intake::{Screen, Screened};
use crate::log::{EventLog, Origin, Part, Stored, Topic, data};
use crate::outcome::DeadLetter;
use crate::store::{Batch, EventStore, Mark, Rows};
use crate::{Config, Error, metrics};

/// The consumer group whose offsets tell other tools how far the store has come.
const GROUP: &str = "store";

/// The topics that the store holds. Dead letters come last, since the others make some.
const TOPICS: [Topic; 4] = [Topic::Exposures, Topic::Signals, Topic::Examples, Topic::DeadLetters];

/// How long the position of the store may stay behind ticks, which have nothing to copy: each write of it costs a server
/// more than the ticks do.
const TICKS: Duration = Duration::from_secs(1);

/// What one `catch_up` did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sinked {
    /// Records read.
    pub records: u64,
    /// Rows that were new to the store.
    pub rows: u64,
}

/// Copies a shard of the log into the store.
///
/// It also is the one that deals with what products wrote past intake: what is refused becomes a dead
/// letter, and what is in the wrong shard is appended to the right one.
pub struct StoreSink {
    log: Arc<dyn EventLog>,
    shard: u32,
    store: Arc<dyn EventStore>,
    state: Mutex<State>,
    poll: Duration,
    /// Whether the log was seen to be the one that the store was copied from.
    is_known: AtomicBool,
}

struct State {
    screen: Screen,
    ticks: BTreeMap<Topic, Ticks>,
}

/// Ticks that were read and not told to the store.
#[derive(Clone, Copy)]
struct Ticks {
    /// The position of the store, and since when it has it.
    position: u64,
    since: Instant,
    /// Where the ticks end.
    next: u64,
}

/// Records that were read together.
struct Read {
    num_records: u64,
    is_ticks: bool,
    batch: Batch,
}

impl StoreSink {
    /// A sink from the shard that `log` is seen from to `store`. That of shard 0 also copies what is not
    /// split.
    #[must_use]
    pub fn new(log: Arc<dyn EventLog>, store: Arc<dyn EventStore>, config: &Config) -> Self {
        let state = State { screen: Screen::new(config, log.shards()), ticks: BTreeMap::new() };
        let (shard, state) = (log.this_shard(), Mutex::new(state));
        Self { log, shard, store, state, poll: config.poll, is_known: AtomicBool::new(false) }
    }

    /// Copies everything that is in the log now.
    ///
    /// # Errors
    /// Fails when the log cannot be read or the store cannot be written; calling again goes on where
    /// the store stands. Fails for good when the store was copied from another log.
    pub async fn catch_up(&self) -> Result<Sinked, Error> {
        if !self.is_known.load(Ordering::Relaxed) {
            self.recognise().await?;
            self.is_known.store(true, Ordering::Relaxed);
        }
        let positions = self.store.positions().await?;
        let mut state = self.state.lock().await;
        state.screen.check()?;
        state.screen.follow(&self.log).await?;
        let mut done = Sinked::default();
        // Before the end of the exposures, so that those of all signals up to here are copied before the signals.
        let end_of_signals = self.log.tail(Topic::Signals).await?;
        for topic in TOPICS {
            if self.shard > 0 && !topic.is_sharded() {
                continue;
            }
            let part = Part { topic, shard: self.shard };
            let position = positions.get(&part).copied().unwrap_or(0);
            let end = if topic == Topic::Signals { end_of_signals } else { self.log.tail(topic).await? };
            self.copy(&mut state, part, position..end, &mut done).await?;
        }
        Ok(done)
    }

    /// Copies `offsets` of `part` into the store, which has come to their start.
    async fn copy(&self, state: &mut State, part: Part, offsets: Range<u64>, done: &mut Sinked) -> Result<(), Error> {
        let (mut position, tail) = (offsets.start, offsets.end);
        let ticks = state.ticks.get(&part.topic).copied().filter(|ticks| ticks.position == position);
        let may_wait = ticks.is_some_and(|ticks| ticks.since.elapsed() < TICKS);
        let mut since = ticks.map_or_else(Instant::now, |ticks| ticks.since);
        let mut next = ticks.map_or(position, |ticks| ticks.next);
        let (screen, before) = (&state.screen, position);
        let mut ahead = self.read(screen, part, next..tail).await?;
        while let Some(Read { num_records, is_ticks, mut batch }) = ahead {
            next = batch.next;
            let following = self.read(screen, part, next..tail);
            if is_ticks && may_wait {
                ahead = following.await?;
                continue;
            }
            batch.from = position;
            // What follows is read while the store works.
            let (applied, following) = tokio::join!(self.store.apply(batch), following);
            let num_new = applied?;
            (position, since) = (next, Instant::now());
            metrics::store_rows(part.topic, num_new);
            done.records += num_records;
            done.rows += num_new;
            ahead = following?;
        }
        if position > before && self.log.is_shared() {
            self.log.commit(GROUP, part.topic, position).await?;
        }
        state.ticks.insert(part.topic, Ticks { position, since, next });
        metrics::store_lag(part, tail.saturating_sub(next));
        Ok(())
    }

    /// The next records of `part` in `offsets`, and what they say.
    async fn read(&self, screen: &Screen, part: Part, offsets: Range<u64>) -> Result<Option<Read>, Error> {
        if offsets.is_empty() {
            return Ok(None);
        }
        let from = offsets.start;
        let mut records = self.log.read(part.topic, from, self.store.batch_records()).await?;
        records.retain(|record| offsets.contains(&record.offset));
        let Some(last) = records.last() else { return Ok(None) };
        let (num_records, next, mark) = (records.len() as u64, last.offset + 1, Some(Mark::of(last)));
        let is_ticks = records.iter().all(|record| record.origin == Origin::Tick);
        let rows = decode(part.topic, &self.screened(screen, part, records).await?);
        let batch = Batch { shard: self.shard, from, next, mark, rows };
        Ok(Some(Read { num_records, is_ticks, batch }))
    }

    /// Those of `records` that count. What must be appended for the others is durable before the position
    /// moves past them; after a crash in between it is appended again, and recognised by its source or id.
    async fn screened(&self, screen: &Screen, part: Part, records: Vec<Stored>) -> Result<Vec<Stored>, Error> {
        let mut count = Vec::with_capacity(records.len());
        let (mut astray, mut dead) = (Vec::new(), Vec::new());
        for stored in records {
            let is_direct = stored.origin == Origin::Direct;
            match screen.look(stored, part) {
                Screened::Counts(stored) => {
                    metrics::direct_outcome(is_direct.then_some("accepted"));
                    count.push(stored);
                }
                Screened::Empty => {}
                Screened::Astray(record) => astray.push(record),
                Screened::Dead(record) => {
                    metrics::direct_outcome(Some("refused"));
                    dead.push(record);
                }
            }
        }
        for (topic, records) in [(part.topic, astray), (Topic::DeadLetters, dead)] {
            if !records.is_empty() {
                self.log.append(topic, records).await?;
            }
        }
        Ok(count)
    }

    /// Makes sure that the log holds, before each position, the record that the store copied last: a
    /// log that was deleted or put back alone would be copied from the middle.
    async fn recognise(&self) -> Result<(), Error> {
        for (part, end) in self.store.ends().await?.into_iter().filter(|(part, _)| part.shard == self.shard) {
            let Some(offset) = end.next.checked_sub(1) else { continue };
            let position = end.next;
            let found = self.log.read(part.topic, offset, 1).await?;
            let Some(found) = found.first().filter(|stored| stored.offset == offset) else {
                let tail = self.log.tail(part.topic).await?;
                if position <= tail && self.log.is_shared() {
                    // Kept no longer: there is nothing to compare.
                    continue;
                }
                return Err(Error::OtherLog { part, position, tail });
            };
            let is_same = end.mark.is_none_or(|known| known == Mark::of(found));
            if !is_same && found.origin != Origin::Erased {
                let tail = self.log.tail(part.topic).await?;
                return Err(Error::OtherLog { part, position, tail });
            }
        }
        Ok(())
    }

    /// Catches up again and again until `shutdown` says true.
    ///
    /// # Errors
    /// Fails on what waiting does not mend, such as damaged data.
    pub async fn run(&mut self, shutdown: watch::Receiver<bool>) -> Result<(), Error> {
        let poll = self.poll;
        super::run(self, poll, shutdown).await
    }
}

impl CatchUp for StoreSink {
    const NAME: &'static str = "store sink";

    async fn step(&mut self) -> Result<(), Error> {
        self.catch_up().await.map(drop)
    }
}

/// The rows of `records`. One that cannot be read is passed over, and counted.
fn decode(topic: Topic, records: &[Stored]) -> Rows {
    let letter = |stored: &Stored| serde_json::from_slice::<DeadLetter>(&stored.value);
    match topic {
        Topic::DeadLetters => {
            let mut letters = each(topic, records, letter);
            // A mended envelope is no refusal of its own.
            letters.retain(|(_, letter)| letter.mends.is_none());
            Rows::DeadLetters(letters)
        }
        Topic::Signals => Rows::Signals(each(topic, records, data)),
        Topic::Examples => Rows::Examples(each(topic, records, data)),
        _ => Rows::Exposures(each(topic, records, data)),
    }
}

fn each<T>(topic: Topic, records: &[Stored], read: impl Fn(&Stored) -> Result<T, serde_json::Error>) -> Vec<(u64, T)> {
    let mut rows = Vec::with_capacity(records.len());
    for stored in records {
        match read(stored) {
            Ok(row) => rows.push((stored.offset, row)),
            Err(_) => {
                tracing::error!(%topic, offset = stored.offset, "record cannot be read");
                metrics::unreadable(topic, "store sink");
            }
        }
    }
    rows
}
