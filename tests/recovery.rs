//! `kill -9` during load: nothing acknowledged is lost, nothing is there twice, and the examples are those of a run
//! that nobody interrupted.

#[path = "support/command.rs"]
mod command;
#[path = "support/server.rs"]
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use command::succeed;
use plaudit_event::{Envelope, Event, Example, ManualClock, Seed};
use plaudit_ingest::Config;
use plaudit_ingest::log::{EventLog, Stored, Topic};
use plaudit_ingest::service::examples_again;
use rand::Rng;
use serde_json::{Value, json};
use server::Server;

/// Crashes in one run.
const KILLS: usize = 20;
/// Windows short enough that most exposures close while the load runs, corrections included.
const CONFIG: &str = "[learn]\nenabled = false\n[ingest]\nwindow = \"400ms\"\ngrace = \"100ms\"\nearly_slack = \"400ms\"\n\
                      slack = \"200ms\"\ncorrection_horizon = \"2s\"\npoll = \"20ms\"\n";

/// What the clients were promised.
#[derive(Default)]
struct Promised {
    exposures: BTreeSet<String>,
    signals: BTreeSet<String>,
}

/// One client until the server dies: answers, exposures of its own, and signals, some of them sent twice.
async fn client(url: String, round: usize, number: usize) -> Promised {
    let http = reqwest::Client::new();
    let mut promised = Promised::default();
    for turn in 0.. {
        let name = format!("r{round}-c{number}-t{turn}");
        let Some(exposure) = ask(&http, &url, &name, turn % 3 == 0).await else { break };
        promised.exposures.insert(exposure.clone());
        let signal = json!({"signal_id": format!("s-{name}"), "exposure_id": exposure, "kind": "love", "ts": now()});
        let copy = json!({"signal_id": format!("k-{name}"), "exposure_id": exposure, "kind": "copy", "ts": now()});
        let body = json!({"signals": [signal, copy, signal]});
        let Some(answer) = post(&http, &format!("{url}/v1/signals"), &body).await else { break };
        for outcome in answer["outcomes"].as_array().expect("outcomes") {
            assert!(outcome["outcome"] == "accepted" || outcome["outcome"] == "duplicate", "{outcome}");
            promised.signals.insert(outcome["signal_id"].as_str().expect("an id").to_owned());
        }
    }
    promised
}

/// An exposure that was acknowledged; nothing when the server is gone.
async fn ask(http: &reqwest::Client, url: &str, name: &str, chat: bool) -> Option<String> {
    if chat {
        let body = json!({"user": name, "messages": [{"role": "user", "content": "how long to boil eggs?"}]});
        let answer = post(http, &format!("{url}/v1/chat/completions"), &body).await?;
        return Some(answer["plaudit"]["exposure_id"].as_str().expect("an id").to_owned());
    }
    let exposure = json!({"exposure_id": format!("e-{name}"), "unit_id": name, "surface": "chat", "policy_id": "elsewhere",
        "context": {"messages": [{"role": "user", "content": "hi"}]}, "ts": now(),
        "slate": [{"item_id": "response", "position": 0, "content": "hello"}]});
    let answer = post(http, &format!("{url}/v1/exposures"), &json!({"exposures": [exposure]})).await?;
    assert_eq!(answer["outcomes"][0]["outcome"], "accepted", "{answer}");
    Some(format!("e-{name}"))
}

async fn post(http: &reqwest::Client, url: &str, body: &Value) -> Option<Value> {
    let answer = http.post(url).json(body).send().await.ok()?;
    let status = answer.status();
    let body: Value = answer.json().await.ok()?;
    assert!(status.is_success(), "{url}: {status} {body}");
    Some(body)
}

