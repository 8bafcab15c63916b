//! From judged events to durable records, each id once.

use std::sync::{Arc, MutexGuard};

use plaudit_event::Timestamp;

use super::dedup::{Dedup, Known};
use super::judge::{Dead, Judged, Valid};
use super::{Fingerprint, Inner};
use crate::log::{Record, Topic};
use crate::outcome::{Reason, Refusal};
use crate::quality::Guard;
use crate::{Error, Outcome};

/// Ids that this call has in flight. What is not settled is released, whatever happens.
struct Claims<'a> {
    inner: &'a Inner,
    ids: Vec<Fingerprint>,
}

impl Claims<'_> {
    fn settle(mut self) {
        self.end(Dedup::settle);
    }

    fn end(&mut self, how: impl Fn(&mut Dedup, Fingerprint)) {
        // Who has claimed nothing has nothing to tell: it may be waiting itself.
        if self.ids.is_empty() {
            return;
        }
        let mut dedup = self.inner.dedup();
        for id in self.ids.drain(..) {
            how(&mut dedup, id);
        }
        drop(dedup);
        self.inner.settled.notify_waiters();
    }
}

impl Drop for Claims<'_> {
    fn drop(&mut self) {
        self.end(Dedup::release);
    }
}

impl Inner {
    fn dedup(&self) -> MutexGuard<'_, Dedup> {
        self.dedup.lock().expect("no code panics under this lock")
    }

    /// Locked after `dedup`, when both are.
    pub(super) fn guard(&self) -> MutexGuard<'_, Guard> {
        self.guard.lock().expect("no code panics under this lock")
    }
}

/// New events of one topic.
struct New<'a> {
    topic: Topic,
    records: Vec<Record>,
    claims: Claims<'a>,
}

impl<'a> New<'a> {
    const fn none(inner: &'a Inner, topic: Topic) -> Self {
        Self { topic, records: Vec::new(), claims: Claims { inner, ids: Vec::new() } }
    }

    /// Makes them durable. Each topic settles its own ids: when one append fails and the other does
    /// not, the events of the other are known when the batch comes again.
    async fn write(self) -> Result<(), Error> {
        append(self.claims.inner, self.topic, self.records).await?;
        self.claims.settle();
        Ok(())
    }
}

/// What one look at the memory of ids found to do.
struct Round<'a> {
    exposures: New<'a>,
    signals: New<'a>,
    dead: Vec<Dead>,
    in_flight: Vec<(usize, Valid)>,
}

/// Makes `judged` durable and gives each its outcome, in order.
///
/// An id that another call has in flight is waited for: to call it a duplicate before the other is
/// durable would promise too much. No call waits while it has ids in flight itself, so none waits
/// for ever.
pub(super) async fn accept(inner: Arc<Inner>, judged: Vec<Judged>) -> Result<Vec<Outcome>, Error> {
    let mut outcomes = vec![Outcome::Accepted; judged.len()];
    let mut open = Vec::with_capacity(judged.len());
    let mut dead = Vec::new();
    for (index, judged) in judged.into_iter().enumerate() {
        match judged {
            Judged::Valid(valid) => open.push((index, valid)),
            Judged::Sampled => outcomes[index] = Outcome::Sampled,
            Judged::Dead(refused) => {
                outcomes[index] = Outcome::refused(refused.refusal.clone());
                dead.push(refused);
            }
        }
    }
    loop {
        let settled = inner.settled.notified();
        tokio::pin!(settled);
        settled.as_mut().enable();
        let mut round = claim(&inner, open, &mut outcomes);
        dead.append(&mut round.dead);
        let has_claims = !round.exposures.records.is_empty() || !round.signals.records.is_empty();
        let letters = std::mem::take(&mut dead);
        let letters = letters.into_iter().map(Dead::into_record).collect();
        // At once, so that they share one sync.
        let written =
            tokio::join!(round.exposures.write(), round.signals.write(), append(&inner, Topic::DeadLetters, letters),);
        written.0.and(written.1).and(written.2)?;
        open = round.in_flight;
        if open.is_empty() {
            return Ok(outcomes);
        }
        if !has_claims {
            settled.await;
        }
    }
}

/// Looks every open event up, under one lock.
fn claim<'a>(inner: &'a Inner, open: Vec<(usize, Valid)>, outcomes: &mut [Outcome]) -> Round<'a> {
    let mut round = Round {
        exposures: New::none(inner, Topic::Exposures),
        signals: New::none(inner, Topic::Signals),
        dead: Vec::new(),
        in_flight: Vec::new(),
    };
    let now = inner.clock.now();
    let mut dedup = inner.dedup();
    let mut guard = inner.guard();
    for (index, valid) in open {
        if dedup.erased.contain(&valid.record.key) {
            let dead = erased(now);
            outcomes[index] = Outcome::refused(dead.refusal.clone());
            round.dead.push(dead);
            continue;
        }
        match dedup.claim(valid.id, valid.content) {
            Known::Claimed => {
                // What is durable already was admitted, so only what is new is held back.
                let admitted = valid.facts.as_ref().map_or(Ok(()), |facts| guard.admit(facts, now));
                if let Err(refusal) = admitted {
                    dedup.release(valid.id);
                    outcomes[index] = Outcome::refused(refusal.clone());
                    round.dead.push(held_back(valid, refusal, now));
                    continue;
                }
                outcomes[index] = Outcome::Accepted;
                let new = match valid.topic {
                    Topic::Exposures => &mut round.exposures,
                    _ => &mut round.signals,
                };
                new.claims.ids.push(valid.id);
                new.records.push(valid.record);
            }
            Known::InFlight => round.in_flight.push((index, valid)),
            Known::Duplicate => outcomes[index] = Outcome::Duplicate,
            Known::Conflict => {
                let dead = conflict(valid, now);
                outcomes[index] = Outcome::refused(dead.refusal.clone());
                round.dead.push(dead);
            }
        }
    }
    drop(guard);
    drop(dedup);
    round
}

fn held_back(valid: Valid, refusal: Refusal, received_ts: Timestamp) -> Dead {
    Dead { refusal, raw_bytes: valid.record.value.len(), raw: valid.record.value, received_ts, source: None }
}

fn conflict(valid: Valid, received_ts: Timestamp) -> Dead {
    let field = match valid.topic {
        Topic::Exposures => "exposure_id",
        _ => "signal_id",
    };
    let refusal = Refusal {
        reason: Reason::Conflict,
        field: field.to_owned(),
        detail: "must be new, got the id of another event with other content".to_owned(),
    };
    held_back(valid, refusal, received_ts)
}

/// The text is not kept: somebody asked that it be forgotten.
fn erased(received_ts: Timestamp) -> Dead {
    let refusal = Refusal {
        reason: Reason::Erased,
        field: "exposure_id".to_owned(),
        detail: "must be of an exposure that was not erased".to_owned(),
    };
    Dead { refusal, raw: Vec::new(), raw_bytes: 0, received_ts, source: None }
}

async fn append(inner: &Inner, topic: Topic, records: Vec<Record>) -> Result<(), Error> {
    if records.is_empty() {
        return Ok(());
    }
    inner.log.append(topic, records).await.map(drop)
}
