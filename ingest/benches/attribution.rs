//! Records per second through the joiner, and through the service with a log in memory.
//!
//! `cargo bench -p plaudit-ingest --bench attribution`
#![expect(clippy::print_stdout, reason = "a benchmark reports to the terminal")]

use std::sync::Arc;
use std::time::Instant;

use plaudit_event::{ManualClock, Timestamp};
use plaudit_ingest::Config;
use plaudit_ingest::log::{EventLog, MemoryLog, Record, Topic};
use plaudit_ingest::service::AttributionService;
use serde_json::json;

const EXPOSURES: i64 = 100_000;

async fn fill(log: &dyn EventLog, clock: &ManualClock) {
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(4);
    for number in 0..EXPOSURES {
        clock.advance_to(Timestamp::from_millis(number));
        let id = format!("018c2f60-0000-7000-8000-{number:012}");
        let exposure = json!({"v": 1, "event": "exposure", "data": {
            "exposure_id": id, "unit_id": "u", "surface": "chat", "policy_id": "gen-1", "ts": number,
            "context": {"messages": [{"role": "user", "content": text}]},
            "slate": [{"item_id": "answer", "position": 0, "content": text}],
        }});
        let signal = json!({"v": 1, "event": "signal", "data": {
            "signal_id": format!("s{number}"), "exposure_id": id, "kind": "love", "ts": number,
        }});
        for (topic, event) in [(Topic::Exposures, exposure), (Topic::Signals, signal)] {
            let (key, value) = (id.clone(), event.to_string().into_bytes());
            let appended = log.append(topic, vec![Record { key, value }]).await;
            appended.expect("memory takes it");
        }
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(async {
        let clock = Arc::new(ManualClock::default());
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(clock.clone()));
        fill(&*log, &clock).await;
        let mut service = AttributionService::new(log, Config::default());
        let started = Instant::now();
        service.catch_up().await.expect("memory reads");
        let joined = started.elapsed();
        clock.advance_to(Timestamp::from_millis(1_000_000_000));
        let started = Instant::now();
        let done = service.catch_up().await.expect("memory reads");
        let closed = started.elapsed();
        let per_second = |count: f64, time: std::time::Duration| count / time.as_secs_f64();
        println!("joined {:9.0} records/s", per_second(EXPOSURES as f64 * 2.0, joined));
        println!("closed {:9.0} examples/s", per_second(done.examples as f64, closed));
    });
}
