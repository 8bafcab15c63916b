//! Which reasons are principles: those that several units give, and whose units agree about what they mean.
//!
//! A reason counts once per unit. It has a consensus when at least `min_units` units gave it and, of those whose label
//! is known, the larger part (all praise, or all blame) is a majority beyond chance: the lower end of the 95 % interval
//! of its share (Wilson, JASA 1927) is above ½, which takes four units of one mind. A reason that is given at random,
//! with praise as often as with blame, has none, and one that nobody repeats neither. Consensus can be lost again.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use super::{Principle, Said};
use crate::remarks::config::RemarkConfig;
use crate::remarks::table::Row;

/// Units whose voice is remembered per reason; later ones do not change the consensus.
const MOST_UNITS: usize = 256;
/// Mentions that wait for the consensus, per reason.
const MOST_WAITING: usize = 32;
/// Longest text of a principle in bytes.
const MOST_TEXT: usize = 120;
/// Clauses taken of one example.
const MOST_CLAUSES: usize = 16;
/// Two-sided 5 % of the normal distribution.
const Z: f64 = 1.96;

/// All reasons heard.
#[derive(Debug, Clone, Default)]
pub(crate) struct Consensus {
    pub(crate) reasons: BTreeMap<u64, Reason>,
    /// Reasons heard: the number of the next one.
    pub(crate) heard: u64,
}

/// One reason, in whoever's words it came first.
#[derive(Debug, Clone)]
pub(crate) struct Reason {
    pub(crate) principle: Principle,
    /// Its first words; empty once they were erased.
    pub(crate) text: String,
    /// The exposure that the text is from.
    pub(crate) from: u64,
    /// What each unit thought of the response.
    pub(crate) voices: BTreeMap<u64, Option<bool>>,
    /// When it was heard last.
    pub(crate) touched: u64,
    pub(crate) waiting: Vec<Row>,
}

/// A principle that was learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LearnedPrinciple {
    /// In the words in which it was first heard; empty where these were erased.
    pub text: String,
    /// Units that gave it.
    pub units: usize,
    /// Share of them that liked the response; absent where no unit said.
    pub praise: Option<f64>,
}

impl Consensus {
    /// Counts what was said; the numbers of the reasons.
    pub(super) fn hear(&mut self, said: &Said<'_>, config: &RemarkConfig) -> BTreeSet<u64> {
        let clauses = said.reasons.iter().flat_map(|reason| clauses(reason)).take(MOST_CLAUSES);
        let mut mentioned = BTreeSet::new();
        for clause in clauses {
            let principle = Principle::of(clause);
            if principle.words.is_empty() {
                continue;
            }
            let id = match self.alike(&principle, config.similarity) {
                Some(id) => id,
                None => self.add(principle, clause, said.exposure, config.max_reasons),
            };
            self.heard += 1;
            let Some(reason) = self.reasons.get_mut(&id) else { continue };
            reason.touched = self.heard;
            if reason.voices.len() < MOST_UNITS || reason.voices.contains_key(&said.unit) {
                reason.voices.insert(said.unit, said.label);
            }
            mentioned.insert(id);
        }
        mentioned
    }

    /// The reason most like `principle`; of equals the oldest.
    pub(crate) fn alike(&self, principle: &Principle, similarity: f64) -> Option<u64> {
        let mut best: Option<(f64, u64)> = None;
        for (id, reason) in &self.reasons {
            let found = reason.principle.similarity(principle);
            if found >= similarity && best.is_none_or(|(most, _)| found > most) {
                best = Some((found, *id));
            }
        }
        best.map(|(_, id)| id)
    }

    fn add(&mut self, principle: Principle, clause: &str, from: u64, most: usize) -> u64 {
        while self.reasons.len() >= most {
            let oldest = self.reasons.iter().min_by_key(|(_, reason)| reason.touched).map(|(id, _)| *id);
            oldest.and_then(|id| self.reasons.remove(&id));
        }
        let id = self.heard;
        let text = clause[..clause.floor_char_boundary(MOST_TEXT)].to_owned();
        let reason = Reason { principle, text, from, voices: BTreeMap::new(), touched: id, waiting: Vec::new() };
        self.reasons.insert(id, reason);
        id
    }

    /// The reasons with a consensus.
    pub(crate) fn agreed(&self, config: &RemarkConfig) -> impl Iterator<Item = (&u64, &Reason)> {
        self.reasons.iter().filter(|(_, reason)| reason.has_consensus(config))
    }

    /// Removes mentions that wait; how many there were.
    pub(super) fn drop_rows(&mut self, is_gone: impl Fn(&Row) -> bool) -> u64 {
        let mut removed = 0;
        for reason in self.reasons.values_mut() {
            let before = reason.waiting.len();
            reason.waiting.retain(|row| !is_gone(row));
            removed += (before - reason.waiting.len()) as u64;
        }
        removed
    }

    /// Forgets the voices of `units`, the words that came with `exposures`, and reasons that nobody gives then.
    pub(super) fn forget(&mut self, units: &HashSet<u64>, exposures: &HashSet<u64>) {
        for reason in self.reasons.values_mut() {
            reason.voices.retain(|unit, _| !units.contains(unit));
            if exposures.contains(&reason.from) {
                reason.text.clear();
            }
        }
        self.reasons.retain(|_, reason| !reason.voices.is_empty());
    }
}

