//! `/v1/chat/completions`, compatible with OpenAI's.

mod request;
mod waiting;

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use plaudit_event::{
    Context, Exposure, ExposureId, FAILED, LATENCY_MS, Message, Seed, Stage, Surface, UnitId, VariantId,
};
use plaudit_nn::generate::{Finish, Output, Request};
use plaudit_policy::Decision;
use plaudit_policy::generate::decision;
use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::{extract, limits, stream};
use crate::Error;
use crate::engine::{Generation, Whole};
use crate::state::{Caller, Routed, Served, Serving, Shadowed};
use request::{ChatRequest, is_shadow, session_of, unit_of};
use waiting::Waiting;

/// Set on the exposure of an answer whose reader left before its end.
const INTERRUPTED_ATTRIBUTE: &str = "interrupted";
/// A conversation above this size, in bytes of its JSON, is made into tokens off the threads that answer.
const INLINE_BYTES: usize = 8 << 10;

pub(super) async fn handle(
    State(serving): State<Arc<Serving>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let request: ChatRequest = extract::json(&headers, body, serving.config().max_body_bytes).await?;
    let is_stream = request.stream.unwrap_or(false);
    let (turn, generation) = Turn::begin(serving, &headers, request).await?;
    let headers = turn.headers();
    if is_stream {
        return Ok((headers, stream::events(turn, generation)).into_response());
    }
    let mut waiting = Waiting::new(turn);
    let whole = match generation.collect().await {
        Ok(whole) => whole,
        Err(error) => {
            waiting.take()?.fail();
            return Err(error);
        }
    };
    let body = waiting.take()?.finish(whole).await?.completion();
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
    /// Set where the candidate is to answer as well, unseen.
    shadowed: Option<Shadowed>,
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
    async fn begin(
        serving: Arc<Serving>,
        headers: &HeaderMap,
        request: ChatRequest,
    ) -> Result<(Self, Generation), Error> {
        request.check()?;
        let is_shadow = is_shadow(headers)?;
        let session_id = session_of(headers)?.map(str::to_owned);
        let unit_id = match unit_of(headers, request.user.as_deref())? {
            Some(unit) => unit,
            None => serving.new_unit_id()?,
        };
        let snapshot = serving.snapshot();
        let routed = match request.model.as_deref() {
            None if is_shadow => snapshot.unassigned()?,
            model => {
                let attributes = request.attributes(&unit_id, session_id.as_deref());
                let (session, now) = (session_id.as_deref(), serving.parts().clock.now());
                snapshot.route(&Caller { unit: &unit_id, session, attributes: &attributes, now }, model)?
            }
        };
        let most = request.max_tokens.unwrap_or(routed.served.policy.sampling().max_new_tokens);
        let most = most.min(serving.config().engine.max_new_tokens);
        let messages = request.messages.into_iter().map(Message::from).collect();
        let context = Context { messages, ..Context::default() };
        let bytes = limits::conversation(&context, most)?;
        let exposure_id = serving.new_exposure_id();
        // Without an own seed the exposure id is the seed, so that the answer can be drawn again from the log.
        let derived = || serving.parts().seed.derive(exposure_id.as_str(), 0);
        let seed = request.seed.map_or_else(derived, |seed| Seed::new(seed.cast_unsigned()));
        let admission = serving.engine().admit()?;
        let (mut ask, context) = ask(&routed.served, context, bytes, seed).await?;
        ask.temperature = request.temperature.unwrap_or(ask.temperature);
        ask.max_new_tokens = most;
        let num_prompt_tokens = ask.prompt.len();
        let generation = admission.generate(&routed.served.model, ask)?;
        let mut attributes = request.metadata;
        if is_shadow {
            attributes.insert("actor".to_owned(), Value::from("shadow"));
        }
        let created = serving.parts().clock.now().as_millis() / 1_000;
        // Only what users are shown is a request of users, and only the champion is what the candidate is compared with.
        let is_champion = snapshot.champion().is_some_and(|champion| champion.id() == routed.served.id());
        let shadowed = (is_champion && !is_shadow)
            .then(|| serving.shadowed(&exposure_id, &context, (seed, request.temperature, request.max_tokens)))
            .flatten();
        let turn = Self {
            serving,
            routed,
            exposure_id,
            unit_id,
            session_id,
            context,
            attributes,
            num_prompt_tokens,
            created,
            shadowed,
        };
        Ok((turn, generation))
    }

    #[cfg(test)]
    pub(super) fn of_test(serving: &Arc<Serving>, text: &str) -> Self {
        let serving = Arc::clone(serving);
        Self {
            routed: serving.snapshot().unassigned().unwrap(),
            exposure_id: serving.new_exposure_id(),
            unit_id: UnitId::new("u1").unwrap(),
            session_id: None,
            context: Context::of_user(text),
            attributes: Map::new(),
            num_prompt_tokens: 1,
            created: 0,
            shadowed: None,
            serving,
        }
    }

    /// Makes the exposure durable; only then is there an answer.
    pub(super) async fn finish(mut self, whole: Whole) -> Result<Answered, Error> {
        let Whole { output, elapsed } = whole;
        self.attributes.insert(LATENCY_MS.to_owned(), Value::from((1e5 * elapsed.as_secs_f64()).round() / 100.0));
        let (shadowed, unit) = (self.shadowed.take(), xxh3_64(self.unit_id.as_str().as_bytes()));
        let finish_reason = match output.finish {
            Finish::Stop => "stop",
            Finish::Length => "length",
        };
        let (num_prompt_tokens, num_tokens) = (self.num_prompt_tokens, output.tokens.len());
        let (plaudit, created) = (self.extension(), self.created);
        let policy = &self.routed.served.policy;
        let (id, model) = (format!("chatcmpl-{}", self.exposure_id), policy.id().to_string());
        let decision = decision(policy.response(output));
        let serving = Arc::clone(&self.serving);
        let exposure = self.exposure(decision);
        let text = exposure.response().to_owned();
        serving.expose(exposure).await?;
        if let Some(shadowed) = shadowed {
            serving.shadow(shadowed, unit, text.clone());
        }
        let usage = json!({
            "prompt_tokens": num_prompt_tokens,
            "completion_tokens": num_tokens,
            "total_tokens": num_prompt_tokens + num_tokens,
        });
        Ok(Answered { text, finish_reason, usage, plaudit, id, model, created })
    }

    /// Notes that the answer failed, so that a policy that fails is not the better for it.
    pub(super) fn mark_failed(&mut self) {
        self.attributes.insert(FAILED.to_owned(), Value::from(true));
    }

    /// Has the exposure of an answer written of which nothing was shown because it failed.
    pub(super) fn fail(mut self) {
        self.mark_failed();
        let mut decision = decision(self.routed.served.policy.response(Output {
            tokens: Vec::new(),
            logprobs: Vec::new(),
            finish: Finish::Length,
        }));
        (decision.propensity, decision.token_logprobs) = (None, None);
        let serving = Arc::clone(&self.serving);
        serving.expose_unattended(self.exposure(decision));
    }

    /// Has the exposure of `shown` written, the part of an answer that its reader got. Nobody waits for it.
    pub(super) fn interrupt(mut self, output: Output, shown: String) {
        self.attributes.insert(INTERRUPTED_ATTRIBUTE.to_owned(), Value::from(true));
        let mut decision = decision(self.routed.served.policy.response(output));
        if let Some(impression) = decision.slate.first_mut() {
            impression.content = shown;
        }
        let serving = Arc::clone(&self.serving);
        serving.expose_unattended(self.exposure(decision));
    }

    fn exposure(self, decision: Decision) -> Exposure {
        Exposure {
            exposure_id: self.exposure_id,
            unit_id: self.unit_id,
            session_id: self.session_id,
            surface: Surface::Chat,
            context: self.context,
            slate: decision.slate,
            chosen: decision.chosen,
            propensity: decision.propensity,
            token_logprobs: decision.token_logprobs,
            policy_id: self.routed.served.id().clone(),
            stage: Some(Stage::Generate),
            assignments: self.routed.assignments,
            rewrite_applied: None,
            interleaving: None,
            attributes: self.attributes,
            ts: self.serving.parts().clock.now(),
            unknown: Map::new(),
        }
    }

    /// The extension of the answer.
    fn extension(&self) -> Value {
        json!({
            "exposure_id": self.exposure_id,
            "policy_id": self.routed.served.id(),
            "unit_id": self.unit_id,
            "variant": self.routed.variant(),
            "assignments": self.routed.assignments,
        })
    }

    fn headers(&self) -> HeaderMap {
        let variant = self.routed.variant();
        let fields = [
            ("x-plaudit-exposure-id", Some(self.exposure_id.as_str())),
            ("x-plaudit-policy-id", Some(self.routed.served.id().as_str())),
            ("x-plaudit-variant", variant.map(VariantId::as_str)),
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

/// What to ask of the model thread; gives the context back.
async fn ask(served: &Arc<Served>, context: Context, bytes: usize, seed: Seed) -> Result<(Request, Context), Error> {
    if bytes <= INLINE_BYTES {
        return Ok((served.policy.request(&context, seed), context));
    }
    let served = Arc::clone(served);
    let work = move || (served.policy.request(&context, seed), context);
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Task { what: "making tokens", detail: error.to_string() })
}
