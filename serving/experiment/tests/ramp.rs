//! A million units through a ramp: none that is enrolled ever moves.

use plaudit_event::{LayerId, Timestamp};
use plaudit_experiment::assign::{Compile, Definition, Plan, Request};
use serde_json::{Value, json};

const UNITS: u32 = 1_000_000;
const SHARES: [f64; 5] = [0.01, 0.05, 0.25, 0.5, 1.0];

#[test]
fn a_ramp_from_one_percent_to_everybody_moves_none_of_a_million_units() {
    let ramp: Vec<Value> =
        SHARES.iter().enumerate().map(|(step, share)| json!({"from": step * 1_000, "share": share})).collect();
    let definition: Definition<String> = serde_json::from_value(json!({
        "layers": [{"id": "l", "unit": "user"}],
        "experiments": [{
            "id": "ramped", "layer": "l", "ramp": ramp,
            "variants": [
                {"id": "a", "weight": 0.5, "policy": ""}, {"id": "b", "weight": 0.3, "policy": ""},
                {"id": "c", "weight": 0.2, "policy": ""},
            ],
        }],
    }))
    .expect("a definition");
    let plan = Plan::compile(&definition, &Compile::default()).expect("a sound definition");
    let layer = LayerId::new("l").expect("an id");
    let mut enrolled = [0_u32; SHARES.len()];
    for number in 0..UNITS {
        let unit = format!("user-{number}");
        let units = [("user", unit.as_str())];
        let mut last = None;
        for (step, count) in enrolled.iter_mut().enumerate() {
            let now = Timestamp::from_millis(i64::try_from(step).expect("small") * 1_000);
            let request = Request { units: &units, attributes: &Value::Null, now };
            let variant = plan.assign_in(&layer, request).expect("the layer").variant_index();
            assert!(last.is_none() || variant == last, "{unit} moved from {last:?} to {variant:?}");
            *count += u32::from(variant.is_some());
            last = variant;
        }
    }
    for (count, share) in enrolled.iter().zip(SHARES) {
        let expected = f64::from(UNITS) * share;
        // Six standard deviations of a binomial count.
        let slack = 6.0 * (expected * (1.0 - share)).sqrt();
        assert!((f64::from(*count) - expected).abs() <= slack, "{count} of {expected}");
    }
}
