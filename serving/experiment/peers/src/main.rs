//! One experiment with three variants, decided by Plaudit, GrowthBook's Rust library and Unleash's Yggdrasil.
//!
//! `cargo run --release --manifest-path serving/experiment/peers/Cargo.toml`
//!
//! Each gets the same units and decides as its own users call it: a lookup by name, hash, weights, a result that
//! names the variant. Rounds of the three alternate, so that whatever else the machine does meets all of them.

use std::hint::black_box;
use std::time::Instant;

use growthbook_rust::client::{GrowthBookClient, GrowthBookClientBuilder, GrowthBookClientTrait};
use growthbook_rust::model_public::{GrowthBookAttribute, GrowthBookAttributeValue};
use plaudit_event::{LayerId, Timestamp};
use plaudit_experiment::assign::growthbook::Context as OurContext;
use plaudit_experiment::assign::{Compile, Definition, Plan, Reason, Request, Salt};
use serde_json::{Value, json};
use unleash_yggdrasil::{Context, EngineState, UpdateMessage};

/// Few enough that a round seldom loses the processor to others.
const UNITS: usize = 4_000;
const ROUNDS: usize = 300;

fn ours() -> (Plan<String>, LayerId) {
    let definition: Definition<String> = serde_json::from_value(json!({
        "layers": [{"id": "answers", "unit": "user"}],
        "experiments": [{
            "id": "tone", "layer": "answers",
            "variants": [
                {"id": "control", "weight": 0.5, "policy": "a"}, {"id": "one", "weight": 0.3, "policy": "b"},
                {"id": "two", "weight": 0.2, "policy": "c"},
            ],
        }],
    }))
    .expect("a definition");
    let plan = Plan::compile(&definition, &Compile::default()).expect("a sound definition");
    (plan, LayerId::new("answers").expect("an id"))
}

fn features() -> Value {
    json!({"tone": {"defaultValue": "none", "rules": [{
        "key": "tone", "seed": "tone", "hashVersion": 2, "hashAttribute": "id", "variations": ["control", "one", "two"],
        "weights": [0.5, 0.3, 0.2], "coverage": 1,
    }]}})
}

fn growthbook() -> GrowthBookClient {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let builder = GrowthBookClientBuilder::new().features_json(features()).expect("features");
    runtime.block_on(builder.build()).expect("a client")
}

/// `strategy` decides who is in; the variants among those.
fn unleash(strategy: &Value) -> EngineState {
    let engine = EngineState::default();
    let variant = |name: &str, weight: u32| json!({"name": name, "weight": weight, "weightType": "variable", "stickiness": "userId"});
    let features = serde_json::from_value(json!({"version": 2, "features": [{
        "name": "tone", "type": "experiment", "enabled": true, "strategies": [strategy],
        "variants": [variant("control", 500), variant("one", 300), variant("two", 200)],
    }]}))
    .expect("features");
    let _ = engine.take_state(UpdateMessage::FullResponse(features));
    engine
}

fn user(unit: &str) -> Context {
    Context {
        user_id: Some(unit.to_owned()),
        session_id: None,
        environment: None,
        app_name: None,
        current_time: None,
        remote_address: None,
        properties: None,
    }
}

/// What one library did with all units: one line of the table.
struct Contender<'a> {
    name: &'static str,
    round: Box<dyn FnMut() -> usize + 'a>,
    best: f64,
}

fn main() {
    let units: Vec<String> = (0..UNITS).map(|i| format!("018f6f3e-7c3a-7b1e-9a55-{i:012x}")).collect();
    let ((plan, layer), client) = (ours(), growthbook());
    let everybody = unleash(&json!({"name": "default"}));
    // As a layer of ours: a first hash says who is in.
    let rollout = json!({"rollout": "100", "stickiness": "userId", "groupId": "answers"});
    let hashed = unleash(&json!({"name": "flexibleRollout", "parameters": rollout}));
    let contexts: Vec<Context> = units.iter().map(|unit| user(unit)).collect();
    let attributes: Vec<Vec<GrowthBookAttribute>> = units
        .iter()
        .map(|unit| vec![GrowthBookAttribute::new("id".to_owned(), GrowthBookAttributeValue::String(unit.clone()))])
        .collect();
    let ours_on_theirs: Vec<OurContext> = units
        .iter()
        .map(|unit| OurContext::read(&json!({"attributes": {"id": unit}, "features": features()})).expect("a context"))
        .collect();
    let (salt, tone) = (Salt::new("tone"), "tone");
    let mut contenders = [
        Contender {
            name: "raw hash, version 2",
            round: Box::new(|| units.iter().filter(|unit| black_box(salt.bucket(unit)) < 10_000).count()),
            best: f64::INFINITY,
        },
        Contender {
            name: "plaudit, Plan::assign_in",
            round: Box::new(|| {
                let decide = |unit: &&String| {
                    let named = [("user", unit.as_str())];
                    let request = Request { units: &named, attributes: &Value::Null, now: Timestamp::from_millis(1) };
                    black_box(plan.assign_in(&layer, request)).is_some_and(|decision| decision.reason == Reason::Split)
                };
                units.iter().filter(decide).count()
            }),
            best: f64::INFINITY,
        },
        Contender {
            name: "plaudit, a GrowthBook definition",
            round: Box::new(|| {
                let decide = |context: &&OurContext| black_box(context.feature(tone, None)).experiment_result.is_some();
                ours_on_theirs.iter().filter(decide).count()
            }),
            best: f64::INFINITY,
        },
        Contender {
            name: "unleash-yggdrasil 0.21.7, get_variant, for everybody",
            round: Box::new(|| {
                let decide =
                    |context: &&Context| black_box(everybody.get_variant(tone, context, &None)).feature_enabled;
                contexts.iter().filter(decide).count()
            }),
            best: f64::INFINITY,
        },
        Contender {
            name: "unleash-yggdrasil 0.21.7, get_variant, after a rollout",
            round: Box::new(|| {
                let decide = |context: &&Context| black_box(hashed.get_variant(tone, context, &None)).feature_enabled;
                contexts.iter().filter(decide).count()
            }),
            best: f64::INFINITY,
        },
        Contender {
            name: "growthbook-rust 0.4.0, feature_result",
            round: Box::new(|| {
                let decide = |user: &&Vec<GrowthBookAttribute>| {
                    black_box(client.feature_result(tone, Some((*user).clone()))).experiment_result.is_some()
                };
                attributes.iter().filter(decide).count()
            }),
            best: f64::INFINITY,
        },
    ];
    for _ in 0..ROUNDS {
        for contender in &mut contenders {
            let start = Instant::now();
            let decided = (contender.round)();
            let nanoseconds = start.elapsed().as_nanos() as f64 / UNITS as f64;
            assert_eq!(decided, UNITS, "{} does not decide for everybody", contender.name);
            contender.best = contender.best.min(nanoseconds);
        }
    }
    let base = contenders[1].best;
    println!("| {UNITS} UUIDs, best of {ROUNDS} rounds | ns per decision | times ours |\n|---|---|---|");
    for contender in &contenders {
        println!("| {} | {:.1} | {:.2} |", contender.name, contender.best, contender.best / base);
    }
}
