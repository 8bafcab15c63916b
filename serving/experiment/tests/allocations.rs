//! A decision allocates nothing, whatever it comes to.

use plaudit_event::Timestamp;
use plaudit_experiment::assign::{Compile, Definition, Plan, Request};
use serde_json::{Value, json};

fn experiment(id: &str, layer: &str, range: [f64; 2]) -> Value {
    json!({
        "id": id, "layer": layer, "range": range,
        "targeting": {
            "tags": {"$elemMatch": {"$ini": ["É", "b"]}}, "version": {"$vgte": "1.2.0"}, "age": {"$gt": 17},
            "$savedGroup": {"id": "pilots"}, "$nor": [{"a.b.0": {"$lt": "x"}}], "build": {"$eq": 7}, "n": {"$size": {"$lte": 3}},
        },
        "ramp": [{"from": 0, "share": 0.1}, {"from": 5, "share": 0.2}],
        "variants": [
            {"id": "a", "weight": 0.5, "policy": "", "forced": ["unit-3"]}, {"id": "b", "weight": 0.5, "policy": ""},
        ],
    })
}

#[test]
fn decisions_allocate_nothing() {
    let mut third = experiment("g", "m", [0.0, 1.0]);
    third["ramp"] = json!([]);
    let definition: Definition<String> = serde_json::from_value(json!({
        "holdout": {"fraction": 0.1, "unit": "user"},
        "groups": {"pilots": {"type": "condition", "condition": {"plan": {"$regex": "^p"}}}},
        "layers": [{"id": "l", "unit": "user", "holdout": 0.1}, {"id": "m", "unit": "session"}],
        "experiments": [experiment("e", "l", [0.0, 0.4]), experiment("f2", "l", [0.4, 0.8]), third],
    }))
    .expect("a definition");
    let mut definition = definition;
    definition.experiments[1].variants[0].forced.clear();
    let plan = Plan::compile(&definition, &Compile::default()).expect("a sound definition");
    let attributes = json!({
        "tags": ["é"], "version": "v1.10.3-beta+build", "age": 18, "plan": "pro", "a": {"b": ["y"]}, "build": 7.0, "n": [1, 2],
    });
    let units: Vec<String> = (0..500).map(|i| format!("unit-{i}")).collect();
    let decide = |reasons: &mut [u32; 16]| {
        for unit in &units {
            let named = [("user", unit.as_str()), ("session", "séance")];
            let request = Request { units: &named, attributes: &attributes, now: Timestamp::from_millis(9) };
            for decision in plan.assign(request) {
                reasons[decision.reason as usize] +=
                    u32::from(decision.weights().len() == 2 || decision.phase().is_none());
            }
        }
    };
    // A regular expression makes its scratch space on first use.
    decide(&mut [0; 16]);
    let mut reasons = [0; 16];
    let counted = allocation_counter::measure(|| decide(&mut reasons));
    assert_eq!(counted.count_total, 0);
    // Splits, a forced variant, both holdouts, free positions and units beyond the share were among them.
    assert!(reasons.iter().filter(|count| **count > 0).count() >= 6, "{reasons:?}");
}
