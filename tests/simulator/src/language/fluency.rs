//! Which word sequences belong to the language: what a reader notices as broken.

use std::collections::{HashMap, HashSet};

use super::facts::{PARTING, SMALL_TALK, SMALL_TALK_SAYS, THEMES};
use super::phrases::{AGAIN, CLOSINGS, PLAIN_OPENERS, VAGUE, VAGUE_ABOUT, WARM_ENDINGS, WARM_OPENERS};
use super::text::{fill, words};

/// All neighbouring words of the language, with the ends of each clause as words of their own.
pub(crate) struct Fluency {
    /// Numbers of the known words.
    words: HashMap<String, u16>,
    pairs: HashSet<(u16, u16)>,
}

const EDGE: &str = "";

fn clauses(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', '.', '!', '?', ':']).filter(|clause| !clause.trim().is_empty())
}

fn neighbours(clause: &str) -> impl Iterator<Item = (&str, &str)> {
    let left = std::iter::once(EDGE).chain(words(clause));
    let right = words(clause).chain(std::iter::once(EDGE));
    left.zip(right)
}

impl Fluency {
    /// Reads every sentence that the language can make.
    pub(crate) fn new() -> Self {
        let mut fluency = Self { words: HashMap::new(), pairs: HashSet::new() };
        for theme in &THEMES {
            for topic in &theme.topics {
                for (attribute, answer) in theme.attributes.iter().zip(topic.answers) {
                    for say in attribute.says {
                        fluency.read(&fill(say, topic.name, answer));
                    }
                    attribute.details.iter().for_each(|s| fluency.read(s));
                }
                for vague in VAGUE_ABOUT {
                    fluency.read(&fill(vague, topic.name, ""));
                }
            }
        }
        for say in SMALL_TALK_SAYS {
            for talk in &SMALL_TALK {
                fluency.read(&fill(say, "", talk.answer));
            }
        }
        let fixed = [&PLAIN_OPENERS[..], &WARM_OPENERS, &WARM_ENDINGS, &VAGUE, &AGAIN, &CLOSINGS, &[PARTING]];
        for sentence in fixed.into_iter().flatten() {
            fluency.read(sentence);
        }
        fluency
    }

    fn read(&mut self, text: &str) {
        for clause in clauses(text) {
            for (left, right) in neighbours(clause) {
                let pair = (self.learn(left), self.learn(right));
                self.pairs.insert(pair);
            }
        }
    }

    fn learn(&mut self, word: &str) -> u16 {
        let next = u16::try_from(self.words.len()).expect("a small language");
        *self.words.entry(word.to_owned()).or_insert(next)
    }

    fn knows(&self, left: &str, right: &str) -> bool {
        let (Some(&left), Some(&right)) = (self.words.get(left), self.words.get(right)) else {
            return false;
        };
        self.pairs.contains(&(left, right))
    }

    /// Share of neighbouring words of `text` that the language never puts side by side; 1 for a
    /// text without words.
    pub(crate) fn broken(&self, text: &str) -> f32 {
        let lower = text.to_lowercase();
        let (mut all, mut unknown) = (0_u16, 0_u16);
        for clause in clauses(&lower) {
            for (left, right) in neighbours(clause) {
                all = all.saturating_add(1);
                unknown = unknown.saturating_add(u16::from(!self.knows(left, right)));
            }
        }
        if words(&lower).next().is_none() {
            return 1.0;
        }
        f32::from(unknown) / f32::from(all.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_of_the_language_are_whole_and_salad_is_broken() {
        let fluency = Fluency::new();
        let good = "well, you should cook eggs for eight minutes. check it with a fork.";
        assert_eq!(fluency.broken(good), 0.0);
        assert!(fluency.broken("eggs fork the bye with lovely love") > 0.7);
        assert!(fluency.broken("zxq wvut") > 0.9);
        assert_eq!(fluency.broken(""), 1.0);
        assert_eq!(fluency.broken("!!!"), 1.0);
        let cut_off = fluency.broken("well, you should cook eggs for eight minutes. check it with a");
        assert!(cut_off > 0.0 && cut_off < 0.15);
    }
}
