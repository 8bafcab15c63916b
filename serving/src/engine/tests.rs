use plaudit_nn::decoder::Config as DecoderConfig;

use super::*;

pub(super) fn model(name: &str, seed: u64) -> Arc<Model> {
    let config = DecoderConfig {
        hidden: 16,
        layers: 2,
        heads: 2,
        kv_heads: 1,
        ffn: 32,
        max_positions: 128,
        ..DecoderConfig::tiny(64)
    };
    let decoder = Decoder::init(&config, &mut Seed::new(seed).stream("init")).unwrap();
    Arc::new(Model { policy_id: PolicyId::new(name).unwrap(), decoder: Arc::new(decoder) })
}

pub(super) fn request(seed: u64, max_new_tokens: usize) -> Request {
    Request { prompt: vec![1, 2, 3], max_new_tokens, temperature: 1.0, stop: u32::MAX, seed: Seed::new(seed) }
}

fn config(slots: usize, max_requests: usize) -> EngineConfig {
    EngineConfig { slots, max_requests, ..EngineConfig::default() }
}

#[tokio::test]
async fn answers_depend_on_the_request_and_not_on_the_company() {
    let engine = Engine::start(config(3, 64)).unwrap();
    let model = model("a", 1);
    engine.install(Arc::clone(&model)).await.unwrap();
    let alone = engine.generate(&model, request(7, 20)).unwrap().collect().await.unwrap().output;
    let crowd: Vec<_> = (0..20).map(|seed| engine.generate(&model, request(seed, 20)).unwrap()).collect();
    for (seed, generation) in crowd.into_iter().enumerate() {
        let generated = generation.collect().await.unwrap().output;
        assert_eq!(generated.tokens.len(), 20);
        assert_eq!(generated.finish, Finish::Length);
        assert_eq!(generated.tokens == alone.tokens, seed == 7);
    }
    engine.shutdown().await.unwrap();
}

#[tokio::test]
async fn overload_is_an_error_at_the_door() {
    let engine = Engine::start(config(1, 2)).unwrap();
    let model = model("a", 1);
    let first = engine.generate(&model, request(1, 50)).unwrap();
    let second = engine.generate(&model, request(2, 50)).unwrap();
    let refused = engine.generate(&model, request(3, 50)).unwrap_err();
    assert_eq!((refused.status(), refused.code()), (429, "overloaded"));
    assert!(refused.retry_after().is_some());
    first.collect().await.unwrap();
    second.collect().await.unwrap();
    // Permits return when requests leave the engine, a moment after their last token.
    while engine.permits.available_permits() < 2 {
        tokio::task::yield_now().await;
    }
    engine.generate(&model, request(4, 5)).unwrap().collect().await.unwrap();
}

#[tokio::test]
async fn requests_in_flight_finish_on_the_policy_they_started_with() {
    let engine = Engine::start(config(4, 64)).unwrap();
    let (old, new) = (model("old", 1), model("new", 2));
    engine.install(Arc::clone(&old)).await.unwrap();
    let expected = engine.generate(&old, request(9, 100)).unwrap().collect().await.unwrap().output;
    let in_flight = engine.generate(&old, request(9, 100)).unwrap();
    engine.install(Arc::clone(&new)).await.unwrap();
    engine.retain(vec![new.policy_id.clone()]).await.unwrap();
    assert_eq!(in_flight.collect().await.unwrap().output, expected);
    // A request that was routed before the swap and arrives after it is still answered by its policy.
    let straggler = engine.generate(&old, request(9, 100)).unwrap();
    assert_eq!(straggler.collect().await.unwrap().output, expected);
    let swapped = engine.generate(&new, request(9, 100)).unwrap().collect().await.unwrap().output;
    assert_ne!(swapped, expected);
}

#[tokio::test]
async fn shutdown_finishes_what_is_inside() {
    let engine = Engine::start(config(2, 16)).unwrap();
    let model = model("a", 1);
    let inside: Vec<_> = (0..6).map(|seed| engine.generate(&model, request(seed, 30)).unwrap()).collect();
    engine.shutdown().await.unwrap();
    for generation in inside {
        assert_eq!(generation.collect().await.unwrap().output.tokens.len(), 30);
    }
}

#[tokio::test]
async fn a_prompt_that_cannot_be_served_fails_alone() {
    let engine = Engine::start(config(2, 16)).unwrap();
    let model = model("a", 1);
    let good = engine.generate(&model, request(1, 30)).unwrap();
    let bad = Request { prompt: vec![9_999], ..request(2, 30) };
    let error = engine.generate(&model, bad).unwrap().collect().await.unwrap_err();
    assert_eq!(error.status(), 400);
    assert_eq!(good.collect().await.unwrap().output.tokens.len(), 30);
}
