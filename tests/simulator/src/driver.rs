//! Drives a product over HTTP: sends the users' requests, waits the time each reaction takes, sends
//! the reactions, and remembers the truth.

mod counters;
mod http;
mod sender;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use plaudit_event::{Clock, ExposureId};
use tokio::task::JoinSet;

pub use counters::{Counters, Counts};

use crate::record::{Choice, Record, Row, Sample};
use crate::users::{Crowd, PlannedSignal, Visit};
use crate::{Error, Scenario};
use http::{Answer, Http};
use sender::Sender;

/// One in so many exchanges is remembered word by word.
const SAMPLE_EVERY: u64 = 16;

/// A stretch of traffic.
#[derive(Debug, Clone)]
pub struct PhaseSpec {
    /// Number of requests; the phase ends when they are answered or have failed.
    pub exposures: u64,
    /// Number of sessions, each with one request under way; at least 1.
    pub concurrency: usize,
    /// Ends the phase early once it is true; requests under way are finished.
    pub stop: Option<Arc<AtomicBool>>,
}

impl PhaseSpec {
    /// `exposures` requests from `concurrency` sessions.
    #[must_use]
    pub const fn of(exposures: u64, concurrency: usize) -> Self {
        Self { exposures, concurrency, stop: None }
    }

    /// Traffic from `concurrency` sessions until `stop` is true.
    #[must_use]
    pub const fn until(stop: Arc<AtomicBool>, concurrency: usize) -> Self {
        Self { exposures: u64::MAX, concurrency, stop: Some(stop) }
    }
}

/// What a stretch of traffic was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase {
    /// Numbers of its requests, for [`Record`].
    pub requests: Range<u64>,
    /// Requests without an answer after all attempts.
    pub failed: u64,
}

/// Sends the traffic of one scenario to one product.
///
/// Must be made and used inside a tokio runtime. Dropping it stops sending; signals not yet sent
/// are lost, so [`Driver::drain`] first.
#[derive(Debug)]
pub struct Driver {
    shared: Arc<Shared>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Shared {
    crowd: Crowd,
    http: Arc<Http>,
    sender: Sender,
    counters: Arc<Counters>,
    record: Mutex<Record>,
}

impl Driver {
    /// A driver of `scenario` against the product at `url`, such as `http://127.0.0.1:8080`.
    /// `clock` gives the times of the signals.
    ///
    /// # Errors
    /// Fails when the scenario is invalid or `url` is no address.
    pub fn new(url: &str, scenario: Scenario, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        scenario.check()?;
        let counters = Arc::new(Counters::default());
        let http = Arc::new(Http::new(url, scenario.client, Arc::clone(&counters))?);
        let sender = Sender::spawn(Arc::clone(&http), Arc::clone(&counters), clock);
        let record = Mutex::new(Record::new(scenario.client.max_rows));
        let shared = Shared { crowd: Crowd::new(scenario), http, sender, counters, record };
        Ok(Self { shared: Arc::new(shared), next: AtomicU64::new(0) })
    }

    /// The users.
    #[must_use]
    pub fn crowd(&self) -> &Crowd {
        &self.shared.crowd
    }

    /// Live counts, for progress displays.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.shared.counters)
    }

    /// Looks at what is remembered; traffic waits meanwhile.
    pub fn with_record<R>(&self, look: impl FnOnce(&Record) -> R) -> R {
        let record = self.shared.record.lock();
        look(&record.unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends traffic; the request numbers go on from the phase before. Signals whose time has not
    /// come go on being sent after the phase.
    ///
    /// # Errors
    /// Fails only when the signal sender stopped; requests that fail are counted.
    pub async fn run_phase(&self, spec: &PhaseSpec) -> Result<Phase, Error> {
        let start = self.next.load(Ordering::SeqCst);
        let end = start.saturating_add(spec.exposures);
        let next = Arc::new(AtomicU64::new(start));
        let failed = Arc::new(AtomicU64::new(0));
        let mut sessions = JoinSet::new();
        for _ in 0..spec.concurrency.max(1) {
            let shared = Arc::clone(&self.shared);
            let (next, failed) = (Arc::clone(&next), Arc::clone(&failed));
            let stop = spec.stop.clone();
            sessions.spawn(async move {
                let stopped = || stop.as_ref().is_some_and(|s| s.load(Ordering::Relaxed));
                while !stopped() {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    if index >= end {
                        break;
                    }
                    if !shared.serve(index).await? {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Ok::<(), Error>(())
            });
        }
        while let Some(session) = sessions.join_next().await {
            session.expect("a session neither panics nor is cancelled")?;
        }
        let end = next.load(Ordering::SeqCst).min(end);
        self.next.store(end, Ordering::SeqCst);
        Ok(Phase { requests: start..end, failed: failed.load(Ordering::Relaxed) })
    }

    /// Sends every outstanding signal now, also those whose time has not come, in the order of
    /// their times.
    ///
    /// # Errors
    /// Fails when the signal sender stopped.
    pub async fn drain(&self) -> Result<(), Error> {
        self.shared.sender.drain().await
    }
}

impl Shared {
    fn record(&self) -> std::sync::MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Handles one request; false when it got no answer.
    async fn serve(&self, index: u64) -> Result<bool, Error> {
        let visit = self.crowd.visit(index);
        self.counters.requests.add(1);
        let answer = if visit.decide {
            self.http.decide(&self.crowd, &visit).await
        } else {
            self.http.chat(&self.crowd, &visit).await
        };
        let Some(answer) = answer else {
            self.counters.failures.add(1);
            return Ok(false);
        };
        self.counters.answers.add(1);
        let exposure_id = answer.exposure_id.clone();
        let signals = if visit.decide { self.choose(&visit, answer) } else { self.react(&visit, &answer) };
        self.counters.planned.add(signals.len() as u64);
        self.sender.plan(exposure_id, signals).await?;
        Ok(true)
    }

    fn react(&self, visit: &Visit, answer: &Answer) -> Vec<PlannedSignal> {
        let reaction = self.crowd.react(visit, &answer.content);
        let mut record = self.record();
        let variant = answer.variant.as_deref().map(|name| record.name(name));
        let policy_id = record.name(&answer.policy_id);
        if visit.index.is_multiple_of(SAMPLE_EVERY) || reaction.loved {
            record.add_sample(Sample {
                index: visit.index,
                variant: variant.clone(),
                prompt: visit.prompt.text.clone(),
                response: answer.content.clone(),
                loved: reaction.loved,
            });
        }
        record.add(Row {
            index: visit.index,
            exposure_id: answer.exposure_id.clone(),
            unit: visit.unit,
            variant,
            policy_id,
            judgement: reaction.judgement,
            loved: reaction.loved,
            helpful: reaction.helpful,
            spam: self.crowd.spam(visit.unit).is_some(),
        });
        reaction.signals
    }

    fn choose(&self, visit: &Visit, answer: Answer) -> Vec<PlannedSignal> {
        let reaction = self.crowd.click(visit, &answer.content);
        self.record().add_choice(Choice {
            index: visit.index,
            exposure_id: answer.exposure_id,
            unit: visit.unit,
            item_id: answer.content,
            propensity: answer.propensity,
            p_click: reaction.p_click,
            clicked: reaction.clicked,
        });
        reaction.signals
    }
}

/// Planned signals of one exposure on their way to the sender.
#[derive(Debug)]
struct Plan {
    exposure_id: ExposureId,
    signals: Vec<PlannedSignal>,
}
