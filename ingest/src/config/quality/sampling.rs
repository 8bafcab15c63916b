//! Which share of exposures is kept.

use plaudit_event::Surface;
use serde::{Deserialize, Serialize};

use super::super::Problems;

/// The share of exposures that is kept, by surface; the signals of the others go with them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// On chat surfaces, in (0, 1\].
    pub chat: f64,
    /// On search surfaces, in (0, 1\].
    pub search: f64,
    /// Where one of several candidates is chosen, in (0, 1\].
    pub decide: f64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { chat: 1.0, search: 1.0, decide: 1.0 }
    }
}

impl Sampling {
    pub(crate) const fn share(&self, surface: Surface) -> f64 {
        match surface {
            Surface::Chat => self.chat,
            Surface::Search => self.search,
            Surface::Decide => self.decide,
        }
    }

    pub(super) fn validate(&self, problems: &mut Problems) {
        for (name, share) in [("chat", self.chat), ("search", self.search), ("decide", self.decide)] {
            problems.factor(format!("quality.sampling.{name}"), share, 1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Config, Problem};

    #[test]
    fn a_share_is_above_0_and_at_most_1() {
        let text = "[quality.sampling]\nchat = 0.0\nsearch = 1.0\ndecide = 1.1";
        let config: Config = toml::from_str(text).unwrap();
        let problems: Vec<String> = config.validate().iter().map(Problem::to_string).collect();
        assert_eq!(
            problems,
            [
                "quality.sampling.chat: must be above 0 and at most 1, got 0",
                "quality.sampling.decide: must be above 0 and at most 1, got 1.1",
            ]
        );
    }
}
