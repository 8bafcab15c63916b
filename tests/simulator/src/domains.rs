//! A stream of domains, one after the other, in which the same words mean different things: what a model that learns
//! continually must not forget.
//!
//! Every response is made of some of 40 phrases. What a phrase does to the logit of love is in part the same
//! everywhere and in part the domain's own; the domain shows in the words of the request. The order of the domains is
//! that of the stream, and no domain comes back.

use std::collections::BTreeMap;

use plaudit_event::{
    Context, Example, ExposureId, Label, Objective, PolicyId, Seed, Stream, Surface, Timestamp, UnitId,
};
use rand::Rng;
use rand::seq::index;

/// How many phrases there are.
const TRAITS: usize = 40;
/// Phrases of one response.
const TRAITS_PER_RESPONSE: usize = 9;
/// Words of the request that only one domain has.
const TOPICS: usize = 12;
/// Of these, in one request.
const TOPICS_PER_REQUEST: usize = 3;
/// Share of the variance of a phrase's effect that all domains have in common.
const SHARED: f64 = 0.3;
/// Logit of love of a response whose phrases do nothing.
const BASE_LOGIT: f64 = -1.0;
/// Room in the time line for the examples of one domain.
const PART: usize = 1_000_000;
/// Milliseconds between two exposures.
const STEP_MS: i64 = 1_000;

/// What users of every domain think of every phrase.
#[derive(Debug, Clone)]
pub struct Domains {
    seed: Seed,
    effects: Vec<[f64; TRAITS]>,
}

impl Domains {
    /// `num` domains.
    #[must_use]
    pub fn new(num: usize, seed: Seed) -> Self {
        let mut stream = seed.stream("domains/effects");
        let mut draw = || -> [f64; TRAITS] { std::array::from_fn(|_| crate::draw::normal(&mut stream)) };
        let common = draw();
        let mix = |own: [f64; TRAITS]| -> [f64; TRAITS] {
            std::array::from_fn(|at| SHARED.sqrt() * common[at] + (1.0 - SHARED).sqrt() * own[at])
        };
        let effects = (0..num).map(|_| mix(draw())).collect();
        Self { seed, effects }
    }

    /// Name of domain `number`, as the attribute `domain` of its examples says.
    #[must_use]
    pub fn name(number: usize) -> String {
        format!("domain-{number}")
    }

    /// `n` labelled examples of domain `number` with the true probability of love of each. Examples of equal numbers
    /// and `part` are equal; each part is drawn anew.
    ///
    /// # Panics
    /// Panics when there is no such domain.
    #[must_use]
    pub fn draw(&self, number: usize, part: &str, n: usize) -> Vec<(Example, f64)> {
        let mut stream = self.seed.derive(part, number as u64).stream("domains/examples");
        (0..n).map(|row| self.one(number, part, row, &mut stream)).collect()
    }

    fn one(&self, number: usize, part: &str, row: usize, stream: &mut Stream) -> (Example, f64) {
        let topics = index::sample(stream, TOPICS, TOPICS_PER_REQUEST);
        let topics: Vec<String> = topics.iter().map(|topic| word(1_000 + number * TOPICS + topic)).collect();
        let traits = index::sample(stream, TRAITS, TRAITS_PER_RESPONSE).into_vec();
        let response: Vec<String> =
            traits.iter().map(|number| format!("{} {}", word(*number), word(*number + TRAITS))).collect();
        let effect: f64 = traits.iter().map(|at| self.effects[number][*at]).sum();
        let love = 1.0 / (1.0 + (-(BASE_LOGIT + effect)).exp());
        let label = Label { value: f32::from(u8::from(stream.random::<f64>() < love)), weight: 1.0 };
        let at = Timestamp::from_millis(STEP_MS * (number * PART + row) as i64);
        let mut attributes = serde_json::Map::new();
        attributes.insert("domain".to_owned(), Self::name(number).into());
        let example = Example {
            exposure_id: ExposureId::new(format!("{part}-{number}-{row}")).expect("short and without blanks"),
            revision: 0,
            unit_id: UnitId::new(format!("u{row}")).expect("short and without blanks"),
            surface: Surface::Chat,
            context: Context::of_user(format!("please tell me about {}", topics.join(" and "))),
            response: response.join(", "),
            item_id: "0".to_owned(),
            position: 0,
            policy_id: PolicyId::new("domains").expect("short and without blanks"),
            propensity: None,
            assignments: Vec::new(),
            attributes,
            labels: BTreeMap::from([(Objective::new(Objective::LOVE), label)]),
            replaced: BTreeMap::new(),
            remarks: Default::default(),
            exposure_ts: at,
            ts: at,
        };
        (example, love)
    }
}

/// A word of its own for every number.
fn word(number: usize) -> String {
    const SYLLABLES: [&str; 16] =
        ["ba", "do", "ki", "lu", "me", "na", "po", "ri", "su", "ta", "ve", "wo", "xi", "yu", "za", "ge"];
    let mut rest = number + 16;
    let mut text = String::new();
    while rest > 0 {
        text += SYLLABLES[rest % 16];
        rest /= 16;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_repeat_and_domains_differ_in_what_phrases_do() {
        let domains = Domains::new(2, Seed::new(1));
        let first = domains.draw(0, "train", 50);
        assert_eq!(first, domains.draw(0, "train", 60)[..50]);
        assert_ne!(first, domains.draw(0, "test", 50));
        assert_ne!(first[0].0.context, domains.draw(1, "train", 1)[0].0.context);
        let flipped = domains.effects[0].iter().zip(domains.effects[1]).filter(|(a, b)| *a * b < 0.0).count();
        assert!((5..=25).contains(&flipped), "{flipped} of {TRAITS} phrases do the opposite");
    }

    #[test]
    fn words_are_distinct() {
        let words: std::collections::BTreeSet<String> = (0..2_000).map(word).collect();
        assert_eq!(words.len(), 2_000);
    }
}
