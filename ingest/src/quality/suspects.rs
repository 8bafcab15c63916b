//! Units whose reactions are not to be believed.
//!
//! A *reaction* is the first signal of a watched kind about an exposure. Three scores, each the exact
//! probability that a unit within its bound would look at least as odd:
//!
//! | score | of a unit with | it is | bound |
//! |---|---|---|---|
//! | `share` | k reactions to n exposures | P(X ≥ k), X ~ Binomial(n, p) | p: its odds p/(1−p) are `max_share_odds` times those of the other units, (K+1)/(N−K+1) |
//! | `fast` | f of r reactions sooner than `fast` after the exposure | P(X ≥ f), X ~ Binomial(r, `max_fast_share`) | the share of fast ones |
//! | `policy` | k\_A of its k reactions to the n\_A of n exposures of policy A | P(X ≥ k\_A), X ~ Fisher's noncentral hypergeometric(n, k, n\_A) with odds ratio `max_policy_odds` | how much better it may find one policy than the others |
//!
//! The first finds who loves everything, whatever the answer; the second who reacts before anybody can have
//! read; the third who loves only what one policy says. What loves a phrase is not found here: the gate and
//! its tripwires look at phrases.
//!
//! A unit is judged when its count (n, or r) reaches `min_count`, 2·`min_count`, 4·`min_count` …, at the
//! j-th time against `false_positives` / 3 / 2ʲ (and `policy` against that divided by the number of
//! policies compared). So a unit within all bounds becomes suspect with a probability of at most
//! `false_positives` per window, however often it is judged, when p is known: N must be large.
//! Honest units differ; the bounds are there so that an enthusiast is not taken for a forger.
//!
//! A suspect is no longer counted, and judged anew after the cool-down.

use std::collections::BTreeMap;

use plaudit_event::Timestamp;

use super::generations::Generations;
use super::tail;
use crate::config::{Suspicion, millis};
use crate::fingerprint::Fingerprint;
use crate::metrics;

/// Most suspects at once; beyond, the one that is released first is released now.
const MAX_SUSPECTS: usize = 10_000;
/// Policies told apart per unit; what other policies showed counts as of none of them.
const MAX_POLICIES: usize = 4;
/// Scores that share the false positives.
const NUM_SCORES: f64 = 3.0;

/// What made a unit suspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Score {
    /// It reacts to too many exposures.
    Share,
    /// It reacts too fast.
    Fast,
    /// It reacts too much to one policy only.
    Policy,
}

impl Score {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Share => "share",
            Self::Fast => "fast",
            Self::Policy => "policy",
        }
    }
}

/// A unit whose signals are quarantined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// The unit, as it is stored.
    pub unit: String,
    /// Why.
    pub score: Score,
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

/// Watches units.
pub(super) struct Suspects {
    config: Suspicion,
    units: Generations<Unit>,
    suspects: BTreeMap<Fingerprint, Suspect>,
    /// Exposures of all units watched, and reactions to them.
    population: Counts,
    /// When the population was last halved.
    halved: Timestamp,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    exposures: u32,
    reactions: u32,
}

struct Unit {
    name: String,
    since: Timestamp,
    counts: Counts,
    fast: u32,
    policies: Vec<(u64, Counts)>,
}

impl Suspects {
    /// Nothing when units are not watched.
    pub(super) fn new(config: &Suspicion) -> Option<Self> {
        config.enabled.then(|| Self {
            units: Generations::new(config.max_units),
            config: config.clone(),
            suspects: BTreeMap::new(),
            population: Counts::default(),
            halved: Timestamp::from_millis(0),
        })
    }

    /// The suspect that `unit` is at `now`.
    pub(super) fn suspect(&mut self, unit: Fingerprint, now: Timestamp) -> Option<&Suspect> {
        let is_over = self.suspects.get(&unit).is_some_and(|suspect| suspect.until <= now);
        if is_over {
            self.suspects.remove(&unit);
            metrics::suspects(self.suspects.len());
        }
        self.suspects.get(&unit)
    }

    pub(super) fn list(&self, now: Timestamp) -> Vec<Suspect> {
        self.suspects.values().filter(|suspect| suspect.until > now).cloned().collect()
    }

    /// An exposure of `policy` to the unit.
    pub(super) fn exposed(&mut self, key: Fingerprint, name: &str, policy: u64, now: Timestamp) {
        if self.suspect(key, now).is_some() {
            return;
        }
        self.age(now);
        let window = millis(self.config.window);
        let fresh = || Unit::new(name, now);
        let unit = self.units.get_or_insert_with(key, fresh);
        if now.millis_since(unit.since) >= window {
            *unit = Unit::new(name, now);
        }
        unit.counts.exposures += 1;
        if let Some(seen) = unit.seen(policy) {
            seen.exposures += 1;
        }
        self.population.exposures += 1;
        if let Some(score) = self.config.judge_exposures(unit, self.population) {
            self.convict(key, score, now);
        }
    }