#[expect(clippy::disallowed_methods, reason = "a client outside of the product stamps its events")]
fn now() -> i64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since_epoch.as_millis()).expect("before the year 292277026")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_crashes_lose_nothing_and_double_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (config, data) = (dir.path().join("plaudit.toml"), dir.path().join("data"));
    std::fs::write(&config, CONFIG).unwrap();
    let mut rng = Seed::new(20).stream("moments");
    let mut promised = Promised::default();
    for round in 0..KILLS {
        let server = Server::start(&config, &data);
        let clients: Vec<_> = (0..4).map(|number| tokio::spawn(client(server.url.clone(), round, number))).collect();
        tokio::time::sleep(Duration::from_millis(rng.random_range(30..600))).await;
        drop(server);
        for client in clients {
            let more = client.await.unwrap();
            promised.exposures.extend(more.exposures);
            promised.signals.extend(more.signals);
        }
    }
    // One quiet run closes the last windows.
    let server = Server::start(&config, &data);
    tokio::time::sleep(Duration::from_secs(2)).await;
    server.stop();
    assert!(promised.exposures.len() > KILLS && promised.signals.len() > KILLS, "the load was real");

    let exported = succeed(&["export", "exposures", "--data", data.to_str().unwrap()]).lines().count();
    {
        // The store has unique ids; only the log shows what was appended twice.
        let log = left_log(&data, Arc::new(ManualClock::default()));
        let exposures = logged(&*log, Topic::Exposures).await;
        let signals = logged(&*log, Topic::Signals).await;
        for (what, promised, present) in
            [("exposure", &promised.exposures, &exposures), ("signal", &promised.signals, &signals)]
        {
            for id in promised {
                assert_eq!(present.get(id), Some(&1), "{what} {id}");
            }
            assert!(present.values().all(|count| *count == 1), "no {what} twice");
        }
        assert_eq!(exported, exposures.len(), "the store has what the log has");
        let closed = logged(&*log, Topic::Examples).await;
        assert_eq!(closed.keys().collect::<Vec<_>>(), exposures.keys().collect::<Vec<_>>(), "each exposure closed");
        assert!(closed.values().all(|count| *count == 1), "no exposure closed twice");
    }
    same_examples_without_crashes(&data).await;
}

/// The log that the crashes left in the directory `data`.
fn left_log(data: &Path, clock: Arc<ManualClock>) -> Arc<dyn EventLog> {
    let log = plaudit_ingest::log::SqliteLog::open(&data.join("plaudit.db"), clock);
    Arc::new(log.expect("the log opens"))
}

/// The records of a topic: id → how often. Of the examples, those of the close.
async fn logged(log: &dyn EventLog, topic: Topic) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for value in everything(log, topic).await {
        let id = match Envelope::decode(&value).expect("an envelope").event {
            Event::Exposure(exposure) => exposure.exposure_id.to_string(),
            Event::Signal(signal) => signal.signal_id.to_string(),
            Event::Example(example) if example.revision > 0 => continue,
            Event::Example(example) => example.exposure_id.to_string(),
        };
        *counts.entry(id).or_default() += 1;
    }
    counts
}

/// Attributes the very log that the crashes left, from its beginning and in one go, into another topic of examples.
async fn same_examples_without_crashes(data: &Path) {
    let clock = Arc::new(ManualClock::default());
    let log = left_log(data, Arc::clone(&clock));
    let left: Vec<Vec<u8>> = everything(&*log, Topic::Examples).await;
    let config: Config = {
        let table: toml::Table = CONFIG.parse().expect("TOML");
        table["ingest"].clone().try_into().expect("an ingest section")
    };
    let again = examples_again(log, &config).await.expect("attribution runs");
    let left: Vec<Example> = left.iter().map(|value| example(value)).collect();
    assert!(again.len() >= left.len(), "the uninterrupted run sees at least as far");
    assert_eq!(left[..], again[..left.len()]);
}

fn example(value: &[u8]) -> Example {
    match Envelope::decode(value).expect("an envelope").event {
        Event::Example(example) => example,
        other => panic!("not an example: {other:?}"),
    }
}

async fn everything(log: &dyn EventLog, topic: Topic) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    loop {
        let batch: Vec<Stored> = log.read(topic, values.len() as u64, 1_000).await.expect("readable");
        if batch.is_empty() {
            return values;
        }
        values.extend(batch.into_iter().map(|stored| stored.value));
    }
}
