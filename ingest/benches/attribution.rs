//! Records per second through the service with a log in memory, and bytes of memory per open window.
//!
//! `cargo bench -p plaudit-ingest --bench attribution`
#![expect(clippy::print_stdout, reason = "a benchmark reports to the terminal")]

#[path = "support/memory.rs"]
mod memory;

use std::sync::Arc;
use std::time::Instant;

use plaudit_event::{Exposure, Signal};
use plaudit_event::{ManualClock, Timestamp};
use plaudit_ingest::Config;
use plaudit_ingest::attribution::{ExposureHead, Joiner};
use plaudit_ingest::log::{EventLog, MemoryLog, Record, Topic};
use plaudit_ingest::service::AttributionService;
use serde_json::json;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

const EXPOSURES: i64 = 100_000;
/// Open windows for the memory table.
const OPEN: u64 = 1_000_000;

/// Memory of the joiner with a million open windows, of which every tenth, or each, has a signal.
fn open_windows(signals_per_ten: u64) {
    let before = memory::in_use();
    let mut joiner = Joiner::new(&Config::default());
    let mut out = Vec::new();
    for number in 0..OPEN {
        let id = format!("018c2f60-0000-7000-8000-{number:012}");
        let exposure: Exposure = serde_json::from_value(json!({
            "exposure_id": id, "unit_id": "u", "surface": "chat", "policy_id": "gen-1", "ts": 0, "context": {},
            "slate": [{"item_id": "answer", "position": 0}],
        }))
        .expect("an exposure");
        joiner.exposure(Timestamp::from_millis(0), number, &ExposureHead::from(&exposure), &mut out);
        if number % 10 < signals_per_ten {
            let signal: Signal = serde_json::from_value(json!({
                "signal_id": format!("s{number}"), "exposure_id": id, "kind": "love", "ts": 1,
            }))
            .expect("a signal");
            joiner.signal(Timestamp::from_millis(0), number, &signal, &mut out);
        }
    }
    assert_eq!((joiner.stats().open, out.len()), (OPEN, 0), "all are open");
    let bytes = memory::in_use() - before;
    println!(
        "{OPEN} open windows, {signals_per_ten} signals per 10 exposures: {:5.0} MiB, {:4.0} bytes per exposure",
        bytes as f64 / f64::from(1 << 20),
        bytes as f64 / OPEN as f64
    );
}

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
    for signals_per_ten in [0, 1, 10] {
        open_windows(signals_per_ten);
    }
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
