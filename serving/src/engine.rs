//! The model thread: one operating-system thread owns every loaded generator.
//!
//! ```text
//! request ─ permit? ─► bounded queue ─► waiting (per policy) ─► slots ─► step, step, … ─► tokens
//!              └ no: overloaded, at once               one pass over the weights advances all slots
//! ```
//!
//! - *Overload is an error at the door.* The number of requests inside is bounded by permits; there is no
//!   queue that grows.
//! - *A swap fails nobody.* A request carries the model it was routed to. Replacing a policy only changes
//!   what later requests carry; a generator leaves when its last request has finished. Should a request
//!   reach the thread after its generator left, the generator is made again.
//! - *Work for callers who are gone is dropped*, while waiting and while generating.
//!
//! The thread computes in its own pool ([`plaudit_nn::runtime::pinned_pool`]) and never touches the log.

mod worker;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use plaudit_event::{PolicyId, Seed};
use plaudit_ingest::{MAX_TOKEN_LOGPROBS, Problem};
use plaudit_nn::decoder::Decoder;
use plaudit_nn::generate::{Finish, Generator, Output, Request};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::Error;
use crate::metrics::Stopwatch;

/// Room in the queue for commands that are not requests.
const CONTROL_COMMANDS: usize = 16;

/// Size of the model thread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// Requests that one policy generates for at once.
    pub slots: usize,
    /// Requests inside, waiting ones included; more are refused with 429.
    pub max_requests: usize,
    /// Cores that decoding uses.
    pub threads: usize,
    /// Most tokens of one answer; requests may ask for fewer.
    pub max_new_tokens: usize,
    /// Answers of a candidate in the shadow that are made at once, and scored; more are left out.
    pub max_shadows: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self { slots: 32, max_requests: 256, threads: 1, max_new_tokens: 256, max_shadows: 4 }
    }
}

impl EngineConfig {
    /// Every value outside its range, with key paths below `prefix`.
    #[must_use]
    pub fn validate(&self, prefix: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut check = |key: &str, value: usize, max: usize| {
            if !(1..=max).contains(&value) {
                let message = format!("must be between 1 and {max}, got {value}");
                problems.push(Problem { path: format!("{prefix}.{key}"), message });
            }
        };
        check("slots", self.slots, 4_096);
        check("max_requests", self.max_requests, 100_000);
        check("threads", self.threads, 1_024);
        // More could not be logged.
        check("max_new_tokens", self.max_new_tokens, MAX_TOKEN_LOGPROBS);
        check("max_shadows", self.max_shadows, 1_000);
        problems
    }
}

/// Weights under the name of their policy.
#[derive(Debug)]
pub struct Model {
    /// The policy.
    pub policy_id: PolicyId,
    /// Its weights; never changed once they are here.
    pub decoder: Arc<Decoder>,
}

/// A token on its way to the caller.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Token {
    /// Id in the vocabulary.
    pub token: u32,
    /// Log-probability under the distribution it was drawn from.
    pub logprob: f32,
    /// Set on the last one.
    pub finished: Option<Finish>,
    /// Time since the request came in, queue included.
    pub elapsed: Duration,
}

/// An answer being generated. Dropping it ends the work.
#[derive(Debug)]
pub struct Generation {
    tokens: mpsc::Receiver<Result<Token, Error>>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Whole {
    /// Its tokens.
    pub output: Output,
    /// Time from the request to its last token, however fast its reader is.
    pub elapsed: Duration,
}

impl Generation {
    #[cfg(test)]
    pub(crate) const fn of_test(tokens: mpsc::Receiver<Result<Token, Error>>) -> Self {
        Self { tokens }
    }

    /// The next token; nothing after the last one.
    ///
    /// # Errors
    /// Fails when the model fails or its thread ended.
    pub async fn next(&mut self) -> Option<Result<Token, Error>> {
        self.tokens.recv().await
    }

    /// Waits for the whole answer.
    ///
    /// # Errors
    /// Fails when the model fails or its thread ended.
    pub async fn collect(mut self) -> Result<Whole, Error> {
        let mut output = Output { tokens: Vec::new(), logprobs: Vec::new(), finish: Finish::Length };
        while let Some(received) = self.next().await {
            let token = received?;
            output.tokens.push(token.token);
            output.logprobs.push(token.logprob);
            if let Some(finish) = token.finished {
                output.finish = finish;
                return Ok(Whole { output, elapsed: token.elapsed });
            }
        }
        Err(Error::Engine("it left a request unanswered".to_owned()))
    }
}

/// A place inside the engine.
#[derive(Debug)]
pub struct Admission<'a> {
    engine: &'a Engine,
    permit: OwnedSemaphorePermit,
}

impl Admission<'_> {
    /// As [`Engine::generate`], which cannot be refused any more.
    ///
    /// # Errors
    /// Fails when the thread has ended.
    pub fn generate(self, model: &Arc<Model>, request: Request) -> Result<Generation, Error> {
        let Self { engine, permit } = self;
        // Room for every token, so that a caller who reads slowly never holds up the others.
        let capacity = request.max_new_tokens.min(engine.config.max_new_tokens).max(1);
        let request = Request { max_new_tokens: capacity, ..request };
        let (tokens, receiver) = mpsc::channel(capacity + 1);
        let job = Job { model: Arc::clone(model), request, tokens, queued: Stopwatch::start(), _permit: permit };
        match engine.commands.try_send(Command::Generate(Box::new(job))) {
            Ok(()) => Ok(Generation { tokens: receiver }),
            Err(mpsc::error::TrySendError::Full(_)) => Err(full()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(gone()),
        }
    }
}

