//! The event store: what the log holds, ready to be asked about.

mod clickhouse;
mod metrics;
mod place;
mod prompts;
mod rebuild;
mod sqlite;
mod units;
mod verify;

#[cfg(any(test, feature = "test-util"))]
pub mod conformance;

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use plaudit_event::{Context, Example, ExperimentId, Exposure, ExposureId, Seed, Signal, Timestamp, UnitId, VariantId};
use serde::Serialize;

use crate::config::ClickHouseConfig;
use crate::fingerprint::Fingerprint;
use crate::location::{self, Location};
use crate::log::{BoxFuture, Part, Stored, Topic};
use crate::outcome::{DeadLetter, Reason};
use crate::{Config, Error};

pub use clickhouse::{ClickHouseStore, redacted};
pub use metrics::{Conflict, LabelSum, Lineage, UnitMetrics, VariantMinute};
pub use place::Place;
pub use rebuild::Rebuild;
pub use sqlite::SqliteStore;
pub use units::{
    Before, CellSums, Drawn, Measure, Moments, Of, PARTS, Question, ReactionRow, Shape, ShownRow, Split, Standing,
    Standings, UnitEvents, UnitSums, Visit, What, Worth,
};
pub use verify::{Comparison, PartReport, verify};

/// Most rows that one scan returns.
pub const SCAN_ROWS: usize = 10_000;
/// Records that a sink hands over at once, unless the store says otherwise.
const BATCH_RECORDS: usize = 500;
/// The scheme of the store on many machines.
const DISTRIBUTED: &str = "clickhouse";

/// Rows of one topic, each with its offset in the log.
#[derive(Debug, Clone, PartialEq)]
pub enum Rows {
    /// Of topic `exposures`.
    Exposures(Vec<(u64, Exposure)>),
    /// Of topic `signals`.
    Signals(Vec<(u64, Signal)>),
    /// Of topic `examples`.
    Examples(Vec<(u64, Example)>),
    /// Of topic `dead_letters`.
    DeadLetters(Vec<(u64, DeadLetter)>),
}

impl Rows {
    /// The topic that the rows come from.
    #[must_use]
    pub const fn topic(&self) -> Topic {
        match self {
            Self::Exposures(_) => Topic::Exposures,
            Self::Signals(_) => Topic::Signals,
            Self::Examples(_) => Topic::Examples,
            Self::DeadLetters(_) => Topic::DeadLetters,
        }
    }
}

/// Tells one record of a log from others: by its time, its key and its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark([u8; 16]);

impl Mark {
    /// The mark of `record`.
    #[must_use]
    pub fn of(record: &Stored) -> Self {
        let appended = record.appended.as_millis().to_le_bytes();
        Self(Fingerprint::of_parts(&[&appended, record.key.as_bytes(), &record.value]).bytes())
    }

    /// As 32 hexadecimal digits.
    fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The mark that `text` says, if it is one.
    fn from_hex(text: &str) -> Option<Self> {
        let number = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32)?;
        Some(Self(number.to_be_bytes()))
    }
}

/// How far a part of the log was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// The next offset.
    pub next: u64,
    /// The mark that came with the last batch.
    pub mark: Option<Mark>,
}

/// A stretch of one shard of a topic: every readable record with offset in `from..next`.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The shard.
    pub shard: u32,
    /// The first offset covered.
    pub from: u64,
    /// The first offset not covered.
    pub next: u64,
    /// The last record covered, by which the log is recognised.
    pub mark: Option<Mark>,
    /// What was read.
    pub rows: Rows,
}

impl Batch {
    /// The shard of the topic that it is a stretch of.
    #[must_use]
    pub const fn part(&self) -> Part {
        Part { topic: self.rows.topic(), shard: self.shard }
    }
}

/// How much the store holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Exposures, each id once.
    pub exposures: u64,
    /// Signals, each id once.
    pub signals: u64,
    /// Examples, each exposure once.
    pub examples: u64,
    /// Refused events by reason.
    pub dead_letters: BTreeMap<Reason, u64>,
    /// Ids of exposures and signals that say different things.
    pub conflicts: u64,
}

/// A page of rows, each with its place.
pub type Scan<'a, T> = BoxFuture<'a, Result<Vec<(Place, T)>, Error>>;

/// What an erasure took out of a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Erased {
    /// The exposures of the unit.
    pub exposures: Vec<ExposureId>,
    /// Number of signals about them.
    pub signals: u64,
    /// Number of examples.
    pub examples: u64,
}

/// A queryable copy of the log. All of it can be made again from the log.
pub trait EventStore: Send + Sync {
    /// Writes the rows, and the position and mark of their part of the log, so that every row takes effect
    /// once, whenever the writer is killed and however often the batch is given; returns how many rows
    /// were new.
    ///
    /// Rows below the position have taken effect before and are passed over. Of the exposures or signals
    /// with one id one counts; where they differ in more than their time, that is a conflict, which stays
    /// visible. Of an example the highest revision stays; a dead letter that names its source counts once
    /// for each source. A batch that starts beyond the position is an error, since something would be lost.
    ///
    /// A writer that is late, or two at once on one shard, do no harm: the position never goes back.
    fn apply(&self, batch: Batch) -> BoxFuture<'_, Result<u64, Error>>;

    /// How many records a sink best hands over at once.
    fn batch_records(&self) -> usize {
        BATCH_RECORDS
    }

    /// How far each part of the log was copied, as of one moment: others may be copying meanwhile.
    fn ends(&self) -> BoxFuture<'_, Result<BTreeMap<Part, End>, Error>>;

