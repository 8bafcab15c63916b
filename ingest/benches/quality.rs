//! What the steps of `[ingest.quality]` cost: processor time of one exposure through intake into a log in
//! memory.
//!
//! `cargo bench -p plaudit-ingest --bench quality`
#![expect(clippy::print_stdout, reason = "a benchmark reports to the terminal")]

#[path = "support/cpu.rs"]
mod support;

use std::sync::Arc;

use plaudit_event::{ManualClock, Timestamp};
use plaudit_ingest::log::{EventLog, MemoryLog};
use plaudit_ingest::{Config, Intake, Outcome, Pattern, Salt};
use serde_json::{Value, json};

const NOW: i64 = 1_700_000_000_000;
const BATCHES: usize = 300;
const BATCH: usize = 100;

/// 320 characters as people write them.
const PLAIN: &str = "My flight on 2026-11-26 was moved from 14:30 to 18:45 and I would like to know whether I can still \
    reach the connection in Vienna. The booking is for two adults and one child, 1,240.50 in total, and we paid for \
    extra bags. If it does not work out: what are the options, and who pays for a night in a hotel near the airport?";
/// The same with an address, a number and a card.
const PERSONAL: &str = "My flight on 2026-11-26 was moved from 14:30 to 18:45, write to ada.lovelace@example.org or call \
    +49 30 1234567 please. The booking is for two adults and one child, paid with 4111 1111 1111 1111, and we paid for \
    extra bags. If it does not work out: what are the options, and who pays for a night in a hotel near the airport?";

fn batch(number: usize, text: &str) -> Vec<Value> {
    let message = json!({"role": "user", "content": text});
    let exposure = |i| {
        json!({
            "exposure_id": format!("e-{number}-{i}"), "unit_id": format!("unit-{}", (number * BATCH + i) % 5_000),
            "surface": "chat", "policy_id": "gen-1", "ts": NOW, "context": {"messages": [message, message, message]},
            "slate": [{"item_id": "response", "position": 0, "content": PLAIN}],
            "attributes": {"user_agent": "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0"},
        })
    };
    (0..BATCH).map(exposure).collect()
}

async fn measure(name: &str, config: &Config, text: &str) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(NOW)));
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(clock.clone()));
    let intake = Intake::open(log, clock, config).await.expect("an empty log");
    let batches: Vec<Vec<Value>> = (0..BATCHES).map(|number| batch(number, text)).collect();
    let before = support::cpu();
    for batch in batches {
        let outcomes = intake.exposures(batch).await.expect("the log takes it");
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Accepted));
    }
    let cpu = support::cpu().saturating_sub(before);
    println!("{name:45} {:6.1} CPU µs per exposure", cpu.as_secs_f64() * 1e6 / (BATCHES * BATCH) as f64);
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let off = Config::default();
    let mut hashing = off.clone();
    hashing.quality.hashing.enabled = true;
    hashing.quality.hashing.salt = Salt::new(b"a salt of 24 bytes, yes.").ok();
    let mut redaction = off.clone();
    redaction.quality.redaction.patterns =
        vec![Pattern::Email, Pattern::Phone, Pattern::CreditCard, Pattern::Ipv4, Pattern::Ipv6];
    let mut bots = off.clone();
    let rule = toml::from_str("field = 'attributes.user_agent'\nmatches = '(?i)bot|crawler|spider'");
    bots.quality.bots.rules.push(rule.expect("a rule"));
    let mut guard = off.clone();
    guard.quality.rates.signals = 100;
    guard.quality.suspicion.enabled = true;
    runtime.block_on(async {
        println!("three messages of {} bytes each", PLAIN.len());
        measure("warming up", &off, PLAIN).await;
        measure("all off", &off, PLAIN).await;
        measure("hashing", &hashing, PLAIN).await;
        measure("redaction, five patterns, nothing to find", &redaction, PLAIN).await;
        measure("redaction, five patterns, nine to find", &redaction, PERSONAL).await;
        measure("one rule for bots", &bots, PLAIN).await;
        measure("rates and suspicion", &guard, PLAIN).await;
        measure("all off", &off, PLAIN).await;
    });
}
