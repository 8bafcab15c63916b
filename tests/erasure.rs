//! Erasure: nothing of a unit is left in log and store, and nothing comes back.

#[path = "support/command.rs"]
mod command;
#[path = "support/events.rs"]
mod events;
#[path = "support/failure.rs"]
mod failure;
#[path = "support/server.rs"]
mod server;

use std::path::{Path, PathBuf};

use command::{run, succeed};
use events::{START, exposure, signal, traffic, write};
use failure::{fail, text};
use serde_json::{Value, json};
use server::Server;

const NEW: u64 = START + 500_000;

fn ask(arguments: &[&str]) -> Value {
    serde_json::from_str(&succeed(arguments)).expect("JSON")
}

/// A data directory with traffic of seven units, closed windows, open ones, and dead letters about unit `u3`.
fn filled(dir: &Path) -> PathBuf {
    let data = dir.join("data");
    let closed = write(&dir.join("closed.jsonl"), &traffic(70));
    succeed(&["import", text(&closed), "--data", text(&data), "--event-time"]);
    let mut open: Vec<Value> = vec![exposure("open", "u3", NEW), signal("open-love", "open", "love", NEW)];
    // Refused: one that names the exposure, one that names the unit and is no event, one about somebody else.
    open.push(signal("odd", "e3", "adore", NEW));
    open.push(json!({"v": 1, "event": "exposure", "data": {"unit_id": "u3"}}));
    open.push(signal("other", "e4", "adore", NEW));
    let file = write(&dir.join("open.jsonl"), &open);
    let whole = std::fs::read_to_string(&file).expect("readable");
    std::fs::write(&file, whole + "{\"unit_id\": \"u3\", broken\n").expect("a writable directory");
    succeed(&["import", text(&file), "--data", text(&data)]);
    data
}

/// Whether `needle` is in any file of the directory.
fn is_in_files(dir: &Path, needle: &str) -> bool {
    std::fs::read_dir(dir).expect("a directory").any(|entry| {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            return is_in_files(&path, needle);
        }
        let bytes = std::fs::read(&path).expect("readable");
        bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
    })
}

#[test]
fn nothing_of_the_unit_is_left_and_nothing_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let data = filled(dir.path());
    let path = text(&data);
    assert!(is_in_files(&data, "\"u3\""));
    let left = run(&["erase", "--unit", "u3", "--verify", "--data", path]);
    assert_eq!(left.status.code(), Some(1), "not erased yet");
    let report = ask(&["erase", "--unit", "u3", "--reason", "ticket 7", "--by", "ada", "--json", "--data", path]);
    let before = json!({"exposures": 11, "signals": 5, "examples": 10, "dead_letters": 3});
    assert_eq!(report["log_before"], before, "{report}");
    assert_eq!(report["store_before"], json!({"exposures": 11, "signals": 5, "examples": 10, "dead_letters": 0}));
    let nothing = json!({"exposures": 0, "signals": 0, "examples": 0, "dead_letters": 0});
    assert_eq!((&report["log_after"], &report["store_after"]), (&nothing, &nothing));
    assert!(!is_in_files(&data, "u3\""), "not in the pages of the files either");
    assert!(!is_in_files(&data, "question of e66"), "nor what was said");

    let again = ask(&["erase", "--unit", "u3", "--json", "--data", path]);
    assert_eq!((&again["is_clean"], &again["records"]), (&true.into(), &1.into()), "it can be repeated");
    let said = succeed(&["erase", "--unit", "u3", "--verify", "--data", path]);
    assert!(said.contains("nothing is left") && said.contains("1 records in the audit trail"), "{said}");
    assert!(ask(&["store", "verify", "--json", "--data", path])["agrees"] == true);

    // Sent again by a product that has not heard: refused, and not kept.
    let late = write(
        &dir.path().join("late.jsonl"),
        &[exposure("e3", "u3", START + 3_000), signal("late", "e3", "love", NEW)],
    );
    let tally = ask(&["import", text(&late), "--json", "--data", path]);
    assert_eq!(tally["reasons"], json!({"erased": 2}));
    assert!(!is_in_files(&data, "u3\""));
    succeed(&["store", "rebuild", "--data", path]);
    assert!(ask(&["store", "verify", "--json", "--data", path])["agrees"] == true);
    succeed(&["erase", "--unit", "u3", "--verify", "--data", path]);
    let exposures = succeed(&["export", "exposures", "--data", path]);
    assert_eq!(exposures.lines().count(), 60);
    // Who comes back is new.
    let new = write(&dir.path().join("new.jsonl"), &[exposure("back", "u3", NEW)]);
    assert_eq!(ask(&["import", text(&new), "--json", "--data", path])["accepted"], 1);
    assert_eq!(succeed(&["export", "exposures", "--data", path]).lines().count(), 61);
}

