//! The contextual policy, the gate that lets it serve, forgetting, and replays of a log.

use plaudit_event::{Example, ExposureId, Label, Objective, Seed, Timestamp, UnitId};
use plaudit_experiment::off_policy::{Estimator, Gate, Refusal, Verdict};
use rand::Rng;
use serde_json::{Map, Value, json};

use super::super::*;
use super::example;
use crate::{Candidate, Error};

fn config() -> Config {
    Config { kind: Kind::Contextual, ..Config::default() }
}

fn about(country: &str) -> Map<String, Value> {
    json!({"country": country}).as_object().unwrap().clone()
}

fn candidates() -> Vec<Candidate> {
    let one = |item: &str| Candidate { item_id: item.to_owned(), content: String::new(), features: Map::new() };
    ["a", "b"].map(one).to_vec()
}

/// People in one country like `a`, in the other `b`; or all like `a`, if little depends on the country.
struct World {
    selector: Selector,
    rates: fn(&str, &str) -> f64,
    rng: plaudit_event::Stream,
    count: u32,
    log: Vec<Example>,
}

fn by_country(country: &str, item: &str) -> f64 {
    if (country == "fr") == (item == "a") { 0.4 } else { 0.15 }
}

fn by_item(_: &str, item: &str) -> f64 {
    if item == "a" { 0.4 } else { 0.15 }
}

impl World {
    fn new(config: Config, rates: fn(&str, &str) -> f64) -> Self {
        let rng = Seed::new(5).stream("world");
        Self { selector: Selector::new(config).unwrap(), rates, rng, count: 0, log: Vec::new() }
    }

    /// One decision from request to example; returns who drew and the probabilities.
    fn step(&mut self) -> (String, Vec<f64>) {
        let country = if self.rng.random() { "fr" } else { "de" };
        let (features, candidates) = (about(country), candidates());
        let selected = self.selector.choose("headline", &features, &candidates, &mut self.rng).unwrap();
        let chosen = &candidates[selected.decision.chosen as usize];
        let love = self.rng.random_bool((self.rates)(country, &chosen.item_id));
        let mut shown = example(self.count, &chosen.item_id, 0, Some(f32::from(u8::from(love))));
        shown.unit_id = UnitId::new(format!("u{}", self.count)).unwrap();
        shown.policy_id = selected.policy_id.clone();
        shown.propensity = selected.decision.propensity;
        shown.attributes = attributes("headline", features, &candidates, &selected.decision.propensities);
        self.count += 1;
        self.selector.fold(&shown).unwrap();
        self.log.push(shown);
        (selected.policy_id.to_string(), selected.decision.propensities)
    }

    fn run(&mut self, count: u32) {
        (0..count).for_each(|_| drop(self.step()));
    }

    fn status(&self) -> Status {
        self.selector.status().remove(0)
    }
}

