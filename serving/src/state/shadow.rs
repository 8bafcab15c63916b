//! Answers of the candidate that nobody sees.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plaudit_event::{Context, ExposureId, Seed};
use plaudit_nn::generate::Request;
use plaudit_policy::tripwire::Tripwires;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use xxhash_rust::xxh3::xxh3_64;

use super::{Served, Serving};
use crate::engine::Generation;
use crate::score::ScoreRow;
use crate::shadow::{Judged, ShadowSums, judge};
use crate::{Error, metrics};

/// What the shadow needs between requests.
pub(super) struct Shadow {
    sums: Mutex<ShadowSums>,
    permits: Arc<Semaphore>,
    tripwires: Tripwires,
}

impl Shadow {
    pub(super) fn new(most: usize) -> Self {
        let permits = Arc::new(Semaphore::new(most));
        Self { sums: Mutex::default(), permits, tripwires: Tripwires::new() }
    }

    pub(super) fn sums(&self) -> MutexGuard<'_, ShadowSums> {
        // A panic in between leaves sums that are off by one answer.
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that the candidate is to answer, too.
pub(crate) struct Shadowed {
    candidate: Arc<Served>,
    context: Context,
    seed: Seed,
    temperature: Option<f32>,
    max_tokens: Option<usize>,
}

impl Serving {
    /// Whether the candidate is to answer this request of a user, whom the champion answers.
    pub(crate) fn shadowed(
        &self,
        exposure: &ExposureId,
        context: &Context,
        (seed, temperature, max_tokens): (Seed, Option<f32>, Option<usize>),
    ) -> Option<Shadowed> {
        let snapshot = self.snapshot();
        let (candidate, share) = snapshot.shadow()?;
        // Ids are random; the same request is always decided alike.
        let place = xxh3_64(exposure.as_str().as_bytes()) as f64 / u64::MAX as f64;
        let candidate = Arc::clone(candidate);
        (place < share).then(|| Shadowed { candidate, context: context.clone(), seed, temperature, max_tokens })
    }

    /// Lets the candidate answer, off the path of the request that `shown` answered; `unit` asked.
    pub(crate) fn shadow(self: &Arc<Self>, shadowed: Shadowed, unit: u64, shown: String) {
        let permit = Arc::clone(&self.shadow.permits).try_acquire_owned();
        let Some(permit) = permit.ok().filter(|_| self.engine.is_at_ease() && !self.is_draining()) else {
            metrics::shadowed("left_out");
            return;
        };
        let serving = Arc::clone(self);
        tokio::spawn(async move {
            let outcome = match serving.answer_unseen(shadowed, unit, (shown, permit)).await {
                Ok(true) => "scored",
                Ok(false) => "left_out",
                Err(error) => {
                    tracing::warn!(error = %error, "an answer in the shadow cannot be scored");
                    "failed"
                }
            };
            metrics::shadowed(outcome);
        });
    }

    async fn answer_unseen(
        self: &Arc<Self>,
        shadowed: Shadowed,
        unit: u64,
        (shown, permit): (String, OwnedSemaphorePermit),
    ) -> Result<bool, Error> {
        let Shadowed { candidate, context, seed, temperature, max_tokens } = shadowed;
        let (policy, id) = (Arc::clone(&candidate), candidate.id().clone());
        let (mut ask, context) = blocking(move || (policy.policy.request(&context, seed), context)).await?;
        ask.temperature = temperature.unwrap_or(ask.temperature);
        ask.max_new_tokens = max_tokens.unwrap_or(ask.max_new_tokens).min(self.config.engine.max_new_tokens);
        let Some(generation) = self.ask_unseen(&candidate, ask)? else { return Ok(false) };
        let collected = tokio::time::timeout(self.config.deadline, generation.collect()).await;
        let whole = collected.unwrap_or_else(|_| Err(Error::unavailable("no answer within the deadline")));
        let serving = Arc::clone(self);
        let judged = blocking(move || {
            let answer = whole.ok().map(|whole| candidate.policy.response(whole.output).text);
            let both = answer.into_iter().chain([shown]);
            let rows: Vec<ScoreRow> = both.map(|response| ScoreRow { context: context.clone(), response }).collect();
            let reward = serving.parts.reward.as_ref().and_then(|newest| newest());
            judge(&rows, reward.as_ref(), &serving.shadow.tripwires)
        });
        let pair = match judged.await??[..] {
            [candidate, shown] => [candidate, shown],
            [shown] => [Judged::FAILED, shown],
            _ => return Ok(false),
        };
        drop(permit);
        let most = self.config.readout.max_tracked_units;
        Ok(self.shadow.sums().add(&id, unit, pair, most))
    }

    /// Nothing where the model thread has got busy.
    fn ask_unseen(&self, candidate: &Served, ask: Request) -> Result<Option<Generation>, Error> {
        if !self.engine.is_at_ease() {
            return Ok(None);
        }
        match self.engine.admit() {
            Ok(admission) => admission.generate(&candidate.model, ask).map(Some),
            Err(_) => Ok(None),
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Task { what: "an answer in the shadow", detail: error.to_string() })
}
