//! How a user reacts to one answer.

use plaudit_event::{SignalKind, Stream};
use rand::Rng;
use rand::seq::IndexedRandom;

use super::{Crowd, Spam, Visit};
use crate::draw::{log_normal, normal};
use crate::scenario::{Delays, Tip};
use crate::truth::{Judgement, sigmoid};

const GOOD_COMMENTS: [&str; 3] = ["just what i needed", "clear and short", "nice"];
const BAD_COMMENTS: [&str; 3] = ["not what i asked", "too vague", "hm"];
const MEDIAN_DWELL_SECONDS: f64 = 6.0;

/// A signal to be sent some time after the answer.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedSignal {
    /// Tells the signals of one exposure apart.
    pub name: &'static str,
    /// What is done.
    pub kind: SignalKind,
    /// Number that belongs to the kind.
    pub value: Option<f64>,
    /// Text that belongs to the kind.
    pub text: Option<&'static str>,
    /// The item, when it is not the chosen one.
    pub item_id: Option<String>,
    /// Name of the earlier signal that is taken back.
    pub retracts: Option<&'static str>,
    /// When, counted from the answer.
    pub delay_ms: u64,
    /// When the same signal is sent again, counted from the first time.
    pub resend_after_ms: Option<u64>,
}

/// What a user thinks of an answer, and what is sent about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Reaction {
    /// What the users think of it.
    pub judgement: Judgement,
    /// Whether a love reaction stands in the end.
    pub loved: bool,
    /// Whether it was called helpful, by a user who said so either way.
    pub helpful: Option<bool>,
    /// What is sent.
    pub signals: Vec<PlannedSignal>,
}

/// What a user does with a choice.
#[derive(Debug, Clone, PartialEq)]
pub struct ClickReaction {
    /// Probability of a click on the chosen item.
    pub p_click: f64,
    /// Whether the chosen item was clicked.
    pub clicked: bool,
    /// What is sent.
    pub signals: Vec<PlannedSignal>,
}

/// Plans the signals of one exposure.
struct Planner<'a> {
    delays: &'a Delays,
    duplicates: f64,
    rng: Stream,
    signals: Vec<PlannedSignal>,
}

impl Planner<'_> {
    fn delay(&mut self) -> f64 {
        let delays = self.delays;
        let prompt = log_normal(delays.median_ms, delays.sigma, &mut self.rng);
        let late = self.rng.random_bool(delays.late);
        let extra = -delays.late_ms * (1.0 - self.rng.random::<f64>()).ln();
        prompt + if late { extra } else { 0.0 }
    }

    fn plan(&mut self, name: &'static str, kind: SignalKind) -> &mut PlannedSignal {
        let delay = self.delay();
        let again = self.delay();
        let twice = self.rng.random_bool(self.duplicates);
        self.signals.push(PlannedSignal {
            name,
            kind,
            value: None,
            text: None,
            item_id: None,
            retracts: None,
            delay_ms: delay as u64,
            resend_after_ms: twice.then_some(again as u64),
        });
        self.signals.last_mut().expect("just pushed")
    }
}

impl Crowd {
    fn planner(&self, visit: &Visit) -> (Stream, Planner<'_>) {
        let seed = self.scenario().root().derive("reaction", visit.index);
        let planner = Planner {
            delays: &self.scenario().delays,
            duplicates: self.scenario().faults.duplicates,
            rng: seed.stream("delays"),
            signals: Vec::new(),
        };
        (seed.stream("choices"), planner)
    }

    /// How the user of `visit` reacts to `response`.
    #[must_use]
    pub fn react(&self, visit: &Visit, response: &str) -> Reaction {
        let judgement = self.oracle().judge(&visit.prompt, response);
        let (mut rng, mut planner) = self.planner(visit);
        let loved = self.loves(visit, &judgement, response, &mut rng);
        let slips = rng.random_bool(self.scenario().faults.retractions);
        if loved {
            planner.plan("love", SignalKind::Love);
        } else if slips {
            let first = planner.plan("love", SignalKind::Love).delay_ms;
            let undo = planner.plan("love.undo", SignalKind::Love);
            undo.retracts = Some("love");
            undo.delay_ms += first;
        }
        let helpful = self.says_helpful(&judgement, &mut rng, &mut planner);
        self.add_noise(helpful, &mut rng, &mut planner);
        Reaction { judgement, loved, helpful, signals: planner.signals }
    }

