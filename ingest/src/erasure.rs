//! Erasure: taking everything about a unit out of the log and the store.
//!
//! What is looked for is found by reading all of it: exposures and examples of the unit, signals about these exposures,
//! and dead letters that name the unit or one of the exposures. First a [record](ErasureRecord) is made durable, so that
//! an erasure that is killed can be finished, and every reader of the log passes over what is about these exposures from
//! then on, whatever comes later. Then the content is taken out of the log and out of the store, and both are read again.

mod known;
mod record;
mod scan;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plaudit_event::{ExposureId, Timestamp, UnitId};
use serde::Serialize;

use crate::log::{self, EventLog, Topic};
use crate::store::EventStore;
use crate::{Error, Intake};

pub use known::Erasures;
pub use record::{ErasureRecord, UnitMark};
use scan::{LogScan, Wanted};

/// How often the log is read again for what was written while it was read, at most.
const PASSES: usize = 4;
/// How often to look whether the store has copied what was in the log, and the pause in between.
const LOOKS: usize = 100;
const PAUSE: Duration = Duration::from_millis(50);

/// Who is to be erased, and what is noted about it.
#[derive(Debug, Clone)]
pub struct Request {
    /// The unit as it is stored.
    pub unit: UnitId,
    /// Other names of the unit, such as the one before it was hashed: dead letters may hold them.
    pub aliases: Vec<UnitId>,
    /// Who asked.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// The checkpoints there are, each with the number of examples of the log that it was trained on.
    pub checkpoints: Vec<(String, u64)>,
    /// The number under which a reward model remembers an exposure.
    pub row_of: fn(&ExposureId) -> u64,
}

impl Request {
    fn names(&self) -> impl Iterator<Item = &UnitId> {
        std::iter::once(&self.unit).chain(&self.aliases)
    }
}

/// How much there is about a unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Held {
    /// Exposures.
    pub exposures: u64,
    /// Signals.
    pub signals: u64,
    /// Examples, corrections among them.
    pub examples: u64,
    /// Dead letters; only the log has their text.
    pub dead_letters: u64,
}

impl Held {
    /// Whether there is nothing.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// What an erasure found and left.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// In the log before.
    pub log_before: Held,
    /// In the store before.
    pub store_before: Held,
    /// In the log, read again afterwards.
    pub log_after: Held,
    /// In a log that cannot rewrite: what its readers pass over until the retention ends.
    pub log_hidden: Held,
    /// In the store, read again afterwards.
    pub store_after: Held,
    /// Checkpoints that were trained on examples of the unit, by this erasure and those before.
    pub checkpoints: Vec<String>,
    /// Erasures of this unit on record.
    pub records: u64,
}

impl Report {
    /// Whether nothing is left in log and store that anybody reads.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.log_after.is_nothing() && self.store_after.is_nothing()
    }
}

/// Erases a unit. Can be repeated: what an erasure before has missed or has been killed before is finished.
///
/// `intake` is the one that takes events into this log in this process, if there is one: it refuses from then on what is
/// about the exposures that were erased.
///
/// # Errors
/// Fails when log or store cannot be read or written, and when the store does not catch up with the log in time;
/// repeating it goes on.
pub async fn erase(
    log: &Arc<dyn EventLog>,
    store: &dyn EventStore,
    request: &Request,
    intake: Option<&Intake>,
) -> Result<Report, Error> {
    let mut wanted = Wanted::read(log, request).await?;
    let store_before = scan::store(store, &wanted).await?;
    let mut log_before = Held::default();
    let mut found = LogScan::read(log, &mut wanted).await?;
    for pass in 0..PASSES {
        if pass == 0 {
            log_before = found.held;
            scan::note_rows(store, &mut wanted).await?;
        }
        if found.held.is_nothing() && (pass > 0 || store_before.is_nothing()) {
            break;
        }
        record::write(log, request, &wanted, &found).await?;
        if let Some(intake) = intake {
            intake.forget(&wanted.prints());
        }
        take_out(log, &found).await?;
        wait_for_store(log, store).await?;
        for name in request.names() {
            store.erase(name).await?;
        }
        wanted.learn(log).await?;
        found = LogScan::read(log, &mut wanted).await?;
    }
    report(log, store, &wanted, (log_before, store_before, found)).await
}

/// Reads log and store and says what is left of a unit; writes nothing.
///
/// # Errors
/// Fails when log or store cannot be read.
pub async fn verify(log: &Arc<dyn EventLog>, store: &dyn EventStore, request: &Request) -> Result<Report, Error> {
    let mut wanted = Wanted::read(log, request).await?;
    let found = LogScan::read(log, &mut wanted).await?;
    let held = scan::store(store, &wanted).await?;
    report(log, store, &wanted, (found.held, held, found)).await
}

async fn report(
    log: &Arc<dyn EventLog>,
    store: &dyn EventStore,
    wanted: &Wanted,
    (log_before, store_before, found): (Held, Held, LogScan),
) -> Result<Report, Error> {
    let own: Vec<ErasureRecord> =
        record::read_all(log).await?.into_iter().filter(|record| wanted.is_about(record)).collect();
    let mut checkpoints: Vec<String> = own.iter().flat_map(|record| record.checkpoints.iter().cloned()).collect();
    checkpoints.sort();
    checkpoints.dedup();
    let store_after = scan::store(store, wanted).await?;
    let records = own.len() as u64;
    let (log_after, log_hidden) = (found.held, found.hidden);
    Ok(Report { log_before, store_before, log_after, log_hidden, store_after, checkpoints, records })
}

async fn take_out(log: &Arc<dyn EventLog>, found: &LogScan) -> Result<(), Error> {
    for (part, offsets) in &found.offsets {
        let view = log::shard(log, part.shard);
        // Readers of the log are in the way for moments only.
        let mut tries = 0;
        while let Err(error) = view.erase(part.topic, offsets.clone()).await {
            tries += 1;
            if tries >= LOOKS || !matches!(error, Error::Busy { .. }) {
                return Err(error);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(())
}

/// Waits until the store has copied what is in the log now: a batch on its way may hold what was just taken out.
async fn wait_for_store(log: &Arc<dyn EventLog>, store: &dyn EventStore) -> Result<(), Error> {
    let mut tails = BTreeMap::new();
    for shard in 0..log.shards() {
        for topic in [Topic::Exposures, Topic::Signals, Topic::Examples] {
            if shard == 0 || topic.is_sharded() {
                let tail = log::shard(log, shard).tail(topic).await?;
                tails.insert(log::Part { topic, shard }, tail);
            }
        }
    }
    for _ in 0..LOOKS {
        let positions = store.positions().await?;
        if tails.iter().all(|(part, tail)| positions.get(part).copied().unwrap_or(0) >= *tail) {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(Error::Busy { what: "records that the store has not copied yet", most: 0 })
}
