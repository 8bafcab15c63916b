//! `/v1/decide`: which of several candidates to show.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use plaudit_event::{Context, Exposure, PolicyId, Surface, UnitId};
use plaudit_policy::Candidate;
use plaudit_policy::select::{Selected, Status, attributes};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{extract, limits};
use crate::Error;
use crate::state::Serving;

/// Longest name of a decision, in bytes.
const MAX_DECISION_BYTES: usize = 128;

#[derive(Debug, Deserialize)]
pub(super) struct DecideRequest {
    unit_id: UnitId,
    decision: String,
    #[serde(default)]
    context: Context,
    #[serde(default)]
    session_id: Option<String>,
    /// What is known about the context: numbers, categories and flags by name.
    #[serde(default)]
    features: Map<String, Value>,
    candidates: Vec<Candidate>,
}

#[derive(Debug, Serialize)]
pub(super) struct DecideAnswer {
    exposure_id: String,
    policy_id: PolicyId,
    /// No experiment runs over selection policies.
    variant: Option<String>,
    chosen: Candidate,
    propensity: f64,
    propensities: Vec<f64>,
}

pub(super) async fn handle(
    State(serving): State<Arc<Serving>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<DecideAnswer>, Error> {
    let request: DecideRequest = extract::json(&headers, body, serving.config().max_body_bytes).await?;
    let is_blank = request.decision.trim().is_empty();
    let length = if is_blank { 0 } else { request.decision.len() };
    if length == 0 || length > MAX_DECISION_BYTES {
        let reason = format!("must have 1 to {MAX_DECISION_BYTES} bytes, got {length}");
        return Err(Error::invalid("decision", reason));
    }
    limits::session("session_id", request.session_id.as_deref())?;
    limits::decision(&request.context, &request.features, &request.candidates)?;
    let exposure_id = serving.new_exposure_id();
    // The id names the stream, so that a decision can be drawn again from the log.
    let mut rng = serving.parts().seed.stream(exposure_id.as_str());
    let selector = &serving.parts().selector;
    let selected = selector.choose(&request.decision, &request.features, &request.candidates, &mut rng);
    let Selected { decision, policy_id } = selected.map_err(request_error)?;
    let attributes = attributes(&request.decision, request.features, &request.candidates, &decision.propensities);
    let chosen = request.candidates[decision.chosen as usize].clone();
    let answer = DecideAnswer {
        exposure_id: exposure_id.to_string(),
        policy_id: policy_id.clone(),
        variant: None,
        chosen,
        propensity: decision.propensities[decision.chosen as usize],
        propensities: decision.propensities,
    };
    let exposure = Exposure {
        exposure_id,
        unit_id: request.unit_id,
        session_id: request.session_id,
        surface: Surface::Decide,
        context: request.context,
        slate: decision.slate,
        chosen: decision.chosen,
        propensity: decision.propensity,
        token_logprobs: None,
        policy_id,
        stage: None,
        assignments: Vec::new(),
        rewrite_applied: None,
        interleaving: None,
        attributes,
        ts: serving.parts().clock.now(),
        unknown: Map::new(),
    };
    serving.expose(exposure).await?;
    Ok(Json(answer))
}

/// Where every decision stands that the contextual policy has seen.
pub(super) async fn status(State(serving): State<Arc<Serving>>) -> Json<Decisions> {
    Json(Decisions { decisions: serving.parts().selector.status() })
}

#[derive(Debug, Serialize)]
pub(super) struct Decisions {
    decisions: Vec<Status>,
}

fn request_error(error: plaudit_policy::Error) -> Error {
    match error {
        plaudit_policy::Error::Invalid { allowed, value, .. } => {
            Error::invalid("candidates", format!("must be {allowed}, got {value}"))
        }
        plaudit_policy::Error::Field { field, allowed, value } => {
            Error::invalid(field, format!("must be {allowed}, got {value}"))
        }
        other => other.into(),
    }
}
