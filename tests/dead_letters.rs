//! `plaudit dlq`: what was refused is found, mended and sent again, once.

#[path = "support/command.rs"]
mod command;
#[path = "support/events.rs"]
mod events;
#[path = "support/failure.rs"]
mod failure;

use std::path::Path;

use command::{plaudit, run, succeed};
use events::{START, signal, traffic, write};
use failure::{fail, text};
use serde_json::Value;

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&succeed(arguments)).expect("JSON")
}

/// A data directory with an exposure, a signal of an unknown kind, and a line that is no JSON.
fn refused(dir: &Path) -> String {
    let file = write(
        &dir.join("events.jsonl"),
        &[traffic(2)[2].clone(), signal("s1", "e1", "adore", START + 1), Value::from("no event")],
    );
    let data = dir.join("data");
    succeed(&["import", text(&file), "--data", text(&data)]);
    text(&data).to_owned()
}

fn ids(data: &str, more: &[&str]) -> Vec<String> {
    let listed = json(&[&["dlq", "list", "--json", "--data", data], more].concat());
    let letters = listed["letters"].as_array().expect("a list").iter();
    letters.map(|letter| letter["id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn letters_are_listed_and_shown() {
    let dir = tempfile::tempdir().unwrap();
    let data = refused(dir.path());
    assert_eq!(ids(&data, &[]), ["0/0", "0/1"]);
    assert_eq!(ids(&data, &["--reason", "unknown_kind"]), ["0/0"]);
    assert_eq!(ids(&data, &["--limit", "1"]), ["0/1"], "the newest");
    assert_eq!(ids(&data, &["--since", "1h ago"]).len(), 2);
    assert_eq!(ids(&data, &["--since", "2100-01-01T00:00:00Z"]).len(), 0);
    let listed = succeed(&["dlq", "list", "--data", &data]);
    assert!(listed.contains("unknown_kind") && listed.contains("2 dead letters"), "{listed}");
    let shown = json(&["dlq", "show", "0/0", "--json", "--data", &data]);
    assert_eq!((&shown["reason"], &shown["field"]), (&"unknown_kind".into(), &"kind".into()));
    assert!(shown["raw"].as_str().unwrap().contains("adore"));
    assert!(succeed(&["dlq", "show", "0/1", "--data", &data]).contains("\"no event\""));
    fail(&["dlq", "show", "0/7", "--data", &data], 1, &["no dead letter 0/7", "dlq list"]);
    fail(&["dlq", "show", "seven", "--data", &data], 2, &["SHARD/OFFSET"]);
    fail(&["dlq", "list", "--reason", "odd", "--data", &data], 2, &["unknown_kind"]);
}

#[test]
fn a_mended_letter_is_sent_once_and_stays_resolved_without_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let data = refused(dir.path());
    let wrong = ["dlq", "fix", "0/0", "--set", "data.kind=adored", "--data", &data];
    fail(&wrong, 1, &["still refused as `unknown_kind`", "kind"]);
    fail(&["dlq", "replay", "--all", "--data", &data], 1, &["2 letters were not taken"]);
    assert_eq!(ids(&data, &["--all"]).len(), 2, "what would be refused again makes no further letters");
    let said = succeed(&["dlq", "fix", "0/0", "--set", "data.kind=love", "--data", &data]);
    assert!(said.contains("\"love\"") && said.contains("plaudit dlq replay 0/0"), "{said}");
    let sent = json(&["dlq", "replay", "0/0", "--json", "--data", &data]);
    assert_eq!(sent["accepted"], 1);
    assert_eq!(ids(&data, &[]), ["0/1"], "it is resolved");
    std::fs::remove_file(Path::new(&data).join("store.db")).unwrap();
    let again = json(&["dlq", "replay", "0/0", "--json", "--data", &data]);
    assert_eq!((&again["accepted"], &again["duplicate"]), (&0.into(), &1.into()));
    assert_eq!(ids(&data, &[]), ["0/1"]);
    assert_eq!(succeed(&["export", "signals", "--data", &data]).lines().count(), 1);
    let agreed = json(&["store", "verify", "--json", "--data", &data]);
    assert_eq!(agreed["agrees"], true, "a mended envelope is no refusal of its own: {agreed}");
}

#[test]
fn a_letter_is_mended_from_a_file_or_in_an_editor() {
    let dir = tempfile::tempdir().unwrap();
    let data = refused(dir.path());
    fail(&["dlq", "fix", "0/1", "--set", "v=1", "--data", &data], 1, &["neither an object nor a list"]);
    let file = dir.path().join("mended.json");
    std::fs::write(&file, serde_json::to_string_pretty(&signal("s2", "e1", "copy", START + 2)).unwrap()).unwrap();
    let checked = json(&["dlq", "fix", "0/1", "--file", text(&file), "--check", "--json", "--data", &data]);
    assert_eq!((&checked["is_kept"], &checked["refusal"]), (&false.into(), &Value::Null));
    succeed(&["dlq", "fix", "0/1", "--file", text(&file), "--data", &data]);
    let editing = ["dlq", "fix", "0/0", "--edit", "--data", &data];
    let edited = plaudit(&editing).env("VISUAL", "sed -i s/adore/share/").output().unwrap();
    assert!(edited.status.success(), "{}", String::from_utf8_lossy(&edited.stderr));
    let failed = plaudit(&editing).env("VISUAL", "false").output().unwrap();
    assert!(String::from_utf8_lossy(&failed.stderr).contains("the editor `false` ended"));
    let sent = json(&["dlq", "replay", "--all", "--json", "--data", &data]);
    assert_eq!(sent["accepted"], 2);
    assert!(run(&["dlq", "list", "--data", &data]).status.success());
    assert_eq!(ids(&data, &[]).len(), 0);
}
