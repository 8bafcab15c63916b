//! Experiments, policies and suspects, for people.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use plaudit_event::{PolicyId, UnitId};
use plaudit_experiment::delivery::Delivery;
use plaudit_ingest::quality::suspects::Suspect;
use serde::Deserialize;
use serde_json::{Value, json};

use super::extract;
use super::guard::Who;
use crate::Error;
use crate::rollout::{Backtest, EndedRun, Rollout};
use crate::state::Serving;

/// Longest reason of a rollback, in bytes.
const MAX_REASON_BYTES: usize = 4_096;

pub(super) async fn experiments(State(serving): State<Arc<Serving>>) -> Json<Value> {
    let running = serving.readouts();
    let rollout = serving.rollout();
    let finished: Vec<Value> = rollout.ended().iter().map(|run| ended(&serving, run)).collect();
    Json(json!({"experiments": running, "finished": finished}))
}

pub(super) async fn experiment(
    State(serving): State<Arc<Serving>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Error> {
    let running = serving.readouts();
    if let Some(readout) = running.iter().find(|readout| readout.experiment.as_str() == name) {
        return Ok(Json(json!(readout)));
    }
    let rollout = serving.rollout();
    if let Some(run) = rollout.ended().iter().find(|run| run.experiment.as_str() == name) {
        return Ok(Json(ended(&serving, run)));
    }
    let ended = rollout.ended().iter().map(|run| run.experiment.to_string());
    let known = running.iter().map(|readout| readout.experiment.to_string()).chain(ended).collect();
    Err(Error::NotFound { what: "experiment", name, known })
}

/// The readout on which `run` was ended, or else the last one that this process knows, with how it ended.
fn ended(serving: &Serving, run: &EndedRun) -> Value {
    let mut answer = match run.evidence.get("experiment") {
        Some(_) => run.evidence.clone(),
        None => json!(serving.book().readout(&run.experiment)),
    };
    if !answer.is_object() {
        answer = json!({"experiment": run.experiment});
    }
    answer["running"] = Value::from(false);
    answer["ended"] = json!(run);
    answer
}

pub(super) async fn policies(State(serving): State<Arc<Serving>>) -> Json<Value> {
    Json(describe(&serving.rollout()))
}

/// What was expected of every candidate, and what came of it.
pub(super) async fn backtest(State(serving): State<Arc<Serving>>) -> Json<Backtest> {
    Json(serving.rollout().backtest())
}

/// The units whose signals are quarantined on suspicion.
pub(super) async fn suspects(State(serving): State<Arc<Serving>>) -> Json<Value> {
    let describe = |suspect: Suspect| {
        let Suspect { unit, score, since, until } = suspect;
        json!({"unit_id": unit, "score": score.as_str(), "since": since, "until": until})
    };
    let suspects: Vec<Value> = serving.parts().intake.suspects().into_iter().map(describe).collect();
    Json(json!({"suspects": suspects}))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RollbackRequest {
    reason: String,
    /// The policy to take out; whatever came last when absent.
    #[serde(default)]
    policy_id: Option<PolicyId>,
    /// Who asks, where the API key does not tell.
    #[serde(default)]
    who: Option<String>,
}

pub(super) async fn rollback(
    State(serving): State<Arc<Serving>>,
    Extension(who): Extension<Who>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Error> {
    let request: RollbackRequest = extract::json(&headers, body, serving.config().max_body_bytes).await?;
    let length = request.reason.trim().len();
    if length == 0 || length > MAX_REASON_BYTES {
        let reason = format!("must have 1 to {MAX_REASON_BYTES} bytes, got {length}");
        return Err(Error::invalid("reason", reason));
    }
    let why = (request.reason.trim().to_owned(), who.or(request.who)?);
    let event = serving.rollback(why, request.policy_id).await?;
    let mut answer = describe(&serving.rollout());
    answer["rolled_back"] = json!(event.policy_id());
    Ok(Json(answer))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ApproveRequest {
    /// Who asks, where the API key does not tell.
    who: Option<String>,
}

/// Lets the candidate go on that waits for a person.
pub(super) async fn approve(
    State(serving): State<Arc<Serving>>,
    Path(id): Path<String>,
    Extension(who): Extension<Who>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Error> {
    let request: ApproveRequest = extract::json(&headers, body, serving.config().max_body_bytes).await?;
    let decision = serving.approve(policy_of(id)?, who.or(request.who)?).await?;
    let mut answer = describe(&serving.rollout());
    answer["decision"] = json!(decision);
    answer["text"] = json!(decision.explain());
    Ok(Json(answer))
}

/// Each step of a policy, with the numbers that it rests on.
pub(super) async fn why(State(serving): State<Arc<Serving>>, Path(id): Path<String>) -> Result<Json<Value>, Error> {
    Ok(Json(json!(serving.why(&policy_of(id)?).await?)))
}

fn policy_of(id: String) -> Result<PolicyId, Error> {
    PolicyId::new(id).map_err(|error| Error::invalid("id", error.to_string()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EraseQuery {
    #[serde(default)]
    reason: Option<String>,
}

/// Answers with the report when nothing is left, or says that it must be repeated.
pub(super) async fn erase(
    State(serving): State<Arc<Serving>>,
    Path(unit): Path<String>,
    query: Result<Query<EraseQuery>, QueryRejection>,
) -> Result<Json<Value>, Error> {
    let Query(query) = query.map_err(|error| Error::invalid("query", error.body_text()))?;
    let unit = UnitId::new(unit).map_err(|error| Error::invalid("id", error.to_string()))?;
    let reason = query.reason.unwrap_or_else(|| "asked for by the person".to_owned());
    let length = reason.trim().len();
    if length == 0 || length > MAX_REASON_BYTES {
        let reason = format!("must have 1 to {MAX_REASON_BYTES} bytes, got {length}");
        return Err(Error::invalid("reason", reason));
    }
    let report = serving.erase(unit, "admin API".to_owned(), reason.trim().to_owned()).await?;
    let mut answer = json!(report);
    answer["is_clean"] = json!(report.is_clean());
    Ok(Json(answer))
}

fn describe(rollout: &Rollout) -> Value {
    let policies: Vec<_> = rollout.policies().values().collect();
    json!({
        "champion": rollout.champion(),
        "previous": rollout.previous(),
        "treatment": rollout.treatment(),
        "delivery": rollout.treatment().and_then(|treatment| treatment.delivery.as_deref()).map(deliver),
        "policies": policies,
    })
}

fn deliver(delivery: &Delivery) -> Value {
    json!({
        "state": delivery.state().to_string(),
        "since": delivery.since(),
        "held": delivery.held(),
        "shares": delivery.shares(),
        "next_evaluation": delivery.next_evaluation(),
    })
}
