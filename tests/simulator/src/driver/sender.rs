//! Sends each signal when its time has come, in batches.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use plaudit_event::{Actor, Clock, ExposureId, Signal, SignalId};
use serde_json::Map;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::http::Http;
use super::{Counters, Plan};
use crate::Error;
use crate::scenario::Client;
use crate::users::PlannedSignal;

/// Plans waiting to be taken up by the task.
const QUEUE: usize = 1_024;

#[derive(Debug)]
enum Command {
    Plan(Plan),
    Drain(oneshot::Sender<()>),
}

/// Handle of the task that sends signals; the task ends when the handle is dropped.
#[derive(Debug)]
pub(crate) struct Sender {
    commands: mpsc::Sender<Command>,
}

impl Sender {
    pub(crate) fn spawn(http: Arc<Http>, counters: Arc<Counters>, clock: Arc<dyn Clock>) -> Self {
        let (commands, queue) = mpsc::channel(QUEUE);
        let task = Task {
            settings: http.settings,
            http,
            counters,
            clock,
            waiting: BinaryHeap::new(),
            planned: 0,
            last_flush: Instant::now(),
        };
        tokio::spawn(task.run(queue));
        Self { commands }
    }

    /// Hands over signals; waits while too many wait for their time.
    pub(crate) async fn plan(&self, exposure_id: ExposureId, signals: Vec<PlannedSignal>) -> Result<(), Error> {
        if signals.is_empty() {
            return Ok(());
        }
        let plan = Plan { exposure_id, signals };
        let sent = self.commands.send(Command::Plan(plan)).await;
        sent.map_err(|_| Error::SenderStopped)
    }

    /// Returns when everything handed over before has been sent.
    pub(crate) async fn drain(&self) -> Result<(), Error> {
        let (reply, done) = oneshot::channel();
        let sent = self.commands.send(Command::Drain(reply)).await;
        sent.map_err(|_| Error::SenderStopped)?;
        done.await.map_err(|_| Error::SenderStopped)
    }
}

/// A signal that waits, ordered by time and then by the order of planning.
#[derive(Debug)]
struct Waiting {
    due: Instant,
    order: u64,
    what: Box<What>,
}

#[derive(Debug)]
enum What {
    First(ExposureId, PlannedSignal),
    Again(Signal),
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}

struct Task {
    http: Arc<Http>,
    counters: Arc<Counters>,
    settings: Client,
    clock: Arc<dyn Clock>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    planned: u64,
    last_flush: Instant,
}

impl Task {
    async fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        loop {
            let wake = self.next_flush();
            let full = self.waiting.len() >= self.settings.max_waiting;
            tokio::select! {
                command = queue.recv(), if !full => match command {
                    Some(Command::Plan(plan)) => self.take_up(plan),
                    Some(Command::Drain(reply)) => {
                        while !self.waiting.is_empty() {
                            self.flush(None).await;
                        }
                        // Whoever asked may have gone; nobody else waits for the answer.
                        let _ = reply.send(());
                    }
                    None => break,
                },
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                    self.flush(Some(Instant::now())).await;
                }
            }
        }
    }

    /// When the next batch goes out; nothing while no signal waits.
    fn next_flush(&self) -> Option<Instant> {
        let first = self.waiting.peek()?;
        let pause = Duration::from_millis(self.settings.flush_ms);
        Some(first.0.due.max(self.last_flush + pause))
    }

    fn take_up(&mut self, plan: Plan) {
        let now = Instant::now();
        for signal in plan.signals {
            let due = now + Duration::from_millis(signal.delay_ms);
            self.wait_for(due, What::First(plan.exposure_id.clone(), signal));
        }
    }

    fn wait_for(&mut self, due: Instant, what: What) {
        self.planned += 1;
        self.waiting.push(Reverse(Waiting { due, order: self.planned, what: Box::new(what) }));
    }

    /// Sends one batch of the signals due by `now`, or of all when `now` is nothing.
    async fn flush(&mut self, now: Option<Instant>) {
        let mut batch = Vec::new();
        while batch.len() < self.settings.batch {
            let is_due = |top: &Reverse<Waiting>| now.is_none_or(|now| top.0.due <= now);
            if !self.waiting.peek().is_some_and(is_due) {
                break;
            }
            let Some(Reverse(next)) = self.waiting.pop() else {
                break;
            };
            match *next.what {
                What::Again(signal) => {
                    self.counters.resent.add(1);
                    batch.push(signal);
                }
                What::First(exposure_id, planned) => {
                    let signal = self.signal(&exposure_id, &planned);
                    if let Some(after) = planned.resend_after_ms {
                        let due = next.due + Duration::from_millis(after);
                        self.wait_for(due, What::Again(signal.clone()));
                    }
                    batch.push(signal);
                }
            }
        }
        if batch.is_empty() {
            return;
        }
        self.http.signals(&batch).await;
        let now = Instant::now();
        if self.waiting.peek().is_none_or(|top| top.0.due > now) {
            self.last_flush = now;
        }
    }

    fn signal(&self, exposure_id: &ExposureId, planned: &PlannedSignal) -> Signal {
        let id = |name: &str| {
            SignalId::new(format!("{exposure_id}.{name}")).expect("an id of at most 112 bytes and a short name")
        };
        Signal {
            signal_id: id(planned.name),
            exposure_id: exposure_id.clone(),
            item_id: planned.item_id.clone(),
            kind: planned.kind.clone(),
            value: planned.value,
            text: planned.text.map(str::to_owned),
            spans: Vec::new(),
            stage: None,
            op: None,
            actor: Actor::User,
            ts: self.clock.now(),
            retracts: planned.retracts.map(id),
            unknown: Map::new(),
        }
    }
}
