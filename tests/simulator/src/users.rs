//! The users: who comes with which request, and how they react to the answer.
//!
//! Everything is a pure function of the scenario, the number of the request and the text of the
//! answer, so that two runs differ only in what the product answers.

mod react;

use plaudit_event::{Seed, Stream, UnitId};
use rand::Rng;

pub use react::{ClickReaction, PlannedSignal, Reaction};

use crate::Scenario;
use crate::draw::normal;
use crate::language::{Persona, Prompt};
use crate::truth::Oracle;

/// Numbers above this do not survive every JSON reader.
const MAX_JSON_INTEGER: u64 = (1 << 53) - 1;

/// A user who reacts without regard to the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spam {
    /// Loves everything.
    Everything,
    /// Loves every response with the phrase of the scenario.
    Phrase,
}

#[derive(Debug, Clone)]
struct Unit {
    id: UnitId,
    love_effect: f64,
    spam: Option<Spam>,
}

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub struct Visit {
    /// Number of the request, from 0.
    pub index: u64,
    /// Number of the user.
    pub unit: u32,
    /// What the user says.
    pub prompt: Prompt,
    /// Seed of the generation, at most 2^53 − 1.
    pub seed: u64,
    /// Whether a choice is asked for instead of an answer.
    pub decide: bool,
}

/// All users of a scenario.
#[derive(Debug)]
pub struct Crowd {
    scenario: Scenario,
    oracle: Oracle,
    units: Vec<Unit>,
}

impl Crowd {
    /// Makes the users of `scenario`.
    #[must_use]
    pub fn new(scenario: Scenario) -> Self {
        let root = scenario.root();
        let oracle = Oracle::new(scenario.preferences, root);
        let mut rng = root.stream("population");
        let units = (0..scenario.population.units).map(|index| Self::unit(&scenario, index, &mut rng)).collect();
        Self { scenario, oracle, units }
    }

    fn unit(scenario: &Scenario, index: u32, rng: &mut Stream) -> Unit {
        let taste = normal(rng);
        let odd = rng.random::<f64>();
        let faults = &scenario.faults;
        let spam = if odd < faults.love_spammers {
            Some(Spam::Everything)
        } else if odd < faults.love_spammers + faults.phrase_spammers {
            Some(Spam::Phrase)
        } else {
            None
        };
        Unit {
            id: UnitId::new(format!("user-{index:06}")).expect("letters and digits"),
            love_effect: scenario.preferences.unit_sd * taste,
            spam,
        }
    }

    /// The scenario.
    #[must_use]
    pub const fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// The judge of truth.
    #[must_use]
    pub const fn oracle(&self) -> &Oracle {
        &self.oracle
    }

    /// The id of user number `unit`.
    ///
    /// # Panics
    /// Panics when there is no such user.
    #[must_use]
    pub fn unit_id(&self, unit: u32) -> &UnitId {
        &self.units[unit as usize].id
    }

    /// The spam of user number `unit`, if it is a spammer.
    ///
    /// # Panics
    /// Panics when there is no such user.
    #[must_use]
    pub fn spam(&self, unit: u32) -> Option<Spam> {
        self.units[unit as usize].spam
    }

    /// Request number `index`.
    #[must_use]
    pub fn visit(&self, index: u64) -> Visit {
        let root = self.scenario.root();
        let mut rng = root.derive("visit", index).stream("visit");
        let decide = rng.random_bool(self.scenario.decide.share);
        let rank = rng.random::<f64>().powf(self.scenario.population.activity_skew);
        let mix = self.scenario.mix_at(index);
        let prompt = self.oracle.world().prompt(&mix, &mut rng);
        let unit = self.pick_unit(prompt.persona, rank);
        let seed = Seed::new(root.derive("user", unit.into()).value()).derive("generation", index).value();
        Visit { index, unit, prompt, seed: seed & MAX_JSON_INTEGER, decide }
    }

    /// The user of `persona` at `rank` in \[0, 1): every fourth user has the same persona.
    fn pick_unit(&self, persona: Persona, rank: f64) -> u32 {
        let personas = Persona::ALL.len();
        let pool = (self.units.len() - persona.index()).div_ceil(personas);
        let member = ((rank * pool as f64) as usize).min(pool - 1);
        u32::try_from(member * personas + persona.index()).expect("as many users as u32 holds")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn visits_are_a_function_of_scenario_and_index() {
        let scenario = Scenario::built_in("demo").expect("valid");
        let (one, two) = (Crowd::new(scenario.clone()), Crowd::new(scenario.clone()));
        let other = Crowd::new(Scenario { seed: 2, ..scenario });
        let of = |crowd: &Crowd| (0..50).map(|i| crowd.visit(i)).collect::<Vec<_>>();
        assert_eq!(of(&one), of(&two));
        assert_ne!(of(&one), of(&other));
        assert!(of(&one).iter().all(|visit| visit.seed <= MAX_JSON_INTEGER));
    }

    #[test]
    fn a_user_has_one_persona_and_some_are_more_active() {
        let scenario = Scenario::parse("skew", "[population]\nunits = 40\nactivity_skew = 2.0\n").expect("valid");
        let crowd = Crowd::new(scenario);
        let mut personas: HashMap<u32, Persona> = HashMap::new();
        let mut counts = [0_u32; 40];
        for index in 0..8_000 {
            let visit = crowd.visit(index);
            let persona = personas.entry(visit.unit).or_insert(visit.prompt.persona);
            assert_eq!(*persona, visit.prompt.persona);
            counts[visit.unit as usize] += 1;
        }
        assert!(counts.iter().all(|&n| n > 20));
        assert!(counts[..4].iter().sum::<u32>() > 2 * counts[36..].iter().sum::<u32>());
    }

    #[test]
    fn drift_changes_who_comes() {
        let scenario = Scenario::parse(
            "drift",
            "[prompts]\npersonas = [1, 0, 0, 0]\n[drift]\nhorizon = 1000\npersonas = [0, 0, 0, 1]\n",
        )
        .expect("valid");
        let crowd = Crowd::new(scenario);
        let anxious =
            |range: std::ops::Range<u64>| range.filter(|&i| crowd.visit(i).prompt.persona == Persona::Anxious).count();
        assert!(anxious(0..100) < 20);
        assert_eq!(anxious(1_000..1_100), 100);
    }
}