#[test]
fn where_context_matters_the_contextual_policy_takes_over_and_is_better() {
    let mut world = World::new(config(), by_country);
    let first = world.step().0;
    assert!(first.starts_with("select-"), "{first}");
    world.run(4_000);
    let status = world.status();
    assert_eq!((status.serves, status.evaluated), (Chooser::Contextual, Some(Chooser::Beta)), "{status:?}");
    assert_eq!(status.changes.len(), 1);
    assert!(status.changes[0].lower > 0.0 && status.changes[0].diagnostics.effective_units >= 100.0);
    assert!(status.improvement.unwrap() < 0.0, "Thompson sampling would be worse: {status:?}");
    let (policy, propensities) = world.step();
    assert!(policy.starts_with("contextual-") && policy == status.policy_id.as_str());
    assert!((propensities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    let loved = |part: &[Example]| {
        let sum: f32 = part.iter().map(|example| example.label("click").unwrap().value).sum();
        f64::from(sum) / part.len() as f64
    };
    let (before, after) = (loved(&world.log[..300]), loved(&world.log[3_000..]));
    assert!(after > before + 0.05, "{before} {after}");
}

#[test]
fn where_context_does_not_matter_thompson_sampling_stays() {
    let mut world = World::new(config(), by_item);
    world.run(3_000);
    let status = world.status();
    assert_eq!((status.serves, status.changes.len()), (Chooser::Beta, 0), "{status:?}");
    assert!(matches!(status.verdict, Some(Verdict::Undecided { .. } | Verdict::Refused { .. })));
}

#[test]
fn few_effective_rows_are_refused() {
    let mut world = World::new(config(), by_country);
    world.run(60);
    let Some(Verdict::Refused { reasons, .. }) = world.status().verdict else { panic!("{:?}", world.status()) };
    assert!(matches!(reasons[0], Refusal::EffectiveSampleSize { limit: 100.0, .. }), "{reasons:?}");
}

/// After the contextual policy took over, what is logged in its name shows mostly the item that nobody likes any more.
#[test]
fn what_turns_out_worse_is_taken_back() {
    let mut world = World::new(config(), by_country);
    while world.selector.status().pop().is_none_or(|status| status.serves == Chooser::Beta) {
        world.step();
        assert!(world.count < 5_000, "{:?}", world.status());
    }
    let first = world.status();
    for index in 0..3_000 {
        let item = if index % 10 < 3 { "a" } else { "b" };
        let love = item == "a" && index % 2 == 0;
        let mut shown = example(world.count + index, item, 0, Some(f32::from(u8::from(love))));
        shown.unit_id = UnitId::new(format!("later{index}")).unwrap();
        shown.policy_id = first.policy_id.clone();
        shown.attributes = attributes("headline", about("fr"), &candidates(), &[0.3, 0.7]);
        world.selector.fold(&shown).unwrap();
        if world.status().serves == Chooser::Beta {
            break;
        }
    }
    let status = world.status();
    assert_eq!(status.changes.iter().map(|change| change.to).collect::<Vec<_>>(), [Chooser::Contextual, Chooser::Beta]);
    assert!(status.changes[1].lower > 0.0 && status.verdict.is_none(), "a new gate has no rows yet: {status:?}");
    world.count += 3_000;
    assert!(world.step().0.starts_with("select-"));
}

#[test]
fn a_log_folded_again_gives_the_same_state() {
    let mut world = World::new(config(), by_country);
    world.run(1_500);
    let again = Selector::new(config()).unwrap();
    for example in &world.log {
        assert_eq!(again.fold(example).unwrap(), Folded::Counted);
    }
    assert_eq!(again.status(), world.selector.status());
    let ask = |selector: &Selector| {
        let mut rng = Seed::new(9).stream("ask");
        selector.choose("headline", &about("fr"), &candidates(), &mut rng).unwrap()
    };
    assert_eq!(ask(&again), ask(&world.selector));
}

#[test]
fn a_corrected_log_gives_the_state_of_the_right_labels() {
    let mut world = World::new(config(), by_country);
    world.run(400);
    let (right, wrong) = (Selector::new(config()).unwrap(), Selector::new(config()).unwrap());
    for example in &world.log {
        right.fold(example).unwrap();
    }
    for example in &world.log {
        let mut first = example.clone();
        let love = first.labels.get_mut("click").unwrap();
        love.value = 1.0 - love.value;
        assert_eq!(wrong.fold(&first).unwrap(), Folded::Counted);
        let corrected = Example { revision: 2, ..example.clone() };
        assert_eq!(wrong.fold(&corrected).unwrap(), Folded::Corrected);
        assert_eq!(wrong.fold(&corrected).unwrap(), Folded::Stale);
    }
    let (right, wrong) = (right.status().remove(0), wrong.status().remove(0));
    assert!((right.served_reward.unwrap() - wrong.served_reward.unwrap()).abs() < 1e-12);
    assert!((right.examples - wrong.examples).abs() < 1e-9);
    assert_eq!(right.serves, wrong.serves);
}

#[test]
fn a_label_taken_back_leaves_the_gate() {
    let mut world = World::new(config(), by_country);
    world.run(50);
    let rows = |world: &World| match world.status().verdict {
        Some(Verdict::Refused { diagnostics, .. }) => diagnostics.rows,
        other => panic!("{other:?}"),
    };
    assert_eq!(rows(&world), 50);
    let taken = Example { revision: 1, labels: Default::default(), ..world.log[3].clone() };
    assert_eq!(world.selector.fold(&taken).unwrap(), Folded::Corrected);
    assert_eq!(rows(&world), 49);
    let back = Example { revision: 2, ..world.log[3].clone() };
    assert_eq!(world.selector.fold(&back).unwrap(), Folded::Corrected);
    assert_eq!(rows(&world), 50);
}

#[test]
fn models_beyond_the_limit_are_dropped_and_their_corrections_with_them() {
    let small = Config { contextual: ContextualConfig { max_decisions: 2, ..Default::default() }, ..config() };
    let selector = Selector::new(small).unwrap();
    let of = |number: u32, decision: &str, revision| {
        let mut example = example(number, "a", revision, Some(1.0));
        example.attributes.insert(DECISION_ATTRIBUTE.to_owned(), decision.into());
        example
    };
    for (number, name) in (0..).zip(["x", "y", "z", "x"]) {
        selector.fold(&of(number, name, 0)).unwrap();
    }
    let names: Vec<String> = selector.status().into_iter().map(|status| status.decision).collect();
    assert_eq!(names, ["x", "z"]);
    // `x` came back: what the first one had added is gone already.
    selector.fold(&of(0, "x", 1)).unwrap();
    assert_eq!(selector.status()[0].examples, 1.0);
}

#[test]
fn without_a_gate_it_serves_from_the_start() {
    let open = Config { gate: GateConfig { enabled: false, ..GateConfig::default() }, ..config() };
    let mut world = World::new(open, by_country);
    let (policy, propensities) = world.step();
    assert!(policy.starts_with("contextual-"));
    assert_eq!(propensities, [0.5, 0.5]);
    world.run(1_000);
    assert_eq!(world.status().evaluated, None);
    let ask = |country: &str| {
        let mut rng = Seed::new(1).stream("ask");
        world.selector.choose("headline", &about(country), &candidates(), &mut rng).unwrap().decision.propensities
    };
    assert!(ask("fr")[0] > 0.8 && ask("de")[1] > 0.8, "{:?} {:?}", ask("fr"), ask("de"));
}

#[test]
fn bad_features_are_named() {
    let selector = Selector::new(config()).unwrap();
    let refused = |features: Value, own: Value| {
        let mut candidates = candidates();
        candidates[1].features = own.as_object().unwrap().clone();
        let mut rng = Seed::new(1).stream("x");
        match selector.choose("d", features.as_object().unwrap(), &candidates, &mut rng) {
            Err(error @ Error::Field { .. }) => error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let none = || json!({});
    assert_eq!(refused(json!({"age": 101}), none()), "`features.age` must be a number from -100 to 100, got 101");
    assert_eq!(refused(json!({"x": [1]}), none()), "`features.x` must be a number, a text or a boolean, got an array");
    assert_eq!(
        refused(none(), json!({"x": null})),
        "`candidates[1].features.x` must be a number, a text or a boolean, got null"
    );
    assert_eq!(refused(json!({"x": ""}), none()), "`features.x` must be a category of 1 to 128 bytes, got 0 bytes");
    let many: Map<String, Value> = (0..33).map(|number| (format!("f{number}"), json!(1))).collect();
    assert_eq!(refused(json!(many), none()), "`features` must be an object of at most 32 features, got 33");
    let long = "n".repeat(129);
    assert_eq!(
        refused(json!({long: 1}), none()),
        "`features` must be called by a name of 1 to 128 bytes, got one of 129 bytes"
    );
}

#[test]
fn logs_that_do_not_fit_together_are_not_used() {
    let mut world = World::new(config(), by_country);
    world.run(1);
    let whole = world.log.remove(0);
    assert!(Shown::of(&whole).is_some());
    let with = |edit: &dyn Fn(&mut Example)| {
        let mut changed = whole.clone();
        edit(&mut changed);
        Shown::of(&changed)
    };
    let set = |example: &mut Example, candidates: Value| {
        example.attributes.insert(CANDIDATES_ATTRIBUTE.to_owned(), candidates);
    };
    let cases = [
        json!([{"item_id": "a", "propensity": 0.5}, {"item_id": "b", "propensity": 0.4}]),
        json!([{"item_id": "a", "propensity": 1.5}, {"item_id": "b", "propensity": -0.5}]),
        json!([{"item_id": "c", "propensity": 0.5}, {"item_id": "d", "propensity": 0.5}]),
        json!([{"item_id": "a", "propensity": 0.5}, {"item_id": "a", "propensity": 0.5}]),
        json!({"a": 0.5}),
        json!([]),
    ];
    for case in cases {
        assert_eq!(with(&|example| set(example, case.clone())), None, "{case}");
    }
    assert_eq!(with(&|example| drop(example.attributes.insert("features".to_owned(), json!({"x": 1e9})))), None);
    // It still teaches: what was shown, and for whom, is known.
    let mut bare = whole;
    bare.attributes.remove(CANDIDATES_ATTRIBUTE);
    let selector = Selector::new(config()).unwrap();
    assert_eq!(selector.fold(&bare).unwrap(), Folded::Counted);
    assert_eq!(selector.status()[0].examples, 1.0);
    assert_eq!(selector.status()[0].verdict, None);
}

#[test]
fn old_examples_fade() {
    let fading = Config { half_life_examples: 10.0, half_life_hours: 1.0, ..Config::default() };
    let thompson = Thompson::new(fading).unwrap();
    thompson.fold(&example(0, "a", 0, Some(1.0)));
    let mut late = example(1, "b", 0, Some(1.0));
    late.exposure_ts = Timestamp::from_millis(2 * 3_600_000);
    thompson.fold(&late);
    let positive = |item: &str| {
        let counts = thompson.counts("headline");
        counts.iter().find(|(name, _)| name == item).unwrap().1.positive
    };
    let faded = 0.25 * (-0.1_f64).exp2();
    assert!((positive("a") - faded).abs() < 1e-12 && (positive("b") - 1.0).abs() < 1e-12);
    // A correction takes back what is left of it, and adds as much.
    thompson.fold(&example(0, "a", 1, Some(0.0)));
    assert!(positive("a").abs() < 1e-12 && (positive("b") - 1.0).abs() < 1e-12);
}

#[test]
fn a_replay_tells_what_others_would_have_earned() {
    let served = Config { kind: Kind::Beta, explore_floor: 0.2, ..Config::default() };
    let mut world = World::new(served, by_country);
    world.run(3_000);
    // One label is corrected, one taken back.
    let corrected = Example { revision: 1, labels: Default::default(), ..world.log[10].clone() };
    let mut turned = Example { revision: 1, ..world.log[11].clone() };
    turned.labels.insert(Objective::new("click"), Label { value: 1.0, weight: 1.0 });
    let mut bare = example(9_999, "a", 0, Some(1.0));
    bare.exposure_id = ExposureId::new("bare").unwrap();
    world.log.extend([corrected, turned, bare]);
    let replayed = |target| replay(&world.log, "headline", target, &Config::default()).unwrap();
    let value = |target, estimator| replayed(target).sample.evaluate(estimator).unwrap().value;
    let contextual = replayed(Target::Contextual);
    assert_eq!((contextual.sample.rows().len(), contextual.without_candidates), (2_999, 1));
    // Even shares earn (.4 + .15) / 2; knowing the country up to .4.
    let even = value(Target::Even, Estimator::Ips);
    assert!((even - 0.275).abs() < 0.03, "{even}");
    for estimator in [Estimator::Ips, Estimator::Snips, Estimator::Dr, Estimator::SwitchDr(5.0)] {
        let known = value(Target::Contextual, estimator);
        assert!((0.33..0.42).contains(&known), "{estimator:?} {known}");
    }
    assert!(matches!(contextual.sample.judge(&Gate::default()).unwrap(), Verdict::Passed { .. }));
    assert!(!matches!(replayed(Target::Even).sample.judge(&Gate::default()).unwrap(), Verdict::Passed { .. }));
    let beta = value(Target::Beta, Estimator::Ips);
    assert!((beta - 0.275).abs() < 0.05, "nothing to choose without context: {beta}");
    let other = replay(&world.log, "other", Target::Even, &Config::default());
    assert!(matches!(other, Err(Error::Invalid { .. })));
}

#[test]
fn ids_name_what_the_policy_goes_by() {
    let id = |config: Config| {
        let selector = Selector::new(config).unwrap();
        (selector.thompson().id().clone(), selector.models().map(|models| models.id().clone()))
    };
    let whole = id(config());
    let strict = Config { gate: GateConfig { alpha: 0.01, ..GateConfig::default() }, ..config() };
    assert_eq!(id(strict), whole, "the gate is no part of a policy");
    assert_eq!(id(Config::default()).0, whole.0);
    let greedy = Config { contextual: ContextualConfig { greed: 3.0, ..Default::default() }, ..config() };
    assert_eq!(id(greedy.clone()).0, whole.0);
    assert_ne!(id(greedy).1, whole.1);
}
