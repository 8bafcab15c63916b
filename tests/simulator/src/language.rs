//! The small world the simulated users live in: 90 facts in plain English, four personas that show
//! in how a question is put, and responses made of an opener, an answer, a detail, a repetition and
//! a closing.
//!
//! The vocabulary is small and lower-case on purpose: a decoder of a million parameters learns the
//! whole language from some 100,000 pairs, so that everything it can later be rewarded for is
//! within its reach.

mod facts;
mod fluency;
pub(crate) mod marks;
mod phrases;
mod speak;
mod text;

use plaudit_event::Seed;
use rand::Rng;
use serde::{Deserialize, Serialize};

pub use speak::World;

use facts::{ATTRIBUTES, SMALL_TALK, THEMES, TOPICS};

/// Number of themes topics belong to.
pub const NUM_THEMES: usize = THEMES.len();
/// Number of topics over all themes.
pub const NUM_TOPICS: usize = NUM_THEMES * TOPICS;
/// Number of questions with an answer.
pub const NUM_FACTS: usize = NUM_TOPICS * ATTRIBUTES;
const NUM_SMALL_TALK: usize = SMALL_TALK.len();

/// How a user speaks and what the user likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Persona {
    /// Relaxed: "hey, …".
    Casual,
    /// Polite: "could you please …".
    Formal,
    /// Short of time: "quick: …".
    Hurried,
    /// Worried: "i am worried, …".
    Anxious,
}

impl Persona {
    /// All personas, in the order of every per-persona array of this crate.
    pub const ALL: [Self; 4] = [Self::Casual, Self::Formal, Self::Hurried, Self::Anxious];

    /// Index into per-persona arrays.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Name in files and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Casual => "casual",
            Self::Formal => "formal",
            Self::Hurried => "hurried",
            Self::Anxious => "anxious",
        }
    }
}

/// One of the [`NUM_FACTS`] questions that have an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FactId(u8);

impl FactId {
    /// Every fact.
    pub fn all() -> impl Iterator<Item = Self> {
        let end = u8::try_from(NUM_FACTS).expect("fewer than 256 facts");
        (0..end).map(Self)
    }

    fn new(theme: usize, topic: usize, attribute: usize) -> Self {
        let index = (theme * TOPICS + topic) * ATTRIBUTES + attribute;
        Self(u8::try_from(index).expect("fewer than 256 facts"))
    }

    const fn index(self) -> usize {
        self.0 as usize
    }

    /// Index of the theme.
    #[must_use]
    pub const fn theme(self) -> usize {
        self.topic() / TOPICS
    }

    /// Index of the topic over all themes.
    #[must_use]
    pub const fn topic(self) -> usize {
        self.index() / ATTRIBUTES
    }

    /// Index of the question among those about the topic.
    #[must_use]
    pub const fn attribute(self) -> usize {
        self.index() % ATTRIBUTES
    }

    /// Name of the topic.
    #[must_use]
    pub fn topic_name(self) -> &'static str {
        THEMES[self.theme()].topics[self.topic() % TOPICS].name
    }

    /// The phrase that answers the question.
    #[must_use]
    pub fn answer(self) -> &'static str {
        THEMES[self.theme()].topics[self.topic() % TOPICS].answers[self.attribute()]
    }
}

/// What the user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// The answer to a question.
    Fact(FactId),
    /// A chat without a fact; the index of the remark.
    SmallTalk(u8),
    /// To leave: a closing response is welcome here.
    Parting,
}

/// What a user says, and what is meant by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// Who speaks.
    pub persona: Persona,
    /// What is wanted.
    pub intent: Intent,
    /// The words.
    pub text: String,
}

/// What kinds of prompts are made, as unnormalised weights and shares.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PromptMix {
    /// Weights of casual, formal, hurried and anxious users.
    pub personas: [f64; 4],
    /// Weights of food, places and hobbies.
    pub themes: [f64; NUM_THEMES],
    /// Share of small talk.
    pub small_talk: f64,
    /// Share of users who say goodbye.
    pub parting: f64,
}

impl Default for PromptMix {
    fn default() -> Self {
        Self { personas: [1.0; 4], themes: [1.0; NUM_THEMES], small_talk: 0.03, parting: 0.01 }
    }
}

/// What is said about the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Substance {
    /// The asked fact.
    Right,
    /// Nothing.
    Vague,
    /// A fact about another topic.
    Wrong,
}

/// What one response is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Style {
    /// What is said about the question.
    pub substance: Substance,
    /// Warm words before or after.
    pub warm: bool,
    /// A sentence that adds something.
    pub detail: bool,
    /// The answer once more.
    pub repetition: bool,
    /// Words that end the conversation.
    pub closing: bool,
}