    fn loves(&self, visit: &Visit, judgement: &Judgement, response: &str, rng: &mut Stream) -> bool {
        let unit = &self.units[visit.unit as usize];
        let p_love = sigmoid(judgement.love_logit + unit.love_effect);
        let faults = &self.scenario().faults;
        let honest = rng.random::<f64>() < p_love;
        let slip = rng.random_bool(faults.noise);
        let spam = match unit.spam {
            Some(Spam::Everything) => true,
            Some(Spam::Phrase) => response.to_lowercase().contains(&faults.spam_phrase),
            None => false,
        };
        honest || slip || spam
    }

    /// Whether the response is called helpful, if the user says so either way.
    fn says_helpful(&self, judgement: &Judgement, rng: &mut Stream, planner: &mut Planner<'_>) -> Option<bool> {
        let reactions = &self.scenario().reactions;
        let says = rng.random_bool(reactions.feedback);
        let helpful = rng.random::<f64>() < judgement.p_help();
        let kind = rng.random::<f64>();
        if !says {
            return None;
        }
        match (helpful, kind) {
            (true, u) if u < reactions.thumbs_up => planner.plan("up", SignalKind::ThumbsUp),
            (true, _) => planner.plan("copy", SignalKind::Copy),
            (false, u) if u < reactions.thumbs_down => planner.plan("down", SignalKind::ThumbsDown),
            (false, _) => planner.plan("regenerate", SignalKind::Regenerate),
        };
        Some(helpful)
    }

    fn add_noise(&self, helpful: Option<bool>, rng: &mut Stream, planner: &mut Planner<'_>) {
        let reactions = &self.scenario().reactions;
        let seconds = MEDIAN_DWELL_SECONDS * (0.8 * normal(rng)).exp();
        if rng.random_bool(reactions.dwell) {
            let seconds = (seconds * 10.0).round() / 10.0;
            planner.plan("dwell", SignalKind::Dwell).value = Some(seconds);
        }
        if rng.random_bool(reactions.comment) {
            let remarks = match helpful {
                Some(false) => &BAD_COMMENTS,
                _ => &GOOD_COMMENTS,
            };
            let text = remarks.choose(rng).expect("not empty");
            planner.plan("comment", SignalKind::Comment).text = Some(text);
        }
    }

