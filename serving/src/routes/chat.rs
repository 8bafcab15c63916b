//! `/v1/chat/completions`, compatible with OpenAI's.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use plaudit_event::{Context, Exposure, ExposureId, Message, Role, Seed, Stage, Surface, UnitId};
use plaudit_nn::generate::{Finish, Output, Request};
use plaudit_policy::generate::decision;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{extract, stream};
use crate::Error;
use crate::engine::Generation;
use crate::state::{Routed, Serving};

/// Who is asked for; wins over the field `user`.
const UNIT_HEADER: &str = "x-plaudit-unit";
/// The session, when the product has one.
const SESSION_HEADER: &str = "x-plaudit-session";
/// `shadow` for traffic that no experiment may count.
const ACTOR_HEADER: &str = "x-plaudit-actor";
/// Most messages of a conversation.
const MAX_MESSAGES: usize = 1_000;

#[derive(Debug, Deserialize)]
pub(super) struct ChatRequest {
    #[serde(default)]
    model: Option<String>,
    messages: Vec<ChatMessage>,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    temperature: Option<f32>,
    #[serde(default, alias = "max_completion_tokens")]
    max_tokens: Option<usize>,
    #[serde(default)]
    seed: Option<i64>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    n: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct ChatMessage {
    role: ChatRole,
    content: Content,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ChatRole {
    System,
    Developer,
    User,
    Assistant,
}

/// Text, or a list of parts that are text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
struct Part {
    text: String,
}

impl From<ChatMessage> for Message {
    fn from(message: ChatMessage) -> Self {
        let role = match message.role {
            ChatRole::System | ChatRole::Developer => Role::System,
            ChatRole::User => Role::User,
            ChatRole::Assistant => Role::Assistant,
        };
        let content = match message.content {
            Content::Text(text) => text,
            Content::Parts(parts) => parts.into_iter().map(|part| part.text).collect(),
        };
        Self { role, content }
    }
}

pub(super) async fn handle(
    State(serving): State<Arc<Serving>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let request: ChatRequest = extract::json(&headers, body, serving.config().max_body_bytes).await?;
    let is_stream = request.stream.unwrap_or(false);
    let (turn, generation) = Turn::begin(serving, &headers, request)?;
    let headers = turn.headers();
    if is_stream {
        return Ok((headers, stream::events(turn, generation)).into_response());
    }
    let output = generation.collect().await?;
    let body = turn.finish(output).await?.completion();
    Ok((headers, Json(body)).into_response())
}

/// A question that is being answered.
pub(super) struct Turn {
    pub(super) serving: Arc<Serving>,
    pub(super) routed: Routed,
    pub(super) exposure_id: ExposureId,
    unit_id: UnitId,
    session_id: Option<String>,
    context: Context,
    attributes: Map<String, Value>,
    num_prompt_tokens: usize,
    pub(super) created: i64,
}

/// An answer whose exposure is durable.
pub(super) struct Answered {
    pub(super) text: String,
    pub(super) finish_reason: &'static str,
    pub(super) usage: Value,
    pub(super) plaudit: Value,
    id: String,
    model: String,
    created: i64,
}

impl Turn {
    /// Checks the request, routes it and starts generating.
    fn begin(serving: Arc<Serving>, headers: &HeaderMap, request: ChatRequest) -> Result<(Self, Generation), Error> {
        request.check()?;
        let is_shadow = is_shadow(headers)?;
        let unit_id = match unit_of(headers, request.user.as_deref())? {
            Some(unit) => unit,
            None => serving.new_unit_id()?,
        };
        let snapshot = serving.snapshot();
        let routed = match request.model.as_deref() {
            None if is_shadow => snapshot.unassigned()?,
            model => snapshot.route(&unit_id, model)?,
        };
        let exposure_id = serving.new_exposure_id();
        let sampling = request.sampling(&serving, &exposure_id);
        let messages = request.messages.into_iter().map(Message::from).collect();
        let context = Context { messages, ..Context::default() };
        let mut ask = routed.served.policy.request(&context, sampling.seed);
        ask.temperature = sampling.temperature.unwrap_or(ask.temperature);
        ask.max_new_tokens = sampling.max_tokens.unwrap_or(ask.max_new_tokens);
        let num_prompt_tokens = ask.prompt.len();
        let generation = generate(&serving, &routed, ask)?;
        let mut attributes = Map::new();
        if is_shadow {
            attributes.insert("actor".to_owned(), Value::from("shadow"));
        }
        let session_id = extract::header(headers, SESSION_HEADER)?.map(str::to_owned);
        let created = serving.parts().clock.now().as_millis() / 1_000;
        let turn =
            Self { serving, routed, exposure_id, unit_id, session_id, context, attributes, num_prompt_tokens, created };
        Ok((turn, generation))
    }

    /// Makes the exposure durable; only then is there an answer.
    pub(super) async fn finish(self, output: Output) -> Result<Answered, Error> {
        let finish_reason = match output.finish {
            Finish::Stop => "stop",
            Finish::Length => "length",
        };
        let num_tokens = output.tokens.len();
        let plaudit = self.extension();
        let policy = &self.routed.served.policy;
        let decision = decision(policy.response(output));
        let text = decision.slate.first().map(|impression| impression.content.clone()).unwrap_or_default();
        let (id, model) = (format!("chatcmpl-{}", self.exposure_id), policy.id().to_string());
        let exposure = Exposure {
            exposure_id: self.exposure_id,
            unit_id: self.unit_id,
            session_id: self.session_id,
            surface: Surface::Chat,
            context: self.context,
            slate: decision.slate,
            chosen: decision.chosen,
            propensity: decision.propensity,
            token_logprobs: decision.token_logprobs,
            policy_id: policy.id().clone(),
            stage: Some(Stage::Generate),
            assignments: self.routed.assignments,
            rewrite_applied: None,
            attributes: self.attributes,
            ts: self.serving.parts().clock.now(),
            unknown: Map::new(),
        };
        self.serving.expose(exposure).await?;
        let usage = json!({
            "prompt_tokens": self.num_prompt_tokens,
            "completion_tokens": num_tokens,
            "total_tokens": self.num_prompt_tokens + num_tokens,
        });
        Ok(Answered { text, finish_reason, usage, plaudit, id, model, created: self.created })
    }

    /// The extension of the answer.
    fn extension(&self) -> Value {
        json!({
            "exposure_id": self.exposure_id,
            "policy_id": self.routed.served.id(),
            "unit_id": self.unit_id,
            "variant": self.routed.variant,
            "assignments": self.routed.assignments,
        })
    }

    fn headers(&self) -> HeaderMap {
        let variant = self.routed.variant.as_ref();
        let fields = [
            ("x-plaudit-exposure-id", Some(self.exposure_id.as_str())),
            ("x-plaudit-policy-id", Some(self.routed.served.id().as_str())),
            ("x-plaudit-variant", variant.map(plaudit_event::VariantId::as_str)),
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            // Ids are printable ASCII, so each is a header value.
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        headers
    }
}

impl Answered {
    fn completion(self) -> Value {
        json!({
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [{
                "index": 0,
                "message": {"role": "assistant", "content": self.text},
                "finish_reason": self.finish_reason,
            }],
            "usage": self.usage,
            "plaudit": self.plaudit,
        })
    }
}

/// What a request says about sampling.
struct Asked {
    seed: Seed,
    temperature: Option<f32>,
    max_tokens: Option<usize>,
}

impl ChatRequest {
    fn check(&self) -> Result<(), Error> {
        let count = self.messages.len();
        if count == 0 || count > MAX_MESSAGES {
            return Err(Error::invalid("messages", format!("must have 1 to {MAX_MESSAGES} entries, got {count}")));
        }
        if let Some(temperature) = self.temperature
            && !(0.0..=2.0).contains(&temperature)
        {
            return Err(Error::invalid("temperature", format!("must be between 0 and 2, got {temperature}")));
        }
        if self.max_tokens == Some(0) {
            return Err(Error::invalid("max_tokens", "must be at least 1, got 0"));
        }
        match self.n {
            None | Some(1) => Ok(()),
            Some(n) => Err(Error::invalid("n", format!("must be 1, got {n}"))),
        }
    }

    /// Without an own seed the exposure id is the seed, so that the answer can be drawn again from the log.
    fn sampling(&self, serving: &Serving, exposure_id: &ExposureId) -> Asked {
        let derived = || serving.parts().seed.derive(exposure_id.as_str(), 0);
        let seed = self.seed.map_or_else(derived, |seed| Seed::new(seed.cast_unsigned()));
        let limit = serving.config().engine.max_new_tokens;
        Asked { seed, temperature: self.temperature, max_tokens: self.max_tokens.map(|max| max.min(limit)) }
    }
}

fn generate(serving: &Serving, routed: &Routed, request: Request) -> Result<Generation, Error> {
    serving.engine().generate(&routed.served.model, request)
}

fn unit_of(headers: &HeaderMap, user: Option<&str>) -> Result<Option<UnitId>, Error> {
    let (field, name) = match extract::header(headers, UNIT_HEADER)? {
        Some(name) => (UNIT_HEADER, name),
        None => match user {
            Some(name) => ("user", name),
            None => return Ok(None),
        },
    };
    UnitId::new(name).map(Some).map_err(|error| Error::invalid(field, error.to_string()))
}

fn is_shadow(headers: &HeaderMap) -> Result<bool, Error> {
    match extract::header(headers, ACTOR_HEADER)? {
        None | Some("user") => Ok(false),
        Some("shadow") => Ok(true),
        Some(other) => Err(Error::invalid(ACTOR_HEADER, format!("must be `user` or `shadow`, got `{other}`"))),
    }
}
