//! `/v1/score` and its OpenRLHF form.

use plaudit_serving::{ApiKey, ApiRole, Config};
use serde_json::{Value, json};

use crate::support::{World, error_of};

async fn post(url: &str, path: &str, body: &Value) -> reqwest::Response {
    reqwest::Client::new().post(format!("{url}{path}")).json(body).send().await.unwrap()
}

#[tokio::test]
async fn rows_are_scored_in_order_by_a_named_model() {
    let world = World::new();
    let server = world.start(Config::default()).await;
    let body = json!({"rows": [{"prompt": "ab", "response": "abc"},
        {"messages": [{"role": "user", "content": "a"}], "response": "abcd"}]});
    let error = error_of(post(&server.url, "/v1/score", &body).await, 503).await;
    assert!(error["message"].as_str().unwrap().contains("no reward model yet"), "{error}");
    *world.reward_examples.lock().unwrap() = Some(12);
    let answer: Value = post(&server.url, "/v1/score", &body).await.json().await.unwrap();
    assert_eq!(answer["reward"], json!({"checkpoint_id": null, "examples": 12}));
    let logits: Vec<&Value> = answer["rows"].as_array().unwrap().iter().map(|row| &row["love"]["logit"]).collect();
    assert_eq!(logits, [&json!(1.0), &json!(3.0)]);
    assert_eq!(answer["rows"][1]["love"]["reward"], 2.0, "the reward is its own figure");
    assert!(answer["rows"][0]["love"]["spread"].is_null() && answer["rows"][0]["helpfulness"].is_null());
    let some = json!({"rows": [{"prompt": "", "response": ""}], "objectives": ["helpfulness"]});
    let answer: Value = post(&server.url, "/v1/score", &some).await.json().await.unwrap();
    assert_eq!(answer["rows"], json!([{"helpfulness": null}]));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn spans_and_principles_are_answered_when_they_are_asked_for() {
    let world = World::new();
    *world.reward_examples.lock().unwrap() = Some(12);
    let server = world.start(Config::default()).await;
    let rows = json!([{"prompt": "a", "response": "abc"}, {"prompt": "a", "response": "abcd"}]);
    let plain: Value = post(&server.url, "/v1/score", &json!({"rows": rows})).await.json().await.unwrap();
    assert!(plain.get("spans").is_none() && plain.get("principles").is_none());
    let body = json!({"rows": rows, "spans": true, "principles": ["ab", "abcd"], "objectives": ["love"]});
    let answer: Value = post(&server.url, "/v1/score", &body).await.json().await.unwrap();
    assert_eq!(answer["spans"][1], json!([{"start": 0, "end": 4, "score": 0.5}]));
    let p: Vec<&Value> = answer["principles"][0].as_array().unwrap().iter().map(|score| &score["p"]).collect();
    assert_eq!(p, [&json!(0.5), &json!(0.25)]);
    let love: Vec<Value> = [0, 1].map(|at| json!({"love": plain["rows"][at]["love"]})).into();
    assert_eq!(answer["rows"], json!(love));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_scored_is_named() {
    let world = World::new();
    *world.reward_examples.lock().unwrap() = Some(1);
    let server = world.start(Config { max_body_bytes: 1 << 20, ..Config::default() }).await;
    let row = json!({"prompt": "a", "response": "b"});
    let rows = |count: usize| json!({"rows": vec![row.clone(); count]});
    assert_eq!(post(&server.url, "/v1/score", &rows(4_096)).await.status(), 200);
    let bad = [
        (rows(0), "rows"),
        (rows(4_097), "rows"),
        (json!({"rows": [row, {"response": "b"}]}), "rows[1]"),
        (json!({"rows": [{"prompt": "a", "messages": [], "response": "b"}]}), "rows[0]"),
        (json!({"rows": [{"messages": [], "response": "b"}]}), "rows[0].messages"),
        (json!({"rows": [{"prompt": "a"}]}), "rows[0]"),
        (json!({"rows": [row], "objectives": ["glory"]}), "objectives[0]"),
        (json!({"rows": [row], "objectives": []}), "objectives"),
        (json!({"rows": [row], "principles": []}), "principles"),
        (json!({"rows": [row], "principles": vec!["kind"; 65]}), "principles"),
        (json!({"rows": vec![row.clone(); 2_000], "principles": vec!["kind"; 33]}), "principles"),
        (json!({"rows": [row], "principles": ["kind", " "]}), "principles[1]"),
        (json!({"rows": [row], "principles": ["k".repeat(1_001)]}), "principles[0]"),
    ];
    for (body, field) in bad {
        let error = error_of(post(&server.url, "/v1/score", &body).await, 400).await;
        assert_eq!(error["field"], field, "{error}");
    }
    let large = json!({"rows": [{"prompt": "a".repeat(1 << 20), "response": "b"}]});
    error_of(post(&server.url, "/v1/score", &large).await, 413).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn scoring_needs_the_key_of_a_writer() {
    let world = World::new();
    let key = |key: &str, role| ApiKey { key: key.to_owned(), role, name: String::new() };
    let api_keys = vec![key("reads-reads-reads-reads", ApiRole::Read)];
    let server = world.start(Config { api_keys, ..Config::default() }).await;
    let body = json!({"rows": [{"prompt": "a", "response": "b"}]});
    error_of(post(&server.url, "/v1/score", &body).await, 401).await;
    let request = reqwest::Client::new().post(format!("{}/v1/score", server.url)).json(&body);
    error_of(request.bearer_auth("reads-reads-reads-reads").send().await.unwrap(), 403).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn openrlhf_gets_what_its_trainers_read() {
    let world = World::new();
    *world.reward_examples.lock().unwrap() = Some(1);
    let server = world.start(Config::default()).await;
    let body = json!({"query": ["ab abcd</s>", "a a"], "prompts": ["ab", "a"], "labels": [null, "x"]});
    let answer: Value = post(&server.url, "/v1/score/openrlhf?reward=logit", &body).await.json().await.unwrap();
    assert_eq!(answer["rewards"], json!([2.0, 0.0]));
    assert_eq!(answer["scores"][1], json!(0.5));
    assert_eq!(answer["extra_logs"], json!({"p_love": answer["scores"]}));
    let plain: Value = post(&server.url, "/v1/score/openrlhf", &body).await.json().await.unwrap();
    assert_eq!(plain["rewards"], plain["scores"]);
    let own: Value = post(&server.url, "/v1/score/openrlhf?reward=reward", &body).await.json().await.unwrap();
    assert_eq!(own["rewards"], json!([1.0, -1.0]));
    let help = post(&server.url, "/v1/score/openrlhf?objective=helpfulness", &body).await;
    error_of(help, 503).await;
    for (path, body, field) in [
        ("/v1/score/openrlhf?objective=glory", body.clone(), "objective"),
        ("/v1/score/openrlhf", json!({"query": ["a"], "prompts": []}), "prompts"),
        ("/v1/score/openrlhf", json!({"query": ["b"], "prompts": ["a"]}), "query[0]"),
    ] {
        let error = error_of(post(&server.url, path, &body).await, 400).await;
        assert_eq!(error["field"], field, "{error}");
    }
    server.stop().await.unwrap();
}
