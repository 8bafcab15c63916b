//! Policies are swapped while requests pour in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use plaudit_serving::Config;
use plaudit_serving::engine::EngineConfig;
use serde_json::{Value, json};

use crate::support::{expected, manual, question, with_champion};

const TEXT: &str = "how do i boil an egg";
const CLIENTS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn swaps_under_load_fail_no_request_and_mix_no_weights() {
    let (world, server, champion) = with_champion(manual()).await;
    let policies = [champion.clone(), world.policy(2), world.policy(3), world.policy(4)];
    let texts: BTreeMap<String, String> =
        policies.iter().map(|policy| (policy.id().to_string(), expected(policy, TEXT, 5))).collect();
    let texts = Arc::new(texts);
    let (is_done, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients = (0..CLIENTS).map(|index| {
        let (is_done, answered, texts) = (Arc::clone(&is_done), Arc::clone(&answered), Arc::clone(&texts));
        let request = server.post("/v1/chat/completions");
        tokio::spawn(async move {
            let mut ask = question(TEXT);
            ask["seed"] = json!(5);
            while !is_done.load(Ordering::Relaxed) {
                let number = answered.fetch_add(1, Ordering::Relaxed);
                ask["user"] = json!(format!("user-{index}-{number}"));
                let response = request.try_clone().unwrap().json(&ask).send().await.unwrap();
                assert_eq!(response.status(), 200);
                let body: Value = response.json().await.unwrap();
                let policy = body["plaudit"]["policy_id"].as_str().unwrap();
                let text = body["choices"][0]["message"]["content"].as_str().unwrap();
                assert_eq!(text, texts[policy], "an answer of `{policy}` with other weights");
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    let wait_for = async |more: usize| {
        let target = answered.load(Ordering::Relaxed) + more;
        while answered.load(Ordering::Relaxed) < target {
            tokio::task::yield_now().await;
        }
    };
    for candidate in &policies[1..] {
        wait_for(30).await;
        server.treat(candidate).await;
        wait_for(30).await;
        server.serving.promote(json!({})).await.unwrap();
    }
    for _ in 0..3 {
        wait_for(30).await;
        server.serving.rollback(("test".to_owned(), "tester".to_owned()), None).await.unwrap();
    }
    wait_for(30).await;
    is_done.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    let total = answered.load(Ordering::Relaxed);
    assert_eq!(world.exposures().await.len(), total);
    assert_eq!(server.serving.rollout().champion(), Some(champion.id()));
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_finishes_requests_under_way_and_takes_no_new_ones() {
    let (world, server, _champion) = with_champion(Config::default()).await;
    let mut ask = question(TEXT);
    ask["max_tokens"] = json!(200);
    let under_way: Vec<_> = (0..4)
        .map(|_| {
            let request = server.post("/v1/chat/completions").json(&ask);
            tokio::spawn(async move { request.send().await.unwrap().status().as_u16() })
        })
        .collect();
    // All four must be inside before the shutdown.
    while server.serving.num_generating() < 4 && world.exposures().await.len() < 4 {
        tokio::task::yield_now().await;
    }
    let (client, url) = (server.client.clone(), server.url.clone());
    server.stop().await.unwrap();
    for request in under_way {
        assert_eq!(request.await.unwrap(), 200);
    }
    assert_eq!(world.exposures().await.len(), 4);
    assert!(client.get(format!("{url}/healthz")).send().await.is_err(), "nobody listens any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_leave_free_the_engine() {
    const ABANDONED: &str = "plaudit_serving_requests_abandoned_total";
    let engine = EngineConfig { slots: 1, ..EngineConfig::default() };
    let (_world, server, _champion) = with_champion(Config { engine, ..Config::default() }).await;
    let before = server.counter(ABANDONED).await;
    let mut ask = question(TEXT);
    ask["max_tokens"] = json!(200);
    ask["stream"] = json!(true);
    // One slot: almost all of them wait for the others when their callers leave.
    let responses = join_all((0..40).map(|_| server.send("/v1/chat/completions", &ask))).await;
    drop(responses);
    while server.serving.num_generating() > 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(server.counter(ABANDONED).await > before, "their work was dropped, not finished");
    server.ask("/v1/chat/completions", &question("still here?")).await;
    server.stop().await.unwrap();
}
