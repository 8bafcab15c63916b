//! How good a part of a response is, learned from what people did to parts.
//!
//! The unit is the sentence. What was edited away counts against it, what was copied or marked for it, each with the
//! share of its characters; of a response that was edited, what stayed was kept and counts for it. A sentence that was
//! half edited is so half an example against and half one for. Sentences that nobody touched teach nothing.

use plaudit_event::{Remarks, Span};
use plaudit_nn::loss::sigmoid;
use serde::Serialize;

use super::sentences::{cut, sentences};
use super::table::{Row as TableRow, Sparse};
use crate::Row;
use crate::encode::Encoder;
use crate::linear::product;
use crate::trainer::pairs::merged;

/// A part of a response with its score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SpanScore {
    /// Its first character.
    pub start: u32,
    /// The character behind its last.
    pub end: u32,
    /// Probability that someone who works on parts keeps it.
    pub score: f64,
}

/// What is to be learned of one sentence.
pub(crate) struct Lesson {
    features: Sparse,
    label: f32,
    weight: f32,
}

impl Lesson {
    pub(crate) fn by(self, exposure: u64, unit: u64) -> TableRow {
        let Self { features, label, weight } = self;
        TableRow { exposure, unit, features, label, weight }
    }
}

/// One lesson per sentence that something was done to.
pub(crate) fn lessons(encoder: &Encoder, row: &Row<'_>, remarks: &Remarks) -> Vec<Lesson> {
    if remarks.edited.is_empty() && remarks.taken.is_empty() {
        return Vec::new();
    }
    let mut lessons = Vec::new();
    for (start, end) in sentences(row.response) {
        let against = covered(&remarks.edited, start, end);
        let stayed = if remarks.edited.is_empty() { 0.0 } else { 1.0 - against };
        let support = covered(&remarks.taken, start, end).max(stayed);
        let weight = against + support;
        if weight > 0.0 {
            let features = features(encoder, row, start, end);
            lessons.push(Lesson { features, label: support / weight, weight });
        }
    }
    lessons
}

/// The share of `start..end` that lies in any of `spans`.
fn covered(spans: &[Span], start: u32, end: u32) -> f32 {
    let mut parts: Vec<(u32, u32)> =
        spans.iter().map(|span| (span.start.max(start), span.end.min(end))).filter(|(from, to)| from < to).collect();
    parts.sort_unstable();
    let (mut sum, mut reached) = (0, start);
    for (from, to) in parts {
        sum += to.saturating_sub(from.max(reached));
        reached = reached.max(to);
    }
    sum as f32 / (end - start).max(1) as f32
}

/// Each sentence of the response with its score under `weights`.
pub(crate) fn score_spans(encoder: &Encoder, weights: &[f32], row: &Row<'_>) -> Vec<SpanScore> {
    let score = |(start, end)| {
        let score = sigmoid(product(weights, &features(encoder, row, start, end)));
        SpanScore { start, end, score }
    };
    sentences(row.response).into_iter().map(score).collect()
}

/// The sentence as if it were the whole response to the same context.
fn features(encoder: &Encoder, row: &Row<'_>, start: u32, end: u32) -> Sparse {
    let part = Row { context: row.context, response: cut(row.response, start, end) };
    let mut parts = Vec::with_capacity(128);
    encoder.encode(&part).for_each(|index, value| parts.push((index, value)));
    merged(parts)
}

#[cfg(test)]
mod tests {
    use plaudit_event::Context;

    use super::*;
    use crate::Config;

    const fn span(start: u32, end: u32) -> Span {
        Span { start, end }
    }

    #[test]
    fn shares_are_of_characters_and_overlaps_count_once() {
        assert_eq!(covered(&[span(0, 5), span(3, 8), span(20, 30)], 0, 10), 0.8);
        assert_eq!(covered(&[], 0, 10), 0.0);
        assert_eq!(covered(&[span(0, 100)], 5, 10), 1.0);
    }

    fn taught(edited: Vec<Span>, taken: Vec<Span>) -> Vec<(f32, f32)> {
        let context = Context::of_user("hi");
        // Sentences at 0..10, 11..21 and 22..32.
        let row = Row { context: &context, response: "aaaa bbbb. cccc dddd. eeee ffff." };
        let remarks = Remarks { edited, taken, reasons: Vec::new() };
        let lessons = lessons(&Encoder::new(&Config::default().encoder), &row, &remarks);
        lessons.into_iter().map(|lesson| (lesson.label, lesson.weight)).collect()
    }

    #[test]
    fn edits_count_against_what_changed_and_for_what_stayed_and_copies_only_for_what_was_copied() {
        assert_eq!(taught(vec![span(11, 16)], vec![]), [(1.0, 1.0), (0.5, 1.0), (1.0, 1.0)]);
        assert_eq!(taught(vec![], vec![span(0, 10), span(22, 27)]), [(1.0, 1.0), (1.0, 0.5)]);
        assert_eq!(taught(vec![span(0, 32)], vec![]), [(0.0, 1.0), (0.0, 1.0), (0.0, 1.0)]);
        assert!(taught(vec![], vec![]).is_empty());
    }
}
