//! Text to tokens: lower-case words, single marks, single emoji; and words to character n-grams.

use std::ops::{ControlFlow, RangeInclusive};

/// Characters of an n-gram.
const GRAM_LENGTHS: RangeInclusive<usize> = 3..=5;
/// Most characters of a word that are read for n-grams.
const GRAM_CHARS: usize = 24;
/// Most n-grams of one word.
#[cfg(test)]
pub(super) const MAX_WORD_GRAMS: usize = 3 * GRAM_CHARS;
/// Stands for the edge of a word; no word has it.
const EDGE: char = ' ';

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word that carries meaning.
    Content,
    /// A word that carries grammar.
    Function,
    /// Punctuation.
    Mark,
    /// An emoji.
    Emoji,
}

/// One token: the hash of its lower-case text, and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) hash: u64,
    pub(super) kind: Kind,
}

/// English words that carry grammar rather than meaning, sorted. Words of tone ("please", "hey", "thanks") are left
/// out on purpose: they tell who asks.
const FUNCTION_WORDS: &[&str] = &[
    "a", "about", "an", "and", "are", "as", "at", "be", "been", "but", "by", "can", "could", "did", "do", "does",
    "for", "from", "had", "has", "have", "he", "her", "him", "his", "i", "if", "in", "into", "is", "it", "its", "me",
    "my", "of", "on", "or", "our", "s", "she", "should", "so", "than", "that", "the", "their", "them", "then", "there",
    "these", "they", "this", "those", "to", "up", "was", "we", "were", "what", "when", "where", "which", "while",
    "who", "will", "with", "would", "you", "your",
];

/// A stretch of text that is one token.
enum Piece<'a> {
    /// A word in lower case.
    Word(&'a str),
    /// A mark, an emoji or an ideograph.
    Single(char, Kind),
}

/// Hands the pieces of `text` to `visit`, until it says that it has enough.
fn scan(text: &str, mut visit: impl FnMut(Piece<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
    let mut word = String::new();
    for c in text.chars() {
        if c.is_alphanumeric() && !is_ideograph(c) {
            word.extend(c.to_lowercase());
            continue;
        }
        // "don't" is one word, 'quoted' is not two marks and a word.
        if matches!(c, '\'' | '’') && !word.is_empty() {
            continue;
        }
        if !word.is_empty() {
            visit(Piece::Word(&word))?;
            word.clear();
        }
        if c.is_whitespace() || c.is_control() {
            continue;
        }
        if let Some(kind) = single_kind(c) {
            visit(Piece::Single(c, kind))?;
        }
    }
    if word.is_empty() { ControlFlow::Continue(()) } else { visit(Piece::Word(&word)) }
}

/// Up to `limit` tokens of `text`.
pub(super) fn tokens(text: &str, limit: usize) -> Vec<Token> {
    let mut found = Vec::new();
    let _enough = scan(text, |piece| {
        if found.len() >= limit {
            return ControlFlow::Break(());
        }
        found.push(match piece {
            Piece::Word(word) => {
                let is_function = FUNCTION_WORDS.binary_search(&word).is_ok();
                let kind = if is_function { Kind::Function } else { Kind::Content };
                Token { hash: hash_bytes(word.as_bytes()), kind }
            }
            Piece::Single(c, kind) => {
                let mut buffer = [0_u8; 4];
                Token { hash: hash_bytes(c.encode_utf8(&mut buffer).as_bytes()), kind }
            }
        });
        ControlFlow::Continue(())
    });
    found
}

/// Hashes of the character n-grams within the first `limit` words of `text`: three to five characters in a row, where
/// the edges of a word count as characters. A word as a whole is none of its grams. Of a word only the first
/// [`GRAM_CHARS`] characters are read.
pub(super) fn grams(text: &str, limit: usize) -> Vec<u64> {
    let (mut found, mut chars, mut words) = (Vec::new(), Vec::new(), 0);
    if limit == 0 {
        return found;
    }
    let _enough = scan(text, |piece| {
        let Piece::Word(word) = piece else { return ControlFlow::Continue(()) };
        chars.clear();
        chars.push(EDGE);
        chars.extend(word.chars().take(GRAM_CHARS));
        chars.push(EDGE);
        for length in GRAM_LENGTHS.filter(|length| *length < chars.len()) {
            let grams = chars.windows(length).map(|gram| gram.iter().fold(0, |hash, c| pair(hash, u64::from(*c))));
            found.extend(grams);
        }
        words += 1;
        if words < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    found
}

/// What a character that is no part of a word is; modifiers that only change the look of an emoji are nothing.
fn single_kind(c: char) -> Option<Kind> {
    match c {
        '\u{fe0e}' | '\u{fe0f}' | '\u{200d}' | '\u{1f3fb}'..='\u{1f3ff}' => None,
        _ if is_emoji(c) => Some(Kind::Emoji),
        _ if is_ideograph(c) => Some(Kind::Content),
        _ => Some(Kind::Mark),
    }
}

fn is_emoji(c: char) -> bool {
    matches!(c,
        '\u{1f000}'..='\u{1faff}' | '\u{2600}'..='\u{27bf}' | '\u{2b50}' | '\u{2b55}' | '\u{2190}'..='\u{21ff}')
}

/// Scripts without spaces between words: one token per character.
fn is_ideograph(c: char) -> bool {
    matches!(c,
        '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}')
}

/// FNV-1a over the bytes, then the finaliser of `SplitMix64` to spread the low bits: the same on every platform and in
/// every version, because feature numbers are stored in checkpoints.
pub(super) fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    mix(hash)
}

/// The finaliser of `SplitMix64`.
pub(crate) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A hash of two hashes that depends on their order.
pub(crate) fn pair(a: u64, b: u64) -> u64 {
    mix(a.rotate_left(23) ^ b.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        tokens(text, 100).into_iter().map(|t| t.kind).collect()
    }

    #[test]
    fn words_marks_and_emoji_are_told_apart() {
        use Kind::{Content, Emoji, Function, Mark};
        assert_eq!(kinds("The cat, really!"), [Function, Content, Mark, Content, Mark]);
        assert_eq!(kinds("ok 👍🏽❤️"), [Content, Emoji, Emoji]);
        assert_eq!(kinds("日本"), [Content, Content]);
        assert_eq!(kinds("don't"), [Content]);
        assert!(kinds(" \n\t").is_empty());
    }

    #[test]
    fn case_does_not_matter_and_limits_hold() {
        assert_eq!(tokens("Paris IS nice", 9), tokens("paris is NICE", 9));
        assert_eq!(tokens("a b c d", 2).len(), 2);
        assert_eq!(tokens("a! b! c!", 3).len(), 3);
    }

    #[test]
    fn function_words_are_sorted_for_the_search() {
        assert!(FUNCTION_WORDS.is_sorted());
    }

    #[test]
    fn hashes_never_change() {
        // Stored in checkpoints: a change here must change the encoder's version.
        assert_eq!(hash_bytes(b"love"), 0x4c68_92bd_7481_29ea);
        assert_ne!(pair(1, 2), pair(2, 1));
    }
}
