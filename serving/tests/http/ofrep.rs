//! OpenFeature's remote evaluation protocol.

use std::collections::BTreeMap;

use plaudit_event::{Clock, Timestamp};
use plaudit_serving::{ApiKey, ApiRole, Config};
use serde_json::{Value, json};

use crate::support::{Server, manual, with_champion};

const ALL: &str = "/ofrep/v1/evaluate/flags";

fn config() -> Config {
    let assignment = json!({
        "layers": [{"id": "generation", "unit": "user"}],
        "experiments": [
            {"id": "tone", "layer": "generation", "range": [0.0, 0.5], "targeting": {"plan": "pro"}, "variants": [
                {"id": "plain", "weight": 0.5, "policy": "champion"},
                {"id": "plainer", "weight": 0.5, "policy": "champion", "forced": ["tester"]},
            ]},
            {"id": "off", "layer": "generation", "range": [0.5, 1.0], "active": false, "variants": [
                {"id": "a", "weight": 0.5, "policy": "champion"}, {"id": "b", "weight": 0.5, "policy": "champion"},
            ]},
        ],
    });
    Config { assignment: serde_json::from_value(assignment).unwrap(), ..manual() }
}

async fn evaluate(server: &Server, key: &str, context: &Value) -> (u16, Value) {
    let response = server.post(&format!("{ALL}/{key}")).json(&json!({"context": context})).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_is_the_variant_with_what_an_exposure_needs() {
    let (_world, server, _champion) = with_champion(config()).await;
    let mut seen = BTreeMap::new();
    for index in 0..100 {
        let context = json!({"targetingKey": format!("user-{index}"), "plan": "pro"});
        let (status, flag) = evaluate(&server, "tone", &context).await;
        assert_eq!((status, &flag["key"], &flag["value"]), (200, &json!("tone"), &flag["variant"]));
        let metadata = &flag["metadata"];
        assert!(metadata.as_object().unwrap().values().all(|value| !value.is_object() && !value.is_null()));
        let is_enrolled = metadata["enrolled"] == true;
        assert_eq!(flag["reason"], if is_enrolled { "SPLIT" } else { "DEFAULT" });
        if is_enrolled {
            assert_eq!((&metadata["propensity"], &metadata["phase"]), (&json!(0.5), &json!(0)));
            assert_eq!(metadata["definition"], json!(server.serving.experiments().hash));
        } else {
            assert_eq!(flag["value"], "plain", "control");
        }
        *seen.entry((is_enrolled, flag["value"].to_string())).or_insert(0) += 1;
        assert_eq!(evaluate(&server, "tone", &context).await.1, flag, "sticky");
    }
    assert!(seen.len() == 3 && seen.values().all(|count| *count > 8), "{seen:?}");
    let (_, free) = evaluate(&server, "tone", &json!({"targetingKey": "user-1", "plan": "free"})).await;
    assert_eq!((&free["reason"], &free["metadata"]["enrolled"]), (&json!("DEFAULT"), &json!(false)));
    let (_, forced) = evaluate(&server, "tone", &json!({"targetingKey": "tester"})).await;
    assert_eq!((&forced["reason"], &forced["value"]), (&json!("TARGETING_MATCH"), &json!("plainer")));
    assert_eq!(forced["metadata"]["enrolled"], false, "no evidence");
    let (_, off) = evaluate(&server, "off", &json!({"targetingKey": "user-1"})).await;
    assert_eq!((&off["reason"], &off["value"]), (&json!("DISABLED"), &json!("a")));
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_in_the_words_of_the_protocol() {
    let key = ApiKey { key: "a-key-of-sixteen".to_owned(), role: ApiRole::Write, name: String::new() };
    let (_world, server, _champion) = with_champion(config()).await;
    let (status, body) = evaluate(&server, "nothing", &json!({"targetingKey": "u"})).await;
    assert_eq!((status, &body["errorCode"], &body["key"]), (404, &json!("FLAG_NOT_FOUND"), &json!("nothing")));
    for (context, code) in [
        (json!({}), "TARGETING_KEY_MISSING"),
        (json!({"targetingKey": ""}), "TARGETING_KEY_MISSING"),
        (json!({"targetingKey": 7}), "INVALID_CONTEXT"),
        (json!([1]), "INVALID_CONTEXT"),
    ] {
        let (status, body) = evaluate(&server, "tone", &context).await;
        assert_eq!((status, &body["errorCode"]), (400, &json!(code)), "{context}");
        let all = server.post(ALL).json(&json!({"context": context})).send().await.unwrap();
        assert_eq!(all.status(), 400);
    }
    let broken = server.post(&format!("{ALL}/tone")).body("{").send().await.unwrap();
    let body: Value = broken.json().await.unwrap();
    assert_eq!(body["errorCode"], "PARSE_ERROR");
    server.stop().await.unwrap();
    let (_world, server, _champion) = with_champion(Config { api_keys: vec![key], ..config() }).await;
    let body = json!({"context": {"targetingKey": "u"}});
    assert_eq!(server.post(ALL).json(&body).send().await.unwrap().status(), 401);
    let by_header = server.post(ALL).header("x-api-key", "a-key-of-sixteen").json(&body).send().await.unwrap();
    assert_eq!(by_header.status(), 200);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_flags_come_with_a_tag_that_saves_the_second_answer() {
    let (_world, server, _champion) = with_champion(config()).await;
    let ask = async |user: &str, tag: &str| {
        let body = json!({"context": {"targetingKey": user, "plan": "pro"}});
        server.post(ALL).header("if-none-match", tag).json(&body).send().await.unwrap()
    };
    let first = ask("u", "").await;
    assert_eq!(first.status(), 200);
    let tag = first.headers()["etag"].to_str().unwrap().to_owned();
    let body: Value = first.json().await.unwrap();
    let keys: Vec<&str> = body["flags"].as_array().unwrap().iter().filter_map(|flag| flag["key"].as_str()).collect();
    assert_eq!(keys, ["tone", "off"]);
    let again = ask("u", &tag).await;
    assert_eq!((again.status().as_u16(), again.headers()["etag"].to_str().unwrap()), (304, tag.as_str()));
    assert_eq!(again.text().await.unwrap(), "");
    let stop = json!({"reason": "enough"});
    let stopped = server.post("/admin/v1/experiments/tone/stop").json(&stop).send().await.unwrap();
    assert_eq!(stopped.status(), 200);
    assert_eq!(ask("u", &tag).await.status(), 200, "the definition is another one");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_for_flags_are_429_with_retry_after_for_their_key_alone() {
    let key = |name: &str| ApiKey { key: format!("a-key-of-{name}-here"), role: ApiRole::Write, name: name.to_owned() };
    let api_keys = vec![key("one"), key("two")];
    let (world, server, _champion) = with_champion(Config { flags_per_second: 3, api_keys, ..config() }).await;
    let ask = async |path: String, name: &str| {
        let request = server.post(&path).bearer_auth(format!("a-key-of-{name}-here"));
        request.json(&json!({"context": {"targetingKey": "u"}})).send().await.unwrap()
    };
    for path in [ALL.to_owned(), format!("{ALL}/tone"), ALL.to_owned()] {
        assert_eq!(ask(path, "one").await.status(), 200);
    }
    for path in [ALL.to_owned(), format!("{ALL}/tone")] {
        let refused = ask(path, "one").await;
        assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (429, &"1".parse().unwrap()));
        assert_eq!(refused.headers()["content-type"], "application/json");
        let body: Value = refused.json().await.unwrap();
        assert_eq!(body["errorCode"], "GENERAL");
        assert!(body["errorDetails"].as_str().unwrap().contains("flag requests"), "{body}");
    }
    assert_eq!(ask(ALL.to_owned(), "two").await.status(), 200);
    // Other routes have no part in it, and the next place comes after a third of a second.
    assert_eq!(ask("/v1/signals".to_owned(), "one").await.status(), 400);
    let start = world.clock.now();
    let after = |millis: i64| Timestamp::from_millis(start.as_millis() + millis);
    world.clock.advance_to(after(333));
    assert_eq!(ask(ALL.to_owned(), "one").await.status(), 429);
    world.clock.advance_to(after(334));
    assert_eq!(ask(ALL.to_owned(), "one").await.status(), 200);
    let nobody = server.post(ALL).json(&json!({})).send().await.unwrap();
    assert_eq!((nobody.status().as_u16(), &nobody.headers()["www-authenticate"]), (401, &"Bearer".parse().unwrap()));
    assert_eq!(nobody.json::<Value>().await.unwrap()["errorCode"], "GENERAL");
    server.stop().await.unwrap();
}
