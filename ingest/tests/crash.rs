//! A process that is killed while it takes signals in: what it acknowledged is there.
//!
//! This program is both: the test, and, where [`DIRECTORY`] says where to work, the process that it kills. So it has a
//! `main` of its own.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "a test without a harness reports itself")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use plaudit_event::{Envelope, Event, ManualClock, Timestamp};
use plaudit_ingest::log::{EventLog, SqliteLog, Topic};
use plaudit_ingest::{Config, Intake, Outcome};
use serde_json::{Value, json};

/// Tells the child where to work.
const DIRECTORY: &str = "PLAUDIT_TEST_CRASH_DIRECTORY";
const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn batch(number: usize) -> Vec<Value> {
    let signal = |i| json!({"signal_id": format!("{number}-{i}"), "exposure_id": "e", "kind": "love", "ts": 5});
    (0..5).map(signal).collect()
}

async fn open(directory: &Path) -> (Arc<dyn EventLog>, Intake) {
    let clock = Arc::new(ManualClock::new(NOW));
    let log = SqliteLog::open(&directory.join("log.db"), clock.clone()).unwrap();
    let log: Arc<dyn EventLog> = Arc::new(log);
    let intake = Intake::open(log.clone(), clock, &Config::default()).await;
    (log, intake.unwrap())
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match std::env::var_os(DIRECTORY) {
        Some(directory) => runtime.block_on(child(Path::new(&directory))),
        None => {
            runtime.block_on(what_a_killed_process_acknowledged_is_there());
            println!("test what_a_killed_process_acknowledged_is_there ... ok");
        }
    }
}

/// Sends batches for ever and says which were acknowledged.
async fn child(directory: &Path) {
    let (_log, intake) = open(directory).await;
    for number in 0.. {
        intake.signals(batch(number)).await.unwrap();
        println!("acknowledged {number}");
    }
}

async fn what_a_killed_process_acknowledged_is_there() {
    let directory = tempfile::tempdir().unwrap();
    for kill_after in [1, 7, 30] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = lines.map_while(Result::ok).filter(|line| line.starts_with("acknowledged"));
        let acknowledged = told.take(kill_after).count();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(acknowledged, kill_after);

        let (log, intake) = open(directory.path()).await;
        let ids: Vec<String> =
            log.read(Topic::Signals, 0, usize::MAX).await.unwrap().iter().map(|stored| id_of(&stored.value)).collect();
        let distinct: BTreeSet<&String> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len(), "each once, also after the restarts");
        assert_eq!(ids.len() % 5, 0, "no batch is torn");
        for number in 0..kill_after {
            let outcomes = intake.signals(batch(number)).await.unwrap();
            assert_eq!(outcomes, [const { Outcome::Duplicate }; 5], "batch {number} is there");
        }
    }
}

fn id_of(value: &[u8]) -> String {
    match Envelope::decode(value).unwrap().event {
        Event::Signal(signal) => signal.signal_id.to_string(),
        other => panic!("not a signal: {other:?}"),
    }
}
