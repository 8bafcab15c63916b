//! The clients: they send events over HTTP, and send again what was not acknowledged.

mod events;
mod send;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use plaudit_event::{Seed, Stream};
use rand::Rng as _;
use rand::seq::SliceRandom as _;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::ledger::{Ledger, What};
use super::site::{OPEN, WINDOW};
pub(super) use events::Style;
use events::{exposure, id_of, now, signal};
use send::{Failure, post, send};

/// Clients at once.
const CLIENTS: u64 = 4;
/// How long a client goes on asking after the load has ended.
const PATIENCE: Duration = Duration::from_secs(90);

/// Load under way.
pub(super) struct Load {
    stop: watch::Sender<bool>,
    clients: JoinSet<Ledger>,
}

impl Load {
    /// Starts clients that send to whoever serves.
    pub(super) fn start(urls: &watch::Receiver<BTreeMap<usize, String>>, style: Style, seed: Seed) -> Self {
        let stop = watch::Sender::new(false);
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let client = Client {
                name: format!("c{number}"),
                http: reqwest::Client::new(),
                urls: urls.clone(),
                stop: stop.subscribe(),
                rng: seed.derive("client", number).stream("events"),
                late: VecDeque::new(),
                patience: None,
                ledger: Ledger::default(),
            };
            clients.spawn(client.run(style));
        }
        Self { stop, clients }
    }

    /// Ends the load: what is under way is still sent, until it is acknowledged.
    pub(super) async fn finish(mut self) -> anyhow::Result<Ledger> {
        self.stop.send_replace(true);
        let mut ledger = Ledger::default();
        while let Some(ended) = self.clients.join_next().await {
            ledger.add(ended?);
        }
        Ok(ledger)
    }
}

struct Client {
    name: String,
    http: reqwest::Client,
    urls: watch::Receiver<BTreeMap<usize, String>>,
    stop: watch::Receiver<bool>,
    rng: Stream,
    /// Signals for later.
    late: VecDeque<(Instant, Value)>,
    /// Until when it goes on asking.
    patience: Option<Instant>,
    ledger: Ledger,
}

impl Client {
    async fn run(mut self, style: Style) -> Ledger {
        let mut turn = 0;
        while !*self.stop.borrow() {
            let name = format!("{}-{turn}", self.name);
            match style {
                Style::InOrder if turn % 8 == 7 => self.ask(&name).await,
                Style::InOrder => self.in_order(&name).await,
                Style::FiveTimes => self.five_times(&name).await,
                Style::Shuffled => self.shuffled(&name).await,
            }
            self.send_late(Instant::now()).await;
            let pause = self.rng.random_range(10..60);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            turn += 1;
        }
        while let Some((due, _)) = self.late.back() {
            let due = *due;
            tokio::time::sleep_until(due.into()).await;
            self.send_late(due).await;
        }
        self.ledger
    }

    /// One answer; its id is known only when it is acknowledged.
    async fn ask(&mut self, name: &str) {
        let body = json!({"user": name, "messages": [{"role": "user", "content": "how long to boil eggs?"}]});
        let Some(url) = self.url().await else { return };
        self.ledger.sent += 1;
        match post(&self.http, &format!("{url}/v1/chat/completions"), &body).await {
            Ok(answer) => match answer["plaudit"]["exposure_id"].as_str() {
                Some(id) => self.ledger.note(What::Exposure, id, "accepted"),
                None => self.ledger.surprise(format!("an answer without exposure: {answer}")),
            },
            Err(failure) => self.unanswered(1, failure),
        }
    }

    async fn in_order(&mut self, name: &str) {
        let exposures = self.exposures(name);
        let mut signals = Vec::new();
        let mut loved = Vec::new();
        for exposure in &exposures {
            let id = id_of(exposure, What::Exposure);
            let is_loved = self.rng.random_bool(0.5);
            if is_loved {
                signals.push(signal(&format!("l-{id}"), &id, "love", now()));
            }
            if self.rng.random_bool(0.3) {
                signals.push(signal(&format!("k-{id}"), &id, "copy", now()));
            }
            loved.push((id, is_loved));
        }
        if self.rng.random_bool(0.25)
            && let Some(first) = signals.first()
        {
            signals.push(first.clone());
        }
        let is_known = self.deliver(What::Exposure, &exposures).await && self.deliver(What::Signal, &signals).await;
        if is_known {
            self.ledger.loved.extend(loved);
        }
    }

    async fn five_times(&mut self, name: &str) {
        let exposures = self.exposures(name);
        let mut signals = Vec::new();
        for exposure in &exposures {
            let id = id_of(exposure, What::Exposure);
            signals.push(signal(&format!("l-{id}"), &id, "love", now()));
        }
        let mut is_known = true;
        for (what, events) in [(What::Exposure, &exposures), (What::Signal, &signals)] {
            is_known &= self.deliver(what, &[&events[..], events].concat()).await;
            is_known &= self.deliver_at_once(what, events).await;
            is_known &= self.deliver(what, events).await;
        }
        if is_known {
            self.ledger.loved.extend(exposures.iter().map(|exposure| (id_of(exposure, What::Exposure), true)));
        }
    }