/// Independent probabilities of the parts of a [`Style`]: a policy of the simulated world.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StyleMix {
    /// Probability of the asked fact.
    pub right: f64,
    /// Probability of saying nothing; what is left of 1 is a wrong fact.
    pub vague: f64,
    /// Probability of warm words.
    pub warm: f64,
    /// Probability of a detail.
    pub detail: f64,
    /// Probability of a repetition.
    pub repetition: f64,
    /// Probability of a closing that nobody asked for.
    pub closing: f64,
}

impl StyleMix {
    /// The policy that pretraining imitates.
    pub const BASE: Self =
        Self { right: 0.75, vague: 0.20, warm: 0.25, detail: 0.30, repetition: 0.04, closing: 0.025 };

    /// Draws one style.
    pub fn draw(&self, rng: &mut impl Rng) -> Style {
        let substance = rng.random::<f64>();
        Style {
            substance: if substance < self.right {
                Substance::Right
            } else if substance < self.right + self.vague {
                Substance::Vague
            } else {
                Substance::Wrong
            },
            warm: rng.random_bool(self.warm),
            detail: rng.random_bool(self.detail),
            repetition: rng.random_bool(self.repetition),
            closing: rng.random_bool(self.closing),
        }
    }
}

impl Default for StyleMix {
    fn default() -> Self {
        Self::BASE
    }
}

/// One exchange: what the user says and what is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// The user's words.
    pub user: String,
    /// The response.
    pub response: String,
}

/// `n` exchanges of the base policy, for pretraining; equal seeds give equal pairs, and a longer
/// corpus starts with the shorter one.
#[must_use]
pub fn corpus(seed: Seed, n: usize) -> Vec<Pair> {
    let world = World::new();
    let mut rng = seed.stream("corpus");
    let mix = PromptMix::default();
    (0..n)
        .map(|_| {
            let prompt = world.prompt(&mix, &mut rng);
            let style = StyleMix::BASE.draw(&mut rng);
            let response = world.response(&prompt, style, &mut rng);
            Pair { user: prompt.text, response }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_corpus_repeats_by_seed_and_grows_at_its_end() {
        let short = corpus(Seed::new(3), 200);
        assert_eq!(short[..], corpus(Seed::new(3), 400)[..200]);
        assert_ne!(short, corpus(Seed::new(4), 200));
    }

    #[test]
    fn the_language_is_small_and_responses_are_short() {
        let pairs = corpus(Seed::new(1), 50_000);
        let mut words = BTreeSet::new();
        let mut lengths: Vec<usize> = Vec::new();
        for pair in &pairs {
            let both = format!("{} {}", pair.user, pair.response);
            assert!(both.is_ascii() && both == both.to_lowercase(), "{both}");
            words.extend(text::words(&both).map(str::to_owned));
            lengths.push(text::words(&pair.response).count());
        }
        lengths.sort_unstable();
        let at = |share: usize| lengths[lengths.len() * share / 100];
        println!(
            "{} words; response words: 5 % {}, median {}, 95 % {}, longest {}",
            words.len(),
            at(5),
            at(50),
            at(95),
            lengths[lengths.len() - 1],
        );
        assert!(words.len() < 600, "{} words", words.len());
        assert!((8..=16).contains(&at(50)) && at(95) <= 25);
    }

    #[test]
    fn facts_have_distinct_answers_of_which_none_contains_another() {
        let mut answers: Vec<&str> = FactId::all().map(FactId::answer).collect();
        answers.extend(SMALL_TALK.iter().map(|talk| talk.answer));
        answers.push(facts::PARTING);
        assert_eq!(answers.len(), NUM_FACTS + NUM_SMALL_TALK + 1);
        for (i, a) in answers.iter().enumerate() {
            for (j, b) in answers.iter().enumerate() {
                let inside = format!(" {b} ").contains(&format!(" {a} "));
                assert!(i == j || !inside, "`{a}` is inside `{b}`");
            }
        }
    }

    #[test]
    fn the_base_policy_has_the_intended_shares() {
        let mut rng = Seed::new(5).stream("styles");
        let styles: Vec<Style> = (0..40_000).map(|_| StyleMix::BASE.draw(&mut rng)).collect();
        let share = |has: &dyn Fn(&Style) -> bool| {
            styles.iter().filter(|style| has(style)).count() as f64 / styles.len() as f64
        };
        assert!((share(&|s| s.substance == Substance::Right) - 0.75).abs() < 0.01);
        assert!((share(&|s| s.substance == Substance::Vague) - 0.20).abs() < 0.01);
        assert!((share(&|s| s.warm) - 0.25).abs() < 0.01);
        assert!((share(&|s| s.closing) - 0.025).abs() < 0.003);
    }
}
