//! A process that is killed while it takes signals in: what it acknowledged is there.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use plaudit_event::{Envelope, Event};
use plaudit_ingest::log::{EventLog, SqliteLog, Topic};
use plaudit_ingest::{Config, Intake, Outcome};
use serde_json::{Value, json};

use crate::support::{clock, values};

/// Tells the child where to work.
const DIRECTORY: &str = "PLAUDIT_TEST_CRASH_DIRECTORY";
const NOW: i64 = 1_000_000;

fn batch(number: usize) -> Vec<Value> {
    let signal = |i| json!({"signal_id": format!("{number}-{i}"), "exposure_id": "e", "kind": "love", "ts": 5});
    (0..5).map(signal).collect()
}

async fn open(directory: &Path) -> (Arc<dyn EventLog>, Intake) {
    let clock = clock(NOW);
    let log = SqliteLog::open(&directory.join("log.db"), clock.clone()).unwrap();
    let log: Arc<dyn EventLog> = Arc::new(log);
    let intake = Intake::open(log.clone(), clock, &Config::default()).await;
    (log, intake.unwrap())
}

/// Run by the test below in a process of its own: sends batches for ever and says which were
/// acknowledged.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the child process of `what_a_killed_process_acknowledged_is_there`"]
async fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let (_log, intake) = open(Path::new(&directory)).await;
    for number in 0.. {
        intake.signals(batch(number)).await.unwrap();
        let mut out = std::io::stdout();
        writeln!(out, "acknowledged {number}").unwrap();
        out.flush().unwrap();
    }
}

#[tokio::test]
async fn what_a_killed_process_acknowledged_is_there() {
    let directory = tempfile::tempdir().unwrap();
    for kill_after in [1, 7, 30] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::child", "--ignored", "--nocapture"])
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
        let ids: Vec<String> = values(&*log, Topic::Signals).await.iter().map(|text| id_of(text)).collect();
        let distinct: BTreeSet<&String> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len(), "each once, also after the restarts");
        assert_eq!(ids.len() % 5, 0, "no batch is torn");
        for number in 0..kill_after {
            let outcomes = intake.signals(batch(number)).await.unwrap();
            assert_eq!(outcomes, [const { Outcome::Duplicate }; 5], "batch {number} is there");
        }
    }
}

fn id_of(text: &str) -> String {
    match Envelope::decode(text.as_bytes()).unwrap().event {
        Event::Signal(signal) => signal.signal_id.to_string(),
        other => panic!("not a signal: {other:?}"),
    }
}