    /// Requests in an order that has nothing to do with that of the events in them.
    async fn shuffled(&mut self, name: &str) {
        let exposures = self.exposures(name);
        let shown = now();
        let mut soon = Vec::new();
        let mut loved = Vec::new();
        for exposure in &exposures {
            let id = id_of(exposure, What::Exposure);
            let love = |ts| signal(&format!("l-{id}"), &id, "love", ts);
            let after_close = OPEN + Duration::from_millis(self.rng.random_range(300..1_500));
            let due = Instant::now() + after_close;
            let in_time = shown + self.rng.random_range(0..200);
            let beyond = shown + events::millis(WINDOW) + self.rng.random_range(200..500);
            let is_loved = match self.rng.random_range(0..5) {
                0 => false,
                1 => {
                    self.late.push_back((due, love(in_time)));
                    true
                }
                2 => {
                    self.late.push_back((due, love(beyond)));
                    false
                }
                3 => {
                    soon.push(love(in_time));
                    let mut retraction = signal(&format!("r-{id}"), &id, "love", in_time);
                    retraction["retracts"] = Value::from(format!("l-{id}"));
                    self.late.push_back((due, retraction));
                    false
                }
                _ => {
                    soon.push(love(in_time));
                    true
                }
            };
            loved.push((id, is_loved));
        }
        let mut requests = Vec::new();
        for (what, mut events) in [(What::Exposure, exposures), (What::Signal, soon)] {
            events.shuffle(&mut self.rng);
            requests.extend(events.chunks(3).map(|events| (what, events.to_vec())));
        }
        requests.shuffle(&mut self.rng);
        for (what, events) in requests {
            if !self.deliver(what, &events).await {
                return;
            }
            let pause = self.rng.random_range(0..40);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        self.ledger.loved.extend(loved);
    }

    fn exposures(&mut self, name: &str) -> Vec<Value> {
        let count = self.rng.random_range(1..=8);
        (0..count).map(|number| exposure(&format!("e-{name}-{number}"), self.rng.random_range(0..200))).collect()
    }

    /// Sends the signals for later whose time has come.
    async fn send_late(&mut self, until: Instant) {
        let (due, later) = std::mem::take(&mut self.late).into_iter().partition(|(due, _)| *due <= until);
        self.late = later;
        let due: VecDeque<(Instant, Value)> = due;
        let signals: Vec<Value> = due.into_iter().map(|(_, signal)| signal).collect();
        self.deliver(What::Signal, &signals).await;
    }

    /// Sends `events` until they are acknowledged; false when that did not come.
    async fn deliver(&mut self, what: What, events: &[Value]) -> bool {
        if events.is_empty() {
            return true;
        }
        while let Some(url) = self.url().await {
            self.ledger.sent += events.len() as u64;
            let answer = send(&self.http, &url, what, events).await;
            if self.take(what, events, answer) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.ledger.given_up += events.len() as u64;
        false
    }

    /// Sends `events` twice at the same moment, then until they are acknowledged.
    async fn deliver_at_once(&mut self, what: What, events: &[Value]) -> bool {
        let Some(url) = self.url().await else { return false };
        self.ledger.sent += 2 * events.len() as u64;
        let (one, other) = tokio::join!(send(&self.http, &url, what, events), send(&self.http, &url, what, events));
        let (one, other) = (self.take(what, events, one), self.take(what, events, other));
        (one && other) || self.deliver(what, events).await
    }

    /// Notes an answer; false when it was none.
    fn take(&mut self, what: What, events: &[Value], answer: Result<Value, Failure>) -> bool {
        let answer = match answer {
            Ok(answer) => answer,
            Err(failure) => {
                self.unanswered(events.len(), failure);
                return false;
            }
        };
        let outcomes = answer["outcomes"].as_array().cloned().unwrap_or_default();
        if outcomes.len() != events.len() {
            self.ledger.surprise(format!("{} outcomes for {} events", outcomes.len(), events.len()));
        }
        for (event, outcome) in events.iter().zip(&outcomes) {
            let (id, (_, _, key)) = (id_of(event, what), what.names());
            if outcome[key].as_str() != Some(&id) {
                self.ledger.surprise(format!("the outcome of {id} is called {}", outcome[key]));
            }
            self.ledger.note(what, &id, outcome["outcome"].as_str().unwrap_or("nothing"));
        }
        true
    }

    fn unanswered(&mut self, count: usize, failure: Failure) {
        self.ledger.unanswered += count as u64;
        if let Failure::Refused(said) = failure {
            self.ledger.surprise(said);
        }
    }

    /// Somebody who serves, once there is one; nothing when patience has ended.
    async fn url(&mut self) -> Option<String> {
        loop {
            if self.patience.is_none() && *self.stop.borrow() {
                self.patience = Some(Instant::now() + PATIENCE);
            }
            if self.patience.is_some_and(|end| Instant::now() > end) {
                return None;
            }
            let urls: Vec<String> = self.urls.borrow().values().cloned().collect();
            if !urls.is_empty() {
                return Some(urls[self.rng.random_range(0..urls.len())].clone());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
