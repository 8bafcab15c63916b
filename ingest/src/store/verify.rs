//! Whether a store holds what its log says, no more and no less.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use plaudit_event::{Event, Example, Exposure, Signal, Timestamp};
use serde::Serialize;

use super::{End, EventStore, Mark, Place};
use crate::erasure::Erasures;
use crate::fingerprint::Fingerprint;
use crate::intake::{Screen, Screened};
use crate::log::{self, EventLog, Origin, Part, Stored, Topic, data};
use crate::outcome::DeadLetter;
use crate::{Config, Error};

/// Records read at a time.
const READ: usize = 1_000;

/// How one shard of a topic compares.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PartReport {
    /// Ids in the log, each once, as far as the store has copied it.
    pub in_log: u64,
    /// Of these, those about exposures that were erased: they belong into no store.
    pub erased: u64,
    /// Records without content: what was in them was erased.
    pub emptied: u64,
    /// Rows in the store.
    pub in_store: u64,
    /// In the log, not in the store.
    pub missing: u64,
    /// In the store, not in the log.
    pub extra: u64,
    /// In the store from a time that the log keeps no longer.
    pub older_than_log: u64,
    /// In both, with other content.
    pub different: u64,
    /// The offset up to which the store has copied, and the end of the log.
    pub position: u64,
    /// See `position`.
    pub tail: u64,
    /// Whether the record before the position is the one that the store copied last, and the position is in the log.
    pub is_same_log: bool,
}

impl PartReport {
    /// Whether store and log agree on what was copied.
    #[must_use]
    pub const fn agrees(&self) -> bool {
        self.missing == 0 && self.extra == 0 && self.different == 0 && self.is_same_log
    }
}

/// How a store compares with its log.
#[derive(Debug, Clone, Default)]
pub struct Comparison {
    /// By topic and shard.
    pub parts: BTreeMap<Part, PartReport>,
}

impl Comparison {
    /// Whether store and log agree on what was copied.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.parts.values().all(PartReport::agrees)
    }
}

/// Compares `store` with `log`; writes nothing. `progress` is told how many records and rows were read.
///
/// # Errors
/// Fails when log or store cannot be read.
pub async fn verify(
    log: &Arc<dyn EventLog>,
    store: &dyn EventStore,
    config: &Config,
    mut progress: impl FnMut(u64),
) -> Result<Comparison, Error> {
    let mut screen = Screen::new(config, log.shards());
    screen.follow(log).await?;
    let mut erasures = Erasures::default();
    erasures.follow(log).await?;
    let mut comparison = Comparison::default();
    let ends = store.ends().await?;
    for topic in [Topic::Exposures, Topic::Signals, Topic::Examples, Topic::DeadLetters] {
        let mut known = Known::default();
        for shard in (0..log.shards()).filter(|shard| *shard == 0 || topic.is_sharded()) {
            let part = Part { topic, shard };
            let view = log::shard(log, shard);
            let end = ends.get(&part).copied().unwrap_or(End { next: 0, mark: None });
            let position = end.next;
            let mut reading = Reading { part, position, screen: &screen, erasures: &erasures, known: &mut known };
            let mut report = reading.all(&*view, &mut progress).await?;
            report.tail = view.tail(topic).await?;
            report.is_same_log = is_same_log(&*view, part, end).await?;
            comparison.parts.insert(part, report);
        }
        match topic {
            Topic::DeadLetters => letters(store, known, &mut comparison).await?,
            _ => rows(store, topic, known, &mut comparison, &mut progress).await?,
        }
    }
    Ok(comparison)
}

/// What the log holds of one topic.
#[derive(Default)]
struct Known {
    /// By the fingerprint of the id: where it came from, and the fingerprint of its content.
    ids: HashMap<Fingerprint, Entry>,
    /// Where each shard begins.
    firsts: BTreeMap<u32, u64>,
    reasons: BTreeMap<&'static str, u64>,
    sources: HashSet<String>,
}

struct Entry {
    shard: u32,
    revision: u32,
    /// What is said under this id; more than one is a conflict, of which either may count.
    contents: Vec<Fingerprint>,
    is_erased: bool,
    is_in_store: bool,
}

struct Reading<'a> {
    part: Part,
    position: u64,
    screen: &'a Screen,
    erasures: &'a Erasures,
    known: &'a mut Known,
}

impl Reading<'_> {
    /// Reads the part up to the position of the store.
    async fn all(&mut self, log: &dyn EventLog, progress: &mut impl FnMut(u64)) -> Result<PartReport, Error> {
        let mut report = PartReport { position: self.position, ..PartReport::default() };
        let mut next = 0;
        while next < self.position {
            let page = log.read(self.part.topic, next, READ).await?;
            let (Some(first), Some(last)) = (page.first(), page.last()) else { break };
            self.known.firsts.entry(self.part.shard).or_insert(first.offset);
            next = last.offset + 1;
            progress(page.len() as u64);
            let position = self.position;
            for stored in page.into_iter().filter(|stored| stored.offset < position) {
                report.emptied += u64::from(stored.origin == Origin::Erased);
                self.note(stored);
            }
            tokio::task::yield_now().await;
        }
        Ok(report)
    }

    fn note(&mut self, stored: Stored) {
        let is_erased = self.part.topic != Topic::DeadLetters && self.erasures.contain(&stored.key);
        if self.part.topic == Topic::DeadLetters {
            self.letter(&stored);
            return;
        }
        let stored = match self.screen.look(stored.clone(), self.part) {
            Screened::Counts(counts) => counts,
            // One that is passed over because of an erasure still has its content.
            Screened::Empty if is_erased && stored.origin == Origin::Checked => stored,
            _ => return,
        };
        let event = match self.part.topic {
            Topic::Exposures => data::<Exposure>(&stored).map(Event::Exposure),
            Topic::Signals => data::<Signal>(&stored).map(Event::Signal),
            _ => data::<Example>(&stored).map(Event::Example),
        };
        let Ok(event) = event else { return };
        let (id, revision, content) = print(event);
        let entry = Entry { shard: self.part.shard, revision, contents: vec![content], is_erased, is_in_store: false };
        match self.known.ids.entry(id) {
            std::collections::hash_map::Entry::Vacant(vacant) => {
                vacant.insert(entry);
            }
            std::collections::hash_map::Entry::Occupied(mut known) => {
                if entry.revision > known.get().revision {
                    known.insert(entry);
                } else if entry.revision == known.get().revision && !known.get().contents.contains(&content) {
                    known.get_mut().contents.push(content);
                }
            }
        }
    }

    fn letter(&mut self, stored: &Stored) {
        let Ok(letter) = serde_json::from_slice::<DeadLetter>(&stored.value) else { return };
        let source = letter.source.map(|source| source.to_string());
        let is_new = source.is_none_or(|source| self.known.sources.insert(source));
        if is_new && letter.mends.is_none() {
            *self.known.reasons.entry(letter.reason.as_str()).or_default() += 1;
        }
    }
}

