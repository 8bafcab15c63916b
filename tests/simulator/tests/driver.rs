//! The driver against a small server that speaks the HTTP contract.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use plaudit_event::{ManualClock, Seed, Timestamp};
use plaudit_simulator::language::{StyleMix, World};
use plaudit_simulator::{Driver, Error, PhaseSpec, Scenario};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A product with two policies: control speaks as the base policy does, treatment is warmer.
#[derive(Default)]
struct Product {
    world: World,
    exposures: AtomicU64,
    attempts: AtomicU64,
    /// Every so many attempts is refused; 0 for never.
    refuse_every: u64,
    /// Answers 400 to everything.
    broken: bool,
    requests: Mutex<BTreeMap<u64, Value>>,
    signals: Mutex<BTreeMap<String, Value>>,
    order: Mutex<Vec<String>>,
}

impl Product {
    fn refusal(&self) -> Option<Response> {
        if self.broken {
            let body = json!({"error": {"type": "invalid", "message": "no"}});
            return Some((StatusCode::BAD_REQUEST, Json(body)).into_response());
        }
        let attempt = self.attempts.fetch_add(1, Ordering::SeqCst) + 1;
        let refuse = self.refuse_every > 0 && attempt.is_multiple_of(self.refuse_every);
        let status = match attempt % 2 {
            0 => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        refuse.then(|| (status, [("retry-after", "0")], "busy").into_response())
    }

    fn exposure_id(&self) -> String {
        format!("x{}", self.exposures.fetch_add(1, Ordering::SeqCst))
    }
}

async fn chat(State(product): State<Arc<Product>>, Json(body): Json<Value>) -> Response {
    if let Some(refusal) = product.refusal() {
        return refusal;
    }
    let seed = body["seed"].as_u64().expect("a seed");
    let user = body["user"].as_str().expect("a user");
    let treated = user.ends_with(['1', '3', '5', '7', '9']);
    let mix = StyleMix { warm: if treated { 0.9 } else { 0.25 }, ..StyleMix::BASE };
    let mut rng = Seed::new(seed).stream("generate");
    let text = body["messages"][0]["content"].as_str().expect("a message");
    let prompt = product.world.read_prompt(text).expect("of the language");
    let style = mix.draw(&mut rng);
    let response = product.world.response(&prompt, style, &mut rng);
    let variant = if treated { "treatment" } else { "control" };
    lock(&product.requests).insert(seed, body.clone());
    Json(json!({
        "id": "c", "object": "chat.completion", "created": 0, "model": "plaudit",
        "choices": [{"index": 0, "finish_reason": "stop",
                     "message": {"role": "assistant", "content": response}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        "plaudit": {"exposure_id": product.exposure_id(), "policy_id": format!("gen-{variant}"),
                    "variant": variant, "assignments": []},
    }))
    .into_response()
}

async fn decide(State(product): State<Arc<Product>>, Json(body): Json<Value>) -> Response {
    if let Some(refusal) = product.refusal() {
        return refusal;
    }
    assert_eq!(body["decision"], "tip");
    let candidates = body["candidates"].as_array().expect("candidates");
    assert_eq!(candidates.len(), 4);
    Json(json!({
        "exposure_id": product.exposure_id(), "policy_id": "tips", "variant": null,
        "chosen": candidates[2], "propensity": 0.4, "propensities": [0.2, 0.2, 0.4, 0.2],
    }))
    .into_response()
}

async fn signals(State(product): State<Arc<Product>>, Json(body): Json<Value>) -> Response {
    if let Some(refusal) = product.refusal() {
        return refusal;
    }
    let mut known = lock(&product.signals);
    let mut order = lock(&product.order);
    let mut outcomes = Vec::new();
    for signal in body["signals"].as_array().expect("signals") {
        let id = signal["signal_id"].as_str().expect("an id").to_owned();
        let outcome = match known.get(&id) {
            None => "accepted",
            Some(first) if first == signal => "duplicate",
            Some(_) => "rejected",
        };
        outcomes.push(json!({"signal_id": id, "outcome": outcome}));
        order.push(id.clone());
        known.entry(id).or_insert_with(|| signal.clone());
    }
    Json(json!({ "outcomes": outcomes })).into_response()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no handler panicked")
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    (listener, format!("http://{address}"))
}

async fn start(product: Product) -> (Arc<Product>, String) {
    let product = Arc::new(product);
    let router = Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/decide", post(decide))
        .route("/v1/signals", post(signals))
        .with_state(Arc::clone(&product));
    let (listener, url) = listen().await;
    tokio::spawn(async move { axum::serve(listener, router).await });
    (product, url)
}

fn scenario() -> Scenario {
    let mut scenario = Scenario::built_in("demo").expect("valid");
    scenario.delays.median_ms = 20.0;
    scenario.faults.duplicates = 0.2;
    scenario.faults.retractions = 0.02;
    scenario.client.flush_ms = 10;
    scenario.client.batch = 64;
    scenario.client.backoff_ms = 1;
    scenario
}

fn driver(url: &str, scenario: Scenario) -> Driver {
    let clock = ManualClock::new(Timestamp::from_millis(1_000_000));
    Driver::new(url, scenario, Arc::new(clock)).expect("a valid scenario")
}

#[tokio::test]
async fn every_signal_arrives_once_and_the_record_agrees_with_the_product() {
    let (product, url) = start(Product::default()).await;
    let driver = driver(&url, scenario());
    let phase = driver.run_phase(&PhaseSpec::of(1_500, 8)).await.unwrap();
    assert_eq!((phase.requests.clone(), phase.failed), (0..1_500, 0));
    driver.drain().await.unwrap();

    let counts = driver.counters().counts();
    assert_eq!((counts.requests, counts.answers), (1_500, 1_500));
    assert_eq!(counts.accepted, counts.planned);
    assert_eq!(counts.duplicate, counts.resent);
    assert_eq!(counts.sent, counts.planned + counts.resent);
    assert_eq!((counts.rejected, counts.quarantined, counts.lost), (0, 0, 0));
    assert!(counts.resent > 100 && counts.retries == 0);

    let signals = lock(&product.signals);
    let standing: BTreeSet<&str> = signals
        .keys()
        .filter_map(|id| id.strip_suffix(".love"))
        .filter(|exposure| !signals.contains_key(&format!("{exposure}.love.undo")))
        .collect();
    driver.with_record(|record| {
        let loved: BTreeSet<&str> =
            record.rows(0..1_500).filter(|row| row.loved).map(|row| row.exposure_id.as_str()).collect();
        assert_eq!(loved, standing);
        let variants = record.by_variant(0..1_500);
        let (control, treatment) = (&variants["control"], &variants["treatment"]);
        assert!(treatment.love_lift(control) > 0.4);
        assert_eq!(record.by_policy(0..1_500)["gen-control"], *control);
        let choices: Vec<_> = record.choices(0..1_500).collect();
        let answers = control.exposures + treatment.exposures;
        assert_eq!(answers + choices.len() as u64, 1_500);
        assert!(choices.len() > 40);
        assert!(choices.iter().all(|choice| choice.item_id == "steps"));
        assert!(record.oracle_auroc(0..1_500).expect("both labels") > 0.6);
        assert!(record.samples().count() > 50 && record.forgotten() == 0);
    });
    let order = lock(&product.order);
    let place = |id: &str| order.iter().position(|sent| sent == id).expect("sent");
    let mut undone = 0;
    for undo in signals.keys().filter(|id| id.ends_with(".undo")) {
        assert!(place(undo.trim_end_matches(".undo")) < place(undo));
        assert_eq!(signals[undo]["retracts"], undo.trim_end_matches(".undo"));
        undone += 1;
    }
    assert!(undone > 5);
}

#[tokio::test]
async fn a_busy_product_is_asked_again() {
    let (product, url) = start(Product { refuse_every: 3, ..Product::default() }).await;
    let driver = driver(&url, scenario());
    let phase = driver.run_phase(&PhaseSpec::of(300, 4)).await.unwrap();
    driver.drain().await.unwrap();
    let counts = driver.counters().counts();
    assert_eq!((phase.failed, counts.failures, counts.lost), (0, 0, 0));
    assert!(counts.retries > 100);
    assert_eq!(counts.accepted, counts.planned);
    assert_eq!(lock(&product.signals).len() as u64, counts.planned);
}

#[tokio::test]
async fn what_cannot_be_mended_is_counted_and_not_repeated() {
    let (_, url) = start(Product { broken: true, ..Product::default() }).await;
    let driver = driver(&url, scenario());
    let phase = driver.run_phase(&PhaseSpec::of(20, 2)).await.unwrap();
    let counts = driver.counters().counts();
    assert_eq!((phase.failed, counts.failures, counts.retries), (20, 20, 0));
    assert_eq!((counts.answers, counts.planned), (0, 0));
    driver.with_record(|record| assert_eq!(record.overall(0..20).exposures, 0));
}

#[tokio::test]
async fn a_missing_product_fails_requests_after_all_attempts() {
    let (listener, url) = listen().await;
    drop(listener);
    let mut scenario = scenario();
    scenario.client.attempts = 3;
    let driver = driver(&url, scenario);
    let phase = driver.run_phase(&PhaseSpec::of(4, 2)).await.unwrap();
    assert_eq!((phase.failed, driver.counters().counts().retries), (4, 8));
    let clock = Arc::new(ManualClock::default());
    let malformed = Driver::new("no address", Scenario::default(), clock);
    assert!(matches!(malformed.unwrap_err(), Error::Client { url, .. } if url == "no address"));
}

#[tokio::test]
async fn requests_are_the_same_whatever_the_concurrency() {
    let mut runs = Vec::new();
    for concurrency in [1, 7] {
        let (product, url) = start(Product::default()).await;
        let driver = driver(&url, scenario());
        for (exposures, requests) in [(60, 0..60), (40, 60..100)] {
            let spec = PhaseSpec::of(exposures, concurrency);
            let phase = driver.run_phase(&spec).await.unwrap();
            assert_eq!(phase.requests, requests);
        }
        let requests = lock(&product.requests).clone();
        let truth = driver.with_record(|record| record.overall(0..100));
        runs.push((requests, truth.exposures, truth.loved, truth.answered));
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test]
async fn a_phase_ends_when_it_is_stopped_and_memory_is_bounded() {
    let (_, url) = start(Product::default()).await;
    let mut scenario = scenario();
    scenario.client.max_rows = 10;
    let driver = Arc::new(driver(&url, scenario));
    let stop = Arc::new(AtomicBool::new(false));
    let running = tokio::spawn({
        let (driver, stop) = (Arc::clone(&driver), Arc::clone(&stop));
        async move { driver.run_phase(&PhaseSpec::until(stop, 3)).await }
    });
    while driver.counters().counts().answers < 100 {
        tokio::task::yield_now().await;
    }
    stop.store(true, Ordering::SeqCst);
    let phase = running.await.unwrap().unwrap();
    let counts = driver.counters().counts();
    assert_eq!(phase.requests, 0..counts.requests);
    assert_eq!(counts.answers, counts.requests);
    driver.with_record(|record| {
        assert_eq!(record.rows(0..u64::MAX).count(), 10);
        assert!(record.forgotten() > 50);
    });
}
