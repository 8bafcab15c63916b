//! The server without a model, on a durable SQLite log: requests per second and CPU per request.
//!
//! The load comes from a second process (this program again, with `client` as its first argument), so that
//! the CPU time of this process is that of the server alone.
#![expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]

use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use cpu_time::ProcessTime;
use metrics_exporter_prometheus::PrometheusBuilder;
use plaudit_event::{Clock, Seed, Timestamp};
use plaudit_ingest::Intake;
use plaudit_policy::select::Thompson;
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
    let log = plaudit_ingest::log::SqliteLog::open(&dir.path().join("log.db"), Arc::clone(&clock));
    let log: Arc<dyn plaudit_ingest::log::EventLog> = Arc::new(log.expect("a log"));
    let ingest = plaudit_ingest::Config::default();
    let intake = Intake::open(Arc::clone(&log), Arc::clone(&clock), &ingest).await.expect("an intake");
    let select = plaudit_policy::select::Config::default();
    let parts = Parts {
        log,
        intake,
        clock,
        seed: Seed::new(1),
        policies_dir: dir.path().to_owned(),
        thompson: Arc::new(Thompson::new(select).expect("a policy")),
        metrics: PrometheusBuilder::new().install_recorder().expect("the only recorder"),
        eraser: None,
    };
    let listener = Listener::bind("127.0.0.1:0".parse().expect("an address")).await.expect("a port");
    let url = format!("http://{}", listener.address());
    let serving = Serving::open(Config::default(), parts).await.expect("a server");
    let server = tokio::spawn(serve(serving, listener, std::future::pending()));
    println!("{:<26} {:>10} {:>12} {:>16} {:>14}", "", "requests/s", "events/s", "CPU us/request", "CPU us/event");
    for (index, load) in LOADS.iter().enumerate() {
        let (wall, cpu) = (Instant::now(), ProcessTime::now());
        run_client(&url, index).await;
        let (wall, cpu) = (wall.elapsed().as_secs_f64(), cpu.elapsed().as_secs_f64());
        let requests = load.requests as f64;
        let events = requests * load.events_per_request as f64;
        let per_request = cpu * 1e6 / requests;
        let per_event = cpu * 1e6 / events;
        println!(
            "{:<26} {:>10.0} {:>12.0} {per_request:>16.1} {per_event:>14.1}",
            load.name,
            requests / wall,
            events / wall
        );
    }
    server.abort();
}

async fn run_client(url: &str, index: usize) {
    let program = std::env::current_exe().expect("this program");
    let (url, index) = (url.to_owned(), index.to_string());
    let finished = tokio::task::spawn_blocking(move || Command::new(program).args(["client", &url, &index]).status());
    let status = finished.await.expect("the client was started").expect("the client ran");
    assert!(status.success(), "the client failed");
}

async fn send(url: &str, load: &Load, index: usize) {
    let client = Client::new();
    let url = format!("{url}{}", load.path);
    let workers = (0..CLIENTS).map(|worker| {
        let (client, url) = (client.clone(), url.clone());
        let requests = (worker..load.requests).step_by(CLIENTS);
        let (path, events) = (load.path, load.events_per_request);
        tokio::spawn(async move {
            for request in requests {
                let body = body_of(path, events, index, request);
                let response = client.post(&url).json(&body).send().await.expect("an answer");
                assert_eq!(response.status(), 200);
                response.bytes().await.expect("a body");
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.expect("a worker");
    }
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
