//! Decoding and validation: what an event must be to be taken.

mod decode;
mod limits;

use plaudit_event::{Envelope, Event, Exposure, Signal, Timestamp};
use serde_json::Value;

use super::fingerprint_of_id;
use super::totals::Redactions;
use crate::Config;
use crate::config::millis;
use crate::fingerprint::Fingerprint;
use crate::log::{RECORD_BYTES, Record, Topic};
use crate::outcome::{DeadLetter, Outcome, Reason, Refusal, Source};
use crate::quality::{BotFilter, BotRules, Cleaner, Facts, Hits, Sampler, Witness};

use decode::{fill_time, not_accepted, open_envelope, shape, too_large, wrap};

pub use limits::{MAX_EVENT_BYTES, MAX_ITEM_ID_BYTES, MAX_SLATE, MAX_SPANS, MAX_TEXT_BYTES, MAX_TOKEN_LOGPROBS};

/// What is kept of an event that is too large to keep.
pub(crate) const CUT_BYTES: usize = 64 << 10;

/// What is left of the end of a text that was cut before it was redacted: less by this, since a cut can
/// leave half of what a pattern would have matched.
const CUT_MARGIN: usize = 512;

/// What becomes of an event.
pub(super) enum Judged {
    /// It may be appended.
    Valid(Valid),
    /// It is refused.
    Dead(Dead),
    /// It is left out.
    Sampled,
}

/// An event that may be appended. Nothing is in it that must not be stored.
pub(super) struct Valid {
    pub(super) topic: Topic,
    pub(super) id: Fingerprint,
    pub(super) content: Fingerprint,
    pub(super) record: Record,
    /// What the guard is told, when there is one.
    pub(super) facts: Option<Facts>,
}

/// A refused event. Nothing is in it that must not be stored.
pub(super) struct Dead {
    pub(super) refusal: Refusal,
    pub(super) raw: Vec<u8>,
    /// Bytes of the event as it came.
    pub(super) raw_bytes: usize,
    pub(super) received_ts: Timestamp,
    /// The record that it was, when it did not come through intake.
    pub(super) source: Option<Source>,
}

impl Dead {
    pub(super) fn into_record(self) -> Record {
        let key = self.refusal.reason.as_str().to_owned();
        let outcome = Outcome::refused(self.refusal.clone());
        let mut letter = DeadLetter {
            outcome: outcome.as_str().to_owned(),
            reason: self.refusal.reason,
            field: self.refusal.field,
            detail: self.refusal.detail,
            raw: String::from_utf8_lossy(&self.raw[..self.raw.len().min(MAX_EVENT_BYTES)]).into_owned(),
            raw_bytes: self.raw_bytes,
            received_ts: self.received_ts,
            source: self.source,
            mends: None,
        };
        let encode = |letter: &DeadLetter| serde_json::to_vec(letter).expect("a dead letter has only string keys");
        let mut value = encode(&letter);
        if value.len() > RECORD_BYTES || letter.raw_bytes > MAX_EVENT_BYTES {
            letter.raw.truncate(letter.raw.floor_char_boundary(CUT_BYTES));
            letter.detail.truncate(letter.detail.floor_char_boundary(CUT_BYTES));
            letter.field.truncate(letter.field.floor_char_boundary(CUT_BYTES));
            value = encode(&letter);
        }
        Record { key, value }
    }
}

/// Decides what an event is, and cleans it. Pure: the same event at the same time gets the same judgement.
pub(super) struct Judge {
    signals: std::collections::BTreeMap<plaudit_event::SignalKind, crate::SignalSpec>,
    max_clock_skew_ms: i64,
    sampler: Sampler,
    bots: BotRules,
    cleaner: Cleaner,
    witness: Witness,
    /// What is redacted is counted once, by the judge of intake.
    redactions: Option<Redactions>,
}