#[test]
fn a_name_that_nobody_has_erases_nothing_and_a_wrong_one_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let data = filled(dir.path());
    let report = ask(&["erase", "--unit", "nobody", "--json", "--data", text(&data)]);
    assert_eq!((&report["is_clean"], &report["records"]), (&true.into(), &0.into()));
    assert_eq!(succeed(&["export", "exposures", "--data", text(&data)]).lines().count(), 71);
    fail(&["erase", "--unit", "no body", "--data", text(&data)], 1, &["`--unit` must be", "printable ASCII"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_erases_while_windows_are_open_and_after_a_restart_nothing_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let (config, data) = (dir.path().join("plaudit.toml"), dir.path().join("data"));
    std::fs::write(
        &config,
        "[learn]\nenabled = false\n[ingest]\nwindow = '1s'\ngrace = '100ms'\ncorrection_horizon = '1m'\n",
    )
    .unwrap();
    let server = Server::start(&config, &data);
    let http = reqwest::Client::new();
    let chat = async |server: &Server, user: &str| {
        let body = json!({"user": user, "messages": [{"role": "user", "content": "how long to boil eggs?"}]});
        let request = http.post(format!("{}/v1/chat/completions", server.url)).json(&body);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["plaudit"]["exposure_id"].as_str().expect("an id").to_owned()
    };
    // One exposure whose window closes before, one whose window is open.
    chat(&server, "zoe-the-unit").await;
    chat(&server, "somebody-else").await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let open = chat(&server, "zoe-the-unit").await;
    let url = format!("{}/admin/v1/units/zoe-the-unit?reason=asked", server.url);
    let report: Value = http.delete(&url).send().await.unwrap().json().await.unwrap();
    assert_eq!((&report["is_clean"], &report["log_before"]["exposures"]), (&true.into(), &2.into()), "{report}");
    assert_eq!(report["log_before"]["examples"], 1, "{report}");
    let again: Value = http.delete(&url).send().await.unwrap().json().await.unwrap();
    assert_eq!((&again["is_clean"], &again["log_before"]["exposures"]), (&true.into(), &0.into()), "{again}");
    let late = json!({"signals": [{"signal_id": "late", "exposure_id": open, "kind": "love"}]});
    let late = http.post(format!("{}/v1/signals", server.url)).json(&late).send().await.unwrap();
    let late: Value = late.json().await.unwrap();
    assert_eq!(late["outcomes"][0]["reason"], "erased", "{late}");
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    server.stop();
    let path = text(&data);
    succeed(&["erase", "--unit", "zoe-the-unit", "--verify", "--data", path]);
    assert!(!is_in_files(&data, "zoe-the-unit"));
    let server = Server::start(&config, &data);
    chat(&server, "somebody-else").await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    server.stop();
    succeed(&["store", "rebuild", "--data", path]);
    succeed(&["erase", "--unit", "zoe-the-unit", "--verify", "--data", path]);
    assert_eq!(succeed(&["export", "examples", "--data", path]).lines().count(), 2, "of somebody else");
    assert!(ask(&["store", "verify", "--json", "--data", path])["agrees"] == true);
}
