//! The server without a model, on the embedded log, and on Kafka where `PLAUDIT_TEST_KAFKA` names a broker (with the
//! spool before it, as in production): requests and events per second, waits, and CPU.
//!
//! `cargo bench -p plaudit-serving --bench serve`; every answer comes after the events are durable. The load comes from a second process (this program again, with `client` as its first argument), so that
//! the CPU time of this process is that of the server alone.
#![expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]
#![expect(clippy::disallowed_methods, reason = "where the broker is comes from outside")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use metrics_exporter_prometheus::PrometheusBuilder;
use plaudit_event::{Clock, Seed, Timestamp};
use plaudit_ingest::Intake;
use plaudit_ingest::log::{EventLog, KafkaConfig, KafkaLog, SpooledLog, SqliteLog};
use plaudit_policy::select::Selector;
use plaudit_serving::{Config, Listener, Parts, Serving, serve};
use reqwest::Client;
use serde_json::{Value, json};

const CLIENTS: usize = 64;

/// What one run sends.
struct Load {
    name: &'static str,
    path: &'static str,
    requests: usize,
    events_per_request: usize,
}

const LOADS: [Load; 4] = [
    Load { name: "decide", path: "/v1/decide", requests: 20_000, events_per_request: 1 },
    Load { name: "signals, 1 per request", path: "/v1/signals", requests: 20_000, events_per_request: 1 },
    Load { name: "signals, 10 per request", path: "/v1/signals", requests: 10_000, events_per_request: 10 },
    Load { name: "signals, 100 per request", path: "/v1/signals", requests: 2_000, events_per_request: 100 },
];

/// The wall clock, as an offset to the start: this is a benchmark, its times need not be dates.
struct BenchClock(Instant);

impl Clock for BenchClock {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.0.elapsed().as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(1_700_000_000_000).plus_millis(elapsed)
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if arguments.next().as_deref() == Some("client") {
        let url = arguments.next().expect("an address");
        let index: usize = arguments.next().and_then(|text| text.parse().ok()).expect("a number");
        runtime.block_on(send(&url, &LOADS[index], index));
    } else {
        runtime.block_on(measure());
    }
}

async fn measure() {
    let dir = tempfile::TempDir::new().expect("a folder");
    let clock: Arc<dyn Clock> = Arc::new(BenchClock(Instant::now()));
    let metrics = PrometheusBuilder::new().install_recorder().expect("the only recorder");
    let log = SqliteLog::open(&dir.path().join("log.db"), Arc::clone(&clock)).expect("a log");
    let mut servers = vec![("embedded", start(Arc::new(log), &clock, &metrics, dir.path()).await)];
    match on_kafka(&clock, dir.path()).await {
        Some(log) => servers.push(("kafka", start(log, &clock, &metrics, dir.path()).await)),
        None => println!("SKIPPED Kafka: PLAUDIT_TEST_KAFKA is not set"),
    }
    println!(
        "{:<26} {:<9} {:>10} {:>10} {:>14} {:>12} {:>8} {:>8}",
        "", "log", "requests/s", "events/s", "CPU us/request", "CPU us/event", "p50 ms", "p99 ms"
    );
    for (index, load) in LOADS.iter().enumerate() {
        for (name, url) in &servers {
            let cpu = ProcessTime::now();
            let (wall, waits) = run_client(url, index).await;
            let cpu = cpu.elapsed().as_secs_f64();
            let requests = load.requests as f64;
            let events = requests * load.events_per_request as f64;
            println!(
                "{:<26} {name:<9} {:>10.0} {:>10.0} {:>14.1} {:>12.1} {waits}",
                load.name,
                requests / wall,
                events / wall,
                cpu * 1e6 / requests,
                cpu * 1e6 / events,
            );
        }
    }
}