impl Judge {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            signals: config.signals.clone(),
            max_clock_skew_ms: millis(config.max_clock_skew),
            sampler: Sampler::new(&config.quality.sampling),
            bots: BotRules::new(&config.quality.bots),
            witness: Witness::new(config),
            redactions: None,
            cleaner: Cleaner::new(config),
        }
    }

    /// The judge of intake: it counts, and has a predicate beside the rules for bots.
    pub(super) fn of_intake(config: &Config, filter: Option<BotFilter>) -> Self {
        let judge = Self::new(config);
        let redactions = Redactions::new(judge.cleaner.redactor().names());
        Self { bots: judge.bots.with_filter(filter), redactions: Some(redactions), ..judge }
    }

    fn count(&self, hits: &Hits) {
        if let Some(redactions) = &self.redactions {
            redactions.count(hits);
        }
    }

    pub(super) const fn redactions(&self) -> Option<&Redactions> {
        self.redactions.as_ref()
    }

    pub(super) fn signal(&self, mut item: Value, now: Timestamp) -> Judged {
        fill_time(&mut item, now);
        match shape::<Signal>(&item) {
            Ok(signal) => self.event(Event::Signal(signal), now),
            Err(refusal) => self.misshapen(refusal, wrap("signal", item), now),
        }
    }

    pub(super) fn exposure(&self, mut item: Value, now: Timestamp) -> Judged {
        fill_time(&mut item, now);
        match shape::<Exposure>(&item) {
            Ok(exposure) => self.event(Event::Exposure(exposure), now),
            Err(refusal) => self.misshapen(refusal, wrap("exposure", item), now),
        }
    }

    pub(super) fn envelope(&self, item: Vec<u8>, now: Timestamp) -> Judged {
        match open_envelope(&item) {
            Ok(event) => match self.event(event, now) {
                // As it came, when nothing had to be taken out of it.
                Judged::Dead(dead) if self.cleaner.is_off() => {
                    Judged::Dead(Dead { raw_bytes: item.len(), raw: item, ..dead })
                }
                judged => judged,
            },
            Err(refusal) => self.misshapen(refusal, item, now),
        }
    }

    /// Checks the limits of a well-shaped event, then whether it is kept and who sent it; cleans and
    /// encodes it.
    pub(super) fn event(&self, mut event: Event, now: Timestamp) -> Judged {
        let mut checked = self.check(&event, now);
        if checked.is_ok() {
            if !self.sampler.keeps(&mut event) {
                return Judged::Sampled;
            }
            checked = self.check_sender(&event);
        }
        if let (Event::Example(_), Err(refusal)) = (&event, &checked) {
            return self.misshapen(refusal.clone(), Envelope::new(event).encode(), now);
        }
        let mut hits = Hits::default();
        self.cleaner.event(&mut event, &mut hits);
        let judged = match checked {
            Ok(()) => self.encode(event, now),
            Err(mut refusal) => {
                self.cleaner.refusal(&mut refusal, &mut hits);
                dead(refusal, Envelope::new(event).encode(), now)
            }
        };
        self.count(&hits);
        judged
    }

    fn check_sender(&self, event: &Event) -> Result<(), Refusal> {
        match self.bots.field_of(event) {
            Some(field) => Err(Refusal::new(Reason::Bot, field, "that of a person", "that of a program")),
            None => Ok(()),
        }
    }

    fn encode(&self, mut event: Event, now: Timestamp) -> Judged {
        let (topic, key) = match &event {
            Event::Exposure(exposure) => (Topic::Exposures, exposure.exposure_id.to_string()),
            Event::Signal(signal) => (Topic::Signals, signal.exposure_id.to_string()),
            Event::Example(_) => return dead(not_accepted("example"), Vec::new(), now),
        };
        let fingerprints = self.fingerprints(&mut event);
        let facts = self.witness.facts(&event);
        let value = Envelope::new(event).encode();
        match fingerprints {
            Some((id, content)) if value.len() <= MAX_EVENT_BYTES => {
                Judged::Valid(Valid { topic, id, content, record: Record { key, value }, facts })
            }
            _ => dead(too_large(value.len()), value, now),
        }
    }

    /// What duplicates of `event`, which was cleaned, are found by: its id, and what it says apart from
    /// the names that are hashed, so that it does not matter under which salt they were.
    fn fingerprints(&self, event: &mut Event) -> Option<(Fingerprint, Fingerprint)> {
        let id = fingerprint_of_id(event)?;
        Some((id, Fingerprint::of_content(event, self.cleaner.hashed_fields())))
    }

    /// As [`fingerprints`](Self::fingerprints), of an event that was stored when perhaps less was redacted.
    pub(super) fn fingerprints_of_stored(&self, event: &mut Event) -> Option<(Fingerprint, Fingerprint)> {
        self.cleaner.redact_event(event, &mut Hits::default());
        self.fingerprints(event)
    }

    /// What the guard is told of an event that was stored.
    pub(super) fn facts(&self, event: &Event) -> Option<Facts> {
        self.witness.facts(event)
    }

    /// Refuses what is no event.
    fn misshapen(&self, mut refusal: Refusal, item: Vec<u8>, now: Timestamp) -> Judged {
        let mut hits = Hits::default();
        self.cleaner.refusal(&mut refusal, &mut hits);
        let raw_bytes = item.len();
        let raw = self.clean_raw(item, &mut hits);
        self.count(&hits);
        Judged::Dead(Dead { refusal, raw, raw_bytes, received_ts: now, source: None })
    }

    /// Cleans what is no event: as JSON if it is that, else as a text.
    fn clean_raw(&self, item: Vec<u8>, hits: &mut Hits) -> Vec<u8> {
        if self.cleaner.is_off() {
            return item;
        }
        let is_cut = item.len() > MAX_EVENT_BYTES;
        if !is_cut && let Ok(mut value) = serde_json::from_slice::<Value>(&item) {
            self.cleaner.value(&mut value, hits);
            return value.to_string().into_bytes();
        }
        let mut text = String::from_utf8_lossy(&item[..item.len().min(MAX_EVENT_BYTES)]).into_owned();
        self.cleaner.text(&mut text, hits);
        if is_cut && text.len() > CUT_MARGIN {
            text.truncate(text.floor_char_boundary(text.len() - CUT_MARGIN));
        }
        text.into_bytes()
    }
}

fn dead(refusal: Refusal, raw: Vec<u8>, received_ts: Timestamp) -> Judged {
    Judged::Dead(Dead { refusal, raw_bytes: raw.len(), raw, received_ts, source: None })
}
