//! The loop of the model thread.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use plaudit_event::PolicyId;
use plaudit_nn::generate::{AdmitError, Generator, Step};
use tokio::sync::mpsc::{self, error::TryRecvError};

use super::{Command, Job, Model, Token};
use crate::Error;
use crate::metrics::{self, Stopwatch};

/// One policy: its generator, and the requests that wait for it or occupy its slots.
struct Lane {
    generator: Generator,
    waiting: VecDeque<Box<Job>>,
    active: HashMap<u64, Box<Job>>,
    /// Whether it stays when it has nothing to do.
    is_kept: bool,
}

/// State of the model thread.
pub(super) struct Worker {
    commands: mpsc::Receiver<Command>,
    slots: usize,
    lanes: BTreeMap<PolicyId, Lane>,
    next_id: u64,
}

impl Worker {
    pub(super) const fn new(commands: mpsc::Receiver<Command>, slots: usize) -> Self {
        Self { commands, slots, lanes: BTreeMap::new(), next_id: 0 }
    }

    /// Works until every sender is gone and every request is finished.
    pub(super) fn run(&mut self) {
        loop {
            let is_open = self.take_commands();
            let is_busy = self.advance();
            if !is_open && !is_busy {
                return;
            }
        }
    }

    /// Takes what is queued; waits for a command when there is nothing to do. `false` when no command can
    /// come any more.
    fn take_commands(&mut self) -> bool {
        let is_idle = self.lanes.values().all(|lane| lane.waiting.is_empty() && lane.active.is_empty());
        if is_idle {
            match self.commands.blocking_recv() {
                Some(command) => self.handle(command),
                None => return false,
            }
        }
        loop {
            match self.commands.try_recv() {
                Ok(command) => self.handle(command),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Generate(job) => self.enqueue(job),
            Command::Install(generator, model, done) => {
                self.install(*generator, &model);
                let _ = done.send(());
            }
            Command::Retain(keep, done) => {
                for (policy_id, lane) in &mut self.lanes {
                    lane.is_kept = keep.contains(policy_id);
                }
                self.drop_idle_lanes();
                let _ = done.send(());
            }
            // What is queued already is still taken; later requests are refused.
            Command::Stop => self.commands.close(),
        }
    }

    fn install(&mut self, generator: Generator, model: &Arc<Model>) {
        // Policies are immutable: a generator of the same policy is as good as the new one.
        let lane = self.lanes.entry(model.policy_id.clone()).or_insert_with(|| Lane::new(generator));
        lane.is_kept = true;
    }

    fn enqueue(&mut self, job: Box<Job>) {
        if !self.lanes.contains_key(&job.model.policy_id) {
            // Its policy was let go while the request was on its way.
            match Generator::new(Arc::clone(&job.model.decoder), self.slots) {
                Ok(generator) => {
                    let mut lane = Lane::new(generator);
                    lane.is_kept = false;
                    self.lanes.insert(job.model.policy_id.clone(), lane);
                }
                Err(error) => return fail(&job, error.into()),
            }
        }
        if let Some(lane) = self.lanes.get_mut(&job.model.policy_id) {
            lane.waiting.push_back(job);
        }
    }

    /// One step of every policy that has something to do; `false` when none has.
    fn advance(&mut self) -> bool {
        let mut is_busy = false;
        for lane in self.lanes.values_mut() {
            lane.drop_gone();
            lane.admit(&mut self.next_id);
            is_busy |= lane.step();
        }
        self.drop_idle_lanes();
        is_busy
    }

    fn drop_idle_lanes(&mut self) {
        self.lanes.retain(|_, lane| lane.is_kept || !lane.waiting.is_empty() || !lane.active.is_empty());
    }
}

impl Lane {
    fn new(generator: Generator) -> Self {
        Self { generator, waiting: VecDeque::new(), active: HashMap::new(), is_kept: true }
    }

    /// Forgets requests whose callers no longer listen.
    fn drop_gone(&mut self) {
        let before = self.waiting.len() + self.active.len();
        self.waiting.retain(|job| !job.tokens.is_closed());
        let generator = &mut self.generator;
        self.active.retain(|id, job| {
            let is_gone = job.tokens.is_closed();
            if is_gone {
                generator.cancel(*id);
            }
            !is_gone
        });
        let dropped = before - self.waiting.len() - self.active.len();
        metrics::requests_abandoned(dropped);
    }

    /// Fills free slots in the order of arrival.
    fn admit(&mut self, next_id: &mut u64) {
        while self.generator.active() < self.generator.capacity()
            && let Some(job) = self.waiting.pop_front()
        {
            let id = *next_id;
            *next_id += 1;
            match self.generator.admit(id, job.request.clone()) {
                Ok(()) => {
                    metrics::queue_seconds(job.queued);
                    self.active.insert(id, job);
                }
                Err(AdmitError::Full { .. }) => {
                    self.waiting.push_front(job);
                    return;
                }
                Err(AdmitError::Invalid(error)) => fail(&job, error.into()),
            }
        }
    }

    /// Advances every slot by a token; `false` when no slot is occupied.
    fn step(&mut self) -> bool {
        if self.active.is_empty() {
            return false;
        }
        let stopwatch = Stopwatch::start();
        match self.generator.step() {
            Ok(steps) => {
                metrics::generated(steps.len(), stopwatch);
                for step in &steps {
                    self.deliver(step);
                }
            }
            Err(error) => self.fail_all(&error),
        }
        true
    }

    fn deliver(&mut self, step: &Step) {
        if let Some(job) = self.active.get(&step.id) {
            let elapsed = job.queued.elapsed();
            let token = Token { token: step.token, logprob: step.logprob, finished: step.finished, elapsed };
            // There is room for every token; a closed channel is found at the next step.
            let _ = job.tokens.try_send(Ok(token));
        }
        if step.finished.is_some() {
            self.active.remove(&step.id);
        }
    }

    /// A failed step leaves the generator in an unknown state, so all its requests fail.
    fn fail_all(&mut self, error: &plaudit_nn::Error) {
        tracing::error!(error = %error, num_requests = self.active.len(), "generation failed");
        for (id, job) in self.active.drain() {
            self.generator.cancel(id);
            fail(&job, Error::Engine(error.to_string()));
        }
    }
}

fn fail(job: &Job, error: Error) {
    let _ = job.tokens.try_send(Err(error));
}

#[cfg(test)]
mod tests;
