//! The speakers: users who put questions, and the base policy that answers.

use rand::Rng;
use rand::seq::IndexedRandom;

use super::facts::{ATTRIBUTES, Attribute, PARTING, SMALL_TALK, SMALL_TALK_SAYS, THEMES, TOPICS, Topic};
use super::fluency::Fluency;
use super::phrases::{
    AGAIN, ANXIOUS, CASUAL, CLOSINGS, FORMAL, HURRIED, PERSONA_MARKS, PLAIN_OPENERS, VAGUE, VAGUE_ABOUT, WARM_ENDINGS,
    WARM_OPENERS, Wording,
};
use super::text::{fill, holds, normalize};
use super::{FactId, Intent, NUM_SMALL_TALK, Persona, Prompt, PromptMix, Style, Substance};

/// Share of responses without warmth that start with some other opener.
const PLAIN_OPENER_SHARE: f64 = 0.6;
/// Share of warm responses whose warmth comes last.
const WARM_ENDING_SHARE: f64 = 0.2;
/// Share of prompts about facts that use a wording made for "when to …" questions.
const REQUEST_SHARE: f64 = 0.3;
/// Share of vague responses that name the topic.
const VAGUE_ABOUT_SHARE: f64 = 0.6;
/// Share of responses that say goodbye to a user who said so first.
const PARTING_CLOSING_SHARE: f64 = 0.9;

/// Everything that can be said, with what is needed to read it back.
pub struct World {
    /// Every question about a fact, normalised.
    asks: Vec<(FactId, String)>,
    fluency: Fluency,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

fn attribute(fact: FactId) -> &'static Attribute {
    &THEMES[fact.theme()].attributes[fact.attribute()]
}

fn topic(fact: FactId) -> &'static Topic {
    &THEMES[fact.theme()].topics[fact.topic() % TOPICS]
}

const fn wording(persona: Persona) -> &'static Wording {
    match persona {
        Persona::Casual => &CASUAL,
        Persona::Formal => &FORMAL,
        Persona::Hurried => &HURRIED,
        Persona::Anxious => &ANXIOUS,
    }
}

fn pick<T: Copy>(items: &[T], rng: &mut impl Rng) -> T {
    *items.choose(rng).expect("the language has no empty list")
}

/// Draws an index with the given weights.
pub(crate) fn weighted(weights: &[f64], rng: &mut impl Rng) -> usize {
    let mut left = rng.random::<f64>() * weights.iter().sum::<f64>();
    for (index, weight) in weights.iter().enumerate() {
        left -= weight;
        if left < 0.0 {
            return index;
        }
    }
    weights.len() - 1
}

impl World {
    /// Builds the tables.
    #[must_use]
    pub fn new() -> Self {
        let mut asks = Vec::new();
        for fact in FactId::all() {
            for ask in attribute(fact).asks {
                asks.push((fact, normalize(&fill(ask, topic(fact).name, ""))));
            }
        }
        Self { asks, fluency: Fluency::new() }
    }

    /// Draws what one user says.
    pub fn prompt(&self, mix: &PromptMix, rng: &mut impl Rng) -> Prompt {
        let persona = Persona::ALL[weighted(&mix.personas, rng)];
        self.prompt_of(persona, mix, rng)
    }

    /// Draws what a user of `persona` says.
    pub fn prompt_of(&self, persona: Persona, mix: &PromptMix, rng: &mut impl Rng) -> Prompt {
        let kind = rng.random::<f64>();
        let words = wording(persona);
        let (intent, text) = if kind < mix.parting {
            (Intent::Parting, pick(words.partings, rng).to_owned())
        } else if kind < mix.parting + mix.small_talk {
            let index = rng.random_range(0..NUM_SMALL_TALK);
            let text = pick(words.prefixes, rng).replace("{q}", SMALL_TALK[index].ask);
            let index = u8::try_from(index).expect("a handful");
            (Intent::SmallTalk(index), text)
        } else {
            let theme = weighted(&mix.themes, rng);
            let fact = FactId::new(theme, rng.random_range(0..TOPICS), rng.random_range(0..ATTRIBUTES));
            let frame =
                if rng.random_bool(REQUEST_SHARE) { pick(words.requests, rng) } else { pick(words.prefixes, rng) };
            let ask = fill(pick(attribute(fact).asks, rng), topic(fact).name, "");
            (Intent::Fact(fact), frame.replace("{q}", &ask))
        };
        Prompt { persona, intent, text }
    }

    /// Reads a prompt back from its words; nothing when they are not of this language.
    #[must_use]
    pub fn read_prompt(&self, text: &str) -> Option<Prompt> {
        let padded = normalize(text);
        let persona = Persona::ALL.into_iter().find(|persona| {
            let marks = PERSONA_MARKS[persona.index()];
            marks.iter().any(|mark| holds(&padded, mark))
        })?;
        let fact = self.asks.iter().find(|(_, ask)| padded.contains(ask));
        let talk = SMALL_TALK.iter().position(|talk| holds(&padded, talk.ask));
        let intent = match (fact, talk) {
            (Some((fact, _)), _) => Intent::Fact(*fact),
            (None, Some(talk)) => Intent::SmallTalk(u8::try_from(talk).ok()?),
            (None, None) if holds(&padded, "bye") || holds(&padded, "goodbye") => Intent::Parting,
            (None, None) => return None,
        };
        Some(Prompt { persona, intent, text: text.to_owned() })
    }

