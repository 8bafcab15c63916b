//! The requests of the HTTP contract, with retries.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use plaudit_event::{ExposureId, Signal};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url};
use serde::{Deserialize, Serialize};

use super::Counters;
use crate::Error;
use crate::scenario::Client;
use crate::users::{Crowd, Visit};

/// Longest exposure id that still leaves room for the names of its signals.
const MAX_EXPOSURE_ID_BYTES: usize = 112;

/// What a request came back with.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) exposure_id: ExposureId,
    pub(crate) policy_id: String,
    pub(crate) variant: Option<String>,
    /// The response, or the name of the chosen item.
    pub(crate) content: String,
    pub(crate) propensity: Option<f64>,
}

#[derive(Debug)]
pub(crate) struct Http {
    client: reqwest::Client,
    chat: Url,
    decide: Url,
    signals: Url,
    pub(crate) settings: Client,
    counters: Arc<Counters>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'a str,
    content: &'a str,
}

#[derive(Serialize)]
struct ChatRequest<'a> {
    messages: [Message<'a>; 1],
    user: &'a str,
    seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
}

#[derive(Deserialize)]
struct ChatResponse<'a> {
    #[serde(borrow)]
    choices: Vec<ChatChoice<'a>>,
    plaudit: Plaudit,
}

#[derive(Deserialize)]
struct ChatChoice<'a> {
    #[serde(borrow)]
    message: ChatMessage<'a>,
}

#[derive(Deserialize)]
struct ChatMessage<'a> {
    #[serde(borrow)]
    content: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Plaudit {
    exposure_id: ExposureId,
    policy_id: String,
    #[serde(default)]
    variant: Option<String>,
}

#[derive(Serialize)]
struct DecideRequest<'a> {
    unit_id: &'a str,
    decision: &'a str,
    context: DecideContext<'a>,
    candidates: Vec<Candidate<'a>>,
}

#[derive(Serialize)]
struct DecideContext<'a> {
    messages: [Message<'a>; 1],
}

#[derive(Serialize)]
struct Candidate<'a> {
    item_id: &'a str,
    content: &'a str,
}

#[derive(Deserialize)]
struct DecideResponse {
    #[serde(flatten)]
    plaudit: Plaudit,
    chosen: Chosen,
    #[serde(default)]
    propensity: Option<f64>,
}

#[derive(Deserialize)]
struct Chosen {
    item_id: String,
}

#[derive(Serialize)]
struct SignalsRequest<'a> {
    signals: &'a [Signal],
}

#[derive(Deserialize)]
struct SignalsResponse<'a> {
    #[serde(borrow)]
    outcomes: Vec<Outcome<'a>>,
}

#[derive(Deserialize)]
struct Outcome<'a> {
    #[serde(borrow)]
    outcome: Cow<'a, str>,
}

impl Plaudit {
    fn answer(self, content: String, propensity: Option<f64>) -> Option<Answer> {
        let fits = self.exposure_id.as_str().len() <= MAX_EXPOSURE_ID_BYTES;
        fits.then_some(Answer {
            exposure_id: self.exposure_id,
            policy_id: self.policy_id,
            variant: self.variant,
            content,
            propensity,
        })
    }
}

fn user_message(text: &str) -> [Message<'_>; 1] {
    [Message { role: "user", content: text }]
}

fn encode(request: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(request).expect("requests have only string keys and finite numbers")
}

impl Http {
    pub(crate) fn new(url: &str, settings: Client, counters: Arc<Counters>) -> Result<Self, Error> {
        let fail = |source| Error::Client { url: url.to_owned(), source: Box::new(source) };
        let client = reqwest::Client::builder()
            .no_proxy()
            .tcp_nodelay(true)
            .timeout(Duration::from_millis(settings.timeout_ms))
            .build()
            .map_err(fail)?;
        let route = |path: &str| {
            let whole = format!("{}{path}", url.trim_end_matches('/'));
            let request = client.get(whole).build().map_err(fail)?;
            Ok::<Url, Error>(request.url().clone())
        };
        Ok(Self {
            chat: route("/v1/chat/completions")?,
            decide: route("/v1/decide")?,
            signals: route("/v1/signals")?,
            client,
            settings,
            counters,
        })
    }

