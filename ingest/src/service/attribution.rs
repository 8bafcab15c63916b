//! Attribution as a service: reads exposures and signals, appends examples.
//!
//! Exactly once without a transaction: beside every example stands how far attribution had come
//! (`Progress`). After a crash the log is read again from far enough back, and what that progress
//! covers is not written a second time.
//!
//! A change of the configuration takes effect on what is emitted from then on. Examples that were
//! written before stay as they are; when the new configuration makes other labels of what comes later,
//! they are corrected, with the revision after the one that was written.

mod earlier;
mod pages;
mod progress;
mod report;

use std::sync::Arc;

use plaudit_event::{Exposure, Signal, Timestamp};
use tokio::sync::watch;

use super::CatchUp;
use crate::attribution::{Emission, ExposureHead, Joiner, JoinerStats, lookback_ms};
use crate::intake::{Screen, Screened};
use crate::log::{Cursor, EventLog, Part, Topic, data, is_exposure_next};
use crate::{Config, Error, metrics};
use earlier::Earlier;
use pages::Pages;
use progress::{Progress, Standing, record};

/// Records read at a time.
const READ: usize = 256;
/// Examples appended at a time.
const APPEND: usize = 256;
/// Records after which a long catching up says how far it has come.
const REPORT: u64 = 64 * READ as u64;

/// What one `catch_up` did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributed {
    /// Exposures and signals read.
    pub records: u64,
    /// Examples appended for the first time.
    pub examples: u64,
    /// Corrections appended.
    pub corrections: u64,
}

/// Turns the exposures and signals of one shard into examples.
///
/// At most one may run on a shard; a log with several shards fences the one that ran before.
pub struct AttributionService {
    log: Arc<dyn EventLog>,
    config: Config,
    /// `None` before the first step, and after a failure: then it is read back from the log.
    state: Option<State>,
}

struct State {
    joiner: Joiner,
    standing: Standing,
    /// How far attribution is now.
    progress: Progress,
    earlier: Earlier,
    exposures: Cursor,
    signals: Cursor,
    shard: u32,
    screen: Screen,
    /// Exposures read a second time, at their close and when they are corrected.
    shown: Pages,
    reported: JoinerStats,
}

impl AttributionService {
    /// A service on the shard that `log` is seen from. Nothing is read before the first step.
    #[must_use]
    pub fn new(log: Arc<dyn EventLog>, config: Config) -> Self {
        Self { log, config, state: None }
    }

    /// Attributes everything up to the horizon of the log, and returns when the examples are
    /// durable.
    ///
    /// # Errors
    /// Fails when the log cannot be read or written; calling again goes on where the log stands.
    pub async fn catch_up(&mut self) -> Result<Attributed, Error> {
        let horizon = self.log.horizon().await?;
        let mut state = match self.state.take() {
            Some(state) => state,
            None => self.restore().await?,
        };
        if state.screen.follow(&self.log).await? {
            // What was erased is not kept here either.
            state.shown.clear();
        }
        // On an error the state is dropped: whether the append was written is for the log to say.
        let done = state.catch_up(&*self.log, horizon).await?;
        state.report(done);
        let told = state.report_standing(&*self.log, horizon).await;
        self.state = Some(state);
        told.map(|()| done)
    }

    /// Catches up again and again until `shutdown` says true.
    ///
    /// # Errors
    /// Fails on what waiting does not mend, such as damaged data.
    pub async fn run(&mut self, shutdown: watch::Receiver<bool>) -> Result<(), Error> {
        let poll = self.config.poll;
        super::run(self, poll, shutdown).await
    }

    /// What attribution holds in memory; empty before the first step.
    #[must_use]
    pub fn stats(&self) -> JoinerStats {
        let joiner = self.state.as_ref().map(|state| &state.joiner);
        joiner.map(Joiner::stats).unwrap_or_default()
    }

    /// Reads the progress from the last example, and goes as far back as the windows reach.
    async fn restore(&self) -> Result<State, Error> {
        self.config.quality.hashing.check()?;
        let standing = Standing::read(&*self.log, self.config.attribution().head()).await?;
        let (mut exposures, mut signals) = (0, 0);
        let mut earlier = Earlier::default();
        if let Some(at) = standing.at() {
            let unclosed = self.log.read(Topic::Exposures, standing.progress.closed, 1).await?;
            let first = unclosed.first().map_or(at, |s| s.appended);
            let lookback = lookback_ms(&self.config);
            let from = first.min(at).plus_millis(-lookback);
            exposures = self.log.seek(Topic::Exposures, from).await?;
            signals = self.log.seek(Topic::Signals, from).await?;
            if let Some(takeover) = standing.progress.takeover {
                earlier = Earlier::read(&*self.log, takeover, from, lookback).await?;
            }
        }
        tracing::info!(exposures, signals, "attribution starts");
        Ok(State {
            joiner: Joiner::new(&self.config),
            progress: standing.progress,
            standing,
            earlier,
            exposures: Cursor::new(Topic::Exposures, exposures, READ),
            signals: Cursor::new(Topic::Signals, signals, READ),
            shard: self.log.this_shard(),
            screen: Screen::new(&self.config, self.log.shards()),
            shown: Pages::new(Topic::Exposures),
            reported: JoinerStats::default(),
        })
    }
}

