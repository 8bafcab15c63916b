//! Events, clocks, and a log that fails on command.

use std::collections::VecDeque;
use std::mem::take;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plaudit_event::{
    Actor, Context, Envelope, Event, Example, Exposure, ExposureId, Impression, ManualClock, PolicyId, Signal,
    SignalId, SignalKind, Surface, Timestamp, UnitId,
};
use plaudit_ingest::log::{BoxFuture, EventLog, MemoryLog, Record, Stored, Topic};
use plaudit_ingest::{Config, Error};
use serde_json::Map;
use tokio::sync::Semaphore;

pub(crate) const fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(crate) fn clock(millis: i64) -> Arc<ManualClock> {
    Arc::new(ManualClock::new(at(millis)))
}

/// Windows of milliseconds, so that tests can write times by hand.
pub(crate) fn short() -> Config {
    Config {
        window: Duration::from_millis(50),
        grace: Duration::from_millis(10),
        slack: Duration::from_millis(10),
        early_slack: Duration::from_millis(30),
        correction_horizon: Duration::from_millis(60),
        ..Config::default()
    }
}

/// Like [`short`], with limits that histories of a few events reach.
pub(crate) fn tight() -> Config {
    Config { max_early_exposures: 2, max_signals_per_exposure: 3, ..short() }
}

pub(crate) fn exposure(id: &str, ts: i64) -> Exposure {
    let item = |item_id: &str, position| Impression {
        item_id: item_id.into(),
        position,
        content: format!("{item_id} of {id}"),
        score: None,
    };
    Exposure {
        exposure_id: ExposureId::new(id).unwrap(),
        unit_id: UnitId::new("unit").unwrap(),
        session_id: None,
        surface: Surface::Chat,
        context: Context::of_user("hello"),
        slate: vec![item("first", 0), item("second", 1)],
        chosen: 1,
        propensity: None,
        token_logprobs: None,
        policy_id: PolicyId::new("gen-1").unwrap(),
        stage: None,
        assignments: Vec::new(),
        rewrite_applied: None,
        interleaving: None,
        attributes: Map::new(),
        ts: at(ts),
        unknown: Map::new(),
    }
}

pub(crate) fn signal(id: &str, exposure: &str, kind: SignalKind, ts: i64) -> Signal {
    Signal {
        signal_id: SignalId::new(id).unwrap(),
        exposure_id: ExposureId::new(exposure).unwrap(),
        item_id: None,
        kind,
        value: None,
        text: None,
        spans: Vec::new(),
        stage: None,
        op: None,
        actor: Actor::User,
        ts: at(ts),
        retracts: None,
        unknown: Map::new(),
    }
}

pub(crate) async fn values(log: &dyn EventLog, topic: Topic) -> Vec<String> {
    let stored = log.read(topic, 0, 1_000_000).await.unwrap();
    let text = |s: Stored| String::from_utf8(s.value).unwrap();
    stored.into_iter().map(text).collect()
}

/// The record of `event`, with its topic.
pub(crate) fn record(event: Event) -> (Topic, Record) {
    let (topic, key) = match &event {
        Event::Exposure(e) => (Topic::Exposures, e.exposure_id.to_string()),
        Event::Signal(s) => (Topic::Signals, s.exposure_id.to_string()),
        Event::Example(_) => panic!("examples are made by attribution"),
    };
    (topic, Record { key, value: Envelope::new(event).encode() })
}

pub(crate) async fn append(log: &dyn EventLog, event: Event) {
    let (topic, record) = record(event);
    log.append(topic, vec![record]).await.unwrap();
}

pub(crate) async fn examples(log: &dyn EventLog) -> Vec<Example> {
    let texts = values(log, Topic::Examples).await;
    let example = |text: &String| match Envelope::decode(text.as_bytes()).unwrap().event {
        Event::Example(example) => example,
        other => panic!("not an example: {other:?}"),
    };
    texts.iter().map(example).collect()
}

/// How one append goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It goes well.
    None,
    /// Nothing is written.
    Before,
    /// It is written, but the answer is lost.
    After,
}

/// A log in memory whose appends wait at a gate and fail on command.
pub(crate) struct FaultyLog {
    inner: MemoryLog,
    gate: Semaphore,
    faults: Mutex<VecDeque<Fault>>,
    meanwhile: Mutex<Vec<Event>>,
}

impl FaultyLog {
    /// The gate is open.
    pub(crate) fn new(clock: Arc<ManualClock>) -> Self {
        Self {
            inner: MemoryLog::new(clock),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            faults: Mutex::new(VecDeque::new()),
            meanwhile: Mutex::new(Vec::new()),
        }
    }

    /// Appends wait until [`open`](Self::open).
    pub(crate) fn close(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(crate) fn open(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS);
    }

    /// The fate of the next appends.
    pub(crate) fn plan(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().unwrap().extend(faults);
    }

    /// What is appended as soon as somebody has read where the exposures end.
    pub(crate) fn meanwhile(&self, events: impl IntoIterator<Item = Event>) {
        self.meanwhile.lock().unwrap().extend(events);
    }

    /// Forgets the planned faults that have not happened.
    pub(crate) fn forgive(&self) {
        self.faults.lock().unwrap().clear();
    }
}

impl EventLog for FaultyLog {
    fn append(&self, topic: Topic, records: Vec<Record>) -> BoxFuture<'_, Result<Vec<u64>, Error>> {
        Box::pin(async move {
            let permit = self.gate.acquire().await.unwrap();
            drop(permit);
            let planned = self.faults.lock().unwrap().pop_front();
            let lost = Err(Error::Closed { what: "faulty log" });
            match planned.unwrap_or(Fault::None) {
                Fault::None => self.inner.append(topic, records).await,
                Fault::Before => lost,
                Fault::After => {
                    self.inner.append(topic, records).await?;
                    lost
                }
            }
        })
    }

    fn newest(&self, topic: Topic) -> BoxFuture<'_, Result<Option<Stored>, Error>> {
        self.inner.newest(topic)
    }

    fn erase(&self, topic: Topic, offsets: Vec<u64>) -> BoxFuture<'_, Result<(), Error>> {
        self.inner.erase(topic, offsets)
    }

    fn read(&self, topic: Topic, from: u64, max: usize) -> BoxFuture<'_, Result<Vec<Stored>, Error>> {
        self.inner.read(topic, from, max)
    }

    fn tail(&self, topic: Topic) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(async move {
            let tail = self.inner.tail(topic).await?;
            let events =
                if topic == Topic::Exposures { take(&mut *self.meanwhile.lock().unwrap()) } else { Vec::new() };
            for event in events {
                append(&self.inner, event).await;
            }
            Ok(tail)
        })
    }

    fn seek(&self, topic: Topic, from: Timestamp) -> BoxFuture<'_, Result<u64, Error>> {
        self.inner.seek(topic, from)
    }

    fn horizon(&self) -> BoxFuture<'_, Result<Timestamp, Error>> {
        self.inner.horizon()
    }

    fn commit<'a>(&'a self, group: &'a str, topic: Topic, next: u64) -> BoxFuture<'a, Result<(), Error>> {
        self.inner.commit(group, topic, next)
    }

    fn committed<'a>(&'a self, group: &'a str, topic: Topic) -> BoxFuture<'a, Result<u64, Error>> {
        self.inner.committed(group, topic)
    }
}