impl Reason {
    /// Keeps a mention until there is a consensus; the oldest give way.
    pub(super) fn wait(&mut self, row: Row) {
        if self.waiting.len() >= MOST_WAITING {
            self.waiting.remove(0);
        }
        self.waiting.push(row);
    }

    pub(crate) fn has_consensus(&self, config: &RemarkConfig) -> bool {
        let [against, support] = self.votes();
        let (most, all) = (against.max(support), against + support);
        self.voices.len() >= config.min_units && (all == 0.0 || wilson_low(most, all) > 0.5)
    }

    /// Units that disliked and that liked the responses.
    fn votes(&self) -> [f64; 2] {
        let count = |wanted: bool| self.voices.values().filter(|voice| **voice == Some(wanted)).count() as f64;
        [count(false), count(true)]
    }

    pub(crate) fn learned(&self) -> LearnedPrinciple {
        let [against, support] = self.votes();
        let all = against + support;
        let praise = (all > 0.0).then(|| support / all);
        LearnedPrinciple { text: self.text.clone(), units: self.voices.len(), praise }
    }
}

/// Lower end of the 95 % interval of `hits / n`.
fn wilson_low(hits: f64, n: f64) -> f64 {
    let (p, z2) = (hits / n, Z * Z);
    let spread = Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    (p + z2 / (2.0 * n) - spread) / (1.0 + z2 / n)
}

/// The parts of a comment that say one thing each.
fn clauses(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split(['.', '!', '?', ';', ',', '\n']);
    let parts = parts.flat_map(|part| part.split(" and ")).flat_map(|part| part.split(" but "));
    parts.map(str::trim).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One comment each by these units, with the same words.
    fn heard(text: &str, labels: &[Option<bool>]) -> (Consensus, RemarkConfig) {
        let (mut consensus, config) = (Consensus::default(), RemarkConfig::default());
        for (unit, label) in labels.iter().enumerate() {
            let said = Said { exposure: unit as u64, unit: unit as u64, label: *label, reasons: &[text.to_owned()] };
            consensus.hear(&said, &config);
        }
        (consensus, config)
    }

    fn num_agreed(text: &str, labels: &[Option<bool>]) -> usize {
        let (consensus, config) = heard(text, labels);
        consensus.agreed(&config).count()
    }

    #[test]
    fn several_units_of_one_mind_make_a_principle() {
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(num_agreed("far too long", &[no; 3]), 0, "three may agree by chance");
        assert_eq!(num_agreed("far too long", &[no; 4]), 1);
        assert_eq!(num_agreed("far too long", &[None; 3]), 1, "nobody said what it means");
        assert_eq!(num_agreed("far too long", &[yes, no, yes, no, yes, no, yes, no, yes]), 0, "no agreement");
        assert_eq!(num_agreed("too long, too cold", &[no; 4]), 2, "two clauses are two reasons");
        let (mut consensus, config) = heard("too long", &[no]);
        for exposure in 1..9 {
            let again = Said { exposure, unit: 0, label: no, reasons: &["too long".to_owned()] };
            consensus.hear(&again, &config);
        }
        assert_eq!((consensus.reasons.len(), consensus.agreed(&config).count()), (1, 0), "one unit is no consensus");
    }

    #[test]
    fn words_of_one_meaning_are_one_reason_and_their_opposite_another() {
        let (mut consensus, config) = heard("It was too long", &[None]);
        for (text, reasons) in [("too long!", 1), ("really too long", 1), ("not too long", 2), ("so kind", 3)] {
            let said = Said { exposure: 9, unit: 9, label: None, reasons: &[text.to_owned()] };
            consensus.hear(&said, &config);
            assert_eq!(consensus.reasons.len(), reasons, "{text}");
        }
    }

    #[test]
    fn reasons_are_bounded_and_what_is_forgotten_is_gone() {
        let mut consensus = Consensus::default();
        let config = RemarkConfig { max_reasons: 3, ..RemarkConfig::default() };
        for (unit, text) in ["aaa", "bbb", "ccc", "aaa", "ddd"].into_iter().enumerate() {
            let said = Said { exposure: 70, unit: unit as u64, label: None, reasons: &[text.to_owned()] };
            consensus.hear(&said, &config);
        }
        let texts: Vec<&str> = consensus.reasons.values().map(|reason| reason.text.as_str()).collect();
        assert_eq!(texts, ["aaa", "ccc", "ddd"], "bbb was not given for longest");
        consensus.forget(&HashSet::from([2]), &HashSet::from([70]));
        assert_eq!(consensus.reasons.len(), 2, "ccc was given by nobody else");
        assert!(consensus.reasons.values().all(|reason| reason.text.is_empty()));
    }

    #[test]
    fn the_interval_agrees_with_the_reference() {
        // statsmodels.stats.proportion.proportion_confint(c, n, method="wilson")
        for (hits, n, low) in [(4.0, 4.0, 0.510_1), (3.0, 3.0, 0.438_5), (9.0, 12.0, 0.467_7)] {
            assert!((wilson_low(hits, n) - low).abs() < 1e-3, "{hits} of {n}: {}", wilson_low(hits, n));
        }
    }
}
