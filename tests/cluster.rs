//! Dead letters, replay, verification, rebuilding and erasure through the binary, on Kafka and ClickHouse.

#[path = "support/command.rs"]
mod command;
#[path = "support/events.rs"]
mod events;
#[path = "support/failure.rs"]
mod failure;
#[path = "support/server.rs"]
mod server;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use command::{run, succeed};
use events::{START, exposure, signal, traffic, write};
use failure::{fail, text};
use serde_json::{Value, json};
use server::Server;

/// Longest wait for something that comes by itself.
const PATIENCE: Duration = Duration::from_secs(120);
const EXPOSURES: u64 = 70;
/// When all was shown and said.
const LATER: u64 = START + 1_000 * EXPOSURES;
const SKIPPED: &str = "SKIPPED: PLAUDIT_TEST_KAFKA and PLAUDIT_TEST_CLICKHOUSE are not both set";
/// Who is erased.
const UNIT: &str = "u3";

#[expect(clippy::disallowed_methods, reason = "tests learn from the environment where the servers are")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A cluster of one process, with topics and a database of its own.
struct Site {
    dir: tempfile::TempDir,
    config: PathBuf,
    data: PathBuf,
}

impl Site {
    /// `more` are further lines of the configuration; nothing without servers.
    fn new(name: &str, more: &str) -> Option<Self> {
        let (kafka, clickhouse) = (variable("PLAUDIT_TEST_KAFKA")?, variable("PLAUDIT_TEST_CLICKHOUSE")?);
        let dir = tempfile::tempdir().expect("a directory");
        // As random as the name of the directory.
        let random = text(dir.path()).rsplit('.').next().expect("a name");
        let own = format!("{name}_{random}");
        let (server, _) = clickhouse.rsplit_once('/').expect("a location with a database");
        let (config, data) = (dir.path().join("plaudit.toml"), dir.path().join("data"));
        let settings = format!(
            "event_log = '{kafka}'\nevent_store = '{server}/{own}'\n[learn]\nenabled = false\n\
             [ingest]\nwindow = '2s'\ngrace = '100ms'\ncorrection_horizon = '1m'\npoll = '50ms'\n\
             [ingest.kafka]\nprefix = '{own}.'\nshards = 2\ntick = '100ms'\n{more}"
        );
        std::fs::write(&config, settings).expect("a writable directory");
        Some(Self { dir, config, data })
    }

    fn start(&self) -> Server {
        Server::start(&self.config, &self.data)
    }

