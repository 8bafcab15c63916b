//! Sizes, keys, overload, and routes that do not exist.

use futures::future::join_all;
use plaudit_serving::engine::EngineConfig;
use plaudit_serving::{ApiKey, ApiRole, Config, Error, Listener};
use serde_json::json;

use crate::support::{World, error_of, question, with_champion};

#[tokio::test(flavor = "multi_thread")]
async fn a_body_above_the_limit_is_413_and_one_at_the_limit_is_not() {
    let world = World::new();
    let server = world.start(Config { max_body_bytes: 2_048, ..Config::default() }).await;
    let body_of = |bytes: usize| {
        let mut body = json!({"signals": [{"exposure_id": "e1", "kind": "comment", "text": ""}]}).to_string();
        let padding = "x".repeat(bytes - body.len());
        body = body.replace("\"text\":\"\"", &format!("\"text\":\"{padding}\""));
        assert_eq!(body.len(), bytes);
        body
    };
    let send =
        |body: reqwest::Body| server.post("/v1/signals").header("content-type", "application/json").body(body).send();
    assert_eq!(send(body_of(2_048).into()).await.unwrap().status(), 200);
    let error = error_of(send(body_of(2_049).into()).await.unwrap(), 413).await;
    assert_eq!(error["type"], "too_large");
    // Without a declared length the limit holds while reading.
    let chunks = futures::stream::iter((0..3).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1_024])));
    error_of(send(reqwest::Body::wrap_stream(chunks)).await.unwrap(), 413).await;
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_open_what_their_role_allows() {
    let key = |role: ApiRole| ApiKey { key: format!("secret-of-{}-bearers", role.as_str()), role, name: String::new() };
    let api_keys = vec![key(ApiRole::Read), key(ApiRole::Write), key(ApiRole::Admin)];
    let (_world, server, _champion) = with_champion(Config { api_keys, ..Config::default() }).await;
    let chat = |bearer: &str| {
        let request = server.post("/v1/chat/completions").json(&question("hi"));
        request.header("authorization", bearer).send()
    };
    let refused = server.send("/v1/chat/completions", &question("hi")).await;
    assert_eq!(refused.headers()["www-authenticate"], "Bearer");
    error_of(refused, 401).await;
    error_of(chat("Bearer wrong-wrong-wrong-wrong").await.unwrap(), 401).await;
    error_of(chat("Basic secret-of-write-bearers").await.unwrap(), 401).await;
    let error = error_of(chat("Bearer secret-of-read-bearers").await.unwrap(), 403).await;
    assert!(error["message"].as_str().unwrap().contains("`write`"), "{error}");
    assert_eq!(chat("Bearer secret-of-write-bearers").await.unwrap().status(), 200);
    assert_eq!(chat("bearer secret-of-admin-bearers").await.unwrap().status(), 200);
    let read = |path: &str, bearer: &str| server.get(path).header("authorization", bearer).send();
    assert_eq!(read("/metrics", "Bearer secret-of-read-bearers").await.unwrap().status(), 200);
    assert_eq!(server.get("/metrics").send().await.unwrap().status(), 401);
    assert_eq!(server.get("/healthz").send().await.unwrap().status(), 200);
    let rollback = server.post("/admin/v1/policies/rollback").json(&json!({"reason": "x"}));
    let rollback = rollback.header("authorization", "Bearer secret-of-write-bearers");
    error_of(rollback.send().await.unwrap(), 403).await;
    let erase = |bearer: &str, query: &str| {
        let request = server.client.delete(format!("{}/admin/v1/units/ada{query}", server.url));
        request.header("authorization", bearer).send()
    };
    error_of(erase("Bearer secret-of-write-bearers", "").await.unwrap(), 403).await;
    let refused = error_of(erase("Bearer secret-of-admin-bearers", "?reason=").await.unwrap(), 400).await;
    assert_eq!(refused["field"], "reason");
    let refused = error_of(erase("Bearer secret-of-admin-bearers", "").await.unwrap(), 503).await;
    assert!(refused["message"].as_str().unwrap().contains("no store"), "{refused}");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn overload_is_429_with_retry_after_and_never_a_longer_queue() {
    let engine = EngineConfig { slots: 1, max_requests: 2, ..EngineConfig::default() };
    let (world, server, _champion) = with_champion(Config { engine, ..Config::default() }).await;
    let mut ask = question("how do i boil an egg");
    ask["max_tokens"] = json!(200);
    let responses = join_all((0..40).map(|_| server.send("/v1/chat/completions", &ask))).await;
    let mut answered = 0;
    let mut refused = 0;
    for response in responses {
        match response.status().as_u16() {
            200 => answered += 1,
            429 => {
                assert!(response.headers().contains_key("retry-after"));
                assert_eq!(error_of(response, 429).await["type"], "overloaded");
                refused += 1;
            }
            other => panic!("status {other}"),
        }
    }
    assert!(answered >= 2 && refused >= 1, "{answered} answered, {refused} refused");
    assert_eq!(world.exposures().await.len(), answered);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_get_in_when_the_server_is_full() {
    let (_world, server, champion) = with_champion(Config { max_concurrent: 1, ..Config::default() }).await;
    // A body that never ends keeps the only place.
    let (_open, body) = futures::channel::mpsc::channel::<Result<Vec<u8>, std::io::Error>>(1);
    let request = server.post("/v1/signals").header("content-type", "application/json");
    let held = tokio::spawn(request.body(reqwest::Body::wrap_stream(body)).send());
    while server.send("/v1/signals", &json!({"signals": []})).await.status() != 429 {
        tokio::task::yield_now().await;
    }
    for path in ["/metrics", "/healthz", "/readyz", "/admin/v1/policies", "/admin/v1/experiments"] {
        assert_eq!(server.get(path).send().await.unwrap().status(), 200, "{path}");
    }
    let rollback = json!({"reason": "the server is full"});
    let error = server.refused("/admin/v1/policies/rollback", &rollback, 409).await;
    assert!(error["message"].as_str().unwrap().contains("no previous champion"), "{error} {}", champion.id());
    held.abort();
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_takes_too_long_is_given_up() {
    let engine = EngineConfig { slots: 1, ..EngineConfig::default() };
    let deadline = std::time::Duration::from_millis(1);
    let (_world, server, _champion) = with_champion(Config { deadline, engine, ..Config::default() }).await;
    let mut ask = question("how do i boil an egg");
    ask["max_tokens"] = json!(200);
    // One slot: the last of these waits for thousands of tokens.
    let responses = join_all((0..40).map(|_| server.send("/v1/chat/completions", &ask))).await;
    let mut given_up = 0;
    for response in responses {
        if response.status() != 200 {
            assert!(response.headers().contains_key("retry-after"));
            let error = error_of(response, 503).await;
            assert!(error["message"].as_str().unwrap().contains("deadline"), "{error}");
            given_up += 1;
        }
    }
    assert!(given_up > 0);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_routes_say_which_exist() {
    let world = World::new();
    let server = world.start(Config::default()).await;
    let error = error_of(server.get("/v2/chat").send().await.unwrap(), 404).await;
    assert!(error["message"].as_str().unwrap().contains("POST /v1/decide"), "{error}");
    error_of(server.get("/v1/decide").send().await.unwrap(), 405).await;
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named() {
    let first = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let error = Listener::bind(first.address()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on {}", first.address()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_configuration_is_refused_with_every_problem() {
    let config = Config { listen: "0.0.0.0:0".parse().unwrap(), max_events: 0, ..Config::default() };
    let Err(Error::Config(problems)) = World::new().open(config).await else { panic!("refused") };
    assert_eq!(problems.len(), 2, "{problems:?}");
}
