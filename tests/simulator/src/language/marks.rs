//! Reading a response: which phrases give away what it is.

use super::facts::{PARTING, SMALL_TALK};
use super::phrases::{CLOSING_MARKS, VAGUE_MARKS, WARM_MARKS};

pub(crate) use super::text::{holds, normalize};

/// Whether `padded` text is warm.
pub(crate) fn warm(padded: &str) -> bool {
    WARM_MARKS.iter().any(|mark| holds(padded, mark))
}

/// Whether `padded` text ends a conversation.
pub(crate) fn closing(padded: &str) -> bool {
    CLOSING_MARKS.iter().any(|mark| holds(padded, mark))
}

/// Whether `padded` text evades the question.
pub(crate) fn vague(padded: &str) -> bool {
    VAGUE_MARKS.iter().any(|mark| holds(padded, mark))
}

/// Whether `padded` text takes thanks politely.
pub(crate) fn polite_parting(padded: &str) -> bool {
    holds(padded, PARTING)
}

/// The answers of small talk with their indices.
pub(crate) fn small_talk_answers() -> impl Iterator<Item = (u8, &'static str)> {
    (0_u8..).zip(SMALL_TALK.iter().map(|talk| talk.answer))
}
