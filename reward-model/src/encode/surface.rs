//! Surface features: numbers about the form of a response, not its words.

use super::text::{Kind, Token};
use crate::Row;
use plaudit_event::Role;

/// How many dense features there are; the first is always 1 and carries the intercept.
pub(crate) const DENSE: usize = 20;

/// Numbers of the dense features that are functions of the length of the response.
pub(crate) const LENGTHS: [usize; 2] = [1, 2];

/// What the dense features are computed from.
pub(super) struct Surface<'a> {
    row: &'a Row<'a>,
    response: &'a [Token],
    request: &'a [Token],
    history: &'a [Vec<Token>],
}

impl<'a> Surface<'a> {
    pub(super) fn new(
        row: &'a Row<'a>,
        response: &'a [Token],
        request: &'a [Token],
        history: &'a [Vec<Token>],
    ) -> Self {
        Self { row, response, request, history }
    }

    /// Number of words of the response in classes that grow by half.
    pub(super) fn length_class(&self) -> u64 {
        let words = count_words(self.response) as f64;
        (2.0 * (1.0 + words).log2()).floor() as u64
    }

    /// The dense features, all of about the size of 1.
    pub(super) fn dense(&self) -> [f32; DENSE] {
        let words = count_words(self.response);
        let length = (1.0 + words as f32).ln() / 4.0;
        let asked = (1.0 + count_words(self.request) as f32).ln() / 4.0;
        let text = self.row.response.trim();
        let last = text.chars().next_back();
        let questions = count_char(text, '?');
        let letters = text.chars().filter(|c| c.is_alphabetic()).count();
        let capitals = text.chars().filter(|c| c.is_uppercase()).count();
        [
            1.0,
            length,
            length * length,
            asked,
            overlap(self.request, self.response),
            overlap(self.response, self.request),
            self.repeats_history(),
            self.repeats_verbatim(),
            repetition(self.response),
            capped(count_kind(self.response, Kind::Emoji)),
            capped(count_char(text, '!')),
            capped(questions),
            flag(last == Some('?')),
            flag(last.is_some_and(char::is_alphanumeric)),
            flag(text.contains(|c: char| c.is_ascii_digit())),
            capitals as f32 / letters.max(1) as f32,
            flag(text.chars().next().is_some_and(char::is_uppercase)),
            capped(count_char(text, '\n')),
            capped(self.row.context.messages.len()) / 2.0,
            flag(words == 0),
        ]
    }

    /// Share of the response's content words that the earlier messages already had.
    fn repeats_history(&self) -> f32 {
        let shares = self.history.iter().map(|h| overlap(self.response, h));
        shares.fold(0.0, f32::max)
    }

    /// Whether the product said exactly this before.
    fn repeats_verbatim(&self) -> f32 {
        let text = self.row.response.trim();
        let messages = self.row.context.messages.iter();
        let mut own = messages.filter(|m| m.role == Role::Assistant);
        flag(own.any(|message| message.content.trim() == text))
    }
}

/// Number of words of `text`, for correlations with the length.
pub(crate) fn num_words(text: &str) -> u32 {
    u32::try_from(text.split_whitespace().count()).unwrap_or(u32::MAX)
}

fn count_words(tokens: &[Token]) -> usize {
    let is_word = |token: &&Token| matches!(token.kind, Kind::Content | Kind::Function);
    tokens.iter().filter(is_word).count()
}

fn count_kind(tokens: &[Token], kind: Kind) -> usize {
    tokens.iter().filter(|token| token.kind == kind).count()
}

fn count_char(text: &str, wanted: char) -> usize {
    text.chars().filter(|c| *c == wanted).count()
}

/// 0, ⅓, ⅔ or 1: more than three count as three.
fn capped(count: usize) -> f32 {
    count.min(3) as f32 / 3.0
}

fn flag(on: bool) -> f32 {
    if on { 1.0 } else { 0.0 }
}

/// Share of the content words of `of` that occur in `within`.
fn overlap(of: &[Token], within: &[Token]) -> f32 {
    let (mut all, mut hits) = (0_u32, 0_u32);
    for token in of {
        if token.kind == Kind::Content {
            all += 1;
            hits += u32::from(within.contains(token));
        }
    }
    hits as f32 / all.max(1) as f32
}

/// Share of word pairs that occurred before in the same response.
fn repetition(tokens: &[Token]) -> f32 {
    let mut pairs: Vec<(u64, u64)> = tokens.windows(2).map(|two| (two[0].hash, two[1].hash)).collect();
    let all = pairs.len();
    pairs.sort_unstable();
    pairs.dedup();
    (all - pairs.len()) as f32 / all.max(1) as f32
}
