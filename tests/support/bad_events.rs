//! Bad events, one table for every way in: intake, HTTP, files, records written straight into Kafka.

use plaudit_ingest::{MAX_EVENT_BYTES, MAX_SLATE, MAX_TEXT_BYTES, MAX_TOKEN_LOGPROBS, Reason};
use serde_json::{Value, json};

/// The configuration under which the table holds.
pub(crate) const CONFIG: &str = r#"
[ingest.signals.abandon]
enabled = false
[ingest.quality.sampling]
search = 1e-9
[[ingest.quality.bots.rules]]
field = "attributes.is_bot"
equals = true
[ingest.quality.rates]
signals = 3
window = "1h"
[ingest.quality.suspicion]
enabled = true
kinds = ["share"]
min_count = 2
min_population = 0
false_positives = 0.5
"#;

/// The time of every event but those whose time is what is wrong.
const TS: i64 = 1_700_000_000_000;
/// A hundred years later: further ahead than any clock of a server that runs this.
const FUTURE: i64 = TS + 100 * 365 * 24 * 3_600_000;
/// A record that only Kafka and files let through to be refused by its size.
const TEN_MB: usize = 10_000_000;

/// An event as it is sent.
#[derive(Debug, Clone)]
pub(crate) enum Sent {
    /// `data` of an event of the given type.
    Data(&'static str, Vec<u8>),
    /// Something that is wrong with the envelope.
    Envelope(Vec<u8>),
}

/// What becomes of a bad event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is taken all the same.
    Accepted,
    /// It was there already.
    Duplicate,
    /// It is left out.
    Sampled,
    /// It is refused, with the field that is named.
    Refused(Reason, &'static str),
}

/// Where HTTP differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OverHttp {
    /// It does not.
    Same,
    /// The whole request is refused, and nothing of it is taken or kept.
    Status(u16),
    /// There is no envelope over HTTP.
    NoEnvelope,
}

/// Where records written straight into Kafka differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PastIntake {
    /// They do not: what is refused becomes a dead letter that names its record.
    Same,
    /// It counts: what a unit did before is not looked at.
    Counts,
    /// The first one counts; the store lists both as a conflict.
    First,
}

/// A row of the table.
#[derive(Debug, Clone)]
pub(crate) struct BadEvent {
    /// What is wrong, as `docs/events.md` says it.
    pub(crate) name: &'static str,
    /// Sound events that come first.
    pub(crate) before: Vec<Sent>,
    /// The event.
    pub(crate) sent: Sent,
    /// What becomes of it in intake and in files.
    pub(crate) fate: Fate,
    /// What becomes of it over HTTP.
    pub(crate) over_http: OverHttp,
    /// What becomes of it past intake.
    pub(crate) past_intake: PastIntake,
}

impl Sent {
    /// The envelope.
    pub(crate) fn envelope(&self) -> Vec<u8> {
        match self {
            Self::Envelope(bytes) => bytes.clone(),
            Self::Data(event, data) => {
                let start = format!("{{\"v\":1,\"event\":\"{event}\",\"data\":");
                [start.as_bytes(), data, b"}"].concat()
            }
        }
    }
}

impl Fate {
    /// The name of the outcome.
    pub(crate) fn outcome(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Sampled => "sampled",
            Self::Refused(reason, _) if reason.is_quarantine() => "quarantined",
            Self::Refused(..) => "rejected",
        }
    }

    /// The reason and the field.
    pub(crate) fn refusal(self) -> Option<(Reason, &'static str)> {
        match self {
            Self::Refused(reason, field) => Some((reason, field)),
            _ => None,
        }
    }
}

impl BadEvent {
    fn new(name: &'static str, sent: Sent, fate: Fate) -> Self {
        let over_http = match sent {
            Sent::Data(..) => OverHttp::Same,
            Sent::Envelope(_) => OverHttp::NoEnvelope,
        };
        Self { name, before: Vec::new(), sent, fate, over_http, past_intake: PastIntake::Same }
    }

    fn after(self, before: Vec<Sent>) -> Self {
        Self { before, ..self }
    }

    fn http(self, over_http: OverHttp) -> Self {
        Self { over_http, ..self }
    }

    fn past(self, past_intake: PastIntake) -> Self {
        Self { past_intake, ..self }
    }

    /// The outcome and reason in words.
    fn words(&self) -> String {
        match self.fate {
            Fate::Refused(reason, "") => format!("{} `{reason}`", self.fate.outcome()),
            Fate::Refused(reason, field) => format!("{} `{reason}`, field `{field}`", self.fate.outcome()),
            _ => self.fate.outcome().to_owned(),
        }
    }
}

/// Every row.
pub(crate) fn bad_events() -> Vec<BadEvent> {
    [malformed(), too_large(), of_signals(), of_exposures(), of_history()].concat()
}

/// The rows as they stand in `docs/events.md`.
pub(crate) fn table() -> String {
    let mut table =
        "| bad event | intake and files | over HTTP | written straight into Kafka |\n|---|---|---|---|\n".to_owned();
    for row in bad_events() {
        let over_http = match row.over_http {
            OverHttp::Same => "the same".to_owned(),
            OverHttp::Status(status) => format!("the request is answered with {status}"),
            OverHttp::NoEnvelope => "cannot be said: no envelope".to_owned(),
        };
        let past_intake = match (row.past_intake, row.fate) {
            (PastIntake::Same, Fate::Refused(..)) => "dead letter with its source",
            (PastIntake::Same, Fate::Duplicate) => "counts once",
            (PastIntake::Same, Fate::Sampled) => "left out when it is read",
            (PastIntake::Same, Fate::Accepted) => "the same",
            (PastIntake::Counts, _) => "counts: only intake looks at what was before",
            (PastIntake::First, _) => "both stay visible as a conflict in the store, the first one counts",
        };
        table += &format!("| {} | {} | {over_http} | {past_intake} |\n", row.name, row.words());
    }
    table
}

/// A sound signal about `exposure`.
pub(crate) fn signal(id: &str, exposure: &str, kind: &str) -> Value {
    json!({"signal_id": id, "exposure_id": exposure, "kind": kind, "ts": TS})
}

/// A sound exposure of `unit`.
pub(crate) fn exposure(id: &str, unit: &str) -> Value {
    json!({
        "exposure_id": id, "unit_id": unit, "surface": "chat", "policy_id": "gen-1", "ts": TS,
        "context": {"messages": [{"role": "user", "content": "hello"}]},
        "slate": [{"item_id": "a", "position": 0, "content": "hi"}, {"item_id": "b", "position": 1, "content": "ho"}],
    })
}

fn with(mut event: Value, field: &str, value: impl Into<Value>) -> Value {
    event[field] = value.into();
    event
}

fn s(data: Value) -> Sent {
    Sent::Data("signal", data.to_string().into_bytes())
}

fn e(data: Value) -> Sent {
    Sent::Data("exposure", data.to_string().into_bytes())
}

/// A signal with `text` as the JSON of its last field.
fn raw_signal(id: &str, last: &[u8]) -> Sent {
    let start = format!("{{\"signal_id\":\"{id}\",\"exposure_id\":\"e-{id}\",\"kind\":\"love\",\"ts\":{TS},");
    Sent::Data("signal", [start.as_bytes(), last, b"}"].concat())
}

#[path = "bad_events/rows.rs"]
mod rows;

use rows::{malformed, of_exposures, of_history, of_signals, too_large};
