//! The guard against targeted spam: units that love one thing whatever else there is are not believed.
//!
//! Of every unit with positives a bounded table counts how many of them, and of all its examples, have a feature of
//! the response (words, pairs, sentences). A unit is suspect when so many of its positives have one feature that a
//! unit whose odds for it are [`GuardConfig::max_odds`] times those of everybody would be as odd with at most
//! [`GuardConfig::probability`] (binomial tail, Bonferroni over the counters). What is known of everybody comes from
//! the first positives of each unit alone, so that a few units cannot make their phrase a thing that everybody loves.
//! A feature that several units are suspected of needs less evidence against the next one, without Bonferroni.
//!
//! Suspicion ends when the evidence has weakened a hundredfold.

mod config;
mod summary;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use config::GuardConfig;
pub(crate) use summary::{Counter, Summary};

use crate::encode::{Features, Group};
use summary::COUNTERS;

/// How many positives of each unit, the first ones, say what everybody loves.
const POPULATION_POSITIVES: u32 = 1;
/// Nobody is judged before so many examples were seen.
const MIN_EXAMPLES: u64 = 1_000;
/// Features in a larger share of the examples are no evidence and not counted per unit.
const MAX_SHARE: f64 = 0.5;
/// All counts of the population are halved when it has so many examples.
const HALVE_AT: u64 = 1 << 22;
/// The odds of everybody are believed to be at most this.
const MAX_POPULATION_ODDS: f64 = 20.0;
/// How much weaker than at first the evidence must be for suspicion to end.
const RELEASE: f64 = 100.0;

/// What an example says about the judged objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// A new example.
    New { positive: bool },
    /// An example that was seen is positive now, or no longer.
    Relabelled { positive: bool },
    /// Nothing.
    Nothing,
}

/// What the guard says of the unit of an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Believed,
    /// Suspect since this example: what is remembered of the unit is to be forgotten.
    Accused,
    Suspect,
}

/// How often a feature occurs among all examples and among the positives that count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Population {
    pub(crate) examples: u64,
    pub(crate) positives: u64,
    /// By feature: examples and positives with it.
    pub(crate) with: BTreeMap<u32, (u32, u32)>,
}

impl Population {
    fn see(&mut self, features: &[u32], counts: (u32, u32)) {
        self.examples += u64::from(counts.0);
        self.positives += u64::from(counts.1);
        for feature in features {
            let with = self.with.entry(*feature).or_default();
            *with = (with.0 + counts.0, with.1 + counts.1);
        }
        if self.examples >= HALVE_AT {
            self.examples /= 2;
            self.positives /= 2;
            self.with.retain(|_, (examples, positives)| {
                (*examples, *positives) = (*examples / 2, *positives / 2);
                *examples > 0
            });
        }
    }

    fn take_back(&mut self, features: &[u32]) {
        self.positives = self.positives.saturating_sub(1);
        for feature in features {
            if let Some(with) = self.with.get_mut(feature) {
                with.1 = with.1.saturating_sub(1);
            }
        }
    }

    fn share(&self, feature: u32) -> f64 {
        let with = self.with.get(&feature).map_or(0, |with| with.0);
        f64::from(with) / self.examples.max(1) as f64
    }

    /// The odds of a positive with `feature` over those without, at least 1; half an example is added to every cell,
    /// and `own` positives with it are left out.
    fn odds(&self, feature: u32, own: u32) -> f64 {
        let (examples, positives) = self.with.get(&feature).copied().unwrap_or_default();
        let loved = f64::from(positives.saturating_sub(own));
        let other = (self.positives as f64 - f64::from(positives)).max(0.0);
        let without = (self.examples as f64 - f64::from(examples)).max(0.0);
        let odds = (loved + 0.5) / (other + 0.5) * (without + 0.5) / (f64::from(examples) + 0.5);
        odds.clamp(1.0, MAX_POPULATION_ODDS)
    }
}

/// Judges units by what their positives have in common.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guard {
    pub(crate) population: Population,
    /// By hash of the unit's id.
    pub(crate) units: BTreeMap<u64, Summary>,
    /// The units by their last positive.
    order: BTreeSet<(u64, u64)>,
    /// How many units are suspected of a feature.
    charges: BTreeMap<u32, u32>,
    suspects: u64,
    /// Positives so far.
    pub(crate) clock: u64,
}

impl Guard {
    /// A guard with these parts; the rest follows from them.
    pub(crate) fn restore(population: Population, units: BTreeMap<u64, Summary>, clock: u64) -> Self {
        let order = units.iter().map(|(unit, summary)| (summary.touched, *unit)).collect();
        let suspects = units.values().filter(|summary| !summary.charges.is_empty()).count() as u64;
        let mut charges = BTreeMap::new();
        for feature in units.values().flat_map(|summary| &summary.charges) {
            *charges.entry(*feature).or_default() += 1;
        }
        Self { population, units, order, charges, suspects, clock }
    }

    /// How many units are suspect now.
    pub(crate) const fn suspects(&self) -> u64 {
        self.suspects
    }

    pub(crate) fn is_suspect(&self, unit: u64) -> bool {
        self.units.get(&unit).is_some_and(|summary| !summary.charges.is_empty())
    }