/// A log of its own on the broker.
async fn on_kafka(clock: &Arc<dyn Clock>, dir: &Path) -> Option<Arc<dyn EventLog>> {
    let location = std::env::var("PLAUDIT_TEST_KAFKA").ok()?;
    let brokers = location.strip_prefix("kafka://").expect("a location kafka://…");
    let config = KafkaConfig { prefix: format!("bench.serve.{}.", std::process::id()), ..KafkaConfig::default() };
    let log = KafkaLog::open(brokers, &config, Arc::clone(clock)).await.expect("a broker");
    let spooled = SpooledLog::open(Arc::new(log), &dir.join("spool.db"), 1 << 30, Arc::clone(clock)).await;
    Some(Arc::new(spooled.expect("a spool")))
}

/// Starts a server on `log`; returns its address. It ends with the process.
async fn start(
    log: Arc<dyn EventLog>,
    clock: &Arc<dyn Clock>,
    metrics: &metrics_exporter_prometheus::PrometheusHandle,
    dir: &Path,
) -> String {
    let intake = Intake::open(Arc::clone(&log), Arc::clone(clock), &plaudit_ingest::Config::default()).await;
    let parts = Parts {
        log,
        intake: intake.expect("an intake"),
        clock: Arc::clone(clock),
        seed: Seed::new(1),
        policies_dir: dir.to_owned(),
        selector: Arc::new(Selector::new(plaudit_policy::select::Config::default()).expect("a policy")),
        metrics: metrics.clone(),
        store: None,
        eraser: None,
        reward: None,
    };
    let listener = Listener::bind("127.0.0.1:0".parse().expect("an address")).await.expect("a port");
    let url = format!("http://{}", listener.address());
    let serving = Serving::open(Config::default(), parts).await.expect("a server");
    tokio::spawn(serve(serving, listener, std::future::pending()));
    url
}

/// The seconds that the load took, and what the client says of its waits.
async fn run_client(url: &str, index: usize) -> (f64, String) {
    let program = std::env::current_exe().expect("this program");
    let (url, index) = (url.to_owned(), index.to_string());
    let finished = tokio::task::spawn_blocking(move || Command::new(program).args(["client", &url, &index]).output());
    let output = finished.await.expect("the client was started").expect("the client ran");
    assert!(output.status.success(), "the client failed: {}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).expect("text");
    let (seconds, waits) = said.trim_end().split_once('\t').expect("seconds and waits");
    (seconds.parse().expect("a number"), waits.to_owned())
}

async fn send(url: &str, load: &Load, index: usize) {
    let client = Client::new();
    let url = format!("{url}{}", load.path);
    let started = Instant::now();
    let workers = (0..CLIENTS).map(|worker| {
        let (client, url) = (client.clone(), url.clone());
        let requests = (worker..load.requests).step_by(CLIENTS);
        let (path, events) = (load.path, load.events_per_request);
        tokio::spawn(async move {
            let mut waits = Vec::new();
            for request in requests {
                let body = body_of(path, events, index, request);
                let sent = Instant::now();
                let response = client.post(&url).json(&body).send().await.expect("an answer");
                assert_eq!(response.status(), 200);
                response.bytes().await.expect("a body");
                waits.push(sent.elapsed());
            }
            waits
        })
    });
    let mut waits: Vec<Duration> = Vec::with_capacity(load.requests);
    for worker in workers.collect::<Vec<_>>() {
        waits.extend(worker.await.expect("a worker"));
    }
    let seconds = started.elapsed().as_secs_f64();
    waits.sort_unstable();
    let quantile = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("{seconds}\t{:>8.1} {:>8.1}", quantile(0.5), quantile(0.99));
}

fn body_of(path: &str, events: usize, run: usize, request: usize) -> Value {
    if path == "/v1/decide" {
        let candidate = |index: usize| json!({"item_id": format!("item-{index}"), "content": "a headline to choose"});
        let candidates: Vec<Value> = (0..4).map(candidate).collect();
        return json!({"unit_id": format!("user-{request}"), "decision": "headline", "candidates": candidates});
    }
    let signal = |index: usize| {
        let name = format!("{run}-{request}-{index}");
        json!({
            "signal_id": format!("signal-{name}"),
            "exposure_id": format!("exposure-{name}"),
            "kind": "love",
            "ts": 1_700_000_000_000_i64,
        })
    };
    json!({"signals": (0..events).map(signal).collect::<Vec<_>>()})
}
