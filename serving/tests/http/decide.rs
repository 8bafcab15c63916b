//! `/v1/decide`.

use plaudit_event::{Example, Exposure, Surface};
use plaudit_ingest::log::Topic;
use plaudit_policy::select::{GateConfig, Kind};
use plaudit_serving::Config;
use serde_json::{Value, json};

use crate::support::{World, example};

const DECIDE: &str = "/v1/decide";

fn headline(unit: &str) -> Value {
    json!({
        "unit_id": unit,
        "decision": "headline",
        "context": {"query": "eggs"},
        "candidates": [{"item_id": "a", "content": "Eggs!"}, {"item_id": "b", "content": "Eggs?"}],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_logged_with_its_propensity() {
    let world = World::new();
    let server = world.start(Config::default()).await;
    let answer = server.ask(DECIDE, &headline("u1")).await;
    let propensities: Vec<f64> = serde_json::from_value(answer["propensities"].clone()).unwrap();
    assert!((propensities.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    let chosen = answer["chosen"]["item_id"].as_str().unwrap();
    let index = usize::from(chosen == "b");
    assert_eq!(answer["propensity"], propensities[index]);
    assert_eq!(answer["variant"], Value::Null);
    let exposure = world.exposures().await.remove(0);
    assert_eq!(exposure.exposure_id.as_str(), answer["exposure_id"].as_str().unwrap());
    assert_eq!((exposure.surface, exposure.slate.len()), (Surface::Decide, 2));
    assert_eq!(exposure.slate[exposure.chosen as usize].item_id, chosen);
    assert_eq!(exposure.propensity.unwrap().value(), propensities[index]);
    assert_eq!(exposure.attributes["decision"], "headline");
    assert_eq!(exposure.policy_id.as_str(), answer["policy_id"].as_str().unwrap());
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_learn_from_examples() {
    let world = World::new();
    let server = world.start(Config::default()).await;
    let clicked = (0..60).map(|index| {
        let (item, click) = if index % 2 == 0 { ("a", 0.0) } else { ("b", 1.0) };
        let mut example = example(&format!("e{index}"), "u", Vec::new(), &[("click", click)]);
        example.surface = Surface::Decide;
        example.item_id = item.to_owned();
        example.attributes.insert("decision".to_owned(), json!("headline"));
        example
    });
    world.attribute(clicked.collect()).await;
    server.serving.catch_up().await.unwrap();
    let answer = server.ask(DECIDE, &headline("u1")).await;
    assert!(answer["propensities"][1].as_f64().unwrap() > 0.95, "{answer}");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_name_the_field() {
    let world = World::new();
    let server = world.start(Config::default()).await;
    let edit = |field: &str, value: Value| {
        let mut body = headline("u1");
        body[field] = value;
        body
    };
    let cases = [
        (edit("candidates", json!([])), "candidates"),
        (edit("candidates", json!([{"item_id": "a"}, {"item_id": "a"}])), "candidates"),
        (edit("candidates", json!([{"content": "x"}])), "candidates[0]"),
        (edit("decision", json!("  ")), "decision"),
        (edit("unit_id", json!("two words")), "unit_id"),
        (edit("unit_id", json!(5)), "unit_id"),
        (edit("decision", json!("d".repeat(129))), "decision"),
        (edit("session_id", json!("s".repeat(257))), "session_id"),
        (edit("candidates", json!([{"item_id": "a"}, {"item_id": ""}])), "candidates[1].item_id"),
        (edit("candidates", json!([{"item_id": "a".repeat(257)}])), "candidates[0].item_id"),
        (edit("features", json!({"age": 101})), "features.age"),
        (edit("features", json!({"tags": ["x"]})), "features.tags"),
        (edit("features", json!(5)), "features"),
        (edit("candidates", json!([{"item_id": "a", "features": {"length": null}}])), "candidates[0].features.length"),
    ];
    for (body, field) in cases {
        let error = server.refused(DECIDE, &body, 400).await;
        assert_eq!(error["field"], field, "{body} {error}");
    }
    let large = "x".repeat(1 << 20);
    let cases = [
        (edit("context", json!({"query": large})), "context"),
        (edit("context", json!({"filters": {"a": [large]}})), "context"),
        (edit("features", json!({"a": large})), "features"),
        (edit("candidates", json!([{"item_id": "a", "content": large}])), "candidates"),
    ];
    for (body, field) in cases {
        let error = server.refused(DECIDE, &body, 413).await;
        assert_eq!((&error["field"], &error["type"]), (&json!(field), &json!("too_large")));
    }
    assert!(world.exposures().await.is_empty());
    assert_eq!(world.log.tail(Topic::DeadLetters).await.unwrap(), 0, "nothing reached intake");
    // As large as it may be.
    let candidates: Vec<Value> =
        (0..4).map(|i| json!({"item_id": i.to_string(), "content": &large[..250_000]})).collect();
    server.ask(DECIDE, &edit("candidates", json!(candidates))).await;
    server.stop().await.unwrap();
}

/// A world whose decisions may go by features.
fn contextual(gate: GateConfig) -> World {
    let mut world = World::new();
    world.select = plaudit_policy::select::Config { kind: Kind::Contextual, gate, ..Default::default() };
    world
}

fn from(country: &str, unit: &str) -> Value {
    let mut body = headline(unit);
    body["features"] = json!({"country": country});
    body["candidates"][1]["features"] = json!({"length": 0.5});
    body
}

/// The example of an exposure, as attribution would make it.
fn reacted(exposure: Exposure, click: f32) -> Example {
    let mut made = example(exposure.exposure_id.as_str(), exposure.unit_id.as_str(), Vec::new(), &[("click", click)]);
    made.surface = Surface::Decide;
    made.item_id = exposure.slate[exposure.chosen as usize].item_id.clone();
    made.policy_id = exposure.policy_id;
    made.propensity = exposure.propensity;
    made.attributes = exposure.attributes;
    made
}

#[tokio::test(flavor = "multi_thread")]
async fn features_are_logged_with_every_candidate() {
    let world = World::new();
    let server = world.start(Config::default()).await;
    let answer = server.ask(DECIDE, &from("fr", "u1")).await;
    let exposure = world.exposures().await.remove(0);
    assert_eq!(exposure.attributes["features"], json!({"country": "fr"}));
    let logged = exposure.attributes["candidates"].as_array().unwrap();
    assert_eq!(logged[0], json!({"item_id": "a", "propensity": answer["propensities"][0]}));
    assert_eq!(logged[1]["features"], json!({"length": 0.5}));
    let status: Value = server.get("/admin/v1/decisions").send().await.unwrap().json().await.unwrap();
    assert_eq!(status, json!({"decisions": []}), "no contextual policy is configured");
    server.stop().await.unwrap();
}

/// Everything by HTTP: decisions are asked for, reactions come back, the gate passes, and another process that reads
/// the same log stands where this one does.
#[tokio::test(flavor = "multi_thread")]
async fn the_contextual_policy_serves_once_the_log_shows_that_it_is_better() {
    // A mechanism test: half the usual sample, so that it takes a few hundred requests.
    let world = contextual(GateConfig { min_effective: 50.0, ..GateConfig::default() });
    let server = world.start(Config::default()).await;
    let first = server.ask(DECIDE, &from("fr", "u-first")).await;
    assert!(first["policy_id"].as_str().unwrap().starts_with("select-"), "{first}");
    let mut read = world.exposures().await.len();
    let mut policy = first["policy_id"].clone();
    for round in 0..40 {
        for index in 0..40 {
            let country = if index % 2 == 0 { "fr" } else { "de" };
            policy = server.ask(DECIDE, &from(country, &format!("u{round}-{index}"))).await["policy_id"].clone();
        }
        let new = world.exposures().await.split_off(read);
        read += new.len();
        let examples = new.into_iter().map(|exposure| {
            let is_french = exposure.attributes["features"]["country"] == "fr";
            let is_a = exposure.chosen == 0;
            reacted(exposure, f32::from(u8::from(is_french == is_a)))
        });
        world.attribute(examples.collect()).await;
        server.serving.catch_up().await.unwrap();
        if policy.as_str().unwrap().starts_with("contextual-") {
            break;
        }
    }
    let status: Value = server.get("/admin/v1/decisions").send().await.unwrap().json().await.unwrap();
    let decision = &status["decisions"][0];
    assert_eq!((&decision["decision"], &decision["serves"]), (&json!("headline"), &json!("contextual")), "{status}");
    assert_eq!(decision["policy_id"], policy);
    assert!(decision["changes"][0]["lower"].as_f64().unwrap() > 0.0);
    assert!(decision["changes"][0]["diagnostics"]["effective_units"].as_f64().unwrap() >= 50.0);
    let answer = server.ask(DECIDE, &from("de", "u-last")).await;
    assert!(answer["propensities"][1].as_f64().unwrap() > 0.7, "{answer}");
    let exposure = world.exposures().await.pop().unwrap();
    assert_eq!(exposure.policy_id.as_str(), policy.as_str().unwrap());
    assert_eq!(exposure.propensity.unwrap().value(), answer["propensity"].as_f64().unwrap());
    server.stop().await.unwrap();
    let again = world.start(Config::default()).await;
    let after: Value = again.get("/admin/v1/decisions").send().await.unwrap().json().await.unwrap();
    assert_eq!(after, status);
    again.stop().await.unwrap();
}
