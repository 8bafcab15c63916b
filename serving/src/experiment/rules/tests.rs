use serde_json::{Value, json};

use super::*;
use crate::experiment::{Plan, running};
use plaudit_experiment::assign::{Compile, Run};

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
        running(&Plan::compile(&definition, &Compile { runs, is_served }).unwrap())
    };
    let run = Run { template: definition.experiments[0].id.clone(), id: ExperimentId::new("x-1").unwrap() };
    let runs = [run];
    assert!(compiled(&[], &|_| true).is_empty(), "no candidate");
    let [experiment] = &compiled(&runs, &|policy| *policy != PolicyRef::Previous)[..] else { panic!("one") };
    assert_eq!((experiment.id.as_str(), experiment.control.as_str()), ("x-1", "a"));
    assert_eq!(experiment.treatment.as_ref().unwrap().as_str(), "b");
    let variants: Vec<(&str, f64)> = experiment.variants.iter().map(|(id, weight)| (id.as_str(), *weight)).collect();
    assert_eq!(variants, [("a", 0.5), ("b", 0.5)], "among those who are served");
    assert!(compiled(&runs, &|policy| *policy != PolicyRef::Champion).is_empty(), "nobody to compare with");
}
