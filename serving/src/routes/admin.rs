//! Experiments and policies, for people.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use plaudit_event::ExperimentId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::extract;
use crate::Error;
use crate::readout::ExperimentReadout;
use crate::rollout::Rollout;
use crate::state::Serving;

/// Longest reason of a rollback, in bytes.
const MAX_REASON_BYTES: usize = 4_096;

pub(super) async fn experiments(State(serving): State<Arc<Serving>>) -> Json<Value> {
    let (running, finished) = (serving.readouts(), serving.finished());
    Json(json!({"experiments": running, "finished": finished}))
}

pub(super) async fn experiment(
    State(serving): State<Arc<Serving>>,
    Path(name): Path<String>,
) -> Result<Json<ExperimentReadout>, Error> {
    let id = ExperimentId::new(name.clone()).ok();
    if let Some(readout) = id.and_then(|id| serving.book().readout(&id)) {
        return Ok(Json(readout));
    }
    let all = serving.readouts().into_iter().chain(serving.finished());
    let known = all.map(|readout| readout.experiment.to_string()).collect();
    Err(Error::NotFound { what: "experiment", name, known })
}

pub(super) async fn policies(State(serving): State<Arc<Serving>>) -> Json<Value> {
    Json(describe(&serving.rollout()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RollbackRequest {
    reason: String,
}

pub(super) async fn rollback(
    State(serving): State<Arc<Serving>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Error> {
    let request: RollbackRequest = extract::json(&headers, body, serving.config().max_body_bytes).await?;
    let length = request.reason.trim().len();
    if length == 0 || length > MAX_REASON_BYTES {
        let reason = format!("must have 1 to {MAX_REASON_BYTES} bytes, got {length}");
        return Err(Error::invalid("reason", reason));
    }
    let event = serving.rollback(request.reason.trim().to_owned()).await?;
    let mut answer = describe(&serving.rollout());
    answer["rolled_back"] = json!(event.policy_id());
    Ok(Json(answer))
}

fn describe(rollout: &Rollout) -> Value {
    let policies: Vec<_> = rollout.policies().values().collect();
    json!({
        "champion": rollout.champion(),
        "previous": rollout.previous(),
        "treatment": rollout.treatment(),
        "policies": policies,
    })
}
