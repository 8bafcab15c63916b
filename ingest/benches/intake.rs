//! Signals per second through intake with a durable acknowledgement, and what one costs: on the embedded
//! log, and on Kafka where `PLAUDIT_TEST_KAFKA` names a broker.
//!
//! `cargo bench -p plaudit-ingest --bench intake`; the numbers mean something only on a disk that
//! syncs (put `TMPDIR` there).
#![expect(clippy::print_stdout, reason = "a benchmark reports to the terminal")]
#![expect(clippy::disallowed_methods, reason = "where the broker is comes from outside")]

#[path = "support/cpu.rs"]
mod support;

use std::sync::Arc;
use std::time::Instant;

use plaudit_event::{ManualClock, Timestamp};
use plaudit_ingest::log::{EventLog, KafkaConfig, KafkaLog, SqliteLog};
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

/// A load: senders at once, signals per batch, batches of each.
type Load = (usize, usize, usize);

async fn measure(name: &str, log: Arc<dyn EventLog>, clock: Arc<ManualClock>, (senders, size, batches): Load) {
    let intake = Intake::open(log, clock, &Config::default()).await;
    let intake = intake.expect("a log");
    let (started, cpu_before) = (Instant::now(), cpu());
    let mut tasks = Vec::new();
    for sender in 0..senders {
        let intake = intake.clone();
        tasks.push(tokio::spawn(async move {
            let mut waits = Vec::with_capacity(batches);
            for number in 0..batches {
                let batch = batch(sender, number, size);
                let sent = Instant::now();
                let outcomes = intake.signals(batch).await;
                waits.push(sent.elapsed());
                let outcomes = outcomes.expect("the log takes it");
                assert!(outcomes.iter().all(|o| *o == Outcome::Accepted));
            }
            waits
        }));
    }
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await.expect("a sender"));
    }
    waits.sort_unstable();
    let quantile = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let (elapsed, cpu) = (started.elapsed(), cpu().saturating_sub(cpu_before));
    let total = (senders * size * batches) as f64;
    println!(
        "{name:8} {senders:4} senders, {size:4} per batch: {:9.0} signals/s, {:6.1} CPU µs per signal, \
         p50 {:6.1} ms, p99 {:6.1} ms",
        total / elapsed.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / total,
        quantile(0.5),
        quantile(0.99),
    );
}

/// A log of its own for each load.
async fn on_kafka(brokers: &str, number: usize, clock: Arc<ManualClock>) -> Arc<dyn EventLog> {
    let prefix = format!("bench.intake.{}.{number}.", std::process::id());
    let config = KafkaConfig { prefix, ..KafkaConfig::default() };
    Arc::new(KafkaLog::open(brokers, &config, clock).await.expect("a broker"))
}

fn main() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let clock = || Arc::new(ManualClock::new(Timestamp::from_millis(NOW)));
    let brokers = std::env::var("PLAUDIT_TEST_KAFKA").ok();
    let brokers = brokers.as_deref().and_then(|uri| uri.strip_prefix("kafka://"));
    if brokers.is_none() {
        println!("kafka    SKIPPED: PLAUDIT_TEST_KAFKA is not set");
    }
    for (number, load) in
        [(1, 1, 500), (64, 1, 300), (1, 100, 200), (8, 100, 100), (4, 1_000, 20)].into_iter().enumerate()
    {
        let dir = tempfile::tempdir().expect("a directory");
        let time = clock();
        let log = SqliteLog::open(&dir.path().join("log.db"), time.clone()).expect("a log");
        runtime.block_on(measure("embedded", Arc::new(log), time, load));
        if let Some(brokers) = brokers {
            let time = clock();
            let log = runtime.block_on(on_kafka(brokers, number, time.clone()));
            runtime.block_on(measure("kafka", log, time, load));
        }
    }
}
