//! The limits of well-shaped events.

use plaudit_event::{Event, Exposure, Signal, SignalKind, Span, Timestamp};

use super::Judge;
use crate::Evidence;
use crate::outcome::{Reason, Refusal};

/// Largest event, in bytes of its envelope.
pub const MAX_EVENT_BYTES: usize = 1 << 20;
/// Longest text of a signal.
pub const MAX_TEXT_BYTES: usize = 16 << 10;
/// Most parts of a response that one signal names.
pub const MAX_SPANS: usize = 64;
/// Highest number of a character in a response.
const MAX_SPAN_END: u32 = 1 << 20;
/// Longest slate.
pub const MAX_SLATE: usize = 1_000;
/// Most generated tokens of an exposure.
pub const MAX_TOKEN_LOGPROBS: usize = 8_192;
/// Longest name of an item, and of other short texts.
pub const MAX_ITEM_ID_BYTES: usize = 256;

/// Rounding that a log-probability may show above 0.
const LOGPROB_ROUNDING: f32 = 1e-6;

impl Judge {
    pub(super) fn check(&self, event: &Event, now: Timestamp) -> Result<(), Refusal> {
        match event {
            Event::Exposure(exposure) => {
                self.check_time(exposure.ts, now)?;
                check_exposure(exposure)
            }
            Event::Signal(signal) => {
                self.check_time(signal.ts, now)?;
                self.check_signal(signal)
            }
            Event::Example(_) => Err(super::not_accepted("example")),
        }
    }

    fn check_time(&self, ts: Timestamp, now: Timestamp) -> Result<(), Refusal> {
        let latest = now.plus_millis(self.max_clock_skew_ms);
        if ts < Timestamp::from_millis(0) || ts > latest {
            let allowed = format!("0 to {} (now and the allowed skew)", latest.as_millis());
            return Err(Refusal::new(Reason::Time, "ts", allowed, ts.as_millis()));
        }
        Ok(())
    }

    fn check_signal(&self, signal: &Signal) -> Result<(), Refusal> {
        let Some(spec) = self.signals.get(&signal.kind) else {
            let allowed = "a kind that the configuration declares";
            return Err(Refusal::new(Reason::UnknownKind, "kind", allowed, &signal.kind));
        };
        if !spec.enabled {
            let allowed = "a kind that is enabled";
            return Err(Refusal::new(Reason::DisabledKind, "kind", allowed, &signal.kind));
        }
        if signal.retracts.as_ref() == Some(&signal.signal_id) {
            let allowed = "the id of another signal";
            let id = &signal.signal_id;
            return Err(Refusal::new(Reason::SelfRetraction, "retracts", allowed, id));
        }
        // A retraction says nothing new, so it needs no value.
        if signal.retracts.is_none() {
            check_value(signal, spec.polarity)?;
        }
        check_spans(signal)?;
        check_length("text", signal.text.as_deref(), MAX_TEXT_BYTES)?;
        check_length("op", signal.op.as_deref(), MAX_ITEM_ID_BYTES)?;
        check_length("item_id", signal.item_id.as_deref(), MAX_ITEM_ID_BYTES)
    }
}

fn check_value(signal: &Signal, evidence: Evidence) -> Result<(), Refusal> {
    let is_rating = signal.kind == SignalKind::Rating || evidence == Evidence::Value;
    let is_dwell = signal.kind == SignalKind::Dwell;
    let allowed = match (is_rating, is_dwell) {
        (true, _) => "between 0 and 1",
        (false, true) => "at least 0 seconds",
        (false, false) => "finite",
    };
    let is_allowed = match signal.value {
        Some(value) if is_rating => (0.0..=1.0).contains(&value),
        Some(value) if is_dwell => value >= 0.0 && value.is_finite(),
        Some(value) => value.is_finite(),
        None => !is_rating && !is_dwell,
    };
    if is_allowed {
        return Ok(());
    }
    let got = signal.value.map_or("none".to_owned(), |v| v.to_string());
    Err(Refusal::new(Reason::Value, "value", allowed, got))
}

fn check_spans(signal: &Signal) -> Result<(), Refusal> {
    let count = signal.spans.len();
    if count > MAX_SPANS {
        let allowed = format!("at most {MAX_SPANS} parts");
        return Err(Refusal::new(Reason::Spans, "spans", allowed, format!("{count} parts")));
    }
    let is_part = |span: &Span| span.start < span.end && span.end <= MAX_SPAN_END;
    let Some(at) = signal.spans.iter().position(|span| !is_part(span)) else { return Ok(()) };
    let Span { start, end } = signal.spans[at];
    let allowed = format!("`start` below `end`, and `end` at most {MAX_SPAN_END}");
    Err(Refusal::new(Reason::Spans, format!("spans[{at}]"), allowed, format!("{start} to {end}")))
}

/// The text itself stays out of the refusal: it may be a person's.
fn check_length(field: &str, text: Option<&str>, most: usize) -> Result<(), Refusal> {
    match text.map(str::len) {
        Some(length) if length > most => {
            let allowed = format!("at most {most} bytes");
            Err(Refusal::new(Reason::Text, field, allowed, format!("{length} bytes")))
        }
        _ => Ok(()),
    }
}

fn check_exposure(exposure: &Exposure) -> Result<(), Refusal> {
    let length = exposure.slate.len();
    if length == 0 || length > MAX_SLATE {
        let allowed = format!("1 to {MAX_SLATE} items");
        return Err(Refusal::new(Reason::Slate, "slate", allowed, format!("{length} items")));
    }
    if exposure.chosen as usize >= length {
        let allowed = format!("below {length}, the length of the slate");
        return Err(Refusal::new(Reason::Chosen, "chosen", allowed, exposure.chosen));
    }
    for (index, impression) in exposure.slate.iter().enumerate() {
        let id_bytes = impression.item_id.len();
        if id_bytes == 0 || id_bytes > MAX_ITEM_ID_BYTES {
            let field = format!("slate[{index}].item_id");
            let allowed = format!("1 to {MAX_ITEM_ID_BYTES} bytes");
            return Err(Refusal::new(Reason::Slate, field, allowed, format!("{id_bytes} bytes")));
        }
        if let Some(score) = impression.score.filter(|score| !score.is_finite()) {
            let field = format!("slate[{index}].score");
            return Err(Refusal::new(Reason::Slate, field, "finite", score));
        }
    }
    check_length("session_id", exposure.session_id.as_deref(), MAX_ITEM_ID_BYTES)?;
    check_logprobs(exposure)
}

fn check_logprobs(exposure: &Exposure) -> Result<(), Refusal> {
    let tokens = exposure.token_logprobs.as_deref().unwrap_or_default();
    if tokens.len() > MAX_TOKEN_LOGPROBS {
        let allowed = format!("at most {MAX_TOKEN_LOGPROBS} tokens");
        let got = format!("{} tokens", tokens.len());
        return Err(Refusal::new(Reason::TokenLogprobs, "token_logprobs", allowed, got));
    }
    for (index, token) in tokens.iter().enumerate() {
        let is_logprob = token.1.is_finite() && token.1 <= LOGPROB_ROUNDING;
        if !is_logprob {
            let field = format!("token_logprobs[{index}]");
            return Err(Refusal::new(Reason::TokenLogprobs, field, "finite and at most 0", token.1));
        }
    }
    Ok(())
}
