//! OpenFeature's remote evaluation protocol: every experiment is a flag whose value is the variant.
//!
//! `POST /ofrep/v1/evaluate/flags/{key}` and `POST /ofrep/v1/evaluate/flags`, as the protocol's OpenAPI document has
//! them. The `targetingKey` is the unit of kind `user`; other kinds of units and what targeting looks at are fields of the
//! context. A unit that is not enrolled gets the name of control, with `enrolled: false` in the metadata. Nothing is
//! logged: the product sends the exposure, with the draw from the metadata, when it has shown what was decided.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use plaudit_event::Timestamp;
use plaudit_experiment::assign::{Decision, Reason, Request};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::Error;
use crate::experiment::{ExperimentConfig, InForce, Plan, PolicyRef, UNIT};
use crate::state::{Serving, Snapshot};

/// The name of the unit in a context.
const TARGETING_KEY: &str = "targetingKey";

/// Why a request cannot be answered, in the protocol's words.
struct Failure {
    code: &'static str,
    details: String,
}

impl Failure {
    fn new(code: &'static str, details: impl Into<String>) -> Self {
        Self { code, details: details.into() }
    }

    fn status(&self) -> StatusCode {
        if self.code == "FLAG_NOT_FOUND" { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST }
    }

    fn body(&self, key: Option<&str>) -> Value {
        let mut body = json!({"errorCode": self.code, "errorDetails": self.details});
        if let Some(key) = key {
            body["key"] = Value::from(key);
        }
        body
    }
}

/// What is refused before it is evaluated, in the protocol's words; status and headers are those of any other route.
pub(super) fn refused(error: Error) -> Response {
    let failure = Failure::new("GENERAL", error.to_string());
    let (parts, _) = error.into_response().into_parts();
    let mut response = Json(failure.body(None)).into_response();
    *response.status_mut() = parts.status;
    for (name, value) in
        parts.headers.iter().filter(|(name, _)| [header::RETRY_AFTER, header::WWW_AUTHENTICATE].contains(name))
    {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

/// Evaluates one flag.
pub(super) async fn one(State(serving): State<Arc<Serving>>, Path(key): Path<String>, body: Body) -> Response {
    let answer = match context(body, serving.config().max_body_bytes).await {
        Ok(context) => {
            let view = View::of(&serving);
            view.find(&key).map(|experiment| view.evaluate(experiment, &context))
        }
        Err(failure) => Err(failure),
    };
    match answer {
        Ok(flag) => Json(flag).into_response(),
        Err(failure) => (failure.status(), Json(failure.body(Some(&key)))).into_response(),
    }
}

/// Evaluates all flags. With `if-none-match` only when an answer is another one than before.
pub(super) async fn all(State(serving): State<Arc<Serving>>, headers: HeaderMap, body: Body) -> Response {
    let context = match context(body, serving.config().max_body_bytes).await {
        Ok(context) => context,
        Err(failure) => return (failure.status(), Json(failure.body(None))).into_response(),
    };
    let view = View::of(&serving);
    let experiments = view.in_force.definition.experiments.iter();
    let flags: Vec<Value> = experiments.map(|experiment| view.evaluate(experiment, &context)).collect();
    let body = json!({"flags": flags, "metadata": {"definition": view.in_force.hash}}).to_string();
    let digest = Sha256::digest(body.as_bytes());
    let tag = digest.iter().take(16).fold(String::from("\""), |tag, byte| format!("{tag}{byte:02x}")) + "\"";
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or("");
    let is_known = known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag);
    let etag = HeaderValue::from_str(&tag).expect("hexadecimal in quotes");
    if is_known {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response();
    }
    let json = HeaderValue::from_static("application/json");
    ([(header::ETAG, etag), (header::CONTENT_TYPE, json)], body).into_response()
}

/// The context of a request, with a targeting key.
async fn context(body: Body, limit: usize) -> Result<Map<String, Value>, Failure> {
    let bytes = to_bytes(body, limit).await;
    let bytes = bytes.map_err(|_| Failure::new("PARSE_ERROR", format!("the body must have at most {limit} bytes")))?;
    let request: Value = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::new("PARSE_ERROR", format!("the body is not JSON: {error}")))?;
    let context = match request.get("context") {
        Some(Value::Object(context)) => context.clone(),
        Some(other) => {
            return Err(Failure::new("INVALID_CONTEXT", format!("`context` must be an object, got {other}")));
        }
        None => Map::new(),
    };
    match context.get(TARGETING_KEY) {
        Some(Value::String(key)) if !key.is_empty() => Ok(context),
        Some(other) if !other.is_null() && *other != json!("") => {
            Err(Failure::new("INVALID_CONTEXT", format!("`{TARGETING_KEY}` must be a string, got {other}")))
        }
        _ => Err(Failure::new("TARGETING_KEY_MISSING", format!("`context.{TARGETING_KEY}` names the unit"))),
    }
}