    /// Asks for an answer; nothing when there is none after all attempts, or one of another shape.
    pub(crate) async fn chat(&self, crowd: &Crowd, visit: &Visit) -> Option<Answer> {
        let body = encode(&ChatRequest {
            messages: user_message(&visit.prompt.text),
            user: crowd.unit_id(visit.unit).as_str(),
            seed: visit.seed,
            temperature: self.settings.temperature,
            max_tokens: self.settings.max_tokens,
        });
        let bytes = self.post(&self.chat, body).await?;
        let response: ChatResponse<'_> = serde_json::from_slice(&bytes).ok()?;
        let choice = response.choices.into_iter().next()?;
        let content = choice.message.content.into_owned();
        response.plaudit.answer(content, None)
    }

    /// Asks for a choice; nothing when there is none after all attempts, or one of another shape.
    pub(crate) async fn decide(&self, crowd: &Crowd, visit: &Visit) -> Option<Answer> {
        let decide = &crowd.scenario().decide;
        let candidates = decide.tips.iter().map(|tip| Candidate { item_id: &tip.item_id, content: &tip.content });
        let body = encode(&DecideRequest {
            unit_id: crowd.unit_id(visit.unit).as_str(),
            decision: &decide.decision,
            context: DecideContext { messages: user_message(&visit.prompt.text) },
            candidates: candidates.collect(),
        });
        let bytes = self.post(&self.decide, body).await?;
        let response: DecideResponse = serde_json::from_slice(&bytes).ok()?;
        let (chosen, propensity) = (response.chosen.item_id, response.propensity);
        response.plaudit.answer(chosen, propensity)
    }

    /// Sends signals and counts what became of them.
    pub(crate) async fn signals(&self, signals: &[Signal]) {
        let n = signals.len() as u64;
        let Some(bytes) = self.post(&self.signals, encode(&SignalsRequest { signals })).await else {
            self.counters.lost.add(n);
            return;
        };
        let response: Result<SignalsResponse<'_>, _> = serde_json::from_slice(&bytes);
        let Ok(SignalsResponse { outcomes }) = response else {
            self.counters.lost.add(n);
            return;
        };
        self.counters.sent.add(n);
        for item in outcomes {
            let counter = match item.outcome.as_ref() {
                "accepted" => &self.counters.accepted,
                "duplicate" => &self.counters.duplicate,
                "quarantined" => &self.counters.quarantined,
                _ => &self.counters.rejected,
            };
            counter.add(1);
        }
    }

    /// Posts `body` until it is answered with success, gets an error that another attempt would
    /// not mend, or has used up its attempts.
    async fn post(&self, url: &Url, body: Vec<u8>) -> Option<Vec<u8>> {
        for attempt in 1..=self.settings.attempts {
            let request = self.client.post(url.clone()).body(body.clone());
            let sent = request.header(CONTENT_TYPE, "application/json").send();
            let wanted_ms = match sent.await {
                Ok(response) if response.status().is_success() => match response.bytes().await {
                    Ok(bytes) => return Some(bytes.into()),
                    Err(_) => None,
                },
                Ok(response) if !is_busy(response.status()) => return None,
                Ok(response) => retry_after_ms(&response),
                Err(_) => None,
            };
            if attempt < self.settings.attempts {
                self.counters.retries.add(1);
                tokio::time::sleep(self.backoff(attempt, wanted_ms)).await;
            }
        }
        None
    }

    fn backoff(&self, attempt: u32, wanted_ms: Option<u64>) -> Duration {
        let doubled = 1_u64.checked_shl(attempt - 1).unwrap_or(u64::MAX);
        let own = self.settings.backoff_ms.saturating_mul(doubled);
        let millis = own.max(wanted_ms.unwrap_or(0));
        Duration::from_millis(millis.min(self.settings.max_backoff_ms))
    }
}

fn is_busy(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE
}

fn retry_after_ms(response: &Response) -> Option<u64> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    Some(seconds.parse::<u64>().ok()?.saturating_mul(1_000))
}
