//! `plaudit store`: a store that does not hold what the log says is found out, and made again.

#[path = "support/command.rs"]
mod command;
#[path = "support/events.rs"]
mod events;
#[path = "support/failure.rs"]
mod failure;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use command::{plaudit, run, succeed};
use events::{traffic, write};
use failure::{fail, text};
use plaudit_event::UnitId;
use plaudit_ingest::store::EventStore as _;
use serde_json::Value;

/// A data directory with `count` exposures, their signals and examples.
fn filled(dir: &Path, count: u64) -> PathBuf {
    let data = dir.join("data");
    let mut events = traffic(count);
    events.push(Value::from("no event"));
    let file = write(&dir.join("events.jsonl"), &events);
    succeed(&["import", text(&file), "--data", text(&data), "--event-time"]);
    data
}

fn verify(data: &Path) -> (bool, Value) {
    let output = run(&["store", "verify", "--json", "--data", text(data)]);
    (output.status.success(), serde_json::from_slice(&output.stdout).expect("JSON"))
}

fn exports(data: &Path) -> Vec<String> {
    ["exposures", "signals", "examples"].map(|rows| succeed(&["export", rows, "--data", text(data)])).into()
}

#[test]
fn a_store_that_lost_rows_is_found_out_and_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let data = filled(dir.path(), 300);
    let (agrees, report) = verify(&data);
    assert!(agrees, "{report}");
    assert_eq!(report["parts"]["exposures/0"]["in_log"], 300);
    assert_eq!(report["parts"]["dead_letters/0"]["in_store"], 1);
    assert!(succeed(&["store", "verify", "--data", text(&data)]).contains("log and store agree"));
    let before = exports(&data);
    {
        let store = plaudit_ingest::store::SqliteStore::open(&data.join("store.db")).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(store.erase(&UnitId::new("u3").unwrap())).unwrap();
    }
    let (agrees, report) = verify(&data);
    assert!(!agrees);
    assert_eq!(report["parts"]["exposures/0"]["missing"], 43);
    fail(&["store", "verify", "--data", text(&data)], 1, &["plaudit store rebuild"]);
    let said = succeed(&["store", "rebuild", "--data", text(&data)]);
    assert!(said.contains("300 exposures, 100 signals, 300 examples, 1 dead letters"), "{said}");
    assert!(verify(&data).0);
    assert_eq!(exports(&data), before);
    let left: Vec<_> = std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("rebuild")), "{left:?}");
}

#[test]
fn a_store_that_is_damaged_or_of_another_log_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let data = filled(dir.path(), 30);
    let before = exports(&data);
    std::fs::write(data.join("store.db"), vec![7; 8_192]).unwrap();
    fail(&["store", "verify", "--data", text(&data)], 1, &["store.db"]);
    succeed(&["store", "rebuild", "--data", text(&data)]);
    assert_eq!(exports(&data), before);
    assert_eq!(std::fs::read(data.join("store.db.unknown")).unwrap(), [7; 8_192], "what is no store is kept");
    let other = dir.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let file = write(&dir.path().join("other.jsonl"), &traffic(5));
    succeed(&["import", text(&file), "--data", text(&other)]);
    std::fs::copy(data.join("store.db"), other.join("store.db")).unwrap();
    // What a rebuild of the first log has left, too.
    std::fs::copy(data.join("store.db"), other.join("store.db.rebuild")).unwrap();
    assert!(!verify(&other).0, "another log is recognised");
    succeed(&["store", "rebuild", "--data", text(&other)]);
    let (agrees, report) = verify(&other);
    assert!(agrees && report["parts"]["exposures/0"]["in_store"] == 5, "{report}");
}

#[test]
fn a_rebuild_that_is_killed_leaves_the_old_store_and_is_finished_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let data = filled(dir.path(), 4_000);
    let before = exports(&data);
    for round in 0..6_u64 {
        let arguments = ["store", "rebuild", "--data", text(&data)];
        let mut child = plaudit(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(40 * round));
        // It may have ended already.
        let _ = child.kill();
        child.wait().unwrap();
        assert!(verify(&data).0, "round {round}");
    }
    succeed(&["store", "rebuild", "--data", text(&data)]);
    assert!(verify(&data).0);
    assert_eq!(exports(&data), before);
}