    /// Share of neighbouring words of `text` that the language never puts side by side.
    pub(crate) fn broken(&self, text: &str) -> f32 {
        self.fluency.broken(text)
    }

    /// Writes a response of the given style. To a user who leaves it says goodbye nearly always,
    /// whatever the style says about closings.
    pub fn response(&self, prompt: &Prompt, style: Style, rng: &mut impl Rng) -> String {
        let core = core_sentence(prompt.intent, style.substance, rng);
        let warm_last = style.warm && rng.random_bool(WARM_ENDING_SHARE);
        let mut parts: Vec<String> = Vec::with_capacity(5);
        if style.warm && !warm_last {
            parts.push(pick(&WARM_OPENERS, rng).to_owned());
        } else if rng.random_bool(PLAIN_OPENER_SHARE) {
            parts.push(pick(&PLAIN_OPENERS, rng).to_owned());
        }
        parts.push(core.clone());
        if let (Intent::Fact(fact), true) = (prompt.intent, style.detail) {
            parts.push(pick(attribute(fact).details, rng).to_owned());
        }
        if style.repetition && prompt.intent != Intent::Parting {
            parts.push(format!("{} {core}", pick(&AGAIN, rng)));
        }
        if warm_last {
            parts.push(pick(&WARM_ENDINGS, rng).to_owned());
        }
        let solicited = prompt.intent == Intent::Parting;
        if style.closing || (solicited && rng.random_bool(PARTING_CLOSING_SHARE)) {
            parts.push(pick(&CLOSINGS, rng).to_owned());
        }
        parts.join(" ")
    }
}

/// The sentence that answers, or fails to.
fn core_sentence(intent: Intent, substance: Substance, rng: &mut impl Rng) -> String {
    match (intent, substance) {
        (Intent::Parting, _) => format!("{PARTING}."),
        (Intent::Fact(fact), Substance::Right) => state(fact, rng),
        (Intent::Fact(fact), Substance::Wrong) => state(other_topic(fact, rng), rng),
        (Intent::Fact(fact), Substance::Vague) if rng.random_bool(VAGUE_ABOUT_SHARE) => {
            fill(pick(&VAGUE_ABOUT, rng), topic(fact).name, "")
        }
        (_, Substance::Vague) => pick(&VAGUE, rng).to_owned(),
        (Intent::SmallTalk(index), substance) => {
            let shift = match substance {
                Substance::Right => 0,
                _ => rng.random_range(1..NUM_SMALL_TALK),
            };
            let talk = &SMALL_TALK[(usize::from(index) + shift) % NUM_SMALL_TALK];
            fill(pick(&SMALL_TALK_SAYS, rng), "", talk.answer)
        }
    }
}

fn state(fact: FactId, rng: &mut impl Rng) -> String {
    fill(pick(attribute(fact).says, rng), topic(fact).name, fact.answer())
}

/// The same question about another topic of the theme.
fn other_topic(fact: FactId, rng: &mut impl Rng) -> FactId {
    let shift = rng.random_range(1..TOPICS);
    let other = (fact.topic() % TOPICS + shift) % TOPICS;
    FactId::new(fact.theme(), other, fact.attribute())
}

#[cfg(test)]
mod tests {
    use plaudit_event::Seed;

    use super::*;

    #[test]
    fn every_prompt_can_be_read_back() {
        let world = World::new();
        let mut rng = Seed::new(2).stream("prompts");
        let mix = PromptMix { small_talk: 0.1, parting: 0.1, ..PromptMix::default() };
        for _ in 0..20_000 {
            let prompt = world.prompt(&mix, &mut rng);
            assert_eq!(world.read_prompt(&prompt.text), Some(prompt));
        }
        assert_eq!(world.read_prompt("what is the capital of peru?"), None);
    }

    #[test]
    fn everything_the_base_policy_says_is_fluent() {
        let world = World::new();
        let mut rng = Seed::new(2).stream("responses");
        for _ in 0..20_000 {
            let prompt = world.prompt(&PromptMix::default(), &mut rng);
            let style = super::super::StyleMix::BASE.draw(&mut rng);
            let response = world.response(&prompt, style, &mut rng);
            assert_eq!(world.broken(&response), 0.0, "{response}");
        }
    }

    #[test]
    fn weighted_draws_follow_the_weights() {
        let mut rng = Seed::new(2).stream("weights");
        let mut counts = [0_u32; 3];
        for _ in 0..10_000 {
            counts[weighted(&[1.0, 0.0, 3.0], &mut rng)] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!((2_300..2_700).contains(&counts[0]), "{counts:?}");
    }
}