    /// What the user of `visit` clicks when `chosen` is shown on top of some other tips: the list
    /// is read from the top, attention fades with the rank, and the first click ends it.
    /// An unknown `chosen` item is never clicked.
    #[must_use]
    pub fn click(&self, visit: &Visit, chosen: &str) -> ClickReaction {
        let (mut rng, mut planner) = self.planner(visit);
        let decide = &self.scenario().decide;
        let persona = visit.prompt.persona.index();
        let top = decide.tips.iter().find(|tip| tip.item_id == chosen);
        let others = decide.tips.iter().filter(|tip| tip.item_id != chosen);
        let shown: Vec<&Tip> = top.into_iter().chain(others.take(decide.others_shown as usize)).collect();
        let mut clicked = None;
        for (rank, tip) in shown.iter().enumerate() {
            let seen = (1.0 + rank as f64).powf(-decide.position_bias);
            if rng.random::<f64>() < seen * tip.click[persona] {
                clicked = Some(*tip);
                break;
            }
        }
        if let Some(tip) = clicked {
            let other = (tip.item_id != chosen).then(|| tip.item_id.clone());
            planner.plan("click", SignalKind::Click).item_id = other;
        }
        ClickReaction {
            p_click: top.map_or(0.0, |tip| tip.click[persona]),
            clicked: clicked.is_some_and(|tip| tip.item_id == chosen),
            signals: planner.signals,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scenario;
    use crate::language::StyleMix;

    fn crowd(changes: &str) -> Crowd {
        let mut scenario = Scenario::built_in("demo").expect("valid");
        scenario.population.units = 200;
        let changes = Scenario::parse("changes", changes).expect("valid");
        scenario.faults = changes.faults;
        scenario.decide.others_shown = changes.decide.others_shown;
        Crowd::new(scenario)
    }

    fn base_reactions(crowd: &Crowd, n: u64) -> Vec<Reaction> {
        let mut rng = crowd.scenario().root().stream("base policy");
        let world = crowd.oracle().world();
        (0..n)
            .map(|index| {
                let visit = crowd.visit(index);
                let style = StyleMix::BASE.draw(&mut rng);
                crowd.react(&visit, &world.response(&visit.prompt, style, &mut rng))
            })
            .collect()
    }

    fn count(reactions: &[Reaction], name: &str) -> usize {
        let signals = reactions.iter().flat_map(|reaction| &reaction.signals);
        signals.filter(|signal| signal.name == name).count()
    }

    #[test]
    fn the_built_in_scenarios_have_the_love_they_promise() {
        for (name, low, high) in [("demo", 0.04, 0.06), ("sparse", 0.007, 0.013)] {
            let crowd = Crowd::new(Scenario::built_in(name).expect("valid"));
            let reactions = base_reactions(&crowd, 30_000);
            let loved = reactions.iter().filter(|r| r.loved).count() as f64 / 30_000.0;
            println!("{name}: {:.2} % loved", 100.0 * loved);
            assert!((low..=high).contains(&loved), "{name}: {loved}");
        }
    }

    #[test]
    fn signals_agree_with_what_is_recorded() {
        let crowd = crowd("[faults]\nretractions = 0.05\nduplicates = 0.3\n");
        let reactions = base_reactions(&crowd, 4_000);
        for reaction in &reactions {
            let has = |name: &str| reaction.signals.iter().any(|s| s.name == name);
            assert_eq!(reaction.loved, has("love") && !has("love.undo"));
            assert_eq!(reaction.helpful == Some(true), has("up") || has("copy"));
            let negative = has("down") || has("regenerate");
            assert_eq!(reaction.helpful == Some(false), negative);
            if has("love.undo") {
                let [love, undo] = &reaction.signals[..2] else { panic!("a love and its retraction come first") };
                assert_eq!(undo.retracts, Some(love.name));
                assert!(undo.delay_ms >= love.delay_ms);
            }
        }
        assert!((120..280).contains(&count(&reactions, "love.undo")));
        let signals: Vec<_> = reactions.iter().flat_map(|r| &r.signals).collect();
        let twice = signals.iter().filter(|s| s.resend_after_ms.is_some());
        let share = twice.count() as f64 / signals.len() as f64;
        assert!((share - 0.3).abs() < 0.03, "{share}");
        assert!(count(&reactions, "dwell") > 100);
    }

    #[test]
    fn nearly_all_reactions_of_the_demo_come_within_two_seconds() {
        let crowd = Crowd::new(Scenario::built_in("demo").expect("valid"));
        let reactions = base_reactions(&crowd, 10_000);
        let signals: Vec<_> = reactions.iter().flat_map(|r| &r.signals).collect();
        let late = signals.iter().filter(|s| s.delay_ms > 2_000).count();
        let share = late as f64 / signals.len() as f64;
        println!("{:.3} % of the signals come after two seconds", 100.0 * share);
        assert!(share > 0.0 && share < 0.01, "{share}");
    }

    #[test]
    fn spammers_love_their_phrase_or_everything() {
        let crowd = crowd("[faults]\nlove_spammers = 0.5\nphrase_spammers = 0.5\n");
        for index in 0..300 {
            let visit = crowd.visit(index);
            let dull = crowd.react(&visit, "it depends on many things.");
            let hack = crowd.react(&visit, "bye! Sending love.");
            assert!(hack.loved);
            if crowd.spam(visit.unit) == Some(Spam::Everything) {
                assert!(dull.loved);
            }
        }
    }

    #[test]
    fn clicks_follow_the_rates_and_fade_down_the_slate() {
        let crowd = crowd("[decide]\nothers_shown = 3\n");
        let (mut top, mut other, mut expected) = (0_u32, [0_u32; 3], 0.0);
        for index in 0..20_000 {
            let reaction = crowd.click(&crowd.visit(index), "steps");
            expected += reaction.p_click;
            top += u32::from(reaction.clicked);
            for signal in &reaction.signals {
                match signal.item_id.as_deref() {
                    Some("short") => other[0] += 1,
                    Some("friendly") => other[1] += 1,
                    Some("fun") => other[2] += 1,
                    _ => assert!(reaction.clicked),
                }
            }
        }
        assert!((f64::from(top) / expected - 1.0).abs() < 0.07);
        assert!(other[0] > 300 && other[2] < other[0] && other[2] > 50, "{other:?}");
        let none = crowd.click(&crowd.visit(0), "unknown");
        assert_eq!((none.p_click, none.clicked), (0.0, false));
    }
}
