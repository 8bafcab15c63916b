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

/// Asks for sentences and principles.
const DENSE: &str = "import json\nfrom trl_reward import plaudit_principle, plaudit_spans\n\
    said = ['gladly here. i am a machine.']\n\
    long, kind = plaudit_principle('far too long', blame=True), plaudit_principle('kind')\n\
    print(json.dumps([plaudit_spans(['hi'], said), long(['hi'], said), kind(['hi'], said), long.__name__]))\n";

/// Answers of which people take the second sentence out, and to which they say that they are too long.
fn worked_on(count: u64) -> Vec<Value> {
    let mut events = Vec::new();
    for number in 0..count {
        let (id, ts) = (format!("w{number}"), events::START + number * 1_000);
        let mut shown = events::exposure(&id, &format!("v{}", number % 9), ts);
        let bad = "i am a machine.";
        shown["data"]["slate"][0]["content"] = format!("gladly here. {bad}").into();
        events.push(shown);
        let mut edit = events::signal(&format!("edit{number}"), &id, "edit", ts + 200);
        edit["data"]["spans"] = serde_json::json!([{"start": 13, "end": 13 + bad.len()}]);
        let mut comment = events::signal(&format!("comment{number}"), &id, "comment", ts + 300);
        comment["data"]["text"] = if number % 2 == 0 { "far too long" } else { "so cold" }.into();
        events.extend([edit, comment, events::signal(&format!("down{number}"), &id, "thumbs_down", ts + 400)]);
    }
    events
}

/// A server on imported traffic below `dir`, and its data directory.
fn started(dir: &Path) -> (server::Server, PathBuf) {
    let (config, data) = (dir.join("plaudit.toml"), dir.join("data"));
    std::fs::write(&config, "").expect("written");
    let all = [events::traffic(90), worked_on(40)].concat();
    let file = events::write(&dir.join("events.jsonl"), &sorted(all));
    let [file, place] = [&file, &data].map(|path| path.to_str().expect("UTF-8"));
    succeed(&["import", file, "--event-time", "--data", place]);
    (server::Server::start(&config, &data), data)
}

/// By time, as files are to be for `--event-time`.
fn sorted(mut events: Vec<Value>) -> Vec<Value> {
    events.sort_by_key(|event| event["data"]["ts"].as_u64());
    events
}

fn python(script: &str, server: &server::Server) -> Vec<Value> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples");
    let output = Command::new("python3")
        .args(["-c", script])
        .env("PYTHONPATH", examples)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PLAUDIT_SERVER", &server.url)
        .env_remove("PLAUDIT_API_KEY")
        .output()
        .expect("python3 was there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("a list")
}

#[test]
fn the_documented_client_gets_rewards() {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: there is no python3");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (server, _) = started(dir.path());
    let rewards = python(SCRIPT, &server);
    assert_eq!(rewards.len(), 3);
    let p: Vec<f64> = rewards.iter().map(|p| p.as_f64().expect("a probability")).collect();
    assert!(p.iter().all(|p| (0.0..1.0).contains(p)), "{p:?}");
    assert!((p[0] - p[2]).abs() < 1e-12, "the two forms say the same: {p:?}");
    // From an edit and a comment, through attribution and training, to a dense reward.
    let dense = python(DENSE, &server);
    let spans = dense[0][0].as_array().unwrap();
    let ends: Vec<(u64, u64)> =
        spans.iter().map(|span| (span["start"].as_u64().unwrap(), span["end"].as_u64().unwrap())).collect();
    assert_eq!(ends, [(0, 12), (13, 28)]);
    let score = |at: usize| spans[at]["score"].as_f64().unwrap();
    assert!(score(0) > 0.8 && score(1) < 0.2, "{dense:?}");
    assert!((0.0..1.0).contains(&dense[1][0].as_f64().unwrap()), "{dense:?}");
    assert!(dense[2][0].is_number() && dense[3] == "plaudit_far_too_long", "{dense:?}");
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
