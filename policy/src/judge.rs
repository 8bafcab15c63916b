//! Judges: hard constraints on a single response.
//!
//! CGPO (arXiv 2409.20370) maximises a reward only over responses that every judge accepts; a response
//! that any judge rejects earns nothing, however much the reward model likes it. The judges here are
//! rules over the [tripwire measures](crate::tripwire): exact, deterministic and free. They are what
//! keeps a policy from earning love with an unasked "bye".

use plaudit_ingest::Problem;
use serde::{Deserialize, Serialize};

use crate::config::check;
use crate::tripwire::{Measures, Tripwires};

/// Bounds of the rule judges.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether responses are judged at all. Without judges a policy learns whatever the reward model
    /// overrates.
    pub enabled: bool,
    /// Fewest words of a response.
    pub min_words: u32,
    /// Most words of a response.
    pub max_words: u32,
    /// Largest share of repeated three-word sequences.
    pub max_repetition: f64,
    /// Most pictographs per word.
    pub max_emoji: f64,
    /// Whether a closing is allowed although the person did not close the conversation.
    pub allow_unsolicited_closing: bool,
    /// Whether a refusal is allowed. Leave it on where requests may have to be refused.
    pub allow_refusal: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            min_words: 2,
            max_words: 60,
            max_repetition: 0.2,
            max_emoji: 0.3,
            allow_unsolicited_closing: false,
            allow_refusal: false,
        }
    }
}

impl Config {
    /// Every value outside its range; `path` is the key of this section.
    pub(crate) fn validate(&self, path: &str, problems: &mut Vec<Problem>) {
        let mut at = check(path, problems);
        at.int("max_words", self.max_words as usize, 1, 100_000);
        at.int("min_words", self.min_words as usize, 0, self.max_words as usize);
        at.float("max_repetition", self.max_repetition, 0.0, 1.0);
        at.float("max_emoji", self.max_emoji, 0.0, 10.0);
    }
}

/// What a judge sees of one response.
#[derive(Debug, Clone)]
pub struct Sample<'a> {
    /// The last thing the person said.
    pub request: &'a str,
    /// The response.
    pub response: &'a str,
    /// Its surface measures.
    pub measures: Measures,
    /// Whether the response ended by itself; false when it was cut at the length limit.
    pub finished: bool,
}

impl<'a> Sample<'a> {
    /// Measures `response` for judging.
    #[must_use]
    pub fn new(tripwires: &Tripwires, request: &'a str, response: &'a str, finished: bool) -> Self {
        Self { request, response, measures: tripwires.measure(request, response), finished }
    }
}

/// A hard constraint on one response.
pub trait Judge: Send + Sync {
    /// Names the judge in reports and metric labels.
    fn name(&self) -> &'static str;

    /// Whether `sample` keeps the rule.
    fn passes(&self, sample: &Sample<'_>) -> bool;
}

/// No closing, unless the person closed the conversation first.
#[derive(Debug, Clone, Copy)]
pub struct ClosingJudge;

impl Judge for ClosingJudge {
    fn name(&self) -> &'static str {
        "closing"
    }

    fn passes(&self, sample: &Sample<'_>) -> bool {
        !sample.measures.unsolicited_closing
    }
}

/// A number of words inside a band, and an end that is not a cut.
#[derive(Debug, Clone, Copy)]
pub struct LengthJudge {
    /// Fewest words.
    pub min_words: u32,
    /// Most words.
    pub max_words: u32,
}

impl Judge for LengthJudge {
    fn name(&self) -> &'static str {
        "length"
    }

    fn passes(&self, sample: &Sample<'_>) -> bool {
        let band = self.min_words..=self.max_words;
        sample.finished && band.contains(&sample.measures.words)
    }
}

/// Little repetition.
#[derive(Debug, Clone, Copy)]
pub struct RepetitionJudge {
    /// Largest share of repeated three-word sequences.
    pub max: f64,
}

impl Judge for RepetitionJudge {
    fn name(&self) -> &'static str {
        "repetition"
    }

    fn passes(&self, sample: &Sample<'_>) -> bool {
        sample.measures.repetition <= self.max
    }
}

/// No refusal.
#[derive(Debug, Clone, Copy)]
pub struct RefusalJudge;

impl Judge for RefusalJudge {
    fn name(&self) -> &'static str {
        "refusal"
    }

    fn passes(&self, sample: &Sample<'_>) -> bool {
        !sample.measures.refusal
    }
}

