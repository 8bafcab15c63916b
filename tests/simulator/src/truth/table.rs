//! What the users of one variant or policy really thought, summed up.

use super::Judgement;

/// Sums over exposures.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tally {
    exposures: u64,
    love: f64,
    help: f64,
    loved: u64,
    closings: u64,
    answered: u64,
    warm: u64,
    wrong: u64,
    repetition: u64,
    broken: f64,
    words: u64,
}

impl Tally {
    /// Counts one exposure; `loved` is whether a love reaction to it stands.
    pub fn add(&mut self, judgement: &Judgement, loved: bool) {
        let features = &judgement.features;
        self.exposures += 1;
        self.love += judgement.p_love();
        self.help += judgement.p_help();
        self.loved += u64::from(loved);
        self.closings += u64::from(features.unsolicited_closing());
        self.answered += u64::from(features.answered);
        self.warm += u64::from(features.warm);
        self.wrong += u64::from(features.wrong);
        self.repetition += u64::from(features.repetition);
        self.broken += f64::from(features.broken);
        self.words += u64::from(features.words);
    }

    /// The means; all zero without exposures.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let n = self.exposures.max(1) as f64;
        Summary {
            exposures: self.exposures,
            love: self.love / n,
            helpfulness: self.help / n,
            loved: self.loved as f64 / n,
            closings: self.closings as f64 / n,
            answered: self.answered as f64 / n,
            warm: self.warm as f64 / n,
            wrong: self.wrong as f64 / n,
            repetition: self.repetition as f64 / n,
            broken: self.broken / n,
            words: self.words as f64 / n,
        }
    }
}

/// Means over exposures.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Summary {
    /// How many.
    pub exposures: u64,
    /// Mean probability of love: the oracle's love rate.
    pub love: f64,
    /// Mean probability of being found helpful.
    pub helpfulness: f64,
    /// Share of exposures with a standing love reaction.
    pub loved: f64,
    /// Share of closings that nobody asked for.
    pub closings: f64,
    /// Share that gives the asked answer.
    pub answered: f64,
    /// Share of warm responses.
    pub warm: f64,
    /// Share that answers another question.
    pub wrong: f64,
    /// Share that says something twice.
    pub repetition: f64,
    /// Mean share of broken text.
    pub broken: f64,
    /// Mean number of words.
    pub words: f64,
}

impl Summary {
    /// Relative difference of the oracle's love rate to `base`: 0.28 means 28 % more love.
    #[must_use]
    pub fn love_lift(&self, base: &Self) -> f64 {
        self.love / base.love - 1.0
    }

    /// Relative difference of helpfulness to `base`.
    #[must_use]
    pub fn helpfulness_lift(&self, base: &Self) -> f64 {
        self.helpfulness / base.helpfulness - 1.0
    }
}
