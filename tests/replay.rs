//! `plaudit replay`: old traffic under another configuration, beside the log and without touching it.

#[path = "support/command.rs"]
mod command;
#[path = "support/events.rs"]
mod events;
#[path = "support/failure.rs"]
mod failure;

use std::path::{Path, PathBuf};

use command::succeed;
use events::{START, traffic, write};
use failure::{fail, text};
use serde_json::{Value, json};

fn ask(arguments: &[&str]) -> Value {
    serde_json::from_str(&succeed(arguments)).expect("JSON")
}

fn filled(dir: &Path) -> PathBuf {
    let data = dir.join("data");
    let file = write(&dir.join("events.jsonl"), &traffic(300));
    succeed(&["import", text(&file), "--data", text(&data), "--event-time"]);
    data
}

fn figures(report: &Value) -> [u64; 6] {
    ["exposures", "examples", "equal", "different", "new", "gone"].map(|key| report[key].as_u64().expect("a number"))
}

#[test]
fn the_same_configuration_makes_the_same_examples_of_any_stretch() {
    let dir = tempfile::tempdir().unwrap();
    let data = filled(dir.path());
    let log = std::fs::read(data.join("plaudit.db")).unwrap();
    let out = dir.path().join("examples.jsonl.zst");
    let whole = ask(&["replay", "--data", text(&data), "--from", "0", "--out", text(&out), "--json"]);
    assert_eq!(figures(&whole), [300, 300, 300, 0, 0, 0], "{whole}");
    let part = ask(&[
        "replay",
        "--data",
        text(&data),
        "--from",
        "exposures:100",
        "--to",
        "exposures:150",
        "--out",
        text(&out),
        "--json",
    ]);
    assert_eq!(figures(&part), [50, 50, 50, 0, 0, 0], "{part}");
    let before = (START - 1).to_string();
    let none = ask(&["replay", "--data", text(&data), "--from", "0", "--to", &before, "--out", text(&out), "--json"]);
    assert_eq!(figures(&none), [0; 6], "{none}");
    assert_eq!(std::fs::read(data.join("plaudit.db")).unwrap(), log, "the log stays as it is");
    fail(&["replay", "--data", text(&data), "--from", "0"], 2, &["--out", "--into"]);
    fail(&["replay", "--data", text(&data), "--from", "soon", "--out", "x"], 2, &["`2h ago`", "exposures:123"]);
    fail(&["replay", "--data", text(&data), "--from", "exposures/9:1", "--out", text(&out)], 1, &["shard", "below 1"]);
}

#[test]
fn another_configuration_shows_which_examples_would_differ() {
    let dir = tempfile::tempdir().unwrap();
    let data = filled(dir.path());
    let config = dir.path().join("plaudit.toml");
    // A love 500 ms after the exposure counts no more; and silence says nothing about clicks anywhere.
    std::fs::write(&config, "[ingest]\nwindow = '300ms'\n").unwrap();
    let into = dir.path().join("into");
    let arguments = ["replay", "--config", text(&config), "--data", text(&data), "--from", "0", "--into", text(&into)];
    let report = ask(&[&arguments[..], &["--json"]].concat());
    assert_eq!(figures(&report), [300, 300, 200, 100, 0, 0], "{report}");
    assert_eq!(report["objectives"], json!({"love": 100}));
    let examples = succeed(&["export", "examples", "--data", text(&into)]);
    assert_eq!(examples.lines().count(), 300);
    let times = |data: &Path| succeed(&["export", "exposures", "--data", text(data)]);
    assert_eq!(times(&into), times(&data));
    assert!(ask(&["store", "verify", "--json", "--data", text(&into)])["agrees"] == true);
    fail(&arguments, 1, &["`--into` must name an empty or new directory"]);
}
