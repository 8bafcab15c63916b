//! `/v1/signals` and `/v1/exposures`: one outcome per event, in order.

use plaudit_ingest::log::Topic;
use plaudit_serving::Config;
use serde_json::{Value, json};

use crate::support::{START, World};

#[tokio::test(flavor = "multi_thread")]
async fn every_signal_has_one_outcome_in_order() {
    let world = World::new();
    let server = world.start(Config::default()).await;
    let love = json!({"signal_id": "s1", "exposure_id": "e1", "kind": "love", "ts": START.as_millis()});
    let batch = json!({"signals": [
        love,
        love,
        {"exposure_id": "e1", "kind": "copy"},
        {"signal_id": "s2", "exposure_id": "e1", "kind": "applause"},
        {"signal_id": "s3", "exposure_id": "e1", "kind": "rating", "value": 7},
        {"signal_id": "s1", "exposure_id": "e2", "kind": "love", "ts": START.as_millis()},
        "nonsense",
    ]});
    let answer = server.ask("/v1/signals", &batch).await;
    let outcomes = answer["outcomes"].as_array().unwrap();
    let names: Vec<&str> = outcomes.iter().map(|outcome| outcome["outcome"].as_str().unwrap()).collect();
    assert_eq!(names, ["accepted", "duplicate", "accepted", "rejected", "rejected", "rejected", "rejected"]);
    assert_eq!(outcomes[0]["signal_id"], "s1");
    assert!(outcomes[2]["signal_id"].as_str().unwrap().len() > 30, "{answer}");
    assert_eq!(outcomes[3]["reason"], "unknown_kind");
    assert_eq!((&outcomes[4]["reason"], &outcomes[4]["field"]), (&json!("value"), &json!("value")));
    assert_eq!(outcomes[5]["reason"], "conflict");
    assert_eq!((&outcomes[6]["signal_id"], &outcomes[6]["reason"]), (&Value::Null, &json!("shape")));
    assert!(outcomes[3]["detail"].is_string() && outcomes[0].get("detail").is_none());
    assert_eq!(world.log.tail(Topic::Signals).await.unwrap(), 2);
    assert_eq!(world.log.tail(Topic::DeadLetters).await.unwrap(), 4);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn products_that_decide_elsewhere_send_exposures() {
    let world = World::new();
    let server = world.start(Config::default()).await;
    let exposure = json!({
        "exposure_id": "e1", "unit_id": "u1", "surface": "search", "context": {"query": "eggs"},
        "slate": [{"item_id": "a", "position": 0}], "policy_id": "bm25", "ts": START.as_millis(), "app": "ios",
    });
    let mut bad = exposure.clone();
    bad["exposure_id"] = json!("e2");
    bad["chosen"] = json!(5);
    let answer = server.ask("/v1/exposures", &json!({"exposures": [exposure, bad, exposure]})).await;
    let expected = json!([
        {"exposure_id": "e1", "outcome": "accepted"},
        answer["outcomes"][1],
        {"exposure_id": "e1", "outcome": "duplicate"},
    ]);
    assert_eq!(answer["outcomes"], expected);
    assert_eq!(answer["outcomes"][1]["reason"], "chosen");
    assert_eq!(world.exposures().await[0].unknown["app"], "ios");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_batches_are_refused_as_a_whole() {
    let world = World::new();
    let server = world.start(Config { max_events: 2, ..Config::default() }).await;
    let signal = json!({"exposure_id": "e1", "kind": "love"});
    for body in [json!({"signals": []}), json!({"signals": [signal, signal, signal]}), json!({"signals": 1}), json!({})]
    {
        assert_eq!(server.refused("/v1/signals", &body, 400).await["field"], "signals");
    }
    let error = server.refused("/v1/exposures", &json!({"signals": []}), 400).await;
    assert!(error["message"].as_str().unwrap().contains("exposures"), "{error}");
    assert_eq!(world.log.tail(Topic::Signals).await.unwrap(), 0);
    server.stop().await.unwrap();
}
