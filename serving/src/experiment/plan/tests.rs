use proptest::prelude::*;

use super::*;
use crate::experiment::{VariantConfig, check_change, validate};

fn unit(index: usize) -> UnitId {
    UnitId::new(format!("user-{index}")).unwrap()
}

fn layer_id(name: &str) -> LayerId {
    LayerId::new(name).unwrap()
}

fn variant(id: &str, weight: f64) -> VariantConfig {
    VariantConfig { id: VariantId::new(id).unwrap(), weight, policy: PolicyRef::Champion }
}

fn experiment(id: &str, capacity: f64, share: f64, weights: &[f64]) -> ExperimentConfig {
    let variants = weights.iter().enumerate().map(|(i, w)| variant(&format!("v{i}"), *w));
    ExperimentConfig {
        id: ExperimentId::new(id).unwrap(),
        capacity,
        share,
        control: None,
        variants: variants.collect(),
    }
}

fn layer(id: &str, experiments: Vec<ExperimentConfig>) -> LayerConfig {
    LayerConfig { id: layer_id(id), salt: None, experiments }
}

/// Chi-square statistic of `counts` against `expected` counts.
fn chi2(counts: &[f64], expected: &[f64]) -> f64 {
    counts.iter().zip(expected).map(|(c, e)| (c - e).powi(2) / e).sum()
}

#[test]
fn shares_and_weights_are_met() {
    const UNITS: usize = 200_000;
    let layers =
        [layer("l", vec![experiment("a", 0.5, 0.3, &[1.0, 2.0, 7.0]), experiment("b", 0.5, 0.2, &[1.0, 1.0])])];
    let plan = Plan::compile(&layers, None);
    let mut counts = std::collections::BTreeMap::new();
    for index in 0..UNITS {
        let name = plan.assign(&unit(index), &layer_id("l"));
        let name = name.map_or("none".to_owned(), |a| format!("{}/{}", a.experiment, a.variant));
        *counts.entry(name).or_insert(0.0) += 1.0;
    }
    let probabilities = [("a/v0", 0.03), ("a/v1", 0.06), ("a/v2", 0.21), ("b/v0", 0.1), ("b/v1", 0.1), ("none", 0.5)];
    let observed: Vec<f64> = probabilities.iter().map(|(name, _)| counts[*name]).collect();
    let expected: Vec<f64> = probabilities.iter().map(|(_, p)| p * UNITS as f64).collect();
    assert_eq!(observed.iter().sum::<f64>(), UNITS as f64);
    // 0.999 quantile of chi-square with 5 degrees of freedom.
    assert!(chi2(&observed, &expected) < 20.515, "{counts:?}");
}

#[test]
fn two_layers_are_independent() {
    const UNITS: usize = 100_000;
    let quarters = [1.0, 1.0, 1.0, 1.0];
    let layers = [
        layer("left", vec![experiment("a", 1.0, 1.0, &quarters)]),
        layer("right", vec![experiment("b", 1.0, 1.0, &quarters)]),
    ];
    let plan = Plan::compile(&layers, None);
    let mut cells = vec![0.0; 16];
    for index in 0..UNITS {
        let digits: Vec<usize> =
            plan.arms(&unit(index)).map(|arm| arm.assignment.variant.as_str()[1..].parse().unwrap()).collect();
        cells[digits[0] * 4 + digits[1]] += 1.0;
    }
    // 0.999 quantile of chi-square with 15 degrees of freedom.
    assert!(chi2(&cells, &[UNITS as f64 / 16.0; 16]) < 37.697, "{cells:?}");
}

#[test]
fn enrolment_says_nothing_about_the_variant_nor_one_run_about_the_next() {
    const UNITS: usize = 100_000;
    let mut rolling = experiment("roll", 1.0, 1.0, &[1.0, 1.0]);
    rolling.variants[1].policy = PolicyRef::Treatment;
    let layers = [layer("l", vec![rolling])];
    let plan = |run: &str| {
        let run = Run { template: ExperimentId::new("roll").unwrap(), id: ExperimentId::new(run).unwrap() };
        Plan::compile(&layers, Some(&run))
    };
    let (first, second) = (plan("roll-1"), plan("roll-2"));
    let mut cells = vec![0.0; 4];
    for index in 0..UNITS {
        let of = |plan: &Plan| {
            let assignment = plan.assign(&unit(index), &layer_id("l")).unwrap().clone();
            usize::from(assignment.variant.as_str() == "v1")
        };
        cells[of(&first) * 2 + of(&second)] += 1.0;
    }
    // 0.999 quantile of chi-square with 3 degrees of freedom.
    assert!(chi2(&cells, &[UNITS as f64 / 4.0; 4]) < 16.266, "{cells:?}");
    assert!(Plan::compile(&layers, None).running(|_| true).is_empty(), "rolling without a candidate enrols nobody");
}

#[test]
fn a_known_unit_keeps_its_place_for_ever() {
    // Golden values: a change here moves users of running experiments.
    let layers = [layer("generation", vec![experiment("love", 1.0, 1.0, &[1.0, 1.0, 1.0, 1.0])])];
    let plan = Plan::compile(&layers, None);
    let variants: Vec<String> =
        (0..12).map(|i| plan.assign(&unit(i), &layer_id("generation")).unwrap().variant.to_string()).collect();
    assert_eq!(variants.join(" "), GOLDEN);
}

const GOLDEN: &str = "v2 v3 v1 v1 v2 v1 v3 v1 v3 v1 v2 v3";