    /// The next offset of each part of the log; absent is 0.
    fn positions(&self) -> BoxFuture<'_, Result<BTreeMap<Part, u64>, Error>> {
        Box::pin(async move { Ok(self.ends().await?.into_iter().map(|(part, end)| (part, end.next)).collect()) })
    }

    /// How much the store holds.
    fn counts(&self) -> BoxFuture<'_, Result<Counts, Error>>;

    /// Up to `count` distinct contexts of chat exposures, drawn by `seed` from the newest. Equal
    /// content and seed give equal answers.
    fn prompts(&self, count: usize, seed: Seed) -> BoxFuture<'_, Result<Vec<Context>, Error>>;

    /// Up to `limit` (at most [`SCAN_ROWS`]) examples, at their latest revision, of exposures shown
    /// in `range` (end excluded), oldest exposure first.
    fn examples(&self, range: Range<Timestamp>, limit: usize) -> BoxFuture<'_, Result<Vec<Example>, Error>>;

    /// Up to `limit` (at most [`SCAN_ROWS`]) exposures after `after`, in order; each with the place to go
    /// on after.
    fn scan_exposures(&self, after: Option<Place>, limit: usize) -> Scan<'_, Exposure>;

    /// Like [`scan_exposures`](Self::scan_exposures), for signals.
    fn scan_signals(&self, after: Option<Place>, limit: usize) -> Scan<'_, Signal>;

    /// Like [`scan_exposures`](Self::scan_exposures), for examples. A corrected example moves to the
    /// end, so that a reader that goes on sees the correction.
    fn scan_examples(&self, after: Option<Place>, limit: usize) -> Scan<'_, Example>;

    /// What happened to each unit in `experiment`, of exposures shown in `range` (end excluded): up to `limit`
    /// (at most [`SCAN_ROWS`]) variants with units after `after`, in order. Each page reads the whole range.
    fn unit_metrics(
        &self,
        experiment: &ExperimentId,
        range: Range<Timestamp>,
        after: Option<(VariantId, UnitId)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<UnitMetrics>, Error>>;

    /// The minutes of each variant of `experiment` in which exposures were shown, in `range` (end excluded): up to
    /// `limit` (at most [`SCAN_ROWS`]), ordered by minute and variant.
    fn variant_minutes(
        &self,
        experiment: &ExperimentId,
        range: Range<Timestamp>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<VariantMinute>, Error>>;

    /// The sums that `question` asks for, added up where the rows are; nothing where that would be slower than visiting
    /// the units. A store and a visit say the same of the same rows, but for rounding.
    fn unit_sums(&self, question: &Question) -> BoxFuture<'_, Result<Option<UnitSums>, Error>> {
        let _ = question;
        Box::pin(async { Ok(None) })
    }

    /// Gives what happened to each unit with an exposure in `question.shown` whose hash is in `hashes` to `visit`, in any
    /// order, each at most once. Units that `question.standings` finds in no arm may be left out. Reactions are those of [`Question::kinds`], and those that take another one back.
    fn unit_events(
        &self,
        question: &Question,
        hashes: RangeInclusive<u64>,
        visit: Visit,
    ) -> BoxFuture<'_, Result<(), Error>>;

    /// Which policies decided the exposures or examples (the topic of `part`) that come from `offsets` of that
    /// part and that count: by policy.
    fn lineage(&self, part: Part, offsets: Range<u64>) -> BoxFuture<'_, Result<Vec<Lineage>, Error>>;

    /// Up to `limit` (at most [`SCAN_ROWS`]) conflicts, ordered by topic and id.
    fn conflicts(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Conflict>, Error>>;

    /// Takes everything about `unit` out: its exposures and examples, and the signals about those exposures.
    /// What is about those exposures stays out when it is applied again, or for the first time.
    fn erase(&self, unit: &UnitId) -> BoxFuture<'_, Result<Erased, Error>>;

    /// Takes everything out, positions, marks and erasures too, so that it is as if it had just been made. When it is
    /// killed in between, calling it again finishes it.
    fn clear(&self) -> BoxFuture<'_, Result<(), Error>>;
}

/// Opens the store at `location`: `memory:`, `sqlite:PATH` or `clickhouse://…/DATABASE`. A file must not be that of
/// the log. A server is asked at the first use only, so that one that is down stops no process from starting.
///
/// # Errors
/// Fails when the location names no backend of this build, or when the file cannot be opened: locked, damaged,
/// foreign, or of a newer format. The file is left as it is in these cases; the lock file beside it and missing
/// directories above it are made.
pub fn open(location: &str, config: &Config) -> Result<Arc<dyn EventStore>, Error> {
    match locate(location)? {
        Location::Memory => Ok(Arc::new(SqliteStore::in_memory()?)),
        Location::Sqlite(path) => Ok(Arc::new(SqliteStore::open(path)?)),
        Location::Distributed(location) => Ok(Arc::new(ClickHouseStore::new(location, &config.clickhouse)?)),
    }
}

/// Whether [`open`] knows the backend at `location`; opens nothing.
///
/// # Errors
/// Fails when the location names no backend of this build.
pub fn check_location(location: &str) -> Result<(), Error> {
    match locate(location)? {
        Location::Distributed(location) => ClickHouseStore::new(location, &ClickHouseConfig::default()).map(drop),
        _ => Ok(()),
    }
}

/// Reads `location`; one on ClickHouse is given as a whole, to be read where its password is kept out of errors.
fn locate(location: &str) -> Result<Location<'_>, Error> {
    match clickhouse::is_clickhouse(location) {
        true => Ok(Location::Distributed(location)),
        false => location::parse(location, DISTRIBUTED),
    }
}

/// The name on the wire of a value that is a plain text there.
fn name(value: &impl Serialize) -> String {
    let json = serde_json::to_value(value).expect("a plain enum");
    json.as_str().unwrap_or_default().to_owned()
}
