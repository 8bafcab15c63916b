//! `plaudit import` and `plaudit export`: files of events into a data directory and out of it.

#[path = "support/command.rs"]
mod command;
#[path = "support/failure.rs"]
mod failure;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use command::succeed;
use failure::{fail, text};
use serde_json::{Value, json};

/// A file of exposures, each loved if its number is a multiple of 3; times are seconds apart, far in the past.
fn events(dir: &Path, count: u64) -> PathBuf {
    events_from(dir, 1_600_000_000_000, "", count)
}

/// The same from `start` on, with ids that begin with `prefix`.
fn events_from(dir: &Path, start: u64, prefix: &str, count: u64) -> PathBuf {
    let mut lines = String::new();
    for number in 0..count {
        let (id, ts) = (format!("{prefix}e{number}"), start + number * 1_000);
        let exposure = json!({"exposure_id": id, "unit_id": format!("u{}", number % 7), "surface": "chat", "policy_id": "p",
            "context": {"messages": [{"role": "user", "content": "hi"}]},
            "slate": [{"item_id": "response", "position": 0, "content": "hello"}], "ts": ts});
        lines += &format!("{}\n", json!({"v": 1, "event": "exposure", "data": exposure}));
        if number % 3 == 0 {
            let love =
                json!({"signal_id": format!("{prefix}s{number}"), "exposure_id": id, "kind": "love", "ts": ts + 500});
            lines += &format!("{}\n", json!({"v": 1, "event": "signal", "data": love}));
        }
    }
    let path = dir.join(format!("{prefix}events.jsonl"));
    std::fs::write(&path, lines).expect("a writable directory");
    path
}

#[test]
fn an_import_gives_the_same_examples_every_time_and_exports_what_it_took() {
    let dir = tempfile::tempdir().unwrap();
    let file = events(dir.path(), 300);
    let mut exports = Vec::new();
    for name in ["one", "two"] {
        let data = dir.path().join(name);
        let data = text(&data);
        let tally: Value =
            serde_json::from_str(&succeed(&["import", text(&file), "--data", data, "--event-time", "--json"])).unwrap();
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
fn an_import_refuses_line_by_line_and_knows_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let file = events(dir.path(), 10);
    let mut lines = std::fs::read_to_string(&file).unwrap();
    lines += "{\"v\":1,\n{\"v\":9,\"event\":\"signal\"}\n";
    lines += "{\"v\":1,\"event\":\"signal\",\"data\":{\"signal_id\":\"x\",\"exposure_id\":\"e1\",\"kind\":\"adore\",\"ts\":1600000000000}}\n";
    std::fs::write(&file, lines).unwrap();
    let data = dir.path().join("data");
    let arguments = ["import", text(&file), "--data", text(&data), "--json"];
    let tally: Value = serde_json::from_str(&succeed(&arguments)).unwrap();
    let counts = |tally: &Value| {
        ["received", "accepted", "duplicate", "rejected", "quarantined"].map(|key| tally[key].as_u64().unwrap())
    };
    assert_eq!(counts(&tally), [17, 14, 0, 2, 1]);
    assert_eq!(tally["reasons"], json!({"json": 1, "newer_version": 1, "unknown_kind": 1}));
    let again: Value = serde_json::from_str(&succeed(&arguments)).unwrap();
    assert_eq!(counts(&again), [17, 0, 14, 2, 1]);
    fail(&["import", "/nowhere/events", "--data", text(&data)], 1, &["failed to open `/nowhere/events`"]);
}

#[test]
fn an_export_has_what_a_killed_process_acknowledged_and_survives_a_reader_that_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let file = events(dir.path(), 3_000);
    succeed(&["import", text(&file), "--data", text(&data)]);
    std::fs::remove_file(data.join("store.db")).unwrap();
    assert_eq!(succeed(&["export", "signals", "--data", text(&data)]).lines().count(), 1_000);
    let arguments = ["export", "exposures", "--data", text(&data)];
    let mut child = command::plaudit(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success(), "a closed pipe is no failure");
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    fail(&["export", "signals", "--data", text(&empty)], 1, &["no data in", "plaudit.db"]);
    assert_eq!(std::fs::read_dir(&empty).unwrap().count(), 0, "nothing is made");
}

#[test]
fn an_event_from_the_future_does_not_move_the_time_of_a_log() {
    let dir = tempfile::tempdir().unwrap();
    let file = events(dir.path(), 300);
    let lines = std::fs::read_to_string(&file).unwrap();
    // Microseconds where milliseconds belong.
    let future =
        lines.lines().next().unwrap().replace("\"e0\"", "\"future\"").replace("1600000000000", "1600000000000000");
    std::fs::write(&file, format!("{future}\n{lines}")).unwrap();
    let data = dir.path().join("data");
    let arguments = ["import", text(&file), "--data", text(&data), "--event-time", "--json"];
    let tally: Value = serde_json::from_str(&succeed(&arguments)).unwrap();
    assert_eq!((&tally["rejected"], &tally["accepted"], &tally["examples"]), (&1.into(), &400.into(), &300.into()));
    assert_eq!(tally["displaced"], 0);
}