proptest! {
    #[test]
    fn ramps_move_nobody(from in 0.0..1.0_f64, to in 0.0..1.0_f64, weight in 0.01..1.0_f64, other in 0.0..0.5_f64) {
        let (low, high) = if from < to { (from, to) } else { (to, from) };
        let make = |share: f64| {
            let behind = experiment("behind", 0.5, other, &[1.0, 1.0]);
            layer("l", vec![experiment("a", 0.5, share * 0.5, &[weight, 1.0 - weight * 0.5]), behind])
        };
        let (before, after) = (make(low), make(high));
        for experiment in &before.experiments {
            prop_assert!(check_change("layers", &before, &experiment.id, std::slice::from_ref(&after)).is_empty());
        }
        let (old, new) = (Plan::compile(&[before], None), Plan::compile(&[after], None));
        for index in 0..500 {
            let unit = unit(index);
            if let Some(assignment) = old.assign(&unit, &layer_id("l")) {
                prop_assert_eq!(Some(assignment), new.assign(&unit, &layer_id("l")));
            }
        }
    }
}

#[test]
fn every_fault_is_reported_with_its_path() {
    let mut bad = experiment("a", 1.5, 0.3, &[1.0, -1.0]);
    bad.control = Some(VariantId::new("nobody").unwrap());
    bad.variants[0].policy = PolicyRef::Fixed("not an id".to_owned());
    let layers = [layer("l", vec![bad, experiment("a", 0.1, 0.2, &[1.0])]), layer("l", vec![])];
    let problems = validate("layers", &layers);
    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    for expected in [
        "layers[0].experiments[0].capacity",
        "layers[0].experiments[0].variants[1].weight",
        "layers[0].experiments[0].variants[0].policy",
        "layers[0].experiments[0].control",
        "layers[0].experiments[1].id",
        "layers[0].experiments[1].share",
        "layers[0].experiments[1].variants",
        "layers[0].experiments",
        "layers[1].id",
    ] {
        assert!(paths.contains(&expected), "{expected} in {paths:?}");
    }
    assert_eq!(paths.len(), 9, "{problems:?}");
}

/// A rolling experiment with these variants, named after their policies.
fn rolling(control: Option<&str>, policies: &[&str]) -> Vec<LayerConfig> {
    let mut rolling = experiment("roll", 1.0, 1.0, &[]);
    rolling.control = control.map(|name| VariantId::new(name).unwrap());
    let variant = |name: &&str| VariantConfig { policy: PolicyRef::from((*name).to_owned()), ..variant(name, 1.0) };
    rolling.variants = policies.iter().map(variant).collect();
    vec![layer("l", vec![rolling])]
}

#[test]
fn a_candidate_is_compared_with_the_champion() {
    for (control, policies) in [
        (None, &["champion", "treatment"][..]),
        (Some("champion"), &["treatment", "champion"]),
        (None, &["champion", "gen-other", "treatment"]),
    ] {
        assert!(validate("layers", &rolling(control, policies)).is_empty(), "{control:?} {policies:?}");
    }
    for (control, policies, path, said) in [
        (None, &["treatment", "champion"][..], "control", "got `treatment` with `treatment`"),
        (Some("gen-a"), &["champion", "treatment", "gen-a"], "control", "must be a variant with the policy `champion`"),
        (Some("treatment"), &["champion", "treatment"], "control", "got `treatment` with `treatment`"),
    ] {
        let problems = validate("layers", &rolling(control, policies));
        let [problem] = &problems[..] else { panic!("{problems:?}") };
        assert_eq!(problem.path, format!("layers[0].experiments[0].{path}"));
        assert!(problem.message.contains(said), "{problem}");
    }
    let mut two = rolling(None, &["champion", "treatment", "other"]);
    two[0].experiments[0].variants[2].policy = PolicyRef::Treatment;
    let problems = validate("layers", &two);
    assert_eq!(
        problems[0].to_string(),
        "layers[0].experiments[0].variants: exactly one may use the policy `treatment`, got 2"
    );
}

#[test]
fn one_layer_decides_who_answers() {
    let layers = ["a", "b", "c"].map(|id| layer(id, vec![experiment(id, 1.0, 1.0, &[1.0, 1.0])]));
    let paths: Vec<String> = validate("layers", &layers).into_iter().map(|problem| problem.path).collect();
    assert_eq!(paths, ["layers[1].experiments", "layers[2].experiments"]);
    assert!(validate("layers", &[layer("empty", vec![]), layers[0].clone()]).is_empty());
}

#[test]
fn a_variant_that_nobody_serves_is_left_out() {
    let layers = rolling(None, &["champion", "previous", "treatment"]);
    let id = |name: &str| ExperimentId::new(name).unwrap();
    let plan = Plan::compile(&layers, Some(&Run { template: id("roll"), id: id("roll-1") }));
    let running = plan.running(|policy| *policy != PolicyRef::Previous).remove(0);
    let names: Vec<&str> = running.variants.iter().map(|(variant, _)| variant.as_str()).collect();
    assert_eq!(names, ["champion", "treatment"]);
    assert_eq!(running.treatment.as_ref().unwrap().as_str(), "treatment");
    for (_, probability) in &running.variants {
        assert!((probability - 0.5).abs() < 1e-9);
    }
    assert!(plan.running(|policy| *policy == PolicyRef::Champion).is_empty());
    assert!(plan.running(|policy| *policy != PolicyRef::Champion).is_empty());
}
