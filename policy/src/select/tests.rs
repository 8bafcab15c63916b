mod context;

use plaudit_event::{
    Context, Example, ExposureId, Label, Objective, PolicyId, Propensity, Seed, Surface, Timestamp, UnitId,
};
use rand::Rng;

use super::*;
use crate::Candidate;

fn example(exposure: u32, item: &str, revision: u32, label: Option<f32>) -> Example {
    let labels = label.map(|value| (Objective::new("click"), Label { value, weight: 1.0 }));
    let mut attributes = serde_json::Map::new();
    attributes.insert(DECISION_ATTRIBUTE.to_owned(), "headline".into());
    Example {
        exposure_id: ExposureId::new(format!("e{exposure}")).unwrap(),
        revision,
        unit_id: UnitId::new("u").unwrap(),
        surface: Surface::Decide,
        context: Context::default(),
        response: String::new(),
        item_id: item.to_owned(),
        position: 0,
        policy_id: PolicyId::new("select").unwrap(),
        propensity: None,
        assignments: Vec::new(),
        attributes,
        labels: labels.into_iter().collect(),
        replaced: Default::default(),
        remarks: Default::default(),
        exposure_ts: Timestamp::from_millis(0),
        ts: Timestamp::from_millis(0),
    }
}

fn thompson(change: impl FnOnce(&mut Config)) -> Thompson {
    // Exact counts; forgetting has its own tests.
    let mut config = Config { half_life_examples: 0.0, ..Config::default() };
    change(&mut config);
    Thompson::new(config).unwrap()
}

fn candidates(items: &[&str]) -> Vec<Candidate> {
    items
        .iter()
        .map(|item| Candidate {
            item_id: (*item).to_owned(),
            content: format!("text of {item}"),
            features: Default::default(),
        })
        .collect()
}

fn count(thompson: &Thompson, item: &str) -> (f64, f64) {
    let counts = thompson.counts("headline");
    let found = counts.iter().find(|(name, _)| name == item);
    found.map_or((0.0, 0.0), |(_, count)| (count.positive, count.negative))
}

#[test]
fn a_later_revision_replaces_the_earlier_label() {
    let policy = thompson(|_| {});
    assert_eq!(policy.fold(&example(1, "a", 0, Some(0.0))), Folded::Counted);
    assert_eq!(policy.fold(&example(1, "a", 0, Some(0.0))), Folded::Stale);
    assert_eq!(count(&policy, "a"), (0.0, 1.0));
    assert_eq!(policy.fold(&example(1, "a", 2, Some(1.0))), Folded::Corrected);
    assert_eq!(count(&policy, "a"), (1.0, 0.0));
    assert_eq!(policy.fold(&example(1, "a", 1, Some(0.0))), Folded::Stale);
    assert_eq!(policy.fold(&example(1, "a", 3, None)), Folded::Corrected);
    assert_eq!(count(&policy, "a"), (0.0, 0.0));
}

#[test]
fn examples_of_others_are_left_out() {
    let policy = thompson(|_| {});
    assert_eq!(policy.fold(&example(1, "a", 0, None)), Folded::NotOurs);
    let mut other = example(2, "a", 0, Some(1.0));
    other.attributes.clear();
    assert_eq!(policy.fold(&other), Folded::NotOurs);
    assert!(policy.decisions().is_empty());
}

#[test]
fn memory_stays_within_its_bounds() {
    let policy = thompson(|config| {
        config.max_items = 3;
        config.max_corrections = 2;
        config.max_decisions = 2;
    });
    for i in 0..10 {
        policy.fold(&example(i, &format!("item{i}"), 0, Some(1.0)));
    }
    let kept: Vec<String> = policy.counts("headline").into_iter().map(|(item, _)| item).collect();
    assert_eq!(kept, ["item7", "item8", "item9"]);
    assert_eq!(policy.fold(&example(7, "item7", 1, Some(0.0))), Folded::Forgotten);
    assert_eq!(policy.fold(&example(9, "item9", 1, Some(0.0))), Folded::Corrected);
    for name in ["x", "y", "z"] {
        let mut other = example(100, "a", 0, Some(1.0));
        other.exposure_id = ExposureId::new(name).unwrap();
        other.attributes.insert(DECISION_ATTRIBUTE.to_owned(), name.into());
        policy.fold(&other);
    }
    assert_eq!(policy.decisions(), ["y", "z"]);
}

