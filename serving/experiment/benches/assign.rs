//! Assignment: nanoseconds and allocations per decision.
//!
//! `cargo bench -p plaudit-experiment --bench assign`
#![expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]

use std::hint::black_box;
use std::time::Instant;

use plaudit_event::{LayerId, Timestamp};
use plaudit_experiment::assign::{Compile, Definition, Plan, Request, Salt};
use serde_json::{Value, json};

/// Few enough that a round seldom loses the processor to others.
const UNITS: usize = 4_000;
const ROUNDS: usize = 500;

/// Best of some rounds, in nanoseconds per unit.
fn best(units: &[String], mut call: impl FnMut(&str)) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for unit in units {
            call(black_box(unit));
        }
        best = best.min(start.elapsed().as_nanos() as f64 / UNITS as f64);
    }
    best
}

fn experiment(id: &str, layer: &str, range: [f64; 2]) -> Value {
    json!({
        "id": id, "layer": layer, "range": range,
        "variants": [
            {"id": "control", "weight": 0.5, "policy": "champion"}, {"id": "one", "weight": 0.3, "policy": "p1"},
            {"id": "two", "weight": 0.2, "policy": "p2"},
        ],
    })
}

fn plan(definition: Value) -> Plan<String> {
    let definition: Definition<String> = serde_json::from_value(definition).expect("a definition");
    Plan::compile(&definition, &Compile::default()).expect("a sound definition")
}

fn simple() -> Value {
    json!({"layers": [{"id": "l", "unit": "user"}], "experiments": [experiment("e", "l", [0.0, 1.0])]})
}

fn guarded() -> Value {
    let mut definition = simple();
    definition["holdout"] = json!({"fraction": 0.01, "unit": "user"});
    definition["layers"][0]["holdout"] = json!(0.05);
    definition["experiments"][0]["range"] = json!([0.0, 0.95]);
    definition["experiments"][0]["ramp"] =
        json!([{"from": 0, "share": 0.01}, {"from": 10, "share": 0.25}, {"from": 20, "share": 0.95}]);
    definition
}

fn targeted() -> Value {
    let mut definition = guarded();
    definition["experiments"][0]["targeting"] =
        json!({"country": {"$in": ["US", "CA", "GB"]}, "age": {"$gte": 18}, "version": {"$vgte": "2.10.0"}});
    definition
}

fn crowded(layers: usize, experiments: usize) -> Value {
    let width = 1.0 / experiments as f64;
    let mut list = Vec::new();
    for layer in 0..layers {
        for number in 0..experiments {
            let range = [number as f64 * width, (number + 1) as f64 * width];
            list.push(experiment(&format!("e{layer}-{number}"), &format!("l{layer}"), range));
        }
    }
    let layers: Vec<Value> = (0..layers).map(|layer| json!({"id": format!("l{layer}"), "unit": "user"})).collect();
    json!({"layers": layers, "experiments": list})
}

fn main() {
    // UUIDs are what real unit ids look like: 36 bytes.
    let units: Vec<String> = (0..UNITS).map(|i| format!("018f6f3e-7c3a-7b1e-9a55-{i:012x}")).collect();
    let attributes = json!({"country": "CA", "age": 34, "version": "2.11.3", "plan": "pro"});
    let salt = Salt::new("experiment");
    println!("| {UNITS} UUIDs, best of {ROUNDS} rounds | ns per unit | allocations |\n|---|---|---|");
    let line = |name: &str, call: &mut dyn FnMut(&str)| {
        let nanoseconds = best(&units, &mut *call);
        let counted = allocation_counter::measure(|| units.iter().for_each(|unit| call(unit)));
        println!("| {name} | {nanoseconds:.1} | {} |", counted.count_total);
    };
    line("raw hash, version 2", &mut |unit| {
        black_box(salt.bucket(unit));
    });
    let cases = [
        ("one experiment", simple()),
        ("with holdouts and a ramp", guarded()),
        ("with targeting by three attributes too", targeted()),
        ("eight experiments in the layer", crowded(1, 8)),
        ("1,000 experiments in the layer", crowded(1, 1_000)),
        ("three layers of four, all decided", crowded(3, 4)),
    ];
    for (name, definition) in cases {
        let plan = plan(definition);
        let first: LayerId = plan.layers().next().expect("a layer").clone();
        let is_one = plan.layers().count() == 1;
        line(name, &mut |unit| {
            let named = [("user", unit)];
            let request = Request { units: &named, attributes: &attributes, now: Timestamp::from_millis(30) };
            if is_one {
                black_box(plan.assign_in(&first, request));
            } else {
                for decision in plan.assign(request) {
                    black_box(decision);
                }
            }
        });
    }
}
