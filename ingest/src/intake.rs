//! The front door: decode, validate, recognise duplicates, make durable, answer for each event.

mod accept;
mod dedup;
mod judge;
mod rebuild;
mod screen;
mod totals;

use std::sync::{Arc, Mutex};

use plaudit_event::{Clock, Event};
use serde_json::Value;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::fingerprint::Fingerprint;
use crate::log::EventLog;
use crate::quality::suspects::Suspect;
use crate::quality::{BotFilter, Guard};
use crate::{Config, Error, Outcome, Refusal};
use dedup::Dedup;
use judge::{Judge, Judged};
use totals::{Counters, Redactions};

pub(crate) use screen::{Screen, Screened};

pub(crate) use judge::CUT_BYTES;
pub use judge::{MAX_EVENT_BYTES, MAX_ITEM_ID_BYTES, MAX_SLATE, MAX_SPANS, MAX_TEXT_BYTES, MAX_TOKEN_LOGPROBS};
pub use totals::Totals;

/// Takes events in. Cheap to clone; all clones share one memory of ids.
///
/// Every method answers with one [`Outcome`] per event, in order. `Accepted` and `Duplicate` promise
/// that the event is durable. An `Err` means that no promise is made about any event of the batch:
/// send the whole batch again, what was taken already will be a duplicate. A caller that goes away
/// does not stop its batch; while `max_in_flight` events are on their way, further ones are turned
/// away as unavailable.
#[derive(Clone)]
pub struct Intake {
    inner: Arc<Inner>,
}

struct Inner {
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    judge: Judge,
    max_batch: usize,
    max_in_flight: usize,
    /// One permit per event that may still be taken in.
    room: Arc<Semaphore>,
    dedup: Mutex<Dedup>,
    guard: Mutex<Guard>,
    /// Told whenever an id in flight is settled.
    settled: Notify,
    totals: Counters,
}

impl Intake {
    /// Starts taking events into `log`; remembers the newest ids that are in it already.
    ///
    /// # Errors
    /// Fails when the log cannot be read, and when names of units are to be hashed and there is no salt.
    pub async fn open(log: Arc<dyn EventLog>, clock: Arc<dyn Clock>, config: &Config) -> Result<Self, Error> {
        Self::open_filtered(log, clock, config, None).await
    }

