//! `/v1/decide`.

use plaudit_event::Surface;
use plaudit_ingest::log::Topic;
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
    ];
    for (body, field) in cases {
        let error = server.refused(DECIDE, &body, 400).await;
        assert_eq!(error["field"], field, "{body} {error}");
    }
    let large = "x".repeat(1 << 20);
    let cases = [
        (edit("context", json!({"query": large})), "context"),
        (edit("context", json!({"filters": {"a": [large]}})), "context"),
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