#[test]
fn the_same_examples_give_the_same_propensities() {
    let mut rng = Seed::new(3).stream("labels");
    let log: Vec<Example> = (0..300)
        .map(|i| example(i, ["a", "b", "c"][i as usize % 3], 0, Some(f32::from(u8::from(rng.random_bool(0.2))))))
        .collect();
    let (first, second) = (thompson(|_| {}), thompson(|_| {}));
    for entry in &log {
        first.fold(entry);
        // Choosing in between fills the cache and must not change what is learned.
        first.propensities("headline", &["a", "b", "c"]).unwrap();
    }
    for entry in &log {
        second.fold(entry);
    }
    assert_eq!(
        first.propensities("headline", &["a", "b", "c"]).unwrap(),
        second.propensities("headline", &["a", "b", "c"]).unwrap()
    );
    assert_eq!(first.id(), second.id());
}

#[test]
fn items_are_drawn_with_the_propensity_that_is_logged() {
    let policy = thompson(|config| config.explore_floor = 0.02);
    for i in 0..40 {
        policy.fold(&example(i, "a", 0, Some(f32::from(u8::from(i % 4 == 0)))));
        policy.fold(&example(100 + i, "b", 0, Some(f32::from(u8::from(i % 3 == 0)))));
    }
    let choices = candidates(&["a", "b", "new"]);
    let mut rng = Seed::new(5).stream("draws");
    let num_draws = 40_000;
    let mut drawn = [0_u32; 3];
    let mut logged = [0.0; 3];
    for _ in 0..num_draws {
        let decision = policy.choose("headline", &choices, &mut rng).unwrap();
        let chosen = decision.chosen as usize;
        drawn[chosen] += 1;
        logged[chosen] = decision.propensity.unwrap().value();
        assert!((decision.propensities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
    for (times, p) in drawn.into_iter().zip(logged) {
        assert!(p >= 0.02);
        // Five standard errors of a binomial share.
        let error = 5.0 * (p * (1.0 - p) / f64::from(num_draws)).sqrt();
        assert!((f64::from(times) / f64::from(num_draws) - p).abs() < error);
    }
}

#[test]
fn the_floor_is_exact_and_limited() {
    let policy = thompson(|config| config.explore_floor = 0.05);
    for i in 0..2_000 {
        policy.fold(&example(i, "good", 0, Some(1.0)));
        policy.fold(&example(10_000 + i, "bad", 0, Some(0.0)));
    }
    let p = policy.propensities("headline", &["good", "bad"]).unwrap();
    assert!((p[1] - 0.05).abs() < 1e-12 && (p[0] - 0.95).abs() < 1e-12);
    let items: Vec<String> = (0..99).map(|i| format!("bad{i}")).collect();
    let mut names: Vec<&str> = items.iter().map(String::as_str).collect();
    names.push("good");
    let p = policy.propensities("headline", &names).unwrap();
    // 100 floors of 0.05 would take everything; they are lowered to half of all decisions.
    assert!(p[99] > 0.4 && p[0] >= 0.005);
}

#[test]
fn learning_finds_the_best_item() {
    let policy = thompson(|_| {});
    let rates = [0.05, 0.08, 0.2];
    let choices = candidates(&["a", "b", "c"]);
    let mut rng = Seed::new(11).stream("world");
    let mut late_best = 0;
    for i in 0..3_000 {
        let chosen = policy.choose("headline", &choices, &mut rng).unwrap().chosen as usize;
        let clicked = rng.random_bool(rates[chosen]);
        policy.fold(&example(i, &choices[chosen].item_id, 0, Some(f32::from(u8::from(clicked)))));
        if i >= 2_000 && chosen == 2 {
            late_best += 1;
        }
    }
    assert!(late_best > 900, "{late_best} of the last 1,000");
}

#[test]
fn bad_candidate_lists_are_refused() {
    let policy = thompson(|config| config.max_candidates = 2);
    let mut rng = Seed::new(1).stream("x");
    for items in [&[][..], &["a", "b", "c"], &["a", "a"]] {
        let error = policy.choose("headline", &candidates(items), &mut rng).unwrap_err();
        assert!(error.to_string().contains("candidates"), "{error}");
    }
    let one = policy.choose("headline", &candidates(&["a"]), &mut rng).unwrap();
    assert_eq!(one.propensity, Some(Propensity::ONE));
}

#[test]
fn an_invalid_configuration_names_every_key() {
    let config = Config { prior_positive: 0.0, explore_floor: 0.9, max_candidates: 0, ..Config::default() };
    let text = Thompson::new(config).unwrap_err().to_string();
    for key in ["select.prior_positive", "select.explore_floor", "select.max_candidates"] {
        assert!(text.contains(key), "{text}");
    }
}
