//! The memory of ids after a restart: read back from the log.

use std::sync::Arc;

use plaudit_event::{Event, Timestamp};

use super::dedup::Dedup;
use super::judge::Judge;
use crate::log::{Cursor, EventLog, Origin, Stored, Topic, data, is_exposure_next, shard};
use crate::quality::Guard;
use crate::{Error, metrics};

/// Records read at a time.
const READ: usize = 2_000;

/// Most ids that are read back from a shared log: its readers recognise duplicates themselves, and a
/// process must start in time.
const SHARED: usize = 100_000;

/// The newest ids of exposures and signals, noted shard by shard in the order in which they were appended:
/// what is forgotten first is then what is oldest, whichever topic it is in.
/// The guard is told again what it was told then.
pub(super) async fn rebuild(
    log: &Arc<dyn EventLog>,
    capacity: usize,
    judge: &Judge,
    guard: &mut Guard,
) -> Result<Dedup, Error> {
    let mut dedup = Dedup::new(capacity);
    let of_all = if log.is_shared() { capacity.min(SHARED) } else { capacity };
    let share = of_all / log.shards() as usize;
    for number in 0..log.shards() {
        let log = &*shard(log, number);
        let mut exposures = newest(log, Topic::Exposures, share).await?;
        let mut signals = newest(log, Topic::Signals, share).await?;
        while let Some(is_exposure) = is_exposure_next(exposures.peek(log).await?, signals.peek(log).await?) {
            let next = if is_exposure { &mut exposures } else { &mut signals };
            // What a product wrote past intake is for the readers of the log to check.
            if let Some(stored) = next.pop().filter(|stored| stored.origin == Origin::Checked)
                && let Some(event) = open(next.topic, &stored)
            {
                note(&mut dedup, judge, guard, (event, stored.appended));
            }
        }
    }
    Ok(dedup)
}

/// A cursor before the newest records of `topic`, half of the capacity.
async fn newest(log: &dyn EventLog, topic: Topic, capacity: usize) -> Result<Cursor, Error> {
    let tail = log.tail(topic).await?;
    Ok(Cursor::new(topic, tail.saturating_sub(capacity as u64 / 2), READ))
}

fn open(topic: Topic, stored: &Stored) -> Option<Event> {
    let event = match topic {
        Topic::Exposures => data(stored).map(Event::Exposure),
        _ => data(stored).map(Event::Signal),
    };
    if event.is_err() {
        metrics::unreadable(topic, "intake");
    }
    event.ok()
}

fn note(dedup: &mut Dedup, judge: &Judge, guard: &mut Guard, (mut event, at): (Event, Timestamp)) {
    if let Some(facts) = judge.facts(&event) {
        // It was admitted then; under another configuration it might not be, but it is there.
        let _admitted = guard.admit(&facts, at);
    }
    if let Some((id, content)) = judge.fingerprints_of_stored(&mut event) {
        dedup.remember(id, content);
    }
}
