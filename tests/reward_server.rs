//! P[love] as a reward server: the client in the documentation against the real binary.

#[path = "support/command.rs"]
mod command;
#[path = "support/events.rs"]
mod events;
#[path = "support/server.rs"]
mod server;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use command::succeed;
use serde_json::Value;

/// Longest wait for the server to have its first policy.
const DEADLINE: Duration = Duration::from_secs(60);
/// Pause between two looks at it.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks in both forms that TRL uses.
const SCRIPT: &str = "import json\nfrom trl_reward import plaudit_reward\n\
    plain = plaudit_reward(['question of e0', 'question of e1'], ['hello', 'hello'], labels=[1, 2])\n\
    talk = plaudit_reward([[{'role': 'user', 'content': 'question of e0'}]], [[{'role': 'assistant', 'content': 'hello'}]])\n\
    print(json.dumps(plain + talk))\n";

/// A server on imported traffic below `dir`, and its data directory.
fn started(dir: &Path) -> (server::Server, PathBuf) {
    let (config, data) = (dir.join("plaudit.toml"), dir.join("data"));
    std::fs::write(&config, "").expect("written");
    let file = events::write(&dir.join("events.jsonl"), &events::traffic(90));
    let [file, place] = [&file, &data].map(|path| path.to_str().expect("UTF-8"));
    succeed(&["import", file, "--event-time", "--data", place]);
    (server::Server::start(&config, &data), data)
}

#[test]
fn the_documented_client_gets_rewards() {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: there is no python3");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (server, _) = started(dir.path());
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples");
    let output = Command::new("python3")
        .args(["-c", SCRIPT])
        .env("PYTHONPATH", examples)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PLAUDIT_SERVER", &server.url)
        .env_remove("PLAUDIT_API_KEY")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rewards: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rewards.len(), 3);
    let p: Vec<f64> = rewards.iter().map(|p| p.as_f64().expect("a probability")).collect();
    assert!(p.iter().all(|p| (0.0..1.0).contains(p)), "{p:?}");
    assert!((p[0] - p[2]).abs() < 1e-12, "the two forms say the same: {p:?}");
    server.stop();
}

#[test]
fn policies_are_compared_on_fixed_prompts() {
    let dir = tempfile::tempdir().unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (server, data) = started(dir.path());
    let deadline = Instant::now() + DEADLINE;
    while !succeed(&["policy", "list", "--server", &server.url]).contains("champion") {
        assert!(Instant::now() < deadline, "no champion within {DEADLINE:?}");
        std::thread::sleep(PAUSE);
    }
    let record: Value =
        serde_json::from_str(&succeed(&["policy", "backtest", "--server", &server.url, "--json"])).unwrap();
    assert_eq!((&record["candidates"], &record["correlation"]["n"]), (&Value::Array(Vec::new()), &0.into()));
    // An orderly stop saves the reward model.
    server.stop();
    let mut entries = std::fs::read_dir(data.join("policies")).unwrap();
    let policy = entries.next().unwrap().unwrap().file_name().into_string().unwrap();
    let prompts = dir.path().join("prompts.jsonl");
    let line = |number: u32| {
        let segment = if number.is_multiple_of(2) { "even" } else { "odd" };
        format!("{{\"prompt\": \"question of e{number}\", \"segment\": \"{segment}\"}}\n")
    };
    std::fs::write(&prompts, (0..8).map(line).collect::<String>()).unwrap();
    let both = ["--policy", &policy, "--policy", &policy, "--prompts", &text(&prompts)];
    let common = ["evaluate", "--data", &text(&data), "--samples", "2"];
    let report: Value = serde_json::from_str(&succeed(&[&common[..], &both, &["--json"]].concat())).unwrap();
    let segments = report["segments"].as_array().unwrap();
    let sizes: Vec<(&str, u64)> =
        segments.iter().map(|s| (s["name"].as_str().unwrap(), s["prompts"].as_u64().unwrap())).collect();
    assert_eq!(sizes[0], ("all", 8));
    assert!(sizes.contains(&("even", 4)) && sizes.contains(&("odd", 4)), "{sizes:?}");
    let love = &segments[0]["policies"][1]["differences"]["love"];
    // The same policy under the same seeds gives the same answers.
    assert_eq!((love["value"].as_f64(), love["lower"].as_f64()), (Some(0.0), Some(0.0)), "{report}");
    assert!(succeed(&[&common[..], &both].concat()).contains("P[love]"));
    let missing = command::run(&["evaluate", "--policy", "none", "--prompts", &text(&prompts), "--data", &text(&data)]);
    assert!(String::from_utf8_lossy(&missing.stderr).contains("`--policy none`"));
}

#[test]
fn offline_love_says_what_users_will_love() {
    let small = ["--policies", "6", "--seeds", "1", "--examples", "8000", "--prompts", "1000", "--impressions", "8000"];
    let printed = succeed(&[&["bench", "evaluator", "--json"], &small[..]].concat());
    let report: Value = serde_json::from_str(&printed).unwrap();
    let r = report["trials"][0]["correlation"]["r"].as_f64().unwrap();
    assert!(r >= 0.7, "{report}");
}
