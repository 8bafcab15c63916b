//! Signals per second through intake with a durable acknowledgement, and what one costs.
//!
//! `cargo bench -p plaudit-ingest --bench intake`; the numbers mean something only on a disk that
//! syncs (put `TMPDIR` there).
#![expect(clippy::print_stdout, reason = "a benchmark reports to the terminal")]

#[path = "support/cpu.rs"]
mod support;

use std::sync::Arc;
use std::time::Instant;

use plaudit_event::{ManualClock, Timestamp};
use plaudit_ingest::log::{EventLog, SqliteLog};
use plaudit_ingest::{Config, Intake, Outcome};
use serde_json::{Value, json};
use support::cpu;

const NOW: i64 = 1_700_000_000_000;

fn batch(sender: usize, number: usize, size: usize) -> Vec<Value> {
    let signal = |i| {
        let id = format!("018c-{sender}-{number}-{i}-f00dfeedf00dfeed");
        json!({
            "signal_id": id, "exposure_id": format!("e-{id}"), "kind": "love", "ts": NOW,
            "value": 1.0, "app": "ios",
        })
    };
    (0..size).map(signal).collect()
}

async fn measure(senders: usize, size: usize, batches: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(NOW)));
    let log = SqliteLog::open(&dir.path().join("log.db"), clock.clone()).expect("a log");
    let log: Arc<dyn EventLog> = Arc::new(log);
    let intake = Intake::open(log, clock, &Config::default()).await;
    let intake = intake.expect("an empty log");
    let (started, cpu_before) = (Instant::now(), cpu());
    let mut tasks = Vec::new();
    for sender in 0..senders {
        let intake = intake.clone();
        tasks.push(tokio::spawn(async move {
            for number in 0..batches {
                let outcomes = intake.signals(batch(sender, number, size)).await;
                let outcomes = outcomes.expect("the log takes it");
                assert!(outcomes.iter().all(|o| *o == Outcome::Accepted));
            }
        }));
    }
    for task in tasks {
        task.await.expect("a sender");
    }
    let (elapsed, cpu) = (started.elapsed(), cpu().saturating_sub(cpu_before));
    let total = (senders * size * batches) as f64;
    println!(
        "{senders:4} senders, {size:4} per batch: {:9.0} signals/s, {:6.1} CPU µs per signal",
        total / elapsed.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / total,
    );
}

fn main() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    for (senders, size, batches) in [(1, 1, 500), (64, 1, 300), (1, 100, 200), (8, 100, 100), (4, 1_000, 20)] {
        runtime.block_on(measure(senders, size, batches));
    }
}