    fn arguments<'a>(&'a self, command: &[&'a str]) -> Vec<&'a str> {
        [command, &["--config", text(&self.config), "--data", text(&self.data)]].concat()
    }

    fn say(&self, command: &[&str]) -> String {
        succeed(&self.arguments(command))
    }

    fn ask(&self, command: &[&str]) -> Value {
        let printed = self.say(&[command, &["--json"]].concat());
        serde_json::from_str(&printed).expect("JSON")
    }

    fn count(&self, rows: &str) -> usize {
        self.say(&["export", rows]).lines().count()
    }

    /// Waits until the store has `count` of these rows.
    fn until(&self, rows: &str, count: usize) {
        let end = Instant::now() + PATIENCE;
        loop {
            let found = self.count(rows);
            if found == count {
                return;
            }
            assert!(Instant::now() < end, "{found} {rows}, not {count}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Imports exposures of seven units, every third loved, and two events that are refused.
    fn fill(&self) {
        let mut events = traffic(EXPOSURES);
        events.push(signal("odd", "e3", "adore", LATER));
        events.push(signal("other", "e4", "adore", LATER));
        let tally = self.import("events.jsonl", &events);
        assert_eq!((&tally["accepted"], &tally["rejected"]), (&94.into(), &2.into()), "{tally}");
    }

    fn import(&self, name: &str, events: &[Value]) -> Value {
        let file = write(&self.dir.path().join(name), events);
        self.ask(&["import", text(&file)])
    }

    /// All rows, in an order that does not depend on shards.
    fn everything(&self) -> Vec<String> {
        let of = |rows| self.say(&["export", rows]).lines().map(str::to_owned).collect::<Vec<_>>();
        let mut lines = ["exposures", "signals", "examples"].map(of).concat();
        lines.sort_unstable();
        lines
    }

    fn agrees(&self) {
        let report = self.ask(&["store", "verify"]);
        assert_eq!(report["agrees"], true, "{report}");
    }
}

fn letters(site: &Site) -> Vec<String> {
    let listed = site.ask(&["dlq", "list"]);
    let letters = listed["letters"].as_array().expect("a list").iter();
    letters.map(|letter| letter["id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn letters_are_mended_a_stretch_is_replayed_and_the_store_is_made_again_on_a_cluster() {
    let Some(site) = Site::new("repair", "") else {
        println!("{SKIPPED}");
        return;
    };
    let server = site.start();
    site.fill();
    site.until("examples", 70);
    let found = letters(&site);
    assert_eq!(found.len(), 2, "{found:?}");
    let mended = &found[0];
    site.say(&["dlq", "fix", mended, "--set", "data.kind=copy"]);
    assert_eq!(site.ask(&["dlq", "replay", mended])["accepted"], 1);
    assert_eq!(letters(&site), found[1..], "it is resolved");
    site.until("signals", 25);
    server.stop();
    let out = site.dir.path().join("examples.jsonl");
    let replayed = site.ask(&["replay", "--from", "1h ago", "--out", text(&out)]);
    assert_eq!((&replayed["exposures"], &replayed["different"]), (&70.into(), &0.into()), "{replayed}");
    site.agrees();
    let before = site.everything();
    site.say(&["store", "rebuild"]);
    site.agrees();
    assert_eq!(before, site.everything());
}

#[test]
fn what_was_erased_on_a_running_cluster_does_not_come_back_with_the_store() {
    let Some(site) = Site::new("erase", "") else {
        println!("{SKIPPED}");
        return;
    };
    let by_http = |server: &Server| {
        let url = format!("{}/admin/v1/units/{UNIT}?reason=asked", server.url);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let asked = async { reqwest::Client::new().delete(url).send().await?.json().await };
        runtime.block_on(asked).expect("a report")
    };
    erased(&site, by_http);
}

#[test]
fn a_unit_is_erased_by_its_own_name_on_a_cluster_that_hashes_names() {
    let dir = tempfile::tempdir().expect("a directory");
    let salt = dir.path().join("salt");
    std::fs::write(&salt, "0123456789abcdef0123456789abcdef").expect("a writable directory");
    let hashing = format!("[ingest.quality.hashing]\nenabled = true\nsalt_file = '{}'\n", text(&salt));
    let Some(site) = Site::new("hashed", &hashing) else {
        println!("{SKIPPED}");
        return;
    };
    erased(&site, |_| site.ask(&["erase", "--unit", UNIT]));
}

/// Erases the unit with `erase` while a server runs, and makes the store again.
fn erased(site: &Site, erase: impl Fn(&Server) -> Value) {
    let server = site.start();
    site.fill();
    site.until("examples", 70);
    site.until("signals", 24);
    assert_eq!(run(&site.arguments(&["erase", "--unit", UNIT, "--verify"])).status.code(), Some(1));
    let report = erase(&server);
    assert_eq!(report["store_before"], json!({"exposures": 10, "signals": 4, "examples": 10, "dead_letters": 0}));
    let nothing = json!({"exposures": 0, "signals": 0, "examples": 0, "dead_letters": 0});
    assert_eq!((&report["log_after"], &report["store_after"]), (&nothing, &nothing), "{report}");
    assert_eq!(report["log_hidden"]["exposures"], 10, "the log cannot rewrite: {report}");
    assert_eq!(letters(site).len(), 1, "that about one of the exposures is not shown any more");
    // Sent again by a product that has not heard: refused.
    let tally = site.import("late.jsonl", &[exposure("e3", UNIT, LATER), signal("late", "e10", "love", LATER)]);
    assert_eq!(tally["reasons"], json!({"erased": 2}), "{tally}");
    server.stop();
    assert_eq!(site.count("exposures"), 60);

    // What the log holds of the unit until its retention ends counts for nobody.
    site.say(&["store", "rebuild"]);
    for (rows, count) in [("exposures", 60), ("signals", 20), ("examples", 60)] {
        assert_eq!(site.count(rows), count, "{rows}");
    }
    site.agrees();
    let server = site.start();
    let back = site.import("back.jsonl", &[exposure("back", UNIT, LATER)]);
    assert_eq!(back["accepted"], 1, "who comes back is new");
    site.until("examples", 61);
    server.stop();
    assert_eq!(site.count("exposures"), 61);
    fail(&site.arguments(&["erase", "--unit", "no body"]), 1, &["`--unit` must be"]);
}