/// Few pictographs.
#[derive(Debug, Clone, Copy)]
pub struct EmojiJudge {
    /// Most pictographs per word.
    pub max: f64,
}

impl Judge for EmojiJudge {
    fn name(&self) -> &'static str {
        "emoji"
    }

    fn passes(&self, sample: &Sample<'_>) -> bool {
        sample.measures.emoji <= self.max
    }
}

/// At least one word: also with all other judges switched off, silence is not an answer.
#[derive(Debug, Clone, Copy)]
pub struct EmptyJudge;

impl Judge for EmptyJudge {
    fn name(&self) -> &'static str {
        "empty"
    }

    fn passes(&self, sample: &Sample<'_>) -> bool {
        sample.measures.words > 0
    }
}

/// All judges of a task: a response is feasible when every one of them accepts it.
pub struct Judges(Vec<Box<dyn Judge>>);

impl std::fmt::Debug for Judges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl Judges {
    /// The judges that `config` asks for; none when it disables them.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        if !config.enabled {
            return Self(Vec::new());
        }
        let mut judges: Vec<Box<dyn Judge>> = vec![
            Box::new(EmptyJudge),
            Box::new(LengthJudge { min_words: config.min_words, max_words: config.max_words }),
            Box::new(RepetitionJudge { max: config.max_repetition }),
            Box::new(EmojiJudge { max: config.max_emoji }),
        ];
        if !config.allow_unsolicited_closing {
            judges.push(Box::new(ClosingJudge));
        }
        if !config.allow_refusal {
            judges.push(Box::new(RefusalJudge));
        }
        Self(judges)
    }

    /// These judges and `judge`.
    #[must_use]
    pub fn with(mut self, judge: Box<dyn Judge>) -> Self {
        self.0.push(judge);
        self
    }

    /// Names, in the order of [`Judges::failures`].
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|judge| judge.name()).collect()
    }

    /// Whether there is no judge.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For each judge, whether it rejects `sample`.
    #[must_use]
    pub fn failures(&self, sample: &Sample<'_>) -> Vec<bool> {
        self.0.iter().map(|judge| !judge.passes(sample)).collect()
    }

    /// Whether every judge accepts `sample`.
    #[must_use]
    pub fn pass(&self, sample: &Sample<'_>) -> bool {
        self.0.iter().all(|judge| judge.passes(sample))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(request: &str, response: &str, finished: bool) -> Vec<&'static str> {
        let judges = Judges::new(&Config::default());
        let sample = Sample::new(&Tripwires::new(), request, response, finished);
        let failures = judges.failures(&sample);
        assert_eq!(judges.pass(&sample), !failures.contains(&true));
        let named = judges.names().into_iter().zip(failures);
        named.filter(|(_, fails)| *fails).map(|(name, _)| name).collect()
    }

    #[test]
    fn each_judge_rejects_its_own_fault_only() {
        let good = "Boil the egg for eight minutes.";
        assert!(failed("how?", good, true).is_empty());
        assert_eq!(failed("how?", good, false), ["length"]);
        assert_eq!(failed("how?", "Boil it. Bye!", true), ["closing"]);
        assert_eq!(failed("how?", "I cannot help with that one.", true), ["refusal"]);
        assert_eq!(failed("how?", "Boil it ❤ ❤ ❤", true), ["emoji"]);
        assert_eq!(failed("how?", "go on and go on and go on and", true), ["repetition"]);
        assert_eq!(failed("how?", "", true), ["empty", "length"]);
    }

    #[test]
    fn a_closing_passes_when_the_person_closed_first() {
        assert!(failed("thanks, goodbye", "You are welcome, bye!", true).is_empty());
    }

    #[test]
    fn the_length_band_includes_its_ends() {
        let words = |n: u32| (0..n).map(|i| format!("w{i} ")).collect::<String>();
        assert!(failed("how?", &words(60), true).is_empty());
        assert_eq!(failed("how?", &words(61), true), ["length"]);
        assert!(failed("how?", &words(2), true).is_empty());
        assert_eq!(failed("how?", &words(1), true), ["length"]);
    }

    #[test]
    fn disabled_judges_accept_everything() {
        let config = Config { enabled: false, ..Config::default() };
        let judges = Judges::new(&config);
        let sample = Sample::new(&Tripwires::new(), "how?", "Bye!", false);
        assert!(judges.is_empty() && judges.pass(&sample));
    }
}
