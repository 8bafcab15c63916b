//! A pre-trained network as the encoder, from one end to the other: a tiny BERT made here, events over HTTP, training,
//! scores, a restart that goes on from the checkpoint, and one that finds other weights in the directory.

#[cfg(test)]
#[expect(dead_code, reason = "decoders are tested in the crate itself")]
#[path = "../reward-model/tests/suite/network_files.rs"]
mod network_files;

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Longest wait for anything.
const DEADLINE: Duration = Duration::from_secs(120);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// Exposures sent at a time.
const EXPOSURES: u64 = 96;

/// A running `plaudit up` whose log is in a file; dropping it kills it.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(dir: &Path) -> Self {
        let place = |name: &str| dir.join(name).to_str().expect("UTF-8").to_owned();
        let (config, data) = (place("plaudit.toml"), place("data"));
        let log = File::options().create(true).append(true).open(dir.join("log")).expect("writable");
        let mut command = Command::new(env!("CARGO_BIN_EXE_plaudit"));
        // Nothing of the caller's configuration.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PLAUDIT_")) {
            command.env_remove(name);
        }
        command.args(["up", "--config", &config, "--data", &data, "--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().expect("the binary starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("readable");
        let url =
            line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("unexpected: {line:?}")).to_owned();
        Self { child, url }
    }

    /// Asks it to stop, so that it saves, and waits until it has.
    fn stop(mut self) {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(asked.expect("kill exists").success());
        assert!(self.child.wait().expect("a child").success());
    }

    async fn post(&self, route: &str, body: &Value) -> (u16, Value) {
        let sent = reqwest::Client::new().post(format!("{}{route}", self.url)).json(body).send().await;
        let answer = sent.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    /// Exposures of two kinds of answers, of which one is loved and the other never.
    async fn react(&self, from: u64) {
        let numbers = from..from + EXPOSURES;
        let exposure = |number: u64| {
            json!({"exposure_id": format!("e{number}"), "unit_id": format!("u{number}"), "surface": "chat",
                "policy_id": "elsewhere", "ts": now(),
                "context": {"messages": [{"role": "user", "content": "how are you"}]},
                "slate": [{"item_id": "response", "position": 0, "content": ANSWERS[number as usize % 2]}]})
        };
        let signal = |number: u64| json!({"signal_id": format!("s{number}"), "exposure_id": format!("e{number}"), "kind": "love", "ts": now()});
        let shown = json!({"exposures": numbers.clone().map(exposure).collect::<Vec<_>>()});
        let loves = json!({"signals": numbers.filter(|number| number % 2 == 0).map(signal).collect::<Vec<_>>()});
        for (route, body) in [("/v1/exposures", shown), ("/v1/signals", loves)] {
            let (status, answer) = self.post(route, &body).await;
            assert_eq!(status, 200, "{answer}");
            let outcomes = answer["outcomes"].as_array().expect("outcomes");
            assert!(outcomes.iter().all(|outcome| outcome["outcome"] == "accepted"), "{answer}");
        }
    }

    /// The scores of both kinds of answers, once the reward model has seen `examples`.
    async fn scores_after(&self, examples: u64) -> (u64, [f64; 2]) {
        let rows = ANSWERS.map(|answer| json!({"prompt": "how are you", "response": answer}));
        let started = Instant::now();
        loop {
            let (status, answer) = self.post("/v1/score", &json!({"rows": rows, "objectives": ["love"]})).await;
            let seen = answer["reward"]["examples"].as_u64().unwrap_or(0);
            let p = |row: usize| answer["rows"][row]["love"]["p"].as_f64();
            if let (200, true, Some(loved), Some(other)) = (status, seen >= examples, p(0), p(1)) {
                return (seen, [loved, other]);
            }
            assert!(started.elapsed() < DEADLINE, "no scores of {examples} examples within {DEADLINE:?}: {answer}");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The one that is loved first.
const ANSWERS: [&str; 2] = ["very well thank you my friend", "that is no concern of yours"];

#[expect(clippy::disallowed_methods, reason = "a client outside of the product stamps its events")]
fn now() -> i64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since_epoch.as_millis()).expect("before the year 292277026")
}

#[cfg(test)]
mod tests {
    use super::network_files::{self, SMALL, Size};
    use super::*;

    fn config(network: &Path, train: &str) -> String {
        format!(
            "[learn]\nenabled = false\n\
             [ingest]\nwindow = '400ms'\ngrace = '100ms'\nearly_slack = '400ms'\nslack = '200ms'\npoll = '20ms'\n\
             correction_horizon = '2s'\n\
             [reward_model.encoder]\nkind = 'bert'\nbuckets = 4096\n\
             [reward_model.encoder.network]\npath = '{}'\ntrain = '{train}'\nmax_tokens = 32\nbatch_rows = 8\n\
             step_every = 8\nlearning_rate = 0.001\nwarmup_steps = 1\nmemory_bytes = 67108864\n",
            network.display()
        )
    }

    fn logged(dir: &Path) -> String {
        std::fs::read_to_string(dir.join("log")).unwrap()
    }

    async fn check(train: &str) {
        let dir = tempfile::tempdir().unwrap();
        let network = dir.path().join("bert");
        std::fs::create_dir(&network).unwrap();
        let known = [ANSWERS[0], ANSWERS[1], "how are you"];
        network_files::bert(&network, &known, SMALL);
        std::fs::write(dir.path().join("plaudit.toml"), config(&network, train)).unwrap();

        let server = Server::start(dir.path());
        server.react(0).await;
        let (seen, [loved, other]) = server.scores_after(EXPOSURES).await;
        assert!(loved.is_finite() && other.is_finite() && loved > other, "{train}: {loved} {other}");
        assert_eq!(seen, EXPOSURES);
        server.stop();

        // Where it was, before anything new comes.
        let server = Server::start(dir.path());
        assert_eq!(server.scores_after(1).await, (EXPOSURES, [loved, other]), "{train}: the same weights, to the bit");
        server.react(EXPOSURES).await;
        let (seen, [loved, other]) = server.scores_after(2 * EXPOSURES).await;
        assert!(loved > other && seen == 2 * EXPOSURES, "{train}: {loved} {other} after {seen}");
        server.stop();
        let log = logged(dir.path());
        assert!(!log.contains("reward checkpoint refused"), "{log}");

        // Other weights: the checkpoint belongs to others, and training starts again from the log.
        network_files::bert(&network, &known, Size { hidden: 32, ..SMALL });
        let server = Server::start(dir.path());
        let (_, [loved, other]) = server.scores_after(2 * EXPOSURES).await;
        assert!(loved > other, "{train}: {loved} {other}");
        server.stop();
        let log = logged(dir.path());
        let told = "the files of the encoder's network are others than those it was trained on";
        assert!(log.contains("reward checkpoint refused") && log.contains(told), "{log}");
    }

    #[tokio::test]
    async fn a_network_that_is_trained_serves_goes_on_and_notices_other_weights() {
        check("all").await;
    }

    #[tokio::test]
    async fn a_network_that_is_not_trained_serves_goes_on_and_notices_other_weights() {
        check("none").await;
    }
}