impl CatchUp for AttributionService {
    const NAME: &'static str = "attribution";

    async fn step(&mut self) -> Result<(), Error> {
        self.catch_up().await.map(drop)
    }
}

impl State {
    async fn catch_up(&mut self, log: &dyn EventLog, horizon: Timestamp) -> Result<Attributed, Error> {
        let mut done = Attributed::default();
        let mut emissions = Vec::new();
        loop {
            let exposure = self.exposures.peek(log).await?.filter(|appended| *appended < horizon);
            let signal = self.signals.peek(log).await?.filter(|appended| *appended < horizon);
            let Some(is_exposure) = is_exposure_next(exposure, signal) else { break };
            self.feed(is_exposure, &mut emissions);
            done.records += 1;
            if emissions.len() >= APPEND {
                self.write(log, &mut emissions, &mut done).await?;
            }
            if done.records % READ as u64 == 0 {
                // Decoding is work for the processor: let others have it too.
                tokio::task::yield_now().await;
            }
            if done.records % REPORT == 0 {
                let at = exposure.into_iter().chain(signal).min().unwrap_or(horizon);
                self.report_standing(log, at).await?;
            }
        }
        self.joiner.advance(horizon, &mut emissions);
        self.write(log, &mut emissions, &mut done).await?;
        self.earlier.forget(horizon);
        Ok(done)
    }

    /// Feeds the next record. One that cannot be read is passed over, and counted.
    fn feed(&mut self, is_exposure: bool, emissions: &mut Vec<Emission>) {
        let cursor = match is_exposure {
            true => &mut self.exposures,
            false => &mut self.signals,
        };
        let topic = cursor.topic;
        let Some(stored) = cursor.pop() else { return };
        let (appended, offset) = (stored.appended, stored.offset);
        // What does not count is for the sink to deal with.
        let Screened::Counts(stored) = self.screen.look(stored, Part { topic, shard: self.shard }) else { return };
        let read = if is_exposure {
            data::<ExposureHead>(&stored).map(|exposure| {
                self.joiner.exposure(appended, offset, &exposure, emissions);
            })
        } else {
            data::<Signal>(&stored).map(|signal| {
                self.joiner.signal(appended, offset, &signal, emissions);
            })
        };
        if read.is_err() {
            tracing::error!(%topic, offset, "record cannot be read");
            metrics::unreadable(topic, "attribution");
        }
    }

    /// Appends what is new among `emissions`, in order, and empties it.
    async fn write(
        &mut self,
        log: &dyn EventLog,
        emissions: &mut Vec<Emission>,
        done: &mut Attributed,
    ) -> Result<(), Error> {
        let mut emissions = std::mem::take(emissions).into_iter().peekable();
        while emissions.peek().is_some() {
            let mut records = Vec::with_capacity(APPEND);
            let mut progress = self.progress;
            for emission in emissions.by_ref() {
                if self.standing.covers(&emission) {
                    continue;
                }
                progress.closed = progress.closed.max(emission.closed);
                let Some(exposure) = self.exposure(log, &emission).await? else { continue };
                let Some(emission) = self.earlier.continued(emission, &exposure.exposure_id) else { continue };
                records.push(record(&emission, exposure, progress));
                match emission.revision {
                    0 => done.examples += 1,
                    _ => done.corrections += 1,
                }
                if records.len() >= APPEND {
                    break;
                }
            }
            if !records.is_empty() {
                log.append(Topic::Examples, records).await?;
            }
            self.progress = progress;
        }
        Ok(())
    }

    /// Reads the exposure of `emission` again.
    async fn exposure(&mut self, log: &dyn EventLog, emission: &Emission) -> Result<Option<Exposure>, Error> {
        let offset = emission.exposure_offset;
        let stored = self.shown.get(log, offset).await?;
        let part = Part { topic: Topic::Exposures, shard: self.shard };
        match stored.map(|stored| self.screen.look(stored, part)) {
            Some(Screened::Counts(stored)) => {
                if let Ok(exposure) = data::<Exposure>(&stored) {
                    return Ok(Some(exposure));
                }
            }
            // Erased since it was shown.
            Some(Screened::Empty) => return Ok(None),
            _ => {}
        }
        tracing::error!(topic = %Topic::Exposures, offset, "record cannot be read");
        metrics::unreadable(Topic::Exposures, "attribution");
        Ok(None)
    }
}
