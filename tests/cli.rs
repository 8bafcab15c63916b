//! The command line as a user meets it: what it prints, and how it fails.

#[path = "support/command.rs"]
mod command;
#[path = "support/failure.rs"]
mod failure;
#[path = "support/server.rs"]
mod server;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use command::succeed;
use failure::{fail, text};
use plaudit_event::ManualClock;
use plaudit_ingest::log::{EventLog, Record, SqliteLog, Topic};
use serde_json::Value;
use server::Server;

fn root(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// A configuration without candidates, in `dir`.
fn quiet(dir: &Path) -> PathBuf {
    let config = dir.join("plaudit.toml");
    std::fs::write(&config, "[learn]\nenabled = false\n").expect("a writable directory");
    config
}

/// The log in the data directory `data`.
fn log(data: &Path) -> Arc<dyn EventLog> {
    let log = SqliteLog::open(&data.join("plaudit.db"), Arc::new(ManualClock::default()));
    Arc::new(log.expect("the log opens"))
}

/// The records of topic `checkpoints`.
fn checkpoints(data: &Path) -> Vec<Vec<u8>> {
    let log = log(data);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let records = runtime.block_on(log.read(Topic::Checkpoints, 0, 100)).expect("readable");
    records.into_iter().map(|stored| stored.value).collect()
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
fn the_configuration_for_several_machines_is_valid_and_shows_every_key_of_their_backends() {
    let shipped = root("deploy/cluster.toml");
    succeed(&["config", "check", "--config", text(&shipped)]);
    let written = std::fs::read_to_string(&shipped).unwrap();
    let embedded = std::fs::read_to_string(root("deploy/embedded.toml")).unwrap();
    for section in ["[ingest.kafka]", "[ingest.kafka.security]", "[ingest.clickhouse]", "[ingest.clickhouse.retention]"]
    {
        let (_, keys) = embedded.split_once(&format!("{section}\n")).unwrap();
        let keys = keys.split("\n[").next().unwrap();
        for key in keys.lines().filter_map(|line| line.split_once(" = ")).map(|(key, _)| key) {
            assert!(written.contains(&format!("\n{key} = ")), "deploy/cluster.toml lacks `{key}` of {section}");
        }
    }
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
fn a_directory_in_use_and_a_port_in_use_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let config = quiet(dir.path());
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
    let config = quiet(dir.path());
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
fn a_newer_or_damaged_store_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let config = quiet(dir.path());
    let data = dir.path().join("data");
    Server::start(&config, &data).stop();
    let store = data.join("store.db");
    let good = std::fs::read(&store).unwrap();
    let mut newer = good.clone();
    // The version of the format, in the header of the file.
    newer[60..64].copy_from_slice(&99_u32.to_be_bytes());
    std::fs::write(&store, &newer).unwrap();
    fail(&["up", "--data", text(&data), "--listen", "127.0.0.1:0"], 1, &["store.db", "format 99"]);
    assert_eq!(std::fs::read(&store).unwrap(), newer, "it is left as it is");
    std::fs::write(&store, &good[..50]).unwrap();
    fail(&["up", "--data", text(&data), "--listen", "127.0.0.1:0"], 1, &["store.db"]);
    std::fs::remove_file(&store).unwrap();
    Server::start(&config, &data).stop();
}

#[test]
fn a_first_start_that_was_cut_short_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let config = quiet(dir.path());
    let data = dir.path().join("data");
    Server::start(&config, &data).stop();
    // As if the process had been killed after the first of the two records that make the first champion; the experiments
    // are on record before.
    let whole = checkpoints(&data);
    assert_eq!(whole.len(), 3, "experiments, registered, promoted");
    for name in ["plaudit.db", "store.db"] {
        std::fs::remove_file(data.join(name)).unwrap();
    }
    let log = log(&data);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let first = |value: &Vec<u8>| Record { key: String::new(), value: value.clone() };
    runtime.block_on(log.append(Topic::Checkpoints, whole[..2].iter().map(first).collect())).unwrap();
    drop(log);
    Server::start(&config, &data).stop();
    assert_eq!(checkpoints(&data).len(), 3);
}

#[test]
fn what_was_acknowledged_before_a_stop_is_in_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("plaudit.toml");
    // The sink looks once in a minute: what it has, it has from the stop.
    std::fs::write(&config, "[learn]\nenabled = false\n[ingest]\npoll = '1m'\n").unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&config, &data);
    let body = serde_json::json!({"signals": [{"signal_id": "s", "exposure_id": "e", "kind": "love"}]});
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let answer: Value = runtime.block_on(async {
        let request = reqwest::Client::new().post(format!("{}/v1/signals", server.url)).json(&body);
        request.send().await.unwrap().json().await.unwrap()
    });
    assert_eq!(answer["outcomes"][0]["outcome"], "accepted");
    server.stop();
    let store = plaudit_ingest::store::open(
        &format!("sqlite:{}", data.join("store.db").display()),
        &plaudit_ingest::Config::default(),
    )
    .unwrap();
    assert_eq!(runtime.block_on(store.scan_signals(None, 10)).unwrap().len(), 1);
}