#[test]
fn a_file_that_is_not_in_order_of_time_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = events(dir.path(), 6_000);
    let lines = std::fs::read_to_string(&file).unwrap();
    let mut lines: Vec<&str> = lines.lines().collect();
    let first = lines.remove(0);
    lines.push(first);
    std::fs::write(&file, lines.join("\n")).unwrap();
    let data = dir.path().join("data");
    let said = succeed(&["import", text(&file), "--data", text(&data), "--event-time"]);
    assert!(said.contains("1 events happened more than a window before"), "{said}");
    let older = events_from(dir.path(), 1_500_000_000_000, "older-", 6_000);
    let said = succeed(&["import", text(&older), "--data", text(&data), "--event-time", "--json"]);
    let tally: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&tally["accepted"], &tally["displaced"]), (&8_000.into(), &8_000.into()), "older than what is there");
    fail(
        &["import", text(&file), "--data", text(&data), "--event-time", "--speed", "recorded"],
        1,
        &["exclude each other"],
    );
}

#[test]
fn a_recorded_import_takes_at_least_as_long_as_the_record() {
    let dir = tempfile::tempdir().unwrap();
    let file = events(dir.path(), 3);
    let started = std::time::Instant::now();
    let data = dir.path().join("data");
    succeed(&["import", text(&file), "--data", text(&data), "--speed", "recorded"]);
    // Three exposures a second apart. A lower bound holds on the slowest machine.
    assert!(started.elapsed() >= std::time::Duration::from_secs(2));
}

/// The events of `file` through `command`, which writes to its standard output.
fn through(command: &[&str], file: &Path) -> Vec<u8> {
    let output = std::process::Command::new(command[0]).args(&command[1..]).arg(file).output().expect("it runs");
    assert!(output.status.success());
    output.stdout
}

#[test]
fn compressed_files_are_told_by_their_content_and_several_are_taken_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let plain = events_from(dir.path(), 1_600_000_000_000, "plain-", 30);
    let mut inputs = vec![plain];
    for (command, prefix) in [(["gzip", "-c"], "gzip-"), (["zstd", "-qc"], "zstd-")] {
        let file = events_from(dir.path(), 1_600_000_000_000, prefix, 30);
        if std::process::Command::new(command[0]).arg("--version").output().is_err() {
            println!("skipped: there is no {}", command[0]);
            continue;
        }
        // Two members one after the other, as `cat` makes them; the name says nothing.
        let bytes = through(&command, &file);
        let empty = dir.path().join("empty");
        std::fs::write(&empty, "").unwrap();
        std::fs::write(&file, [bytes, through(&command, &empty)].concat()).unwrap();
        inputs.push(file);
    }
    let data = dir.path().join("data");
    let mut arguments = vec!["import", "--data", text(&data), "--json"];
    arguments.extend(inputs.iter().map(|input| text(input)));
    let tally: Value = serde_json::from_str(&succeed(&arguments)).unwrap();
    assert_eq!(tally["accepted"], 40 * inputs.len());
}

#[test]
fn standard_input_is_a_file_and_what_is_no_event_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut child = command::plaudit(&["import", "-", "--data", text(&data)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"no event\n\n{}\n").unwrap();
    let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(said.contains("2 received = 0 accepted + 0 duplicate + 2 rejected"), "{said}");
    assert!(said.contains("  json ") && said.contains("  version ") && said.contains("plaudit dlq list"), "{said}");
}

#[test]
fn what_was_exported_is_imported_again_as_duplicates_and_elsewhere_as_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (data, other) = (dir.path().join("data"), dir.path().join("other"));
    succeed(&["import", text(&events(dir.path(), 300)), "--data", text(&data), "--event-time"]);
    let (exposures, signals) = (dir.path().join("exposures.gz"), dir.path().join("signals.zst"));
    let mut plain = Vec::new();
    for (rows, file, count) in [("exposures", &exposures, 300), ("signals", &signals, 100)] {
        let said = succeed(&["export", rows, "--data", text(&data), "--out", text(file), "--json"]);
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["rows"], count);
        plain.push(succeed(&["export", rows, "--data", text(&data)]));
        let again = ["import", text(file), "--data", text(&data), "--json"];
        let tally: Value = serde_json::from_str(&succeed(&again)).unwrap();
        assert_eq!((&tally["received"], &tally["duplicate"]), (&count.into(), &count.into()));
    }
    succeed(&["import", text(&exposures), text(&signals), "--data", text(&other)]);
    assert_eq!(succeed(&["export", "exposures", "--data", text(&other)]), plain[0]);
    assert_eq!(succeed(&["export", "signals", "--data", text(&other)]), plain[1]);
    fail(
        &["export", "signals", "--data", text(&data), "--out", "/nowhere/x"],
        1,
        &["failed to create `/nowhere/x.part`"],
    );
    fail(&["export", "signals", "--data", text(&data), "--json"], 2, &["--out"]);
}
