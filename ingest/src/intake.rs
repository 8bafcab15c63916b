//! The front door: decode, validate, recognise duplicates, make durable, answer for each event.

mod accept;
mod dedup;
mod judge;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use plaudit_event::{Clock, Event};
use serde_json::Value;
use tokio::sync::Notify;

use crate::fingerprint::Fingerprint;
use crate::log::{EventLog, Topic, data};
use crate::{Config, Error, Outcome, metrics};
use dedup::Dedup;
use judge::{Judge, Judged};

pub use judge::{MAX_EVENT_BYTES, MAX_ITEM_ID_BYTES, MAX_SLATE, MAX_TEXT_BYTES, MAX_TOKEN_LOGPROBS};

/// Records read at a time when the memory of ids is rebuilt.
const REBUILD_BATCH: usize = 2_000;

/// Takes events in. Cheap to clone; all clones share one memory of ids.
///
/// Every method answers with one [`Outcome`] per event, in order. `Accepted` and `Duplicate` promise
/// that the event is durable. An `Err` means that no promise is made about any event of the batch:
/// send the whole batch again, what was taken already will be a duplicate. A caller that goes away
/// does not stop its batch.
#[derive(Clone)]
pub struct Intake {
    inner: Arc<Inner>,
}

struct Inner {
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    judge: Judge,
    max_batch: usize,
    dedup: Mutex<Dedup>,
    /// Told whenever an id in flight is settled.
    settled: Notify,
    totals: Counters,
}

/// How many events met which fate since the start:
/// `received = accepted + duplicate + rejected + quarantined + unavailable`, once all calls have
/// returned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Events handed in.
    pub received: u64,
    /// Made durable.
    pub accepted: u64,
    /// Durable before.
    pub duplicate: u64,
    /// Refused for good.
    pub rejected: u64,
    /// Kept to be replayed.
    pub quarantined: u64,
    /// Handed back because the log could not be written.
    pub unavailable: u64,
}

#[derive(Default)]
struct Counters {
    received: AtomicU64,
    accepted: AtomicU64,
    duplicate: AtomicU64,
    rejected: AtomicU64,
    quarantined: AtomicU64,
    unavailable: AtomicU64,
}

impl Intake {
    /// Starts taking events into `log`; remembers the newest ids that are in it already.
    ///
    /// # Errors
    /// Fails when the log cannot be read.
    pub async fn open(log: Arc<dyn EventLog>, clock: Arc<dyn Clock>, config: &Config) -> Result<Self, Error> {
        let mut dedup = Dedup::new(config.dedup_capacity);
        for topic in [Topic::Exposures, Topic::Signals] {
            remember(&*log, topic, config.dedup_capacity / 2, &mut dedup).await?;
        }
        let inner = Inner {
            log,
            clock,
            judge: Judge::new(config),
            max_batch: config.max_batch,
            dedup: Mutex::new(dedup),
            settled: Notify::new(),
            totals: Counters::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Takes signals as JSON objects; one without `ts` happens now.
    ///
    /// # Errors
    /// Fails when the batch is too long, and when the log cannot be written.
    pub async fn signals(&self, items: Vec<Value>) -> Result<Vec<Outcome>, Error> {
        let now = self.inner.clock.now();
        let judge = |item| self.inner.judge.signal(item, now);
        self.take(items.len(), items.into_iter().map(judge)).await
    }

    /// Takes exposures as JSON objects; one without `ts` happens now.
    ///
    /// # Errors
    /// Fails when the batch is too long, and when the log cannot be written.
    pub async fn exposures(&self, items: Vec<Value>) -> Result<Vec<Outcome>, Error> {
        let now = self.inner.clock.now();
        let judge = |item| self.inner.judge.exposure(item, now);
        self.take(items.len(), items.into_iter().map(judge)).await
    }

    /// Takes envelopes, each the bytes of one JSON text, of exposures and signals.
    ///
    /// # Errors
    /// Fails when the batch is too long, and when the log cannot be written.
    pub async fn envelopes(&self, items: Vec<Vec<u8>>) -> Result<Vec<Outcome>, Error> {
        let now = self.inner.clock.now();
        let judge = |item| self.inner.judge.envelope(item, now);
        self.take(items.len(), items.into_iter().map(judge)).await
    }

    /// Takes events that are typed already, such as the exposures that this process served.
    ///
    /// # Errors
    /// Fails when the batch is too long, and when the log cannot be written.
    pub async fn events(&self, items: Vec<Event>) -> Result<Vec<Outcome>, Error> {
        let now = self.inner.clock.now();
        let judge = |item| self.inner.judge.event(item, now);
        self.take(items.len(), items.into_iter().map(judge)).await
    }

    /// The sums so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.inner.totals.read()
    }

    async fn take(&self, count: usize, judged: impl Iterator<Item = Judged>) -> Result<Vec<Outcome>, Error> {
        if count > self.inner.max_batch {
            return Err(Error::Limit {
                what: "events of one batch",
                allowed: format!("at most {}", self.inner.max_batch),
                value: count.to_string(),
            });
        }
        self.inner.totals.count_received(count);
        let judged: Vec<Judged> = judged.collect();
        // A task of its own: a caller that goes away must not leave ids in flight for ever.
        let task = tokio::spawn(accept::accept(self.inner.clone(), judged));
        let settled = task.await.unwrap_or_else(|error| Err(Error::Task { what: "intake", detail: error.to_string() }));
        match &settled {
            Ok(outcomes) => self.inner.totals.count_outcomes(outcomes),
            Err(_) => self.inner.totals.count_unavailable(count),
        }
        settled
    }
}

impl Counters {
    fn count_received(&self, count: usize) {
        self.received.fetch_add(count as u64, Ordering::Relaxed);
        metrics::intake_received(count);
    }