    /// As [`open`](Self::open), with a predicate beside the rules in `quality.bots`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_filtered(
        log: Arc<dyn EventLog>,
        clock: Arc<dyn Clock>,
        config: &Config,
        is_bot: Option<BotFilter>,
    ) -> Result<Self, Error> {
        config.quality.hashing.check()?;
        let mut guard = Guard::new(config);
        let judge = Judge::of_intake(config, is_bot);
        let mut dedup = rebuild::rebuild(&log, config.dedup_capacity, &judge, &mut guard).await?;
        dedup.erased.follow(&log).await?;
        let inner = Inner {
            log,
            clock,
            judge,
            max_batch: config.max_batch,
            max_in_flight: config.max_in_flight,
            room: Arc::new(Semaphore::new(config.max_in_flight.min(Semaphore::MAX_PERMITS))),
            dedup: Mutex::new(dedup),
            guard: Mutex::new(guard),
            settled: Notify::new(),
            totals: Counters::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Takes signals as JSON objects; one without `ts` happens now.
    ///
    /// # Errors
    /// Fails when the batch is too long, when too much is in flight, and when the log cannot be written.
    pub async fn signals(&self, items: Vec<Value>) -> Result<Vec<Outcome>, Error> {
        let now = self.inner.clock.now();
        let judge = |item| self.inner.judge.signal(item, now);
        self.take(items.len(), items.into_iter().map(judge)).await
    }

    /// Takes exposures as JSON objects; one without `ts` happens now.
    ///
    /// # Errors
    /// Fails when the batch is too long, when too much is in flight, and when the log cannot be written.
    pub async fn exposures(&self, items: Vec<Value>) -> Result<Vec<Outcome>, Error> {
        let now = self.inner.clock.now();
        let judge = |item| self.inner.judge.exposure(item, now);
        self.take(items.len(), items.into_iter().map(judge)).await
    }

    /// Takes envelopes, each the bytes of one JSON text, of exposures and signals.
    ///
    /// # Errors
    /// Fails when the batch is too long, when too much is in flight, and when the log cannot be written.
    pub async fn envelopes(&self, items: Vec<Vec<u8>>) -> Result<Vec<Outcome>, Error> {
        let now = self.inner.clock.now();
        let judge = |item| self.inner.judge.envelope(item, now);
        self.take(items.len(), items.into_iter().map(judge)).await
    }

    /// Takes events that are typed already, such as the exposures that this process served.
    ///
    /// # Errors
    /// Fails when the batch is too long, when too much is in flight, and when the log cannot be written.
    pub async fn events(&self, items: Vec<Event>) -> Result<Vec<Outcome>, Error> {
        let now = self.inner.clock.now();
        let judge = |item| self.inner.judge.event(item, now);
        self.take(items.len(), items.into_iter().map(judge)).await
    }

    /// Whether an envelope would be taken now, apart from what else there is with its id.
    ///
    /// # Errors
    /// Says why it would be refused.
    pub fn check(&self, envelope: Vec<u8>) -> Result<(), Refusal> {
        match self.inner.judge.envelope(envelope, self.inner.clock.now()) {
            Judged::Dead(dead) => Err(dead.refusal),
            Judged::Valid(_) | Judged::Sampled => Ok(()),
        }
    }

    /// Refuses from now on what is about these exposures.
    pub(crate) fn forget(&self, exposures: &[Fingerprint]) {
        let mut dedup = self.inner.dedup.lock().expect("no code panics under this lock");
        dedup.erased.add(exposures.iter().copied());
    }

    /// The sums so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.inner.totals.read()
    }

    /// How often each rule of redaction was met so far.
    #[must_use]
    pub fn redactions(&self) -> Vec<(String, u64)> {
        self.inner.judge.redactions().map(Redactions::read).unwrap_or_default()
    }

    /// The units whose signals are quarantined on suspicion.
    #[must_use]
    pub fn suspects(&self) -> Vec<Suspect> {
        self.inner.guard().suspects(self.inner.clock.now())
    }

    async fn take(&self, count: usize, judged: impl Iterator<Item = Judged>) -> Result<Vec<Outcome>, Error> {
        if count > self.inner.max_batch {
            return Err(Error::Limit {
                what: "events of one batch",
                allowed: format!("at most {}", self.inner.max_batch),
                value: count.to_string(),
            });
        }
        let batch = Batch::enter(&self.inner, count)?;
        let judged: Vec<Judged> = judged.collect();
        // A task of its own: a caller that goes away must not leave ids in flight for ever.
        let task = tokio::spawn(async move {
            let settled = accept::accept(batch.inner.clone(), judged).await;
            batch.settle(&settled);
            settled
        });
        task.await.unwrap_or_else(|error| Err(Error::Task { what: "intake", detail: error.to_string() }))
    }
}

/// A batch on its way, whether or not its caller still waits. Every event of it is counted once, also
/// when the task that took it dies.
struct Batch {
    inner: Arc<Inner>,
    /// Events whose fate is not counted yet.
    open: usize,
    _room: OwnedSemaphorePermit,
}

impl Batch {
    /// Takes room for `count` events, or turns them away.
    fn enter(inner: &Arc<Inner>, count: usize) -> Result<Self, Error> {
        inner.totals.count_received(count);
        let permits = u32::try_from(count).unwrap_or(u32::MAX);
        match inner.room.clone().try_acquire_many_owned(permits) {
            Ok(room) => Ok(Self { inner: inner.clone(), open: count, _room: room }),
            Err(_) => {
                inner.totals.count_unavailable(count);
                Err(Error::Busy { what: "events in flight", most: inner.max_in_flight })
            }
        }
    }

    fn settle(mut self, settled: &Result<Vec<Outcome>, Error>) {
        if let Ok(outcomes) = settled {
            self.open = 0;
            self.inner.totals.count_outcomes(outcomes);
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.inner.totals.count_unavailable(self.open);
    }
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
