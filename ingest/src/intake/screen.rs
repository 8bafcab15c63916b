//! Checks what products wrote into the log past intake, as intake would have checked it.

use std::sync::Arc;

use super::judge::{Dead, Judge, Judged};
use crate::config::Hashing;
use crate::erasure::Erasures;
use crate::log::{EventLog, Origin, Part, Record, Stored, Topic, shard_of_key};
use crate::outcome::{Reason, Refusal, Source};
use crate::{Config, Error};

/// Decides which records of the log count. A pure function of record and configuration, so that all
/// readers agree.
pub(crate) struct Screen {
    judge: Judge,
    shards: u32,
    hashing: Hashing,
    erased: Erasures,
}

/// What a record of the log is.
pub(crate) enum Screened {
    /// One that counts, as intake would have written it.
    Counts(Stored),
    /// Nothing to read: a tick, content that was taken out, or what the configuration leaves out.
    Empty,
    /// A sound event in a shard where it cannot be joined: what must be appended for it.
    Astray(Record),
    /// Not an event of this topic: its dead letter.
    Dead(Record),
}

impl Screen {
    /// For a log with so many `shards`.
    pub(crate) fn new(config: &Config, shards: u32) -> Self {
        let hashing = config.quality.hashing.clone();
        Self { judge: Judge::new(config), shards, hashing, erased: Erasures::default() }
    }

    /// # Errors
    /// Fails when names of units are to be hashed and there is no salt.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.hashing.check()
    }

    /// Takes note of erasures since it was called last: what is about the exposures erased counts no more.
    /// Whether there were any.
    pub(crate) async fn follow(&mut self, log: &Arc<dyn EventLog>) -> Result<bool, Error> {
        self.erased.follow(log).await
    }

    /// Looks at a record of `part`.
    pub(crate) fn look(&self, stored: Stored, part: Part) -> Screened {
        match self.judged(stored, part) {
            Screened::Counts(stored) if part.topic != Topic::DeadLetters && self.erased.contain(&stored.key) => {
                Screened::Empty
            }
            screened => screened,
        }
    }

    fn judged(&self, mut stored: Stored, part: Part) -> Screened {
        match stored.origin {
            Origin::Checked => return Screened::Counts(stored),
            Origin::Tick | Origin::Erased => return Screened::Empty,
            Origin::Direct => {}
        }
        let raw = std::mem::take(&mut stored.value);
        match self.judge(raw, &stored, part) {
            Judged::Valid(valid) if shard_of_key(&valid.record.key, self.shards) == part.shard => {
                (stored.key, stored.value) = (valid.record.key, valid.record.value);
                Screened::Counts(stored)
            }
            Judged::Valid(valid) => Screened::Astray(valid.record),
            Judged::Dead(dead) => Screened::Dead(dead.into_record()),
            Judged::Sampled => Screened::Empty,
        }
    }

    fn judge(&self, raw: Vec<u8>, stored: &Stored, part: Part) -> Judged {
        let source = Some(Source { topic: part.topic, shard: part.shard, offset: stored.offset });
        let valid = match self.judge.envelope(raw, stored.appended) {
            Judged::Dead(dead) => return Judged::Dead(Dead { source, ..dead }),
            Judged::Valid(valid) if valid.topic != part.topic => valid,
            judged => return judged,
        };
        let (allowed, got) = match part.topic {
            Topic::Exposures => ("`exposure` in this topic", "signal"),
            _ => ("`signal` in this topic", "exposure"),
        };
        let refusal = Refusal::new(Reason::Event, "event", allowed, got);
        let raw = valid.record.value;
        Judged::Dead(Dead { refusal, raw_bytes: raw.len(), raw, received_ts: stored.appended, source })
    }
}