    /// The first reaction of the unit to an exposure of `policy`, `delay_ms` after it.
    pub(super) fn reacted(&mut self, key: Fingerprint, policy: u64, delay_ms: i64, now: Timestamp) {
        let Some(unit) = self.units.get_mut(key) else { return };
        // The exposure may belong to the window before.
        if unit.counts.reactions >= unit.counts.exposures {
            return;
        }
        unit.counts.reactions += 1;
        unit.fast += u32::from((0..millis(self.config.fast)).contains(&delay_ms));
        if let Some(seen) = unit.seen(policy) {
            seen.reactions = (seen.reactions + 1).min(seen.exposures);
        }
        self.population.reactions += 1;
        if self.config.judge_reactions(unit) {
            self.convict(key, Score::Fast, now);
        }
    }

    /// Forgets half of the population once per window, so that it follows the times.
    fn age(&mut self, now: Timestamp) {
        if now.millis_since(self.halved) >= millis(self.config.window) {
            self.halved = now;
            self.population.exposures /= 2;
            self.population.reactions /= 2;
        }
    }

    fn convict(&mut self, key: Fingerprint, score: Score, now: Timestamp) {
        let Some(unit) = self.units.remove(key) else { return };
        self.population.exposures = self.population.exposures.saturating_sub(unit.counts.exposures);
        self.population.reactions = self.population.reactions.saturating_sub(unit.counts.reactions);
        let until = now.plus_millis(millis(self.config.cooldown));
        self.suspects.insert(key, Suspect { unit: unit.name, score, since: now, until });
        if self.suspects.len() > MAX_SUSPECTS {
            let first = self.suspects.iter().min_by_key(|(key, suspect)| (suspect.until, **key)).map(|(key, _)| *key);
            if let Some(first) = first {
                self.suspects.remove(&first);
            }
        }
        metrics::suspected(score.as_str());
        metrics::suspects(self.suspects.len());
    }
}

impl Unit {
    fn new(name: &str, since: Timestamp) -> Self {
        Self { name: name.to_owned(), since, counts: Counts::default(), fast: 0, policies: Vec::new() }
    }

    /// The counts of one policy; nothing when there is no room for another.
    fn seen(&mut self, policy: u64) -> Option<&mut Counts> {
        let known = self.policies.iter().position(|(id, _)| *id == policy);
        let index = match known {
            Some(index) => index,
            None if self.policies.len() < MAX_POLICIES => {
                self.policies.push((policy, Counts::default()));
                self.policies.len() - 1
            }
            None => return None,
        };
        Some(&mut self.policies[index].1)
    }
}

impl Suspicion {
    /// The level at which a unit with `count` is judged, if it is time to.
    fn level(&self, count: u32) -> Option<f64> {
        let least = u32::try_from(self.min_count).unwrap_or(u32::MAX);
        let times = (count / least).max(1);
        let is_time = times.is_power_of_two() && times.checked_mul(least) == Some(count);
        is_time.then(|| self.false_positives / NUM_SCORES / f64::from(2 * times))
    }

    fn judge_exposures(&self, unit: &Unit, population: Counts) -> Option<Score> {
        let level = self.level(unit.counts.exposures)?;
        let Counts { exposures: n, reactions: k } = unit.counts;
        let others = population.exposures.saturating_sub(n);
        let loving = population.reactions.saturating_sub(k).min(others);
        if others as usize >= self.min_population {
            let odds = f64::from(loving + 1) / f64::from(others - loving + 1) * self.max_share_odds;
            if tail::binomial(k, n, odds / (1.0 + odds)) <= level {
                return Some(Score::Share);
            }
        }
        let compared = unit.policies.iter().filter(|(_, seen)| seen.exposures < n);
        let level = level / f64::from(u8::try_from(unit.policies.len()).unwrap_or(u8::MAX).max(1));
        for (_, seen) in compared {
            let odds = self.max_policy_odds;
            if tail::hypergeometric(seen.reactions, n, k, seen.exposures, odds) <= level {
                return Some(Score::Policy);
            }
        }
        None
    }

    fn judge_reactions(&self, unit: &Unit) -> bool {
        let Some(level) = self.level(unit.counts.reactions) else { return false };
        tail::binomial(unit.fast, unit.counts.reactions, self.max_fast_share) <= level
    }
}
