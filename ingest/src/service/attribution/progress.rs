//! What stands beside every example: how far attribution had come.

use plaudit_event::{Envelope, Event, Exposure, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::attribution::{Emission, Order};
use crate::log::{EventLog, Record, Topic};

/// How far attribution has come: stands beside every example in the log.
///
/// Exposures close in the order of their offsets whatever the windows are, so that "every exposure
/// exactly once" holds even across a change of the configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Every exposure below this offset was closed, or was known already.
    pub(super) closed: u64,
    /// The configuration that made the example.
    #[serde(default)]
    config: u64,
    /// Where that configuration took over from another; nothing when it was the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) takeover: Option<Takeover>,
}

/// The moment at which one configuration took over from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Takeover {
    /// Examples that had been written.
    pub(super) examples: u64,
    /// Exposures below this offset had been closed.
    pub(super) closed: u64,
    /// The last emission that had been written.
    pub(super) last: Order,
}

/// Where attribution stood when it was stopped.
pub(super) struct Standing {
    pub(super) progress: Progress,
    /// The last emission written under this configuration.
    last: Option<Order>,
}

impl Standing {
    /// Reads it from the last example; `config` tells the present configuration from others.
    pub(super) async fn read(log: &dyn EventLog, config: u64) -> Result<Self, Error> {
        let Some((offset, written)) = last_written(log).await? else {
            return Ok(Self { progress: Progress { config, ..Progress::default() }, last: None });
        };
        let Written { progress, order } = written;
        if progress.config == config {
            return Ok(Self { progress, last: Some(order) });
        }
        let takeover = Takeover { examples: offset + 1, closed: progress.closed, last: order };
        let progress = Progress { closed: progress.closed, config, takeover: Some(takeover) };
        Ok(Self { progress, last: None })
    }

    /// The time of the last emission written.
    pub(super) fn at(&self) -> Option<Timestamp> {
        let last = self.last.or(self.progress.takeover.map(|takeover| takeover.last));
        last.map(|order| order.at)
    }

    /// Whether an emission was written before, or was for the configuration before to write. What the
    /// joiner makes of a log that it reads from the middle is right only beyond that; see
    /// [`lookback_ms`](crate::attribution::lookback_ms).
    pub(super) fn covers(&self, emission: &Emission) -> bool {
        let was_written = self.last.is_some_and(|last| emission.order <= last);
        let was_before = self
            .progress
            .takeover
            .is_some_and(|takeover| emission.exposure_offset < takeover.closed && emission.order <= takeover.last);
        was_written || was_before
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

/// What the last example says of itself.
#[derive(Deserialize)]
struct Written {
    order: Order,
    progress: Progress,
}

/// The last example of this shard, with its offset; nothing before the first.
async fn last_written(log: &dyn EventLog) -> Result<Option<(u64, Written)>, Error> {
    let Some(last) = log.newest(Topic::Examples).await? else {
        return Ok(None);
    };
    let offset = last.offset;
    let written = serde_json::from_slice::<Written>(&last.value);
    let written =
        written.map_err(|error| Error::Record { topic: Topic::Examples, offset, detail: error.to_string() })?;
    Ok(Some((offset, written)))
}