/// What evaluation needs, as of one moment.
struct View {
    in_force: Arc<InForce>,
    snapshot: Arc<Snapshot>,
    now: Timestamp,
}

impl View {
    fn of(serving: &Serving) -> Self {
        Self { in_force: serving.experiments(), snapshot: serving.snapshot(), now: serving.parts().clock.now() }
    }

    fn find(&self, key: &str) -> Result<&ExperimentConfig, Failure> {
        let mut experiments = self.in_force.definition.experiments.iter();
        let found = experiments.find(|experiment| experiment.id.as_str() == key);
        found.ok_or_else(|| Failure::new("FLAG_NOT_FOUND", format!("there is no experiment `{key}`")))
    }

    fn evaluate(&self, experiment: &ExperimentConfig, context: &Map<String, Value>) -> Value {
        let text = |name: &str| context.get(name).and_then(Value::as_str);
        let kinds = self.in_force.definition.units.iter();
        // A kind of unit that the context names wins over the targeting key.
        let of_kind = |kind: &str| text(kind).or(text(TARGETING_KEY).filter(|_| kind == UNIT));
        let units: Vec<(&str, &str)> = kinds.filter_map(|kind| Some((kind.as_str(), of_kind(kind)?))).collect();
        let mut attributes = context.clone();
        if let Some(key) = context.get(TARGETING_KEY) {
            attributes.entry("id").or_insert_with(|| key.clone());
        }
        let attributes = Value::Object(attributes);
        let request = Request { units: &units, attributes: &attributes, now: self.now };
        let plan = self.snapshot.plan();
        let decision = plan.and_then(|plan| plan.assign_in(&experiment.layer, request));
        answer(experiment, plan, decision)
    }
}

/// The flag of `experiment`, as `decision` about its layer has it.
fn answer(experiment: &ExperimentConfig, plan: Option<&Plan>, decision: Option<Decision<'_, PolicyRef>>) -> Value {
    let is_own =
        |decision: &Decision<'_, PolicyRef>| decision.experiment().is_some_and(|own| *own.template() == experiment.id);
    let own = decision.filter(is_own);
    let variant = own.and_then(|decision| decision.variant());
    let reason = reason(experiment, own.map(|decision| decision.reason));
    let mut metadata = Map::new();
    let mut add = |name: &str, value: Value| metadata.insert(name.to_owned(), value);
    add("enrolled", Value::from(own.is_some_and(|decision| decision.propensity().is_some())));
    add("layer", Value::from(experiment.layer.as_str()));
    add("definition", Value::from(plan.map_or("", Plan::definition_hash)));
    if let Some((decision, variant)) = own.zip(variant) {
        add("policy", Value::from(String::from(variant.policy.clone())));
        if let Some(running) = decision.experiment() {
            add("experiment", Value::from(running.id().as_str()));
            add("seed", Value::from(running.seed()));
        }
        let numbers = [
            ("propensity", decision.propensity().map(Value::from)),
            ("bucket", decision.bucket().map(Value::from)),
            ("phase", decision.phase().map(Value::from)),
        ];
        for (name, value) in numbers {
            value.map(|value| add(name, value));
        }
    }
    let control = experiment.control().map_or("", |control| control.as_str());
    let name = variant.map_or(control, |variant| variant.id.as_str());
    json!({"key": experiment.id, "value": name, "variant": name, "reason": reason, "metadata": metadata})
}

fn reason(experiment: &ExperimentConfig, reason: Option<Reason>) -> &'static str {
    match reason {
        Some(Reason::Split) => "SPLIT",
        Some(Reason::Forced) => "TARGETING_MATCH",
        Some(Reason::Killed | Reason::Inactive | Reason::Unserved) => "DISABLED",
        _ if experiment.killed || !experiment.active => "DISABLED",
        _ => "DEFAULT",
    }
}
