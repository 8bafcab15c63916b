//! Bad events meet what `docs/events.md` says: over HTTP, and in files.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/bad_events.rs"]
#[expect(dead_code, reason = "what becomes of records past intake is tested where the log is")]
mod bad_events;
#[path = "support/command.rs"]
mod command;
#[path = "support/server.rs"]
mod server;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bad_events::{BadEvent, Fate, OverHttp, Sent, bad_events};
use command::succeed;
use plaudit_event::ManualClock;
use plaudit_ingest::log::{EventLog, SqliteLog, Topic};
use plaudit_ingest::{DeadLetter, MAX_EVENT_BYTES};
use serde_json::Value;
use server::Server;
use tokio::runtime::Runtime;

/// The configuration of the table, in `dir`.
fn config(dir: &Path) -> PathBuf {
    let config = dir.join("plaudit.toml");
    let text = format!("[learn]\nenabled = false\n{}", bad_events::CONFIG);
    std::fs::write(&config, text).expect("a writable directory");
    config
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The dead letters in the data directory `data`.
fn letters(runtime: &Runtime, data: &Path) -> Vec<DeadLetter> {
    let log = SqliteLog::open(&data.join("plaudit.db"), Arc::new(ManualClock::default())).expect("the log opens");
    let stored = runtime.block_on(log.read(Topic::DeadLetters, 0, 1_000)).expect("readable");
    stored.iter().map(|record| serde_json::from_slice(&record.value).expect("a dead letter")).collect()
}

/// Reason, field and outcome.
type Said = (String, String, String);

/// What the dead letters say of those `rows` that are refused, sorted: conflicts come after the rest of a batch.
fn expected<'a>(rows: impl Iterator<Item = &'a BadEvent>) -> Vec<Said> {
    let mut expected = Vec::new();
    for row in rows {
        if let Some((reason, field)) = row.fate.refusal() {
            expected.push((reason.to_string(), field.to_owned(), row.fate.outcome().to_owned()));
        }
    }
    expected.sort();
    expected
}

fn found(letters: &[DeadLetter]) -> Vec<Said> {
    let said = |letter: &DeadLetter| (letter.reason.to_string(), letter.field.clone(), letter.outcome.clone());
    let mut found: Vec<Said> = letters.iter().map(said).collect();
    found.sort();
    found
}

#[test]
fn a_bad_line_of_a_file_meets_its_fate_and_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let (file, data) = (dir.path().join("events.jsonl"), dir.path().join("data"));
    let rows = bad_events();
    let mut lines = Vec::new();
    let mut counts = [0_u64; 6];
    let mut count = |outcome| {
        let names = ["received", "accepted", "duplicate", "rejected", "quarantined", "sampled"];
        counts[0] += 1;
        counts[names.iter().position(|name| *name == outcome).unwrap()] += 1;
    };
    for (number, row) in rows.iter().enumerate() {
        let sound = bad_events::signal(&format!("after-{number}"), &format!("of-{number}"), "love").to_string();
        let after = Sent::Data("signal", sound.into_bytes());
        for (sent, outcome) in row
            .before
            .iter()
            .map(|sent| (sent, "accepted"))
            .chain([(&row.sent, row.fate.outcome()), (&after, "accepted")])
        {
            lines.extend(sent.envelope());
            lines.push(b'\n');
            count(outcome);
        }
    }
    std::fs::write(&file, lines).unwrap();
    let said = succeed(&["import", text(&file), "--config", text(&config), "--data", text(&data), "--json"]);
    let tally: Value = serde_json::from_str(&said).unwrap();
    let names = ["received", "accepted", "duplicate", "rejected", "quarantined", "sampled"];
    assert_eq!(names.map(|name| tally[name].as_u64().unwrap()), counts);
    let letters = letters(&Runtime::new().unwrap(), &data);
    assert_eq!(found(&letters), expected(rows.iter()));
    for letter in letters {
        let is_cut = letter.raw.len() < letter.raw_bytes / 2;
        assert_eq!(is_cut, letter.raw_bytes > MAX_EVENT_BYTES, "what is too large is cut");
    }
}

/// `serving.limits` takes no larger body.
const BODY_LIMIT: usize = 8 << 20;

/// Sends `data` as the only event of a request; returns the status and the answer.
async fn post(server: &Server, event: &str, data: &[u8]) -> (u16, Value) {
    let start = format!("{{\"{event}s\":[");
    let body = [start.as_bytes(), data, b"]}"].concat();
    if body.len() > BODY_LIMIT {
        return begin(server, &format!("/v1/{event}s"), &body);
    }
    let request = reqwest::Client::new().post(format!("{}/v1/{event}s", server.url));
    let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap())
}

/// Sends the head of a request with this body: the server answers without waiting for the body, which a client that
/// insists on sending it would not hear.
fn begin(server: &Server, path: &str, body: &[u8]) -> (u16, Value) {
    let host = server.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, json) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap(), serde_json::from_str(json).unwrap())
}

#[test]
fn a_bad_event_over_http_meets_its_fate() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let data = dir.path().join("data");
    let server = Server::start(&config, &data);
    let runtime = Runtime::new().unwrap();
    let rows = bad_events();
    runtime.block_on(async {
        for row in &rows {
            for sent in &row.before {
                let Sent::Data(event, data) = sent else { panic!("{}: sound events have data", row.name) };
                let (status, answer) = post(&server, event, data).await;
                assert_eq!((status, &answer["outcomes"][0]["outcome"]), (200, &"accepted".into()), "{}", row.name);
            }
            let Sent::Data(event, data) = &row.sent else {
                assert_eq!(row.over_http, OverHttp::NoEnvelope, "{}", row.name);
                continue;
            };
            let (status, answer) = post(&server, event, data).await;
            match row.over_http {
                OverHttp::Status(expected) => {
                    assert_eq!(status, expected, "{}", row.name);
                    assert!(answer["error"]["message"].is_string() && answer.get("outcomes").is_none(), "{answer}");
                }
                _ => assert_outcome(row, status, &answer),
            }
        }
    });
    server.stop();
    let told = rows.iter().filter(|row| row.over_http == OverHttp::Same);
    assert_eq!(found(&letters(&runtime, &data)), expected(told));
}

fn assert_outcome(row: &BadEvent, status: u16, answer: &Value) {
    assert_eq!(status, 200, "{}: {answer}", row.name);
    let outcome = &answer["outcomes"][0];
    assert_eq!(outcome["outcome"], row.fate.outcome(), "{}: {answer}", row.name);
    let refusal = match row.fate {
        Fate::Refused(reason, "") => (Value::from(reason.as_str()), Value::Null),
        Fate::Refused(reason, field) => (reason.as_str().into(), field.into()),
        _ => (Value::Null, Value::Null),
    };
    let told = (outcome["reason"].clone(), outcome["field"].clone());
    assert_eq!(told, refusal, "{}: {answer}", row.name);
    assert_eq!(outcome["detail"].is_string(), row.fate.refusal().is_some(), "{}: {answer}", row.name);
}