#[test]
fn variables_reach_the_configuration_and_a_wrong_one_is_named() {
    let printed = command::plaudit(&["config", "print"]).env("PLAUDIT_SERVING__POLL", "'7s'").output().unwrap();
    assert!(String::from_utf8_lossy(&printed.stdout).contains("poll = \"7s\""));
    let key = command::plaudit(&["config", "check"]).env("PLAUDIT_API_KEY", "k").output().unwrap();
    assert!(key.status.success(), "the key of a client is no key of the configuration");
    let wrong = command::plaudit(&["config", "check"]).env("PLAUDIT_SERVING__LISTN", "1").output().unwrap();
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(said.contains("serving.listn") && said.contains("PLAUDIT_SERVING__LISTN"), "{said}");
}

#[test]
fn policies_and_experiments_of_a_server_can_be_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let config = quiet(dir.path());
    let server = Server::start(&config, &dir.path().join("data"));
    let remote = ["--server", server.url.as_str()];
    let ask = |arguments: &[&str]| succeed(&[arguments, &remote].concat());
    let listed = ask(&["policy", "list"]);
    assert!(listed.starts_with("gen-") && listed.contains("champion"), "{listed}");
    let json: Value = serde_json::from_str(&ask(&["policy", "list", "--json"])).unwrap();
    assert_eq!(json["policies"].as_array().unwrap().len(), 1);
    let id = json["policies"][0]["policy_id"].as_str().unwrap();
    let why = ask(&["policy", "why", id]);
    assert!(why.starts_with(&format!("{id} is champion\n")), "{why}");
    assert!(why.contains("Z  registered: pretrained\n") && why.contains("Z  champion: the first\n"), "{why}");
    let json: Value = serde_json::from_str(&ask(&["policy", "why", id, "--json"])).unwrap();
    assert_eq!(json["steps"][1]["record"]["event"], "promoted");
    let nobody = ["policy", "why", "gen-nobody", "--server", server.url.as_str()];
    fail(&nobody, 1, &["404", "gen-nobody", id]);
    let approve = ["policy", "approve", id, "--server", server.url.as_str()];
    fail(&approve, 1, &["409", "no delivery"]);
    assert_eq!(ask(&["experiment", "results"]), "no experiment has run yet\n");
    let rollback = ["policy", "rollback", "--reason", "x", "--server", server.url.as_str()];
    fail(&rollback, 1, &["409", "previous champion"]);
    server.stop();
}

#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = command::plaudit(&["demo"]).env("TMPDIR", dir.path()).stderr(Stdio::null()).spawn().unwrap();
    while std::fs::read_dir(dir.path()).unwrap().next().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    std::thread::sleep(std::time::Duration::from_millis(500));
    let asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(asked.success());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
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
