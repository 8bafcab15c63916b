//! `/v1/decide`: which of several candidates to show.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use plaudit_event::{Context, Exposure, PolicyId, Surface, UnitId};
use plaudit_policy::Candidate;
use plaudit_policy::select::DECISION_ATTRIBUTE;
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
    limits::decision(&request.context, &request.candidates)?;
    let exposure_id = serving.new_exposure_id();
    // The id names the stream, so that a decision can be drawn again from the log.
    let mut rng = serving.parts().seed.stream(exposure_id.as_str());
    let thompson = &serving.parts().thompson;
    let decision = thompson.choose(&request.decision, &request.candidates, &mut rng).map_err(candidates_error)?;
    let chosen = request.candidates[decision.chosen as usize].clone();
    let answer = DecideAnswer {
        exposure_id: exposure_id.to_string(),
        policy_id: thompson.id().clone(),
        variant: None,
        chosen,
        propensity: decision.propensities[decision.chosen as usize],
        propensities: decision.propensities,
    };
    let mut attributes = Map::new();
    attributes.insert(DECISION_ATTRIBUTE.to_owned(), Value::from(request.decision));
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
        policy_id: thompson.id().clone(),
        stage: None,
        assignments: Vec::new(),
        rewrite_applied: None,
        attributes,
        ts: serving.parts().clock.now(),
        unknown: Map::new(),
    };
    serving.expose(exposure).await?;
    Ok(Json(answer))
}

fn candidates_error(error: plaudit_policy::Error) -> Error {
    match error {
        plaudit_policy::Error::Invalid { allowed, value, .. } => {
            Error::invalid("candidates", format!("must be {allowed}, got {value}"))
        }
        other => other.into(),
    }
}
