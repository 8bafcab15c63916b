//! Checks what products wrote into the log past intake, as intake would have checked it.

use super::judge::{Dead, Judge, Judged};
use crate::Config;
use crate::log::{Origin, Part, Record, Stored, Topic, shard_of_key};
use crate::outcome::{Reason, Refusal, Source};

/// Decides which records of the log count. A pure function of record and configuration, so that all
/// readers agree.
pub(crate) struct Screen {
    judge: Judge,
    shards: u32,
}

/// What a record of the log is.
pub(crate) enum Screened {
    /// One that counts, as intake would have written it.
    Counts(Stored),
    /// Nothing to read: a tick, or content that was taken out.
    Empty,
    /// A sound event in a shard where it cannot be joined: what must be appended for it.
    Astray(Record),
    /// Not an event of this topic: its dead letter.
    Dead(Record),
}

impl Screen {
    /// For a log with so many `shards`.
    pub(crate) fn new(config: &Config, shards: u32) -> Self {
        Self { judge: Judge::new(config), shards }
    }

    /// Looks at a record of `part`.
    pub(crate) fn look(&self, mut stored: Stored, part: Part) -> Screened {
        match stored.origin {
            Origin::Checked => return Screened::Counts(stored),
            Origin::Tick | Origin::Erased => return Screened::Empty,
            Origin::Direct => {}
        }
        let raw = std::mem::take(&mut stored.value);
        match self.judge(raw, &stored, part) {
            Ok(valid) if shard_of_key(&valid.record.key, self.shards) == part.shard => {
                (stored.key, stored.value) = (valid.record.key, valid.record.value);
                Screened::Counts(stored)
            }
            Ok(valid) => Screened::Astray(valid.record),
            Err(dead) => Screened::Dead(dead.into_record()),
        }
    }

    fn judge(&self, raw: Vec<u8>, stored: &Stored, part: Part) -> Judged {
        let source = Some(Source { topic: part.topic, shard: part.shard, offset: stored.offset });
        let judged = self.judge.envelope(raw, stored.appended);
        let valid = judged.map_err(|dead| Dead { source, ..dead })?;
        if valid.topic == part.topic {
            return Ok(valid);
        }
        let (allowed, got) = match part.topic {
            Topic::Exposures => ("`exposure` in this topic", "signal"),
            _ => ("`signal` in this topic", "exposure"),
        };
        let refusal = Refusal::new(Reason::Event, "event", allowed, got);
        Err(Dead { refusal, raw: valid.record.value, received_ts: stored.appended, source })
    }
}
