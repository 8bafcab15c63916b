//! The judge of truth: what the users really think of a response.
//!
//! [`Features`] are read from the actual text of the response, whoever wrote it; [`Preferences`]
//! turn them into the probability of love and of helpfulness. Nearly everything that matters shows
//! in the text, so that a model of the text can come close to the oracle.

mod features;
mod metrics;
mod preferences;
mod table;

pub use features::Features;
pub use metrics::auroc;
pub use preferences::Preferences;
pub use table::{Summary, Tally};

use plaudit_event::Seed;

use crate::draw::normal;
use crate::language::{Intent, NUM_TOPICS, Prompt, World};

/// What the users think of one response.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judgement {
    /// What the response is like.
    pub features: Features,
    /// Logit of the probability that it is loved, without the taste of the single user.
    pub love_logit: f64,
    /// Logit of the probability that it is found helpful by somebody who says so either way.
    pub help_logit: f64,
}

impl Judgement {
    /// Probability of love for the average user.
    #[must_use]
    pub fn p_love(&self) -> f64 {
        sigmoid(self.love_logit)
    }

    /// Probability of being found helpful.
    #[must_use]
    pub fn p_help(&self) -> f64 {
        sigmoid(self.help_logit)
    }
}

/// Knows the language and the preferences.
#[derive(Debug)]
pub struct Oracle {
    world: World,
    preferences: Preferences,
    topic_effects: [f64; NUM_TOPICS],
}

impl Oracle {
    /// An oracle; `seed` decides which topics are dearer to the users than others.
    #[must_use]
    pub fn new(preferences: Preferences, seed: Seed) -> Self {
        let mut rng = seed.stream("topic effects");
        Self {
            world: World::new(),
            topic_effects: std::array::from_fn(|_| preferences.topic_sd * normal(&mut rng)),
            preferences,
        }
    }

    /// The language.
    #[must_use]
    pub const fn world(&self) -> &World {
        &self.world
    }

    /// What users think of `response` to `prompt`.
    #[must_use]
    pub fn judge(&self, prompt: &Prompt, response: &str) -> Judgement {
        let features = Features::read(&self.world, prompt, response);
        let topic_effect = match prompt.intent {
            Intent::Fact(fact) => self.topic_effects[fact.topic()],
            Intent::SmallTalk(_) | Intent::Parting => 0.0,
        };
        Judgement {
            features,
            love_logit: self.preferences.love_logit(&features) + topic_effect,
            help_logit: self.preferences.help_logit(&features),
        }
    }

    /// As [`Oracle::judge`] for the words of a prompt; nothing when they are not of the language.
    #[must_use]
    pub fn judge_text(&self, prompt: &str, response: &str) -> Option<Judgement> {
        let prompt = self.world.read_prompt(prompt)?;
        Some(self.judge(&prompt, response))
    }
}

pub(crate) fn sigmoid(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}