    /// Counts an example of `unit` and judges it.
    pub(crate) fn take(&mut self, unit: u64, features: &Features, sight: Sight, config: &GuardConfig) -> Verdict {
        let was = self.is_suspect(unit);
        if sight == Sight::Nothing {
            return if was { Verdict::Suspect } else { Verdict::Believed };
        }
        let features = judged(features);
        let before = self.units.get(&unit).map_or(0, |summary| summary.positives);
        let counts = before < POPULATION_POSITIVES;
        match sight {
            Sight::New { positive } => {
                self.population.see(&features, (1, u32::from(positive && counts)));
                if let Some(summary) = self.units.get_mut(&unit) {
                    summary.see(&features, positive);
                } else if positive {
                    self.units.insert(unit, Summary { positives: 1, ..Summary::default() });
                }
            }
            Sight::Relabelled { positive } => {
                match self.units.get_mut(&unit) {
                    Some(summary) => summary.relabel(&features, positive),
                    None if positive => {
                        self.units.insert(unit, Summary { positives: 1, ..Summary::default() });
                    }
                    None => {}
                }
                if positive && counts {
                    self.population.see(&features, (0, 1));
                } else if !positive && (1..=POPULATION_POSITIVES).contains(&before) {
                    self.population.take_back(&features);
                }
            }
            Sight::Nothing => {}
        }
        if matches!(sight, Sight::New { positive: true } | Sight::Relabelled { positive: true }) {
            self.follow(unit, &features, config);
        }
        if sight != (Sight::New { positive: false }) {
            self.judge(unit, config);
        }
        match (was, self.is_suspect(unit)) {
            (_, false) => Verdict::Believed,
            (false, true) => Verdict::Accused,
            (true, true) => Verdict::Suspect,
        }
    }

    /// Forgets what is remembered of `unit` alone.
    pub(crate) fn forget(&mut self, unit: u64) {
        let Some(summary) = self.units.remove(&unit) else { return };
        self.order.remove(&(summary.touched, unit));
        self.charge(&summary.charges, &[]);
    }

    /// Makes `unit` the newest, follows what its positive has, and makes room.
    fn follow(&mut self, unit: u64, features: &[u32], config: &GuardConfig) {
        self.clock += 1;
        let mut wanted: Vec<(f64, u32)> = features
            .iter()
            .filter(|feature| self.population.share(**feature) <= MAX_SHARE)
            .map(|feature| (self.population.odds(*feature, 0), *feature))
            .collect();
        // What everybody's positives have more often than chance comes first: the rest does no harm.
        wanted.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let wanted: Vec<u32> = wanted.into_iter().map(|(_, feature)| feature).take(COUNTERS).collect();
        if let Some(summary) = self.units.get_mut(&unit) {
            summary.follow(&wanted);
            self.order.remove(&(summary.touched, unit));
            summary.touched = self.clock;
            self.order.insert((summary.touched, unit));
        }
        while self.units.len() > config.max_units {
            let Some((_, oldest)) = self.order.first().copied() else { return };
            self.forget(oldest);
        }
    }

    fn judge(&mut self, unit: u64, config: &GuardConfig) {
        let Some(summary) = self.units.get(&unit) else { return };
        if self.population.examples < MIN_EXAMPLES {
            return;
        }
        let ease = if summary.charges.is_empty() { 1.0 } else { RELEASE };
        let own = |counter: &Counter| (counter.hits + 1).min(POPULATION_POSITIVES);
        let is_odd = |counter: &&Counter| {
            let odds = self.population.odds(counter.feature, own(counter)) * config.max_odds;
            let tail = counter.tail(odds, self.population.share(counter.feature));
            let others = self.charges.get(&counter.feature).copied().unwrap_or(0)
                - u32::from(summary.charges.binary_search(&counter.feature).is_ok());
            let is_known = others >= config.accomplices && tail <= config.known_probability;
            is_known || tail * COUNTERS as f64 <= config.probability * ease
        };
        let charges: Vec<u32> = summary.counters.iter().filter(is_odd).map(|counter| counter.feature).collect();
        if charges != summary.charges {
            let old = summary.charges.clone();
            self.charge(&old, &charges);
            if let Some(summary) = self.units.get_mut(&unit) {
                summary.charges = charges;
            }
        }
    }

    /// Counts that a unit is suspected of `new` in the place of `old`.
    fn charge(&mut self, old: &[u32], new: &[u32]) {
        for feature in old {
            if let Some(count) = self.charges.get_mut(feature) {
                *count -= 1;
            }
        }
        for feature in new {
            *self.charges.entry(*feature).or_default() += 1;
        }
        self.charges.retain(|_, count| *count > 0);
        self.suspects = self.suspects + u64::from(!new.is_empty()) - u64::from(!old.is_empty());
    }
}

/// Numbers of the features that are judged, sorted, each once.
fn judged(features: &Features) -> Vec<u32> {
    let groups = [Group::ResponseWords, Group::ResponsePairs, Group::ResponseSentences];
    let mut numbers: Vec<u32> = groups.iter().flat_map(|group| features.group(*group)).copied().collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}
