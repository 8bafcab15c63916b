//! The memory of ids after a restart: read back from the log.

use plaudit_event::Event;

use super::dedup::Dedup;
use super::fingerprint_of_id;
use crate::fingerprint::Fingerprint;
use crate::log::{Cursor, EventLog, Stored, Topic, data, is_exposure_next};
use crate::{Error, metrics};

/// Records read at a time.
const READ: usize = 2_000;

/// The newest ids of exposures and signals, noted in the order in which they were appended: what is
/// forgotten first is then what is oldest, whichever topic it is in.
pub(super) async fn rebuild(log: &dyn EventLog, capacity: usize) -> Result<Dedup, Error> {
    let mut dedup = Dedup::new(capacity);
    let mut exposures = newest(log, Topic::Exposures, capacity).await?;
    let mut signals = newest(log, Topic::Signals, capacity).await?;
    while let Some(is_exposure) = is_exposure_next(exposures.peek(log).await?, signals.peek(log).await?) {
        let next = if is_exposure { &mut exposures } else { &mut signals };
        if let Some(stored) = next.pop() {
            note(&mut dedup, next.topic, &stored);
        }
    }
    Ok(dedup)
}

/// A cursor before the newest records of `topic`, half of the capacity.
async fn newest(log: &dyn EventLog, topic: Topic, capacity: usize) -> Result<Cursor, Error> {
    let tail = log.tail(topic).await?;
    Ok(Cursor::new(topic, tail.saturating_sub(capacity as u64 / 2), READ))
}

fn note(dedup: &mut Dedup, topic: Topic, stored: &Stored) {
    let event = match topic {
        Topic::Exposures => data(stored).map(Event::Exposure),
        _ => data(stored).map(Event::Signal),
    };
    let Ok(mut event) = event else {
        metrics::unreadable(topic, "intake");
        return;
    };
    if let Some(id) = fingerprint_of_id(&event) {
        dedup.remember(id, Fingerprint::of_content(&mut event));
    }
}
