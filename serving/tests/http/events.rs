//! `/v1/signals` and `/v1/exposures`: one outcome per event, in order.

use plaudit_ingest::BotRule;
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
async fn what_is_held_back_or_left_out_is_told() {
    let mut world = World::new();
    let quality = &mut world.ingest.quality;
    quality.rates.signals = 1;
    quality.sampling.search = 1e-9;
    let crawlers = BotRule { field: "unit_id".to_owned(), matches: Some("^crawler-".to_owned()), equals: None };
    quality.bots.rules.push(crawlers);
    let server = world.start(Config::default()).await;
    let exposure = |id: &str, unit: &str, surface: &str| {
        json!({
            "exposure_id": id, "unit_id": unit, "surface": surface, "context": {}, "ts": START.as_millis(), "policy_id": "bm25",
            "slate": [{"item_id": "a", "position": 0}],
        })
    };
    let exposures =
        [exposure("e1", "ada", "search"), exposure("e2", "crawler-1", "chat"), exposure("e3", "ada", "chat")];
    let outcomes = server.ask("/v1/exposures", &json!({"exposures": exposures})).await["outcomes"].take();
    assert_eq!(outcomes[0], json!({"exposure_id": "e1", "outcome": "sampled"}));
    let crawler = (&outcomes[1]["outcome"], &outcomes[1]["reason"], &outcomes[1]["field"]);
    assert_eq!(crawler, (&json!("quarantined"), &json!("bot"), &json!("unit_id")));
    assert_eq!(outcomes[2]["outcome"], "accepted");
    let signal = |id: &str| json!({"signal_id": id, "exposure_id": "e3", "kind": "love"});
    let outcomes =
        server.ask("/v1/signals", &json!({"signals": [signal("s1"), signal("s2")]})).await["outcomes"].take();
    assert_eq!(outcomes[0]["outcome"], "accepted");
    assert_eq!((&outcomes[1]["outcome"], &outcomes[1]["reason"]), (&json!("quarantined"), &json!("unit_rate")));

    let decision =
        json!({"unit_id": "crawler-1", "decision": "headline", "candidates": [{"item_id": "a", "content": "x"}]});
    let answer = server.ask("/v1/decide", &decision).await;
    assert_eq!(answer["chosen"]["item_id"], "a", "a program gets its answer");
    assert_eq!(world.exposures().await.len(), 1, "and nothing is learned from it");
    assert_eq!(world.log.tail(Topic::DeadLetters).await.unwrap(), 3);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn suspects_are_listed() {
    let mut world = World::new();
    let suspicion = &mut world.ingest.quality.suspicion;
    (suspicion.enabled, suspicion.min_count, suspicion.min_population) = (true, 2, 10);
    (suspicion.max_share_odds, suspicion.false_positives) = (1.0, 0.5);
    let server = world.start(Config::default()).await;
    let exposure = |id: &str, unit: &str| {
        json!({
            "exposure_id": id, "unit_id": unit, "surface": "chat", "context": {}, "ts": START.as_millis(), "policy_id": "bm25",
            "slate": [{"item_id": "a", "position": 0}],
        })
    };
    let others: Vec<Value> = (0..40).map(|number| exposure(&format!("o{number}"), &format!("u{number}"))).collect();
    server.ask("/v1/exposures", &json!({"exposures": others})).await;
    for (id, expected) in [("e1", "accepted"), ("e2", "quarantined")] {
        server.ask("/v1/exposures", &json!({"exposures": [exposure(id, "forger")]})).await;
        let love = json!({"signals": [{"exposure_id": id, "kind": "love"}]});
        let answer = server.ask("/v1/signals", &love).await;
        assert_eq!(answer["outcomes"][0]["outcome"], expected, "{answer}");
    }
    let listed: Value = server.get("/admin/v1/suspects").send().await.unwrap().json().await.unwrap();
    let found = &listed["suspects"];
    assert_eq!((&found[0]["unit_id"], &found[0]["score"]), (&json!("forger"), &json!("share")));
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert!(found[0]["until"].as_i64() > found[0]["since"].as_i64(), "{found}");
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