/// The fingerprint of the id, the revision, and the fingerprint of the whole content.
fn print(mut event: Event) -> (Fingerprint, u32, Fingerprint) {
    let (id, revision, ts) = match &event {
        Event::Exposure(row) => (Fingerprint::of(row.exposure_id.as_str().as_bytes()), 0, row.ts),
        Event::Signal(row) => (Fingerprint::of(row.signal_id.as_str().as_bytes()), 0, row.ts),
        Event::Example(row) => (Fingerprint::of(row.exposure_id.as_str().as_bytes()), row.revision, row.ts),
    };
    let content = Fingerprint::of_content(&mut event, None).bytes();
    (id, revision, Fingerprint::of_parts(&[&content, &Timestamp::as_millis(ts).to_le_bytes()]))
}

/// Compares the rows of the store with what the log holds.
async fn rows(
    store: &dyn EventStore,
    topic: Topic,
    mut known: Known,
    comparison: &mut Comparison,
    progress: &mut impl FnMut(u64),
) -> Result<(), Error> {
    let mut after = None;
    loop {
        let page: Vec<(Place, Event)> = match topic {
            Topic::Exposures => each(store.scan_exposures(after, READ).await?, Event::Exposure),
            Topic::Signals => each(store.scan_signals(after, READ).await?, Event::Signal),
            _ => each(store.scan_examples(after, READ).await?, Event::Example),
        };
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        progress(page.len() as u64);
        for (place, event) in page {
            let (id, _, content) = print(event);
            let report = comparison.parts.entry(Part { topic, shard: place.shard }).or_default();
            report.in_store += 1;
            match known.ids.get_mut(&id) {
                Some(entry) if !entry.is_erased => {
                    entry.is_in_store = true;
                    report.different += u64::from(!entry.contents.contains(&content));
                }
                None if known.firsts.get(&place.shard).is_none_or(|first| place.offset < *first) => {
                    report.older_than_log += 1;
                }
                _ => report.extra += 1,
            }
        }
    }
    for entry in known.ids.into_values() {
        let report = comparison.parts.entry(Part { topic, shard: entry.shard }).or_default();
        report.in_log += 1;
        report.erased += u64::from(entry.is_erased);
        report.missing += u64::from(!entry.is_in_store && !entry.is_erased);
    }
    Ok(())
}

fn each<T>(rows: Vec<(Place, T)>, event: impl Fn(T) -> Event) -> Vec<(Place, Event)> {
    rows.into_iter().map(|(place, row)| (place, event(row))).collect()
}

/// Of dead letters the store has no ids: it counts them by reason. It also counts those whose text was erased since, of
/// which the log no longer knows the reason. All shards are compared together, in the report of the first.
async fn letters(store: &dyn EventStore, known: Known, comparison: &mut Comparison) -> Result<(), Error> {
    let counted = store.counts().await?.dead_letters;
    let of_topic = |part: &&Part| part.topic == Topic::DeadLetters;
    let emptied: u64 =
        comparison.parts.iter().filter(|(part, _)| of_topic(part)).map(|(_, report)| report.emptied).sum();
    let report = comparison.parts.entry(Part { topic: Topic::DeadLetters, shard: 0 }).or_default();
    let mut surplus = 0;
    report.in_log = known.reasons.values().sum();
    report.in_store = counted.values().sum();
    for reason in crate::Reason::ALL {
        let in_log = known.reasons.get(reason.as_str()).copied().unwrap_or(0);
        let in_store = counted.get(reason).copied().unwrap_or(0);
        report.missing += in_log.saturating_sub(in_store);
        surplus += in_store.saturating_sub(in_log);
    }
    report.extra = surplus.saturating_sub(emptied);
    report.erased = surplus.min(emptied);
    Ok(())
}

/// Whether the record before `end` is the one that the store copied last.
async fn is_same_log(log: &dyn EventLog, part: Part, end: End) -> Result<bool, Error> {
    let Some(offset) = end.next.checked_sub(1) else { return Ok(true) };
    if end.next > log.tail(part.topic).await? {
        return Ok(false);
    }
    let found = log.read(part.topic, offset, 1).await?.pop().filter(|stored| stored.offset == offset);
    let is_same =
        |stored: Stored| stored.origin == Origin::Erased || end.mark.is_none_or(|mark| mark == Mark::of(&stored));
    Ok(found.is_none_or(is_same))
}