/// A request with everything the thread needs.
struct Job {
    model: Arc<Model>,
    request: Request,
    tokens: mpsc::Sender<Result<Token, Error>>,
    queued: Stopwatch,
    /// Held until the request leaves the engine.
    _permit: OwnedSemaphorePermit,
}

enum Command {
    Generate(Box<Job>),
    Install(Box<Generator>, Arc<Model>, oneshot::Sender<()>),
    Retain(Vec<PolicyId>, oneshot::Sender<()>),
    Stop,
}

/// A handle on the model thread. The thread finishes what it holds and ends on [`Engine::shutdown`], or when
/// the handle is dropped.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    commands: mpsc::Sender<Command>,
    permits: Arc<Semaphore>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Engine {
    /// Starts the thread.
    ///
    /// # Errors
    /// Fails when the system refuses a thread.
    pub fn start(config: EngineConfig) -> Result<Self, Error> {
        let (commands, receiver) = mpsc::channel(config.max_requests + CONTROL_COMMANDS);
        let slots = config.slots;
        let thread = plaudit_nn::runtime::pinned_pool("engine", config.threads, move || {
            worker::Worker::new(receiver, slots).run();
        })?;
        Ok(Self {
            permits: Arc::new(Semaphore::new(config.max_requests)),
            commands,
            thread: Mutex::new(Some(thread)),
            config,
        })
    }

    /// Makes `model` ready to serve: its generator is built and tried on one token outside the thread,
    /// then handed over.
    ///
    /// # Errors
    /// Fails when the weights cannot generate; the thread is then unchanged.
    pub async fn install(&self, model: Arc<Model>) -> Result<(), Error> {
        let slots = self.config.slots;
        let built = Arc::clone(&model);
        let generator = tokio::task::spawn_blocking(move || try_out(&built, slots)).await;
        let generator = generator.map_err(|error| Error::Engine(error.to_string()))??;
        let (done, installed) = oneshot::channel();
        self.send(Command::Install(Box::new(generator), model, done)).await?;
        installed.await.map_err(|_| gone())
    }

    /// Lets go of every policy but `keep`, each as soon as its last request has finished.
    ///
    /// # Errors
    /// Fails when the thread has ended.
    pub async fn retain(&self, keep: Vec<PolicyId>) -> Result<(), Error> {
        let (done, retained) = oneshot::channel();
        self.send(Command::Retain(keep, done)).await?;
        retained.await.map_err(|_| gone())
    }

    /// A place inside for one request, so that nothing is prepared for one that is refused.
    ///
    /// # Errors
    /// Fails when too many requests are inside.
    pub fn admit(&self) -> Result<Admission<'_>, Error> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| full())?;
        Ok(Admission { engine: self, permit })
    }

    /// Starts generating; tokens arrive as they are made.
    ///
    /// # Errors
    /// Fails at once when too many requests are inside, or when the thread has ended.
    pub fn generate(&self, model: &Arc<Model>, request: Request) -> Result<Generation, Error> {
        self.admit()?.generate(model, request)
    }

    /// Whether so few requests are inside that one may be made which nobody waits for.
    #[must_use]
    pub fn is_at_ease(&self) -> bool {
        2 * self.num_inside() < self.config.max_requests
    }

    /// Requests inside, waiting ones included.
    #[must_use]
    pub fn num_inside(&self) -> usize {
        self.config.max_requests - self.permits.available_permits()
    }

    /// Whether the thread is alive.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.commands.is_closed()
    }

    /// Finishes everything inside and ends the thread.
    ///
    /// # Errors
    /// Fails when the thread had died.
    pub async fn shutdown(&self) -> Result<(), Error> {
        // A thread that is gone already is found out by joining it.
        let _ = self.commands.send(Command::Stop).await;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return Ok(()) };
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        match joined {
            Ok(Ok(())) => Ok(()),
            _ => Err(gone()),
        }
    }

    async fn send(&self, command: Command) -> Result<(), Error> {
        self.commands.send(command).await.map_err(|_| gone())
    }
}

/// Builds a generator and lets it make one token.
fn try_out(model: &Model, slots: usize) -> Result<Generator, Error> {
    let mut generator = Generator::new(Arc::clone(&model.decoder), slots)?;
    let request = Request { prompt: vec![0], max_new_tokens: 1, temperature: 1.0, stop: u32::MAX, seed: Seed::new(0) };
    let outputs = generator.run(vec![request])?;
    let is_finite = outputs.iter().all(|output| output.logprobs.iter().all(|logprob| logprob.is_finite()));
    if !is_finite {
        let reason = format!("policy `{}` gives probabilities that are not finite", model.policy_id);
        return Err(Error::invalid("policy", reason));
    }
    Ok(generator)
}

fn full() -> Error {
    Error::Overloaded { what: "the generation queue", retry_after: Duration::from_secs(1) }
}

fn gone() -> Error {
    Error::Engine("it takes no more requests".to_owned())
}

#[cfg(test)]
mod tests;
