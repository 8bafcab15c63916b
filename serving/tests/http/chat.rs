//! `/v1/chat/completions`, plain and streamed.

use futures::StreamExt;
use plaudit_event::Surface;
use plaudit_ingest::log::Topic;
use plaudit_serving::Config;
use plaudit_serving::engine::EngineConfig;
use serde_json::{Value, json};

use crate::support::{CHAT, World, error_of, expected, manual, question, with_champion};

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_carries_a_logged_exposure() {
    let (world, server, champion) = with_champion(Config::default()).await;
    let response = server.post(CHAT).header("x-plaudit-unit", "u1").json(&question("how do i boil an egg"));
    let response = response.send().await.unwrap();
    let headers = response.headers().clone();
    let body: Value = response.json().await.unwrap();
    let id = body["plaudit"]["exposure_id"].as_str().unwrap();
    assert_eq!(headers["x-plaudit-exposure-id"], id);
    assert_eq!(headers["x-plaudit-policy-id"], champion.id().as_str());
    assert!(!headers.contains_key("x-plaudit-variant"));
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], champion.id().as_str());
    assert_eq!(body["plaudit"]["variant"], Value::Null);
    assert_eq!(body["plaudit"]["unit_id"], "u1");
    let exposures = world.exposures().await;
    assert_eq!(exposures.len(), 1);
    let exposure = &exposures[0];
    assert_eq!((exposure.exposure_id.as_str(), exposure.unit_id.as_str()), (id, "u1"));
    assert_eq!((exposure.surface, &exposure.policy_id), (Surface::Chat, champion.id()));
    assert_eq!(exposure.response(), body["choices"][0]["message"]["content"].as_str().unwrap());
    assert_eq!(exposure.context.last_request(), "how do i boil an egg");
    let logprobs = exposure.token_logprobs.as_ref().unwrap();
    assert_eq!(logprobs.len() as u64, body["usage"]["completion_tokens"].as_u64().unwrap());
    let total: f64 = logprobs.iter().map(|token| f64::from(token.1)).sum();
    assert!(total < 0.0 && logprobs.iter().all(|token| token.1 <= 0.0));
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_gives_the_same_answer() {
    let (_world, server, champion) = with_champion(Config::default()).await;
    let mut ask = question("how do i boil an egg");
    for seed in [3, 4] {
        ask["seed"] = json!(seed);
        let content = server.ask(CHAT, &ask).await["choices"][0]["message"]["content"].clone();
        assert_eq!(content, expected(&champion, "how do i boil an egg", seed));
    }
    ask["max_tokens"] = json!(2);
    let short = server.ask(CHAT, &ask).await;
    assert!(short["usage"]["completion_tokens"].as_u64().unwrap() <= 2);
    ask["messages"] = json!([
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "boil"}]},
        {"role": "assistant", "content": "eight minutes"},
        {"role": "user", "content": "thanks"},
    ]);
    server.ask(CHAT, &ask).await;
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_without_a_unit_gets_one() {
    let (world, server, _champion) = with_champion(Config::default()).await;
    let mut ask = question("hello");
    let first = server.ask(CHAT, &ask).await["plaudit"]["unit_id"].clone();
    let second = server.ask(CHAT, &ask).await["plaudit"]["unit_id"].clone();
    assert_ne!(first, second);
    ask["user"] = json!("from-the-body");
    assert_eq!(server.ask(CHAT, &ask).await["plaudit"]["unit_id"], "from-the-body");
    let shadow = server.post(CHAT).header("x-plaudit-actor", "shadow").json(&ask).send().await.unwrap();
    assert_eq!(shadow.status(), 200);
    let exposures = world.exposures().await;
    assert_eq!(exposures[3].attributes["actor"], "shadow");
    assert!(!exposures[2].attributes.contains_key("actor"));
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn experiments_decide_who_answers_and_names_override_them() {
    let (world, server, champion) = with_champion(manual()).await;
    let candidate = world.policy(2);
    let run = server.treat(&candidate).await;
    let mut seen = std::collections::BTreeMap::new();
    for index in 0..40 {
        let mut ask = question("hello");
        ask["user"] = json!(format!("user-{index}"));
        for _ in 0..2 {
            let plaudit = server.ask(CHAT, &ask).await["plaudit"].clone();
            let variant = plaudit["variant"].as_str().unwrap().to_owned();
            let policy = if variant == "control" { champion.id() } else { candidate.id() };
            assert_eq!(plaudit["policy_id"], policy.as_str());
            let assignment = &plaudit["assignments"][0];
            let ids = json!([assignment["layer"], assignment["experiment"], assignment["variant"]]);
            assert_eq!(ids, json!(["generation", run, variant]));
            let draw = &assignment["draw"];
            assert_eq!((&draw["weights"], &draw["propensity"]), (&json!([0.5, 0.5]), &json!(0.5)));
            assert_eq!((&draw["seed"], &draw["definition"]), (&json!(run), &json!(server.serving.experiments().hash)));
            seen.entry(index).or_insert_with(|| variant.clone());
            assert_eq!(seen[&index], variant, "a unit keeps its variant");
        }
    }
    let treated = seen.values().filter(|variant| *variant == "treatment").count();
    assert!((8..=32).contains(&treated), "{treated} of 40");
    for (name, policy) in [("treatment", &candidate), ("champion", &champion), (candidate.id().as_str(), &candidate)] {
        let mut ask = question("hello");
        ask["model"] = json!(name);
        let plaudit = server.ask(CHAT, &ask).await["plaudit"].clone();
        assert_eq!(plaudit["policy_id"], policy.id().as_str());
        assert_eq!((&plaudit["variant"], &plaudit["assignments"]), (&Value::Null, &json!([])));
    }
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_experiment_with_nobody_to_compare_enrols_nobody() {
    let assignment = json!({"layers": [{"id": "generation", "unit": "user"}], "experiments": [
        {"id": "memory", "layer": "generation", "variants": [
            {"id": "now", "weight": 0.5, "policy": "champion"},
            {"id": "before", "weight": 0.5, "policy": "previous"},
        ]},
    ]});
    let assignment = serde_json::from_value(assignment).unwrap();
    let (world, server, champion) = with_champion(Config { assignment, ..Config::default() }).await;
    for index in 0..20 {
        let mut ask = question("hello");
        ask["user"] = json!(format!("user-{index}"));
        let plaudit = server.ask(CHAT, &ask).await["plaudit"].clone();
        // Nobody is previous yet.
        assert_eq!(plaudit["policy_id"], champion.id().as_str());
        assert_eq!((&plaudit["variant"], &plaudit["assignments"]), (&Value::Null, &json!([])));
    }
    assert!(world.exposures().await.iter().all(|exposure| exposure.assignments.is_empty()));
    assert!(server.serving.readouts().is_empty(), "there is nothing to compare");
    server.stop().await.unwrap();
}

/// The data of each event of a stream.
async fn stream_of(response: reqwest::Response) -> Vec<String> {
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    let mut text = String::new();
    let mut bytes = response.bytes_stream();
    while let Some(chunk) = bytes.next().await {
        text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
    }
    text.split("\n\n").filter_map(|event| event.strip_prefix("data: ").map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_says_what_the_plain_answer_says() {
    let (world, server, _champion) = with_champion(Config::default()).await;
    for seed in 0..8 {
        let mut ask = question("how do i boil an egg");
        ask["seed"] = json!(seed);
        let plain = server.ask(CHAT, &ask).await;
        ask["stream"] = json!(true);
        let response = server.send(CHAT, &ask).await;
        let id = response.headers()["x-plaudit-exposure-id"].to_str().unwrap().to_owned();
        let events = stream_of(response).await;
        assert_eq!(events.last().unwrap(), "[DONE]");
        let chunks: Vec<Value> =
            events[..events.len() - 1].iter().map(|event| serde_json::from_str(event).unwrap()).collect();
        let pieces = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str());
        let text: String = pieces.collect();
        assert_eq!(text, plain["choices"][0]["message"]["content"].as_str().unwrap());
        assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
        let last = chunks.last().unwrap();
        assert_eq!(last["choices"][0]["finish_reason"], plain["choices"][0]["finish_reason"]);
        assert_eq!(last["plaudit"]["exposure_id"], id);
        assert_eq!(last["usage"], plain["usage"]);
        assert!(chunks.iter().all(|chunk| chunk["object"] == "chat.completion.chunk"));
        let exposures = world.exposures().await;
        assert_eq!(exposures.last().unwrap().exposure_id.as_str(), id);
        assert_eq!(exposures.last().unwrap().response(), text);
    }
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_leaves_leaves_an_exposure() {
    let world = World::new();
    let engine = EngineConfig { max_new_tokens: 1_800, ..EngineConfig::default() };
    let server = world.start(Config { engine, ..Config::default() }).await;
    server.crown(&world.slow_policy()).await;
    let mut ask = question("how do i boil an egg");
    ask["seed"] = json!(1);
    ask["stream"] = json!(true);
    let mut response = server.send(CHAT, &ask).await;
    let mut read = String::new();
    let content = loop {
        read.push_str(std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
        let chunks = read.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
        let deltas = chunks.filter_map(|data| serde_json::from_str::<Value>(data).ok());
        let mut contents =
            deltas.filter_map(|chunk| Some(chunk["choices"][0]["delta"]["content"].as_str()?.to_owned()));
        if let Some(content) = contents.find(|content| !content.is_empty()) {
            break content;
        }
    };
    drop(response);
    while server.serving.num_generating() > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    server.stop().await.unwrap();
    let exposures = world.exposures().await;
    assert_eq!(exposures.len(), 1);
    assert_eq!(exposures[0].attributes["interrupted"], true);
    assert!(exposures[0].response().starts_with(content.trim_end()), "{content:?} {:?}", exposures[0]);
    assert!(exposures[0].token_logprobs.as_ref().unwrap().len() < 1_800);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_name_the_field() {
    let (world, server, champion) = with_champion(Config::default()).await;
    let cases = [
        (json!({"messages": []}), "messages"),
        (json!({}), "messages"),
        (json!({"messages": "hi"}), "messages"),
        (json!({"messages": [{"role": "robot", "content": "hi"}]}), "messages[0].role"),
        (json!({"messages": [{"role": "user", "content": 5}]}), "messages[0].content"),
        (json!({"messages": [{"role": "user", "content": "hi"}], "temperature": 3}), "temperature"),
        (json!({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 0}), "max_tokens"),
        (json!({"messages": [{"role": "user", "content": "hi"}], "max_tokens": -1}), "max_tokens"),
        (json!({"messages": [{"role": "user", "content": "hi"}], "n": 2}), "n"),
        (json!({"messages": [{"role": "user", "content": "hi"}], "user": "two words"}), "user"),
    ];
    for (body, field) in cases {
        let error = server.refused(CHAT, &body, 400).await;
        assert_eq!(error["field"], field, "{body} {error}");
        assert_eq!(error["type"], "invalid_request");
    }
    let session = server.post(CHAT).header("x-plaudit-session", "s".repeat(257)).json(&question("hi"));
    let error = error_of(session.send().await.unwrap(), 400).await;
    assert_eq!(
        (&error["field"], &error["message"]),
        (&json!("x-plaudit-session"), &json!("`x-plaudit-session` must have at most 256 bytes, got 257"),)
    );
    // Below the limit of bodies, above that of events; quotes take two bytes each in JSON.
    for text in ["a".repeat(1 << 20), "\"".repeat(600_000)] {
        let error = server.refused(CHAT, &question(&text), 413).await;
        assert_eq!((&error["field"], &error["type"]), (&json!("messages"), &json!("too_large")));
        assert!(error["message"].as_str().unwrap().contains("got 1"), "{error}");
    }
    let broken = server.post(CHAT).header("content-type", "application/json").body("{\"messages\": [");
    let error = error_of(broken.send().await.unwrap(), 400).await;
    assert!(error["message"].as_str().unwrap().contains("not JSON"), "{error}");
    let text = server.post(CHAT).header("content-type", "text/plain").body("hi");
    error_of(text.send().await.unwrap(), 400).await;
    let mut unknown = question("hi");
    unknown["model"] = json!("gpt-4");
    let error = server.refused(CHAT, &unknown, 404).await;
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("`gpt-4`") && message.contains(champion.id().as_str()), "{message}");
    assert!(world.exposures().await.is_empty());
    assert_eq!(world.log.tail(Topic::DeadLetters).await.unwrap(), 0, "nothing reached intake");
    let session = server.post(CHAT).header("x-plaudit-session", "s".repeat(256)).json(&question(&"a ".repeat(250_000)));
    assert_eq!(session.send().await.unwrap().status(), 200, "at the limit, and long");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_policy_there_is_an_honest_503() {
    let world = World::new();
    let server = world.start(Config::default()).await;
    let response = server.send(CHAT, &question("hi")).await;
    assert!(response.headers().contains_key("retry-after"));
    error_of(response, 503).await;
    assert_eq!(server.get("/readyz").send().await.unwrap().status(), 503);
    assert_eq!(server.get("/healthz").send().await.unwrap().status(), 200);
    server.crown(&world.policy(1)).await;
    assert_eq!(server.get("/readyz").send().await.unwrap().status(), 200);
    server.ask(CHAT, &question("hi")).await;
    server.stop().await.unwrap();
}