    fn count_unavailable(&self, count: usize) {
        self.unavailable.fetch_add(count as u64, Ordering::Relaxed);
        metrics::intake_outcome("unavailable", "", count);
    }

    fn count_outcomes(&self, outcomes: &[Outcome]) {
        let (mut accepted, mut duplicate) = (0, 0);
        for outcome in outcomes {
            match outcome {
                Outcome::Accepted => accepted += 1,
                Outcome::Duplicate => duplicate += 1,
                Outcome::Rejected(refusal) => {
                    self.rejected.fetch_add(1, Ordering::Relaxed);
                    metrics::intake_outcome("rejected", refusal.reason.as_str(), 1);
                }
                Outcome::Quarantined(refusal) => {
                    self.quarantined.fetch_add(1, Ordering::Relaxed);
                    metrics::intake_outcome("quarantined", refusal.reason.as_str(), 1);
                }
            }
        }
        self.accepted.fetch_add(accepted as u64, Ordering::Relaxed);
        self.duplicate.fetch_add(duplicate as u64, Ordering::Relaxed);
        metrics::intake_outcome("accepted", "", accepted);
        metrics::intake_outcome("duplicate", "", duplicate);
    }

    fn read(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            received: read(&self.received),
            accepted: read(&self.accepted),
            duplicate: read(&self.duplicate),
            rejected: read(&self.rejected),
            quarantined: read(&self.quarantined),
            unavailable: read(&self.unavailable),
        }
    }
}

/// Reads the newest `count` ids of `topic` into `dedup`.
async fn remember(log: &dyn EventLog, topic: Topic, count: usize, dedup: &mut Dedup) -> Result<(), Error> {
    let tail = log.tail(topic).await?;
    let mut next = tail.saturating_sub(count as u64);
    while next < tail {
        let batch = log.read(topic, next, REBUILD_BATCH).await?;
        let Some(last) = batch.last() else { break };
        next = last.offset + 1;
        for stored in &batch {
            let event = match topic {
                Topic::Exposures => data(stored).map(Event::Exposure),
                _ => data(stored).map(Event::Signal),
            };
            let Ok(mut event) = event else {
                metrics::unreadable(topic, "intake");
                continue;
            };
            if let Some(id) = fingerprint_of_id(&event) {
                let content = Fingerprint::of_content(&mut event);
                dedup.remember(id, content);
            }
        }
    }
    Ok(())
}

/// The fingerprint under which duplicates of `event` are found; examples have none.
fn fingerprint_of_id(event: &Event) -> Option<Fingerprint> {
    match event {
        Event::Exposure(exposure) => {
            let id = exposure.exposure_id.as_str();
            Some(Fingerprint::of_id("exposure", id))
        }
        Event::Signal(signal) => Some(Fingerprint::of_id("signal", signal.signal_id.as_str())),
        Event::Example(_) => None,
    }
}
