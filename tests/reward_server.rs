//! P[love] as a reward server: the client in the documentation against the real binary.

#[path = "support/command.rs"]
mod command;
#[path = "support/events.rs"]
mod events;
#[path = "support/server.rs"]
mod server;

use std::path::Path;
use std::process::Command;

use command::succeed;
use serde_json::Value;

/// Asks in both forms that TRL uses.
const SCRIPT: &str = "import json\nfrom trl_reward import plaudit_reward\n\
    plain = plaudit_reward(['question of e0', 'question of e1'], ['hello', 'hello'], labels=[1, 2])\n\
    talk = plaudit_reward([[{'role': 'user', 'content': 'question of e0'}]], [[{'role': 'assistant', 'content': 'hello'}]])\n\
    print(json.dumps(plain + talk))\n";

#[test]
fn the_documented_client_gets_rewards() {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: there is no python3");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (config, data) = (dir.path().join("plaudit.toml"), dir.path().join("data"));
    std::fs::write(&config, "").unwrap();
    let file = events::write(&dir.path().join("events.jsonl"), &events::traffic(90));
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    succeed(&["import", &text(&file), "--event-time", "--data", &text(&data)]);
    let server = server::Server::start(&config, &data);
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
