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
