use plaudit_event::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::assign::{Compile, Definition};

/// Layers are hashed several at a time; alone each must come to the same.
#[test]
fn all_layers_at_once_decide_as_each_alone() {
    let unit = |layer: usize| if (4..6).contains(&layer) { "session" } else { "user" };
    for num_layers in 1..=11 {
        for holdout in
            [json!(null), json!({"fraction": 0.2, "unit": "user"}), json!({"fraction": 0.2, "unit": "conversation"})]
        {
            let layers: Vec<Value> = (0..num_layers)
                .map(|layer| json!({"id": format!("l{layer}"), "unit": unit(layer), "holdout": 0.1, "killed": layer == 2}))
                .collect();
            let experiment = |layer: usize, number: usize| {
                json!({
                    "id": format!("e{layer}-{number}"), "layer": format!("l{layer}"),
                    "range": [0.3 * number as f64, 0.3 * (number + 1) as f64],
                    "variants": [
                        {"id": "a", "weight": 0.5, "policy": "", "forced": if number == 1 { json!(["u5"]) } else { json!([]) }},
                        {"id": "b", "weight": 0.5, "policy": ""},
                    ],
                })
            };
            let experiments: Vec<Value> =
                (0..num_layers).flat_map(|layer| (0..3).map(move |number| experiment(layer, number))).collect();
            let mut definition = json!({"layers": layers, "experiments": experiments});
            if !holdout.is_null() {
                definition["holdout"] = holdout;
            }
            let definition: Definition<String> = serde_json::from_value(definition).unwrap();
            let plan = Plan::compile(&definition, &Compile::default()).unwrap();
            for user in (0..200).map(|user| format!("u{user}")) {
                for units in [
                    vec![("user", user.as_str()), ("session", "séance"), ("conversation", "t3")],
                    vec![("session", "s")],
                ] {
                    let request = Request { units: &units, attributes: &Value::Null, now: Timestamp::from_millis(0) };
                    let seen = |decision: Decision<'_, String>| {
                        (decision.layer().clone(), decision.reason, decision.variant_index(), decision.bucket())
                    };
                    let together: Vec<_> = plan.assign(request).map(seen).collect();
                    let alone: Vec<_> =
                        plan.layers().map(|layer| seen(plan.assign_in(layer, request).unwrap())).collect();
                    assert_eq!(together, alone, "{num_layers} layers, {units:?}");
                }
            }
        }
    }
}

/// Weights follow what was seen; units stay where they are.
#[test]
fn a_cohort_is_split_by_its_weights_and_later_ones_move_nobody() {
    let definition = json!({
        "layers": [{"id": "l", "unit": "user"}],
        "experiments": [{
            "id": "e", "layer": "l", "range": [0.2, 0.8], "allocation": {"metric": "loved", "cohorts": 3},
            "variants": [
                {"id": "a", "weight": 0.5, "policy": ""}, {"id": "b", "weight": 0.25, "policy": ""},
                {"id": "c", "weight": 0.25, "policy": ""},
            ],
        }],
    });
    let definition: Definition<String> = serde_json::from_value(definition).unwrap();
    let cohort = |number: i64, share, weights: [f64; 3]| crate::assign::Cohort {
        from: Timestamp::from_millis(number * 100),
        share,
        weights: weights.to_vec(),
    };
    let all = [cohort(0, 0.2, [0.5, 0.25, 0.25]), cohort(1, 0.4, [0.1, 0.1, 0.8]), cohort(2, 0.6, [0.05, 0.9, 0.05])];
    let id = plaudit_event::ExperimentId::new("e").unwrap();
    let plans: Vec<Plan<String>> = (0..=3)
        .map(|begun| {
            let cohorts = [(id.clone(), all[..begun].to_vec())];
            Plan::compile(&definition, &Compile { cohorts: &cohorts, ..Compile::default() }).unwrap()
        })
        .collect();
    let total = 100_000;
    let mut counts = [[0_u32; 3]; 3];
    for unit in (0..total).map(|unit| format!("u{unit}")) {
        let units = [("user", unit.as_str())];
        let decide = |plan: usize, now| {
            let request = Request { units: &units, attributes: &Value::Null, now: Timestamp::from_millis(now) };
            let decision = plans[plan].assign(request).next().unwrap();
            (decision.reason, decision.phase(), decision.variant_index(), decision.propensity())
        };
        let last = decide(3, 1_000);
        if last.0 == Reason::Unreserved {
            continue;
        }
        let (Reason::Split, Some(phase), Some(variant), Some(propensity)) = last else { panic!("{last:?}") };
        assert!((propensity - all[phase].weights[variant]).abs() < 4e-4, "{propensity} {phase} {variant}");
        counts[phase][variant] += 1;
        assert_eq!(decide(0, 1_000).0, Reason::NotStarted);
        for begun in 1..=3 {
            // Both a process that has not heard of the next cohort and a clock that goes back have fewer units.
            for seen in [decide(begun, 1_000), decide(3, begun as i64 * 100 - 1)] {
                if phase < begun { assert_eq!(seen, last) } else { assert_eq!(seen.0, Reason::Outside) }
            }
        }
    }
    for (cohort, counts) in all.iter().zip(counts) {
        let units: u32 = counts.iter().sum();
        assert!(units.abs_diff(total / 5) < 800, "{units}");
        for (count, weight) in counts.iter().zip(&cohort.weights) {
            assert!((f64::from(*count) / f64::from(units) - weight).abs() < 0.02, "{counts:?}");
        }
    }
}

/// Of many experiments in a layer the one is found by halving, with gaps between them and at both ends.
#[test]
fn every_position_of_a_crowded_layer_finds_its_experiment() {
    for count in [SCANNED, SCANNED + 1, 400] {
        let width = 0.9 / count as f64;
        let experiment = |number: usize| {
            let start = 0.05 + number as f64 * width;
            json!({
                "id": format!("e{number}"), "layer": "l", "range": [start, start + 0.75 * width],
                "variants": [{"id": "a", "weight": 0.5, "policy": ""}, {"id": "b", "weight": 0.5, "policy": ""}],
            })
        };
        // Backwards: a plan puts them in order.
        let experiments: Vec<Value> = (0..count).rev().map(experiment).collect();
        let definition = json!({"layers": [{"id": "l", "unit": "user"}], "experiments": experiments});
        let definition: Definition<String> = serde_json::from_value(definition).unwrap();
        let plan = Plan::compile(&definition, &Compile::default()).unwrap();
        let layer = &plan.layers[0];
        let ranges = || layer.experiments.iter().map(|experiment| experiment.range);
        for position in 0..crate::assign::BUCKETS {
            assert_eq!(layer.holder(position), holder(ranges(), position), "{position} of {count}");
        }
    }
}
