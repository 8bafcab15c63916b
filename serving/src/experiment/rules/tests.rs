use serde_json::{Value, json};

use super::*;
use crate::experiment::{Plan, running};
use plaudit_event::Timestamp;
use plaudit_experiment::assign::{Compile, Run, StepConfig};

fn definition(experiments: &Value) -> Definition {
    serde_json::from_value(json!({
        "layers": [{"id": "generation", "unit": "user"}, {"id": "other", "unit": "user"}],
        "experiments": experiments,
    }))
    .unwrap()
}

fn two(rolling: bool, policies: [&str; 2]) -> Value {
    let [control, treatment] = policies;
    json!({"id": "x", "layer": "generation", "rolling": rolling, "variants": [
        {"id": "a", "weight": 0.5, "policy": control}, {"id": "b", "weight": 0.5, "policy": treatment},
    ]})
}

fn said(experiments: &Value) -> Vec<String> {
    validate("assignment", &definition(experiments)).iter().map(ToString::to_string).collect()
}

#[test]
fn the_default_is_sound_and_the_candidate_meets_the_champion() {
    let definition = default_definition();
    assert_eq!(validate("", &definition), []);
    assert_eq!(rolling(&definition).unwrap().control().unwrap().as_str(), "control");
}

#[test]
fn a_candidate_is_compared_with_the_champion() {
    assert!(said(&json!([two(true, ["champion", "treatment"])])).is_empty());
    assert_eq!(
        said(&json!([two(true, ["previous", "treatment"])])),
        [
            "assignment.experiments[0].control: must be a variant with policy `champion` when `rolling`, got `a` with `previous`"
        ]
    );
    assert_eq!(
        said(&json!([two(true, ["champion", "p-1"])])),
        [
            "assignment.experiments[0].variants: must have exactly one variant with policy `treatment` when `rolling`, got 0"
        ]
    );
    assert_eq!(
        said(&json!([two(false, ["champion", "treatment"])])),
        ["assignment.experiments[0].rolling: must be true for an experiment with policy `treatment`, got false"]
    );
}

#[test]
fn the_arms_of_a_candidate_are_equal_and_its_delivery_has_the_steps() {
    let mut experiment = two(true, ["champion", "treatment"]);
    experiment["variants"][0]["weight"] = json!(0.75);
    experiment["variants"][1]["weight"] = json!(0.25);
    experiment["ramp"] = json!([{"from": 0, "share": 0.5}]);
    let expected = [
        "assignment.experiments[0].variants: must be two of equal weight when `rolling`, got weights 0.75, 0.25",
        "assignment.experiments[0].ramp: must be empty when `rolling`: `serving.delivery` has the steps",
    ];
    assert_eq!(said(&json!([experiment])), expected);
}

/// Growing appends whole buckets to both arms alike, at every share that a delivery may have.
#[test]
fn a_run_enrols_both_arms_alike_at_every_step() {
    let definition = definition(&json!([two(true, ["champion", "treatment"])]));
    let ramp = [1, 7, 450, 1_000, 2_500, 3_333, 5_000].map(|buckets: i32| StepConfig {
        from: Timestamp::from_millis(i64::from(buckets)),
        share: 2.0 * f64::from(buckets) / 1e4,
    });
    let template = definition.experiments[0].id.clone();
    let runs = [Run { template, id: ExperimentId::new("x-1").unwrap(), ramp: ramp.to_vec() }];
    let plan = Plan::compile(&definition, &Compile { runs: &runs, ..Compile::default() }).unwrap();
    let experiment = &plan.experiments(&definition.layers[0].id)[0];
    for (phase, step) in experiment.phases().iter().zip(ramp) {
        assert_eq!((phase.weights(), phase.from), (&[0.5, 0.5][..], step.from));
        assert!((phase.enrolled() - step.share).abs() < 1e-9, "{} {}", phase.enrolled(), step.share);
    }
    assert_eq!(experiment.phase_at(Timestamp::from_millis(0)), None, "nobody before the first step");
}

#[test]
fn one_layer_decides_who_answers() {
    let mut elsewhere = two(false, ["champion", "p-1"]);
    elsewhere["id"] = json!("y");
    elsewhere["layer"] = json!("other");
    let said = said(&json!([two(false, ["champion", "p-1"]), elsewhere]));
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("assignment.experiments[1].layer: must be `generation`"), "{said:?}");
}

#[test]
fn a_policy_must_be_a_name() {
    let said = said(&json!([two(false, ["champion", "a policy"])]));
    assert!(said.len() == 1 && said[0].starts_with("assignment.experiments[0].variants[1].policy"), "{said:?}");
}

#[test]
fn what_runs_is_what_somebody_serves() {
    let definition = definition(&json!([{
    "id": "x", "layer": "generation", "rolling": true, "variants": [
        {"id": "a", "weight": 0.25, "policy": "champion"},
        {"id": "b", "weight": 0.25, "policy": "treatment"},
        {"id": "c", "weight": 0.5, "policy": "previous"},
    ]}]));
    let compiled = |runs: &[Run], is_served: &dyn Fn(&PolicyRef) -> bool| {
        running(&Plan::compile(&definition, &Compile { runs, is_served, ..Compile::default() }).unwrap())
    };
    let run =
        Run { template: definition.experiments[0].id.clone(), id: ExperimentId::new("x-1").unwrap(), ramp: Vec::new() };
    let runs = [run];
    assert!(compiled(&[], &|_| true).is_empty(), "no candidate");
    let [experiment] = &compiled(&runs, &|policy| *policy != PolicyRef::Previous)[..] else { panic!("one") };
    assert_eq!((experiment.id.as_str(), experiment.control.as_str()), ("x-1", "a"));
    assert_eq!(experiment.treatment.as_ref().unwrap().as_str(), "b");
    let variants: Vec<(&str, f64)> = experiment.variants.iter().map(|(id, weight)| (id.as_str(), *weight)).collect();
    assert_eq!(variants, [("a", 0.5), ("b", 0.5)], "among those who are served");
    assert!(compiled(&runs, &|policy| *policy != PolicyRef::Champion).is_empty(), "nobody to compare with");
}
