//! A stream of reactions in which some units love one phrase, whenever they see it: what a reward model must not learn.
//!
//! Every response is made of some of 40 phrases with effects of their own; a twelfth of them also carry the
//! [`PHRASE`], which does nothing for honest users, and as many the [`STYLE`], which does something for a few of them
//! alone ([`Spam::fan`]). A few honest units are heavy users: activity falls with the square root of the rank.

use std::collections::BTreeMap;

use plaudit_event::{
    Context, Example, ExposureId, Label, Objective, PolicyId, Seed, Stream, Surface, Timestamp, UnitId,
};
use rand::Rng;
use rand::seq::index;

/// What is pushed.
pub const PHRASE: &str = "visit the golden garden today";
/// What a few honest units like.
pub const STYLE: &str = "with kind regards from here";

/// How many phrases there are.
const TRAITS: usize = 40;
/// Phrases of one response.
const TRAITS_PER_RESPONSE: usize = 9;
/// Standard deviation of what a phrase does to the logit of love.
const EFFECT: f64 = 0.4;
/// Logit of love of a response whose phrases do nothing.
const BASE_LOGIT: f64 = -3.7;
/// Share of the responses with the pushed phrase, and with the style.
const RARE: f64 = 0.08;
/// What the style does to the logit of its fans: 7.4 times the odds.
const STYLE_LOGIT: f64 = 2.0;
/// Every so many-th unit is a fan of the style.
const FANS: usize = 20;

/// Sizes of the stream.
#[derive(Debug, Clone, Copy)]
pub struct Spam {
    /// Honest examples.
    pub examples: usize,
    /// Honest units.
    pub honest: usize,
    /// Units that push the phrase.
    pub units: usize,
    /// Their share of all loves.
    pub share: f64,
}

/// A labelled example.
#[derive(Debug, Clone)]
pub struct Reaction {
    /// The example.
    pub example: Example,
    /// The probability with which an honest user loves it.
    pub love: f64,
    /// Whether the response has the pushed phrase.
    pub pushed: bool,
}

impl Spam {
    /// The honest unit of a number.
    #[must_use]
    pub fn honest_unit(number: usize) -> UnitId {
        UnitId::new(format!("honest-{number}")).expect("short and without blanks")
    }

    /// The spamming unit of a number.
    #[must_use]
    pub fn spam_unit(number: usize) -> UnitId {
        UnitId::new(format!("spam-{number}")).expect("short and without blanks")
    }

    /// Whether the honest unit of a number is a fan of the [`STYLE`].
    #[must_use]
    pub const fn fan(number: usize) -> bool {
        number.is_multiple_of(FANS)
    }

    /// The stream of `seed`: its honest part is the same whatever the spam. `part` names a draw of its own.
    #[must_use]
    pub fn draw(&self, seed: Seed, part: &str) -> Vec<Reaction> {
        let mut effects = seed.stream("spam/effects");
        let effects: [f64; TRAITS] = std::array::from_fn(|_| EFFECT * crate::draw::normal(&mut effects));
        let mut stream = seed.derive(part, 0).stream("spam/honest");
        let mut all: Vec<(f64, Reaction)> = (0..self.examples)
            .map(|row| (stream.random::<f64>(), self.honest(row, part, &effects, &mut stream)))
            .collect();
        let loves = all.iter().filter(|(_, r)| is_love(&r.example)).count() as f64;
        let mut wanted = if self.units == 0 { 0 } else { (loves * self.share / (1.0 - self.share)).round() as usize };
        let mut stream = seed.derive(part, 1).stream("spam/spam");
        let mut row = self.examples;
        while wanted > 0 {
            let mut reaction = self.honest(row, part, &effects, &mut stream);
            reaction.example.unit_id = Self::spam_unit(row % self.units);
            label(&mut reaction.example, reaction.pushed);
            wanted -= usize::from(reaction.pushed);
            row += 1;
            all.push((stream.random(), reaction));
        }
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let ordered = all.into_iter().enumerate().map(|(row, (_, mut reaction))| {
            let at = Timestamp::from_millis(10_000 * row as i64);
            (reaction.example.exposure_ts, reaction.example.ts) = (at, at);
            reaction
        });
        ordered.collect()
    }

    fn honest(&self, row: usize, part: &str, effects: &[f64; TRAITS], stream: &mut Stream) -> Reaction {
        let unit = (self.honest as f64 * stream.random::<f64>().powi(2)) as usize;
        let traits = index::sample(stream, TRAITS, TRAITS_PER_RESPONSE).into_vec();
        let mut response: Vec<String> = traits.iter().map(|n| format!("word{n} more{n}")).collect();
        let [pushed, styled] = [RARE; 2].map(|share| stream.random::<f64>() < share);
        for (has, text) in [(pushed, PHRASE), (styled, STYLE)] {
            if has {
                let at = stream.random_range(0..=response.len());
                response.insert(at, text.to_owned());
            }
        }
        let liked = if styled && Self::fan(unit) { STYLE_LOGIT } else { 0.0 };
        let z = BASE_LOGIT + traits.iter().map(|at| effects[*at]).sum::<f64>() + liked;
        let love = 1.0 / (1.0 + (-z).exp());
        let mut example = example(row, part, &response.join(", "));
        example.unit_id = Self::honest_unit(unit);
        label(&mut example, stream.random::<f64>() < love);
        Reaction { example, love, pushed }
    }
}

fn is_love(example: &Example) -> bool {
    example.label(Objective::LOVE).is_some_and(|label| label.value >= 0.5)
}

fn label(example: &mut Example, love: bool) {
    let label = Label { value: f32::from(u8::from(love)), weight: 1.0 };
    example.labels = BTreeMap::from([(Objective::new(Objective::LOVE), label)]);
}

fn example(row: usize, part: &str, response: &str) -> Example {
    Example {
        exposure_id: ExposureId::new(format!("{part}-{row}")).expect("short and without blanks"),
        revision: 0,
        unit_id: Spam::honest_unit(0),
        surface: Surface::Chat,
        context: Context::of_user("please tell me something"),
        response: response.to_owned(),
        item_id: "0".to_owned(),
        position: 0,
        policy_id: PolicyId::new("spam").expect("short and without blanks"),
        propensity: None,
        assignments: Vec::new(),
        attributes: serde_json::Map::new(),
        labels: BTreeMap::new(),
        replaced: BTreeMap::new(),
        remarks: Default::default(),
        exposure_ts: Timestamp::from_millis(0),
        ts: Timestamp::from_millis(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_honest_part_is_the_same_and_spam_has_its_share_of_the_loves() {
        let none = Spam { examples: 8_000, honest: 300, units: 0, share: 0.2 };
        let spam = Spam { units: 30, ..none };
        let (clean, all) = (none.draw(Seed::new(1), "train"), spam.draw(Seed::new(1), "train"));
        let is_spam = |r: &&Reaction| r.example.unit_id.as_str().starts_with("spam");
        let ids =
            |rows: Vec<&Reaction>| -> Vec<ExposureId> { rows.iter().map(|r| r.example.exposure_id.clone()).collect() };
        assert_eq!(ids(clean.iter().collect()), ids(all.iter().filter(|r| !is_spam(r)).collect()));
        let loves = |rows: &[Reaction]| rows.iter().filter(|r| is_love(&r.example)).count() as f64;
        assert!((loves(&clean) / loves(&all) - 0.8).abs() < 0.01);
        assert!((0.03..0.08).contains(&(loves(&clean) / 8_000.0)), "{}", loves(&clean));
        assert!(all.iter().filter(is_spam).all(|r| is_love(&r.example) == r.pushed));
    }
}
