//! What stands beside every example: how far attribution had come.

use plaudit_event::{Envelope, Event, Exposure, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::attribution::{Emission, Order, Phase};
use crate::log::{EventLog, Record, Topic};

/// How far attribution has come: stands beside every example in the log.
///
/// Exposures close in the order of their offsets whatever the windows are, so that "every exposure
/// exactly once" holds even across a change of the configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Every exposure below this offset was closed, or was known already.
    pub(super) closed: u64,
    /// The time of the newest emission.
    pub(super) at: Timestamp,
    /// The signal that made the last correction at that time, if there was one.
    corrected: Option<u64>,
}

impl Progress {
    /// Whether an emission was written before. What the joiner makes of a log that it reads from the
    /// middle is right only beyond that; see [`lookback_ms`](crate::attribution::lookback_ms).
    pub(super) fn covers(&self, order: Order) -> bool {
        match order.phase {
            Phase::Close => order.cause < self.closed,
            Phase::Correction => order.at < self.at || (order.at == self.at && Some(order.cause) <= self.corrected),
        }
    }

    pub(super) fn note(&mut self, emission: &Emission) {
        let order = emission.order;
        self.closed = self.closed.max(emission.closed);
        if order.at > self.at {
            self.at = order.at;
            self.corrected = None;
        }
        if order.phase == Phase::Correction {
            self.corrected = Some(order.cause);
        }
    }
}

/// The value of a record of topic `examples`: an envelope with two more fields.
#[derive(Serialize)]
struct ExampleRecord {
    #[serde(flatten)]
    envelope: Envelope,
    order: Order,
    progress: Progress,
}

/// The record of an emission.
pub(super) fn record(emission: &Emission, exposure: Exposure, progress: Progress) -> Record {
    let key = exposure.exposure_id.to_string();
    let example = Event::Example(emission.example(exposure));
    let value =
        serde_json::to_vec(&ExampleRecord { envelope: Envelope::new(example), order: emission.order, progress });
    Record { key, value: value.expect("an example has only string keys") }
}

/// How far the last example says that attribution had come; nothing before the first.
pub(super) async fn last_progress(log: &dyn EventLog) -> Result<Option<Progress>, Error> {
    #[derive(Deserialize)]
    struct Written {
        progress: Progress,
    }
    let tail = log.tail(Topic::Examples).await?;
    let Some(offset) = tail.checked_sub(1) else {
        return Ok(None);
    };
    let last = log.read(Topic::Examples, offset, 1).await?;
    let Some(last) = last.first() else {
        return Ok(None);
    };
    let written = serde_json::from_slice::<Written>(&last.value);
    let written =
        written.map_err(|error| Error::Record { topic: Topic::Examples, offset, detail: error.to_string() })?;
    Ok(Some(written.progress))
}
