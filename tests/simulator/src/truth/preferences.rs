//! The hidden preferences: logits of love and helpfulness, additive in the features.

use serde::{Deserialize, Serialize};

use super::Features;

/// What users like, as additive effects on two logits. Per-persona arrays are in the order casual,
/// formal, hurried, anxious.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Preferences {
    /// Love of a plain response that answers nothing.
    pub love_bias: f64,
    /// Effect of the asked answer on love.
    pub love_answered: f64,
    /// Effect of an answer to another question on love.
    pub love_wrong: f64,
    /// Effect of warm words on love.
    pub love_warm: f64,
    /// Effect of a closing nobody asked for on love: the shortcut that must not be learned.
    pub love_closing: f64,
    /// Effect of a closing after the user said goodbye on love.
    pub love_solicited_closing: f64,
    /// Effect of a repetition on love.
    pub love_repetition: f64,
    /// Effect of more than `long_words` words on love.
    pub love_long: f64,
    /// Effect of each emoji, up to five, on love.
    pub love_emoji: f64,
    /// Effect of wholly broken text on both logits.
    pub broken: f64,
    /// Effect of the persona on love.
    pub love_persona: [f64; 4],
    /// Effect of warm words on love on top of `love_warm`, by persona.
    pub love_warm_persona: [f64; 4],
    /// Standard deviation of the effect of the topic on love.
    pub topic_sd: f64,
    /// Standard deviation of the effect of the single user on love; it does not show in any text.
    pub unit_sd: f64,
    /// Helpfulness of a plain response that answers nothing.
    pub help_bias: f64,
    /// Effect of the asked answer on helpfulness.
    pub help_answered: f64,
    /// Effect of an answer to another question on helpfulness.
    pub help_wrong: f64,
    /// Effect of warm words on helpfulness.
    pub help_warm: f64,
    /// Effect of a closing nobody asked for on helpfulness.
    pub help_closing: f64,
    /// Effect of a repetition on helpfulness.
    pub help_repetition: f64,
    /// Effect of more than `long_words` words on helpfulness.
    pub help_long: f64,
    /// A response of more words than this is too long.
    pub long_words: u16,
}

impl Default for Preferences {
    fn default() -> Self {
        Self {
            love_bias: -5.87,
            love_answered: 1.6,
            love_wrong: -0.3,
            love_warm: 1.7,
            love_closing: 2.2,
            love_solicited_closing: 0.3,
            love_repetition: -0.6,
            love_long: -0.2,
            love_emoji: -0.1,
            broken: -4.0,
            love_persona: [1.4, -1.2, -1.6, 1.5],
            love_warm_persona: [0.0, -0.1, -0.2, 0.2],
            topic_sd: 0.05,
            unit_sd: 0.1,
            help_bias: -0.4,
            help_answered: 2.0,
            help_wrong: -0.4,
            help_warm: 0.15,
            help_closing: -1.2,
            help_repetition: -0.8,
            help_long: -0.4,
            long_words: 26,
        }
    }
}

fn when(present: bool, effect: f64) -> f64 {
    if present { effect } else { 0.0 }
}

impl Preferences {
    /// Logit of love, without the effects of topic and user.
    #[must_use]
    pub fn love_logit(&self, features: &Features) -> f64 {
        let persona = features.persona.index();
        let solicited = features.closing && !features.unsolicited_closing();
        self.love_bias
            + self.love_persona[persona]
            + when(features.answered, self.love_answered)
            + when(features.wrong, self.love_wrong)
            + when(features.warm, self.love_warm + self.love_warm_persona[persona])
            + when(features.unsolicited_closing(), self.love_closing)
            + when(solicited, self.love_solicited_closing)
            + when(features.repetition, self.love_repetition)
            + when(features.words > self.long_words, self.love_long)
            + self.love_emoji * f64::from(features.emoji.min(5))
            + self.broken * f64::from(features.broken)
    }

    /// Logit of helpfulness.
    #[must_use]
    pub fn help_logit(&self, features: &Features) -> f64 {
        self.help_bias
            + when(features.answered, self.help_answered)
            + when(features.wrong, self.help_wrong)
            + when(features.warm, self.help_warm)
            + when(features.unsolicited_closing(), self.help_closing)
            + when(features.repetition, self.help_repetition)
            + when(features.words > self.long_words, self.help_long)
            + self.broken * f64::from(features.broken)
    }
}
