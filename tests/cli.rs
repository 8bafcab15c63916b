//! The command line as a user meets it: what it prints, and how it fails.

#[path = "support/command.rs"]
mod command;
#[path = "support/server.rs"]
mod server;

use std::path::{Path, PathBuf};

use command::{run, succeed};
use serde_json::Value;
use server::Server;

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn root(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// Fails with `code` and says all of `parts`.
fn fail(arguments: &[&str], code: i32, parts: &[&str]) {
    let output = run(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    for part in parts {
        assert!(said.contains(part), "{arguments:?} does not say `{part}`: {said}");
    }
}

/// A file of exposures, each loved if its number is a multiple of 3; times are seconds apart, far in the past.
fn events(dir: &Path, count: u64) -> PathBuf {
    let mut lines = String::new();
    for number in 0..count {
        let ts = 1_600_000_000_000 + number * 1_000;
        lines += &format!(
            r#"{{"v":1,"event":"exposure","data":{{"exposure_id":"e{number}","unit_id":"u{}","surface":"chat","policy_id":"p","context":{{"messages":[{{"role":"user","content":"hi"}}]}},"slate":[{{"item_id":"response","position":0,"content":"hello"}}],"ts":{ts}}}}}"#,
            number % 7
        );
        lines.push('\n');
        if number % 3 == 0 {
            lines += &format!(
                r#"{{"v":1,"event":"signal","data":{{"signal_id":"s{number}","exposure_id":"e{number}","kind":"love","ts":{}}}}}"#,
                ts + 500
            );
            lines.push('\n');
        }
    }
    let path = dir.join("events.jsonl");
    std::fs::write(&path, lines).expect("a writable directory");
    path
}

#[test]
fn an_invalid_configuration_is_told_completely() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("bad.toml");
    std::fs::write(&config, "seed = 'x'\n[serving]\npoll = '0s'\nlistn = 3\n[ingest]\nwindow = '0s'\n").unwrap();
    let parts = ["seed", "serving.listn", "unknown field", "serving.poll", "must be above 0s", "ingest.window"];
    fail(&["config", "check", "--config", text(&config)], 2, &parts);
    fail(&["up", "--config", text(&config)], 2, &parts);
    fail(&["config", "check", "--config", "/nowhere/plaudit.toml"], 2, &["cannot read `/nowhere/plaudit.toml`"]);
    std::fs::write(&config, "seed = = 1\n").unwrap();
    fail(&["config", "check", "--config", text(&config)], 2, &["not valid TOML"]);
}

#[test]
fn the_shipped_configuration_shows_every_default() {
    let shipped = root("deploy/embedded.toml");
    assert_eq!(succeed(&["config", "print", "--config", text(&shipped)]), succeed(&["config", "print"]));
    let written = std::fs::read_to_string(&shipped).unwrap();
    for line in succeed(&["config", "print"]).lines() {
        if let Some((key, _)) = line.split_once(" = ") {
            assert!(written.contains(&format!("{key} = ")), "deploy/embedded.toml lacks `{key}`");
        }
    }
}

#[test]
fn replay_gives_the_same_examples_every_time_and_exports_what_it_took() {
    let dir = tempfile::tempdir().unwrap();
    let file = events(dir.path(), 300);
    let mut exports = Vec::new();
    for name in ["one", "two"] {
        let data = dir.path().join(name);
        let data = text(&data);
        let tally: Value =
            serde_json::from_str(&succeed(&["replay", text(&file), "--data", data, "--event-time", "--json"])).unwrap();
        assert_eq!((&tally["received"], &tally["accepted"]), (&Value::from(400), &Value::from(400)));
        assert_eq!(tally["examples"], 300);
        exports.push(succeed(&["export", "examples", "--data", data]));
        assert_eq!(succeed(&["export", "signals", "--data", data]).lines().count(), 100);
    }
    assert_eq!(exports[0], exports[1]);
    let loved = exports[0].lines().filter(|line| {
        let example: Value = serde_json::from_str(line).unwrap();
        example["data"]["labels"]["love"]["value"] == 1.0
    });
    assert_eq!(loved.count(), 100);
}

#[test]
fn replay_refuses_line_by_line_and_knows_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let file = events(dir.path(), 10);
    let mut lines = std::fs::read_to_string(&file).unwrap();
    lines += "{\"v\":1,\n{\"v\":9,\"event\":\"signal\"}\n";
    lines += "{\"v\":1,\"event\":\"signal\",\"data\":{\"signal_id\":\"x\",\"exposure_id\":\"e1\",\"kind\":\"adore\",\"ts\":1600000000000}}\n";
    std::fs::write(&file, lines).unwrap();
    let data = dir.path().join("data");
    let arguments = ["replay", text(&file), "--data", text(&data), "--json"];
    let tally: Value = serde_json::from_str(&succeed(&arguments)).unwrap();
    let counts = |tally: &Value| {
        ["received", "accepted", "duplicate", "rejected", "quarantined"].map(|key| tally[key].as_u64().unwrap())
    };
    assert_eq!(counts(&tally), [17, 14, 0, 2, 1]);
    let again: Value = serde_json::from_str(&succeed(&arguments)).unwrap();
    assert_eq!(counts(&again), [17, 0, 14, 2, 1]);
    fail(&["replay", "/nowhere/events", "--data", text(&data)], 1, &["failed to open `/nowhere/events`"]);
}

#[test]
fn a_directory_in_use_and_a_port_in_use_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("plaudit.toml");
    std::fs::write(&config, "[learn]\nenabled = false\n").unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&config, &data);
    fail(&["up", "--data", text(&data), "--listen", "127.0.0.1:0"], 1, &["locked"]);
    fail(&["export", "examples", "--data", text(&data)], 1, &["locked"]);
    let address = server.url.trim_start_matches("http://").to_owned();
    let other = dir.path().join("other");
    fail(&["up", "--data", text(&other), "--listen", &address], 1, &["cannot listen on", &address]);
    server.stop();
    fail(&["export", "examples", "--data", text(&dir.path().join("none"))], 1, &["no data directory"]);
}

#[test]
fn damaged_data_stops_the_start_and_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let database = data.join("plaudit.db");
    let garbage = vec![7_u8; 8_192];
    std::fs::write(&database, &garbage).unwrap();
    fail(&["up", "--data", text(&data), "--listen", "127.0.0.1:0"], 1, &["plaudit.db"]);
    assert_eq!(std::fs::read(&database).unwrap(), garbage, "a file that is not ours is not touched");
}

#[test]
fn an_altered_checkpoint_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("plaudit.toml");
    std::fs::write(&config, "[learn]\nenabled = false\n").unwrap();
    let data = dir.path().join("data");
    Server::start(&config, &data).stop();
    let policy = std::fs::read_dir(data.join("policies")).unwrap().next().expect("the first policy").unwrap().path();
    let weights = policy.join("model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    fail(&["up", "--data", text(&data), "--listen", "127.0.0.1:0"], 1, &["model.safetensors", "hash"]);
}

#[test]
fn a_demo_needs_a_scenario_and_an_empty_directory() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("something"), "here").unwrap();
    fail(&["demo", "--data", text(dir.path())], 1, &["must name an empty or new directory"]);
    fail(&["demo", "--scenario", "nonsense"], 1, &["nonsense", "demo"]);
}

#[test]
fn a_rollback_without_a_server_says_what_is_missing() {
    let arguments = ["policy", "rollback", "--reason", "x", "--server", "http://127.0.0.1:9"];
    fail(&arguments, 1, &["no answer from http://127.0.0.1:9", "plaudit up"]);
}
