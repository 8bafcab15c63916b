//! Learning byte-pair merges (Sennrich et al. 2016, algorithm 1).
//!
//! The trainer of the tokenizers crate walks hash maps with random keys, which leaves the order of
//! equally frequent pairs open. Here every choice is fixed: the most frequent pair first, among
//! equals the one with the smaller ids.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use tokenizers::pre_tokenizers::byte_level::ByteLevel;

type Pair = (u32, u32);

/// How often each word occurs.
#[derive(Debug, Default)]
pub(super) struct WordCounts(BTreeMap<String, u64>);

impl WordCounts {
    pub(super) fn add(&mut self, word: String) {
        *self.0.entry(word).or_default() += 1;
    }
}

/// What was learned.
#[derive(Debug)]
pub(super) struct Vocabulary {
    /// Tokens by id.
    pub(super) tokens: Vec<String>,
    /// Pairs in the order in which they merge.
    pub(super) merges: Vec<(String, String)>,
}

/// Learns a vocabulary: `markers`, the 256 bytes, then merged pairs until it has `vocab_size` tokens
/// or no pair occurs twice.
pub(super) fn learn(words: &WordCounts, markers: &[&str], vocab_size: usize) -> Vocabulary {
    let mut tokens: Vec<String> = markers.iter().map(|&marker| marker.to_owned()).collect();
    let bytes: BTreeSet<char> = ByteLevel::alphabet().into_iter().collect();
    let first_byte = tokens.len() as u32;
    let ids: BTreeMap<char, u32> = bytes.iter().copied().zip(first_byte..).collect();
    tokens.extend(bytes.iter().map(char::to_string));
    let mut pairs = Pairs::new(words, &ids);
    let mut merges = Vec::new();
    while tokens.len() < vocab_size {
        let Some(pair) = pairs.most_frequent() else {
            break;
        };
        let (left, right) = (&tokens[pair.0 as usize], &tokens[pair.1 as usize]);
        merges.push((left.clone(), right.clone()));
        let merged = format!("{left}{right}");
        pairs.merge(pair, tokens.len() as u32);
        tokens.push(merged);
    }
    Vocabulary { tokens, merges }
}

/// All words as tokens, with an index of the pairs in them.
struct Pairs {
    words: Vec<(Vec<u32>, u64)>,
    counts: BTreeMap<Pair, u64>,
    /// Words that hold a pair, or held it once.
    places: BTreeMap<Pair, BTreeSet<usize>>,
    /// The pairs of `counts`, most frequent first.
    queue: BTreeSet<(Reverse<u64>, Pair)>,
}

impl Pairs {
    fn new(words: &WordCounts, ids: &BTreeMap<char, u32>) -> Self {
        let mut pairs = Self {
            words: Vec::with_capacity(words.0.len()),
            counts: BTreeMap::new(),
            places: BTreeMap::new(),
            queue: BTreeSet::new(),
        };
        for (word, &count) in &words.0 {
            let tokens: Vec<u32> = word.chars().map(|symbol| ids[&symbol]).collect();
            pairs.words.push((tokens, count));
            pairs.count(pairs.words.len() - 1);
        }
        pairs
    }

    fn most_frequent(&self) -> Option<Pair> {
        let &(Reverse(count), pair) = self.queue.first()?;
        (count >= 2).then_some(pair)
    }

    /// Replaces `pair` by `token` in every word, left to right.
    fn merge(&mut self, pair: Pair, token: u32) {
        for index in self.places.remove(&pair).unwrap_or_default() {
            self.discount(index);
            let old = &self.words[index].0;
            let mut new = Vec::with_capacity(old.len());
            let mut rest = old.as_slice();
            while let [first, tail @ ..] = rest {
                if tail.first() == Some(&pair.1) && *first == pair.0 {
                    new.push(token);
                    rest = &tail[1..];
                } else {
                    new.push(*first);
                    rest = tail;
                }
            }
            self.words[index].0 = new;
            self.count(index);
        }
    }

    /// Adds the pairs of one word to the index.
    fn count(&mut self, index: usize) {
        let weight = self.words[index].1;
        for position in 1..self.words[index].0.len() {
            let tokens = &self.words[index].0;
            let pair = (tokens[position - 1], tokens[position]);
            let count = self.counts.get(&pair).copied().unwrap_or(0);
            self.set(pair, count, count + weight);
            self.places.entry(pair).or_default().insert(index);
        }
    }

    /// Takes the pairs of one word out of the counts; its places may stay behind.
    fn discount(&mut self, index: usize) {
        let weight = self.words[index].1;
        for position in 1..self.words[index].0.len() {
            let tokens = &self.words[index].0;
            let pair = (tokens[position - 1], tokens[position]);
            let count = self.counts.get(&pair).copied().unwrap_or(0);
            self.set(pair, count, count - weight);
        }
    }

    fn set(&mut self, pair: Pair, from: u64, to: u64) {
        self.queue.remove(&(Reverse(from), pair));
        if to == 0 {
            self.counts.remove(&pair);
        } else {
            self.counts.insert(pair, to);
            self.queue.insert((Reverse(to), pair));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merges_of(words: &[(&str, u64)], count: usize) -> Vec<String> {
        let mut counts = WordCounts::default();
        for (word, times) in words {
            for _ in 0..*times {
                counts.add((*word).to_owned());
            }
        }
        let vocabulary = learn(&counts, &[], 256 + count);
        let written = |(left, right): (String, String)| format!("{left} {right}");
        vocabulary.merges.into_iter().map(written).collect()
    }

    #[test]
    fn the_worked_example_of_the_paper_is_reproduced() {
        // Sennrich et al. 2016, figure 1, without the end-of-word symbol.
        let words = [("low", 5), ("lower", 2), ("newest", 6), ("widest", 3)];
        let merges = merges_of(&words, 4);
        // e s: 9, es t: 9, then l o and lo w: 7 each.
        assert_eq!(merges, ["e s", "es t", "l o", "lo w"]);
    }

    #[test]
    fn overlapping_pairs_merge_from_the_left() {
        let merges = merges_of(&[("aaaaa", 2)], 2);
        // aaaaa has 4 × 2 pairs; after one merge it is aa aa a, with (aa, aa) and (aa, a) 2 each.
        // Equal counts: the pair of smaller ids wins, and `a` has a smaller id than `aa`.
        assert_eq!(merges, ["a a", "aa a"]);
    }

    #[test]
    fn pairs_that_occur_once_are_not_learned() {
        assert_eq!(merges_of(&[("xy", 2), ("pq", 1)], 10), ["x y"]);
    }
}
